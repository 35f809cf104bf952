//! The encodings of values and the numbers that name them in DUMP payloads and RDB files.
//!
//! ```text
//!  0 string                          14 list of ziplists
//!  1 list of strings                 15 stream, before 7.0
//!  2 set of strings                  16 hash, a listpack
//!  3 sorted set, scores as text      17 sorted set, a listpack
//!  4 hash of strings                 18 list of listpacks and plain elements
//!  5 sorted set, scores in 8 bytes   19 stream, 7.0
//!  9 hash, a zipmap                  20 set, a listpack                          from version 11 on (7.2)
//! 10 list, a ziplist                 21 stream, 7.2                              from version 11 on
//! 11 set, an intset                  22 hash with deadlines behind the values    version 80 (Valkey 9)
//! 12 sorted set, a ziplist           24 hash with deadlines before the fields    version 12 (7.4)
//! 13 hash, a ziplist                 25 hash with deadlines, a listpack          version 12
//! ```
//!
//! 6 and 7 are values of modules, which only the module understands. 22 and 23 of version 12 were used by no release.

use super::{DecodeError, Kind};

/// The newest version of the format that redis-server 7.0 reads; what is written by default.
pub const VERSION_7_0: u16 = 10;
/// That of 7.4 and 8.0, which first has deadlines of fields.
pub const VERSION_7_4: u16 = 12;
/// That of Valkey 9, which has them in its own way.
pub const VERSION_VALKEY: u16 = 80;

/// Whether a version of the format is one of those that are known.
pub fn is_known_version(version: u16) -> bool {
    version <= VERSION_7_4 || version == VERSION_VALKEY
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    String,
    List,
    ListZiplist,
    ListQuicklist,
    ListQuicklist2,
    Set,
    SetIntset,
    SetListpack,
    Hash,
    HashZipmap,
    HashZiplist,
    HashListpack,
    HashDeadlinesSince,
    HashDeadlinesBehind,
    HashListpackDeadlines,
    SortedSetText,
    SortedSetBinary,
    SortedSetZiplist,
    SortedSetListpack,
    Stream(StreamForm),
}

/// What a stream's encoding has: each form has what those before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamForm {
    /// Redis 5.0.
    First,
    /// 7.0: with its first name, the highest deleted one, and counts of entries ever added and read.
    Counts,
    /// 7.2: consumers with the time of their last success.
    Active,
}

const NUMBERS: &[(u8, Encoding)] = &[
    (0, Encoding::String),
    (1, Encoding::List),
    (2, Encoding::Set),
    (3, Encoding::SortedSetText),
    (4, Encoding::Hash),
    (5, Encoding::SortedSetBinary),
    (9, Encoding::HashZipmap),
    (10, Encoding::ListZiplist),
    (11, Encoding::SetIntset),
    (12, Encoding::SortedSetZiplist),
    (13, Encoding::HashZiplist),
    (14, Encoding::ListQuicklist),
    (15, Encoding::Stream(StreamForm::First)),
    (16, Encoding::HashListpack),
    (17, Encoding::SortedSetListpack),
    (18, Encoding::ListQuicklist2),
    (19, Encoding::Stream(StreamForm::Counts)),
    (20, Encoding::SetListpack),
    (21, Encoding::Stream(StreamForm::Active)),
    (22, Encoding::HashDeadlinesBehind),
    (24, Encoding::HashDeadlinesSince),
    (25, Encoding::HashListpackDeadlines),
];

impl Encoding {
    /// The encoding of this number in this version of the format.
    pub fn of(number: u8, version: u16) -> Result<Encoding, DecodeError> {
        let encoding = match NUMBERS.iter().find(|(known, _)| *known == number) {
            Some((_, encoding)) => *encoding,
            None if number == 6 || number == 7 => return Err(DecodeError::Module),
            None => return Err(DecodeError::Type(number)),
        };
        let is_valkey = version >= VERSION_VALKEY;
        match encoding {
            Encoding::HashDeadlinesBehind if !is_valkey => Err(DecodeError::Type(number)),
            Encoding::HashDeadlinesSince | Encoding::HashListpackDeadlines if is_valkey => {
                Err(DecodeError::Type(number))
            }
            _ => Ok(encoding),
        }
    }

    /// The number that names it.
    pub fn number(self) -> u8 {
        NUMBERS.iter().find(|(_, encoding)| *encoding == self).map(|(number, _)| *number).expect("each has one")
    }

    /// The lowest version of the format that has it.
    pub fn version(self) -> u16 {
        match self {
            Encoding::HashDeadlinesBehind => VERSION_VALKEY,
            Encoding::HashDeadlinesSince | Encoding::HashListpackDeadlines => VERSION_7_4,
            Encoding::SetListpack | Encoding::Stream(StreamForm::Active) => 11,
            _ => VERSION_7_0,
        }
    }

    /// What a value of this encoding is.
    pub fn kind(self) -> Kind {
        match self {
            Encoding::String => Kind::String,
            Encoding::List | Encoding::ListZiplist | Encoding::ListQuicklist | Encoding::ListQuicklist2 => Kind::List,
            Encoding::Set | Encoding::SetIntset | Encoding::SetListpack => Kind::Set,
            Encoding::Hash
            | Encoding::HashZipmap
            | Encoding::HashZiplist
            | Encoding::HashListpack
            | Encoding::HashDeadlinesSince
            | Encoding::HashDeadlinesBehind
            | Encoding::HashListpackDeadlines => Kind::Hash,
            Encoding::SortedSetText
            | Encoding::SortedSetBinary
            | Encoding::SortedSetZiplist
            | Encoding::SortedSetListpack => Kind::SortedSet,
            Encoding::Stream(_) => Kind::Stream,
        }
    }

    /// What it is, if all of it is one string.
    pub(super) fn packed_kind(self) -> Option<Kind> {
        let packed = matches!(
            self,
            Encoding::ListZiplist
                | Encoding::SetIntset
                | Encoding::SetListpack
                | Encoding::HashZipmap
                | Encoding::HashZiplist
                | Encoding::HashListpack
                | Encoding::HashListpackDeadlines
                | Encoding::SortedSetZiplist
                | Encoding::SortedSetListpack
        );
        packed.then(|| self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_their_version_says() {
        for (number, encoding) in NUMBERS {
            assert_eq!(Encoding::of(*number, encoding.version()), Ok(*encoding));
            assert_eq!(encoding.number(), *number);
        }
        assert_eq!(Encoding::of(22, VERSION_7_4), Err(DecodeError::Type(22)));
        assert_eq!(Encoding::of(24, VERSION_VALKEY), Err(DecodeError::Type(24)));
        assert_eq!(Encoding::of(7, 10), Err(DecodeError::Module));
        assert_eq!(Encoding::of(8, 10), Err(DecodeError::Type(8)));
    }
}
