//! What all cores see: facts fixed at start, and counters touched once per connection. Nothing on the data path.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pinyon_base::sha1;
use pinyon_runtime::clock;

use crate::client_memory::ClientMemory;
use crate::log::Claim;
use crate::log::progress::Progress;
use crate::migration::Busyness;
use crate::pubsub::audience::Audience;
use crate::room::Room;
use crate::save::SaveStatus;

/// Shared by all cores.
pub struct Shared {
    pub shards: u16,
    /// The seed of every shard's table hash: cores hash a key alike, so the origin of a hop can hash it.
    pub hash_seed: [u64; 4],
    pub rng_seed: u64,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    pub started_ms: i64,
    pub executable: PathBuf,
    /// The configuration file as an absolute path; None without one.
    pub config_file: Option<PathBuf>,
    pub pinned: bool,
    /// The TCP addresses listened on at the start.
    pub addresses: Vec<SocketAddr>,
    /// The port of core 0, where cores have their own; the others' follow it.
    pub first_core_port: Option<u16>,
    /// The addresses of the cores' own ports at the start.
    pub own_addresses: Vec<SocketAddr>,
    pub client_memory: ClientMemory,
    pub room: Room,
    pub busyness: Busyness,
    pub audience: Audience,
    /// The store's folder, of a server that has something to load, or logs from the start on.
    pub(crate) claim: Option<Claim>,
    /// How far loading is.
    pub progress: Progress,
    /// What is told of snapshots.
    pub(crate) saves: SaveStatus,
    /// Why the server ends, if that is a failure.
    failure: OnceLock<String>,
    /// Memory in use when the cores had started.
    startup_bytes: AtomicU64,
    /// Counts DEBUG CHANGE-REPL-ID.
    replication_ids: AtomicU64,
    next_client_id: AtomicU64,
    connected: AtomicUsize,
    slowlog_id: AtomicU64,
    config_version: AtomicU64,
    next_transaction: Apart,
}

/// A counter on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicU64);

impl Shared {
    /// What is fixed at start. `seeds` are random.
    pub fn new(
        config_file: Option<PathBuf>,
        shards: u16,
        pinned: bool,
        addresses: Vec<SocketAddr>,
        core_ports: (Option<u16>, Vec<SocketAddr>),
        claim: Option<Claim>,
        seeds: [u64; 8],
    ) -> Shared {
        // Everybody may see the id, and nobody may learn the seeds from it.
        let run_id = hex_digest(&[b"run id", &seeds.map(u64::to_be_bytes).concat()]);
        Shared {
            shards,
            hash_seed: [seeds[4], seeds[5], seeds[6], seeds[7]],
            rng_seed: seeds[3],
            run_id,
            started_ms: clock::unix_ms(),
            executable: std::env::current_exe().unwrap_or_default(),
            config_file,
            pinned,
            addresses,
            first_core_port: core_ports.0,
            own_addresses: core_ports.1,
            client_memory: ClientMemory::new(shards),
            room: Room::new(shards),
            busyness: Busyness::new(shards),
            audience: Audience::new(shards),
            claim,
            progress: Progress::default(),
            saves: SaveStatus::new(clock::unix_ms()),
            failure: OnceLock::new(),
            startup_bytes: AtomicU64::new(0),
            replication_ids: AtomicU64::new(0),
            next_client_id: AtomicU64::new(1),
            connected: AtomicUsize::new(0),
            slowlog_id: AtomicU64::new(0),
            config_version: AtomicU64::new(1),
            next_transaction: Apart(AtomicU64::new(1)),
        }
    }

    /// The server cannot go on; the first reason counts.
    pub fn fail(&self, why: String) {
        self.failure.get_or_init(|| why);
    }

    /// Why the server has ended, if that was a failure.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Counts a new connection and gives its client id.
    pub fn connected(&self) -> u64 {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.next_client_id.fetch_add(1, Ordering::Relaxed)
    }

    pub fn disconnected(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of all cores.
    pub fn clients(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub fn next_slowlog_id(&self) -> u64 {
        self.slowlog_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The next number in the order of all transactions.
    pub fn next_transaction(&self) -> u64 {
        self.next_transaction.0.fetch_add(1, Ordering::Relaxed)
    }

    pub fn next_config_version(&self) -> u64 {
        self.config_version.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells how much memory was in use when a core had started; the last one to start knows best.
    pub fn note_startup(&self, bytes: u64) {
        self.startup_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Memory in use when the cores had started, in bytes.
    pub fn startup_bytes(&self) -> u64 {
        self.startup_bytes.load(Ordering::Relaxed)
    }

    /// 40 hexadecimal digits by which replicas would know this history of the data.
    pub fn replication_id(&self) -> String {
        let number = self.replication_ids.load(Ordering::Relaxed);
        hex_digest(&[b"replication id", self.run_id.as_bytes(), &number.to_be_bytes()])
    }

    /// Begins a new history.
    pub fn change_replication_id(&self) {
        self.replication_ids.fetch_add(1, Ordering::Relaxed);
    }
}

fn hex_digest(parts: &[&[u8]]) -> String {
    sha1(parts).iter().map(|byte| format!("{byte:02x}")).collect()
}
