//! What a server has counted: whether its contexts use the core, and what came of it.

use std::path::Path;

use ticketshim_keys::counters::Counter;
use ticketshim_keys::counters::file::Family;

use super::report::Report;
use crate::process::{self, Process};
use crate::stats;

/// A daemon moves to the background in so many seconds.
const AT_ONCE: u64 = 3;

/// The numbers that a verdict needs.
pub struct Counted {
    /// Contexts that the core seals for.
    pub attached: u64,
    /// Contexts whose program brings its own keys.
    pub detached: u64,
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
    let published = match stats::read(&file) {
        Ok(published) => published,
        Err(why) => {
            report.note(why);
            return None;
        }
    };
    let families = families_of(process, &published.families);
    let sum = |counter: Counter| families.iter().map(|family| family.counters[counter as usize]).sum::<u64>();
    let (attached, detached) = (sum(Counter::Attached), sum(Counter::Detached));
    report.fact("contexts", format_args!("{attached} with the library's keys, {detached} with the program's own"));
    let refused: u64 = (Counter::RefusedUnknownKey as usize..=Counter::RefusedNoSidCtx as usize)
        .map(|at| families.iter().map(|family| family.counters[at]).sum::<u64>())
        .sum();
    let (sealed, opened) = (sum(Counter::Sealed), sum(Counter::Opened));
    report.fact(
        "tickets",
        format_args!("{sealed} sealed, {opened} opened, {refused} refused (`ticketshim stats {}`)", process.pid),
    );
    for refusal in families.iter().filter_map(|family| family.refusal) {
        report.note(format_args!(
            "it does not use or write its state file: {}",
            refusal.text(Path::new("the state file"))
        ));
    }
    if sum(Counter::Failures) > 0 {
        report.note(format_args!(
            "{} troubles of the library became full handshakes: please report it",
            sum(Counter::Failures)
        ));
    }
    Some(Counted { attached, detached })
}

/// The families that the process may belong to.
fn families_of<'a>(process: &Process, all: &'a [Family]) -> Vec<&'a Family> {
    let kin = kin(process);
    let by_number: Vec<_> =
        all.iter().filter(|family| kin.contains(&family.founder) || kin.contains(&family.writer)).collect();
    if !by_number.is_empty() {
        return by_number;
    }
    // A daemon's first process has ended, and until it counts something nobody else stands in the row: its times do.
    let starts: Vec<u64> = [Some(process.started), Process::read(process.parent).ok().map(|parent| parent.started)]
        .into_iter()
        .flatten()
        .collect();
    all.iter()
        .filter(|family| !family.lives && starts.iter().any(|start| start.abs_diff(family.began) <= AT_ONCE))
        .collect()
}

/// The process, those that it came from, and those that came of it: one of them loaded the library.
fn kin(process: &Process) -> Vec<u32> {
    let mut all = process::descendants(process.pid);
    all.push(process.pid);
    let mut parent = process.parent;
    while parent > 1 {
        all.push(parent);
        parent = Process::read(parent).map_or(0, |process| process.parent);
    }
    all
}
