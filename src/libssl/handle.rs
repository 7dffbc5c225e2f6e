//! Safe handles on what libssl hands us.
//!
//! Each handle has one unsafe constructor. Whoever makes one promises that the object is alive, and used by this thread
//! as libssl allows it, for as long as `'h`: usually the length of one call from libssl or from the program. Everything
//! after that is safe, so that the modules that decide have no `unsafe` of their own.
//!
//! The promises that the calls below rest on:
//!
//! - libssl keeps an `SSL`, its contexts, its session and its `X509_STORE` alive while it calls us with that `SSL`
//!   (SSL_free(3), SSL_CTX_free(3): each holds a reference).
//! - One thread at a time uses an `SSL`, and nobody changes a context while it serves (openssl-threads(7)).
//! - What a `get0` function gives belongs to the object that it was asked of (crypto(7), "Library Conventions").

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;

use openssl_sys::{
    EVP_PKEY, OPENSSL_STACK, OPENSSL_sk_num, SSL, SSL_CIPHER, SSL_CIPHER_get_protocol_id, SSL_CTX, SSL_SESSION,
    SSL_ctrl, SSL_get_SSL_CTX, SSL_get_client_random, SSL_get_ex_data, SSL_get_psk_identity, SSL_get_session,
    SSL_get_verify_mode, SSL_get_verify_result, SSL_session_reused, SSL_version, X509, X509_STORE, X509_VERIFY_PARAM,
    X509_VERIFY_PARAM_get_flags, stack_st_X509_NAME,
};

use super::connection::Connection;
use super::context::Context;
use super::errors::quietly;
use super::ex_data::{Class, Object, Part};
use super::ffi;
use super::real;
use ticketshim_keys::socket::LocalAddress;

