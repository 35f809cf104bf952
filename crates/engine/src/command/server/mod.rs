//! Rows of the server commands. The server carries them out, but for MEMORY USAGE, which belongs to a key's shard.

mod command;
mod config;
mod data;
pub mod help;
mod latency;
mod memory;
mod persistence;
mod process;

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    command::COMMAND,
    config::CONFIG,
    data::DBSIZE,
    data::FLUSHALL,
    data::FLUSHDB,
    data::SWAPDB,
    latency::LATENCY,
    latency::MONITOR,
    latency::SLOWLOG,
    memory::MEMORY,
    persistence::BGREWRITEAOF,
    persistence::BGSAVE,
    persistence::LASTSAVE,
    persistence::SAVE,
    process::DEBUG,
    process::INFO,
    process::LOLWUT,
    process::SHUTDOWN,
    process::TIME,
    process::WAITAOF,
];
