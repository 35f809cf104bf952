//! Runs key commands on this core's shard, for its own connections and for other cores' requests alike.
//!
//! It holds what such a run touches and nothing of the connections, so that the dispatcher can borrow both at once.

use std::sync::Arc;

use pinyon_base::{DbIndex, Millis};
use pinyon_durability::Lsn;
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::row::{Flags, KeyHandler};
use pinyon_engine::keyspace::Shard;
use pinyon_engine::{CommandError, Cx, Effect};
use pinyon_resp::{Args, Output, Proto, Writer};
use pinyon_runtime::{CoreId, clock};

use crate::blocking::Waiters;
use crate::log::ShardLog;
use crate::shared::Shared;
use crate::stats::CoreStats;

/// The shard and what is counted of its work.
pub struct Exec {
    pub shard: Shard,
    pub stats: CoreStats,
    /// Commands that wait for keys of this shard.
    pub(crate) waiters: Waiters,
    /// latency-tracking.
    pub tracking: bool,
    /// Executions at least this long (ns) are looked at by the slow log and the latency monitor.
    pub watch_ns: u64,
    /// The shard's log; None with `appendonly no`.
    pub(crate) log: Option<Box<ShardLog>>,
    /// Replies wait until what they tell is durable (`appendfsync always`).
    pub(crate) holds: bool,
    /// With that: the record that the reply of the last command waits for; 0 for none.
    pub(crate) until: Lsn,
    /// The log of a shard has failed for good.
    pub(crate) failed: bool,
    /// Why writes are refused.
    pub(crate) refusal: Option<String>,
    /// There is a limit, or a refusal, to look at before a command runs.
    guarded: bool,
    /// maxmemory in bytes; 0 = no limit.
    pub maxmemory: u64,
    /// Bytes that may be written before memory must be looked at again; see `room`.
    pub(crate) allowance: u64,
    /// Keys evicted at most for one write.
    pub(crate) evictions_per_write: usize,
    /// Bytes that this shard has yet to free, that each other shard is to be asked for, and when that was last so.
    pub(crate) owed: u64,
    pub(crate) owed_by_others: u64,
    pub(crate) last_debt_us: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: CoreId,
    /// The latest time that was seen anywhere, Unix ms: no command runs at an earlier one.
    latest_ms: i64,
    /// Cycle counter at the end of the last command: the start of the next one.
    tick: u64,
}

/// A clock that lies so far behind, in ms, has been set back: it counts.
const SET_BACK_MS: i64 = 1_000;

/// What a command has changed on this shard.
pub struct Change<'a> {
    pub command: CommandId,
    pub db: DbIndex,
    pub args: Args<'a>,
    pub effect: Effect,
    /// False for a part of a command whose change is counted elsewhere.
    pub counts: bool,
    /// The hash of the command's first key; 0: not known.
    pub key: u64,
}

/// One command to run here.
#[derive(Clone, Copy)]
pub struct Run {
    pub command: CommandId,
    pub flags: Flags,
    pub handler: KeyHandler,
    pub db: DbIndex,
    pub proto: Proto,
    pub no_touch: bool,
    /// Position of the first key among the arguments and its hash; position 0 when it is not known.
    pub key_at: u16,
    pub hash: u64,
    /// False for a part of a split command, which its coordinator counts as one.
    pub counts: bool,
}

impl Exec {
    pub fn new(shard: Shard, shared: Arc<Shared>, core: CoreId) -> Exec {
        Exec {
            shard,
            stats: CoreStats::new(),
            waiters: Waiters::default(),
            tracking: true,
            watch_ns: u64::MAX,
            log: None,
            holds: false,
            until: Lsn(0),
            failed: false,
            refusal: None,
            guarded: false,
            maxmemory: 0,
            allowance: 0,
            evictions_per_write: 0,
            owed: 0,
            owed_by_others: 0,
            last_debt_us: 0,
            shared,
            core,
            latest_ms: 0,
            tick: 0,
        }
    }

    /// Starts the clock of the commands that follow; for the keyspace time stands still at `now_ms`.
    #[inline]
    pub fn start(&mut self, now_ms: i64) {
        let now_ms = self.clock(now_ms);
        self.start_at(now_ms);
    }

    /// As `start`, for the commands of a transaction, which has a time of its own.
    #[inline]
    pub fn start_at(&mut self, now_ms: i64) {
        self.shard.begin_turn(Millis(now_ms));
        self.tick = clock::cycles();
    }

    /// This core's time, Unix ms, when its own clock says `now_ms`: never before one that another core has seen.
    #[inline]
    pub fn clock(&mut self, now_ms: i64) -> i64 {
        if now_ms >= self.latest_ms || self.latest_ms - now_ms > SET_BACK_MS {
            self.latest_ms = now_ms;
        }
        self.latest_ms
    }

