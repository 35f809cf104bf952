//! Claiming the store's folder for this process: before there is a core, or at run time, for a server that has kept nothing so far.
//!
//! A folder once claimed stays claimed until the process ends.

use std::fs;
use std::path::{Path, PathBuf};

use pinyon_durability::std_disk::FolderLock;
use pinyon_durability::{Disk, Found, Manifest, RecoveryError, StdDisk, names, recovery};

use super::import;
use crate::config::Config;

/// Why the store's folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("Can't use the folder {} for the data (appenddirname): {why}", folder.display())]
    Folder { folder: PathBuf, why: String },
    #[error(
        "The data in {} are in use by another server: end that one first, or give this one another dir or appenddirname",
        folder.display()
    )]
    InUse { folder: PathBuf },
    #[error("Can't open the data in {}: {error}", folder.display())]
    Store { folder: PathBuf, error: RecoveryError },
    #[error(
        "{} is an append-only file of Redis, which cannot be read. Have redis-server write a snapshot of it (SAVE), move the \
         append-only file away, and start again with the dump.rdb in dir",
        file.display()
    )]
    OfRedis { file: PathBuf },
    #[error("the folder {} holds a store that this server has not loaded", folder.display())]
    NotLoaded { folder: PathBuf },
}

/// The store's folder, for this process alone.
pub(crate) struct Claim {
    pub disk: &'static StdDisk,
    /// There is no store yet: it is made of this RDB file.
    pub dump: Option<PathBuf>,
    _lock: FolderLock,
}

/// Where the store of a server so configured is.
pub(crate) fn folder_of(config: &Config) -> PathBuf {
    absolute(&config.dir.join(&config.appenddirname))
}

/// Claims the folder that the configuration names, and looks whether what it holds can be a store. None: there is nothing to be
/// loaded, and nothing is logged.
pub(crate) fn claim(config: &Config) -> Result<Option<Claim>, ClaimError> {
    let folder = folder_of(config);
    let dump = absolute(&config.dir.join(&config.dbfilename));
    let dump = (!config.dbfilename.is_empty() && dump.is_file()).then_some(dump);
    if !config.appendonly && dump.is_none() && !folder.is_dir() {
        return Ok(None);
    }
    let (mut claim, found) = take(&folder)?;
    if let Some(manifest) = found {
        warn_of_newer(dump.as_deref(), claim.disk, &manifest);
        return Ok(Some(claim));
    }
    if config.appendonly {
        refuse_foreign(&folder, &config.dir)?;
    }
    let is_empty = dump.is_none();
    claim.dump = dump;
    Ok((config.appendonly || !is_empty).then_some(claim))
}

/// Claims a folder in the middle of the server's life; a store in it, which has not been loaded, is an error.
pub(crate) fn claim_empty(folder: &Path) -> Result<Claim, ClaimError> {
    match take(folder)? {
        (_, Some(_)) => Err(ClaimError::NotLoaded { folder: folder.to_owned() }),
        (claim, None) => Ok(claim),
    }
}

/// Whether a store is there, without a claim.
pub(crate) fn has_store(folder: &Path) -> bool {
    folder.join(names::MANIFEST).exists()
}

fn take(folder: &Path) -> Result<(Claim, Option<Manifest>), ClaimError> {
    // One for each claim of a process, of which there are few.
    let disk: &'static StdDisk = Box::leak(Box::new(StdDisk::new(folder)));
    let failed = |why: String| ClaimError::Folder { folder: folder.to_owned(), why };
    disk.create_folder("").map_err(|error| failed(error.trouble.to_string()))?;
    let lock = disk.lock().map_err(|error| failed(error.trouble.to_string()))?;
    let Some(lock) = lock else { return Err(ClaimError::InUse { folder: folder.to_owned() }) };
    import::tidy(disk).map_err(|error| failed(error.to_string()))?;
    let found = match recovery::find(disk) {
        Err(error) => return Err(ClaimError::Store { folder: folder.to_owned(), error }),
        Ok(Found::Store(store)) => Some(store.manifest().clone()),
        Ok(Found::Nothing) => None,
    };
    Ok((Claim { disk, dump: None, _lock: lock }, found))
}

/// Starting empty beside the data of a Redis whose append-only file counts would look as if they were lost.
fn refuse_foreign(folder: &Path, dir: &Path) -> Result<(), ClaimError> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_redis = |path: &PathBuf| path.extension().is_some_and(|word| word == "manifest");
    let old = absolute(&dir.join("appendonly.aof"));
    match names.into_iter().find(of_redis).or_else(|| old.is_file().then_some(old)) {
        Some(file) => Err(ClaimError::OfRedis { file }),
        None => Ok(()),
    }
}

/// Who has put a new dump.rdb there expects it to be loaded.
fn warn_of_newer(dump: Option<&Path>, disk: &StdDisk, manifest: &Manifest) {
    let time = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let Some(dump) = dump else { return };
    if time(dump) > time(&disk.path(names::MANIFEST)) {
        tracing::warn!(
            "{} is newer than the data in {} (the store {}), and is not loaded: to have it imported, move that folder away",
            dump.display(),
            disk.folder().display(),
            manifest.server
        );
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
