//! One ticket, from the key callback to the cipher's last byte, for whichever OpenSSL is behind us.
//!
//! The key callback decides under which keys and for which binding, and makes a [`TicketCipherJob`] of it. libssl then runs the
//! cipher that was given the job: one update with all bytes, one final. What happens in there is here, on slices; the
//! glue to the cipher interface of each OpenSSL is in `provider.rs` and `openssl_1_1_1.rs`.
//!
//! Failing is arranged so that the handshake goes on. libssl takes a failed *update* for fatal, so a job that cannot
//! be done still gives bytes there: sealing gives a ticket that nobody opens, opening fails in *final*, which is an
//! ordinary "cannot decrypt".
#![forbid(unsafe_code)]

use std::ffi::c_int;

use openssl_sys::{SSL_VERIFY_FAIL_IF_NO_PEER_CERT, SSL_VERIFY_PEER};
use ticketshim_core::Binding;
use ticketshim_core::binding::PolicyDigest;
use ticketshim_core::format::{FullHandshake, HEADER_LEN, KeyName, Refusal, Salt, TAG_LEN};
use ticketshim_core::session::{self, Session};
use ticketshim_keys::counters::{Counter, add, add_all};
use ticketshim_keys::settings::Bind;
use ticketshim_keys::store::{Epoch, Lookup};
use ticketshim_keys::{clock, log};
use zeroize::Zeroize;

use super::client_auth_policy;
use super::connection::OpenedTicket;
use super::ffi;
use super::guard::{guard, maybe_panic};
use super::handle::{CipherCall, CipherSsl, Evaluated, Hello, Parts, Ssl, SslSession};
use super::prediction::Prediction;
use super::serialise_once;
use super::servername::{self, Predicted};
use crate::shim::shim;

/// What the cipher is to do with the bytes that libssl will give it.
pub(crate) enum TicketCipherJob {
    Seal(SealJob),
    Open(OpenJob),
    /// Sealed: the tag is still to be given out.
    Sealed([u8; TAG_LEN]),
    /// Opened, or refused (`None`): still to be said.
    Opened(Option<OpenedTicket>, CipherSsl, bool),
    /// A ticket that nobody opens, all zeros and under no key, for where there must be one.
    Blank,
    /// Nothing left to do.
    Done,
}

/// A ticket to be made.
pub(crate) struct SealJob {
    pub(crate) key_name: KeyName,
    pub(crate) salt: Salt,
    binding: Binding,
    time: FullHandshake,
    epoch: Epoch<'static>,
}

/// A ticket that came in under a key that we have.
pub(crate) struct OpenJob {
    /// Whether a new ticket is to be sent with it.
    pub(crate) renew: bool,
    epoch: Epoch<'static>,
    salt: Salt,
    binding: Binding,
    policy: Option<PolicyDigest>,
    now: u64,
    tls13: bool,
    /// The connection that is told when the ticket has opened.
    ssl: CipherSsl,
}

/// Keys, salt and binding for a ticket that libssl is about to make. `None`: make none. `set_mac` is given the MAC key,
/// where it is: no key is ever copied into a job, which holds on to the ring that it is in.
pub(super) fn begin_seal(ssl: Evaluated<'_>, set_mac: impl FnOnce(&[u8; 32]) -> bool) -> Option<SealJob> {
    maybe_panic("seal");
    let now = clock::now();
    let parts = ssl.parts()?;
    let session = ssl.session();
    let resumed = ssl.is_resumed();
    let opened = parts.connection.opened.get().filter(|_| resumed);
    // The last full handshake was when the ticket said. Resumed by another way (a session cache, an external PSK), the
    // session itself knows since when. (On an SSL that was cleared and serves again, `opened` may be of the connection
    // before: then this is earlier than it need be.)
    let time = match opened {
        Some(opened) => opened.time,
        None => {
            let since = session.filter(|_| resumed).and_then(SslSession::time);
            FullHandshake::at(since.unwrap_or(now).min(now))
        }
    };
    // In TLS 1.2 libssl forgets the server name when it resumes, so the binding is the ticket's own: if it is the ticket
    // of this very session, and not of a connection before.
    let carried = opened.and_then(|opened| opened.session.map(|of| (of, opened.binding)));
    let is_this = |of: &[u8; 16]| session.and_then(|session| session.master_key(session::fingerprint)) == Some(*of);
    let binding = match carried.filter(|(of, _)| is_this(of)) {
        Some((_, binding)) => binding,
        None => sealing_binding(ssl, &parts)?,
    };
    let epoch = shim().store.read(now)?.into_sealing(now)?;
    if let Some(session) = session {
        check_lifetime(session, epoch.schedule().accept());
    }
    let salt = shim().store.salt()?;
    set_mac(epoch.mac()?).then_some(SealJob { key_name: epoch.name()?, salt, binding, time, epoch })
}

