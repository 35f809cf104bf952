//! Values as commands see them: borrowed from the table, to be stored, or taken out of it.

use pinyon_base::number::{parse_i64, write_i64};
use pinyon_base::{Blob, Millis};
use pinyon_resp::Writer;
use pinyon_values::{Collection, CollectionRef};

use super::access::AccessWord;

/// The longest string that Redis keeps in one block with its header; OBJECT ENCODING tells longer ones "raw".
pub const EMBSTR_LEN_MAX: usize = 44;

/// Shorter strings are copied into the reply: that costs less than a piece of its own in what is sent.
const BY_REFERENCE_LEN_MIN: usize = 32 << 10;

/// What TYPE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    String,
    List,
    Set,
    ZSet,
    Hash,
    Stream,
}

impl KeyType {
    pub const ALL: [KeyType; 6] =
        [KeyType::String, KeyType::List, KeyType::Set, KeyType::ZSet, KeyType::Hash, KeyType::Stream];

    /// The name that TYPE replies and SCAN's TYPE option takes.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::String => "string",
            KeyType::List => "list",
            KeyType::Set => "set",
            KeyType::ZSet => "zset",
            KeyType::Hash => "hash",
            KeyType::Stream => "stream",
        }
    }

    /// The type of that name, in any case.
    pub fn named(name: &[u8]) -> Option<KeyType> {
        KeyType::ALL.into_iter().find(|one| name.eq_ignore_ascii_case(one.name().as_bytes()))
    }

    /// The type of a collection.
    pub fn of(collection: CollectionRef<'_>) -> KeyType {
        match collection {
            CollectionRef::Hash(_) => KeyType::Hash,
            CollectionRef::List(_) => KeyType::List,
            CollectionRef::Set(_) => KeyType::Set,
            CollectionRef::ZSet(_) => KeyType::ZSet,
            CollectionRef::Stream(_) => KeyType::Stream,
        }
    }
}

/// A value borrowed from the keyspace.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'v> {
    /// A string that is the decimal text of an integer.
    Int(i64),
    /// A string of at most a few KiB.
    Bytes(&'v [u8]),
    /// Like `Bytes`, but made by a command after which Redis calls the encoding "raw" at any length (APPEND, SETRANGE).
    Raw(&'v [u8]),
    /// A longer string, shared by reference with the replies that carry it.
    Blob(&'v Blob),
    /// A hash, list, set, sorted set or stream. What follows is for strings: whoever uses it has looked at the type.
    Collection(CollectionRef<'v>),
}

impl<'v> ValueRef<'v> {
    /// Length of the string in bytes (of an integer: of its decimal text).
    pub fn len(&self) -> usize {
        match self {
            ValueRef::Int(value) => write_i64(&mut [0; 20], *value).len(),
            ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => bytes.len(),
            ValueRef::Blob(blob) => blob.len(),
            ValueRef::Collection(_) => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replies the string as a bulk string. Long strings go out by reference.
    #[inline]
    pub fn write_bulk(&self, out: &mut Writer<'_>) {
        match self {
            ValueRef::Int(value) => out.bulk_int(*value),
            ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => out.bulk(bytes),
            ValueRef::Blob(blob) if blob.len() < BY_REFERENCE_LEN_MIN => out.bulk(blob),
            ValueRef::Blob(blob) => out.bulk_blob(blob),
            ValueRef::Collection(_) => {
                debug_assert!(false, "a collection is no bulk string");
                out.null();
            }
        }
    }

    /// The string's bytes; an integer's digits are written into `scratch`.
    pub fn as_bytes<'s>(&'s self, scratch: &'s mut [u8; 20]) -> &'s [u8] {
        match self {
            ValueRef::Int(value) => write_i64(scratch, *value),
            ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => bytes,
            ValueRef::Blob(blob) => blob,
            ValueRef::Collection(_) => b"",
        }
    }

    /// A copy of the string's bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut [0; 20]).to_vec()
    }

    /// The integer that the string spells exactly as Redis accepts it for INCR; `None` otherwise.
    pub fn parse_i64(&self) -> Option<i64> {
        match self {
            ValueRef::Int(value) => Some(*value),
            ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => parse_i64(bytes),
            ValueRef::Blob(_) | ValueRef::Collection(_) => None,
        }
    }

    #[inline]
    pub fn key_type(&self) -> KeyType {
        match self {
            ValueRef::Collection(collection) => KeyType::of(*collection),
            _ => KeyType::String,
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            ValueRef::Int(_) => "int",
            ValueRef::Bytes(bytes) if bytes.len() <= EMBSTR_LEN_MAX => "embstr",
            ValueRef::Bytes(_) | ValueRef::Raw(_) | ValueRef::Blob(_) => "raw",
            // As before Redis 7.2: a list is one at any length.
            ValueRef::Collection(CollectionRef::List(_)) => "quicklist",
            ValueRef::Collection(collection) => collection.encoding(),
        }
    }
}

/// A value to be stored.
#[derive(Clone, Debug)]
pub enum NewValue<'v> {
    /// A string as SET stores it: an integer's text becomes `Int`.
    Text(&'v [u8]),
    /// A string that stays a string even if it spells an integer (INCRBYFLOAT's result): "embstr" or "raw" by length.
    Plain(&'v [u8]),
    /// A string whose encoding is "raw" at any length (APPEND, SETRANGE, SETBIT).
    Raw(&'v [u8]),
    Int(i64),
    /// A long string, taken over without a copy.
    Blob(Blob),
}

/// What becomes of a key's deadline when its value is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The key is persistent afterwards.
    Clear,
    /// The deadline stays as it is.
    Keep,
    /// The key expires at this moment.
    At(Millis),
}

/// A value taken or copied out of a keyspace with its deadline and access word. It may cross to another core.
#[derive(Clone, Debug)]
pub struct OwnedValue {
    pub(super) body: Body,
    pub(super) deadline: Option<Millis>,
    pub(super) access: AccessWord,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Int(i64),
    Bytes(Box<[u8]>),
    Raw(Box<[u8]>),
    Blob(Blob),
    Collection(Collection),
}

impl OwnedValue {
    /// When the value expires, if it does.
    pub fn deadline(&self) -> Option<Millis> {
        self.deadline
    }

    /// Changes when the value expires (COPY and RENAME keep the deadline; RESTORE gives its own).
    pub fn set_deadline(&mut self, at: Option<Millis>) {
        self.deadline = at;
    }

    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match &self.body {
            Body::Int(value) => ValueRef::Int(*value),
            Body::Bytes(bytes) => ValueRef::Bytes(bytes),
            Body::Raw(bytes) => ValueRef::Raw(bytes),
            Body::Blob(blob) => ValueRef::Blob(blob),
            Body::Collection(collection) => ValueRef::Collection(collection.as_ref()),
        }
    }

    pub fn key_type(&self) -> KeyType {
        self.as_ref().key_type()
    }
}
