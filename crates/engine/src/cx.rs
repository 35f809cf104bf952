//! What a command handler works with: the keyspace of its shard and the reply it writes.

use pinyon_resp::Writer;

use crate::keyspace::Keyspace;

/// The context of one command on one shard. The two fields are disjoint, so that a value borrowed from the keyspace can
/// be written to the reply without a copy in between.
pub struct Cx<'a> {
    /// The keys of the selected database on this shard.
    pub ks: Keyspace<'a>,
    /// Where the reply goes.
    pub out: Writer<'a>,
}