/// Keys for a ticket that came in. `None`: not ours, or nothing that may be opened; counted. `set_mac` as above.
pub(super) fn begin_open(
    hello: Hello<'_>,
    key_name: KeyName,
    salt: Salt,
    tls13: bool,
    set_mac: impl FnOnce(&[u8; 32]) -> bool,
) -> Option<OpenJob> {
    maybe_panic("open");
    let now = clock::now();
    let parts = hello.parts()?;
    let (epoch, newest) = match shim().store.read(now)?.into_found(&key_name, now) {
        Lookup::Epoch(epoch, newest) => (epoch, newest),
        Lookup::Refused(why) => return refuse(why),
    };
    let (binding, policy) = opening_binding(hello, &parts)?;
    if !set_mac(epoch.mac()?) {
        add(Counter::Failures);
        return None;
    }
    Some(OpenJob {
        // TLS 1.3: always, as libssl does by default, because a ticket that is used twice can be linked (RFC 8446
        // appendix C.4).
        renew: tls13 || !newest,
        epoch,
        salt,
        binding,
        policy,
        now,
        tls13,
        ssl: CipherSsl::from(*hello),
    })
}

/// Where a ticket that is made now may be used.
fn sealing_binding<'h>(ssl: Evaluated<'h>, parts: &Parts<'h>) -> Option<Binding> {
    let bind = shim().settings.bind;
    let policy = match bind {
        Bind::Strict | Bind::Context => {
            let now = client_auth_policy::of(*ssl)?;
            let asked = parts.connection.prediction(|prediction| prediction.asked(now));
            parts.connection.remember();
            // What the client was asked may be long ago, or only half of it.
            Some(if asked == now { now } else { PolicyDigest::between(&asked, &now) })
        }
        Bind::Sni | Bind::None => None,
    };
    parts.context.facts.binding(ssl, parts.first, policy.as_ref(), bind)
}

/// Where a ticket that comes in must have been sealed for. `None` if that is not known, or not yet; counted.
fn opening_binding<'h>(hello: Hello<'h>, parts: &Parts<'h>) -> Option<(Binding, Option<PolicyDigest>)> {
    let bind = shim().settings.bind;
    // After a HelloRetryRequest: what the first ClientHello led to.
    parts.connection.remember();
    parts.connection.prediction(|prediction| *prediction = Prediction::None);
    let policy = match bind {
        Bind::Strict | Bind::Context => match servername::predict(hello, parts) {
            Some(Predicted::Policy(policy)) => Some(policy),
            Some(Predicted::Unknown) => {
                add(Counter::RefusedPolicy);
                return None;
            }
            None => return refuse(Refusal::Binding),
        },
        Bind::Sni | Bind::None => None,
    };
    let binding = parts.context.facts.binding(hello, parts.first, policy.as_ref(), bind);
    binding.map(|binding| (binding, policy)).or_else(|| refuse(Refusal::Binding))
}

/// Counts a refusal. `None`, for the caller to return.
fn refuse<T>(why: Refusal) -> Option<T> {
    add(match why {
        Refusal::UnknownKey => Counter::RefusedUnknownKey,
        Refusal::Expired => Counter::RefusedExpired,
        Refusal::BadMac => Counter::RefusedBadMac,
        Refusal::Binding => Counter::RefusedBinding,
        Refusal::TooOld => Counter::RefusedTooOld,
        Refusal::Malformed => Counter::RefusedMalformed,
    });
    None
}

impl TicketCipherJob {
    /// How many bytes [`TicketCipherJob::update`] wants for an input of `len`. `None` if there is nothing to do with it.
    pub(crate) fn room(&self, len: usize) -> Option<usize> {
        match self {
            Self::Seal(_) | Self::Blank => len.checked_add(HEADER_LEN),
            Self::Open(_) => Some(len),
            Self::Sealed(_) | Self::Opened(..) | Self::Done => None,
        }
    }

    /// libssl's one update. `out` has the [room](TicketCipherJob::room) and holds the input at its start, `len` bytes; gives how
    /// many bytes of output there are. `None` only for a call that libssl never makes: fatal to the handshake.
    pub(super) fn update(&mut self, out: &mut [u8], len: usize, call: &CipherCall<'_>) -> Option<usize> {
        match std::mem::replace(self, Self::Done) {
            Self::Seal(job) => {
                let body = out.get_mut(..len.checked_add(HEADER_LEN)?)?;
                let tag = guard(None, || job.seal(body));
                if tag.is_none() {
                    add(Counter::Failures);
                    // A ticket that nobody opens: the session must not go out in clear.
                    body.fill(0);
                }
                *self = Self::Sealed(tag.unwrap_or_default());
                Some(len + HEADER_LEN)
            }
            Self::Open(job) => {
                let bytes = out.get_mut(..len)?;
                let ssl = job.ssl;
                let renew = job.renew;
                let opened = guard(None, || job.open(bytes, ssl.get(call)));
                let written = match opened {
                    Some(_) => len - HEADER_LEN - TAG_LEN,
                    None => {
                        bytes.zeroize();
                        // One byte at least: libssl takes none for an error, and an error here for fatal.
                        len.min(1)
                    }
                };
                *self = Self::Opened(opened, ssl, renew);
                Some(written)
            }
            Self::Blank => {
                out.get_mut(..len.checked_add(HEADER_LEN)?)?.fill(0);
                *self = Self::Blank;
                Some(len + HEADER_LEN)
            }
            Self::Sealed(_) | Self::Opened(..) | Self::Done => None,
        }
    }

