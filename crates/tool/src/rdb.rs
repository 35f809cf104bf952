//! `pinyon rdb-import` and `rdb-export`: what a user of Redis brings along, and takes away.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinyon_base::Millis;
use pinyon_durability::recovery::Options;
use pinyon_durability::{ServerId, StdDisk};

use crate::copy::{is_empty, make_folder};
use crate::error::{ToolError, at};
use crate::progress::Progress;
use crate::store;

fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64))
}

pub fn import(file: &Path, folder: &Path) -> Result<(), ToolError> {
    if !is_empty(folder) {
        return Err(ToolError::NotEmpty(folder.to_path_buf()));
    }
    let bytes = std::fs::metadata(file).map_err(at(file))?.len();
    make_folder(folder)?;
    // Random by the system, for this process.
    let server = ServerId(RandomState::new().hash_one(bytes));
    let mut progress = Progress::new("importing:", bytes);
    let done = pinyon_exchange::import(file, &StdDisk::new(folder), server, now(), &mut |bytes| progress.add(bytes));
    drop(progress);
    let found = done.inspect_err(|_| drop(std::fs::remove_dir_all(folder)))?;
    println!("{}: {} keys, {} that had expired left out", folder.display(), found.keys, found.expired);
    if found.skipped > 0 {
        println!("{} libraries of functions, or data of modules, were left out", found.skipped);
    }
    Ok(())
}

pub fn export(dir: &Path, file: &Path) -> Result<(), ToolError> {
    let disk = StdDisk::new(store::folder_of(dir)?);
    let Some(_lock) = disk.lock()? else { return Err(ToolError::InUse(disk.folder().to_path_buf())) };
    let opened = store::open(&disk)?;
    let scans = store::scan(&disk, &opened)?;
    let plan = opened.plan(&disk, scans, Options::default())?;
    let keys = pinyon_exchange::export(&plan, &disk, file, now())?;
    println!("{}: {keys} keys", file.display());
    Ok(())
}
