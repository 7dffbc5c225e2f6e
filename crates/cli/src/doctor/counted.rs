//! What a server has counted: whether its contexts use the core, and what came of it.

use std::collections::BTreeMap;

use serde_json::json;
use ticketshim_keys::counters::file::{ForkGroup, ProcessKeys};
use ticketshim_keys::counters::{Counter, REFUSALS};
use ticketshim_keys::state::{ChainId, Refusal};

use super::report::Report;
use crate::process::Process;
use crate::stats;

/// The application's ways to ticket keys of its own, and what they are counted by.
const DOORS: [(Counter, &str); 3] = [
    (Counter::DetachedEvpCallback, "SSL_CTX_set_tlsext_ticket_key_evp_cb"),
    (Counter::DetachedCallbackCtrl, "SSL_CTX_callback_ctrl (SSL_CTX_set_tlsext_ticket_key_cb)"),
    (
        Counter::DetachedRawKeys,
        "SSL_CTX_ctrl (raw keys: SSL_CTX_set_tlsext_ticket_keys, SSL_CTX_get_tlsext_ticket_keys)",
    ),
];

/// The numbers that a verdict needs.
pub struct Counted {
    /// Contexts that the core seals for.
    pub attached: u64,
    /// Contexts whose program brings its own keys.
    pub detached: u64,
    /// By which functions.
    pub doors: Vec<&'static str>,
    /// Tickets that the core has sealed.
    pub sealed: u64,
    /// The keys that its processes have.
    pub keys: Vec<ProcessKeys>,
    /// Why it does not use or write its state file.
    pub refusal: Option<Refusal>,
}

/// Shows what the process and those it came from have counted; `None` if they publish nothing.
pub fn show(report: &mut Report, process: &Process) -> Option<Counted> {
    let Some(file) = stats::of_process(process) else {
        report.note(
            "it publishes no counters, so whether its contexts use the library cannot be seen: `ticketshim run --stats \
                     FILE` would show it",
        );
        return None;
    };
    if file.is_removed {
        report.note("its stats file was removed, and it goes on in that: a reload or restart makes another one");
    }
    let published = match stats::read(&file.path) {
        Ok(published) => published,
        Err(why) => {
            report.note(why);
            return None;
        }
    };
    let fork_groups = groups_of(process, &published.fork_groups);
    if fork_groups.is_empty() {
        report.note(
            "it has a stats file, and is not in there: it has made no TLS context so far, or runs in a container, where \
             `ticketshim doctor` would have to run too",
        );
        return None;
    }
    let sum = |counter: Counter| fork_groups.iter().map(|group| group.counters[counter as usize]).sum::<u64>();
    let (attached, detached) = (sum(Counter::Attached), sum(Counter::Detached));
    let doors: Vec<_> =
        DOORS.into_iter().map(|(door, name)| (name, sum(door))).filter(|(_, count)| *count > 0).collect();
    let by: Vec<String> = doors.iter().map(|(name, count)| format!("{count} by {name}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(": {}", by.join(", ")) };
    report.fact_as(
        "contexts",
        format_args!("{attached} with the library's keys, {detached} with the program's own{by}"),
        &json!({ "attached": attached, "detached": detached, "doors": doors.iter().copied().collect::<BTreeMap<_, _>>() }),
    );
    let refused: u64 = REFUSALS.into_iter().map(sum).sum();
    let (sealed, opened) = (sum(Counter::Sealed), sum(Counter::Opened));
    let once = sum(Counter::SerialisedOnce);
    report.fact_as(
        "tickets",
        format_args!(
            "{sealed} sealed, {opened} opened, {refused} refused; {once} serialised once (`ticketshim stats {}`)",
            process.pid
        ),
        &json!({ "sealed": sealed, "opened": opened, "refused": refused, "serialised_once": once }),
    );
    // The server may have hidden its settings, and with them its state file.
    let keys: Vec<ProcessKeys> = fork_groups.iter().flat_map(|group| group.keys.iter().copied()).collect();
    let mut in_use: Vec<(u64, ChainId)> = keys.iter().map(|keys| (keys.generation, keys.chain)).collect();
    in_use.sort_by_key(|(generation, chain)| (*generation, chain.0));
    in_use.dedup();
    for (generation, chain) in in_use {
        let of: Vec<u32> =
            keys.iter().filter(|k| (k.generation, k.chain) == (generation, chain)).map(|k| k.process).collect();
        let origin = if generation == 0 { "its own".to_owned() } else { format!("generation {generation}") };
        report.fact_as(
            "keys in use",
            format_args!("{origin}, chain {chain}, of {}", of_processes(&of)),
            &json!({ "chain": chain.to_string(), "generation": generation, "processes": of }),
        );
    }
    if sum(Counter::Failures) > 0 {
        report.note(format_args!(
            "{} troubles of the library became full handshakes: please report it",
            sum(Counter::Failures)
        ));
    }
    let refusal = fork_groups.iter().find_map(|group| group.refusal);
    Some(Counted {
        attached,
        detached,
        doors: doors.into_iter().map(|(name, _)| name).collect(),
        sealed,
        keys,
        refusal,
    })
}

fn of_processes(processes: &[u32]) -> String {
    match processes {
        [one] => format!("process {one}"),
        [first, others @ ..] => format!("process {first} and {} more", others.len()),
        [] => "no process".to_owned(),
    }
}

/// The fork groups that the process may belong to.
fn groups_of<'a>(process: &Process, all: &'a [ForkGroup]) -> Vec<&'a ForkGroup> {
    let kin = process.kin();
    all.iter().filter(|group| stats::is_of(group, &kin)).collect()
}
