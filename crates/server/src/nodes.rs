//! The cores as nodes of a cluster: their ids, ports and slots, how clients reach them, and the errors that send a client
//! from one to another.
//!
//! Only for clients: there is no bus between nodes, and their slots never move. Everybody is told the address that he has
//! connected to himself, unless the configuration says another one.

use std::fmt::Write;
use std::ops::Range;

use pinyon_base::{DbIndex, ShardId, Slot, sha1, shard_of, slot_of, slots_of};
use pinyon_engine::CommandError;
use pinyon_engine::command::key::transfer::copy_options;
use pinyon_engine::command::keys_of::keys;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Command, Flags, Handler, ServerCommand, Spread};
use pinyon_resp::Args;
use pinyon_runtime::ConnId;

use crate::config::{Config, EndpointType};
use crate::core::Core;
use crate::session::{Session, SessionFlags};
use crate::shared::Shared;

/// Keys of one command on a core's port that lie in different slots.
pub const CROSS_SLOT: CommandError = CommandError::text("CROSSSLOT Keys in request don't hash to the same slot");

/// One core, as a client is to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub core: u16,
    /// 40 hexadecimal digits, the same while the process lives.
    pub id: String,
    pub ip: String,
    /// Empty: none is configured.
    pub hostname: String,
    pub endpoint_type: EndpointType,
    pub port: u16,
    /// First and last slot.
    pub slots: (Slot, Slot),
}

impl Node {
    /// The endpoint in the type that is preferred. None: the client knows it.
    pub fn endpoint(&self) -> Option<&str> {
        match self.endpoint_type {
            EndpointType::Ip => Some(&self.ip),
            EndpointType::Hostname if self.hostname.is_empty() => Some("?"),
            EndpointType::Hostname => Some(&self.hostname),
            EndpointType::Unknown => None,
        }
    }

    /// The slots as CLUSTER NODES shows them.
    pub fn slots_text(&self) -> String {
        let (Slot(first), Slot(last)) = self.slots;
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    }

    /// Its line in CLUSTER NODES, newline included.
    pub fn line(&self, myself: bool, now_ms: i64) -> String {
        let (flags, seen_ms) = if myself { ("myself,master", 0) } else { ("master", now_ms) };
        let mut line = format!("{} {}:{}@0", self.id, self.ip, self.port);
        if !self.hostname.is_empty() {
            // Writing into a String does not fail.
            let _ = write!(line, ",{}", self.hostname);
        }
        // Epochs differ so that nobody sees two nodes claim the same one.
        let epoch = u32::from(self.core) + 1;
        let _ = writeln!(line, " {flags} - 0 {seen_ms} {epoch} connected {}", self.slots_text());
        line
    }

    /// The error that sends a client here for `slot`.
    fn moved(&self, slot: Slot) -> CommandError {
        let endpoint = self.endpoint().unwrap_or_default();
        CommandError::Other(format!("MOVED {} {endpoint}:{}", slot.0, self.port).into())
    }
}

