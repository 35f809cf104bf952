//! One core of the server: its shard, its connections, and what it has asked of other cores.
//!
//! The runtime calls in; every turn ends in `on_turn`, which takes up what the budget left over, sends the batches off,
//! does a slice of background work and says how long the core may sleep.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use pinyon_base::DbIndex;
use pinyon_durability::StdDisk;
use pinyon_engine::keyspace::Shard;
use pinyon_engine::transaction::WatcherId;
use pinyon_resp::{Output, Span};
use pinyon_runtime::{App, ConnId, CoreId, FileDone, Leave, Next, PeerInfo, memory};

use crate::blocking::{BlockMail, Home as WaitingClients, Why};
use crate::clients::{Monitors, Pause};
use crate::config::{Config, PipelineOrder};
use crate::cron::Cron;
use crate::dispatch::Parsed;
use crate::exec::Exec;
use crate::gather::{Gather, Work};
use crate::hop::Batch;
use crate::latency::LatencyEvents;
use crate::log::{AofWaits, Epochs, Errand, Loading, LogMail, Stopping, Troubles};
use crate::migration::LoadWatch;
use crate::pubsub::{PubSub, PubsubMail};
use crate::room::evictions_per_write;
use crate::save::{Saves, Saving, Told};
use crate::session::{Session, SessionFlags};
use crate::settings::{Gates, Settings};
use crate::shared::Shared;
use crate::shutdown::{Ending, options_of};
use crate::slab::Slab;
use crate::slices::{Home, Jobs, Slice};
use crate::slots::Slots;
use crate::slowlog::{SlowEntry, SlowLog};
use crate::tx::unit::Unit;
use crate::tx::{Late, Tx, TxMail};

pub type Io = pinyon_runtime::Io<Mail>;

/// What travels between cores.
pub enum Mail {
    /// Commands to run; comes back as `Replies`.
    Batch(Box<Batch>),
    Replies(Box<Batch>),
    /// A piece of work; comes back as `Result`.
    Work {
        gather: u32,
        part: u32,
        work: Work,
    },
    Result {
        gather: u32,
        part: u32,
        result: Box<dyn Any + Send>,
    },
    /// A piece of work too big for one go; comes back as `Result`.
    Slices {
        gather: u32,
        part: u32,
        slice: Slice,
    },
    /// A command of a client of the receiving core ran slowly on the sending one.
    Slow(Box<SlowEntry>),
    /// Memory is above the limit: free this share of what was written, or of what is too much.
    MakeRoom {
        bytes: u64,
    },
    /// Between the coordinator of a transaction and its shards.
    Tx(Box<TxMail>),
    /// An EXEC or WATCH on the receiving core's shard alone; comes back as `UnitDone`.
    Unit(Box<Unit>),
    UnitDone(Box<Unit>),
    /// The reply of a command that had to wait for a transaction.
    Late(Box<Late>),
    /// A client no longer watches keys of the receiving core.
    Unwatch {
        client: u64,
    },
    /// A key that a client of the receiving core watches has changed.
    Changed(WatcherId),
    /// About a command that may wait for its keys.
    Block(Box<BlockMail>),
    /// Between the cores' logs.
    Log(Box<LogMail>),
    /// Something to be done.
    Errand(Errand),
    /// What is published.
    Pubsub(Box<PubsubMail>),
    /// A line for the monitors that are connected to the receiving core.
    Monitor(Arc<Vec<u8>>),
}

