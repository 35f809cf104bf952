//! The disk under a real folder, by the standard library.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskError, Trouble};
use crate::names;

/// A store's folder.
pub struct StdDisk {
    folder: PathBuf,
}

/// Keeps other servers out of a store for as long as it lives.
pub struct FolderLock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl StdDisk {
    pub fn new(folder: impl Into<PathBuf>) -> StdDisk {
        StdDisk { folder: folder.into() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Takes the folder for this process; `None` if another has it.
    pub fn lock(&self) -> Result<Option<FolderLock>, DiskError> {
        let failed = |error| disk_error("lock", names::LOCK, error);
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(self.path(names::LOCK));
        let file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn open(&self, operation: &'static str, path: &str, write: bool) -> Result<File, DiskError> {
        let file = OpenOptions::new().read(!write).write(write).open(self.path(path));
        file.map_err(|error| disk_error(operation, path, error))
    }
}

/// An error of the system in this crate's terms.
pub fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Trouble::ReadOnly,
        ErrorKind::NotFound => Trouble::NotThere,
        ErrorKind::UnexpectedEof => Trouble::Short,
        _ => Trouble::Io(error),
    }
}

fn disk_error(operation: &'static str, path: &str, error: io::Error) -> DiskError {
    DiskError { operation, path: path.to_owned(), trouble: trouble(error) }
}

impl Disk for StdDisk {
    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let failed = |error| disk_error("list", folder, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(folder)).map_err(failed)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, DiskError> {
        match fs::metadata(self.path(path)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("look at", path, error)),
        }
    }

    fn read(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        let file = self.open("open", path, false)?;
        file.read_exact_at(into, offset).map_err(|error| disk_error("read", path, error))
    }

    fn create(&self, path: &str) -> Result<(), DiskError> {
        File::create(self.path(path)).map(drop).map_err(|error| disk_error("create", path, error))
    }

    fn write(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.open("open for writing", path, true)?;
        file.write_all_at(bytes, offset).map_err(|error| disk_error("write", path, error))
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        self.open("open for writing", path, true)?.sync_all().map_err(|error| disk_error("sync", path, error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.path(from), self.path(to)).map_err(|error| disk_error("rename", from, error))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        fs::remove_file(self.path(path)).map_err(|error| disk_error("remove", path, error))
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        match fs::create_dir(self.path(path)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(disk_error("create folder", path, error)),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        fs::remove_dir(self.path(path)).map_err(|error| disk_error("remove folder", path, error))
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        let synced = File::open(self.path(folder)).and_then(|folder| folder.sync_all());
        synced.map_err(|error| disk_error("sync folder", folder, error))
    }
}
