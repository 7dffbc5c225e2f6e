//! The callback that libssl asks whether early data may be accepted: ours, in front of the application's.
//!
//! An SSL takes over callback and argument from its context when it is made, and keeps them whatever the context is told
//! later. So the argument that libssl is given with our callback says what the application's are: those that an entry in
//! its context holds, those in our part of the connection, or none (null).

use std::ffi::{c_int, c_void};
use std::ptr;

use openssl_sys::SSL;
use ticketshim_keys::counters::{Counter, add};

use super::early_data;
use super::ffi::AllowEarlyDataFn;
use super::guard::guard;
use super::handle::{Ctx, Ssl};
use super::memory::AppendList;
use super::real;

/// The application's callback, and the argument that it wants.
#[derive(Clone, Copy)]
pub(super) struct Allow {
    callback: AllowEarlyDataFn,
    argument: *mut c_void,
}

// SAFETY: libssl calls the callback with this argument in whichever thread serves the connection
// (SSL_CTX_set_allow_early_data_cb(3)): the application gave them for that.
unsafe impl Send for Allow {}
// SAFETY: it is only ever copied.
unsafe impl Sync for Allow {}

/// All that the application has set for a context. Entries stay until its end: connections have their addresses.
pub(super) struct Allowed(AppendList<Allow>);

/// How many entries are looked through for the same again.
const RECENT: usize = 8;

impl Allowed {
    pub(super) const fn new() -> Self {
        Self(AppendList::new())
    }

    fn keep(&self, allow: Allow) -> Option<*const Allow> {
        let same = |kept: &&Allow| ptr::fn_addr_eq(kept.callback, allow.callback) && kept.argument == allow.argument;
        let kept = self.0.iter().take(RECENT).find(same);
        kept.or_else(|| self.0.add(allow)).map(ptr::from_ref)
    }
}

/// As arguments: the callback is in our part of the connection; there was no memory to keep it, so nothing is accepted.
static OF_CONNECTION: u8 = 0;
static NO_MEMORY: u8 = 0;

/// Puts our callback into a new context, which has none yet.
pub(super) fn install(ctx: Ctx<'_>) {
    if !early_data::is_watched() {
        return;
    }
    early_data::reserve();
    match real::CTX_SET_ALLOW_EARLY_DATA_CB.find() {
        // SAFETY: a live SSL_CTX for this call (`Ctx::new`), and a callback of the type that it takes
        // (SSL_CTX_set_allow_early_data_cb(3)).
        Some(set) => unsafe { set(ctx.as_ptr(), Some(in_front), ptr::null_mut()) },
        None => add(Counter::Failures),
    }
}

/// The application sets its callback of a context, or takes it back; `real` sets what it is given.
pub(crate) fn set_for_context(
    ctx: Ctx<'_>,
    callback: Option<AllowEarlyDataFn>,
    argument: *mut c_void,
    real: impl FnOnce(Option<AllowEarlyDataFn>, *mut c_void),
) {
    let Some(context) = ctx.part().filter(|_| early_data::is_watched()) else { return real(callback, argument) };
    let ours = match callback.map(|callback| context.allow_early_data.keep(Allow { callback, argument })) {
        None => ptr::null_mut(),
        Some(Some(kept)) => kept.cast_mut().cast(),
        Some(None) => {
            add(Counter::Failures);
            address(&NO_MEMORY)
        }
    };
    real(Some(in_front), ours);
}

/// The same for a connection.
pub(crate) fn set_for_connection(
    ssl: Ssl<'_>,
    callback: Option<AllowEarlyDataFn>,
    argument: *mut c_void,
    real: impl FnOnce(Option<AllowEarlyDataFn>, *mut c_void),
) {
    let Some(connection) = ssl.connection().filter(|_| early_data::is_watched()) else {
        return real(callback, argument);
    };
    connection.allow_early_data.set(callback.map(|callback| Allow { callback, argument }));
    real(Some(in_front), if callback.is_some() { address(&OF_CONNECTION) } else { ptr::null_mut() });
}

fn address(mark: &'static u8) -> *mut c_void {
    ptr::from_ref(mark).cast_mut().cast()
}

/// What libssl calls. Nothing that has to be undone is at hand while the application's callback runs: it may jump or throw
/// over us.
unsafe extern "C-unwind" fn in_front(ssl: *mut SSL, argument: *mut c_void) -> c_int {
    // SAFETY: libssl calls this with an SSL in the middle of its handshake, and waits (SSL_CTX_set_allow_early_data_cb(3)).
    let handle = unsafe { Ssl::new(ssl) };
    if !guard(false, || early_data::may_be_accepted(handle)) {
        return 0;
    }
    let mut answer = 1;
    if !argument.is_null() {
        // SAFETY: what `set_for_context` or `set_for_connection` gave libssl for this SSL or the context that it was made of.
        let Some(Allow { callback, argument }) = (unsafe { theirs(handle, argument) }) else { return 0 };
        // SAFETY: the application's callback, set as one of this type, with the argument that it was set with, and the SSL
        // that libssl asks about.
        answer = unsafe { callback(ssl, argument) };
    }
    if answer == 0 || !guard(false, || early_data::is_accepted(handle)) {
        return 0;
    }
    answer
}

/// The application's callback that an argument of ours stands for.
///
/// # Safety
/// The argument is one of the marks, or an entry that the first context of `ssl` keeps.
unsafe fn theirs(ssl: Ssl<'_>, argument: *mut c_void) -> Option<Allow> {
    if argument == address(&NO_MEMORY) {
        return None;
    }
    if argument == address(&OF_CONNECTION) {
        return ssl.connection()?.allow_early_data.get();
    }
    // SAFETY: the caller's promise; entries live as long as the context, on which the SSL holds a reference until its end
    // (SSL_new in ssl/ssl_lib.c: session_ctx).
    Some(unsafe { *argument.cast::<Allow>() })
}
