//! A store into an RDB file that redis-server 7.0 loads: the snapshot and the logs are applied to one shard, as at a start,
//! and its keys are written out.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use pinyon_base::{DbIndex, Millis, ShardId};
use pinyon_durability::snapshot::SnapshotFile;
use pinyon_durability::{Plan, StdDisk};
use pinyon_engine::keyspace::{Loader, Shard, ShardConfig, ValueRef};
use pinyon_engine::record::{Replayer, Slots};
use pinyon_values::Item;
use pinyon_values::codec::{Part, Saving, Settings, Shape, shape_of};
use pinyon_values::rdb::{EntryHead, Writer};

use crate::ExchangeError;

/// Pending bytes from which on they are written to the file.
const WRITE_BYTES: usize = 1 << 20;
/// More databases than any server has been seen with; they cost little.
const DATABASES: u16 = 1024;

/// Writes what the plan restores; how many keys.
pub fn export(plan: &Plan, disk: &StdDisk, file: &Path, now: Millis) -> Result<u64, ExchangeError> {
    let mut shard = Shard::new(ShardConfig { databases: DATABASES, ..ShardConfig::default() });
    load(plan, disk, &mut shard)?;
    // From here on deadlines pass.
    shard.begin_turn(now);
    let failed = |error| ExchangeError::File { path: file.to_path_buf(), error };
    let new = file.with_extension("new");
    let mut out = BufWriter::new(File::create(&new).map_err(failed)?);
    let written = write(&mut shard, now, &mut out, &failed)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed)?;
    fs::rename(&new, file).map_err(failed)?;
    Ok(written)
}

fn load(plan: &Plan, disk: &StdDisk, shard: &mut Shard) -> Result<(), ExchangeError> {
    let all = Slots::of(ShardId(0), 1);
    if let Some(snapshot) = &plan.manifest.snapshot {
        shard.begin_turn(Millis(snapshot.time as i64));
        let mut loader = Loader::new(all);
        for (number, file) in snapshot.files.iter().enumerate() {
            let number = ShardId(number as u16);
            let opened = SnapshotFile::open(disk, plan.manifest.server, snapshot.id, number, file)?;
            for unit in 0..opened.units() {
                loader.load(shard, &opened.read_unit(disk, unit)?.bytes)?;
            }
        }
    }
    for run in &plan.runs {
        for log in &run.logs {
            let mut replayer = Replayer::new(Slots::of(log.shard, run.logs.len() as u16), all);
            let mut records = plan.replay(disk, run, log);
            while let Some(record) = records.next_record()? {
                if !record.seal {
                    shard.begin_turn(Millis(record.time as i64));
                    replayer.apply(shard, record.bytes)?;
                }
            }
        }
    }
    Ok(())
}

fn write(
    shard: &mut Shard,
    now: Millis,
    out: &mut dyn Write,
    failed: &dyn Fn(io::Error) -> ExchangeError,
) -> Result<u64, ExchangeError> {
    let mut writer = Writer::new(Settings::default());
    writer.aux("redis-ver", b"7.0.15");
    writer.aux_number("redis-bits", 64);
    writer.aux_number("ctime", now.0 / 1000);
    let mut written = 0;
    for db in (0..DATABASES).map(DbIndex).filter(|db| shard.db_len(*db) > 0).collect::<Vec<_>>() {
        writer.database(db.0, shard.db_len(db) as u64, shard.db_volatile_len(db) as u64);
        let mut cursor = 0;
        loop {
            let mut keys = Vec::new();
            cursor = shard.scan(db, cursor, 1000, &mut |key, _| keys.push(key.to_vec()));
            for key in keys {
                written += u64::from(write_key(shard, db, &key, &mut writer)?);
                if writer.pending().len() >= WRITE_BYTES {
                    out.write_all(writer.pending()).map_err(failed)?;
                    writer.clear();
                }
            }
            if cursor == 0 {
                break;
            }
        }
    }
    writer.finish();
    out.write_all(writer.pending()).map_err(failed)?;
    Ok(written)
}

/// False: its deadline has passed.
fn write_key(shard: &mut Shard, db: DbIndex, bytes: &[u8], writer: &mut Writer) -> Result<bool, ExchangeError> {
    let mut ks = shard.keyspace(db, true);
    let key = ks.key_of(bytes);
    let Some(expires) = ks.deadline(key) else { return Ok(false) };
    let Some(value) = ks.peek(key) else { return Ok(false) };
    let shape = match value {
        ValueRef::Collection(collection) => shape_of(collection),
        _ => Shape::String,
    };
    let head = EntryHead { key: bytes, expires, ..EntryHead::default() };
    let name = || String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
    writer.entry(&head, shape).map_err(|error| ExchangeError::TooNew(name(), error))?;
    match value {
        ValueRef::Int(value) => writer.part(Part::String(Item::Int(value))),
        ValueRef::Bytes(text) | ValueRef::Raw(text) => writer.part(Part::String(Item::of(text))),
        ValueRef::Blob(blob) => writer.part(Part::String(Item::of(blob))),
        ValueRef::Collection(collection) => Saving::all(collection, &mut |part| writer.part(part)),
    }
    Ok(true)
}
