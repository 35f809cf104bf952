//! `pinyon`, the operator's tool for stores: verifies them, prints their logs, backs them up and restores them.
//!
//! What it is not: a server. It opens a store to read it, while no server has it open or beside one that has; only `restore`
//! writes one, into a folder that has none. The bytes are the crate `durability`'s, the records the engine's.
#![forbid(unsafe_code)]

mod backup;
mod check;
mod copy;
mod cut;
mod error;
mod print;
mod progress;
mod rdb;
mod restore;
mod server;
mod store;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::ToolError;
use when::Until;

#[derive(Parser)]
#[command(name = "pinyon", version, about = "Looks after the stores of pinyon-server.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify every frame, block and manifest of a store, and say what a start would restore
    Check {
        /// The server's dir, or the store's own folder in it
        dir: PathBuf,
    },
    /// Print the records of a store's logs
    Log {
        /// The server's dir, or the store's own folder in it
        dir: PathBuf,
        /// Only the log of this shard
        #[arg(long)]
        shard: Option<u16>,
        /// Only from this epoch on
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Back up a store, consistently, also of a running server; a second backup to the same place copies only what is new
    Backup {
        /// HOST:PORT, or the path of a unix socket, of a server on this machine; or a store that no server has open
        source: String,
        /// The folder of the backups
        target: PathBuf,
        /// The password, for a server that wants one; PINYON_PASSWORD in the environment keeps it out of lists of processes
        #[arg(long)]
        password: Option<String>,
    },
    /// Make a store out of a backup, as it was at its end or at a moment before
    Restore {
        /// The folder of the backups
        target: PathBuf,
        /// The dir of the server to be; the store's folder in it must not be there yet
        dir: PathBuf,
        /// An epoch (a number), or a time: 2026-11-29T21:00:00Z, with fractions of a second if need be
        #[arg(long)]
        until: Option<Until>,
        /// The store's folder below DIR, as the server's directive has it
        #[arg(long, default_value = store::FOLDER)]
        appenddirname: String,
    },
    /// Make a store out of a dump.rdb of Redis or Valkey
    RdbImport {
        file: PathBuf,
        /// The dir of the server to be; the store's folder in it must not be there yet
        dir: PathBuf,
        /// The store's folder below DIR, as the server's directive has it
        #[arg(long, default_value = store::FOLDER)]
        appenddirname: String,
    },
    /// Write what a store holds as a dump.rdb that redis-server 7.0 loads
    RdbExport {
        /// The server's dir, or the store's own folder in it; no server may have it open
        dir: PathBuf,
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pinyon: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn run(command: Command) -> Result<bool, ToolError> {
    match command {
        Command::Check { dir } => check::check(&dir),
        Command::Log { dir, shard, from } => print::print(&dir, shard, from).map(|()| true),
        Command::Backup { source, target, password } => {
            let password = password.or_else(|| std::env::var("PINYON_PASSWORD").ok());
            backup::backup(&source, &target, password.as_deref()).map(|()| true)
        }
        Command::RdbImport { file, dir, appenddirname } => rdb::import(&file, &dir.join(appenddirname)).map(|()| true),
        Command::RdbExport { dir, file } => rdb::export(&dir, &file).map(|()| true),
        Command::Restore { target, dir, until, appenddirname } => {
            restore::restore(&target, &dir.join(appenddirname), until).map(|()| true)
        }
    }
}
