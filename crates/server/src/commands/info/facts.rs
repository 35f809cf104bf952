//! What INFO and MEMORY tell, gathered: each core's part as it was when the core was asked, and sums over them.

use std::hash::{DefaultHasher, Hash, Hasher};

use hdrhistogram::Histogram;
use pinyon_base::DbIndex;
use pinyon_engine::keyspace::ShardStats;
use pinyon_runtime::{IoStats, memory};

use super::process::total_system_memory;
use crate::core::{Core, Io};
use crate::log::LogPart;
use crate::pubsub::{KINDS, Kind};
use crate::session::SessionFlags;
use crate::stats::{CommandStats, CoreStats};

/// What is collected only when somebody wants to see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Counters per command.
    pub commands: bool,
    /// Histograms per command.
    pub histograms: bool,
    /// One histogram over all commands.
    pub executions: bool,
}

/// One core's share.
pub struct Part {
    /// Its commands are empty unless they were wanted.
    pub stats: CoreStats,
    pub shard: ShardStats,
    pub io: IoStats,
    /// Per second: commands, bytes in, bytes out.
    pub rates: [u64; 3],
    /// By database.
    pub dbs: Vec<DbPart>,
    pub clients: ClientsPart,
    pub listening: ListeningPart,
    pub expiry_nodes: u64,
    pub expiry_bytes: u64,
    /// Taken from the allocator, but free for the next entries or about to be freed.
    pub slack_bytes: u64,
    /// Values that wait to be freed, and those that have been.
    pub lazyfree_pending: u64,
    pub lazyfreed: u64,
    pub executions: Option<Histogram<u64>>,
    pub(crate) log: Option<LogPart>,
}

/// One database on one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbPart {
    pub keys: u64,
    pub volatile: u64,
    /// Hashes with fields that have deadlines.
    pub fading: u64,
    /// Remaining time of all volatile keys together, ms.
    pub ttl_ms: i128,
    pub segments: u64,
    pub slots: u64,
    /// Of directory and segments.
    pub table_bytes: u64,
}

impl DbPart {
    fn add(&mut self, other: &DbPart) {
        self.keys += other.keys;
        self.volatile += other.volatile;
        self.fading += other.fading;
        self.ttl_ms += other.ttl_ms;
        self.segments += other.segments;
        self.slots += other.slots;
        self.table_bytes += other.table_bytes;
    }

    /// Mean remaining time, ms.
    pub fn average_ttl_ms(&self) -> i128 {
        self.ttl_ms / i128::from(self.volatile.max(1))
    }
}

/// The connections of one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientsPart {
    pub count: u64,
    /// Memory of all of them, unsent output included.
    pub bytes: u64,
    /// Those that watch keys, and the keys that they watch.
    pub watching: u64,
    pub watched_keys: u64,
    /// Those that wait for keys, and those of them that do not wait for ever.
    pub blocked: u64,
    pub timed: u64,
    /// The largest that any of them has waiting.
    pub input_bytes_max: u64,
    pub output_bytes_max: u64,
}

/// What the connections of one core listen to: hashes of the names, since several cores may have the same.
#[derive(Clone, Debug, Default)]
pub struct ListeningPart([Vec<u64>; 3]);

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// In use, without what waits to be freed or used again.
    pub used: u64,
    pub peak: u64,
    pub startup: u64,
    /// Tables, timers and clients: what is not keys and values.
    pub overhead: u64,
    pub dataset: u64,
    /// In blocks of the allocator; what it holds from the kernel; what of that is resident.
    pub allocated: u64,
    pub active: u64,
    pub resident: u64,
    /// Resident memory of the process.
    pub rss: u64,
    pub system: u64,
    pub clients: u64,
}

impl Memory {
    /// `dataset` as a percentage of what came after the start.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.dataset, self.used.saturating_sub(self.startup))
    }

    pub fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// `a / b`; 0 for nothing.
pub fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// All parts, in the order of the cores.
pub struct Facts {
    pub parts: Vec<Part>,
    pub memory: Memory,
    /// The core by whose own port it was asked; it speaks as a cluster node, of its own keys.
    pub node: Option<u16>,
}

impl Facts {
    /// To be made once all parts are there, on the core that asks.
    pub fn new(core: &Core, parts: Vec<Part>, on_core_port: bool) -> Facts {
        let memory = memory_of(core, &parts);
        Facts { parts, memory, node: on_core_port.then_some(core.id.0) }
    }

    pub fn sum(&self, of: impl Fn(&Part) -> u64) -> u64 {
        self.parts.iter().map(of).sum()
    }

    /// How many different channels or patterns the connections of all cores listen to.
    pub fn listened_to(&self, kind: Kind) -> usize {
        let mut names: Vec<u64> =
            self.parts.iter().flat_map(|part| &part.listening.0[kind as usize]).copied().collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }

    pub fn max(&self, of: impl Fn(&Part) -> u64) -> u64 {
        self.parts.iter().map(of).max().unwrap_or(0)
    }

    /// Each database over all cores.
    pub fn dbs(&self) -> Vec<DbPart> {
        let mut dbs: Vec<DbPart> = Vec::new();
        for part in &self.parts {
            dbs.resize(dbs.len().max(part.dbs.len()), DbPart::default());
            for (sum, db) in dbs.iter_mut().zip(&part.dbs) {
                sum.add(db);
            }
        }
        dbs
    }

    /// Each database over the cores that are spoken of: all, or the one node.
    pub fn shown_dbs(&self) -> Vec<DbPart> {
        match self.node {
            Some(core) => self.parts.get(usize::from(core)).map_or_else(Vec::new, |part| part.dbs.clone()),
            None => self.dbs(),
        }
    }