    /// Takes note of another core's time.
    #[inline]
    pub fn see(&mut self, now_ms: i64) {
        self.latest_ms = self.latest_ms.max(now_ms);
    }

    /// To be called when `maxmemory`, the refusal or `holds` has changed.
    pub(crate) fn look_at_limits(&mut self) {
        self.guarded = self.maxmemory != 0 || self.refusal.is_some() || self.holds;
    }

    /// From now on replies wait for the log, or no longer.
    pub(crate) fn set_holds(&mut self, holds: bool) {
        self.holds = holds;
        self.look_at_limits();
    }

    /// Whether `maxmemory` and the log let a command with these flags and arguments run.
    #[inline]
    pub fn admits(&mut self, flags: Flags, args: Args<'_>) -> Result<(), CommandError> {
        if self.guarded { self.check_limits(flags, args) } else { Ok(()) }
    }

    fn check_limits(&mut self, flags: Flags, args: Args<'_>) -> Result<(), CommandError> {
        if flags.contains(Flags::WRITE)
            && let Some(refusal) = &self.refusal
        {
            return Err(CommandError::Other(refusal.clone().into()));
        }
        if self.maxmemory == 0 || !flags.contains(Flags::DENYOOM) {
            return Ok(());
        }
        let bytes: usize = args.iter().map(<[u8]>::len).sum();
        if self.has_room(bytes as u64) { Ok(()) } else { Err(CommandError::OutOfMemory) }
    }

    /// Runs one command; its reply is appended to `out`. Gives its execution time in ns.
    #[inline]
    pub fn run(&mut self, run: Run, args: Args<'_>, out: &mut Output) -> u64 {
        if self.guarded { self.run_guarded(run, args, out) } else { self.carry_out(run, args, out) }
    }

    /// As `run`, where there is something to look at before and after.
    fn run_guarded(&mut self, run: Run, args: Args<'_>, out: &mut Output) -> u64 {
        if let Err(error) = self.check_limits(run.flags, args) {
            self.refuse(run, &error, out);
            self.until = Lsn(0);
            return 0;
        }
        let before = self.last_lsn();
        let ns = self.carry_out(run, args, out);
        if self.holds {
            self.hold(before, self.only_key(run.command, run.hash));
        }
        ns
    }

    /// Whether there is a limit to look at before a command runs: only [`Exec::run`] may run it then.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.guarded && (self.maxmemory != 0 || self.refusal.is_some())
    }

    /// As `run`, where there is nothing to look at.
    #[inline]
    pub(crate) fn carry_out(&mut self, run: Run, args: Args<'_>, out: &mut Output) -> u64 {
        let mut ks = self.shard.keyspace(run.db, run.no_touch);
        ks.set_hint(usize::from(run.key_at), run.hash);
        let mut cx = Cx { ks, out: Writer { out, proto: run.proto } };
        match (run.handler)(&mut cx, args) {
            Ok(Effect::None) => {}
            Ok(effect) => {
                let key = run.hash;
                self.changed(&Change { command: run.command, db: run.db, args, effect, counts: true, key });
                self.serve_waiters();
            }
            Err(error) => {
                error.write(&mut cx.out);
                self.stats.error(error.code());
                self.stats.commands[run.command.0 as usize].failed += 1;
            }
        }
        if run.counts { self.finish(run.command) } else { self.lap() }
    }

    /// Every change that a command makes on this shard comes by here, and those of the steps of a transaction.
    #[inline]
    pub fn changed(&mut self, change: &Change<'_>) {
        debug_assert!(usize::from(change.db.0) < usize::from(u16::MAX) && change.args.len() > 0);
        if change.counts {
            self.stats.dirty += change.effect.changes();
        }
        if self.log.is_some() {
            self.log_change(change);
        }
    }

    /// Counts a command that has just ended; gives its execution time in ns.
    #[inline]
    pub fn finish(&mut self, command: CommandId) -> u64 {
        let ns = self.lap();
        self.stats.commands_processed += 1;
        self.stats.executed(command, ns, self.tracking);
        ns
    }

    /// Time since the last lap or start, in ns.
    #[inline]
    fn lap(&mut self) -> u64 {
        let now = clock::cycles();
        let ns = clock::cycles_to_ns(now.wrapping_sub(self.tick));
        self.tick = now;
        ns
    }

    #[cold]
    pub(crate) fn refuse(&mut self, run: Run, error: &CommandError, out: &mut Output) {
        error.write(&mut Writer { out, proto: run.proto });
        self.stats.error(error.code());
        self.stats.commands[run.command.0 as usize].rejected += 1;
    }
}
