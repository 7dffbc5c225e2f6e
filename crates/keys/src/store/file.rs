//! The store and the state file: making it, following it, writing it.

use std::sync::atomic::Ordering::Relaxed;

use ticketshim_core::keyring::{Keyring, Relation};
use ticketshim_core::ring::{Leaving, Ring};

use super::{Keys, MINUTE, Store, YEAR};
use crate::clock::{self, Utc};
use crate::counters::{self, Counter, Report};
use crate::fork::generation;
use crate::log;
use crate::settings::Duration;
use crate::state::{self, Advanced, Reader, Refusal, State, Writer};
use crate::watch::{Fresh, Watch};

/// A state file that is behind by more seconds than this has nobody who advances it.
const LAG: u64 = 86_400;
/// Who writes the file for longer than so many seconds does not come to an end.
const STUCK: u64 = 5;

impl Store {
    pub(super) fn set_seed(&self, fresh: &Fresh) {
        let done = self.seed.replace(generation(), |seed| {
            seed.copy_from(&fresh.keyring);
            true
        });
        if done {
            self.from_file.store(true, Relaxed);
            if let Some(in_use) = fresh.keyring.sealing(clock::now()) {
                self.note_keys(in_use.id, &fresh.keyring);
            }
            if let Some(file) = &self.file {
                file.settle(fresh);
            }
        }
    }

    // Out of line, as what comes once a minute or once at all: a stack may be small, and frames that are inlined add up.
    #[cold]
    #[inline(never)]
    pub(super) fn create(&self, file: &Watch, now: u64, generation: u32) {
        if !self.to_create.load(Relaxed) || !self.once_a_minute(now) {
            return;
        }
        // A program that starts waits for nobody.
        let created = match self.seed.read(generation) {
            // What all that was forked from this process since it was loaded has too.
            Some(seed) => state::create_now(file.path(), &seed),
            // It came to tickets before it came to a file, and cannot go back: the look that follows takes these up.
            None => {
                State::random(self.settings.schedule(), now).and_then(|state| state::create_now(file.path(), &state.0))
            }
        };
        match created {
            Ok(()) => log::info(format_args!("made the state file {}", file.path().display())),
            // Another process was faster: its keys are taken up by the look that follows.
            Err(Refusal::Exists | Refusal::NotOurs(_)) => {}
            // Most likely it is being made now: the next look finds it, or tries again.
            Err(Refusal::Busy) if now.saturating_sub(self.busy_since(now)) < STUCK => {
                self.advanced.store(0, Relaxed);
                return;
            }
            Err(refusal) => return self.refuse(file, refusal),
        }
        self.to_create.store(false, Relaxed);
    }

    /// Makes the file, if it could not be made before because another process was writing.
    pub(super) fn create_after_all(&self, file: &Watch, now: u64, generation: u32) {
        if self.busy.load(Relaxed) != 0 {
            self.create(file, now, generation);
        }
    }

    /// When another process was first found writing.
    fn busy_since(&self, now: u64) -> u64 {
        match self.busy.compare_exchange(0, now.max(1), Relaxed, Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        }
    }

    /// Advances the file, if it is the one in force, and ours.
    #[cold]
    #[inline(never)]
    pub(super) fn advance(&self, file: &Watch, now: u64) {
        if !self.from_file.load(Relaxed) || !self.once_a_minute(now) {
            return;
        }
        let done = write_advanced(file, now);
        let was_far_ahead = matches!(self.status().refusal, Some(Refusal::FarAhead(_)));
        if done.is_ok() && was_far_ahead {
            self.no_refusal();
        }
        match done {
            Ok(Advanced::From(from, to)) => {
                log::info(format_args!("advanced the state file from epoch {from} to {to}"));
            }
            Ok(Advanced::Current) => {}
            Err(refusal @ Refusal::FarAhead(_)) => self.refuse(file, refusal),
            Err(Refusal::Busy) => {}
            Err(refusal) => self.report_lag(file, refusal, now),
        }
    }

