//! What we keep per `SSL_CTX`, and who seals its tickets: the core, or the application with keys of its own.
//!
//! The application has three ways to bring keys of its own ([`KeySource`]). Whichever it uses, the core steps aside and the
//! context behaves as without us: its own keys win. What we take away again is only ever our own callback.
#![forbid(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openssl_sys::{SSL_VERIFY_FAIL_IF_NO_PEER_CERT, SSL_VERIFY_PEER};
use ticketshim_keys::counters::{Counter, add, sub};
use ticketshim_keys::lock::{ForkGuard, ForkMutex};
use ticketshim_keys::log;
use ticketshim_keys::settings::Mode;

use super::alpn_callback::Alpn;
use super::app_hooks::ContextHooks;
use super::binding_facts::BindingFacts;
use super::client_auth;
use super::early_data_callback::{self, Allowed};
use super::ex_data::{Class, Part};
use super::ffi;
use super::handle::Ctx;
use super::mechanism;
use super::role;
use super::servername_callback::Servername;
use super::sni_policy_cache;
use crate::shim::shim;

/// Our part of an `SSL_CTX`. Lives in its ex_data and dies with it.
pub(crate) struct Context {
    sources: ForkMutex<KeySources>,
    /// It has a library context or properties of its own (SSL_CTX_new_ex(3)).
    fetches_its_own: bool,
    /// What of the binding belongs to the context.
    pub(super) facts: BindingFacts,
    /// The application's servername callback.
    pub(super) servername: Servername,
    /// The application's ALPN callback.
    pub(super) alpn: Alpn,
    /// Which of the application's code has a say in who gets in.
    pub(super) hooks: ContextHooks,
    /// The application's callbacks that decide on early data.
    pub(super) allow_early_data: Allowed,
    /// The application told it to ask its peers for certificates.
    verifies: AtomicBool,
    /// The application told it something that only servers need: a session id context, or to insist on certificates.
    is_server: AtomicBool,
    /// The application has given it a session id context.
    has_id_context: AtomicBool,
    /// Its tickets are the core's, as far as a handshake can tell without a lock.
    is_attached: AtomicBool,
}

/// Which of them the application uses, and whether our callback is in the context.
#[derive(Default)]
struct KeySources {
    /// `SSL_CTX_set_tlsext_ticket_key_evp_cb` with a callback.
    evp_callback: bool,
    /// `SSL_CTX_callback_ctrl(SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB)` with a callback.
    hmac_callback: bool,
    /// `SSL_CTX_ctrl(SSL_CTRL_{SET,GET}_TLSEXT_TICKET_KEYS)`. Stays: even with its callbacks taken back, a program that
    /// shares raw keys counts on them.
    raw_keys: bool,
    /// Where our own callback is in.
    attached: Option<KeySource>,
}

static CONTEXTS: AtomicUsize = AtomicUsize::new(0);

/// Where a context's ticket keys come from, if not from the core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource {
    EvpCallback,
    HmacCallback,
    RawKeys,
}

/// Puts the core into a new context; `fetches_its_own`: it was given a library context or properties of its own. Does
/// nothing if it is there already: Debian's `SSL_CTX_new` calls `SSL_CTX_new_ex` through the PLT, so both hooks see the same
/// context.
pub(crate) fn attach_new(ctx: Option<Ctx<'_>>, fetches_its_own: bool) {
    if shim().settings.mode == Mode::Off {
        role::context_made(ctx);
        return;
    }
    let Some(ctx) = ctx.filter(|ctx| ctx.part().is_none()) else { return };
    if !watch() {
        add(Counter::Failures);
        return;
    }
    if !Context::class().will_end(&ctx) {
        not_attached();
        return;
    }
    if !give_part(ctx, fetches_its_own) {
        add(Counter::Failures);
        return;
    }
    CONTEXTS.fetch_add(1, Ordering::Relaxed);
    role::context_made(Some(ctx));
    sni_policy_cache::set_up();
    let Some(context) = ctx.part() else { return };
    context.settle(ctx, &mut context.sources());
    early_data_callback::install(ctx);
}

/// Gives a new context its part. False if there is no memory. In a frame of its own, which is gone when the rest is done.
#[inline(never)]
fn give_part(ctx: Ctx<'_>, fetches_its_own: bool) -> bool {
    let context = Context {
        sources: ForkMutex::new(KeySources::default()),
        fetches_its_own,
        facts: BindingFacts::new(),
        servername: Servername::default(),
        alpn: Alpn::default(),
        allow_early_data: Allowed::new(),
        hooks: ContextHooks::default(),
        verifies: AtomicBool::new(false),
        is_server: AtomicBool::new(false),
        has_id_context: AtomicBool::new(false),
        is_attached: AtomicBool::new(false),
    };
    Context::class().give(&ctx, context).is_some()
}

/// The application sets one of the two key callbacks, or takes it back (`present` is false): `real`
/// is the call that does so. Gives what the real call gave.
pub(crate) fn set_key_callback<T>(
    ctx: Ctx<'_>,
    source: KeySource,
    present: bool,
    ours: T,
    real: impl FnOnce() -> T,
) -> T {
    let Some(context) = ctx.part() else { return real() };
    let mut sources = context.sources();
    if shim().settings.mode == Mode::Enforce {
        enforced();
        return ours;
    }
    sources.set(source, present);
    // One of them is where our own callback is, and the call below overwrites it: note that before, so that what we
    // take out next is never the application's.
    if sources.attached == Some(source) {
        sources.set_attached(None);
    }
    let result = real();
    context.settle(ctx, &mut sources);
    result
}

