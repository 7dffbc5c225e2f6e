//! Models: what takes no lock, in every order in which threads may run and see one another's writes (loom: the memory
//! model of C11, which that of arm64 is a case of). TAP.
//!
//!     models [--fast]     at most three switches of threads that nothing called for, instead of four or all
//!
//! The files of `crates/keys/src` and `src/libssl` are compiled as they are, with loom's atomics (`sync`, `cfg(loom)`). What processes
//! share is modelled by threads that share it. Fork is not modelled: what a child finds is in the unit tests.

#![expect(clippy::modulo_one, reason = "a table of one way each is large enough here")]
#![allow(dead_code, reason = "of the files that are compiled as they are, a part is used")]

#[path = "../../src/libssl/anchors.rs"]
mod anchors;
#[path = "../../crates/keys/src/barrier.rs"]
mod barrier;
#[path = "../../crates/keys/src/cell.rs"]
mod cell;
mod counters {
    pub(crate) mod models;
    #[path = "../../../crates/keys/src/counters/newest.rs"]
    pub(crate) mod newest;
    #[path = "../../../crates/keys/src/counters/tagged.rs"]
    pub(crate) mod tagged;
}
#[path = "../../crates/keys/src/lock.rs"]
mod lock;
mod names {
    pub(crate) mod models;
    #[path = "../../../crates/keys/src/names/table.rs"]
    pub(crate) mod table;
}
#[path = "../../crates/keys/src/once.rs"]
mod once;
#[path = "../../crates/keys/src/record.rs"]
mod record;
mod replay {
    pub(crate) mod models;
    #[path = "../../../crates/keys/src/replay/table.rs"]
    pub(crate) mod table;
}
#[path = "../../crates/keys/src/salt.rs"]
mod salt;
#[path = "../../crates/keys/src/seqlock.rs"]
mod seqlock;
#[path = "../../crates/keys/src/sync.rs"]
mod sync;

mod cells;
mod pairs;
mod stand_ins;
mod words;

pub(crate) use stand_ins::{fork, memory, random, sys};

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// One of them: what must hold, whether it is a control that must fail, how many switches at most in the long run, and
/// the program.
struct Model {
    holds: &'static str,
    fails: bool,
    switches: Option<usize>,
    program: fn(),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let fast = arguments.iter().any(|argument| argument == "--fast");
    let models: Vec<Model> = cells::all()
        .into_iter()
        .chain(pairs::all())
        .chain(words::all())
        .chain(names::models::all())
        .chain(counters::models::all())
        .chain(replay::models::all())
        .collect();
    if let Some(model) = arguments.first().and_then(|one| models.get(one.parse::<usize>().ok()?)) {
        return explore(model, fast);
    }
    let mut bad = 0;
    for (number, model) in models.iter().enumerate() {
        // Each in a process of its own: some that fail end it.
        let begun = Instant::now();
        let itself = std::env::current_exe().expect("this program has a path");
        let mut one = Command::new(itself);
        one.arg(number.to_string()).args(fast.then_some("--fast"));
        let gave = one.output().expect("it runs again");
        let ok = gave.status.success() != model.fails;
        let orders = String::from_utf8_lossy(&gave.stdout);
        let (orders, seconds) = (orders.trim(), begun.elapsed().as_secs_f32());
        println!("{} {} - {} ({orders} {seconds:.1} s)", if ok { "ok" } else { "not ok" }, number + 1, model.holds);
        if !ok {
            bad += 1;
            String::from_utf8_lossy(&gave.stderr).lines().for_each(|line| println!("#   {line}"));
        }
    }
    println!("1..{}", models.len());
    ExitCode::from(u8::from(bad > 0))
}

/// All orders of one.
fn explore(model: &Model, fast: bool) -> ExitCode {
    let tried = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = if fast { Some(3) } else { model.switches };
    builder.max_branches = 10_000;
    let (count, program) = (tried.clone(), model.program);
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        program();
    });
    let tried = tried.load(Relaxed);
    println!("{tried} orders,");
    // With one alone nothing was tried.
    ExitCode::from(u8::from(tried < 2))
}