/// One core's state. Nothing in it is shared but `shared`, which holds counters and what never changes.
pub struct Core {
    pub id: CoreId,
    /// The number of shards: one per core.
    pub shards: u16,
    pub exec: Exec,
    pub sessions: Sessions,
    pub config: Arc<Config>,
    /// The part of the configuration that hot paths look at.
    pub settings: Settings,
    pub shared: Arc<Shared>,
    /// What takes commands off the fast path, for all sessions of this core.
    pub gates: Gates,
    pub gathers: Slab<Gather>,
    /// Transactions over several shards.
    pub tx: Tx,
    /// Clients that wait for keys.
    pub blocking: WaitingClients,
    // Boxed because they move to sessions and back as pointers.
    #[allow(clippy::vec_box)]
    pub slots_pool: Vec<Box<Slots>>,
    /// Batches and works sent to other cores and not yet answered.
    pub expecting: usize,
    pub slowlog: SlowLog,
    pub latency: LatencyEvents,
    pub monitors: Monitors,
    /// Who listens to what.
    pub pubsub: PubSub,
    pub pause: Pause,
    pub cron: Cron,
    pub load: LoadWatch,
    pub jobs: Jobs,
    /// Sessions whose replies wait for the log.
    pub(crate) held: Vec<ConnId>,
    /// The folder of the logs and snapshots, once there is one.
    pub(crate) store: Option<&'static StdDisk>,
    /// The end that waits for a snapshot, and how many ends were begun; the first core's.
    pub(crate) ending: Option<Ending>,
    pub(crate) ends: u64,
    /// Logs that are being stopped; the first core's.
    pub(crate) stopping_logs: Option<Stopping>,
    /// Cuts over all logs; the first core's.
    pub(crate) epochs: Epochs,
    /// Snapshots; the first core's.
    pub(crate) saves: Saves,
    /// This core's part of the one under way.
    pub(crate) saving: Option<Saving>,
    /// The last one has failed.
    pub(crate) save_has_failed: bool,
    pub(crate) told_changes: Told,
    pub(crate) aof_waits: AofWaits,
    pub(crate) loading: Loading,
    /// Which logs cannot be written.
    pub(crate) troubles: Troubles,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    /// The TCP addresses listened on; kept by the core that decides on changes.
    pub listening: Vec<SocketAddr>,
    /// The addresses of the cores' own ports; kept by the same core.
    pub own_listening: Vec<SocketAddr>,
    /// A CONFIG SET that moves to other addresses, or starts or stops the logs, is under way; kept by the same core.
    pub rebinding: bool,
    rng: u64,
    /// Counts turns: a session's budget is per turn.
    pub turn: u64,
    /// The batch being filled for each core.
    pub(crate) open_batches: Vec<Option<Box<Batch>>>,
    // Boxed because they travel between cores as pointers.
    #[allow(clippy::vec_box)]
    pub(crate) spare_batches: Vec<Box<Batch>>,
    /// Sessions with input that may run, to be taken up at the end of the turn.
    pub(crate) ready: Vec<ConnId>,
    /// Buffers of the dispatcher, kept to spare allocations.
    pub(crate) spans: Vec<Span>,
    pub(crate) parsed: Vec<Parsed>,
    pub(crate) scratch: Output,
    /// There is background work that does not wait: done a slice at a time, when the replies of the turn have left.
    behind: bool,
    /// Databases and hashes of keys that are being fetched.
    pub(crate) ahead: Vec<(DbIndex, u64)>,
    /// The session whose input is being run.
    pub(crate) running: Option<ConnId>,
    /// Set by SHUTDOWN or a signal: the core stops once its output has left.
    pub stopping: bool,
}

impl Core {
    /// The core `id` of a server configured as `config`.
    pub fn new(id: CoreId, config: Arc<Config>, shared: Arc<Shared>) -> Core {
        let settings = Settings::new(&config);
        let shard = Shard::new(settings.shard_config(&config, &shared, id));
        let shards = shared.shards;
        let rng = shared.rng_seed.wrapping_mul(u64::from(id.0) + 1) | 1;
        let (listening, own_listening) = (shared.addresses.clone(), shared.own_addresses.clone());
        let store = shared.claim.as_ref().map(|claim| claim.disk);
        let mut core = Core {
            id,
            shards,
            exec: Exec::new(shard, shared.clone(), id),
            sessions: Sessions::default(),
            config: config.clone(),
            settings,
            shared,
            gates: Gates::empty(),
            gathers: Slab::default(),
            tx: Tx::default(),
            blocking: WaitingClients::default(),
            slots_pool: Vec::new(),
            expecting: 0,
            slowlog: SlowLog::default(),
            latency: LatencyEvents::default(),
            monitors: Monitors::default(),
            pubsub: PubSub::default(),
            pause: Pause::default(),
            cron: Cron::default(),
            load: LoadWatch::default(),
            jobs: Jobs::default(),
            held: Vec::new(),
            store,
            ending: None,
            ends: 0,
            stopping_logs: None,
            epochs: Epochs::default(),
            saves: Saves::default(),
            saving: None,
            save_has_failed: false,
            told_changes: Told::default(),
            aof_waits: AofWaits::default(),
            loading: Loading::default(),
            troubles: Troubles::default(),
            active_expire: true,
            listening,
            own_listening,
            rebinding: false,
            rng,
            turn: 0,
            open_batches: (0..shards).map(|_| None).collect(),
            spare_batches: Vec::new(),
            ready: Vec::new(),
            spans: Vec::new(),
            parsed: Vec::new(),
            scratch: Output::default(),
            behind: false,
            ahead: Vec::new(),
            running: None,
            stopping: false,
        };
        core.apply_config(config);
        core
    }

