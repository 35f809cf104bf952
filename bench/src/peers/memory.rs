//! Memory per key: resident bytes of a fresh server before and after it was loaded, over the number of its keys.
//!
//! Resident memory is what the operator pays for, allocator and all. It is read once it has stopped moving, since some
//! servers go on rehashing or giving back for a while.

use std::time::Duration;

use super::campaign::{Campaign, said, spoken};
use super::client::Reply;
use super::generator::longest;
use super::record::{Memory, Record};
use super::server::{Peer, PeerKind, Server};
use super::workload::Workload;

/// How many keys are looked at for their mean length.
const SAMPLED_KEYS: usize = 200;

pub fn run(campaign: &mut Campaign, workload: &Workload) -> Result<(), String> {
    campaign.describe(workload, &workload.runs(campaign.orders.quick).1, None)?;
    let mut key_bytes = 0.0;
    for peer in campaign.orders.peers.clone() {
        match one(campaign, workload, &peer) {
            Ok(mut record) => {
                // All servers hold the same keys; memcached cannot be asked for one.
                key_bytes = if record.key_bytes > 0.0 { record.key_bytes } else { key_bytes };
                record.key_bytes = key_bytes;
                said(&format!("    {:<10} {:>7.1} bytes per key", record.server, record.per_key()));
                campaign.journal.add(Record::Memory(record))?;
            }
            Err(reason) => campaign.leave_out(workload, peer.kind, &reason)?,
        }
    }
    Ok(())
}

fn one(campaign: &Campaign, workload: &Workload, peer: &Peer) -> Result<Memory, String> {
    let server = campaign.start(workload, peer, &campaign.launch(workload, peer.kind))?;
    let options = spoken(peer.kind, workload.runs(campaign.orders.quick).1);
    let empty_bytes = server.settled_bytes(Duration::from_secs(2))?;
    let load = campaign.generator().run(&options, server.port, server.pid(), longest(&options))?;
    if load.errors > 0 {
        return Err(format!("{} errors while loading ({})", load.errors, load.error_texts.join("; ")));
    }
    let full_bytes = server.settled_bytes(Duration::from_secs(10))?;
    let memcached = peer.kind == PeerKind::Memcached;
    let asked = options.number("keys").unwrap_or(0.0) as u64;
    let keys = if memcached { asked } else { server.keys()? };
    if keys == 0 || (workload.value_bytes.is_some() && keys != asked) {
        return Err(format!("it holds {keys} keys, not {asked}"));
    }
    Ok(Memory {
        workload: workload.name.clone(),
        server: peer.kind.name().to_owned(),
        keys,
        empty_bytes,
        full_bytes,
        key_bytes: if memcached { 0.0 } else { mean_key_bytes(&server)? },
        loaded_per_s: load.ops_per_s,
        command_line: server.command_line.clone(),
    })
}

fn mean_key_bytes(server: &Server) -> Result<f64, String> {
    let mut client = server.client()?;
    let mut bytes = 0;
    for _ in 0..SAMPLED_KEYS {
        match client.call(&["RANDOMKEY"]) {
            Ok(Reply::Text(key)) => bytes += key.len(),
            other => return Err(format!("RANDOMKEY gave {other:?}")),
        }
    }
    Ok(bytes as f64 / SAMPLED_KEYS as f64)
}
