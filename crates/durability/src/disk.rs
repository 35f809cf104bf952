//! What a disk is to this crate: a folder of files, with the power to lose what was not synced.
//!
//! This is the bulk face: whole operations, one after the other, for opening, preparing segments, snapshots, the manifest and
//! recovery; it may block, so it is called away from the core loop. The log's own writes do not pass here: they are handed
//! out as operations ([`crate::Log::next_op`]) for whoever has a ring.
//!
//! What may be relied on after a power cut, and nothing else: bytes and length of a file as they were when `sync` returned for
//! it, or written since; names in a folder as they were when `sync_folder` returned for it, or changed since. A rename
//! replaces its target at once or not at all. `crates/sim` has the disk that takes everything else away.

use thiserror::Error;

/// A disk operation that failed.
#[derive(Debug, Error)]
#[error("cannot {operation} {path}: {trouble}")]
pub struct DiskError {
    pub operation: &'static str,
    /// Path below the store's folder.
    pub path: String,
    pub trouble: Trouble,
}

/// Why it failed, as far as it makes a difference to what happens next.
#[derive(Debug, Error)]
pub enum Trouble {
    /// No room. Goes away when somebody makes room.
    #[error("no space left on the device")]
    Full,
    #[error("the folder or the file system is read-only")]
    ReadOnly,
    #[error("no such file")]
    NotThere,
    /// The file is shorter than what was asked for.
    #[error("the file ends early")]
    Short,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A folder, and folders in it. Paths are relative to it, with `/`; `""` is the folder itself.
pub trait Disk {
    /// Names of the files and folders in `folder`, in any order.
    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError>;
    /// Length in bytes; `None` if there is no such file.
    fn length(&self, path: &str) -> Result<Option<u64>, DiskError>;
    /// Fills `into` from `offset` on, or fails with [`Trouble::Short`].
    fn read(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<(), DiskError>;

    /// Makes an empty file, or empties the one that is there.
    fn create(&self, path: &str) -> Result<(), DiskError>;
    /// Writes into a file that is there; the file grows as needed.
    fn write(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Makes bytes and length durable. After an error, what was written since the last sync may be lost, whatever a second
    /// sync says: the file must not be trusted.
    fn sync(&self, path: &str) -> Result<(), DiskError>;

    /// Gives a file another name in the same folder, in place of the file that had it.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// It is fine if it is there.
    fn create_folder(&self, path: &str) -> Result<(), DiskError>;
    /// The folder must be empty.
    fn remove_folder(&self, path: &str) -> Result<(), DiskError>;
    /// Makes the names in `folder` durable.
    fn sync_folder(&self, folder: &str) -> Result<(), DiskError>;
}

/// The whole file, as it is now.
pub fn read_file(disk: &dyn Disk, path: &str) -> Result<Vec<u8>, DiskError> {
    let length = disk.length(path)?.ok_or_else(|| DiskError {
        operation: "open",
        path: path.to_owned(),
        trouble: Trouble::NotThere,
    })?;
    let mut bytes = vec![0; length as usize];
    disk.read(path, 0, &mut bytes)?;
    Ok(bytes)
}
