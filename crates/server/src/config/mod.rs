//! The configuration: an immutable snapshot with typed fields, and the ways in and out of it.
//!
//! * `directives/`: one row per directive, the one source of names, ranges, defaults and docs.
//! * `load`: files, standard input and command line options become a [`Config`] or a list of problems.
//! * `live`: CONFIG GET and CONFIG SET.
//! * `rewrite`: CONFIG REWRITE.
//! * `commented`: `config/pinyon.conf`.
//! * `listen`: `bind` and `port` become socket addresses.
//!
//! A `Config` that exists is valid: every value has passed its row, and [`load`] has checked them against each other.
//! CONFIG SET makes a new one.

pub mod commented;
pub mod directive;
pub mod directives;
pub mod field;
pub mod listen;
pub mod lists;
pub mod live;
pub mod load;
pub mod rewrite;
#[cfg(test)]
mod tests;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pinyon_engine::keyspace::EvictionPolicy;

use directive::Directive;
pub use field::{Allow, BytesOrPercent, EndpointType, Fsync, Loglevel, PipelineOrder, Supervised};
pub use lists::{BindAddress, OutputLimit, OutputLimits};
pub use live::{config_get, config_set, set_failed};
pub use load::{Loaded, Options, load};
pub use rewrite::config_rewrite;
use value::Value;

use crate::save::SavePoint;
use crate::shutdown::EndOptions;

/// Declares [`Config`] and how one starts before the rows' defaults are put in.
macro_rules! config {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $blank:expr,)*) => {
        /// All settings, at one moment. Fields are named as their directives; the rows document them.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[$doc])* pub $field: $type,)*
            /// Values of directives that have no effect, by name. [`Directive::get`] reads them.
            pub kept: BTreeMap<&'static str, Value>,
        }

        impl Config {
            fn blank() -> Config {
                Config { $($field: $blank,)* kept: BTreeMap::new() }
            }
        }
    };
}

