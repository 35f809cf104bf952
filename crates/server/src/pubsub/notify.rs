//! Keyspace events: what the shard says has happened to its keys, published as if somebody had sent a PUBLISH for each and did
//! not wait for the reply.
//!
//! That is done when the turn ends, before anything of it is sent, and before somebody begins or ceases to listen. The events of
//! one shard arrive everywhere in the order in which they happened. Under `appendfsync always` they wait, as replies do, until
//! what they tell is durable.

use std::sync::Arc;

use pinyon_base::DbIndex;
use pinyon_engine::keyspace::Events;
use pinyon_runtime::CoreId;

use super::{Kept, KeptText, Kind, PubsubMail};
use crate::core::{Core, Io, Mail};

impl Core {
    /// Publishes what has happened on this shard and is not told yet.
    #[inline]
    pub(crate) fn publish_events(&mut self, io: &mut Io) {
        if self.exec.shard.has_events() {
            self.take_and_publish(io);
        }
    }

    #[cold]
    fn take_and_publish(&mut self, io: &mut Io) {
        // What a transaction has done so far has no record yet that could be waited for.
        if self.exec.holds && self.exec.log.as_ref().is_some_and(|log| log.has_open_parts()) {
            return;
        }
        let wanted = self.exec.shard.wanted_events();
        let heard_here = [Kind::Channel, Kind::Pattern].iter().any(|&kind| !self.pubsub.listeners(kind).is_empty());
        let heard_elsewhere = self.others_listen(Kind::Channel);
        let mut messages = Vec::new();
        self.exec.shard.take_events(|db, event, key| {
            if heard_here || heard_elsewhere {
                tell(wanted, db, event, key, &mut messages);
            }
        });
        let until = self.until_of_log();
        for kept in &messages {
            self.deliver_message(io, kept.message(), until);
        }
        if messages.is_empty() || !heard_elsewhere {
            return;
        }
        let messages = Arc::new(messages);
        for core in (0..self.shards).filter(|&core| core != self.id.0) {
            if self.shared.audience.listens(core, Kind::Channel) {
                let messages = messages.clone();
                io.mail(CoreId(core), Mail::Pubsub(Box::new(PubsubMail::Events { messages, until })));
            }
        }
    }
}

/// The messages that tell of one event: by key, and by event.
fn tell(wanted: Events, db: DbIndex, event: &str, key: &[u8], messages: &mut Vec<Kept>) {
    let mut message = |place: &str, name: &[u8], text: &[u8]| {
        let mut channel = format!("__{place}@{}__:", db.0).into_bytes();
        channel.extend_from_slice(name);
        messages.push(Kept { kind: Kind::Channel, channel: channel.into(), text: KeptText::Bytes(text.into()) });
    };
    if wanted.contains(Events::BY_KEY) {
        message("keyspace", key, event.as_bytes());
    }
    if wanted.contains(Events::BY_EVENT) {
        message("keyevent", event.as_bytes(), key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_by_key_and_by_event() {
        let told = |letters: &str| {
            let mut messages = Vec::new();
            tell(Events::parse(letters), DbIndex(9), "set", b"k\0y", &mut messages);
            let text = |kept: &Kept| match &kept.text {
                KeptText::Bytes(bytes) => [&kept.channel[..], b" ", bytes].concat(),
                KeptText::Blob(_) => unreachable!("events are short"),
            };
            messages.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(told("KEA"), [&b"__keyspace@9__:k\0y set"[..], b"__keyevent@9__:set k\0y"]);
        assert_eq!(told("KA"), [b"__keyspace@9__:k\0y set"]);
        assert_eq!(told("EA"), [b"__keyevent@9__:set k\0y"]);
    }
}
