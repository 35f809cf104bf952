//! A server of several shards in one thread: engines, logs, replies that wait, transactions, epochs. What happens next is drawn
//! from the seed; what comes of it is told to the oracle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pinyon_base::{ShardId, shard_of, slot_of};
use pinyon_durability::disk::Trouble;
use pinyon_durability::ids::LogId;
use pinyon_durability::pace::Pace;
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::stability::Progress;
use pinyon_durability::{Durable, Epoch, Log, LogConfig, LogStart, LogState, Lsn, Manifest, Op, OpKind, Waiting};

use crate::disk::{SimDisk, Submitted};
use crate::engine::{Engine, Key};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::save::Save;

/// Operations end at the latest so long after they were submitted. A disk that takes much longer costs more than the last second
/// under `everysec`, where many writes wait for one another before a sync.
const WRITE_MS_MAX: u64 = 8;
const SYNC_MS_MAX: u64 = 30;
const KIND: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    EverySec,
    No,
}

/// What does not change during a run.
#[derive(Clone, Debug)]
pub struct Shape {
    pub shards: u16,
    pub segment_bytes: u64,
    pub frame_raw_max: usize,
    pub writes_max: usize,
    pub compress: bool,
    pub keys: Vec<Key>,
    pub value_max: usize,
    /// Operations on the log of which one in a thousand fails.
    pub io_errors: u64,
}

pub const ALIGN: u32 = 512;

enum Message {
    Progress(Progress),
    Placed(u64, Vec<(ShardId, Lsn)>),
}

pub struct Core<E> {
    pub engine: E,
    pub log: Log,
    pub durable: Durable,
    pub maker: SegmentMaker,
    locked: BTreeSet<Key>,
    /// From each other core, in order.
    inbox: Vec<VecDeque<Message>>,
}

struct UnderWay {
    shard: usize,
    op: Op,
    submitted: Submitted,
    ends_at: u64,
}

struct Transaction {
    number: u64,
    shards: Vec<ShardId>,
    /// Parts that have not run.
    left: Vec<(usize, Vec<Key>)>,
    parts: Vec<(ShardId, Lsn)>,
}

/// The cut that ends an epoch, while shards still have to seal it.
struct Boundary {
    epoch: Epoch,
    left: Vec<usize>,
    policy: Policy,
    sync: bool,
    rotate: bool,
}

enum Told {
    Records(Vec<(ShardId, Lsn)>),
    Epoch(Epoch),
}

pub struct Node<E> {
    pub disk: SimDisk,
    pub rng: Rng,
    pub now: u64,
    pub shape: Shape,
    pub manifest: Manifest,
    pub cores: Vec<Core<E>>,
    pub oracle: Oracle<E>,
    pub policy: Policy,
    pub save: Option<Save<E>>,
    under_way: Vec<UnderWay>,
    transactions: Vec<Transaction>,
    next_transaction: u64,
    boundary: Option<Boundary>,
    pace: Pace,
    told: BTreeMap<u64, Told>,
    next_token: u64,
    pub snapshots: u64,
    trace: bool,
}

/// Where `key` lives.
pub fn owner(key: &Key, shards: u16) -> ShardId {
    shard_of(slot_of(key), shards)
}

