//! What is predicted of a connection, and what became of it: the client certificate policy, from the ticket that comes in
//! to the tickets that are made.
//!
//! libssl opens a ticket before it calls the servername callback, which may lead to another policy. So the ticket is opened
//! for the policy that the server name led to before (`sni_policy_cache`), and afterwards that is compared with the policy that it
//! is now.
#![forbid(unsafe_code)]

use openssl_sys::SSL_VERIFY_PEER;
use ticketshim_core::binding::PolicyDigest;
use ticketshim_keys::settings::Bind;

use super::client_auth_policy;
use super::handle::Ssl;
use crate::shim::shim;

/// The application is about to change whom a connection asks for what. Once libssl has looked at the ClientHello that comes
/// too late for the ticket that came with it, and the tickets to come are bound to what it was before.
///
/// Only what a connection itself says is looked at: destructors of ex_data may call this with an SSL whose parameters of the
/// verification, and more, are freed already. One that asked for certificates before is left as it is.
pub(crate) fn policy_changes(ssl: Ssl<'_>) {
    let asked_nobody = || ssl.verify_mode() & SSL_VERIFY_PEER == 0;
    if ssl.is_server() && !ssl.is_before_handshake() && !ssl.has_client_hello() && asked_nobody() {
        late_callback(ssl);
    }
}

/// The application is called when libssl has made up its mind about the ticket of a connection, and may then change whom
/// that asks for what.
pub(super) fn late_callback(ssl: Ssl<'_>) {
    if shim().settings.bind == Bind::Strict
        && let Some(connection) = ssl.connection()
        && let Some(policy) = client_auth_policy::of(ssl)
    {
        connection.prediction(|prediction| prediction.asked(policy));
    }
}

/// The name of an entry of the cache of what server names led to: a digest of `ticketshim_core::binding::Crossing`.
pub(super) type Key = [u8; 32];

/// How far a connection is with its policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Prediction {
    /// No ticket came in whose policy depends on the server name, or none yet.
    #[default]
    None,
    /// A ticket came in, and this entry was looked up for it.
    LookedUp(Key),
    /// A ticket was opened for this policy: by that entry, if one was looked up.
    Opened { policy: PolicyDigest, cache_key: Option<Key> },
    /// The policy that the client was asked under is known (if there was memory for it), and the entry that is to hold it.
    Asked { policy: Option<PolicyDigest>, key: Option<Key> },
}

/// What the servername callback made of a connection.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) resumed: bool,
    /// libssl shows the server name to the callback of a connection that is resumed, too.
    pub(super) shows_name: bool,
    /// The policy before the callback and after it; `None` if there was no memory.
    pub(super) before: Option<PolicyDigest>,
    pub(super) after: Option<PolicyDigest>,
    /// The entry that is to hold the policy.
    pub(super) key: Option<Key>,
}

impl Prediction {
    /// The ticket has opened, for this policy; `None` where policies are not bound.
    pub(super) fn ticket_opened(&mut self, policy: Option<PolicyDigest>) {
        let cache_key = match *self {
            Self::LookedUp(key) => Some(key),
            _ => None,
        };
        *self = policy.map_or(Self::None, |policy| Self::Opened { policy, cache_key });
    }

    /// The entry that was looked up, once.
    pub(super) fn take_cache_key(&mut self) -> Option<Key> {
        match self {
            Self::LookedUp(key) => {
                let key = *key;
                *self = Self::None;
                Some(key)
            }
            Self::Opened { cache_key, .. } => cache_key.take(),
            Self::None | Self::Asked { .. } => None,
        }
    }

    /// The servername callback has been called. False if the session was resumed for another policy than it has shown: then
    /// nothing can make a full handshake of it any more, and the connection has to end.
    pub(super) fn servername_done(&mut self, outcome: Outcome) -> bool {
        let Outcome { resumed, shows_name, before, after, key } = outcome;
        let predicted = match *self {
            Self::Opened { policy, .. } => Some(policy),
            _ => None,
        };
        *self = match (before, after) {
            // Whoever goes by the name will decide otherwise on a connection that does not show it: no entry can tell what.
            (Some(then), Some(now)) if !resumed && !shows_name && then != now => {
                Self::Asked { policy: Some(PolicyDigest::between(&then, &now)), key: None }
            }
            _ => Self::Asked { policy: after, key },
        };
        !resumed || predicted.is_none() || predicted == after
    }

    /// The policy that the client was asked under: `now`, unless it is known from earlier.
    pub(super) fn asked(&mut self, now: PolicyDigest) -> PolicyDigest {
        match *self {
            Self::Opened { policy, .. } | Self::Asked { policy: Some(policy), .. } => policy,
            Self::Asked { policy: None, key } => {
                *self = Self::Asked { policy: Some(now), key };
                now
            }
            Self::None | Self::LookedUp(_) => {
                *self = Self::Asked { policy: Some(now), key: None };
                now
            }
        }
    }

