//! From a command's name, as a client wrote it, to its number: a small hash table that is built once and only read.
//!
//! A name is folded to its first eight bytes in lower case, packed into a word, and its length. That alone tells most
//! commands apart, so a lookup is one multiplication, one table entry and, for names longer than eight bytes, one
//! comparison of the rest. It allocates nothing and does not depend on the case.

/// A name's first eight bytes in lower case, little-endian, zero-padded.
#[inline]
fn fold(name: &[u8]) -> u64 {
    let n = name.len();
    let packed = match n {
        0 => 0,
        // Overlapping reads: a byte read twice lands on itself.
        1..=3 => {
            let middle = n / 2;
            u64::from(name[0]) | u64::from(name[middle]) << (8 * middle) | u64::from(name[n - 1]) << (8 * (n - 1))
        }
        4..=7 => {
            let head = u32::from_le_bytes([name[0], name[1], name[2], name[3]]);
            let tail = u32::from_le_bytes([name[n - 4], name[n - 3], name[n - 2], name[n - 1]]);
            u64::from(head) | u64::from(tail) << (8 * (n - 4))
        }
        _ => u64::from_le_bytes([name[0], name[1], name[2], name[3], name[4], name[5], name[6], name[7]]),
    };
    lower(packed)
}

/// Lower-cases the eight ASCII letters of a word; other bytes stay.
#[inline]
fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let low_bits = word & !HIGH;
    // The high bit of a byte says: at least 'A', beyond 'Z'.
    let at_least_a = low_bits + (0x80 - b'A' as u64) * ONES;
    let beyond_z = low_bits + (0x7f - b'Z' as u64) * ONES;
    let upper = (at_least_a ^ beyond_z) & !word & HIGH;
    word | upper >> 2
}

/// One place of the table; `len` is 0 where it is free.
#[derive(Clone, Copy)]
struct Place {
    folded: u64,
    len: u32,
    id: u16,
}

const FREE: Place = Place { folded: 0, len: 0, id: 0 };

const _: () = assert!(size_of::<Place>() == 16);

/// Names in lower case mapped to numbers.
pub(super) struct NameTable {
    places: Box<[Place]>,
    /// `64 - log2(places)`.
    shift: u32,
    names: Box<[&'static str]>,
}

impl NameTable {
    /// A table of `names`, each mapped to its position.
    ///
    /// # Panics
    /// When a name is empty, not in lower case, or given twice.
    pub(super) fn new(names: &[&'static str]) -> NameTable {
        let size = (names.len() * 4).next_power_of_two().max(16);
        let mut table = NameTable {
            places: vec![FREE; size].into_boxed_slice(),
            shift: 64 - size.trailing_zeros(),
            names: names.into(),
        };
        for (id, name) in names.iter().enumerate() {
            assert!(!name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase()), "bad command name {name:?}");
            assert!(table.find(name.as_bytes()).is_none(), "command {name:?} is listed twice");
            let (folded, len) = (fold(name.as_bytes()), name.len() as u32);
            let mut at = table.home(folded, len);
            while table.places[at].len != 0 {
                at = (at + 1) & (size - 1);
            }
            table.places[at] = Place { folded, len, id: u16::try_from(id).expect("fewer than 65,536 commands") };
        }
        table
    }

    #[inline]
    fn home(&self, folded: u64, len: u32) -> usize {
        let mixed = (folded ^ u64::from(len) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> self.shift) as usize
    }

    /// The position of `name`, in any case.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<u16> {
        let folded = fold(name);
        let mask = self.places.len() - 1;
        let mut at = self.home(folded, name.len() as u32) & mask;
        loop {
            let place = self.places[at];
            if place.folded == folded && place.len as usize == name.len() {
                if name.len() <= 8 {
                    return (!name.is_empty()).then_some(place.id);
                }
                if self.names[place.id as usize].as_bytes()[8..].eq_ignore_ascii_case(&name[8..]) {
                    return Some(place.id);
                }
            }
            if place.len == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_changes_letters_only() {
        for b in 0..=255u8 {
            let word = u64::from_le_bytes([b; 8]);
            assert_eq!(lower(word).to_le_bytes(), [b.to_ascii_lowercase(); 8], "byte {b}");
        }
        assert_eq!(lower(u64::from_le_bytes(*b"aZ@[`{\xdaQ")).to_le_bytes(), *b"az@[`{\xdaq");
    }

    #[test]
    fn fold_takes_the_first_eight_bytes() {
        for n in 0..=12 {
            let name = &b"ABCDEFGHIJKL"[..n];
            let mut expected = [0u8; 8];
            for (to, from) in expected.iter_mut().zip(name) {
                *to = from.to_ascii_lowercase();
            }
            assert_eq!(fold(name).to_le_bytes(), expected, "length {n}");
        }
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let names = ["get", "set", "getrange", "zrangebyscore", "zrangebysword", "a", "object", "x-y"];
        let table = NameTable::new(&names);
        for (id, name) in names.iter().enumerate() {
            assert_eq!(table.find(name.as_bytes()), Some(id as u16));
            assert_eq!(table.find(name.to_ascii_uppercase().as_bytes()), Some(id as u16));
            for cut in 0..name.len() {
                assert_eq!(
                    table.find(&name.as_bytes()[..cut]),
                    names.iter().position(|n| *n == &name[..cut]).map(|i| i as u16)
                );
            }
        }
        for other in ["", "\0", "ge", "gett", "get\0", "zrangebyshore", "zrangebyscorf", "x\ry", "X_Y"] {
            assert_eq!(table.find(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    #[should_panic(expected = "listed twice")]
    fn refuses_a_name_given_twice() {
        NameTable::new(&["get", "set", "get"]);
    }
}
