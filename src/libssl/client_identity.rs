//! Who the client of a session is, as far as that decides where its ticket may open.
//!
//! A client that libssl alone has let in, by a certificate, is let in wherever all that libssl looks at is the same: its
//! session is *portable*. Where the application's own code had a say, or the client is known by something else than a
//! certificate, the verdict holds in the `SSL_CTX` where it was reached: the session is *isolated*.
#![forbid(unsafe_code)]

use openssl_sys::{TLS1_3_VERSION, X509_V_OK};
use ticketshim_core::format::Client;
use ticketshim_keys::settings::{Bind, Clients};

use super::app_hooks::{self, AppHooks};
use super::binding_facts::protocol;
use super::connection::OpenedTicket;
use super::handle::{Evaluated, SslSession};
use crate::shim::shim;

/// `X509_V_FLAG_USE_CHECK_TIME`, `X509_V_FLAG_NO_CHECK_TIME` (<openssl/x509_vfy.h>): the verification does not go by the
/// clock.
const NOT_BY_THE_CLOCK: u32 = 0x2 | 0x20_0000;

/// The client of the session that a ticket is made of. `opened`: the ticket that this session was resumed by. `asked_late`:
/// the application asked for a certificate after libssl had looked at the ClientHello.
pub(super) fn of(
    ssl: Evaluated<'_>,
    session: SslSession<'_>,
    opened: Option<&OpenedTicket>,
    asked_late: bool,
) -> Client {
    let is_tls13 = i32::from(protocol(*ssl).version) == TLS1_3_VERSION;
    let certificate = session.has_peer() || ssl.has_peer_key();
    // An external pre-shared key of TLS 1.3 leaves a session that says nothing of it. And nothing is known of the policy under
    // which a client was let in whose session the server kept itself, and resumed by its id. (In TLS 1.2 the ticket that
    // opened is another session's here: what renews one carries its class along.)
    let not_by_ticket = ssl.is_resumed() && (if is_tls13 { opened.is_none() } else { certificate });
    let without_certificate =
        app_hooks::set_of(*ssl).has_any(AppHooks::NO_CERTIFICATE) || ssl.has_psk_identity() || ssl.has_srp_name();
    let was_isolated = opened.is_some_and(|opened| opened.client == Client::Isolated);
    if without_certificate || not_by_ticket || asked_late || was_isolated {
        return Client::Isolated;
    }
    if !certificate {
        return Client::Anonymous;
    }
    let settings = &shim().settings;
    let by_libssl_alone = || ssl.verify_result() == i64::from(X509_V_OK) && app_hooks::of(*ssl).is_none();
    if settings.clients == Clients::Shared || settings.bind == Bind::Strict && by_libssl_alone() {
        Client::Portable
    } else {
        Client::Isolated
    }
}

/// For how many seconds from now the certificates are valid that the client was let in with; `None` if that does not matter.
pub(super) fn valid_for(ssl: Evaluated<'_>) -> Option<u64> {
    let store = ssl.verify_store().map_or(0, |store| store.param().flags());
    let flags = (ssl.param().flags() | store) as u32;
    if flags & NOT_BY_THE_CLOCK != 0 { None } else { ssl.certificates_valid_for() }
}
