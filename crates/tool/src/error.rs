//! What can go wrong, said so that it helps.

use std::io;
use std::path::PathBuf;

use pinyon_durability::{DiskError, RecoveryError};
use pinyon_exchange::ExchangeError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ToolError {
    #[error("there is no store in {}: give the server's dir, or the folder in it that holds the manifest", .0.display())]
    NoStore(PathBuf),
    #[error("a server has {} open: stop it first, or name the server (HOST:PORT) instead", .0.display())]
    InUse(PathBuf),
    #[error("{} is there already, and holds something: name another folder, or move it away", .0.display())]
    NotEmpty(PathBuf),
    #[error("there is no backup in {}", .0.display())]
    NoBackup(PathBuf),
    #[error("{wanted} is not in these backups: they hold {}", .held.join("; "))]
    NotHeld { wanted: String, held: Vec<String> },
    #[error("{0} has backups of the store {1}, this is store {2}: use a folder of its own for each store")]
    OfAnotherStore(String, String, String),
    #[error("{0}: {1}")]
    Server(String, String),
    #[error("the store changed during each of several attempts to copy it: try again when no snapshot is being made")]
    Restless,
    #[error("the copy is not whole: {0}")]
    CopyNotWhole(String),
    #[error(transparent)]
    Store(#[from] RecoveryError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("cannot print: {0}")]
    Print(io::Error),
}

/// For `map_err`: names the file.
pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ToolError {
    |error| ToolError::File(path.into(), error)
}
