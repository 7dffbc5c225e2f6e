//! The one list of counters. What each is called everywhere else comes from here: the [`Counter`], its metric and help,
//! its member of `ticketshim_stats` in the C header, and its paragraph in `ticketshim_get_stats(3ticketshim)`.
//!
//! To add one, add a line at the **end** of the list: the order is that of the stats file, which processes of several
//! releases may share, and that of the C structure.

/// How a counter behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows.
    Total,
    /// It only grows: tickets that were not accepted, for one reason.
    Refusal,
    /// It is what is just now, in a process, and can go down.
    Gauge,
}

/// What there is to say about a counter.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// How it behaves.
    pub kind: Kind,
    /// Its name for people, in JSON, and as a member of `ticketshim_stats`.
    pub name: &'static str,
    /// Its family of metrics.
    pub family: &'static str,
    /// What tells it from the others of its family: the label's name and value.
    pub label: Option<(&'static str, &'static str)>,
    /// Whether `ticketshim_stats` has it.
    pub in_c: bool,
    /// What it counts, in one or more sentences.
    pub text: &'static str,
}

impl Info {
    /// The help of its family of metrics: its own text, unless the family has several counters.
    pub fn help(&self) -> &'static str {
        SHARED_HELP.iter().find(|(family, _)| *family == self.family).map_or(self.text, |(_, help)| help)
    }
}

/// The help of the families of metrics that have several counters.
const SHARED_HELP: [(&str, &str); 3] = [
    ("ticketshim_contexts", "TLS contexts, by whose ticket keys they use."),
    (
        "ticketshim_contexts_detached",
        "TLS contexts with ticket keys of the application, by the function that set these; some by several.",
    ),
    ("ticketshim_refused_total", "Tickets that were not accepted; each was an ordinary full handshake."),
];

macro_rules! counters {
    ($($kind:ident $counter:ident: $name:literal, $family:literal $([$label:ident = $value:literal])? $(, $c:ident)? =
        $text:literal;)*) => {
        /// What is counted. `table.rs` has the list.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter {
            $(#[doc = $text] $counter,)*
        }

        /// All counters, in the order of [`Counter`].
        pub const ALL: [Counter; COUNT] = [$(Counter::$counter),*];

        /// How many there are.
        pub const COUNT: usize = [$(Kind::$kind),*].len();

        /// About each counter, in the order of [`Counter`].
        pub const INFO: [Info; COUNT] = [$(Info {
            kind: Kind::$kind,
            name: $name,
            family: $family,
            label: counters!(@label $($label = $value)?),
            in_c: counters!(@in_c $($c)?),
            text: $text,
        }),*];
    };
    (@label) => { None };
    (@label $label:ident = $value:literal) => { Some((stringify!($label), $value)) };
    (@in_c) => { false };
    (@in_c c) => { true };
}

counters! {
    Gauge Attached: "attached", "ticketshim_contexts"[keys = "ticketshim"], c =
        "SSL_CTX whose tickets the library seals, just now.";
    Gauge Detached: "detached", "ticketshim_contexts"[keys = "application"], c =
        "SSL_CTX whose application brings ticket keys of its own, just now.";
    Total Sealed: "sealed", "ticketshim_sealed_total", c =
        "Tickets sealed.";
    Total Opened: "opened", "ticketshim_opened_total", c =
        "Tickets opened: connections resumed.";
    Total Renewed: "renewed", "ticketshim_renewed_total", c =
        "Tickets opened for which a new one was due (TLS 1.3: all; TLS 1.2: those under an older key).";
    Refusal RefusedUnknownKey: "refused_unknown_key", "ticketshim_refused_total"[reason = "unknown_key"], c =
        "Refused: the key was never known here (another server's ticket, or libssl's own).";
    Refusal RefusedExpired: "refused_expired", "ticketshim_refused_total"[reason = "expired"], c =
        "Refused: the key has left the accept window.";
    Refusal RefusedBadMac: "refused_bad_mac", "ticketshim_refused_total"[reason = "bad_mac"], c =
        "Refused: altered, or made up.";
    Refusal RefusedBinding: "refused_binding", "ticketshim_refused_total"[reason = "binding"], c =
        "Refused: sealed here for another server name, context, client certificate policy or protocol version.";
    Refusal RefusedTooOld: "refused_too_old", "ticketshim_refused_total"[reason = "too_old"], c =
        "Refused: the last full handshake is too long ago.";
    Refusal RefusedMalformed: "refused_malformed", "ticketshim_refused_total"[reason = "malformed"], c =
        "Refused: authentic, and holds no session.";
    Refusal RefusedNoSidCtx: "refused_no_sid_ctx", "ticketshim_refused_total"[reason = "no_session_id_context"], c =
        "Refused: libssl would end the handshake, because the server asks for client certificates and has no session id \
         context (SSL_CTX_set_session_id_context).";
    Total Failures: "failures", "ticketshim_failures_total", c =
        "Troubles of the library's own, such as no memory. Each became a full handshake, or a connection without a ticket.";
    Total Epochs: "epochs", "ticketshim_epochs_total" =
        "Times that keys were rotated, in each process.";
    Total Reloads: "reloads", "ticketshim_state_reloads_total" =
        "Times that a replaced state file was taken up.";
    Total StateRefusals: "state_refusals", "ticketshim_state_refusals_total" =
        "Times that a state file was refused.";
    Gauge DetachedEvpCallback: "detached_evp_callback",
        "ticketshim_contexts_detached"[door = "SSL_CTX_set_tlsext_ticket_key_evp_cb"] =
        "Of the detached contexts, those with a callback from SSL_CTX_set_tlsext_ticket_key_evp_cb.";
    Gauge DetachedCallbackCtrl: "detached_callback_ctrl",
        "ticketshim_contexts_detached"[door = "SSL_CTX_callback_ctrl"] =
        "Of the detached contexts, those with a callback from SSL_CTX_callback_ctrl (SSL_CTX_set_tlsext_ticket_key_cb).";
    Gauge DetachedRawKeys: "detached_raw_keys", "ticketshim_contexts_detached"[door = "SSL_CTX_ctrl"] =
        "Of the detached contexts, those whose raw keys were read or written by SSL_CTX_ctrl.";
    Refusal RefusedPolicy: "refused_policy", "ticketshim_refused_total"[reason = "policy_unknown"], c =
        "Refused: which client certificates this server name demands is not known yet (the first connection to a name, if \
         the server has several SSL_CTX and asks for client certificates somewhere).";
    Total Ended: "ended", "ticketshim_ended_total", c =
        "Handshakes that were ended: a ticket had opened, and then the server's callbacks demanded other client \
         certificates for that name than before.";
    Total SerialisedOnce: "serialised_once", "ticketshim_serialised_once_total", c =
        "Of the sealed tickets, those whose session was serialised once instead of five times (where the calls that libssl \
         makes of its own functions can be seen).";
    Refusal RefusedClientExpired: "refused_client_expired", "ticketshim_refused_total"[reason = "client_expired"], c =
        "Refused: a certificate that the client was let in with has expired since.";
    Total EarlyDataDeclined: "early_data_declined", "ticketshim_early_data_declined_total", c =
        "Connections that resumed and whose early data (0-RTT) was declined by TICKETSHIM_EARLY_DATA: the ticket came from \
         elsewhere, or its early data had come before.";
}