impl<E: Engine> Node<E> {
    /// A server that has loaded `world` and opened the run that `manifest` ends with.
    pub fn new(disk: SimDisk, rng: Rng, now: u64, shape: Shape, opened: Opened<E>, trace: bool) -> Node<E> {
        let Opened { manifest, world, makers, base, policy } = opened;
        if trace {
            println!("{now} run {} with {} shards, {policy:?}", manifest.last_run.0, shape.shards);
        }
        let before = vec![Lsn(0); usize::from(shape.shards)];
        let core = |(shard, maker): (usize, SegmentMaker)| {
            let shard = ShardId(shard as u16);
            let config = LogConfig {
                id: LogId { server: manifest.server, run: manifest.last_run, shard },
                align: ALIGN,
                segment_bytes: shape.segment_bytes,
                frame_raw_max: shape.frame_raw_max,
                writes_max: shape.writes_max,
                compress: shape.compress,
            };
            Core {
                engine: world.part(|key| owner(key, shape.shards) == shard),
                log: Log::new(config, LogStart::FRESH, base.next(), policy == Policy::Always),
                durable: Durable::new(shard, &before, base, 16),
                maker,
                locked: BTreeSet::new(),
                inbox: (0..shape.shards).map(|_| VecDeque::new()).collect(),
            }
        };
        let mut oracle = Oracle::new(manifest.last_run, world.clone(), usize::from(shape.shards), base);
        oracle.lax = policy == Policy::No;
        Node {
            disk,
            rng,
            now,
            cores: makers.into_iter().enumerate().map(core).collect(),
            shape,
            manifest,
            oracle,
            policy,
            save: None,
            under_way: Vec::new(),
            transactions: Vec::new(),
            next_transaction: 1,
            boundary: None,
            pace: Pace::default(),
            told: BTreeMap::new(),
            next_token: 1,
            snapshots: 0,
            trace,
        }
    }

