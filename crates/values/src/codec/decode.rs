//! Encoded values into parts, however their bytes are cut into pieces.
//!
//! The unit of decoding is what must be whole to be understood: a string, a field with its value, a packed collection. A unit
//! whose end is not there yet is begun again when it is: nothing is handed out, and no state changed, before all of
//! it has been read. Strings from [`PIECE_MIN`] bytes on that are values of their own come in pieces.
//!
//! Memory: what is compressed is unpacked into a buffer, at most 88 times the compressed bytes; all else is handed out where
//! it lies. Lengths and counts that the bytes claim reserve nothing.

use pinyon_base::Millis;

use super::decode_stream::StreamDecoder;
use super::input::{Input, Stop, StringHead};
use super::listpack::Listpack;
use super::ziplist::{Ziplist, read_zipmap};
use super::{DecodeError, Encoding, Kind, Part, Sink, intset};
use crate::Item;

/// A string value of at least this many bytes is handed out as far as it is there.
pub const PIECE_MIN: u64 = 64 << 10;

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// These bytes are done with; the next step begins behind them.
    pub consumed: usize,
    /// At least this many bytes, from behind the consumed ones, are needed for the next step. 0: the value is complete.
    pub need: usize,
}

/// Decodes one value.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Of the next unit, from the value's first byte.
    offset: u64,
    elements: u64,
    scratch: [Vec<u8>; 2],
}

#[derive(Debug)]
enum State {
    Start(Encoding),
    /// A string, of which this many bytes are to come.
    Pieces(u64),
    /// Lists and sets of strings.
    Items(u64),
    /// Nodes of a list, each a ziplist.
    Ziplists(u64),
    /// Nodes of a list, each a listpack or one element.
    Nodes(u64),
    Fields(u64, Deadlines),
    Members(u64, Scores),
    Stream(StreamDecoder),
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Deadlines {
    None,
    /// As a length before the field: 0, or how much later than this it is, plus 1.
    Since(i64),
    /// In eight bytes behind the value; below 0: none.
    Behind,
}

#[derive(Clone, Copy, Debug)]
enum Scores {
    Text,
    Binary,
}

impl Decoder {
    /// For a value of this encoding.
    pub fn new(encoding: Encoding) -> Decoder {
        Decoder { state: State::Start(encoding), offset: 0, elements: 0, scratch: Default::default() }
    }

    /// Begins with another value, in the same buffers.
    pub(crate) fn begin(&mut self, encoding: Encoding) {
        (self.state, self.offset, self.elements) = (State::Start(encoding), 0, 0);
    }

