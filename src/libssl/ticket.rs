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
use ticketshim_core::format::{Client, FullHandshake, Header, KeyName, MIN_HEADER_LEN, Origin, Refusal, Salt, TAG_LEN};
use ticketshim_core::session::{self, Session};
use ticketshim_keys::counters::{Counter, add, add_all};
use ticketshim_keys::settings::{Bind, Clients};
use ticketshim_keys::store::{Epoch, Lookup};
use ticketshim_keys::{clock, log};
use zeroize::Zeroize;

use super::app_hooks::{self, AppHooks};
use super::binding_facts::Reach;
use super::connection::OpenedTicket;
use super::early_data::EarlyTicket;
use super::ffi;
use super::guard::{guard, maybe_panic};
use super::handle::{CipherCall, CipherHello, Evaluated, Hello, Parts, Ssl, SslSession};
use super::late_demand;
use super::prediction::Prediction;
use super::serialise_once;
use super::servername::{self, Predicted};
use super::{cert_callback, client_auth_policy, client_identity, id_context};
use crate::shim::shim;

/// What the cipher is to do with the bytes that libssl will give it.
pub(crate) enum TicketCipherJob {
    Seal(SealJob),
    Open(OpenJob),
    /// Sealed: the tag is still to be given out.
    Sealed([u8; TAG_LEN]),
    /// Opened, or refused (`None`): still to be said.
    Opened(Option<OpenedTicket>, CipherHello, bool),
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
    header: Header,
    epoch: Epoch<'static>,
}

/// A ticket that came in under a key that we have.
pub(crate) struct OpenJob {
    /// Whether a new ticket is to be sent with it.
    pub(crate) renew: bool,
    epoch: Epoch<'static>,
    salt: Salt,
    /// What it is tried with first, and where it opens if that is right.
    binding: Binding,
    reach: Reach,
    /// It may be one that opens anywhere.
    may_be_any: bool,
    policy: Option<PolicyDigest>,
    now: u64,
    tls13: bool,
    /// The connection that is told when the ticket has opened.
    hello: CipherHello,
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
    let is_this = |of: [u8; 16]| session.and_then(|session| session.master_key(session::fingerprint)) == Some(of);
    let carried = opened.filter(|opened| opened.session.is_some_and(is_this));
    let (binding, header) = match carried {
        Some(OpenedTicket { binding, client, valid_for, .. }) => {
            (binding, Header { time, client, valid_for, origin: None })
        }
        None => new_ticket(ssl, &parts, opened.as_ref(), time, now)?,
    };
    let epoch = shim().store.read(now)?.into_sealing(now)?;
    if let Some(session) = session {
        check_lifetime(session, epoch.schedule().accept());
    }
    let salt = shim().store.salt()?;
    set_mac(epoch.mac()?).then_some(SealJob { key_name: epoch.name()?, salt, binding, header, epoch })
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
    let policy = predicted_policy(hello, &parts)?;
    let (reach, may_be_any) = likely_reach(hello, &parts, policy.as_ref());
    let bind = shim().settings.bind;
    let binding = parts.context.facts.binding(hello, parts.first, policy.as_ref(), reach, bind);
    let Some(binding) = binding else { return refuse(Refusal::Binding) };
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
        reach,
        may_be_any,
        policy,
        now,
        tls13,
        hello: CipherHello::from(hello),
    })
}

