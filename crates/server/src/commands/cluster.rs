//! CLUSTER, READONLY, READWRITE, ASKING: the cores as nodes of a cluster, for clients that go to each key's core by
//! themselves. Without `core-ports` they answer as a Redis that is no cluster node.
//!
//! The main port answers them, too, so that a client may begin there; it is told that it is at the core which serves its
//! connection.

use std::collections::{BTreeSet, HashSet};

use pinyon_base::number::parse_i64;
use pinyon_base::{DbIndex, SLOT_COUNT, ShardId, Slot, shard_of, slot_of};
use pinyon_engine::CommandError;
use pinyon_engine::command::key::walk::{Wanted, walk_step};
use pinyon_engine::command::server::help;
use pinyon_resp::Writer;

use super::{Call, Result};
use crate::config::EndpointType;
use crate::core::{Core, Io};
use crate::nodes::{Node, node_id};
use crate::session::SessionFlags;

/// Keys looked at in one slice of a walk.
const WALK_SLICE: usize = 512;

const DISABLED: CommandError = CommandError::text("ERR This instance has cluster support disabled");

/// Whether there are nodes at all.
fn enabled(core: &Core) -> Result {
    core.shared.first_core_port.map(drop).ok_or(DISABLED)
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    super::reply_help(core, io, call, help::CLUSTER);
    Ok(())
}

pub fn keyslot(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    core.reply(io, call.conn, |out| out.int(i64::from(slot_of(call.args.get(2)).0)));
    Ok(())
}

pub fn myid(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let id = node_id(&core.shared, core.id.0);
    core.reply(io, call.conn, |out| out.bulk_str(&id));
    Ok(())
}

pub fn nodes(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let now_ms = io.now_ms();
    let lines = core.nodes(call.conn).into_iter().map(|node| node.line(node.core == core.id.0, now_ms));
    let text: String = lines.collect();
    core.reply(io, call.conn, |out| out.verbatim("txt", text.as_bytes()));
    Ok(())
}