    /// Each command over all cores, by its number; empty unless wanted.
    pub fn commands(&self) -> Vec<CommandStats> {
        let mut commands: Vec<CommandStats> = Vec::new();
        for part in &self.parts {
            commands.resize_with(commands.len().max(part.stats.commands.len()), CommandStats::default);
            for (sum, command) in commands.iter_mut().zip(&part.stats.commands) {
                sum.calls += command.calls;
                sum.ns += command.ns;
                sum.rejected += command.rejected;
                sum.failed += command.failed;
                match (&mut sum.times, &command.times) {
                    (_, None) => {}
                    (Some(sum), Some(more)) => sum.add(more),
                    (sum @ None, Some(more)) => *sum = Some(more.clone()),
                }
            }
        }
        commands
    }

    /// One histogram over all commands of all cores, in ns; None when nothing was measured.
    pub fn executions(&self) -> Option<Box<Histogram<u64>>> {
        let mut sum = None;
        for part in &self.parts {
            add_histogram(&mut sum, part.executions.as_ref());
        }
        sum
    }
}

fn add_histogram(sum: &mut Option<Box<Histogram<u64>>>, more: Option<&Histogram<u64>>) {
    match (sum, more) {
        (_, None) => {}
        // Same bounds everywhere: nothing can be out of range.
        (Some(sum), Some(more)) => _ = sum.add(more),
        (sum @ None, Some(more)) => *sum = Some(Box::new(more.clone())),
    }
}

fn memory_of(core: &Core, parts: &[Part]) -> Memory {
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum::<u64>();
    let allocated = memory::used_bytes();
    let used = allocated.saturating_sub(sum(|part| part.slack_bytes));
    let startup = core.shared.startup_bytes().min(used);
    let clients = sum(|part| part.clients.bytes);
    let tables = sum(|part| part.dbs.iter().map(|db| db.table_bytes).sum());
    let overhead = (startup + tables + clients + sum(|part| part.expiry_bytes)).min(used);
    let rss = memory::resident_bytes();
    let active = memory::allocator_bytes().max(allocated);
    Memory {
        used,
        peak: memory::peak_bytes().max(used),
        startup,
        overhead,
        dataset: used - overhead,
        allocated,
        active,
        resident: active.min(rss),
        rss,
        system: total_system_memory(),
        clients,
    }
}

impl Core {
    /// This core's part.
    pub fn info_part(&self, io: &Io, wanted: Wanted) -> Part {
        let shard = &self.exec.shard;
        Part {
            stats: self.stats_part(wanted),
            shard: *shard.stats(),
            io: io.stats(),
            rates: self.cron.rates.per_second(),
            dbs: (0..self.settings.databases).map(|db| self.db_part(DbIndex(db))).collect(),
            clients: self.clients_part(io),
            listening: self.listening_part(),
            expiry_nodes: shard.expiry_nodes() as u64,
            expiry_bytes: shard.expiry_bytes() as u64,
            lazyfree_pending: shard.lazy_freed().0 as u64,
            lazyfreed: shard.lazy_freed().1,
            slack_bytes: shard.slack_bytes() as u64,
            log: self.log_part(),
            executions: if wanted.executions { self.all_executions() } else { None },
        }
    }

    fn stats_part(&self, wanted: Wanted) -> CoreStats {
        let stats = &self.exec.stats;
        let command = |command: &CommandStats| CommandStats {
            times: command.times.as_ref().filter(|_| wanted.histograms).cloned(),
            ..*command
        };
        let listed = if wanted.commands || wanted.histograms { &stats.commands[..] } else { &[] };
        CoreStats { commands: listed.iter().map(command).collect(), errors: stats.errors.clone(), ..*stats }
    }

    fn db_part(&self, db: DbIndex) -> DbPart {
        let shard = &self.exec.shard;
        let keys = shard.db_len(db) as u64;
        let table = shard.table_stats(db);
        let volatile = shard.db_volatile_len(db) as u64;
        DbPart {
            keys,
            volatile,
            fading: shard.db_fading_len(db) as u64,
            ttl_ms: if volatile == 0 { 0 } else { i128::from(shard.db_average_ttl(db)) * i128::from(volatile) },
            segments: table.segments as u64,
            slots: table.slots as u64,
            table_bytes: table.bytes as u64,
        }
    }

    fn clients_part(&self, io: &Io) -> ClientsPart {
        let (blocked, timed) = (self.blocking.len() as u64, self.blocking.timed_len() as u64);
        let mut clients = ClientsPart { blocked, timed, ..ClientsPart::default() };
        for session in self.sessions.iter() {
            let unsent = io.unsent(session.conn) as u64;
            clients.count += 1;
            // Those that CLIENT PAUSE keeps waiting are blocked, too.
            clients.blocked += u64::from(session.flags.contains(SessionFlags::PAUSED));
            if let Some(watching) = &session.watching {
                clients.watching += 1;
                clients.watched_keys += watching.len() as u64;
            }
            clients.bytes += session.memory() as u64 + unsent;
            clients.input_bytes_max = clients.input_bytes_max.max(session.pending_len() as u64);
            clients.output_bytes_max = clients.output_bytes_max.max(unsent);
        }
        clients
    }

    fn listening_part(&self) -> ListeningPart {
        let hash = |name: &[u8]| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        };
        ListeningPart(KINDS.map(|kind| self.pubsub.listeners(kind).names().map(hash).collect()))
    }

    fn all_executions(&self) -> Option<Histogram<u64>> {
        let mut sum: Option<Box<Histogram<u64>>> = None;
        for command in &self.exec.stats.commands {
            add_histogram(&mut sum, command.times.as_ref().map(|times| times.histogram()).as_ref());
        }
        sum.map(|histogram| *histogram)
    }
}