    /// Reading the file is enough to serve. But if nobody writes it, what was erased everywhere else stays in there.
    fn report_lag(&self, file: &Watch, refusal: Refusal, now: u64) {
        let Ok(fresh) = file.read() else { return };
        let lag = fresh.keyring.sealing(now).map_or(0, |member| {
            let begins = |epoch| member.schedule.epoch.start_of(epoch);
            begins(member.oldest_at(now)).saturating_sub(begins(member.chain.epoch()))
        });
        if lag > LAG && self.said_lag.first() {
            let lag = Duration(lag);
            log::warn(format_args!(
                "nobody advances the state file, so it opens tickets that are {lag} too old; run `ticketshim state \
                 advance` from a timer. Not from here: {}",
                refusal.text(file.path())
            ));
        }
    }

    fn once_a_minute(&self, now: u64) -> bool {
        // Never 0, which is "not yet".
        let minute = now / MINUTE + 1;
        self.advanced.swap(minute, Relaxed) != minute
    }

    /// Looks at the file, and takes up what was not seen before.
    pub(super) fn follow(&self, file: &Watch, now: u64, generation: u32) {
        match file.look(now, generation) {
            Some(Ok(fresh)) => match self.take_up(&fresh, now, generation) {
                Some(Ok(())) => {
                    file.settle(&fresh);
                    self.no_refusal();
                }
                Some(Err(refusal)) => {
                    file.settle(&fresh);
                    self.refuse(file, refusal);
                }
                None => {}
            },
            // That it could not be made was said, and why.
            Some(Err(Refusal::Missing)) if self.to_create.load(Relaxed) => {}
            Some(Err(refusal)) => self.refuse(file, refusal),
            None => {}
        }
    }

    /// Puts the keyring of the file in force, if it is another one. `None` if it must be tried again.
    #[cold]
    #[inline(never)]
    fn take_up(&self, fresh: &Fresh, now: u64, generation: u32) -> Option<Result<(), Refusal>> {
        let _making = self.try_making(generation)?;
        let keyring = &*fresh.keyring;
        let was_from_file = self.from_file.load(Relaxed);
        if !self.has_ring(generation) {
            let relation = self.seed.read(generation).map(|seed| seed.relation(keyring));
            match (relation, was_from_file) {
                // The same chains may have been advanced on disk by a host whose clock is ahead: ours are as good.
                (Some(Relation::Same), _) => {
                    self.from_file.store(true, Relaxed);
                    if let Some(in_use) = keyring.sealing(now) {
                        self.note_keys(in_use.id, keyring);
                    }
                    return Some(Ok(()));
                }
                (Some(relation), true) => {
                    if let Err(refusal) = may_follow(relation, keyring, now) {
                        return Some(Err(refusal));
                    }
                    // What children have sealed under the one before, and still opens, is in it.
                    self.set_seed(fresh);
                    return Some(Ok(()));
                }
                (_, false) if !self.in_use.load(Relaxed) => {
                    self.set_seed(fresh);
                    return Some(Ok(()));
                }
                // Children may have sealed tickets under the process's own chain, which children to come must open.
                _ => self.start(now, generation),
            }
        }
        let old = self.keys.read(generation)?;
        let relation = old.ring.keyring().relation(keyring);
        if !was_from_file {
            if relation != Relation::Same {
                let replaced = |ring: &mut Ring| ring.change(&old.ring, keyring, Leaving::Open, now);
                self.replace_keys(generation, keyring, replaced)?;
            }
        } else if relation != Relation::Same {
            if let Err(refusal) = may_follow(relation, keyring, now) {
                return Some(Err(refusal));
            }
            // A chain that is not there any more was announced and taken back, or has ended. If none of ours is, they were
            // stolen.
            let stays = keyring.members().iter().any(|member| old.ring.keyring().position(member.id).is_some());
            let leaving = if stays { Leaving::Open } else { Leaving::Erased };
            self.replace_keys(generation, keyring, |ring| ring.change(&old.ring, keyring, leaving, now))?;
        }
        drop(old);
        self.keys.sweep(generation);
        self.from_file.store(true, Relaxed);
        self.publish_keys(generation);
        Some(Ok(()))
    }

