//! The neutral form between encoded values and data structures: a value as a row of parts.
//!
//! ```text
//!  String                                             a string
//!  Long, Piece…, End                                  a string that comes in pieces
//!  Begin(List), Item…, End                            likewise Begin(Set)
//!  Begin(Hash), Field…, End
//!  Begin(SortedSet), Member…, End
//!  Begin(Stream), Entry…, StreamState,
//!      (Group, Pending…, Consumers, (Consumer, Owned…)…)…, End
//! ```
//!
//! What gives a value away makes these parts one by one, what takes one in is handed them one by one: neither needs a copy of the
//! whole, and either may rest between two of them.

use pinyon_base::Millis;

use super::Refused;
use crate::Item;
pub use crate::stream::StreamId;

/// What takes the parts of a value in. It must not trust numbers that they claim: what counts is what comes.
pub type Sink<'s> = dyn FnMut(Part<'_>) -> Result<(), Refused> + 's;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    String,
    List,
    Set,
    Hash,
    SortedSet,
    Stream,
}

/// A piece of a value. Strings are borrowed from what was read or from the structure that they are in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    String(Item<'a>),
    /// A string of `len` bytes comes in pieces.
    Long {
        len: u64,
    },
    Piece(&'a [u8]),
    /// A collection of `about` elements, where the encoding says that ahead; else 0.
    Begin {
        kind: Kind,
        about: u64,
    },
    /// Of a list, first to last, or of a set.
    Item(Item<'a>),
    Field {
        field: Item<'a>,
        value: Item<'a>,
        /// When the field goes. It may be past.
        expires: Option<Millis>,
    },
    /// The score is a number, or infinite.
    Member {
        member: Item<'a>,
        score: f64,
    },
    /// Of a stream, in the order of their names.
    Entry {
        id: StreamId,
        fields: &'a [(Item<'a>, Item<'a>)],
    },
    StreamState(StreamState),
    Group(Group<'a>),
    /// An entry that was delivered to a consumer of the group and is not yet acknowledged.
    Pending {
        id: StreamId,
        delivered_at: Millis,
        deliveries: u64,
    },
    /// How many consumers the group has.
    Consumers(u64),
    Consumer(Consumer<'a>),
    /// The consumer is the one to which this pending entry was delivered.
    Owned(StreamId),
    End,
}

/// What a stream knows beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Number of entries.
    pub length: u64,
    /// The highest name ever given.
    pub last_id: StreamId,
    /// The name of the first entry, and what else versions before 7.0 did not write.
    pub first_id: Option<StreamId>,
    pub max_deleted_id: Option<StreamId>,
    /// How many entries were ever added.
    pub entries_added: Option<u64>,
    /// How many groups come.
    pub groups: u64,
}

/// A consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    pub name: &'a [u8],
    /// The last entry delivered.
    pub last_id: StreamId,
    /// How many entries of the stream the group has read, where that is known.
    pub entries_read: Option<u64>,
    /// How many pending entries come.
    pub pending: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer<'a> {
    pub name: &'a [u8],
    /// When it last tried to read or claim.
    pub seen_at: Millis,
    /// When it last got something. Versions before 7.2 did not write it.
    pub active_at: Option<Millis>,
    /// How many pending entries are its own.
    pub pending: u64,
}
