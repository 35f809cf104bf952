//! Parts into encoded values.
//!
//! Whoever gives a value away says its shape first, since counts stand before what they count, and then its parts in
//! order. The encoder keeps at most a packed collection or a stream's node; all else is in `out` at once, which the caller
//! may empty between two parts. So a value of any size takes no second copy.

use pinyon_base::Millis;

use super::encode_stream::StreamEncoder;
use super::encoding::{StreamForm, VERSION_7_0};
use super::intset::IntsetBuilder;
use super::listpack::ListpackBuilder;
use super::output::{write_item, write_length, write_text};
use super::{Encoding, Part};
use crate::Item;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The newest version of the format to use where an older one will do, too. A hash whose fields have deadlines needs
    /// 12 at least and gets it ([`Encoder::version`]).
    pub version: u16,
    /// Compress strings by LZF (`rdbcompression`).
    pub compress: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { version: VERSION_7_0, compress: true }
    }
}

/// What must be known of a value before its first part. Numbers must be exact. `packed`: as one string, which needs a
/// second copy while it is made, so for small collections only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    String,
    List {
        items: u64,
        packed: bool,
    },
    Set {
        members: u64,
        form: SetForm,
    },
    Hash {
        fields: u64,
        packed: bool,
        /// The first deadline of a field, if there is one.
        first_deadline: Option<Millis>,
    },
    /// Packed: members come in ascending order of score, then of their bytes.
    SortedSet {
        members: u64,
        packed: bool,
    },
    /// Entries come in ascending order; `per_node` of them (at least 1) are packed together.
    Stream {
        entries: u64,
        per_node: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetForm {
    /// All members are integers.
    Integers,
    Packed,
    Table,
}

/// Encodes one value.
#[derive(Debug)]
pub struct Encoder {
    encoding: Encoding,
    settings: Settings,
    body: Body,
    /// Elements still to come.
    left: u64,
}

#[derive(Debug)]
enum Body {
    Plain,
    Listpack(ListpackBuilder),
    Intset(IntsetBuilder),
    /// The first deadline.
    Deadlines(i64),
    Stream(StreamEncoder),
}

impl Encoder {
    pub fn new(shape: Shape, settings: Settings) -> Encoder {
        let plain = |encoding, left| (encoding, Body::Plain, left);
        let listpack = |encoding, left| (encoding, Body::Listpack(ListpackBuilder::default()), left);
        let set_listpack = settings.version >= Encoding::SetListpack.version();
        let (encoding, body, left) = match shape {
            Shape::String => plain(Encoding::String, 0),
            Shape::List { items, packed: true } => listpack(Encoding::ListQuicklist2, items),
            Shape::List { items, packed: false } => plain(Encoding::List, items),
            Shape::Set { members, form: SetForm::Integers } => {
                (Encoding::SetIntset, Body::Intset(IntsetBuilder::default()), members)
            }
            Shape::Set { members, form: SetForm::Packed } if set_listpack => listpack(Encoding::SetListpack, members),
            Shape::Set { members, .. } => plain(Encoding::Set, members),
            Shape::Hash { fields, first_deadline: Some(first), .. } => {
                (Encoding::HashDeadlinesSince, Body::Deadlines(first.0), fields)
            }
            Shape::Hash { fields, packed: true, .. } => listpack(Encoding::HashListpack, fields),
            Shape::Hash { fields, packed: false, .. } => plain(Encoding::Hash, fields),
            Shape::SortedSet { members, packed: true } => listpack(Encoding::SortedSetListpack, members),
            Shape::SortedSet { members, packed: false } => plain(Encoding::SortedSetBinary, members),
            Shape::Stream { entries, per_node } => {
                let newest = Encoding::Stream(StreamForm::Active);
                let form = if settings.version >= newest.version() { StreamForm::Active } else { StreamForm::Counts };
                (Encoding::Stream(form), Body::Stream(StreamEncoder::new(form, entries, per_node)), entries)
            }
        };
        Encoder { encoding, settings, body, left }
    }

    /// The number of the encoding, which stands before the value (in a file, before its key).
    pub fn number(&self) -> u8 {
        self.encoding.number()
    }

    /// The lowest version of the format that has this encoding.
    pub fn version(&self) -> u16 {
        self.encoding.version()
    }

    /// Appends what the next part becomes. Parts must come as their shape says: another order or number is a mistake of
    /// the program.
    pub fn put(&mut self, part: Part<'_>, out: &mut Vec<u8>) {
        if let Body::Stream(stream) = &mut self.body {
            return stream.put(part, self.settings.compress, out);
        }
        let compress = self.settings.compress;
        match part {
            Part::String(item) => write_item(item, compress, out),
            Part::Long { len } => {
                self.left = len;
                write_length(len, out);
            }
            Part::Piece(bytes) => {
                self.left = self.left.checked_sub(bytes.len() as u64).expect("as many bytes as Long said");
                out.extend_from_slice(bytes);
            }
            Part::Begin { .. } => self.begin(out),
            Part::Item(item) => {
                self.count();
                match &mut self.body {
                    Body::Listpack(listpack) => listpack.push(item),
                    Body::Intset(intset) => match item {
                        Item::Int(value) => intset.push(value),
                        Item::Bytes(_) => panic!("a set of integers has only integers"),
                    },
                    _ => write_item(item, compress, out),
                }
            }
            Part::Field { field, value, expires } => {
                self.count();
                self.field(field, value, expires, out);
            }
            Part::Member { member, score } => {
                self.count();
                if let Body::Listpack(listpack) = &mut self.body {
                    listpack.push(member);
                    push_score(score, listpack);
                } else {
                    write_item(member, compress, out);
                    out.extend_from_slice(&score.to_le_bytes());
                }
            }
            Part::End => self.end(out),
            other => panic!("only streams have {other:?}"),
        }
    }

    fn count(&mut self) {
        self.left = self.left.checked_sub(1).expect("as many elements as the shape said");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        match &self.body {
            Body::Listpack(_) | Body::Intset(_) | Body::Stream(_) => {}
            Body::Plain => write_length(self.left, out),
            Body::Deadlines(first) => {
                out.extend_from_slice(&first.to_le_bytes());
                write_length(self.left, out);
            }
        }
    }

    fn field(&mut self, field: Item<'_>, value: Item<'_>, expires: Option<Millis>, out: &mut Vec<u8>) {
        match &mut self.body {
            Body::Listpack(listpack) => {
                assert!(expires.is_none(), "the shape said that there are no deadlines");
                listpack.push(field);
                listpack.push(value);
                return;
            }
            Body::Deadlines(first) => {
                let later = expires.map(|at| at.0.checked_sub(*first).and_then(|later| u64::try_from(later).ok()));
                let later = later.map(|later| later.expect("none before the first"));
                write_length(later.map_or(0, |later| later + 1), out);
            }
            _ => assert!(expires.is_none(), "the shape said that there are no deadlines"),
        }
        write_item(field, self.settings.compress, out);
        write_item(value, self.settings.compress, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        assert_eq!(self.left, 0, "as many elements as the shape said");
        let compress = self.settings.compress;
        match std::mem::replace(&mut self.body, Body::Plain) {
            Body::Listpack(mut listpack) => {
                if self.encoding == Encoding::ListQuicklist2 {
                    const PACKED: u64 = 2;
                    write_length(1, out);
                    write_length(PACKED, out);
                }
                write_text(&listpack.finish(), compress, out);
            }
            Body::Intset(intset) => write_text(&intset.finish(), compress, out),
            Body::Plain | Body::Deadlines(_) | Body::Stream(_) => {}
        }
    }
}

/// A score as an element of a listpack: an integer where it is one, else the text that Redis prints.
fn push_score(score: f64, listpack: &mut ListpackBuilder) {
    /// Up to here every integer is a score of its own.
    const EXACT_MAX: f64 = (1u64 << 52) as f64;
    let is_negative_zero = score == 0.0 && score.is_sign_negative();
    if score.fract() == 0.0 && score.abs() <= EXACT_MAX && !is_negative_zero {
        return listpack.push(Item::Int(score as i64));
    }
    let mut text = Vec::new();
    pinyon_base::format_f64(score, &mut text);
    listpack.push(Item::Bytes(&text));
}