/// Methods that only ask a live object something: each calls a function that takes the object, and gives its answer.
macro_rules! asks {
    ($handle:ident: $($(#[$doc:meta])* $vis:vis fn $name:ident = $function:path => $type:ty;)*) => {
        impl $handle<'_> {
            $(
                $(#[$doc])*
                #[inline]
                $vis fn $name(self) -> $type {
                    // SAFETY: the object is alive, and this thread's as libssl allows it, for as long as the handle: the
                    // promise of whoever made it (its `new`). The function's manual page asks for no more.
                    unsafe { $function(self.0) }
                }
            )*
        }
    };
}

mod certificates;
mod ctx;
mod handshake;
mod session;
mod store;

use certificates::{elements, names, remaining};
pub(crate) use ctx::Ctx;
pub(super) use handshake::{CipherCall, CipherHello, Evaluated, Hello};
pub(super) use session::SslSession;
pub(super) use store::{LockedStore, Store, StoreObject};

/// An `SSL`, inside a call that libssl or the program makes with it.
#[derive(Clone, Copy)]
pub(crate) struct Ssl<'h>(*mut SSL, PhantomData<&'h SSL>);

impl<'h> Ssl<'h> {
    /// # Safety
    /// `ssl` is alive, and no other thread uses it, for as long as `'h`.
    pub(crate) unsafe fn new(ssl: *mut SSL) -> Self {
        Self(ssl, PhantomData)
    }

    /// The context that it has now. `None` while libssl is still making it (from 3.2 on).
    #[inline]
    pub(crate) fn ctx(self) -> Option<Ctx<'h>> {
        // SAFETY: the SSL holds a reference on its context, which it gives up in SSL_set_SSL_CTX(3) only: callbacks that
        // do that are called when no handle of a context is in use.
        unsafe { Ctx::new(self.ctx_ptr()) }
    }

    /// Our part of it. `None` for one that was made before we watched, or when memory had run out.
    #[inline]
    pub(crate) fn connection(self) -> Option<&'h Connection> {
        let connection = Connection::class().get(&self)?;
        // SAFETY: what `Class::give` stored: alive until the SSL's end, which is after 'h; only shared, and only in the
        // one thread that uses the SSL (`new`).
        let connection = unsafe { connection.as_ref() };
        if connection.first.get().is_null() {
            // Still the first: SSL_set_SSL_CTX asks before it changes it.
            connection.starts_on(self.ctx());
        }
        Some(connection)
    }

    /// Our part of it, and the context that it started on with our part of that. `None` if there is none of one of them.
    #[inline]
    pub(super) fn parts(self) -> Option<Parts<'h>> {
        let connection = self.connection()?;
        // SAFETY: the context that this SSL had when it was made. It holds a reference on that until its own end,
        // whichever it is switched to (SSL_new in ssl/ssl_lib.c: session_ctx).
        let first = unsafe { Ctx::new(connection.first.get()) }?;
        Some(Parts { connection, first, context: first.part()? })
    }

    pub(super) fn is_dtls(self) -> bool {
        self.dtls() == 1
    }

    pub(super) fn is_server(self) -> bool {
        self.server() == 1
    }

    /// Sets its session id context, past our own export. False if libssl did not.
    pub(super) fn set_id_context(self, bytes: &[u8]) -> bool {
        let Some(set) = real::SSL_SET_SESSION_ID_CONTEXT.find() else { return false };
        // SAFETY: a live SSL for 'h (`new`), and that many bytes, which are copied (SSL_set_session_id_context(3)).
        unsafe { set(self.0, bytes.as_ptr(), bytes.len() as c_uint) == 1 }
    }

    /// Whether the application has a say in each verification (SSL_get_verify_callback(3)).
    pub(super) fn has_verify_callback(self) -> bool {
        self.verify_callback().is_some()
    }

    pub(super) fn is_resumed(self) -> bool {
        self.reused() == 1
    }

    /// SSL_get_session(3).
    #[inline]
    pub(super) fn session(self) -> Option<SslSession<'h>> {
        let session = self.session_ptr();
        (!session.is_null()).then_some(SslSession(session, PhantomData))
    }

    /// How it verifies its peer (SSL_get0_param(3)): every SSL has that, from SSL_new to SSL_free.
    pub(super) fn param(self) -> Param<'h> {
        Param(self.param_ptr(), PhantomData)
    }

    /// The DER of every name that SSL_get_client_CA_list(3) gives. `None` if memory has run out.
    pub(super) fn client_ca_names(self) -> Option<Vec<&'h [u8]>> {
        // SAFETY: null, or a list that belongs to the SSL or its context (SSL_get_client_CA_list(3)).
        unsafe { names(self.client_ca_list()) }
    }

    /// The DER of every name that SSL_get0_CA_list(3) gives. `None` if memory has run out.
    pub(super) fn ca_names(self) -> Option<Vec<&'h [u8]>> {
        // SAFETY: null, or a list that belongs to the SSL or its context (SSL_get0_CA_list(3)).
        unsafe { names(self.ca_list()) }
    }

    /// The start of the random of the ClientHello that it is at: each has another.
    pub(super) fn client_random(self) -> [u8; 8] {
        let mut start = [0; 8];
        // SAFETY: a live SSL for 'h (`new`), and room for as many bytes as is said (SSL_get_client_random(3)).
        unsafe { SSL_get_client_random(self.0, start.as_mut_ptr(), start.len()) };
        start
    }

    /// Address and port that the client came to. `None` where there is no socket that libssl knows of (memory BIOs, BIOs of
    /// the program's own, QUIC), or one without addresses.
    pub(super) fn local_address(self) -> Option<LocalAddress> {
        match quietly(|| self.descriptor()) {
            descriptor @ 0.. => LocalAddress::of(descriptor),
            _ => None,
        }
    }

    /// What shows at a glance that the names of the CAs whose certificates it asks for are what they were: the lists, and how
    /// many names are in them. A list that takes the place of another is made before that is freed. `None` if they are not
    /// those of its context: the address of a connection's own list may be that of the next one's.
    pub(super) fn ca_names_at_a_glance(self) -> Option<[u64; 3]> {
        let (clients, cas) = (self.client_ca_list().cast_const(), self.ca_list());
        let ctx = self.ctx()?;
        if clients != ctx.client_ca_list().cast_const() || cas != ctx.ca_list() {
            return None;
        }
        // SAFETY: null, or lists of the context's (SSL_CTX_get_client_CA_list(3)); there are none in no list (DEFINE_STACK_OF(3)).
        let counts = [clients, cas].map(|list| unsafe { OPENSSL_sk_num(list.cast()) } as u32);
        Some([clients.addr() as u64, cas.addr() as u64, u64::from(counts[0]) << 32 | u64::from(counts[1])])
    }

    /// For how many seconds from now (the system's clock) the certificates are valid that its peer was let in with: those
    /// of the verified chain, or the one that its session has. `None` if there are none, or one that is not valid now.
    pub(super) fn certificates_valid_for(self) -> Option<u64> {
        // SAFETY: null, or a list that belongs to the SSL (SSL_get0_verified_chain(3)), which nothing changes in this call.
        let chain = unsafe { elements::<X509>(self.verified_chain()) };
        let peer = || self.session().map(SslSession::peer).filter(|peer| !peer.is_null());
        let earliest = chain.map(remaining).min();
        earliest.or_else(|| peer().map(|peer| remaining(peer)))?
    }

    /// Whether this cipher suite, as it is on the wire, is one of those that it may use (SSL_get_ciphers(3)).
    pub(super) fn allows_cipher(self, suite: [u8; 2]) -> bool {
        let suite = u16::from_be_bytes(suite);
        // SAFETY: null, or a list that belongs to the SSL or its context (SSL_get_ciphers(3)), which nothing changes in this
        // call.
        let mut ciphers = unsafe { elements::<SSL_CIPHER>(self.ciphers()) };
        // SAFETY: a cipher suite of the list: a constant of libssl's (SSL_CIPHER_get_protocol_id(3)).
        ciphers.any(|cipher| unsafe { SSL_CIPHER_get_protocol_id(cipher) } == suite)
    }

    /// It knows its peer by a pre-shared key of TLS 1.2, or its session does (SSL_get_psk_identity(3)).
    pub(super) fn has_psk_identity(self) -> bool {
        !self.psk_identity().is_null()
    }

    /// Its peer has given a raw public key (SSL_get0_peer_rpk(3)).
    pub(super) fn has_peer_key(self) -> bool {
        !self.peer_rpk().is_null()
    }

    /// Its peer has given a name by SRP (SSL_get_srp_username(3)).
    pub(super) fn has_srp_name(self) -> bool {
        !self.srp_name().is_null()
    }

    /// Its handshake has not begun (SSL_in_before(3)).
    pub(super) fn is_before_handshake(self) -> bool {
        self.in_before() == 1
    }

    /// libssl is looking at its ClientHello, and calls the callbacks that choose by it (SSL_client_hello_get0_random(3)).
    pub(super) fn has_client_hello(self) -> bool {
        let mut random = ptr::null();
        // SAFETY: a live SSL for 'h (`new`), and a place for a pointer.
        unsafe { ffi::SSL_client_hello_get0_random(self.0, &mut random) > 0 }
    }

    /// The store that its peer's certificate is verified with: its own, or that of its context. (1.1.1 does not say whether
    /// there is one of its own, and has no such command.)
    pub(super) fn verify_store(self) -> Option<Store<'h>> {
        let mut store: *mut X509_STORE = ptr::null_mut();
        // SAFETY: a live SSL for 'h (`new`); the command stores a pointer where it is told (SSL_set1_verify_cert_store(3)).
        quietly(|| unsafe { SSL_ctrl(self.0, ffi::SSL_CTRL_GET_VERIFY_CERT_STORE, 0, (&raw mut store).cast()) } == 1);
        // SAFETY: null, or a store that the SSL holds a reference on (SSL_set1_verify_cert_store(3)).
        unsafe { Store::new(store) }.or_else(|| self.ctx()?.cert_store())
    }
}

