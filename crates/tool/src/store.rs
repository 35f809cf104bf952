//! Finding a store, and reading all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinyon_base::ShardId;
use pinyon_durability::history::Scans;
use pinyon_durability::scan::scan_segment;
use pinyon_durability::snapshot::SnapshotFile;
use pinyon_durability::{Disk, Found, Manifest, RecoveryError, StdDisk, Store, names, recovery};

use crate::error::ToolError;
use crate::progress::Progress;

/// Where a server keeps its store below its dir, unless it is told otherwise.
pub const FOLDER: &str = "appendonlydir";

/// The store's folder: the one given, or the one in it.
pub fn folder_of(dir: &Path) -> Result<PathBuf, ToolError> {
    let candidates = [dir.to_path_buf(), dir.join(FOLDER)];
    let found = candidates.into_iter().find(|folder| {
        let disk = StdDisk::new(folder);
        // A part of a store counts, too: what is wrong with it is said when it is opened.
        disk.list("").is_ok_and(|names| names.iter().any(|name| names::read(name).is_some()))
    });
    found.ok_or_else(|| ToolError::NoStore(dir.to_path_buf()))
}

pub fn open(disk: &StdDisk) -> Result<Store, ToolError> {
    match recovery::find(disk)? {
        Found::Store(store) => Ok(store),
        Found::Nothing => Err(ToolError::NoStore(disk.folder().to_path_buf())),
    }
}

/// Scans all segments, showing how far it is.
pub fn scan(disk: &StdDisk, store: &Store) -> Result<Scans, ToolError> {
    let lengths = store.segments().iter().map(|name| disk.length(&name.path()).map(Option::unwrap_or_default));
    let lengths = lengths.collect::<Result<Vec<u64>, _>>()?;
    let mut progress = Progress::new("verifying the logs:", lengths.iter().sum());
    let mut scans = BTreeMap::new();
    for (name, length) in store.segments().iter().zip(lengths) {
        scans.insert(*name, scan_segment(disk, *name, store.manifest().server));
        progress.add(length);
    }
    Ok(scans)
}

/// Reads every block of the snapshot, and gives what is wrong with which file.
pub fn verify_snapshot(disk: &StdDisk, manifest: &Manifest) -> Vec<RecoveryError> {
    let Some(snapshot) = &manifest.snapshot else { return Vec::new() };
    let mut progress = Progress::new("verifying the snapshot:", snapshot.files.iter().map(|file| file.bytes).sum());
    let mut wrong = Vec::new();
    for (shard, file) in snapshot.files.iter().enumerate() {
        let opened = SnapshotFile::open(disk, manifest.server, snapshot.id, ShardId(shard as u16), file);
        let read = opened.and_then(|opened| {
            let units = opened.units();
            for unit in 0..units {
                opened.read_unit(disk, unit)?;
                progress.add(file.bytes / units.max(1) as u64);
            }
            Ok(())
        });
        wrong.extend(read.err());
    }
    wrong
}