    /// What is to be remembered of it, once: an entry's name and policy.
    pub(super) fn take_learned(&mut self) -> Option<(Key, PolicyDigest)> {
        match self {
            Self::Asked { policy, key } => key.take().zip(*policy),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; 32];
    const A: PolicyDigest = PolicyDigest([1; 32]);
    const B: PolicyDigest = PolicyDigest([2; 32]);

    /// A full handshake whose name led from policy A to policy B.
    const FULL: Outcome = Outcome { resumed: false, shows_name: true, before: Some(A), after: Some(B), key: Some(KEY) };
    const RESUMED: Outcome = Outcome { resumed: true, ..FULL };

    #[test]
    fn a_full_handshake_teaches_what_the_name_led_to() {
        let mut prediction = Prediction::default();
        assert_eq!(prediction.take_cache_key(), None);
        assert!(prediction.servername_done(FULL));
        assert_eq!(prediction.asked(A), B, "the policy at the callback, not that of later");
        assert_eq!(prediction.take_learned(), Some((KEY, B)));
        assert_eq!(prediction.take_learned(), None, "once");
        assert_eq!(prediction.asked(A), B);
    }

    #[test]
    fn a_ticket_that_was_not_opened_teaches_too() {
        let mut prediction = Prediction::LookedUp(KEY);
        assert_eq!(prediction.take_learned(), None, "nothing is known yet");
        let key = prediction.take_cache_key();
        assert_eq!((key, prediction.take_cache_key()), (Some(KEY), None));
        assert!(prediction.servername_done(Outcome { key, ..FULL }));
        assert_eq!(prediction.take_learned(), Some((KEY, B)));
    }

    #[test]
    fn a_resumption_stays_if_the_name_led_where_it_was_predicted() {
        let mut prediction = Prediction::LookedUp(KEY);
        prediction.ticket_opened(Some(B));
        assert_eq!(prediction, Prediction::Opened { policy: B, cache_key: Some(KEY) });
        let key = prediction.take_cache_key();
        assert_eq!((key, prediction.take_cache_key()), (Some(KEY), None), "once");
        assert!(prediction.servername_done(Outcome { key, ..RESUMED }));
        assert_eq!(prediction.take_learned(), Some((KEY, B)));
    }

    #[test]
    fn a_resumption_ends_if_the_name_led_elsewhere_and_that_is_remembered() {
        for after in [Some(A), None] {
            let mut prediction = Prediction::LookedUp(KEY);
            prediction.ticket_opened(Some(B));
            let key = prediction.take_cache_key();
            assert!(!prediction.servername_done(Outcome { key, after, ..RESUMED }));
            assert_eq!(prediction.take_learned(), after.map(|after| (KEY, after)));
        }
    }

    #[test]
    fn a_ticket_that_opened_and_was_not_used_ends_nothing() {
        let mut prediction = Prediction::LookedUp(KEY);
        prediction.ticket_opened(Some(A));
        let key = prediction.take_cache_key();
        assert!(prediction.servername_done(Outcome { key, ..FULL }));
        assert_eq!(prediction.take_learned(), Some((KEY, B)));
    }

    #[test]
    fn a_session_that_no_ticket_brought_is_not_compared() {
        let mut prediction = Prediction::default();
        assert!(prediction.servername_done(RESUMED));
        prediction = Prediction::default();
        prediction.ticket_opened(None);
        assert_eq!(prediction, Prediction::None);
        assert!(prediction.servername_done(RESUMED));
    }

    #[test]
    fn a_name_that_is_not_shown_again_predicts_nothing() {
        let mut prediction = Prediction::default();
        assert!(prediction.servername_done(Outcome { shows_name: false, ..FULL }));
        assert_eq!(prediction.take_learned(), None);
        assert_eq!(prediction.asked(B), PolicyDigest::between(&A, &B), "fits neither");
        // But where it makes no difference, and where the session is resumed.
        prediction = Prediction::default();
        assert!(prediction.servername_done(Outcome { shows_name: false, after: Some(A), ..FULL }));
        assert_eq!(prediction.take_learned(), Some((KEY, A)));
        prediction = Prediction::default();
        assert!(prediction.servername_done(Outcome { shows_name: false, ..RESUMED }));
        assert_eq!(prediction.take_learned(), Some((KEY, B)));
    }

    #[test]
    fn without_a_servername_callback_it_is_the_policy_of_the_first_ticket() {
        let mut prediction = Prediction::default();
        assert_eq!(prediction.asked(A), A);
        assert_eq!(prediction.asked(B), A);
        assert_eq!(prediction.take_learned(), None);
        prediction = Prediction::default();
        prediction.ticket_opened(Some(A));
        assert_eq!(prediction.asked(B), A, "what the ticket was opened for");
    }

    #[test]
    fn without_memory_the_policy_is_that_of_the_first_ticket() {
        let mut prediction = Prediction::default();
        assert!(prediction.servername_done(Outcome { after: None, ..FULL }));
        assert_eq!(prediction.asked(A), A);
        assert_eq!(prediction.take_learned(), Some((KEY, A)));
    }
}
