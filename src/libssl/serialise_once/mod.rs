//! A ticket's five serialisations are one.
//!
//! libssl makes a ticket (construct_stateless_ticket in ssl/statem/statem_srvr.c, read in 1.1.1w, 3.0, 3.5 and 4.0) by
//! five calls of its own exported functions, in this order and with nothing else between them that knows of the session:
//!
//! 1. `i2d_SSL_SESSION(session, NULL)` for the length, then it allocates that many bytes;
//! 2. `i2d_SSL_SESSION(session, &p)` into these;
//! 3. `d2i_SSL_SESSION(NULL, &p, length)` (`d2i_SSL_SESSION_ex` from 3.2 on): a copy, which it never changes;
//! 4. `i2d_SSL_SESSION(copy, NULL)`;
//! 5. `i2d_SSL_SESSION(copy, &p)` into the same bytes, then `SSL_SESSION_free(copy)`.
//!
//! Where these calls come to us, the first two are libssl's own, and the other three are answered from them: the copy is
//! the session itself with one more reference, its length is the first one's, and its bytes stand there already. So no
//! memory is needed, and nothing is copied. What is saved is most of a ticket, and with a client certificate
//! nearly all of it, as a copy decodes the peer's public key.
//!
//! Nothing is taken for granted of who calls: each of the five calls must come from libssl's own code ([`text`]), from one
//! and the same stack frame, in this order, in one thread, for the same session, length and place. Anything else, an
//! application that serialises a session in a callback, a call whose caller does not show, gets the real function, and the
//! sequence is over: real answers are right at any point of it.
#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "the entries are in assembly for two machines; nothing of this happens on others")
)]

use std::cell::Cell;
use std::ffi::{c_int, c_long};

use ticketshim_keys::counters::Counter;

pub(crate) mod session;
mod text;

pub(super) use text::learn;

/// Where a call of one of the functions came from.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Where its return address lies, or would: all five calls of one ticket are made in the same stack frame.
    pub(crate) frame: usize,
    /// Its return address.
    pub(crate) caller: usize,
}

impl Call {
    /// Whether it is libssl's own, of the libssl that this library works for.
    #[inline]
    pub(crate) fn is_of_libssl(self) -> bool {
        text::has(self.caller)
    }
}

/// Which calls of a ticket there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// None, or not these.
    None,
    /// 1.
    Measured,
    /// 1 and 2.
    Written,
    /// 1 to 3.
    Copied,
    /// 1 to 4.
    MeasuredAgain,
    /// All.
    Whole,
}

#[derive(Clone, Copy)]
struct Sequence {
    step: Step,
    frame: usize,
    session: usize,
    len: c_int,
    /// Where the bytes are.
    place: usize,
}

const NOTHING: Sequence = Sequence { step: Step::None, frame: 0, session: 0, len: 0, place: 0 };

thread_local! {
    // Constant and without a destructor: nothing to set up, and nothing left when the thread ends.
    static SEQUENCE: Cell<Sequence> = const { Cell::new(NOTHING) };
}

/// The sequence so far, if it has come to `step` in this frame. It is over meanwhile, so that whatever the real functions
/// call, and however they are left, finds none.
fn take(call: Call, step: Step) -> Option<Sequence> {
    let sequence = SEQUENCE.replace(NOTHING);
    (call.is_of_libssl() && sequence.step == step && sequence.frame == call.frame).then_some(sequence)
}

/// `i2d_SSL_SESSION(session, NULL)`. `real`: the real function's answer. `is_plain`: whether a copy of the session would be
/// the same.
pub(crate) fn length(
    call: Call,
    session: usize,
    real: impl FnOnce() -> c_int,
    is_plain: impl FnOnce() -> bool,
) -> c_int {
    if let Some(sequence) = take(call, Step::Copied)
        && sequence.session == session
    {
        SEQUENCE.set(Sequence { step: Step::MeasuredAgain, ..sequence });
        return sequence.len;
    }
    let len = real();
    if len > 0 && call.is_of_libssl() && is_plain() {
        SEQUENCE.set(Sequence { step: Step::Measured, frame: call.frame, session, len, place: 0 });
    }
    len
}