    /// Says what happens, if that was asked for.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{} {}", self.now, what());
        }
    }

    /// Something happens. `Err` for a failed check; a disk without power shows in [`SimDisk::is_off`].
    pub fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..30 => self.single_write(),
            30..42 => self.read(),
            42..50 => self.begin_transaction(),
            50..58 => self.run_part(),
            58..72 => self.end_turn(),
            72..82 => self.end_some_op(),
            82..88 => self.deliver(),
            88..92 => self.seal_some(),
            92..94 => self.wait_aof(),
            94 => self.expire_some(),
            95 => self.change_policy(),
            96 | 97 => self.save_step(),
            _ => self.advance(),
        }
        Ok(())
    }

    // -------------------------------------------------------------------------------------------------------- commands

    fn may_write(&self, shard: usize) -> bool {
        let core = &self.cores[shard];
        core.log.state() == LogState::Writing && core.log.backlog_bytes() < 64 << 10
    }

    /// Between the cut and its seal nothing runs on a shard.
    fn may_run(&self, shard: usize) -> bool {
        self.boundary.as_ref().is_none_or(|boundary| !boundary.left.contains(&shard))
    }

    fn some_key(&mut self) -> (usize, Key) {
        let key = self.rng.pick(&self.shape.keys).clone();
        (usize::from(owner(&key, self.shape.shards).0), key)
    }

    fn single_write(&mut self) {
        let (shard, key) = self.some_key();
        if !self.may_write(shard) || !self.may_run(shard) || self.cores[shard].locked.contains(&key) {
            return;
        }
        let mut effects = Vec::new();
        self.cores[shard].engine.write(&key, self.now, &mut self.rng, self.shape.value_max, &mut effects);
        let lsn = self.log_effects(shard, None, &[key], &effects);
        self.promise(vec![(ShardId(shard as u16), lsn)]);
    }

    fn log_effects(&mut self, shard: usize, part: Option<(u64, &[ShardId])>, keys: &[Key], effects: &[u8]) -> Lsn {
        let core = &mut self.cores[shard];
        let lsn = core.log.append(KIND, part, effects);
        self.oracle.logged(ShardId(shard as u16), lsn, effects, self.now);
        for key in keys {
            core.durable.wrote(hash(key), lsn);
            self.oracle.wrote(key, lsn);
        }
        self.pace.wrote(self.now);
        self.trace(|| format!("shard {shard} {lsn:?} {part:?} {} bytes", effects.len()));
        lsn
    }

    /// Under `always` the client is told when its records are stable; otherwise it is promised nothing.
    fn promise(&mut self, parts: Vec<(ShardId, Lsn)>) {
        let (shard, lsn) = *self.rng.pick(&parts);
        if self.cores[usize::from(shard.0)].log.is_always() {
            let token = self.token(Told::Records(parts));
            self.cores[usize::from(shard.0)].durable.wait(Waiting::Stable(lsn), token);
            self.release(usize::from(shard.0));
        }
    }

    fn token(&mut self, told: Told) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.told.insert(token, told);
        token
    }

    fn read(&mut self) {
        let (shard, key) = self.some_key();
        let core = &self.cores[shard];
        if !core.log.is_always() || !self.may_run(shard) || core.locked.contains(&key) {
            return;
        }
        let id = ShardId(shard as u16);
        let seen = self.oracle.last_write(&key);
        match self.cores[shard].durable.unstable(hash(&key)) {
            None => self.oracle.shown(id, seen),
            Some(lsn) => {
                let token = self.token(Told::Records(vec![(id, seen)]));
                self.cores[shard].durable.wait(Waiting::Stable(lsn), token);
            }
        }
    }

    fn expire_some(&mut self) {
        let (shard, key) = self.some_key();
        if self.may_write(shard) && self.may_run(shard) && !self.cores[shard].locked.contains(&key) {
            let mut effects = Vec::new();
            self.cores[shard].engine.expire(&key, self.now, &mut effects);
            if !effects.is_empty() {
                self.log_effects(shard, None, &[key], &effects);
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------- transactions

    fn begin_transaction(&mut self) {
        if self.boundary.is_some() || self.transactions.len() >= 4 {
            return;
        }
        let mut keys: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        for _ in 0..2 + self.rng.below(3) {
            let (shard, key) = self.some_key();
            if self.cores[shard].locked.contains(&key) || !self.may_write(shard) {
                return;
            }
            let of_shard = keys.entry(shard).or_default();
            if !of_shard.contains(&key) {
                of_shard.push(key);
            }
        }
        for (shard, keys) in &keys {
            self.cores[*shard].locked.extend(keys.iter().cloned());
        }
        let shards = keys.keys().map(|shard| ShardId(*shard as u16)).collect();
        let number = self.next_transaction;
        self.next_transaction += 1;
        self.transactions.push(Transaction { number, shards, left: keys.into_iter().collect(), parts: Vec::new() });
    }

    fn run_part(&mut self) {
        if self.transactions.is_empty() {
            return;
        }
        let at = self.rng.index(self.transactions.len());
        let part = self.rng.index(self.transactions[at].left.len());
        let (shard, keys) = self.transactions[at].left.swap_remove(part);
        let mut effects = Vec::new();
        for key in &keys {
            self.cores[shard].engine.write(key, self.now, &mut self.rng, self.shape.value_max, &mut effects);
            self.cores[shard].locked.remove(key);
        }
        let (number, shards) = (self.transactions[at].number, self.transactions[at].shards.clone());
        let several = shards.len() > 1;
        let lsn = self.log_effects(shard, several.then_some((number, &shards)), &keys, &effects);
        if several {
            self.cores[shard].durable.part(lsn, number);
        }
        let transaction = &mut self.transactions[at];
        transaction.parts.push((ShardId(shard as u16), lsn));
        if !transaction.left.is_empty() {
            return;
        }
        let parts = self.transactions.swap_remove(at).parts;
        self.oracle.transaction(number, parts.clone());
        if several {
            let coordinator = self.rng.index(self.cores.len());
            for (shard, _) in &parts {
                let inbox = &mut self.cores[usize::from(shard.0)].inbox[coordinator];
                inbox.push_back(Message::Placed(number, parts.clone()));
            }
        }
        self.promise(parts);
    }

    // ---------------------------------------------------------------------------------------------------------- epochs

    /// Begins the transaction over all shards that ends the epoch; `false` if one is under way.
    pub fn begin_boundary(&mut self, policy: Policy, sync: bool, rotate: bool) -> Option<Epoch> {
        let writable = self.cores.iter().all(|core| core.log.state() == LogState::Writing);
        if self.boundary.is_some() || !writable {
            return None;
        }
        while !self.transactions.is_empty() {
            self.run_part();
        }
        let epoch = self.cores[0].log.epoch();
        self.pace.sealed(self.now, sync);
        let left = (0..self.cores.len()).collect();
        self.trace(|| format!("{epoch:?} ends, then {policy:?}, sync {sync}, rotate {rotate}"));
        self.boundary = Some(Boundary { epoch, left, policy, sync, rotate });
        Some(epoch)
    }

    fn seal_some(&mut self) {
        let Some(boundary) = &mut self.boundary else { return };
        let shard = boundary.left.swap_remove(self.rng.index(boundary.left.len()));
        let Boundary { epoch, policy, sync, rotate, .. } = *boundary;
        let last = boundary.left.is_empty();
        let core = &mut self.cores[shard];
        if rotate && let Some(save) = &mut self.save {
            save.cut(shard, &core.engine);
        }
        let lsn = core.log.seal(policy == Policy::Always, rotate);
        if sync {
            core.log.want_sync();
        }
        if policy == Policy::Always && self.policy != Policy::Always {
            core.durable.always_after(epoch);
        }
        self.oracle.sealed(ShardId(shard as u16), epoch, lsn, self.now);
        if last {
            self.policy = policy;
            self.oracle.lax |= policy == Policy::No;
            self.boundary = None;
        }
    }

    fn wait_aof(&mut self) {
        let Some(epoch) = self.begin_boundary(self.policy, true, false) else { return };
        let token = self.token(Told::Epoch(epoch));
        let core = self.rng.index(self.cores.len());
        self.cores[core].durable.wait(Waiting::Epoch(epoch), token);
    }

    fn change_policy(&mut self) {
        if self.rng.permille(150) {
            let policy = *self.rng.pick(&[Policy::Always, Policy::EverySec]);
            let sync = self.rng.permille(500) || policy == Policy::Always;
            self.begin_boundary(policy, sync, false);
        }
    }

    // ------------------------------------------------------------------------------------------------------------ disk

    fn end_turn(&mut self) {
        let shard = self.rng.index(self.cores.len());
        self.pump(shard);
    }

    fn pump(&mut self, shard: usize) {
        let durable_epoch = self.cores[shard].durable.durable_epoch();
        self.cores[shard].log.commit(self.now, durable_epoch);
        self.oracle.lax |= self.cores[shard].log.state() != LogState::Writing;
        if self.rng.permille(700) {
            self.prepare_segment(shard);
        }
        if self.rng.permille(300) && !self.disk.is_full() {
            self.cores[shard].log.try_again();
        }
        while let Some(op) = self.cores[shard].log.next_op() {
            let name = self.header(shard, op.segment).name().path();
            let (submitted, longest) = match &op.kind {
                OpKind::Write { offset, buffer, .. } => (self.disk.submit_write(&name, *offset, buffer), WRITE_MS_MAX),
                OpKind::Sync => (self.disk.submit_sync(&name), SYNC_MS_MAX),
            };
            let ends_at = self.now + 1 + self.rng.below(longest);
            self.trace(|| match &op.kind {
                OpKind::Write { frame, offset, sync, .. } => format!("{name}: frame {frame} at {offset}, sync {sync}"),
                OpKind::Sync => format!("{name}: sync"),
            });
            self.under_way.push(UnderWay { shard, op, submitted, ends_at });
        }
    }

    fn header(&self, shard: usize, segment: u64) -> SegmentHeader {
        let log = LogId { server: self.manifest.server, run: self.manifest.last_run, shard: ShardId(shard as u16) };
        SegmentHeader { log, shards: self.shape.shards, segment, align: ALIGN, bytes: self.shape.segment_bytes }
    }

    fn prepare_segment(&mut self, shard: usize) {
        let Some(segment) = self.cores[shard].log.wants_segment() else { return };
        let header = self.header(shard, segment);
        let core = &mut self.cores[shard];
        let prepared = core.maker.prepare(&self.disk, &header);
        match &prepared {
            Ok(()) => core.log.segment_ready(segment),
            Err(error) => core.log.segment_failed(matches!(error.trouble, Trouble::Full)),
        }
        self.trace(|| format!("{}: prepared, {prepared:?}", header.name().path()));
    }

    fn end_some_op(&mut self) {
        if !self.under_way.is_empty() {
            let at = self.rng.index(self.under_way.len());
            self.end_op(at);
        }
    }

    fn end_op(&mut self, at: usize) {
        let UnderWay { shard, op, submitted, .. } = self.under_way.swap_remove(at);
        let broken = self.rng.permille(self.shape.io_errors);
        self.trace(|| format!("shard {shard} ends an operation, broken {broken}"));
        let full = self.disk.is_full() && self.rng.permille(100);
        let io_error = || Trouble::Io(std::io::Error::other("broken"));
        let result = match &op.kind {
            OpKind::Write { .. } if broken || full => {
                self.disk.fail_write(submitted);
                Err(if broken { io_error() } else { Trouble::Full })
            }
            OpKind::Write { sync, .. } => {
                self.disk.end_write(submitted, *sync);
                Ok(())
            }
            OpKind::Sync if broken => {
                self.disk.fail_sync(submitted);
                Err(io_error())
            }
            OpKind::Sync => {
                self.disk.end_sync(submitted);
                Ok(())
            }
        };
        self.cores[shard].log.complete(op, result);
        self.oracle.lax |= self.cores[shard].log.state() != LogState::Writing;
        self.tell_progress(shard);
    }

    fn tell_progress(&mut self, shard: usize) {
        let durable = self.cores[shard].log.durable();
        let Some(progress) = self.cores[shard].durable.advance(durable) else { return };
        for (other, core) in self.cores.iter_mut().enumerate() {
            if other != shard {
                core.inbox[shard].push_back(Message::Progress(progress.clone()));
            }
        }
        self.release(shard);
    }

    fn deliver(&mut self) {
        let to = self.rng.index(self.cores.len());
        let from = self.rng.index(self.cores.len());
        let count = 1 + self.rng.below(4);
        for _ in 0..count {
            let Some(message) = self.cores[to].inbox[from].pop_front() else { break };
            let core = &mut self.cores[to];
            match message {
                Message::Progress(progress) => core.durable.learn(ShardId(from as u16), progress),
                Message::Placed(transaction, parts) => core.durable.placed(transaction, &parts),
            }
        }
        self.tell_progress(to);
        self.release(to);
    }

    /// Tells clients what they may be told.
    fn release(&mut self, shard: usize) {
        let mut tokens = Vec::new();
        self.cores[shard].durable.release(|token| tokens.push(token));
        for token in tokens {
            match self.told.remove(&token) {
                Some(Told::Records(parts)) => {
                    parts.into_iter().for_each(|(shard, lsn)| self.oracle.shown(shard, lsn));
                }
                Some(Told::Epoch(epoch)) => self.oracle.confirmed(epoch),
                None => {}
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------ time

    /// Time passes, and what has to have happened by then happens.
    fn advance(&mut self) {
        let until = self.now + 1 + self.rng.below(30);
        while self.now < until && !self.disk.is_off() {
            self.now += 1 + self.rng.below(6);
            while let Some(at) = self.under_way.iter().position(|op| op.ends_at <= self.now) {
                self.end_op(at);
            }
            while self.boundary.is_some() {
                self.seal_some();
            }
            let due = self.pace.due(self.now, self.policy == Policy::EverySec);
            if due.seal {
                self.begin_boundary(self.policy, due.sync, false);
            }
            for shard in 0..self.cores.len() {
                self.prepare_segment(shard);
                self.pump(shard);
            }
        }
    }

    /// Nothing happens for a second but what is due.
    pub fn idle(&mut self) {
        let until = self.now + 1000;
        while self.now < until && !self.disk.is_off() {
            self.advance();
            self.deliver();
        }
    }
}

/// A run that was opened.
pub struct Opened<E> {
    pub manifest: Manifest,
    pub world: E,
    pub makers: Vec<SegmentMaker>,
    pub base: Epoch,
    pub policy: Policy,
}

fn hash(key: &Key) -> u64 {
    key.iter().fold(0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