    /// Takes over a configuration; an older one than the present is ignored.
    pub fn apply_config(&mut self, config: Arc<Config>) {
        if config.version < self.config.version {
            return;
        }
        if self.id.0 == 0 && config.dir != self.config.dir {
            self.leave_store();
        }
        let had_password = self.settings.password.is_some();
        self.settings = Settings::new(&config);
        let mut shard_config = self.settings.shard_config(&config, &self.shared, self.id);
        shard_config.active_expire = self.active_expire;
        self.exec.shard.reconfigure(&shard_config);
        self.exec.tracking = self.settings.latency_tracking;
        self.exec.watch_ns = self.settings.watch_ns;
        self.exec.maxmemory = self.settings.maxmemory;
        self.exec.look_at_limits();
        self.exec.evictions_per_write = evictions_per_write(config.maxmemory_eviction_tenacity);
        self.slowlog.set_capacity(self.settings.slowlog_max_len);
        self.gates.set(Gates::STRICT, config.pipeline_order == PipelineOrder::Strict);
        self.config = config;
        self.update_refusal();
        if had_password && self.settings.password.is_none() {
            self.sessions.iter_mut().for_each(|session| session.flags.insert(SessionFlags::AUTHENTICATED));
        }
        if self.settings.maxmemory_clients == 0 {
            self.forget_client_memory();
        }
        if !self.sessions.is_empty() {
            self.cron.replan(&self.settings);
        }
    }

    /// A random number below `bound` (0 for a bound of 0).
    pub fn random_below(&mut self, bound: usize) -> usize {
        // xorshift64*: enough for a fair choice between shards.
        self.rng ^= self.rng >> 12;
        self.rng ^= self.rng << 25;
        self.rng ^= self.rng >> 27;
        let number = self.rng.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(number) * bound as u128) >> 64) as usize
    }

    /// Marks a session whose input may run; it is taken up before the turn ends.
    pub fn mark_ready(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && session.pending_len() > 0
            && !session.flags.contains(SessionFlags::READY)
        {
            session.flags.insert(SessionFlags::READY);
            self.ready.push(conn);
        }
    }

    /// Closes a connection whose client will send no more, once everything it sent is answered.
    pub(crate) fn finish_eof(&mut self, io: &mut Io, conn: ConnId) {
        if self.running != Some(conn)
            && let Some(session) = self.sessions.get(conn)
            && session.flags.contains(SessionFlags::EOF)
            && !session.flags.intersects(SessionFlags::READY | SessionFlags::BLOCKED | SessionFlags::PAUSED)
            && session.slots.is_none()
        {
            self.close_after_output(io, conn);
        }
    }

    /// Closes a connection at once, unsent output included.
    pub fn kill(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            if !session.flags.contains(SessionFlags::KILLED) {
                self.shared.disconnected();
            }
            session.flags.insert(SessionFlags::CLOSING | SessionFlags::KILLED);
            io.close(conn);
        }
    }

    /// Closes a connection once what was written to it has left.
    pub fn close_after_output(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.flags.insert(SessionFlags::CLOSING);
            // While replies wait for other cores, the last of them closes it.
            if session.slots.is_none() {
                io.close_after_output(conn);
            }
        }
    }
}

impl App for Core {
    type Mail = Mail;

    fn on_start(&mut self, io: &mut Io) {
        self.shared.note_startup(memory::used_bytes());
        self.begin_loading(io);
    }

    fn on_open(&mut self, io: &mut Io, conn: ConnId, peer: &PeerInfo) {
        if let Some(refusal) = self.refusal(peer) {
            self.exec.stats.connections_rejected += 1;
            if let Some(out) = io.output(conn) {
                out.bytes_mut().extend_from_slice(refusal);
            }
            io.close_after_output(conn);
            return;
        }
        self.exec.stats.connections_received += 1;
        let id = self.shared.connected();
        let session = Session::new(conn, id, peer.clone(), io.now_ms(), self.settings.password.is_none());
        self.sessions.insert(session);
        self.cron.wake(&self.settings);
    }