config! {
    /// Counts CONFIG SETs, so that an older snapshot never replaces a newer one. The server sets it.
    version: u64 = 0,
    /// Pairs of `rename-command`: the old name in lower case, and the new one; an empty one takes the command away.
    renamed_commands: Vec<(String, String)> = Vec::new(),

    bind: Vec<BindAddress> = Vec::new(),
    port: u16 = 0,
    core_ports: bool = false,
    /// 0 = the port after `port`.
    core_port_base: u16 = 0,
    cluster_announce_ip: String = String::new(),
    /// Of core 0; 0 = the real ones.
    cluster_announce_port: u16 = 0,
    cluster_announce_hostname: String = String::new(),
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip,
    tcp_backlog: u32 = 0,
    unixsocket: Option<PathBuf> = None,
    /// 0 leaves what the umask gives.
    unixsocketperm: u32 = 0,
    /// Seconds; 0 = never.
    timeout: u32 = 0,
    /// Seconds; 0 = off.
    tcp_keepalive: u32 = 0,
    protected_mode: bool = false,
    connection_migration: bool = false,
    maxclients: u32 = 0,

    shards: u16 = 0,
    pin: bool = false,
    disable_thp: bool = false,
    databases: u16 = 0,
    dir: PathBuf = PathBuf::new(),
    pidfile: Option<PathBuf> = None,
    supervised: Supervised = Supervised::Auto,
    loglevel: Loglevel = Loglevel::Notice,
    logfile: Option<PathBuf> = None,
    always_show_logo: bool = false,
    crash_log_enabled: bool = false,

    appendonly: bool = false,
    appenddirname: String = String::new(),
    appendfsync: Fsync = Fsync::Everysec,
    /// Bytes of one file of a log.
    log_segment_size: u64 = 0,
    log_repair: bool = false,
    save: Vec<SavePoint> = Vec::new(),
    rdbcompression: bool = false,
    dbfilename: String = String::new(),
    no_appendfsync_on_rewrite: bool = false,
    /// 0 = never.
    auto_aof_rewrite_percentage: u32 = 0,
    auto_aof_rewrite_min_size: u64 = 0,
    rdbchecksum: bool = false,
    /// Microseconds; not above 0 = none.
    rdb_key_save_delay: i32 = 0,
    /// Microseconds; not above 0 = none.
    key_load_delay: i32 = 0,
    shutdown_on_sigint: EndOptions = EndOptions::default(),
    shutdown_on_sigterm: EndOptions = EndOptions::default(),
    stop_writes_on_bgsave_error: bool = false,

    requirepass: String = String::new(),
    enable_protected_configs: Allow = Allow::No,
    enable_debug_command: Allow = Allow::No,

    /// Bytes; 0 = no limit.
    maxmemory: u64 = 0,
    maxmemory_policy: EvictionPolicy = EvictionPolicy::NoEviction,
    maxmemory_samples: u32 = 0,
    maxmemory_eviction_tenacity: u8 = 0,
    maxmemory_clients: BytesOrPercent = BytesOrPercent::Off,
    lfu_log_factor: u32 = 0,
    /// Minutes.
    lfu_decay_time: u32 = 0,
    lazyfree_lazy_user_flush: bool = false,
    /// 1 to 500, whatever was given.
    hz: u32 = 0,

    hash_max_listpack_entries: u64 = 0,
    hash_max_listpack_value: u64 = 0,
    /// Negative: 4 to 64 KiB.
    list_max_listpack_size: i32 = 0,
    set_max_intset_entries: u64 = 0,
    set_max_listpack_entries: u64 = 0,
    set_max_listpack_value: u64 = 0,
    zset_max_listpack_entries: u64 = 0,
    zset_max_listpack_value: u64 = 0,
    hll_sparse_max_bytes: u64 = 0,
    /// 0 = no limit.
    stream_node_max_bytes: u64 = 0,
    /// 0 = no limit.
    stream_node_max_entries: u64 = 0,

    pipeline_order: PipelineOrder = PipelineOrder::Relaxed,

    client_output_buffer_limit: OutputLimits = OutputLimits::default(),
    notify_keyspace_events: String = String::new(),
    client_query_buffer_limit: u64 = 0,
    proto_max_bulk_len: u64 = 0,

    /// Microseconds; negative = off.
    slowlog_log_slower_than: i64 = 0,
    slowlog_max_len: u64 = 0,
    /// Milliseconds; 0 = off.
    latency_monitor_threshold: u64 = 0,
    latency_tracking: bool = false,
    latency_tracking_info_percentiles: Vec<f64> = Vec::new(),
}

impl Default for Config {
    /// Every directive at its default.
    fn default() -> Config {
        let mut config = Config::blank();
        for row in directives::all() {
            // Only `dir` can fail here, in a folder that was deleted: then it stays the folder that the process is
            // in.
            let value = row.default_value().unwrap_or_else(|_| Value::Text(row.default.to_owned()));
            row.set(&mut config, value);
        }
        config
    }
}

impl Config {
    /// How many shards to run: `shards`, or as many as cores may be used by this process.
    pub fn shard_count(&self) -> u16 {
        match self.shards {
            0 => std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().min(pinyon_runtime::CORES_MAX) as u16),
            shards => shards,
        }
    }

    /// The directives whose values differ between the two: what a CONFIG SET has to apply.
    pub fn changed<'a>(&'a self, new: &'a Config) -> impl Iterator<Item = &'static Directive> + 'a {
        directives::all().filter(move |row| row.get(self) != row.get(new))
    }

    fn kept_value(&self, row: &Directive) -> Value {
        match self.kept.get(row.name) {
            Some(value) => value.clone(),
            None => unreachable!("{} has no value: Config::default gives one to every row", row.name),
        }
    }

    fn keep(&mut self, row: &Directive, value: Value) {
        self.kept.insert(row.name, value);
    }
}
