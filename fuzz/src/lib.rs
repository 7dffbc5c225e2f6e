//! What the targets have in common: how a ticket is changed.

use arbitrary::Arbitrary;

/// One change to a ticket. Positions are taken modulo its length, so that none is wasted.
#[derive(Arbitrary, Clone, Debug)]
pub enum Edit {
    /// Changes bits of one byte.
    Flip {
        /// Which byte.
        at: u16,
        /// Which bits.
        mask: u8,
    },
    /// Cuts it to that many bytes.
    Cut(u16),
    /// Takes that many bytes off its front.
    Behead(u8),
    /// Makes it longer.
    Extend {
        /// What with.
        byte: u8,
        /// By how many bytes.
        by: u16,
    },
    /// Puts a part of another ticket over the same part of this one: its name, its salt, its tag, its MAC.
    Splice {
        /// Which part.
        part: Part,
        /// Of which ticket.
        of: u8,
    },
    /// Puts another ticket behind it.
    Join(u8),
    /// Fills a part with one byte.
    Fill {
        /// Which part.
        part: Part,
        /// The byte.
        byte: u8,
    },
    /// Exchanges two bytes.
    Swap(u16, u16),
    /// Puts these bytes there.
    Insert(u16, Vec<u8>),
}

/// A part of a ticket: `crates/core/src/format.rs` has the layout.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Part {
    /// The key name.
    Name,
    /// The salt.
    Salt,
    /// The first bytes under the cipher.
    Header,
    /// The cipher's tag.
    Tag,
    /// The HMAC.
    Mac,
}

impl Part {
    fn of(self, len: usize) -> std::ops::Range<usize> {
        let range = match self {
            Self::Name => 0..16,
            Self::Salt => 16..32,
            Self::Header => 32..36,
            Self::Tag => len.saturating_sub(48)..len.saturating_sub(32),
            Self::Mac => len.saturating_sub(32)..len,
        };
        range.start.min(len)..range.end.min(len)
    }
}

/// The most that a ticket can be: it is an `opaque<0..2^16-1>` in both versions of the protocol.
pub const LONGEST: usize = 65_535;

/// Makes these changes to a ticket; `others` are further tickets to take from.
pub fn edit(ticket: &mut Vec<u8>, edits: &[Edit], others: &[Vec<u8>]) {
    let other = |n: u8| others.get(usize::from(n) % others.len().max(1)).map_or(&[][..], Vec::as_slice);
    for edit in edits {
        let len = ticket.len();
        let place = |at: u16| usize::from(at) % len.max(1);
        match edit {
            Edit::Flip { at, mask } if len > 0 => ticket[place(*at)] ^= mask,
            Edit::Cut(to) => ticket.truncate(usize::from(*to) % (len + 1)),
            Edit::Behead(by) => drop(ticket.drain(..usize::from(*by).min(len))),
            Edit::Extend { byte, by } => ticket.resize((len + usize::from(*by)).min(LONGEST), *byte),
            Edit::Splice { part, of } => {
                let from = other(*of);
                let (from, to) = (&from[part.of(from.len())], part.of(len));
                if from.len() == to.len() {
                    ticket[to].copy_from_slice(from);
                }
            }
            Edit::Join(of) => ticket.extend_from_slice(other(*of)),
            Edit::Fill { part, byte } => ticket[part.of(len)].fill(*byte),
            Edit::Swap(a, b) if len > 0 => ticket.swap(place(*a), place(*b)),
            Edit::Insert(at, bytes) => {
                let at = usize::from(*at) % (len + 1);
                ticket.splice(at..at, bytes.iter().copied());
            }
            Edit::Flip { .. } | Edit::Swap(..) => {}
        }
        ticket.truncate(LONGEST);
    }
}