/// The application reads or writes libssl's raw keys: `real` is the call that does so.
pub(crate) fn use_raw_keys(ctx: Ctx<'_>, real: impl FnOnce() -> c_long) -> c_long {
    let Some(context) = ctx.part() else { return real() };
    let mut sources = context.sources();
    let result = real();
    if result != 1 {
        return result;
    }
    if shim().settings.mode == Mode::Enforce {
        enforced();
        return result;
    }
    sources.set(KeySource::RawKeys, true);
    context.settle(ctx, &mut sources);
    result
}

/// The application has set the context's session id context.
pub(crate) fn set_id_context(ctx: Ctx<'_>, bytes: &[u8]) {
    let Some(context) = ctx.part() else { return };
    context.is_server.store(true, Ordering::Relaxed);
    context.tell_who_asks();
    context.has_id_context.store(!bytes.is_empty(), Ordering::Relaxed);
    context.facts.set_id_context(bytes);
}

/// Whether the core was given a part of this context. It may be another libssl's: nothing is read there.
pub(crate) fn is_ours(ctx: *const openssl_sys::SSL_CTX) -> bool {
    Context::class().has(ctx.cast())
}

/// How many contexts there are.
pub(super) fn count() -> usize {
    CONTEXTS.load(Ordering::Relaxed)
}

/// The application sets the verify mode of a context, or of a connection that has it.
pub(crate) fn set_verify_mode(ctx: Ctx<'_>, mode: c_int) {
    if mode & SSL_VERIFY_PEER != 0
        && let Some(context) = ctx.part()
    {
        context.verifies.store(true, Ordering::Relaxed);
        if mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT != 0 {
            // Clients have no use for that.
            context.is_server.store(true, Ordering::Relaxed);
        }
        context.tell_who_asks();
    }
}

/// Has libssl tell us of every `SSL_CTX` that is made from now on. Called before the first is made. False if there is no
/// memory.
pub(super) fn watch() -> bool {
    Context::class().reserve()
}

/// Whether that was asked for.
pub(super) fn is_watched() -> bool {
    Context::class().is_reserved()
}

impl Context {
    fn tell_who_asks(&self) {
        if self.verifies.load(Ordering::Relaxed) && self.is_server.load(Ordering::Relaxed) {
            client_auth::note_request();
        }
    }

    pub(super) fn has_id_context(&self) -> bool {
        self.has_id_context.load(Ordering::Relaxed)
    }

    pub(super) fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed)
    }

    fn sources(&self) -> ForkGuard<'_, KeySources> {
        // Held only around calls that set pointers; handshakes never take it. A panic inside, or a fork while another
        // thread was inside, left at worst a flag.
        self.sources.lock()
    }

    /// Puts our callback in or takes it out, as the application's own keys want it.
    fn settle(&self, ctx: Ctx<'_>, sources: &mut KeySources) {
        match (sources.any(), sources.attached) {
            (false, None) => match mechanism::attach(ctx, self.fetches_its_own) {
                Some(source) => sources.set_attached(Some(source)),
                None => add(Counter::Failures),
            },
            // Our own: with the application's in its place, `attached` is none already. (Unless that was set past us.)
            (true, Some(source)) => {
                mechanism::detach(ctx, source);
                sources.set_attached(None);
            }
            _ => {}
        }
        self.is_attached.store(sources.attached.is_some(), Ordering::Relaxed);
    }
}

impl KeySources {
    fn set(&mut self, source: KeySource, open: bool) {
        let any_was = self.any();
        let (is_open, counter) = match source {
            KeySource::EvpCallback => (&mut self.evp_callback, Counter::DetachedEvpCallback),
            KeySource::HmacCallback => (&mut self.hmac_callback, Counter::DetachedCallbackCtrl),
            KeySource::RawKeys => (&mut self.raw_keys, Counter::DetachedRawKeys),
        };
        change(counter, mem::replace(is_open, open), open);
        change(Counter::Detached, any_was, self.any());
    }

    fn any(&self) -> bool {
        self.evp_callback || self.hmac_callback || self.raw_keys
    }

    fn set_attached(&mut self, attached: Option<KeySource>) {
        change(Counter::Attached, mem::replace(&mut self.attached, attached).is_some(), attached.is_some());
    }
}

/// Whether a context is one of those that `gauge` counts, before and now.
fn change(gauge: Counter, was: bool, is: bool) {
    match (was, is) {
        (false, true) => add(gauge),
        (true, false) => sub(gauge),
        _ => {}
    }
}

fn enforced() {
    static SAID: log::Once = log::Once::new();
    log::warn_once(
        &SAID,
        format_args!(
            "mode enforce: the application's own ticket keys are not used (TICKETSHIM_MODE=default would let them win)"
        ),
    );
}

fn not_attached() {
    static SAID: log::Once = log::Once::new();
    add(Counter::Failures);
    log::warn_once(
        &SAID,
        format_args!(
            "a context was made under another default library context than the first one \
                 (OSSL_LIB_CTX_set0_default): it keeps libssl's own tickets"
        ),
    );
}

impl Part for Context {
    const KIND: c_int = ffi::EX_INDEX_SSL_CTX;
    const ALL_END: bool = true;

    fn class() -> &'static Class<Self> {
        static CLASS: Class<Context> = Class::new();
        &CLASS
    }

    fn end(self: Box<Self>) {
        CONTEXTS.fetch_sub(1, Ordering::Relaxed);
        let mut sources = self.sources();
        sources.set_attached(None);
        for source in [KeySource::EvpCallback, KeySource::HmacCallback, KeySource::RawKeys] {
            sources.set(source, false);
        }
    }
}