pub fn info(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let cores = core.shards;
    let lines = [
        ("cluster_state", "ok".to_owned()),
        ("cluster_slots_assigned", SLOT_COUNT.to_string()),
        ("cluster_slots_ok", SLOT_COUNT.to_string()),
        ("cluster_slots_pfail", "0".to_owned()),
        ("cluster_slots_fail", "0".to_owned()),
        ("cluster_known_nodes", cores.to_string()),
        ("cluster_size", cores.to_string()),
        ("cluster_current_epoch", cores.to_string()),
        ("cluster_my_epoch", (core.id.0 + 1).to_string()),
        ("cluster_stats_messages_sent", "0".to_owned()),
        ("cluster_stats_messages_received", "0".to_owned()),
        ("total_cluster_links_buffer_limit_exceeded", "0".to_owned()),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
    core.reply(io, call.conn, |out| out.verbatim("txt", text.as_bytes()));
    Ok(())
}

pub fn links(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    core.reply(io, call.conn, |out| out.array(0));
    Ok(())
}

pub fn slots(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let nodes = core.nodes(call.conn);
    core.reply(io, call.conn, |out| {
        out.array(nodes.len());
        nodes.iter().for_each(|node| write_range(out, node));
    });
    Ok(())
}

/// One element of CLUSTER SLOTS: first and last slot, and the node, with the endpoints that are not the preferred one.
fn write_range(out: &mut Writer<'_>, node: &Node) {
    out.array(3);
    out.int(i64::from(node.slots.0.0));
    out.int(i64::from(node.slots.1.0));
    out.array(4);
    match node.endpoint() {
        Some(endpoint) => out.bulk_str(endpoint),
        None => out.null(),
    }
    out.int(i64::from(node.port));
    out.bulk_str(&node.id);
    let mut others = Vec::new();
    if node.endpoint_type != EndpointType::Ip {
        others.push(("ip", &node.ip));
    }
    if node.endpoint_type != EndpointType::Hostname && !node.hostname.is_empty() {
        others.push(("hostname", &node.hostname));
    }
    out.map(others.len());
    for (name, value) in others {
        out.bulk_str(name);
        out.bulk_str(value);
    }
}

pub fn shards(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let nodes = core.nodes(call.conn);
    core.reply(io, call.conn, |out| {
        out.array(nodes.len());
        nodes.iter().for_each(|node| write_shard(out, node));
    });
    Ok(())
}

/// One element of CLUSTER SHARDS: the slots, and the one node that has them.
fn write_shard(out: &mut Writer<'_>, node: &Node) {
    out.map(2);
    out.bulk_str("slots");
    out.array(2);
    out.int(i64::from(node.slots.0.0));
    out.int(i64::from(node.slots.1.0));
    out.bulk_str("nodes");
    out.array(1);
    let hostname = (!node.hostname.is_empty()).then_some(&node.hostname);
    out.map(7 + usize::from(hostname.is_some()));
    let mut text = |name: &str, value: &str| {
        out.bulk_str(name);
        out.bulk_str(value);
    };
    text("id", &node.id);
    out.bulk_str("port");
    out.int(i64::from(node.port));
    let mut text = |name: &str, value: &str| {
        out.bulk_str(name);
        out.bulk_str(value);
    };
    text("ip", &node.ip);
    text("endpoint", node.endpoint().unwrap_or_default());
    if let Some(hostname) = hostname {
        text("hostname", hostname);
    }
    text("role", "master");
    out.bulk_str("replication-offset");
    out.int(0);
    out.bulk_str("health");
    out.bulk_str("online");
}

/// Refuses an id that is no core's.
fn known_node(core: &Core, call: &Call<'_>) -> Result {
    enabled(core)?;
    let id = call.args.get(2);
    let known = (0..core.shards).any(|other| node_id(&core.shared, other).as_bytes() == id);
    if known { Ok(()) } else { Err(CommandError::quoting("ERR Unknown node ", id, "")) }
}

pub fn replicas(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    known_node(core, call)?;
    core.reply(io, call.conn, |out| out.array(0));
    Ok(())
}

pub fn count_failure_reports(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    known_node(core, call)?;
    core.reply(io, call.conn, |out| out.int(0));
    Ok(())
}

pub fn countkeysinslot(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let number = parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
    let slot = slot_numbered(number).ok_or(CommandError::text("ERR Invalid slot"))?;
    let Some(owner) = asked_core(core, call, slot) else {
        core.reply(io, call.conn, |out| out.int(0));
        return Ok(());
    };
    let ticket = core.promise(call.conn);
    let (mut cursor, mut page) = (0, Vec::new());
    // By their hashes: a walk may come upon a key twice.
    let mut found = HashSet::new();
    let share = move |core: &mut Core, _: &mut Io| {
        cursor = slot_page(core, slot, cursor, &mut page);
        found.extend(page.drain(..).map(|key| core.exec.shard.hash(&key)));
        (cursor == 0).then_some(found.len())
    };
    core.slices_on(io, owner.0, share, move |core, io, count| core.fulfil(io, ticket, |out| out.int(count as i64)));
    Ok(())
}

pub fn getkeysinslot(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    let number = parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
    let count = parse_i64(call.args.get(3)).ok_or(CommandError::NotInteger)?;
    let (Some(slot), Ok(count)) = (slot_numbered(number), usize::try_from(count)) else {
        return Err(CommandError::text("ERR Invalid slot or number of keys"));
    };
    let owner = asked_core(core, call, slot).filter(|_| count > 0);
    let Some(owner) = owner else {
        core.reply(io, call.conn, |out| out.array(0));
        return Ok(());
    };
    let ticket = core.promise(call.conn);
    let (mut cursor, mut page) = (0, Vec::new());
    let mut found = BTreeSet::new();
    let share = move |core: &mut Core, _: &mut Io| {
        cursor = slot_page(core, slot, cursor, &mut page);
        found.extend(page.drain(..));
        (cursor == 0 || found.len() >= count).then(|| std::mem::take(&mut found))
    };
    core.slices_on(io, owner.0, share, move |core, io, keys: BTreeSet<Vec<u8>>| {
        core.fulfil(io, ticket, |out| {
            out.array(keys.len().min(count));
            keys.iter().take(count).for_each(|key| out.bulk(key));
        });
    });
    Ok(())
}

fn slot_numbered(number: i64) -> Option<Slot> {
    u16::try_from(number).ok().filter(|number| *number < SLOT_COUNT).map(Slot)
}

/// The core whose keys of `slot` are asked for. None: this one has none, as the slot is another's.
fn asked_core(core: &Core, call: &Call<'_>, slot: Slot) -> Option<ShardId> {
    let owner = shard_of(slot, core.shards);
    (owner.0 == core.id.0 || !core.is_on_core_port(call.conn)).then_some(owner)
}

/// Goes over some of this core's keys from `cursor` on and puts those of `slot` into `found`. Gives the next cursor, 0 at
/// the end.
fn slot_page(core: &mut Core, slot: Slot, cursor: u64, found: &mut Vec<Vec<u8>>) -> u64 {
    let all = Wanted::matching(b"*");
    walk_step(&mut core.exec.shard, DbIndex(0), cursor, WALK_SLICE, &all, &mut |key| {
        if slot_of(key) == slot {
            found.push(key.to_vec());
        }
    })
}

pub fn readonly(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    read_from_replicas(core, io, call, true)
}

pub fn readwrite(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    read_from_replicas(core, io, call, false)
}

fn read_from_replicas(core: &mut Core, io: &mut Io, call: &Call<'_>, on: bool) -> Result {
    enabled(core)?;
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.flags.set(SessionFlags::READONLY, on);
    }
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn asking(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    enabled(core)?;
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}