    /// libssl's final: the tag when sealing, nothing when opening; `None` if this ticket is not to be used.
    pub(super) fn finish(&mut self, call: &CipherCall<'_>) -> Option<Option<[u8; TAG_LEN]>> {
        match std::mem::replace(self, Self::Done) {
            Self::Sealed(tag) => {
                guard((), || maybe_panic("seal-final"));
                add_all(serialise_once::sealed());
                Some(Some(tag))
            }
            Self::Opened(opened, ssl, renew) => {
                let opened = opened?;
                guard(None, || {
                    maybe_panic("open-final");
                    let connection = ssl.get(call).connection()?;
                    connection.prediction(|prediction| prediction.ticket_opened(opened.policy));
                    connection.opened.set(Some(opened));
                    Some(())
                })?;
                add_all(if renew { &[Counter::Opened, Counter::Renewed] } else { &[Counter::Opened] });
                Some(None)
            }
            Self::Blank => Some(Some([0; TAG_LEN])),
            Self::Seal(_) | Self::Open(_) | Self::Done => None,
        }
    }

    /// libssl lets go of the cipher. A ticket that was to be opened and never came to the cipher had a wrong MAC.
    pub(crate) fn end(self) {
        if matches!(self, Self::Open(_)) {
            refuse::<()>(Refusal::BadMac);
        }
    }
}

impl SealJob {
    /// `body` holds the session's DER at its start and has room for the header.
    fn seal(&self, body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let der = body.len().checked_sub(HEADER_LEN)?;
        body.copy_within(..der, HEADER_LEN);
        body.get_mut(..HEADER_LEN)?.copy_from_slice(&self.time.to_bytes());
        maybe_panic("seal-update");
        self.epoch.seal(&self.salt, &self.binding, body)
    }
}

impl OpenJob {
    /// `bytes` holds the sealed body and the tag; after success the session's DER at its start.
    fn open(&self, bytes: &mut [u8], ssl: Ssl<'_>) -> Option<OpenedTicket> {
        maybe_panic("open-update");
        let Some((body, tag)) = bytes.split_last_chunk_mut::<TAG_LEN>() else { return refuse(Refusal::Malformed) };
        if let Err(why) = self.epoch.open(&self.salt, &self.binding, body, tag) {
            return refuse(why);
        }
        let Some(header) = body.first_chunk::<HEADER_LEN>() else { return refuse(Refusal::Malformed) };
        let time = FullHandshake::from_bytes(*header);
        if u64::from(time.age(self.now)) > shim().settings.max_age {
            return refuse(Refusal::TooOld);
        }
        body.copy_within(HEADER_LEN.., 0);
        let der = body.len() - HEADER_LEN;
        let Some(session) = Session::parse(body.get(..der)?) else { return refuse(Refusal::Malformed) };
        if would_abort(ssl, &session) {
            add(Counter::RefusedNoSidCtx);
            return None;
        }
        if self.lacks_client(ssl, &session) {
            return refuse(Refusal::Binding);
        }
        let of = (!self.tls13).then(|| session::fingerprint(session.master_key));
        Some(OpenedTicket { time, binding: self.binding, session: of, policy: self.policy })
    }

    /// Whether the connection demands a certificate of the client, and the session has none: made where none was asked
    /// for. The binding shows that for what is set in the context; this, for what is set on the connection itself.
    fn lacks_client(&self, ssl: Ssl<'_>, session: &Session<'_>) -> bool {
        const DEMANDS: c_int = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        let mode = ssl.verify_mode();
        // With TLS 1.3 a server may put the question off until after the handshake.
        let later = self.tls13 && mode & ffi::SSL_VERIFY_POST_HANDSHAKE != 0;
        let known = || [session::tag::PEER, session::tag::PEER_RPK].into_iter().any(|tag| session.field(tag).is_some());
        mode & DEMANDS == DEMANDS && !later && !known()
    }
}

/// Whether libssl would end the handshake over this session: it has no session id context, and the connection
/// verifies its peer ("session id context uninitialized", ssl_get_prev_session). Without us the server never sees
/// such a session, because its key died with the process.
fn would_abort(ssl: Ssl<'_>, session: &Session<'_>) -> bool {
    let verifies = ssl.verify_mode() & SSL_VERIFY_PEER != 0;
    verifies && session.octets(session::tag::SESSION_ID_CONTEXT).is_none_or(<[u8]>::is_empty)
}

/// Says once if clients are promised tickets for longer than their keys will open them.
fn check_lifetime(session: SslSession<'_>, accept: u64) {
    let timeout = session.timeout();
    if u64::try_from(timeout).is_ok_and(|timeout| timeout > accept) && log::SESSION_TIMEOUT.first() {
        log::warn(format_args!(
            "the server's session timeout ({timeout} s) is longer than its ticket keys are accepted ({accept} s): \
                 raise TICKETSHIM_ACCEPT or lower the timeout (SSL_CTX_set_timeout, nginx: ssl_session_timeout)"
        ));
    }
}
