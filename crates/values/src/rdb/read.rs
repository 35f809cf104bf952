//! Reading an RDB file: bytes into records, however they come.
//!
//! [`Reader::feed`] takes the next bytes and hands out what they complete; it keeps what is not complete yet, which is never
//! more than one unit (a string, a field with its value, a packed collection). [`Reader::finish`] says that no more will
//! come. A damaged file is an error with the offset of the unit in which it shows.

use pinyon_base::Millis;

use super::lead;
use crate::codec::{Crc64, DecodeError, Decoder, Encoding, Input, Part, Refused, Stop, is_known_version};

/// Which server wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Redis,
    Valkey,
}

/// What a file says of a key beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: &'a [u8],
    pub encoding: Encoding,
    /// When the key goes. It may be past.
    pub expires: Option<Millis>,
    /// How many seconds it had not been used.
    pub idle_seconds: Option<u64>,
    /// Its logarithmic counter of uses.
    pub frequency: Option<u8>,
}

/// How the file's checksum turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Right,
    /// The file has none.
    Absent,
}

/// A piece of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    Version {
        product: Product,
        version: u16,
    },
    Aux {
        name: &'a [u8],
        value: &'a [u8],
    },
    Database(u64),
    /// How many keys the database has, and how many of them have deadlines: a hint.
    Sizes {
        keys: u64,
        volatile: u64,
    },
    /// The source of a library of functions.
    Library(&'a [u8]),
    /// Something that this module had in the file was left out.
    ModuleSkipped {
        module: &'a str,
    },
    /// A key; the parts of its value follow.
    Entry(Entry<'a>),
    Part(Part<'a>),
    /// The value is complete; a collection with no elements is to be left out.
    Complete {
        elements: u64,
    },
    End(Checksum),
}

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdbError {
    #[error("this is no RDB file")]
    NotRdb,
    #[error("RDB version {0} is not known")]
    Version(u16),
    #[error("at offset {at}: {error}")]
    Value { at: u64, error: DecodeError },
    #[error("at offset {at}: no record begins with {lead:#04x}")]
    Lead { at: u64, lead: u8 },
    #[error("at offset {at}: functions as a pre-release of 7.0 kept them cannot be read")]
    PreReleaseFunctions { at: u64 },
    #[error("at offset {at}: a key has the value of a module, which only that module can read")]
    ModuleValue { at: u64 },
    #[error("at offset {at}: the checksum is not that of the file")]
    Checksum { at: u64 },
    #[error("the file ends at offset {at}, in the middle")]
    Truncated { at: u64 },
    #[error("at offset {at}: bytes behind the end")]
    BehindEnd { at: u64 },
}

/// What takes the records in.
type RecordSink<'s> = dyn FnMut(Record<'_>) -> Result<(), Refused> + 's;

/// Reads one file.
#[derive(Debug)]
pub struct Reader {
    state: State,
    decoder: Decoder,
    version: u16,
    /// What has come and is not done with.
    kept: Vec<u8>,
    /// That many bytes must be there for the next unit.
    need: usize,
    /// Offset of the first byte that is not done with.
    at: u64,
    crc: Crc64,
    /// Of the key that comes next.
    expires: Option<Millis>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
    scratch: [Vec<u8>; 2],
}

#[derive(Debug)]
enum State {
    Head,
    Record,
    Value,
    Module,
    Checksum,
    End,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            state: State::Head,
            decoder: Decoder::new(Encoding::String),
            version: 0,
            kept: Vec::new(),
            need: 1,
            at: 0,
            crc: Crc64::default(),
            expires: None,
            idle_seconds: None,
            frequency: None,
            scratch: Default::default(),
        }
    }
}