asks! { Ssl:
    /// SSL_get_verify_mode(3).
    pub(super) fn verify_mode = SSL_get_verify_mode => c_int;
    /// SSL_get_verify_depth(3).
    pub(super) fn verify_depth = ffi::SSL_get_verify_depth => c_int;
    /// SSL_get_security_level(3).
    pub(super) fn security_level = ffi::SSL_get_security_level => c_int;
    /// SSL_get_fd(3).
    fn descriptor = ffi::SSL_get_fd => c_int;
    /// SSL_get_verify_result(3).
    pub(super) fn verify_result = SSL_get_verify_result => c_long;
    /// SSL_version(3).
    pub(super) fn version = SSL_version => c_int;
    /// SSL_is_dtls(3).
    fn dtls = ffi::SSL_is_dtls => c_int;
    /// SSL_is_server(3).
    fn server = ffi::SSL_is_server => c_int;
    /// SSL_session_reused(3).
    fn reused = SSL_session_reused => c_int;
    fn in_before = ffi::SSL_in_before => c_int;
    fn ciphers = ffi::SSL_get_ciphers => *mut OPENSSL_STACK;
    fn verified_chain = ffi::SSL_get0_verified_chain => *mut OPENSSL_STACK;
    fn psk_identity = SSL_get_psk_identity => *const c_char;
    fn peer_rpk = ffi::SSL_get0_peer_rpk => *mut EVP_PKEY;
    fn srp_name = ffi::SSL_get_srp_username => *mut c_char;
    fn ctx_ptr = SSL_get_SSL_CTX => *mut SSL_CTX;
    fn session_ptr = SSL_get_session => *mut SSL_SESSION;
    fn client_ca_list = ffi::SSL_get_client_CA_list => *mut stack_st_X509_NAME;
    fn ca_list = ffi::SSL_get0_CA_list => *const stack_st_X509_NAME;
    fn verify_callback = ffi::SSL_get_verify_callback => ffi::AnyFn;
    fn param_ptr = ffi::SSL_get0_param => *mut X509_VERIFY_PARAM;
}