/// The node id of a core.
pub fn node_id(shared: &Shared, core: u16) -> String {
    let digest = sha1(&[b"node", shared.run_id.as_bytes(), &core.to_be_bytes()]);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A core as the client of `session` is to see it. None: cores have no ports of their own.
fn node(shared: &Shared, config: &Config, session: &Session, core: u16) -> Option<Node> {
    let first = shared.first_core_port?;
    let announced = if config.cluster_announce_port == 0 { first } else { config.cluster_announce_port };
    let ip = match (&*config.cluster_announce_ip, session.details.peer.local) {
        ("", Some(local)) => local.ip().to_canonical().to_string(),
        // Over a unix socket: the client is on this machine.
        ("", None) => {
            let bound = shared.own_addresses.iter().find(|address| !address.ip().is_unspecified());
            bound.map_or_else(|| "127.0.0.1".to_owned(), |address| address.ip().to_string())
        }
        (ip, _) => ip.to_owned(),
    };
    Some(Node {
        core,
        id: node_id(shared, core),
        ip,
        hostname: config.cluster_announce_hostname.clone(),
        endpoint_type: config.cluster_preferred_endpoint_type,
        port: announced.saturating_add(core),
        slots: slots_of(ShardId(core), shared.shards),
    })
}

/// The error for a command that would take a key to another database.
pub fn other_database(row: &Command) -> CommandError {
    CommandError::text(match row.handler {
        Handler::Spread(Spread::Copy, _) => "ERR Copying to another database is not allowed in cluster mode",
        _ => "ERR MOVE is not allowed in cluster mode",
    })
}

/// The positions of a command's shard channels: each belongs to a slot as a key does.
fn shard_channels(row: &Command, args: Args<'_>) -> Range<usize> {
    match row.handler {
        Handler::Server(ServerCommand::Spublish) => 1..2,
        Handler::Server(ServerCommand::Ssubscribe | ServerCommand::Sunsubscribe) => 1..args.len(),
        _ => 0..0,
    }
}

impl Core {
    /// All cores as the client of `conn` is to see them; none when they have no ports of their own.
    pub fn nodes(&self, conn: ConnId) -> Vec<Node> {
        let Some(session) = self.sessions.get(conn) else { return Vec::new() };
        (0..self.shards).filter_map(|core| node(&self.shared, &self.config, session, core)).collect()
    }

    /// Whether a connection came in by this core's own port.
    pub fn is_on_core_port(&self, conn: ConnId) -> bool {
        self.sessions.get(conn).is_some_and(|session| session.flags.contains(SessionFlags::CORE_PORT))
    }

    /// Whether a command on a core's own port would take a key to another database: nodes have one.
    pub(crate) fn leaves_node(&self, conn: ConnId, row: &Command, args: Args<'_>) -> bool {
        let copies = || copy_options(args, DbIndex(0), self.settings.databases).is_ok_and(|to| to.db != DbIndex(0));
        let leaves = match row.handler {
            Handler::Spread(Spread::Copy, _) => copies(),
            _ => row.flags.contains(Flags::LEAVES_DB),
        };
        leaves && self.is_on_core_port(conn)
    }

    /// What keeps a command from running on a core's own port: keys of several slots, or of another core.
    pub(crate) fn redirect(&self, conn: ConnId, id: CommandId, args: Args<'_>) -> Result<(), CommandError> {
        let Some(session) = self.sessions.get(conn) else { return Ok(()) };
        if !session.flags.contains(SessionFlags::CORE_PORT) {
            return Ok(());
        }
        let entry = registry().entry(id);
        let mut slots = keys(entry, args).chain(shard_channels(entry.row, args)).map(|at| slot_of(args.get(at)));
        let Some(slot) = slots.next() else { return Ok(()) };
        if slots.any(|other| other != slot) {
            return Err(CROSS_SLOT);
        }
        let owner = shard_of(slot, self.shards).0;
        if owner == self.id.0 {
            return Ok(());
        }
        node(&self.shared, &self.config, session, owner).map_or(Ok(()), |node| Err(node.moved(slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            core: 1,
            id: "ab".repeat(20),
            ip: "10.0.0.1".to_owned(),
            hostname: String::new(),
            endpoint_type: EndpointType::Ip,
            port: 6381,
            slots: (Slot(8192), Slot(16383)),
        }
    }

    /// As redis-server 7.0.15 writes them.
    #[test]
    fn endpoints_by_their_type() {
        let text = |node: &Node| node.moved(Slot(12182)).to_string();
        let mut node = node();
        assert_eq!(text(&node), "MOVED 12182 10.0.0.1:6381");
        node.endpoint_type = EndpointType::Hostname;
        assert_eq!(text(&node), "MOVED 12182 ?:6381");
        node.hostname = "host.one".to_owned();
        assert_eq!(text(&node), "MOVED 12182 host.one:6381");
        node.endpoint_type = EndpointType::Unknown;
        assert_eq!(text(&node), "MOVED 12182 :6381");
    }

    #[test]
    fn lines_of_cluster_nodes() {
        let mut node = node();
        let id = "ab".repeat(20);
        assert_eq!(node.line(false, 77), format!("{id} 10.0.0.1:6381@0 master - 0 77 2 connected 8192-16383\n"));
        node.hostname = "host.one".to_owned();
        node.slots.1 = Slot(8192);
        assert_eq!(
            node.line(true, 77),
            format!("{id} 10.0.0.1:6381@0,host.one myself,master - 0 0 2 connected 8192\n")
        );
    }
}
