//! RDB files into stores, and back: what a user of Redis brings along, and takes away.
//!
//! What it is not: the format itself (that is `values`), or a store's (`durability`). It runs at a server's start and in the tool,
//! away from every command.
#![forbid(unsafe_code)]

mod export;
mod import;

use std::io;
use std::path::PathBuf;

use pinyon_durability::{DiskError, RecoveryError};
use pinyon_engine::record::Damaged;
use pinyon_values::rdb::{RdbError, TooNew};
use thiserror::Error;

pub use export::export;
pub use import::{Imported, import};

/// Why nothing came of it. A store that was to be made is not there then.
#[derive(Debug, Error)]
pub enum ExchangeError {
    #[error("cannot read or write {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Rdb { path: PathBuf, error: RdbError },
    #[error("database {0} of the file is too high a number")]
    Database(u64),
    #[error("the key {0} cannot be written: {1}")]
    TooNew(String, TooNew),
    #[error("the store cannot be loaded: {0}")]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Store(#[from] RecoveryError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}