    /// How many elements have been handed out. A collection (but a stream) that is complete without any is no value.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// How many bytes of the value are done with; after an error, where the unit begins that is wrong.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Decodes as far as `input` goes. After an error the decoder must not be used any more.
    pub fn step(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<Step, DecodeError> {
        let mut consumed = 0;
        loop {
            if matches!(self.state, State::Done) {
                return Ok(Step { consumed, need: 0 });
            }
            let mut rest = Input::new(&input[consumed..]);
            match self.unit(&mut rest, sink) {
                Ok(()) => {
                    consumed += rest.at();
                    self.offset += rest.at() as u64;
                }
                Err(Stop::Need(need)) => return Ok(Step { consumed, need }),
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
    }

    fn unit(&mut self, input: &mut Input<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let Decoder { state, elements, scratch, .. } = self;
        let [first, second] = scratch;
        match state {
            State::Start(encoding) => {
                let begun = match encoding {
                    Encoding::Stream(form) => {
                        sink(Part::Begin { kind: Kind::Stream, about: 0 })?;
                        State::Stream(StreamDecoder::new(*form))
                    }
                    Encoding::String => string(input, first, sink)?,
                    other => match packed(*other, input, first, elements, sink)? {
                        true => State::Done,
                        false => counted(*other, input, sink)?,
                    },
                };
                *state = begun;
            }
            State::Pieces(left @ 1..) => {
                let piece = input.take_some(*left);
                if piece.is_empty() {
                    return Err(Stop::Need(1));
                }
                *left -= piece.len() as u64;
                sink(Part::Piece(piece))?;
            }
            State::Items(left @ 1..) => {
                let item = input.item(first)?;
                (*left, *elements) = (*left - 1, *elements + 1);
                sink(Part::Item(item))?;
            }
            State::Ziplists(left @ 1..) => {
                let node = Ziplist::new(input.text(first)?)?;
                *left -= 1;
                *elements += items(node, sink)?;
            }
            State::Nodes(left @ 1..) => {
                const PLAIN: u64 = 1;
                const PACKED: u64 = 2;
                let container = input.length()?;
                let node = input.text(first)?;
                *left -= 1;
                *elements += match container {
                    PLAIN => items(std::iter::once(Ok(Item::of(node))), sink)?,
                    PACKED => items(Listpack::new(node)?, sink)?,
                    other => return Err(DecodeError::Container(other).into()),
                };
            }
            State::Fields(left @ 1.., deadlines) => {
                let before = if let Deadlines::Since(_) = deadlines { input.length()? } else { 0 };
                let (field, value) = (input.item(first)?, input.item(second)?);
                let expires = match deadlines {
                    Deadlines::None => None,
                    Deadlines::Since(first) => since(*first, before)?,
                    Deadlines::Behind => Some(i64::from_le_bytes(input.array()?)).filter(|at| *at >= 0).map(Millis),
                };
                (*left, *elements) = (*left - 1, *elements + 1);
                sink(Part::Field { field, value, expires })?;
            }
            State::Members(left @ 1.., scores) => {
                let member = input.item(first)?;
                let score = match scores {
                    Scores::Text => input.score_text()?,
                    Scores::Binary => input.score()?,
                };
                (*left, *elements) = (*left - 1, *elements + 1);
                sink(Part::Member { member, score })?;
            }
            State::Stream(stream) => {
                if stream.unit(input, scratch, sink)? {
                    *state = State::Done;
                }
            }
            State::Pieces(0)
            | State::Items(0)
            | State::Ziplists(0)
            | State::Nodes(0)
            | State::Fields(0, _)
            | State::Members(0, _) => {
                sink(Part::End)?;
                *state = State::Done;
            }
            State::Done => {}
        }
        Ok(())
    }
}

/// A string value: whole where it is there whole, or short; else its pieces are to come.
fn string(input: &mut Input<'_>, scratch: &mut Vec<u8>, sink: &mut Sink<'_>) -> Result<State, Stop> {
    let mut ahead = input.clone();
    match (input.item(scratch), ahead.string_head()) {
        (Err(Stop::Need(_)), Ok(StringHead::Raw(len))) if len >= PIECE_MIN => {
            *input = ahead;
            sink(Part::Long { len })?;
            Ok(State::Pieces(len))
        }
        (item, _) => {
            sink(Part::String(item?))?;
            Ok(State::Done)
        }
    }
}

/// A collection that is one string. False: it is none of these.
fn packed(
    encoding: Encoding,
    input: &mut Input<'_>,
    scratch: &mut Vec<u8>,
    elements: &mut u64,
    sink: &mut Sink<'_>,
) -> Result<bool, Stop> {
    let Some(kind) = encoding.packed_kind() else {
        return Ok(false);
    };
    if encoding == Encoding::HashListpackDeadlines {
        input.array::<8>()?;
    }
    let bytes = input.text(scratch)?;
    sink(Part::Begin { kind, about: 0 })?;
    *elements = match encoding {
        Encoding::ListZiplist => items(Ziplist::new(bytes)?, sink)?,
        Encoding::SetListpack => items(Listpack::new(bytes)?, sink)?,
        Encoding::SetIntset => {
            let mut count = 0;
            intset::read(bytes, |value| {
                count += 1;
                Ok(sink(Part::Item(Item::Int(value)))?)
            })?;
            count
        }
        Encoding::HashZipmap => {
            let mut count = 0;
            read_zipmap(bytes, |field, value| {
                count += 1;
                Ok(sink(Part::Field { field: Item::of(field), value: Item::of(value), expires: None })?)
            })?;
            count
        }
        Encoding::HashZiplist => fields(Ziplist::new(bytes)?, false, sink)?,
        Encoding::HashListpack => fields(Listpack::new(bytes)?, false, sink)?,
        Encoding::HashListpackDeadlines => fields(Listpack::new(bytes)?, true, sink)?,
        Encoding::SortedSetZiplist => members(Ziplist::new(bytes)?, sink)?,
        _ => members(Listpack::new(bytes)?, sink)?,
    };
    sink(Part::End)?;
    Ok(true)
}

/// A collection that is a count and that many units.
fn counted(encoding: Encoding, input: &mut Input<'_>, sink: &mut Sink<'_>) -> Result<State, Stop> {
    let first = match encoding {
        Encoding::HashDeadlinesSince => i64::from_le_bytes(input.array()?),
        _ => 0,
    };
    let count = input.length()?;
    let (kind, about, state) = match encoding {
        Encoding::List => (Kind::List, count, State::Items(count)),
        Encoding::ListQuicklist => (Kind::List, 0, State::Ziplists(count)),
        Encoding::ListQuicklist2 => (Kind::List, 0, State::Nodes(count)),
        Encoding::Set => (Kind::Set, count, State::Items(count)),
        Encoding::Hash => (Kind::Hash, count, State::Fields(count, Deadlines::None)),
        Encoding::HashDeadlinesSince => (Kind::Hash, count, State::Fields(count, Deadlines::Since(first))),
        Encoding::HashDeadlinesBehind => (Kind::Hash, count, State::Fields(count, Deadlines::Behind)),
        Encoding::SortedSetText => (Kind::SortedSet, count, State::Members(count, Scores::Text)),
        _ => (Kind::SortedSet, count, State::Members(count, Scores::Binary)),
    };
    sink(Part::Begin { kind, about })?;
    Ok(state)
}

/// A deadline that is kept as what it is later than `first`, plus 1; 0: none.
fn since(first: i64, later: u64) -> Result<Option<Millis>, DecodeError> {
    let Some(later) = later.checked_sub(1) else {
        return Ok(None);
    };
    let at = first.checked_add_unsigned(later).filter(|at| *at >= 0).ok_or(DecodeError::Deadline)?;
    Ok(Some(Millis(at)))
}

type Elements<'a, 'i> = &'a mut dyn Iterator<Item = Result<Item<'i>, DecodeError>>;

/// Hands out the elements of a packed list or set; says how many.
fn items<'i>(
    elements: impl Iterator<Item = Result<Item<'i>, DecodeError>>,
    sink: &mut Sink<'_>,
) -> Result<u64, DecodeError> {
    let mut count = 0;
    for item in elements {
        sink(Part::Item(item?))?;
        count += 1;
    }
    Ok(count)
}

/// The element that must follow another.
fn second<'i>(elements: Elements<'_, 'i>) -> Result<Item<'i>, DecodeError> {
    elements.next().unwrap_or(Err(DecodeError::Odd))
}

/// Hands out the fields of a packed hash, each with its value and, where there are `deadlines`, with its deadline or 0.
fn fields<'i>(
    mut elements: impl Iterator<Item = Result<Item<'i>, DecodeError>>,
    deadlines: bool,
    sink: &mut Sink<'_>,
) -> Result<u64, DecodeError> {
    let mut count = 0;
    while let Some(field) = elements.next() {
        let (field, value) = (field?, second(&mut elements)?);
        let expires = if deadlines {
            match second(&mut elements)? {
                Item::Int(0) => None,
                Item::Int(at @ 1..) => Some(Millis(at)),
                _ => return Err(DecodeError::Deadline),
            }
        } else {
            None
        };
        sink(Part::Field { field, value, expires })?;
        count += 1;
    }
    Ok(count)
}

/// Hands out the members of a packed sorted set, each with its score.
fn members<'i>(
    mut elements: impl Iterator<Item = Result<Item<'i>, DecodeError>>,
    sink: &mut Sink<'_>,
) -> Result<u64, DecodeError> {
    let mut count = 0;
    while let Some(member) = elements.next() {
        let member = member?;
        let score = match second(&mut elements)? {
            Item::Int(score) => score as f64,
            Item::Bytes(text) => pinyon_base::parse_f64(text).ok_or(DecodeError::Score)?,
        };
        sink(Part::Member { member, score })?;
        count += 1;
    }
    Ok(count)
}
