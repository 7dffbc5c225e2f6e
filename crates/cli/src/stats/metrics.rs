//! What each counter is called, in the order of [`Counter`](ticketshim_keys::counters::Counter).

use ticketshim_keys::counters::COUNT;

/// One counter.
pub struct Metric {
    /// Its family, as Prometheus names it.
    pub family: &'static str,
    /// What tells it from the others of its family.
    pub label: Option<(&'static str, &'static str)>,
    /// For people, and for JSON.
    pub name: &'static str,
    /// What its family counts.
    pub help: &'static str,
    /// It can go down.
    pub is_gauge: bool,
}

const fn counter(name: &'static str, family: &'static str, help: &'static str) -> Metric {
    Metric { family, label: None, name, help, is_gauge: false }
}

const fn refused(name: &'static str, reason: &'static str) -> Metric {
    let help = "Tickets that were not accepted; each was an ordinary full handshake.";
    Metric { family: "ticketshim_refused_total", label: Some(("reason", reason)), name, help, is_gauge: false }
}

const fn contexts(name: &'static str, keys: &'static str) -> Metric {
    let help = "TLS contexts, by whose ticket keys they use.";
    Metric { family: "ticketshim_contexts", label: Some(("keys", keys)), name, help, is_gauge: true }
}

const fn door(name: &'static str, door: &'static str) -> Metric {
    let help =
        "Of the contexts with the application's ticket keys, those that got them by that function; some by several.";
    Metric { family: "ticketshim_contexts_detached", label: Some(("door", door)), name, help, is_gauge: true }
}

/// All of them.
pub const METRICS: [Metric; COUNT] = [
    contexts("attached", "ticketshim"),
    contexts("detached", "application"),
    counter("sealed", "ticketshim_sealed_total", "Tickets sealed."),
    counter("opened", "ticketshim_opened_total", "Tickets opened: connections resumed."),
    counter("renewed", "ticketshim_renewed_total", "Tickets opened for which a new one was due."),
    refused("refused_unknown_key", "unknown_key"),
    refused("refused_expired", "expired"),
    refused("refused_bad_mac", "bad_mac"),
    refused("refused_binding", "binding"),
    refused("refused_too_old", "too_old"),
    refused("refused_malformed", "malformed"),
    refused("refused_no_sid_ctx", "no_session_id_context"),
    counter("failures", "ticketshim_failures_total", "Troubles of the library that became a full handshake."),
    counter("epochs", "ticketshim_epochs_total", "Times that keys were rotated, in each process."),
    counter("reloads", "ticketshim_state_reloads_total", "Times that a replaced state file was taken up."),
    counter("state_refusals", "ticketshim_state_refusals_total", "Times that a state file was refused."),
    door("detached_evp_callback", "SSL_CTX_set_tlsext_ticket_key_evp_cb"),
    door("detached_callback_ctrl", "SSL_CTX_callback_ctrl"),
    door("detached_raw_keys", "SSL_CTX_ctrl"),
    refused("refused_policy", "policy_unknown"),
    counter("ended", "ticketshim_ended_total", "Handshakes that were ended because of a change of policy."),
];
