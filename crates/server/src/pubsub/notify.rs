//! Keyspace events: what the shard says has happened to its keys, published at the end of the turn.

use crate::core::{Core, Io};

impl Core {
    /// Publishes what has happened on this shard, as if somebody had sent a PUBLISH for each and did not wait.
    #[inline]
    pub(crate) fn publish_events(&mut self, _io: &mut Io) {}
}