    fn on_ahead<'a>(&mut self, arrivals: impl Iterator<Item = (ConnId, &'a [u8])>) {
        self.fetch_ahead(arrivals);
    }

    fn on_data(&mut self, io: &mut Io, conn: ConnId, data: &[u8]) {
        self.take_input(io, conn, data);
    }

    fn on_eof(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.flags.insert(SessionFlags::EOF);
        }
        self.leave_if_closed(io, conn);
        self.finish_eof(io, conn);
    }

    fn on_close(&mut self, io: &mut Io, conn: ConnId) {
        self.discard(io, conn);
        if let Some(number) = self.sessions.get(conn).and_then(|session| session.waiting) {
            self.stop_waiting(io, number, Why::Gone);
        }
        self.unsubscribe_all(conn);
        if let Some(session) = self.sessions.remove(conn) {
            if !session.flags.contains(SessionFlags::KILLED) {
                self.shared.disconnected();
            }
            if session.flags.contains(SessionFlags::MONITOR) {
                self.monitors.remove(conn);
                self.announce_monitors(io);
            }
            if let Some(slots) = session.slots {
                self.keep_slots(slots);
            }
        }
    }

    fn on_leave(&mut self, _io: &mut Io, conn: ConnId) -> Leave {
        self.let_session_go(conn)
    }

    fn on_arrive(&mut self, io: &mut Io, conn: ConnId, _peer: &PeerInfo, luggage: Box<dyn Any + Send>) {
        self.take_session_up(io, conn, luggage);
    }

    fn on_mail(&mut self, io: &mut Io, from: CoreId, mail: Mail) {
        match mail {
            // Its replies would promise what is not in the log any more.
            Mail::Batch(_) if self.stopping => {}
            Mail::Batch(batch) => self.run_batch(io, from, batch),
            Mail::Replies(batch) => self.take_replies(io, from, batch),
            Mail::Work { gather, part, work } => {
                let result = work(self, io);
                io.mail(from, Mail::Result { gather, part, result });
            }
            Mail::Result { gather, part, result } => {
                self.expecting -= 1;
                self.gathered(io, gather, part, result);
            }
            Mail::Slices { gather, part, slice } => {
                self.start_job(io, Home::Gather { core: from, gather, part }, slice)
            }
            Mail::Tx(mail) => self.on_transaction_mail(io, *mail),
            Mail::Unit(unit) => self.take_unit(io, from, unit),
            Mail::UnitDone(unit) => self.unit_done(io, *unit),
            Mail::Late(late) => self.take_late(io, *late),
            Mail::Block(mail) => self.on_block_mail(io, *mail),
            Mail::Unwatch { client } => self.exec.shard.watches().unwatch(client),
            Mail::Changed(watcher) => self.note_changed(watcher),
            Mail::Slow(entry) => self.record_slow(*entry),
            Mail::MakeRoom { bytes } => self.owe(bytes),
            Mail::Log(mail) => self.take_log_mail(io, from, *mail),
            Mail::Errand(errand) => errand(self, io),
            Mail::Pubsub(mail) => self.take_pubsub_mail(io, from, *mail),
            Mail::Monitor(line) => self.monitors.show(io, &line),
        }
    }

    fn on_file(&mut self, io: &mut Io, done: FileDone) {
        self.log_operation_ended(io, done);
    }

    fn on_signal(&mut self, io: &mut Io, signal: i32) {
        tracing::warn!("Received signal {signal}, scheduling shutdown...");
        let options = options_of(self, signal);
        self.end_server(io, options, None);
    }

    fn on_turn(&mut self, io: &mut Io) -> Next {
        if !self.stopping {
            self.serve_all(io);
            self.run_ready(io);
        }
        self.turn += 1;
        if self.exec.shard.watches().has_news() {
            self.tell_watchers(io);
        }
        self.flush_hops(io);
        if !self.behind {
            self.behind = self.background(io);
        }
        self.serve_all(io);
        let more = self.behind || !self.ready.is_empty();
        self.tend_epochs(io);
        self.commit_log(io);
        self.publish_events(io);
        self.release_epochs(io);
        if self.stopping {
            let ending = Next::Sleep { until: self.log_retry_at_us(), expecting: false };
            return if self.log_is_ending() { ending } else { Next::Stop };
        }
        if more {
            return Next::Again;
        }
        Next::Sleep { until: self.wake_at_us(io), expecting: self.expecting > 0 }
    }

    fn on_again(&mut self, io: &mut Io) -> bool {
        let behind = self.behind && !self.stopping;
        if behind {
            self.behind = self.background(io);
        }
        behind
    }
}

/// The sessions of one core, by connection.
#[derive(Default)]
pub struct Sessions {
    items: Vec<Option<Box<Session>>>,
    len: usize,
}

impl Sessions {
    pub fn insert(&mut self, session: Session) {
        let index = session.conn.index as usize;
        if self.items.len() <= index {
            self.items.resize_with(index + 1, || None);
        }
        self.items[index] = Some(Box::new(session));
        self.len += 1;
    }

    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        match self.items.get_mut(conn.index as usize) {
            Some(Some(session)) if session.conn == conn => Some(session),
            _ => None,
        }
    }

    #[inline]
    pub fn get(&self, conn: ConnId) -> Option<&Session> {
        match self.items.get(conn.index as usize) {
            Some(Some(session)) if session.conn == conn => Some(session),
            _ => None,
        }
    }

    /// The session at a place of the table, whichever it is.
    pub fn at(&mut self, place: u32) -> Option<&mut Session> {
        self.items.get_mut(place as usize)?.as_deref_mut()
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        self.get(conn)?;
        self.len -= 1;
        self.items[conn.index as usize].take()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.items.iter().flatten().map(|session| &**session)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.items.iter_mut().flatten().map(|session| &mut **session)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