    fn replace_keys(&self, generation: u32, keyring: &Keyring, fill: impl FnOnce(&mut Ring)) -> Option<()> {
        self.make(generation, fill).then_some(())?;
        counters::add(Counter::Reloads);
        let number = keyring.generation();
        match keyring.members().last() {
            Some(newest) if newest.sealing_from > clock::now() => log::info(format_args!(
                "the state file is of generation {number}: chain {} opens now, and is sealed under from {} on",
                newest.id,
                Utc(newest.sealing_from)
            )),
            Some(newest) => {
                log::info(format_args!("the state file is of generation {number}: chain {} is in use", newest.id))
            }
            None => {}
        }
        Some(())
    }

    fn no_refusal(&self) {
        self.refusal.store(0, Relaxed);
        counters::report(Report::Refusal(0));
    }

    #[cold]
    #[inline(never)]
    fn refuse(&self, file: &Watch, refusal: Refusal) {
        if self.from_file.load(Relaxed) && matches!(refusal, Refusal::Denied | Refusal::Missing | Refusal::Forbidden(_))
        {
            // A worker that has dropped its rights, or moved into a chroot: it has what it needs.
            log::info(format_args!("keys stay as they are: {}", refusal.text(file.path())));
            return;
        }
        if self.refusal.swap(refusal.to_word(), Relaxed) == refusal.to_word() {
            return;
        }
        counters::report(Report::Refusal(refusal.to_word()));
        counters::add(Counter::StateRefusals);
        let meanwhile = match refusal {
            Refusal::FarAhead(_) => "this process goes on by its clock",
            _ if self.from_file.load(Relaxed) => "the keys from before stay in force",
            _ => "meanwhile keys are this process's own and end with it",
        };
        log::warn(format_args!("state file refused: {} ({meanwhile})", refusal.text(file.path())));
    }

    /// The clock is behind all keys at hand. Either it is wrong now, and they stay; or it was far ahead when they were
    /// made, and the file, which follows no such clock, has the right ones.
    pub(super) fn fall_back(&self, old: &Keys, now: u64, generation: u32) {
        let back = Duration(old.from - now);
        if self.said_behind.first() {
            log::warn(format_args!("the clock is at least {back} behind the keys in force: set it"));
        }
        if old.from - now < YEAR {
            // Less than what is kept from the file: it may have gone along, and what was erased must not come back.
            return;
        }
        let Some(Ok(fresh)) = self.file.as_ref().map(Watch::read) else { return };
        let keyring = &*fresh.keyring;
        let reaches = keyring.members().iter().all(|member| member.ahead_of(now) == 0);
        if old.ring.keyring().relation(keyring) == Relation::Same
            && reaches
            && self.make(generation, |ring| ring.start(keyring, now))
        {
            self.said_behind.again();
            log::warn(format_args!("the clock went back by {back}: keys are those of the state file again"));
        }
    }
}

/// Whether a keyring that stands so to the one in force may take its place in a process that has keys of its state file.
fn may_follow(relation: Relation, keyring: &Keyring, now: u64) -> Result<(), Refusal> {
    let number = u32::try_from(keyring.generation()).unwrap_or(u32::MAX);
    match (relation, state::ahead(keyring, now)) {
        (Relation::Older, _) => Err(Refusal::Older(number)),
        (Relation::Conflict, _) => Err(Refusal::Conflict(number)),
        // A clock that has not been set has no say.
        (_, ahead) if ahead > 0 && state::is_plausible(now) => {
            Err(Refusal::AheadOfClock(u32::try_from(ahead).unwrap_or(u32::MAX)))
        }
        _ => Ok(()),
    }
}

/// In a frame of its own, which has gone when a line is written about it.
#[inline(never)]
fn write_advanced(file: &Watch, now: u64) -> Result<Advanced, Refusal> {
    // Looked at before anything is made in its directory: mostly there is nothing to do.
    if !state::advance_due(&file.read()?.keyring, now)? {
        return Ok(Advanced::Current);
    }
    // Who starts later, or `ticketshim state advance`, does it if somebody else is writing now.
    Writer::try_begin(file.path())
        .and_then(|writer| state::advance_with(&writer, file.path(), Reader::Server, now, false))
}