/// Those that can go down.
pub const GAUGES: [Counter; count_of(Kind::Gauge)] = all_of(Kind::Gauge);
/// Those that count tickets that were not accepted.
pub const REFUSALS: [Counter; count_of(Kind::Refusal)] = all_of(Kind::Refusal);

impl Counter {
    /// What there is to say about it.
    pub const fn info(self) -> &'static Info {
        &INFO[self as usize]
    }

    /// Whether it can go down.
    pub const fn is_gauge(self) -> bool {
        matches!(self.info().kind, Kind::Gauge)
    }

    pub(super) const fn is_refusal(self) -> bool {
        matches!(self.info().kind, Kind::Refusal)
    }
}

const fn count_of(kind: Kind) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < COUNT {
        count += (INFO[at].kind as u8 == kind as u8) as usize;
        at += 1;
    }
    count
}

const fn all_of<const N: usize>(kind: Kind) -> [Counter; N] {
    let (mut found, mut count, mut at) = ([ALL[0]; N], 0, 0);
    while at < COUNT {
        if INFO[at].kind as u8 == kind as u8 {
            found[count] = ALL[at];
            count += 1;
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_those_of_the_counters_and_metrics_are_told_apart() {
        let mut series = HashSet::new();
        for counter in ALL {
            let info = counter.info();
            assert_eq!(info.name.replace('_', ""), format!("{counter:?}").to_lowercase());
            assert!(series.insert((info.family, info.label)), "{counter:?}: another counter has this metric");
            assert_eq!(info.family.ends_with("_total"), !counter.is_gauge(), "{counter:?}: OpenMetrics' suffix");
            assert!(info.text.ends_with('.'), "{counter:?}: a sentence");
            let shared = ALL.iter().filter(|other| other.info().family == info.family).count() > 1;
            assert_eq!(shared, info.label.is_some(), "{counter:?}: a label is for a family of several");
            assert_eq!(shared, info.help() != info.text, "{counter:?}: SHARED_HELP is for a family of several");
            assert_eq!(counter.is_refusal(), info.name.starts_with("refused_"), "{counter:?}");
            assert!(!counter.is_refusal() || info.in_c, "{counter:?}: C programs get every reason");
        }
    }

    /// The stats file and the C structure are read by other releases: what has a place keeps it.
    #[test]
    fn the_order_of_what_was_released_stays() {
        let names = INFO.map(|info| info.name);
        let first = [
            "attached",
            "detached",
            "sealed",
            "opened",
            "renewed",
            "refused_unknown_key",
            "refused_expired",
            "refused_bad_mac",
            "refused_binding",
            "refused_too_old",
            "refused_malformed",
            "refused_no_sid_ctx",
            "failures",
            "epochs",
            "reloads",
            "state_refusals",
            "detached_evp_callback",
            "detached_callback_ctrl",
            "detached_raw_keys",
            "refused_policy",
            "ended",
            "serialised_once",
        ];
        assert_eq!(names[..first.len()], first);
    }
}
