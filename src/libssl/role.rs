//! Whether this program serves: only then is a state file made, and anything said about it or the settings.
//!
//! `LD_PRELOAD` is inherited, so each client that a server starts has the library, too, often as another user. Clients
//! get no ticket from us; a line on their stderr breaks the script that reads it, and a state file of theirs is
//! nobody's. A server shows what it is by a method that only servers have, or by a setting that only servers make. The
//! generic methods (`TLS_method`) are for both, and most servers with one make such a setting while they are configured,
//! before they drop their rights or move into a chroot. What shows nothing until then is found out at its first
//! ticket (`Store::read`).

use openssl_sys::{SSL_CTX, SSL_METHOD};
use ticketshim_keys::settings::Mode;

use super::handle::Ctx;
use super::real::NODE;
use crate::shim::shim;

/// What a context was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Client,
    Either,
}

type GetMethod = unsafe extern "C" fn(*const SSL_CTX) -> *const SSL_METHOD;
type Method = unsafe extern "C" fn() -> *const SSL_METHOD;

real! {
    GET_METHOD = "SSL_CTX_get_ssl_method" in NODE, GetMethod;
    TLS_SERVER = "TLS_server_method" in NODE, Method;
    TLS_CLIENT = "TLS_client_method" in NODE, Method;
    DTLS_SERVER = "DTLS_server_method" in NODE, Method;
    DTLS_CLIENT = "DTLS_client_method" in NODE, Method;
    // Deprecated: not in each libssl.
    SERVER_1_2 = "TLSv1_2_server_method" in NODE, Method;
    CLIENT_1_2 = "TLSv1_2_client_method" in NODE, Method;
}

/// A context has been made. One after the program has shown that it serves is a reload.
pub(super) fn context_made(ctx: Option<Ctx<'_>>) {
    if shim().store.serves() || ctx.is_some_and(|ctx| role(ctx) == Role::Server) {
        serve();
    }
}

/// The application did something to a context that only servers do. (Clients do some of it as well: `openssl s_client`
/// sets a servername callback, Python a session id context. Their method says what they are.)
pub(crate) fn shows(ctx: Ctx<'_>) {
    if !shim().store.serves() && role(ctx) != Role::Client {
        serve();
    }
}

/// The application gave a context a session id context. Python gives each the same, also those of clients with a generic
/// method.
pub(crate) fn shows_by_id_context(ctx: Ctx<'_>, id_context: &[u8]) {
    if !id_context.is_empty() && id_context != b"Python\0" {
        shows(ctx);
    }
}

fn serve() {
    match shim().settings.mode {
        Mode::Off => shim().settings.report(),
        Mode::Default | Mode::Enforce => shim().store.ensure_state(),
    }
}

fn role(ctx: Ctx<'_>) -> Role {
    let Some(method) = GET_METHOD.find() else { return Role::Either };
    // SAFETY: a live SSL_CTX (`Ctx`); SSL_CTX_get_ssl_method(3) only reads it.
    let method = unsafe { method(ctx.as_ptr()) };
    // SAFETY: no preconditions (SSL_CTX_new(3)). Each gives the address of a constant of libssl's.
    let is = |known: &Option<Method>| known.is_some_and(|known| unsafe { known() } == method);
    let servers = [TLS_SERVER.find(), DTLS_SERVER.find(), SERVER_1_2.find()];
    let clients = [TLS_CLIENT.find(), DTLS_CLIENT.find(), CLIENT_1_2.find()];
    match (servers.iter().any(is), clients.iter().any(is)) {
        (true, _) => Role::Server,
        (_, true) => Role::Client,
        _ => Role::Either,
    }
}