/// Where a ticket that is made now may be used, and its header.
fn new_ticket<'h>(
    ssl: Evaluated<'h>,
    parts: &Parts<'h>,
    opened: Option<&OpenedTicket>,
    time: FullHandshake,
    now: u64,
) -> Option<(Binding, Header)> {
    let bind = shim().settings.bind;
    let facts = &parts.context.facts;
    if bind == Bind::Stock {
        return Some((facts.binding(ssl, parts.first, None, Reach::Own, bind)?, Header::anonymous(time)));
    }
    let (mut policy, mut asked_late) = (None, false);
    if bind == Bind::Strict {
        let at_last = client_auth_policy::of(*ssl)?;
        // What the client was asked may be long ago, or only half of it.
        let asked = parts.connection.prediction(|prediction| prediction.asked(at_last));
        parts.connection.remember();
        // Once: what is asked after the handshake is not what the callback asked.
        if !ssl.is_resumed() && !parts.connection.noted.replace(true) {
            cert_callback::note(ssl, parts, &asked, &at_last);
        }
        asked_late = asked != at_last;
        policy = Some(asked);
    }
    let session = ssl.session()?;
    let client = client_identity::of(ssl, session, opened, asked_late);
    let valid_for = match (client, opened.and_then(|opened| opened.valid_for)) {
        (Client::Anonymous, _) => None,
        (_, Some(seconds)) => Some(seconds),
        (_, None) => client_identity::valid_for(ssl).map(|seconds| {
            // From the full handshake on, which is some time ago if a certificate was asked for after it.
            let since = u64::from(time.age(now)).saturating_add(seconds);
            u32::try_from(since).unwrap_or(u32::MAX)
        }),
    };
    let reach = if client == Client::Isolated { Reach::Own } else { Reach::Anywhere };
    let origin = (reach == Reach::Anywhere && session.allows_early_data()).then(|| Origin::of(&facts.id));
    let binding = facts.binding(ssl, parts.first, policy.as_ref(), reach, bind)?;
    Some((binding, Header { time, client, valid_for, origin }))
}

/// The policy that a ticket which comes in must have been sealed for: `Some(None)` where that is not bound. `None` if it is
/// not known, or not yet; counted.
fn predicted_policy(hello: Hello<'_>, parts: &Parts<'_>) -> Option<Option<PolicyDigest>> {
    // After a HelloRetryRequest: what the first ClientHello led to.
    parts.connection.remember();
    parts.connection.noted.set(false);
    parts.connection.cert_callback_is_known.set(false);
    parts.connection.prediction(|prediction| *prediction = Prediction::None);
    if shim().settings.bind != Bind::Strict {
        return Some(None);
    }
    match servername::predict(hello, parts) {
        Some(Predicted::Policy(policy)) => Some(Some(policy)),
        Some(Predicted::Unknown) => {
            add(Counter::RefusedPolicy);
            None
        }
        None => refuse(Refusal::Binding),
    }
}

/// Where a ticket that comes in is likely to open, and whether one may be opened here that opens anywhere: not if the client
/// is known here by something else than a certificate, or might be asked for one by a callback that libssl will not call.
fn likely_reach(hello: Hello<'_>, parts: &Parts<'_>, policy: Option<&PolicyDigest>) -> (Reach, bool) {
    if shim().settings.bind == Bind::Stock {
        return (Reach::Own, false);
    }
    let may_be_any = !app_hooks::set_of(*hello).has_any(AppHooks::NO_CERTIFICATE)
        && policy.is_none_or(|policy| !cert_callback::may_ask(hello, parts, policy));
    let asks = || hello.verify_mode() & SSL_VERIFY_PEER != 0;
    let isolates = || shim().settings.clients == Clients::Isolated && !app_hooks::of(*hello).is_none();
    match may_be_any && !(asks() && isolates()) {
        true => (Reach::Anywhere, may_be_any),
        false => (Reach::Own, may_be_any),
    }
}

/// Counts a refusal. `None`, for the caller to return.
fn refuse<T>(why: Refusal) -> Option<T> {
    add(match why {
        Refusal::UnknownKey => Counter::RefusedUnknownKey,
        Refusal::Expired => Counter::RefusedExpired,
        Refusal::BadMac => Counter::RefusedBadMac,
        Refusal::Binding => Counter::RefusedBinding,
        Refusal::TooOld => Counter::RefusedTooOld,
        Refusal::ClientExpired => Counter::RefusedClientExpired,
        Refusal::Malformed => Counter::RefusedMalformed,
    });
    None
}