impl Reader {
    /// Takes the next bytes of the file. After an error the reader must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut RecordSink<'_>) -> Result<(), RdbError> {
        if self.kept.is_empty() {
            let done = self.read(bytes, sink)?;
            self.kept.extend_from_slice(&bytes[done..]);
            return Ok(());
        }
        self.kept.extend_from_slice(bytes);
        if self.kept.len() < self.need {
            return Ok(());
        }
        let mut kept = std::mem::take(&mut self.kept);
        let result = self.read(&kept, sink);
        if let Ok(done) = result {
            kept.drain(..done);
            self.kept = kept;
        }
        result.map(drop)
    }

    /// No more bytes will come.
    pub fn finish(&self) -> Result<(), RdbError> {
        match self.state {
            State::End => Ok(()),
            State::Head if self.at == 0 && self.kept.is_empty() => Err(RdbError::NotRdb),
            _ => Err(RdbError::Truncated { at: self.at + self.kept.len() as u64 }),
        }
    }

    /// How many bytes have been done with.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// How many bytes are kept until more come.
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Whether the end of the file has been read.
    pub fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Reads what is complete in `bytes`; says how many those were.
    fn read(&mut self, bytes: &[u8], sink: &mut RecordSink<'_>) -> Result<usize, RdbError> {
        let (mut done, mut summed) = (0, 0);
        while done < bytes.len() {
            if matches!(self.state, State::Checksum) {
                self.crc.update(&bytes[summed..done]);
                summed = done;
            }
            let rest = &bytes[done..];
            let mut input = Input::new(rest);
            let read = match self.unit(&mut input, sink) {
                Ok(()) => input.at(),
                Err(Failure::Stop(Stop::Need(need))) => {
                    self.need = need;
                    break;
                }
                Err(Failure::Stop(Stop::Bad(DecodeError::Module))) => {
                    return Err(RdbError::ModuleValue { at: self.at });
                }
                Err(Failure::Stop(Stop::Bad(error))) => return Err(RdbError::Value { at: self.at, error }),
                Err(Failure::Rdb(error)) => return Err(error),
            };
            self.at += read as u64;
            done += read;
        }
        if !matches!(self.state, State::End) {
            self.crc.update(&bytes[summed..done]);
        }
        Ok(done)
    }

    fn unit(&mut self, input: &mut Input<'_>, sink: &mut RecordSink<'_>) -> Result<(), Failure> {
        match self.state {
            State::Head => self.head(input, sink),
            State::Record => self.record(input, sink),
            State::Value => {
                let decoder = &mut self.decoder;
                let begins_at = self.at - decoder.offset();
                let step = decoder.step(input.rest(), &mut |part| sink(Record::Part(part)));
                let step = step.map_err(|error| RdbError::Value { at: begins_at + decoder.offset(), error })?;
                input.take(step.consumed)?;
                if step.need == 0 {
                    let elements = decoder.elements();
                    self.state = State::Record;
                    sink(Record::Complete { elements })?;
                } else if step.consumed == 0 {
                    return Err(Stop::Need(step.need).into());
                }
                Ok(())
            }
            State::Module => self.module(input),
            State::Checksum => {
                let checksum = u64::from_le_bytes(input.array()?);
                if checksum != 0 && checksum != self.crc.value() {
                    return Err(RdbError::Checksum { at: self.at }.into());
                }
                self.state = State::End;
                Ok(sink(Record::End(if checksum == 0 { Checksum::Absent } else { Checksum::Right }))?)
            }
            State::End => Err(RdbError::BehindEnd { at: self.at }.into()),
        }
    }

    fn head(&mut self, input: &mut Input<'_>, sink: &mut RecordSink<'_>) -> Result<(), Failure> {
        let head: [u8; 9] = input.array()?;
        let (product, digits) = match (head.strip_prefix(b"REDIS"), head.strip_prefix(b"VALKEY")) {
            (Some(digits), _) => (Product::Redis, digits),
            (_, Some(digits)) => (Product::Valkey, digits),
            _ => return Err(RdbError::NotRdb.into()),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(RdbError::NotRdb.into());
        }
        let version = digits.iter().fold(0, |version, digit| version * 10 + u16::from(digit - b'0'));
        if version == 0 || !is_known_version(version) {
            return Err(RdbError::Version(version).into());
        }
        self.version = version;
        self.state = State::Record;
        Ok(sink(Record::Version { product, version })?)
    }

    fn record(&mut self, input: &mut Input<'_>, sink: &mut RecordSink<'_>) -> Result<(), Failure> {
        let [first, second] = &mut self.scratch;
        let at = self.at;
        match input.byte()? {
            lead::AUX => {
                let (name, value) = (input.text(first)?, input.text(second)?);
                sink(Record::Aux { name, value })?;
            }
            lead::DATABASE => sink(Record::Database(input.length()?))?,
            lead::SIZES => sink(Record::Sizes { keys: input.length()?, volatile: input.length()? })?,
            lead::SLOT_INFO => {
                for _ in 0..3 {
                    input.length()?;
                }
            }
            lead::LIBRARY => sink(Record::Library(input.text(first)?))?,
            lead::LIBRARY_PRE_RELEASE => return Err(RdbError::PreReleaseFunctions { at }.into()),
            lead::MODULE => {
                let module = input.length()?;
                self.state = State::Module;
                sink(Record::ModuleSkipped { module: &module_name(module) })?;
            }
            lead::DEADLINE_MS => self.expires = Some(Millis(i64::from_le_bytes(input.array()?))),
            lead::DEADLINE_S => {
                self.expires = Some(Millis(i64::from(i32::from_le_bytes(input.array()?)) * 1000));
            }
            lead::IDLE => self.idle_seconds = Some(input.length()?),
            lead::FREQUENCY => self.frequency = Some(input.byte()?),
            lead::END => {
                // Before version 5 nothing follows.
                self.state = if self.version < 5 { State::End } else { State::Checksum };
                if self.version < 5 {
                    sink(Record::End(Checksum::Absent))?;
                }
            }
            number if number < lead::SLOT_INFO => {
                let encoding = Encoding::of(number, self.version)?;
                let key = input.text(first)?;
                let (expires, idle_seconds, frequency) =
                    (self.expires.take(), self.idle_seconds.take(), self.frequency.take());
                self.decoder.begin(encoding);
                self.state = State::Value;
                sink(Record::Entry(Entry { key, encoding, expires, idle_seconds, frequency }))?;
            }
            other => return Err(RdbError::Lead { at, lead: other }.into()),
        }
        Ok(())
    }

    /// One field of what a module keeps beside the keys: a number says of which sort, 0 that there are no more.
    fn module(&mut self, input: &mut Input<'_>) -> Result<(), Failure> {
        match input.length()? {
            0 => self.state = State::Record,
            1 | 2 => drop(input.length()?),
            3 => drop(input.take(4)?),
            4 => drop(input.take(8)?),
            5 => drop(input.text(&mut self.scratch[0])?),
            _ => return Err(DecodeError::Module.into()),
        }
        Ok(())
    }
}

/// The name of a module's type: nine characters of six bits each, then ten bits of its version.
fn module_name(number: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|i| char::from(CHARACTERS[(number >> (58 - 6 * i) & 63) as usize])).collect()
}

enum Failure {
    Stop(Stop),
    Rdb(RdbError),
}

impl From<RdbError> for Failure {
    fn from(error: RdbError) -> Failure {
        Failure::Rdb(error)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        Failure::Stop(stop)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure::Stop(Stop::Bad(error))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        DecodeError::from(refused).into()
    }
}
