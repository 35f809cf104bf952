//! The core loop: one pinned thread per core with an io_uring ring of its own, its connections,
//! its listeners, and queues to the other cores. The only crate of the project that names
//! io_uring, and the only one below the engine that may use `unsafe`.
//!
//! What it is not: it knows no protocol, no commands and no keys. The program on top is an
//! [`App`]; the runtime brings it bytes and messages and takes its output away.
//!
//! Reading order: [`app`] (what the program sees), `core_loop` (the order of a turn), `io` (what
//! the program can ask for), `conn` (a connection's life), `ring`, `buffers`, `mesh`, `listen`.

mod accept;
pub mod app;
mod buffers;
pub mod clock;
pub mod config;
mod conn;
mod core_loop;
pub mod files;
pub mod host;
pub mod io;
pub mod listen;
pub mod memory;
mod mesh;
mod migrate;
mod patience;
pub mod pin;
mod recv;
mod ring;
mod run;
mod send;
pub mod signal;
pub mod storage;
mod wake;

pub use app::{App, ConnId, CoreId, Leave, Next, PeerInfo, PeerKind};
pub use config::{RuntimeConfig, RuntimeError, WakeBy};
pub use files::FileDone;
pub use host::{Host, NotSupported, check_kernel};
pub use io::{Io, IoStats};
pub use listen::{ListenError, ListenSpec, Listeners, TcpListen, UnixListen, bind};
pub use run::run;

/// The most cores one runtime can have.
pub const CORES_MAX: usize = 448;