/// What came of `i2d_SSL_SESSION(session, &p)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// The real function has written so many bytes, and moved `p`.
    Now(c_int),
    /// The bytes are there already, so many: `p` is still to be moved.
    Before(c_int),
}

/// `i2d_SSL_SESSION(session, &p)`, with what `p` is. `real`: the real function's answer, and where `p` is then.
pub(crate) fn write(call: Call, session: usize, place: usize, real: impl FnOnce() -> (c_int, usize)) -> Written {
    let (first, again) = match SEQUENCE.get().step {
        Step::MeasuredAgain => (None, take(call, Step::MeasuredAgain)),
        _ => (take(call, Step::Measured), None),
    };
    if let Some(sequence) = again
        && sequence.session == session
        && sequence.place == place
    {
        SEQUENCE.set(Sequence { step: Step::Whole, ..sequence });
        return Written::Before(sequence.len);
    }
    let (len, end) = real();
    if let Some(sequence) = first
        && sequence.session == session
        && sequence.len == len
        && place != 0
        && usize::try_from(len).is_ok_and(|len| end == place.wrapping_add(len))
    {
        SEQUENCE.set(Sequence { step: Step::Written, place, ..sequence });
    }
    Written::Now(len)
}

/// `d2i_SSL_SESSION(NULL, &p, len)`, with what `p` is: the session to answer with, which `share` has taken a reference on.
/// `None`: the real function is to be called.
pub(crate) fn copy(call: Call, place: usize, len: c_long, share: impl FnOnce(usize) -> bool) -> Option<usize> {
    let sequence = take(call, Step::Written)?;
    if sequence.place != place || c_long::from(sequence.len) != len || !share(sequence.session) {
        return None;
    }
    SEQUENCE.set(Sequence { step: Step::Copied, ..sequence });
    Some(sequence.session)
}

/// A call that is none of a ticket's.
pub(crate) fn stop() {
    SEQUENCE.set(NOTHING);
}

