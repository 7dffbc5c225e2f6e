//! A salt for each ticket, which no other thread, process or host was given (`ticketshim_core::salt` says why that
//! matters). Each thread of each process draws an instance of its own.

use std::cell::RefCell;

use ticketshim_core::format::Salt;
use ticketshim_core::salt::{INSTANCE_LEN, Salts};

use crate::fork::generation;
use crate::{random, sys};

/// The next salt of this thread; None if the system has no randomness for us.
pub(crate) fn next() -> Option<Salt> {
    // No value: the thread is at its end. No borrow: a signal handler came in here from here. Both go without a ticket.
    MINE.try_with(|mine| mine.try_borrow_mut().ok()?.next()).ok()?
}

thread_local! {
    // Constant and without a destructor: nothing to set up, and nothing that would pin the library when it is unloaded.
    static MINE: RefCell<Mine> = const { RefCell::new(Mine { generation: 0, salts: None }) };
}

/// The salts of one thread, and the generation in which they were drawn: a child has its parent's copy of this, and
/// must not go on with it.
struct Mine {
    generation: u32,
    salts: Option<Salts>,
}

impl Mine {
    fn next(&mut self) -> Option<Salt> {
        let generation = generation();
        if self.generation != generation {
            *self = Self { generation, salts: None };
        }
        if let Some(salt) = self.salts.as_mut().and_then(Salts::next_salt) {
            return Some(salt);
        }
        let mut random = [0; INSTANCE_LEN];
        sys::as_a_guest(|| random::fill(&mut random)).then_some(())?;
        self.salts.insert(Salts::new(random)).next_salt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_do_not_share_instances() {
        let here = [next().unwrap(), next().unwrap()];
        let there = std::thread::spawn(|| next().unwrap()).join().unwrap();
        assert_eq!(here[0].instance(), here[1].instance());
        assert_ne!(here[0].nonce(), here[1].nonce());
        assert_ne!(here[0].instance(), there.instance());
    }
}
