//! The part of the configuration that the hot paths look at, worked out once per change.

use std::collections::HashMap;

use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::keyspace::{self, Events, ShardConfig};
use pinyon_resp::Limits;
use pinyon_runtime::CoreId;
use pinyon_values::hash::HashLimits;
use pinyon_values::list::{ListLimits, NodeLimit};
use pinyon_values::set::SetLimits;
use pinyon_values::stream::BlockLimits;
use pinyon_values::zset::ZSetLimits;

use crate::config::{Config, Fsync, OutputLimit};
use crate::shared::Shared;

bitflags::bitflags! {
    /// What takes all commands of a core off the fast path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Gates: u32 {
        /// Somebody watches with MONITOR.
        const MONITORS = 1;
        /// CLIENT PAUSE.
        const PAUSED = 1 << 1;
        /// A transaction over several shards holds keys of this one.
        const INTENTS = 1 << 2;
        /// `pipeline-order strict`.
        const STRICT = 1 << 3;
        /// The data are being loaded.
        const LOADING = 1 << 4;
    }
}

/// Longest line of an inline command or a length, in bytes.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of one command.
const MULTIBULK_MAX: i64 = i32::MAX as i64;
/// The least that `maxmemory-clients` may mean: less would lock everybody out.
const CLIENT_MEMORY_FLOOR: u64 = 128 * 1024;

/// What `rename-command` has made of the commands' names.
#[derive(Clone, Debug)]
pub struct Renames {
    /// New names, in lower case.
    given: HashMap<Vec<u8>, CommandId>,
    /// Commands that no longer go by their own name.
    taken: Vec<CommandId>,
}

impl Renames {
    fn new(pairs: &[(String, String)]) -> Renames {
        let mut renames = Renames { given: HashMap::new(), taken: Vec::new() };
        for (old, new) in pairs {
            if let Some(id) = registry().find(old.as_bytes()) {
                renames.taken.push(id);
                if !new.is_empty() {
                    renames.given.insert(new.to_ascii_lowercase().into_bytes(), id);
                }
            }
        }
        renames
    }

    /// The command that goes by `name` now.
    pub fn find(&self, name: &[u8]) -> Option<CommandId> {
        let given = self.given.get(name.to_ascii_lowercase().as_slice()).copied();
        given.or_else(|| registry().find(name).filter(|id| !self.taken.contains(id)))
    }
}

/// Settings in the form in which they are used.
#[derive(Clone, Debug)]
pub struct Settings {
    pub databases: u16,
    pub password: Option<String>,
    pub protected_mode: bool,
    pub maxclients: usize,
    /// connection-migration.
    pub migration: bool,
    /// 0 = never.
    pub timeout_ms: i64,
    pub maxmemory: u64,
    /// Bytes over all clients; 0 = no limit.
    pub maxmemory_clients: u64,
    pub query_buffer_max: usize,
    /// There is a limit to the output of those who do not listen to channels.
    pub output_limited: bool,
    pub normal_output: OutputLimit,
    /// Of those who listen to channels.
    pub pubsub_output: OutputLimit,
    pub slowlog_max_len: usize,
    /// u64::MAX = the slow log is off.
    pub slow_ns: u64,
    /// 0 = off.
    pub latency_threshold_ms: u64,
    /// The smaller of the two above, in ns.
    pub watch_ns: u64,
    pub latency_tracking: bool,
    pub fsync: Fsync,
    /// None without a `rename-command`.
    pub renames: Option<Renames>,
    bulk_bytes_max: u64,
}

impl Settings {
    pub fn new(config: &Config) -> Settings {
        let slow_ns =
            u64::try_from(config.slowlog_log_slower_than).map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        let latency_ns = match config.latency_monitor_threshold {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        let normal_output = config.client_output_buffer_limit.normal;
        Settings {
            databases: config.databases,
            password: (!config.requirepass.is_empty()).then(|| config.requirepass.clone()),
            protected_mode: config.protected_mode,
            maxclients: config.maxclients as usize,
            migration: config.connection_migration,
            timeout_ms: i64::from(config.timeout) * 1000,
            maxmemory: config.maxmemory,
            maxmemory_clients: config.maxmemory_clients.bytes(config.maxmemory, CLIENT_MEMORY_FLOOR).unwrap_or(0),
            query_buffer_max: usize::try_from(config.client_query_buffer_limit).unwrap_or(usize::MAX),
            output_limited: normal_output.hard_bytes != 0 || normal_output.soft_bytes != 0,
            normal_output,
            pubsub_output: config.client_output_buffer_limit.pubsub,
            slowlog_max_len: usize::try_from(config.slowlog_max_len).unwrap_or(usize::MAX),
            slow_ns,
            latency_threshold_ms: config.latency_monitor_threshold,
            watch_ns: slow_ns.min(latency_ns),
            latency_tracking: config.latency_tracking,
            fsync: config.appendfsync,
            renames: (!config.renamed_commands.is_empty()).then(|| Renames::new(&config.renamed_commands)),
            bulk_bytes_max: config.proto_max_bulk_len,
        }
    }

    /// What a client may send.
    #[inline]
    pub fn limits(&self, authenticated: bool) -> Limits {
        Limits {
            bulk_bytes_max: self.bulk_bytes_max,
            inline_bytes_max: INLINE_BYTES_MAX,
            multibulk_max: MULTIBULK_MAX,
            authenticated,
        }
    }

    /// The configuration of the shard of core `id`.
    pub fn shard_config(&self, config: &Config, shared: &Shared, id: CoreId) -> ShardConfig {
        ShardConfig {
            databases: config.databases,
            hash_seed: shared.hash_seed,
            rng_seed: shared.rng_seed.wrapping_add(u64::from(id.0)),
            policy: config.maxmemory_policy,
            lfu_log_factor: config.lfu_log_factor,
            lfu_decay_time: config.lfu_decay_time,
            maxmemory_samples: config.maxmemory_samples,
            active_expire: true,
            string_bytes_max: config.proto_max_bulk_len,
            limits: collection_limits(config),
            events: Events::parse(&config.notify_keyspace_events),
        }
    }
}

/// Up to where collections stay small.
fn collection_limits(config: &Config) -> keyspace::Limits {
    let size = |directive: u64| usize::try_from(directive).unwrap_or(usize::MAX);
    // The seeds are the shard's.
    let seed = 0;
    keyspace::Limits {
        hash: HashLimits {
            entries: size(config.hash_max_listpack_entries),
            value: size(config.hash_max_listpack_value),
            seed,
        },
        list: ListLimits { node: NodeLimit::of(i64::from(config.list_max_listpack_size)), compress: true },
        set: SetLimits {
            intset_entries: size(config.set_max_intset_entries),
            listpack_entries: size(config.set_max_listpack_entries),
            listpack_value: size(config.set_max_listpack_value),
            seed,
        },
        zset: ZSetLimits {
            entries: size(config.zset_max_listpack_entries),
            value: size(config.zset_max_listpack_value),
            seed,
        },
        stream: BlockLimits {
            entries: size(config.stream_node_max_entries),
            bytes: size(config.stream_node_max_bytes),
        },
        hll_sparse_bytes_max: size(config.hll_sparse_max_bytes),
    }
}
