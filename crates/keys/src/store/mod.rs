//! The keys in force in this process.
//!
//! A [`Store`] starts with the *seed* of a chain: what the state file holds, or else 64 random bytes, drawn when the
//! library is loaded so that all that is forked from there on shares them. The first ticket makes a [`Ring`] of the
//! seed and erases it. From then on whoever comes first in a new epoch makes the next ring, while the others go on with
//! the one at hand.
//!
//! Nothing goes from a child to its parent, and nothing has to: rings that come from the same seed or file agree.

mod ciphers;
mod file;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ticketshim_core::format::Salt;
use ticketshim_core::ring::{Ring, Schedule};

use crate::barrier::Changing;
use crate::cell::{Blank, Cell};
use crate::counters::{self, Counter, Report};
use crate::fork::{self, generation};
use crate::lock::{Held, Lock};
use crate::memory;
use crate::settings::{self, Settings};
use crate::state::{self, ChainId, Keyring, Refusal};
use crate::watch::Watch;
use crate::{clock, log, salt, sys};
use ciphers::Ciphers;
pub use reading::{Epoch, Lookup, Reading};

/// How long the first ticket of a process waits for another thread that is making the first ring (which takes a
/// millisecond; under memcheck, with eight threads on one processor, more than a tenth of a second). Later ones never
/// wait.
const FIRST_RING: Duration = Duration::from_secs(1);
/// How often the file is written at most, and how often the clock is checked that was found to be behind.
const MINUTE: u64 = 60;
/// A clock that moves further than this at once is worth a line.
const YEAR: u64 = 366 * 86_400;

/// See the module.
pub struct Store {
    keys: Cell<Keys>,
    seed: Cell<Keyring>,
    /// Held by whoever makes a ring or changes the seed.
    making: Lock,
    /// The generation that last looked after its memory.
    settled: AtomicU32,
    file: Option<Watch>,
    settings: Settings,
    /// There was no file when the library was loaded, and nobody has made one yet.
    to_create: AtomicBool,
    /// When another process was writing and this one would have made the file; 0 if that never was.
    busy: AtomicU64,
    /// The keys at hand come from the file.
    from_file: AtomicBool,
    /// The program has shown that it serves.
    serves: AtomicBool,
    /// Contexts exist, so tickets may have been sealed from this seed by children.
    in_use: AtomicBool,
    /// The minute in which the file was last advanced, or tried to be.
    advanced: AtomicU64,
    /// The minute in which the clock was found to be behind the keys.
    behind: AtomicU64,
    /// The last refusal that is still true, as a word.
    refusal: AtomicU64,
    said_behind: log::Once,
    said_jump: log::Once,
    said_lag: log::Once,
}

/// A ring, and what is asked of it at each ticket.
struct Keys {
    ring: Ring,
    /// Unix seconds before which the clock is behind all of the ring.
    from: u64,
    /// Of the ring, when it was made.
    digest: [u8; 32],
    ciphers: Ciphers,
}

impl Blank for Keys {
    fn blank() -> &'static Self {
        static BLANK: Keys = Keys { ring: Ring::empty(), from: 0, digest: [0; 32], ciphers: Ciphers::empty() };
        &BLANK
    }
}

impl Blank for Keyring {
    fn blank() -> &'static Self {
        static BLANK: Keyring = Keyring::empty();
        &BLANK
    }
}

/// Where keys come from, for people and programs to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// The chain that tickets are sealed under; `None` if there are no keys.
    pub chain: Option<ChainId>,
    /// Of the state file whose keys are in force; 0 for a process's own.
    pub generation: u64,
    /// The epoch that the keys were last advanced to; `None` before the first ticket.
    pub epoch: Option<u64>,
    /// When keys change and how long they open.
    pub schedule: Schedule,
    /// Whether the keys come from the state file.
    pub from_file: bool,
    /// Why the state file is not used or not written, if it is not.
    pub refusal: Option<Refusal>,
    /// Whether the system did not let us lock keys in memory.
    pub may_be_swapped: bool,
}