/// What there is to count when a ticket has been sealed, in the thread that seals it: also whether its session was
/// serialised once.
pub(super) fn sealed() -> &'static [Counter] {
    match SEQUENCE.replace(NOTHING).step {
        Step::Whole => &[Counter::Sealed, Counter::SerialisedOnce],
        _ => &[Counter::Sealed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: usize = 0x1000;
    const PLACE: usize = 0x2000;
    const LEN: c_int = 120;

    fn ours(frame: usize) -> Call {
        Call { frame, caller: text::tests::INSIDE }
    }

    fn foreign(frame: usize) -> Call {
        Call { frame, caller: text::tests::INSIDE - 0x10_0000 }
    }

    /// Makes call `number` of a ticket; whether the real function was called.
    fn make(number: usize, call: Call, session: usize, place: usize) -> bool {
        let mut real = false;
        match number {
            1 | 4 => assert_eq!(length(call, session, || (real = true, LEN).1, || true), LEN),
            2 | 5 => {
                let written = write(call, session, place, || (real = true, (LEN, place + LEN as usize)).1);
                assert_eq!(written, if real { Written::Now(LEN) } else { Written::Before(LEN) });
            }
            _ => real = copy(call, place, LEN.into(), |shared| shared == session).is_none(),
        }
        real
    }

    fn whole(frame: usize) -> [bool; 5] {
        [1, 2, 3, 4, 5].map(|number| make(number, ours(frame), SESSION, PLACE))
    }

    const ONCE: [bool; 5] = [true, true, false, false, false];

    #[test]
    fn the_five_calls_of_a_ticket_are_two() {
        text::tests::put();
        for _ in 0..3 {
            assert_eq!(whole(1), ONCE);
            assert_eq!(sealed(), &[Counter::Sealed, Counter::SerialisedOnce]);
            assert_eq!(sealed(), &[Counter::Sealed], "counted once");
        }
    }

    /// Whatever comes between two of the calls, the rest of the ticket is the real functions'.
    #[test]
    fn any_other_call_between_ends_it() {
        text::tests::put();
        let others: [(&str, fn()); 9] = [
            ("a length from elsewhere", || _ = make(1, foreign(1), SESSION, PLACE)),
            ("a length in another frame", || _ = make(1, ours(2), SESSION, PLACE)),
            ("of another session", || _ = make(1, ours(1), SESSION + 8, PLACE)),
            ("a write from elsewhere", || _ = make(2, foreign(1), SESSION, PLACE)),
            ("a write of another session", || _ = make(2, ours(1), SESSION + 8, PLACE + 8)),
            ("a copy from elsewhere", || _ = make(3, foreign(1), SESSION, PLACE)),
            ("a copy of other bytes", || _ = make(3, ours(1), SESSION, PLACE + 8)),
            ("a call that is none", stop),
            ("another ticket", || _ = whole(7)),
        ];
        for (name, other) in others {
            for at in 1..5 {
                stop();
                for number in 1..=at {
                    assert_eq!(make(number, ours(1), SESSION, PLACE), ONCE[number - 1], "{name} at {at}");
                }
                other();
                for number in at + 1..=5 {
                    let real = make(number, ours(1), SESSION, PLACE);
                    // A length always begins anew: what follows 4 is then written as after 1, by the real function.
                    assert!(real, "{name} after {at}: {number} was answered");
                }
                assert_eq!(sealed(), &[Counter::Sealed], "{name} at {at}");
            }
        }
    }

    #[test]
    fn sessions_places_lengths_and_frames_must_be_the_same() {
        text::tests::put();
        let go = |to: usize| {
            stop();
            (1..=to).for_each(|number| assert_eq!(make(number, ours(1), SESSION, PLACE), ONCE[number - 1]));
        };
        go(2);
        assert!(copy(ours(1), PLACE, c_long::from(LEN) - 1, |_| true).is_none(), "another length");
        go(2);
        assert!(copy(ours(1), PLACE, LEN.into(), |_| false).is_none(), "no reference");
        assert!(make(4, ours(1), SESSION, PLACE), "after that, the real one");
        go(2);
        assert!(make(3, ours(2), SESSION, PLACE), "another frame");
        go(4);
        assert!(make(5, ours(1), SESSION, PLACE + 1), "another place");
        go(4);
        assert!(make(5, ours(1), SESSION + 1, PLACE), "another session");
        go(1);
        write(ours(1), SESSION, PLACE, || (LEN - 1, PLACE + LEN as usize - 1));
        assert!(make(3, ours(1), SESSION, PLACE), "what was written has another length");
        go(1);
        write(ours(1), SESSION, 0, || (LEN, LEN as usize));
        assert!(make(3, ours(1), SESSION, 0), "the real function has allocated");
        stop();
        assert_eq!(length(ours(1), SESSION, || LEN, || false), LEN);
        make(2, ours(1), SESSION, PLACE);
        assert!(make(3, ours(1), SESSION, PLACE), "a session whose copy would differ");
        stop();
        assert_eq!(length(ours(1), SESSION, || 0, || true), 0);
        make(2, ours(1), SESSION, PLACE);
        assert!(make(3, ours(1), SESSION, PLACE), "no length");
    }

    /// What is going on in one thread is nothing to another.
    #[test]
    fn threads_do_not_share() {
        text::tests::put();
        assert!(make(1, ours(1), SESSION, PLACE));
        assert!(make(2, ours(1), SESSION, PLACE));
        assert!(std::thread::spawn(|| make(3, ours(1), SESSION, PLACE)).join().expect("no panic"));
        assert!(!make(3, ours(1), SESSION, PLACE));
    }
}
