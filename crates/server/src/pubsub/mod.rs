//! Publish and subscribe, over cores that share no list of who listens.
//!
//! ```text
//! core of the publisher                         core with listeners
//!   its own listeners: straight into their output
//!   audience: who else has any? ── Deliver ───▶  its listeners: straight into their output
//!   ◀───────────────────────────── Delivered ──  how many they were
//!   the sum is the reply
//! ```
//!
//! A core knows what its own connections listen to (`listeners`), and of the others only whether they listen to anything
//! (`audience`). That is told before a subscription is confirmed, so whatever is published after the confirmation reaches
//! the new listener. Messages of one core arrive on another in the order in which they were sent, as all mail does.
//!
//! Messages are no replies: they do not wait for the replies of their connection, and CLIENT REPLY does not keep them back.
//! Those that tell of a change wait until the change is durable, where replies do (`deliver`).

pub(crate) mod audience;
mod deliver;
mod listeners;
mod notify;

use std::sync::Arc;

use pinyon_base::Blob;
use pinyon_resp::Output;

use crate::gather::Ticket;
use crate::log::Until;
use crate::slab::Slab;

pub(crate) use listeners::{Listeners, Subscriptions};

/// The three ways to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    /// A channel of SSUBSCRIBE.
    Shard,
}

/// All of them.
pub const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// A message from this length on is shared by all who get it, in bytes.
const BLOB_BYTES_MIN: usize = 32 << 10;

/// What is published: a shard channel's message or another one.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub kind: Kind,
    pub channel: &'a [u8],
    pub text: Text<'a>,
}

/// A message's bytes.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    Bytes(&'a [u8]),
    Blob(&'a Blob),
}

/// A message kept beyond the call.
pub struct Kept {
    kind: Kind,
    channel: Box<[u8]>,
    text: KeptText,
}

enum KeptText {
    Bytes(Box<[u8]>),
    Blob(Blob),
}

impl Kept {
    fn new(message: Message<'_>) -> Kept {
        let text = match message.text {
            Text::Bytes(bytes) => KeptText::Bytes(bytes.into()),
            Text::Blob(blob) => KeptText::Blob(blob.clone()),
        };
        Kept { kind: message.kind, channel: message.channel.into(), text }
    }

    fn message(&self) -> Message<'_> {
        let text = match &self.text {
            KeptText::Bytes(bytes) => Text::Bytes(bytes),
            KeptText::Blob(blob) => Text::Blob(blob),
        };
        Message { kind: self.kind, channel: &self.channel, text }
    }
}

/// What cores tell each other.
pub enum PubsubMail {
    /// To a core that has listeners; it answers with `Delivered`.
    Deliver {
        message: Arc<Kept>,
        publication: u32,
    },
    Delivered {
        publication: u32,
        receivers: u64,
    },
    /// Keyspace events, in order; nobody waits for an answer.
    Events {
        messages: Arc<Vec<Kept>>,
        until: Until,
    },
}

/// A PUBLISH whose other cores have not all answered.
struct Publication {
    ticket: Ticket,
    missing: u32,
    receivers: u64,
}

/// What one core knows.
#[derive(Default)]
pub struct PubSub {
    /// By `Kind`.
    listeners: [Listeners; 3],
    publications: Slab<Publication>,
    /// The message at hand, as it is sent.
    frame: Output,
    /// Somebody listens to something.
    is_heard: bool,
}

impl PubSub {
    pub(crate) fn listeners(&self, kind: Kind) -> &Listeners {
        &self.listeners[kind as usize]
    }

    /// Whether any connection of this core listens to anything.
    #[inline]
    pub(crate) fn has_listeners(&self) -> bool {
        self.is_heard
    }
}