impl Part for Connection {
    const KIND: c_int = ffi::EX_INDEX_SSL;
    const ALL_END: bool = true;

    fn class() -> &'static Class<Self> {
        static CLASS: Class<Connection> = Class::new();
        &CLASS
    }

    unsafe fn of_new(ssl: *mut c_void) -> Option<Self> {
        // SAFETY: the caller's promise (`Part::of_new`): an SSL, alive for the length of this call.
        Connection::of_new(unsafe { Ssl::new(ssl.cast()) })
    }
}

impl Object for Ssl<'_> {
    fn address(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline]
    fn read(&self, index: c_int) -> *mut c_void {
        // SAFETY: a live SSL for 'h (`Ssl::new`); any index may be asked for.
        unsafe { SSL_get_ex_data(self.0, index) }
    }
}

/// What [`Ssl::parts`] gives.
pub(super) struct Parts<'h> {
    pub(super) connection: &'h Connection,
    pub(super) first: Ctx<'h>,
    pub(super) context: &'h Context,
}

/// The parameters of a verification, of an SSL or a store, which has them as long as it lives.
#[derive(Clone, Copy)]
pub(super) struct Param<'h>(*mut X509_VERIFY_PARAM, PhantomData<&'h X509_VERIFY_PARAM>);

asks! { Param:
    /// X509_VERIFY_PARAM_get_flags(3).
    pub(super) fn flags = X509_VERIFY_PARAM_get_flags => c_ulong;
    /// X509_VERIFY_PARAM_get_depth(3).
    pub(super) fn depth = ffi::X509_VERIFY_PARAM_get_depth => c_int;
}
