//! MEMORY, but for MEMORY USAGE, which is a command on a key.

use pinyon_engine::command::server::help;
use pinyon_resp::Writer;
use pinyon_runtime::memory;

use super::info::facts::{Facts, Memory, Wanted, ratio};
use super::info::human;
use super::{Call, Result};
use crate::core::{Core, Io};

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::MEMORY);
    Ok(())
}

/// Gathers what is known of memory, and replies what `write` makes of it.
fn with_facts(core: &mut Core, io: &mut Io, call: &Call<'_>, write: fn(&mut Writer<'_>, &Facts)) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        |core, io| core.info_part(io, Wanted::default()),
        move |core, io, parts| {
            let facts = Facts::new(core, parts, false);
            core.fulfil(io, ticket, |out| write(out, &facts));
        },
    );
    Ok(())
}

pub fn stats(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    with_facts(core, io, call, write_stats)
}

/// A value of MEMORY STATS.
enum Value {
    Bytes(u64),
    Difference(u64, u64),
    Double(f64),
}

fn write_stats(out: &mut Writer<'_>, facts: &Facts) {
    use Value::{Bytes, Difference, Double};
    let memory = &facts.memory;
    let dbs = facts.dbs();
    let keys: u64 = dbs.iter().map(|db| db.keys).sum();
    let timers = facts.sum(|part| part.expiry_bytes);
    let volatile: u64 = dbs.iter().map(|db| db.volatile).sum();
    let before = [
        ("peak.allocated", Bytes(memory.peak)),
        ("total.allocated", Bytes(memory.used)),
        ("startup.allocated", Bytes(memory.startup)),
        ("replication.backlog", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(memory.clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
    ];
    let after = [
        ("overhead.total", Bytes(memory.overhead)),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(memory.used.saturating_sub(memory.startup) / keys.max(1))),
        ("dataset.bytes", Bytes(memory.dataset)),
        ("dataset.percentage", Double(memory.dataset_percent())),
        ("peak.percentage", Double(memory.peak_percent())),
        ("allocator.allocated", Bytes(memory.allocated)),
        ("allocator.active", Bytes(memory.active)),
        ("allocator.resident", Bytes(memory.resident)),
        ("allocator-fragmentation.ratio", Double(ratio(memory.active, memory.allocated))),
        ("allocator-fragmentation.bytes", Difference(memory.active, memory.allocated)),
        ("allocator-rss.ratio", Double(ratio(memory.resident, memory.active))),
        ("allocator-rss.bytes", Difference(memory.resident, memory.active)),
        ("rss-overhead.ratio", Double(ratio(memory.rss, memory.resident))),
        ("rss-overhead.bytes", Difference(memory.rss, memory.resident)),
        ("fragmentation", Double(ratio(memory.rss, memory.used))),
        ("fragmentation.bytes", Difference(memory.rss, memory.used)),
    ];
    let used_dbs: Vec<_> = dbs.iter().enumerate().filter(|(_, db)| db.keys > 0).collect();
    out.map(before.len() + used_dbs.len() + after.len());
    write_values(out, &before);
    for (number, db) in used_dbs {
        // The timers of all databases are kept together: each gets its share.
        let expires = (u128::from(timers) * u128::from(db.volatile) / u128::from(volatile.max(1))) as u64;
        out.bulk_str(&format!("db.{number}"));
        out.map(3);
        write_values(
            out,
            &[
                ("overhead.hashtable.main", Bytes(db.table_bytes)),
                ("overhead.hashtable.expires", Bytes(expires)),
                ("overhead.hashtable.slot-to-keys", Bytes(0)),
            ],
        );
    }
    write_values(out, &after);
}

fn write_values(out: &mut Writer<'_>, values: &[(&str, Value)]) {
    for (name, value) in values {
        out.bulk_str(name);
        match value {
            Value::Bytes(bytes) => out.int(*bytes as i64),
            Value::Difference(a, b) => out.int(*a as i64 - *b as i64),
            Value::Double(value) => out.double(*value),
        }
    }
}

pub fn doctor(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    with_facts(core, io, call, |out, facts| out.verbatim("txt", diagnosis(facts).as_bytes()))
}

/// Below this many bytes nothing can be said.
const DIAGNOSIS_BYTES_MIN: u64 = 5 << 20;
/// Above these, a ratio is worth a remark, if it is about at least this many bytes.
const RATIO_MAX: f64 = 1.4;
const REMARK_BYTES_MIN: u64 = 10 << 20;
/// Mean memory of a connection that is worth a remark, in bytes.
const CLIENT_BYTES_MAX: u64 = 200 << 10;

fn diagnosis(facts: &Facts) -> String {
    let memory = &facts.memory;
    if memory.used < memory.startup + DIAGNOSIS_BYTES_MIN {
        return "There is too little data here for a judgement.\n".to_owned();
    }
    let remarks = remarks(memory, facts.sum(|part| part.clients.count));
    if remarks.is_empty() {
        return "Memory is in order: nothing to report.\n".to_owned();
    }
    remarks.iter().map(|remark| format!("* {remark}\n")).collect()
}

fn remarks(memory: &Memory, clients: u64) -> Vec<String> {
    let mut remarks = Vec::new();
    let is_large = |a: u64, b: u64| ratio(a, b) > RATIO_MAX && a - b > REMARK_BYTES_MIN;
    if is_large(memory.peak, memory.used) {
        remarks.push(format!(
            "Peak: {} were in use once, {} are now. What was freed may still count as resident memory; MEMORY PURGE asks \
             for its return.",
            human(memory.peak),
            human(memory.used)
        ));
    }
    if is_large(memory.active, memory.allocated) {
        remarks.push(format!(
            "Fragmentation: the allocator holds {} for {} in use. Keys of many sizes were deleted; new ones will fill the \
             gaps.",
            human(memory.active),
            human(memory.allocated)
        ));
    }
    if is_large(memory.rss, memory.active) {
        remarks.push(format!(
            "Resident memory: the process has {} where the allocator holds {}. Look for transparent huge pages set to \
             always.",
            human(memory.rss),
            human(memory.active)
        ));
    }
    if clients > 0 && memory.clients / clients > CLIENT_BYTES_MAX {
        remarks.push(format!(
            "Clients: they take {} each on average. Look in CLIENT LIST for large qbuf and omem: commands that wait, or \
             replies that are not read.",
            human(memory.clients / clients)
        ));
    }
    remarks
}

pub fn malloc_stats(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    with_facts(core, io, call, |out, facts| {
        let memory = &facts.memory;
        let slack = facts.sum(|part| part.slack_bytes);
        let lines = [
            ("allocated", memory.allocated),
            ("  of that free for new entries or about to be freed", slack),
            ("held from the system", memory.active),
            ("resident, whole process", memory.rss),
            ("highest use seen", memory.peak),
        ];
        let mut text = "mimalloc, bytes:\n".to_owned();
        for (name, bytes) in lines {
            text.push_str(&format!("{name}: {bytes}\n"));
        }
        out.verbatim("txt", text.as_bytes());
    })
}

pub fn purge(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(io, |_, _| memory::purge(), move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_say_what_is_wrong() {
        const MIB: u64 = 1 << 20;
        let fine = Memory {
            used: 100 * MIB,
            peak: 110 * MIB,
            allocated: 100 * MIB,
            active: 110 * MIB,
            resident: 110 * MIB,
            rss: 115 * MIB,
            clients: MIB,
            ..Memory::default()
        };
        let starts = |memory: Memory, clients: u64| -> Vec<String> {
            let first_word = |remark: &String| remark.split(':').next().unwrap_or_default().to_owned();
            remarks(&memory, clients).iter().map(first_word).collect()
        };
        assert!(starts(fine, 100).is_empty());
        assert_eq!(starts(Memory { peak: 300 * MIB, ..fine }, 100), ["Peak"]);
        assert_eq!(starts(Memory { active: 200 * MIB, rss: 200 * MIB, ..fine }, 100), ["Fragmentation"]);
        assert_eq!(starts(Memory { rss: 300 * MIB, ..fine }, 100), ["Resident memory"]);
        assert_eq!(starts(fine, 2), ["Clients"]);
    }
}