impl Store {
    /// Called when the library is loaded, in every program that it is loaded into: cheap, silent, creates nothing.
    pub fn open(settings: &Settings) -> Self {
        let store = Self {
            keys: Cell::new(),
            seed: Cell::new(),
            making: Lock::new(),
            settled: AtomicU32::new(generation()),
            file: settings.state.as_deref().map(Watch::new),
            settings: settings.clone(),
            to_create: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            from_file: AtomicBool::new(false),
            serves: AtomicBool::new(false),
            in_use: AtomicBool::new(false),
            advanced: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            refusal: AtomicU64::new(0),
            said_behind: log::Once::new(),
            said_jump: log::Once::new(),
            said_lag: log::Once::new(),
        };
        // What its parent counted is void in a child. A daemon's first process ends now, so the child must be in the stats
        // file before it counts anything.
        fork::attend_to_forks(counters::attend_in_child);
        if let Some(stats) = &settings.stats {
            counters::publish_if_there(stats);
        }
        sys::as_a_guest(|| store.first_seed());
        store
    }

    /// The keys for a ticket at `now` (Unix seconds), rotated if it is time. None only if the system gave us no memory
    /// or no randomness.
    pub fn read(&self, now: u64) -> Option<Reading<'_>> {
        let generation = generation();
        match self.keys.read(generation) {
            Some(keys) if !self.needs_attention(&keys, now, generation) => Some(Reading(keys)),
            keys => {
                drop(keys);
                self.attend(now, generation)
            }
        }
    }

    /// Whether the program has shown that it serves ([`ensure_state`](Self::ensure_state), or a ticket).
    pub fn serves(&self) -> bool {
        self.serves.load(Relaxed)
    }

    /// Called when the program shows that it serves, and whenever it makes a TLS context after that: creates the state
    /// file if it is missing, advances it if it is ours to write, takes up one that was replaced; from here on troubles
    /// are told. Cheap if there is nothing to do.
    pub fn ensure_state(&self) {
        self.ensure_state_at(clock::now());
    }

    fn ensure_state_at(&self, now: u64) {
        self.serve(now);
        if let Some(file) = &self.file {
            sys::as_a_guest(|| self.advance(file, now));
        }
    }

    #[cold]
    #[inline(never)]
    fn serve(&self, now: u64) {
        self.serves.store(true, Relaxed);
        self.settings.report();
        if let Some(stats) = &self.settings.stats {
            counters::publish(stats);
        }
        let generation = generation();
        let first = !self.in_use.load(Relaxed);
        sys::as_a_guest(|| {
            if let Some(file) = &self.file {
                self.create(file, now, generation);
                // A reload: what is forked after it may not be able to read the file any more.
                file.hurry();
                self.follow(file, now, generation);
            }
            self.age(now, generation);
        });
        if first && !self.in_use.swap(true, Relaxed) {
            // Now, in case that a child makes its rings in a sandbox.
            self.keys.prepare(generation);
            self.introduce();
        }
    }

    /// A salt that no other thread, process or host was given. None if the system has no randomness for us.
    pub fn salt(&self) -> Option<Salt> {
        salt::next()
    }

    /// Where the keys come from.
    pub fn status(&self) -> Status {
        let generation = generation();
        let keys = self.keys.read(generation);
        let seed = self.seed.read(generation);
        let keyring = keys.as_ref().map(|keys| keys.ring.keyring()).or(seed.as_deref());
        let in_use = keyring.and_then(|keyring| keyring.sealing(clock::now()));
        let origin = match (&keys, in_use) {
            (Some(keys), _) => Some((keys.ring.chain(), keys.ring.schedule())),
            (None, in_use) => in_use.map(|member| (member.id, member.schedule)),
        };
        Status {
            chain: origin.map(|(id, _)| id),
            generation: keyring.filter(|_| self.from_file.load(Relaxed)).map_or(0, Keyring::generation),
            epoch: keys.as_ref().map(|keys| keys.ring.current_epoch()),
            schedule: origin.map_or(self.settings.schedule(), |(_, schedule)| schedule),
            from_file: self.from_file.load(Relaxed),
            refusal: Refusal::from_word(self.refusal.load(Relaxed)),
            may_be_swapped: memory::may_be_swapped(),
        }
    }

    fn needs_attention(&self, keys: &Keys, now: u64, generation: u32) -> bool {
        keys.ring.is_due(now)
            || now < keys.from && self.behind.load(Relaxed) != now / MINUTE
            || self.settled.load(Relaxed) != generation
            || self.file.as_ref().is_some_and(|file| file.is_due(now))
    }

    #[cold]
    fn attend(&self, now: u64, generation: u32) -> Option<Reading<'_>> {
        // Only servers have tickets to seal and open. (Whoever is in a sandbox by now has a file that was there.)
        if !self.serves() {
            self.serve(now);
        }
        sys::as_a_guest(|| {
            let started = Instant::now();
            // Only for the first ring is it worth to wait.
            while !self.maintain(now, generation) && !self.has_ring(generation) && started.elapsed() < FIRST_RING {
                std::thread::yield_now();
            }
            if let Some(file) = &self.file {
                self.create_after_all(file, now, generation);
                self.follow(file, now, generation);
            }
        });
        self.keys.read(generation).map(Reading)
    }

    fn has_ring(&self, generation: u32) -> bool {
        self.keys.read(generation).is_some()
    }

    /// Brings the ring up to `now`. False if that has to be left to another thread, which is at it or is forking.
    fn maintain(&self, now: u64, generation: u32) -> bool {
        let Some(_making) = self.try_making(generation) else { return false };
        if self.settled.swap(generation, Relaxed) != generation {
            self.settle(generation);
        }
        let Some(old) = self.keys.read(generation) else {
            self.start(now, generation);
            return true;
        };
        if now < old.from && self.behind.swap(now / MINUTE, Relaxed) != now / MINUTE {
            self.fall_back(&old, now, generation);
        } else if old.ring.is_due(now) {
            self.report_jump(&old, now);
            let (epoch, chain) = (old.ring.current_epoch(), old.ring.chain());
            if self.make(generation, |ring| ring.succeed(&old.ring, now)) {
                self.report_succession(epoch, chain, generation);
            }
        }
        drop(old);
        self.keys.sweep(generation);
        true
    }

    /// In a child that runs our code for the first time. With `making` held.
    fn settle(&self, generation: u32) {
        memory::may_have_lost_its_lock(generation);
        // Made by a bare clone(2) while another thread was changing the keys (see `fork`): better other keys than half.
        let keys_are_whole = self.keys.read(generation).is_some_and(|keys| keys.ring.digest() == keys.digest);
        let seed_is_whole = self.seed.read(generation).is_some_and(|seed| !seed.is_weak());
        if !keys_are_whole && !seed_is_whole {
            self.keys.clear(generation);
            self.first_seed();
        }
        self.keys.sweep(generation);
        self.seed.sweep(generation);
    }

    /// The right to make rings and seeds, unless another thread has it or is forking.
    fn try_making(&self, generation: u32) -> Option<(Held<'_>, Changing<'static>)> {
        Some((self.making.try_lock(generation)?, fork::changing(generation)?))
    }

    /// Makes the first ring, and erases the seed. With `making` held.
    fn start(&self, now: u64, generation: u32) {
        if self.seed.read(generation).is_none() {
            self.draw_seed(now);
        }
        let Some(seed) = self.seed.read(generation) else { return };
        if self.make(generation, |ring| ring.start(&seed, now)) {
            drop(seed);
            self.seed.clear(generation);
        }
    }

    /// With `making` held.
    fn make(&self, generation: u32, fill: impl FnOnce(&mut Ring)) -> bool {
        let made = self.keys.replace(generation, |keys| {
            fill(&mut keys.ring);
            let (current, schedule) = (keys.ring.current_epoch(), keys.ring.schedule());
            keys.from = schedule.epoch.start_of(schedule.oldest(current).saturating_sub(1));
            keys.digest = keys.ring.digest();
            true
        });
        if made {
            self.publish_keys(generation);
        }
        made
    }

    /// Tells the stats file which keys are in force.
    fn publish_keys(&self, generation: u32) {
        let Some(keys) = self.keys.read(generation) else { return };
        self.note_keys(keys.ring.chain(), keys.ring.keyring());
        counters::report(Report::Keys(keys.ring.chain(), keys.ring.current_epoch()));
    }

    /// The same, when something else is told next.
    fn note_keys(&self, chain: ChainId, keyring: &Keyring) {
        let of_file = self.from_file.load(Relaxed);
        counters::note_keys(chain, if of_file { keyring.generation() } else { 0 });
    }

    fn report_succession(&self, epoch: u64, chain: ChainId, generation: u32) {
        let Some(new) = self.keys.read(generation) else { return };
        if new.ring.chain() != chain {
            log::info(format_args!("the announced chain {} is in use", new.ring.chain()));
        } else if new.ring.current_epoch() != epoch {
            counters::add(Counter::Epochs);
        }
    }

    fn first_seed(&self) {
        let found = self.file.as_ref().map(|file| file.read());
        match found {
            Some(Ok(fresh)) => {
                self.set_seed(&fresh);
                return;
            }
            // Said when there is somebody to say it to, which is when the first context is made and looks again.
            Some(Err(refusal)) => self.to_create.store(refusal == Refusal::Missing, Relaxed),
            None => {}
        }
        self.draw_seed(clock::now());
    }

    fn draw_seed(&self, now: u64) {
        self.seed.replace(generation(), |seed| state::draw(seed, self.settings.schedule(), now));
    }

    /// Moves a seed that no ticket was made from here on to the oldest epoch that still opens: a process that only
    /// forks others must not keep what they have erased.
    fn age(&self, now: u64, generation: u32) {
        let Some(_making) = self.try_making(generation) else { return };
        let Some(old) = self.seed.read(generation) else { return };
        if old.members().iter().any(|member| member.oldest_at(now) > member.chain.epoch()) {
            self.seed.replace(generation, |seed| {
                seed.copy_from(&old);
                seed.drop_ended(now);
                for member in seed.members_mut() {
                    let oldest = member.oldest_at(now);
                    member.chain.advance_to(oldest);
                }
                true
            });
        }
        drop(old);
        self.seed.sweep(generation);
    }

    fn report_jump(&self, old: &Keys, now: u64) {
        let ahead = now.saturating_sub(old.ring.due());
        if ahead > YEAR && state::is_plausible(old.ring.due()) && self.said_jump.first() {
            log::warn(format_args!("the clock is {} days beyond the keys in force, which follow it", ahead / 86_400));
        }
    }

    /// The one line of a start, and what the operator should know.
    #[cold]
    #[inline(never)]
    fn introduce(&self) {
        let status = self.status();
        let times = |schedule: Schedule| {
            let (rotate, accept) = (schedule.epoch.seconds(), schedule.accept());
            (settings::Duration(rotate), settings::Duration(accept))
        };
        let (rotate, accept) = times(status.schedule);
        if status.from_file && self.settings.asks_for_times && status.schedule != self.settings.schedule() {
            let (asked, window) = times(self.settings.schedule());
            log::warn(format_args!(
                "the state file says that keys change every {rotate} and open for {accept}, the settings say {asked} and \
                 {window}: the file counts, on all hosts that have it"
            ));
        }
        if status.may_be_swapped {
            log::warn(format_args!(
                "the system does not let keys be locked in memory, so they may be swapped out: raise the limit \
                 (ulimit -l; systemd: LimitMEMLOCK=)"
            ));
        }
        match (&self.file, status.chain) {
            (_, None) => log::warn(format_args!("the system has no randomness or memory for keys: no tickets")),
            (Some(file), Some(id)) if status.from_file => log::info(format_args!(
                "keys from {}, chain {id}: they change every {rotate} and open for {accept}",
                file.path().display()
            )),
            (_, Some(id)) => log::info(format_args!(
                "keys of this process's own, chain {id}: they change every {rotate} and open for {accept}"
            )),
        }
    }
}
