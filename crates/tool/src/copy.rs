//! Copies of files that are whole or not there.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{ToolError, at};
use crate::progress::Progress;

const CHUNK_BYTES: usize = 1 << 20;

/// Copies a file, leaving holes for zeros, and makes it durable but for its name.
pub fn copy(from: &Path, to: &Path, progress: &mut Progress) -> Result<(), ToolError> {
    let new = to.with_extension("new");
    let mut source = File::open(from).map_err(at(from))?;
    let mut target = File::create(&new).map_err(at(&new))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        let count = source.read(&mut chunk).map_err(at(from))?;
        if count == 0 {
            break;
        }
        let bytes = &chunk[..count];
        if bytes.iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(length)).and_then(|_| target.write_all(bytes)).map_err(at(&new))?;
        }
        length += count as u64;
        progress.add(count as u64);
    }
    target.set_len(length).and_then(|()| target.sync_all()).map_err(at(&new))?;
    fs::rename(&new, to).map_err(at(to))
}

pub fn make_folder(path: &Path) -> Result<(), ToolError> {
    fs::create_dir_all(path).map_err(at(path))
}

pub fn sync_folder(path: &Path) -> Result<(), ToolError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

/// Whether there is nothing in a folder, or no folder.
pub fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).map_or(!path.exists(), |mut entries| entries.next().is_none())
}