impl TicketCipherJob {
    /// How many bytes [`TicketCipherJob::update`] wants for an input of `len`. `None` if there is nothing to do with it.
    pub(crate) fn room(&self, len: usize) -> Option<usize> {
        match self {
            Self::Seal(job) => len.checked_add(job.header.size()),
            Self::Blank => len.checked_add(MIN_HEADER_LEN),
            Self::Open(_) => Some(len),
            Self::Sealed(_) | Self::Opened(..) | Self::Done => None,
        }
    }

    /// libssl's one update. `out` has the [room](TicketCipherJob::room) and holds the input at its start, `len` bytes; gives how
    /// many bytes of output there are. `None` only for a call that libssl never makes: fatal to the handshake.
    pub(super) fn update(&mut self, out: &mut [u8], len: usize, call: &CipherCall<'_>) -> Option<usize> {
        match std::mem::replace(self, Self::Done) {
            Self::Seal(job) => {
                let header = job.header.size();
                let body = out.get_mut(..len.checked_add(header)?)?;
                let tag = guard(None, || job.seal(body));
                if tag.is_none() {
                    add(Counter::Failures);
                    // A ticket that nobody opens: the session must not go out in clear.
                    body.fill(0);
                }
                *self = Self::Sealed(tag.unwrap_or_default());
                Some(len + header)
            }
            Self::Open(job) => {
                let bytes = out.get_mut(..len)?;
                let (hello, renew) = (job.hello, job.renew);
                let opened = guard(None, || job.open(bytes, hello.get(call)));
                let written = match opened {
                    Some((_, der)) => der,
                    None => {
                        bytes.zeroize();
                        // One byte at least: libssl takes none for an error, and an error here for fatal.
                        len.min(1)
                    }
                };
                *self = Self::Opened(opened.map(|(opened, _)| opened), hello, renew);
                Some(written)
            }
            Self::Blank => {
                out.get_mut(..len.checked_add(MIN_HEADER_LEN)?)?.fill(0);
                *self = Self::Blank;
                Some(len + MIN_HEADER_LEN)
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
            Self::Opened(opened, hello, renew) => {
                let opened = opened?;
                guard(None, || {
                    maybe_panic("open-final");
                    let connection = hello.get(call).connection()?;
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
        let header = self.header.size();
        let der = body.len().checked_sub(header)?;
        body.copy_within(..der, header);
        self.header.write(body)?;
        maybe_panic("seal-update");
        self.epoch.seal(&self.salt, &self.binding, body)
    }
}

impl OpenJob {
    /// `bytes` holds the sealed body and the tag; after success the session's DER at its start, whose length it gives.
    fn open(&self, bytes: &mut [u8], hello: Hello<'_>) -> Option<(OpenedTicket, usize)> {
        maybe_panic("open-update");
        let Some((body, tag)) = bytes.split_last_chunk_mut::<TAG_LEN>() else { return refuse(Refusal::Malformed) };
        let (binding, reach) = match self.open_body(body, tag, hello) {
            Ok(opened) => opened,
            Err(why) => return refuse(why),
        };
        let Some((header, der)) = Header::read(body) else { return refuse(Refusal::Malformed) };
        if let Err(why) = header.check_age(self.now, shim().settings.max_age) {
            return refuse(why);
        }
        let len = der.len();
        body.copy_within(body.len() - len.., 0);
        let Some(session) = body.get(..len).and_then(Session::parse) else { return refuse(Refusal::Malformed) };
        if would_abort(*hello, &session) {
            add(Counter::RefusedNoSidCtx);
            return None;
        }
        if reach == Reach::Anywhere && !self.may_be_used(hello, &header, &session) {
            return refuse(Refusal::Binding);
        }
        let own = reach == Reach::Own;
        if !own && late_demand::is_known(hello, &binding) {
            return refuse(Refusal::Binding);
        }
        if self.tls13 && (own || header.origin.is_some()) {
            self.note_early_data(hello, header.origin, own, session.master_key);
        }
        let opened = OpenedTicket {
            time: header.time,
            client: header.client,
            valid_for: header.valid_for,
            binding,
            own,
            session: (!self.tls13).then(|| session::fingerprint(session.master_key)),
            policy: self.policy,
        };
        Some((opened, len))
    }

    /// For when libssl asks about early data that came with this ticket.
    #[cold]
    #[inline(never)]
    fn note_early_data(&self, hello: Hello<'_>, origin: Option<Origin>, own: bool, master_key: &[u8]) {
        let Some(parts) = hello.parts() else { return };
        let is_own = own || origin.is_some_and(|origin| parts.context.facts.is_origin(origin));
        let ticket =
            EarlyTicket { session: session::fingerprint(master_key), is_own, salt: self.salt, opened: self.now };
        parts.connection.early.set(Some(ticket));
    }

    /// Tries the likely binding, and then the other. Gives the one that fits, and where that opens.
    fn open_body(&self, body: &mut [u8], tag: &[u8; TAG_LEN], hello: Hello<'_>) -> Result<(Binding, Reach), Refusal> {
        match self.epoch.open(&self.salt, &self.binding, body, tag) {
            Ok(()) => return Ok((self.binding, self.reach)),
            Err(Refusal::Binding) => {}
            Err(why) => return Err(why),
        }
        // A wrong tag leaves the body as it was.
        let (binding, reach) = self.other_binding(hello).ok_or(Refusal::Binding)?;
        self.epoch.open(&self.salt, &binding, body, tag).map(|()| (binding, reach))
    }

    #[cold]
    #[inline(never)]
    fn other_binding(&self, hello: Hello<'_>) -> Option<(Binding, Reach)> {
        let reach = match self.reach {
            Reach::Anywhere => Reach::Own,
            Reach::Own if self.may_be_any => Reach::Anywhere,
            Reach::Own => return None,
        };
        let parts = hello.parts()?;
        let bind = shim().settings.bind;
        let binding = parts.context.facts.binding(hello, parts.first, self.policy.as_ref(), reach, bind)?;
        Some((binding, reach))
    }

    /// Whether a session that may be of another context or process is one that this connection could have.
    fn may_be_used(&self, hello: Hello<'_>, header: &Header, session: &Session<'_>) -> bool {
        const DEMANDS: c_int = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        let mode = hello.verify_mode();
        // With TLS 1.3 a server may put the question off until after the handshake.
        let later = self.tls13 && mode & ffi::SSL_VERIFY_POST_HANDSHAKE != 0;
        let known = || [session::tag::PEER, session::tag::PEER_RPK].into_iter().any(|tag| session.field(tag).is_some());
        if mode & DEMANDS == DEMANDS && !later && !known() {
            return false;
        }
        // A session of TLS 1.2 brings its cipher suite along.
        let suite = session.cipher.last_chunk::<2>();
        if !self.tls13 && !suite.is_some_and(|suite| hello.allows_cipher(*suite)) {
            return false;
        }
        header.client == Client::Anonymous
            || shim().settings.clients == Clients::Shared
            || app_hooks::of(*hello).is_none()
    }
}

/// Whether libssl would end the handshake over this session: it has no session id context, and the connection
/// verifies its peer ("session id context uninitialized", ssl_get_prev_session); or would, had we not given it one.
fn would_abort(ssl: Ssl<'_>, session: &Session<'_>) -> bool {
    let verifies = ssl.verify_mode() & SSL_VERIFY_PEER != 0;
    let has_none = || session.octets(session::tag::SESSION_ID_CONTEXT).is_none_or(<[u8]>::is_empty);
    verifies && (has_none() || id_context::is_void(ssl))
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
