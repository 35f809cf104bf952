//! A dump.rdb where there is no store yet: it becomes the store's first snapshot, which is then loaded like any other.
//!
//! A mark lies in the folder for as long as the import goes on, so that what one that was cut short has left is told from a
//! store that has lost its manifest.

use std::path::Path;

use pinyon_base::Millis;
use pinyon_durability::{Disk, DiskError, ServerId, StdDisk, names};
use pinyon_exchange::ExchangeError;
use pinyon_runtime::clock;

use super::progress::Progress;

/// The mark's name.
const IMPORTING: &str = "importing";
/// The log tells of each tenth of the file, if that took so long.
const TELL_MS: i64 = 1_000;

/// Removes what an import left that did not come to its end; of one that did, the mark.
pub(super) fn tidy(disk: &StdDisk) -> Result<(), DiskError> {
    if disk.length(IMPORTING)?.is_none() {
        return Ok(());
    }
    if disk.length(names::MANIFEST)?.is_none() {
        for name in disk.list("")? {
            if let Some(names::Named::Snapshot(id)) = names::read(&name) {
                let folder = names::snapshot_folder(id);
                for file in disk.list(&folder)? {
                    disk.remove(&format!("{folder}/{file}"))?;
                }
                disk.remove_folder(&folder)?;
            }
        }
    }
    disk.remove(IMPORTING)
}

/// Makes a store of the file. After an error the folder is as it was.
pub(super) fn import(file: &Path, disk: &StdDisk, server: ServerId, progress: &Progress) -> Result<(), ExchangeError> {
    let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    let begun_ms = clock::unix_ms();
    tracing::info!("Importing {}, {bytes} bytes", file.display());
    progress.begin(bytes, bytes, begun_ms);
    progress.expect_read(bytes);
    disk.create(IMPORTING)?;
    disk.sync(IMPORTING)?;
    disk.sync_folder("")?;
    let (mut told_ms, mut tenths) = (begun_ms, 0);
    let imported = pinyon_exchange::import(file, disk, server, Millis(begun_ms), &mut |read| {
        progress.read(read);
        let (now_ms, now_tenths) = (clock::unix_ms(), progress.loaded_bytes() * 10 / bytes.max(1));
        if now_tenths > tenths && now_ms - told_ms >= TELL_MS {
            tracing::info!("Importing: {} %", now_tenths * 10);
            (told_ms, tenths) = (now_ms, now_tenths);
        }
    });
    tidy(disk)?;
    let found = imported?;
    let seconds = (clock::unix_ms() - begun_ms).max(1) as f64 / 1000.0;
    tracing::info!(
        "Imported {}: {} keys, {} that had expired left out, {seconds:.3} seconds, {:.0} MB/s",
        file.display(),
        found.keys,
        found.expired,
        bytes as f64 / seconds / 1e6
    );
    if found.skipped > 0 {
        tracing::warn!("{} libraries of functions, or data of modules, are left out", found.skipped);
    }
    progress.note_expired(found.expired);
    Ok(())
}
