//! An RDB file into a new store: its keys become a snapshot of one shard, which any number of shards can load.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pinyon_base::{DbIndex, Millis, ShardId};
use pinyon_durability::manifest::SnapshotRef;
use pinyon_durability::snapshot::{SnapshotHeader, SnapshotWriter};
use pinyon_durability::{Disk, Epoch, Manifest, ServerId, SnapshotId, StdDisk, names};
use pinyon_engine::keyspace::{ForeignEntry, write_entry};
use pinyon_values::codec::Collector;
use pinyon_values::rdb::{Reader, Record};

use crate::ExchangeError;

const ID: SnapshotId = SnapshotId(1);
/// Entries of the file's snapshot are of the first epoch; logs begin behind it.
const EPOCH: Epoch = Epoch(1);
const BLOCK_BYTES: usize = 256 << 10;
const READ_BYTES: usize = 1 << 20;

/// What was found in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub keys: u64,
    /// Keys whose deadline had passed, which are left out.
    pub expired: u64,
    /// Libraries of functions and data of modules, which are left out, too.
    pub skipped: u64,
}

/// Makes the store `server` in the folder `disk`, which has none, out of the file. `progress` is told of bytes that were read.
pub fn import(
    file: &Path,
    disk: &StdDisk,
    server: ServerId,
    now: Millis,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, ExchangeError> {
    let failed = |error| ExchangeError::File { path: file.to_path_buf(), error };
    let mut source = File::open(file).map_err(failed)?;
    let folder = names::snapshot_folder(ID);
    disk.create_folder("")?;
    disk.create_folder(&folder)?;
    let header = SnapshotHeader { server, id: ID, epoch: EPOCH, shard: ShardId(0), shards: 1 };
    let mut target = Target {
        disk,
        path: names::snapshot_file(ID, ShardId(0)),
        at: 0,
        writer: SnapshotWriter::new(header, BLOCK_BYTES, true),
        keys: Keys {
            now,
            db: DbIndex(0),
            current: None,
            value: Collector::default(),
            entry: Vec::new(),
            found: Imported::default(),
        },
    };
    disk.create(&target.path)?;
    let mut reader = Reader::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = source.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        let mut database = None;
        let Target { writer, keys, .. } = &mut target;
        let fed = reader.feed(&buffer[..count], &mut |record| {
            if let Record::Database(number) = record
                && u16::try_from(number).is_err()
            {
                database = Some(number);
            }
            keys.take(record, writer)
        });
        if let Some(number) = database {
            return Err(ExchangeError::Database(number));
        }
        fed.map_err(|error| ExchangeError::Rdb { path: file.to_path_buf(), error })?;
        target.write_out()?;
        progress(count as u64);
    }
    reader.finish().map_err(|error| ExchangeError::Rdb { path: file.to_path_buf(), error })?;
    target.finish(server, now)
}

/// The snapshot while it is written.
struct Target<'d> {
    disk: &'d StdDisk,
    path: String,
    at: u64,
    writer: SnapshotWriter,
    keys: Keys,
}

/// The file's records, as they come.
struct Keys {
    now: Millis,
    db: DbIndex,
    current: Option<ForeignEntry>,
    value: Collector,
    entry: Vec<u8>,
    found: Imported,
}

impl Keys {
    fn take(&mut self, record: Record<'_>, writer: &mut SnapshotWriter) -> Result<(), pinyon_values::codec::Refused> {
        match record {
            Record::Database(number) => self.db = DbIndex(number as u16),
            Record::Entry(entry) => {
                self.current = Some(ForeignEntry {
                    db: self.db,
                    key: entry.key.to_vec(),
                    deadline: entry.expires,
                    idle_seconds: entry.idle_seconds,
                    frequency: entry.frequency,
                });
            }
            Record::Part(part) => self.value.put(part)?,
            Record::Complete { .. } => {
                let (Some(entry), Some(value)) = (self.current.take(), self.value.take()) else { return Ok(()) };
                let is_stream = value.kind() == pinyon_values::codec::Kind::Stream;
                let is_text = value.kind() == pinyon_values::codec::Kind::String;
                if entry.deadline.is_some_and(|at| at <= self.now) {
                    self.found.expired += 1;
                } else if !value.is_empty() || is_stream || is_text {
                    self.entry.clear();
                    write_entry(&entry, &value, self.now, &mut self.entry);
                    writer.entry();
                    writer.piece(&self.entry);
                    self.found.keys += 1;
                }
            }
            Record::Library(_) | Record::ModuleSkipped { .. } => self.found.skipped += 1,
            Record::Version { .. } | Record::Aux { .. } | Record::Sizes { .. } | Record::End(_) => {}
        }
        Ok(())
    }
}

impl Target<'_> {
    fn write_out(&mut self) -> Result<(), ExchangeError> {
        while let Some(bytes) = self.writer.take() {
            self.disk.write(&self.path, self.at, &bytes)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    /// The manifest comes last: without it there is no store.
    fn finish(mut self, server: ServerId, now: Millis) -> Result<Imported, ExchangeError> {
        self.write_out()?;
        let (rest, file) = self.writer.finish();
        for bytes in rest {
            self.disk.write(&self.path, self.at, &bytes)?;
            self.at += bytes.len() as u64;
        }
        self.disk.sync(&self.path)?;
        self.disk.sync_folder(&names::snapshot_folder(ID))?;
        self.disk.sync_folder("")?;
        let snapshot = SnapshotRef { id: ID, epoch: EPOCH, time: now.0.max(0) as u64, files: vec![file] };
        Manifest { snapshot: Some(snapshot), ..Manifest::fresh(server) }.install(self.disk)?;
        Ok(self.keys.found)
    }
}
