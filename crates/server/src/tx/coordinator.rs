//! The coordinator's side: numbers, grants, steps.
//!
//! Once a transaction has begun its steps it waits for nobody, so it never gives a grant back. Before that it does, whenever
//! a shard asks on behalf of an older one.

use pinyon_base::ShardId;
use pinyon_engine::transaction::{Access, Intents, TransactionId};
use pinyon_runtime::CoreId;

use super::planted::{self, Bug};
use super::{Body, Outcome, Outcomes, Part, Script, Step, TxMail};
use crate::core::{Core, Io, Mail};
use crate::log::{Logged, Writers};

/// A transaction under way, as its coordinator knows it.
pub(crate) struct Transaction {
    id: TransactionId,
    /// The time of all its steps: the latest clock of those who granted.
    now: i64,
    members: Vec<Member>,
    stage: Stage,
    script: Option<Box<dyn Script>>,
    /// The parts of the first step where they are known beforehand.
    first: Option<Vec<(u16, Part)>>,
    awaited: usize,
    outcomes: Outcomes,
    /// What its script does is logged, where there are logs.
    logs: bool,
    /// Known when it begins: logs may be started and stopped while it waits.
    writers: Writers,
    /// Its shards tell what they have logged.
    placed: bool,
}

struct Member {
    shard: u16,
    writes: bool,
    granted: bool,
    released: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for grants.
    Acquiring,
    /// Its own shard has granted, the other one is asked to run its part at once. A wish that the own one be given back
    /// waits for the answer.
    Trying {
        yield_asked: bool,
    },
    Begun,
}

impl Core {
    /// Runs a script over shards as one moment. The shards are each named once.
    pub(crate) fn begin_transaction(
        &mut self,
        io: &mut Io,
        mut wants: Vec<(u16, Intents)>,
        mut script: Box<dyn Script>,
    ) {
        wants.iter_mut().for_each(|(_, intents)| intents.settle());
        let now = self.exec.clock(io.now_ms());
        let first = if wants.len() == 2 { script.only_step() } else { None };
        let member = |(shard, intents): &(u16, Intents)| Member {
            shard: *shard,
            writes: intents.most() == Access::Write,
            granted: false,
            released: false,
        };
        let members = wants.iter().map(member).collect();
        let logs = script.logs();
        let transaction = Transaction {
            id: TransactionId { number: self.shared.next_transaction(), core: self.id.0, slot: 0 },
            now,
            members,
            stage: Stage::Acquiring,
            script: Some(script),
            first,
            awaited: 0,
            outcomes: Vec::new(),
            logs,
            writers: None,
            placed: false,
        };
        let number = transaction.id.number;
        let slot = self.tx.coordinated.insert(transaction);
        let id = TransactionId { number, core: self.id.0, slot };
        self.tx.coordinated.get_mut(slot).id = id;
        self.expecting += 1;
        self.acquire_all(io, id, now, wants);
        self.drive(io);
    }

    fn acquire_all(&mut self, io: &mut Io, id: TransactionId, now: i64, mut wants: Vec<(u16, Intents)>) {
        let own = wants.iter().position(|&(shard, _)| shard == self.id.0);
        let mut granted_here = false;
        if let Some(at) = own {
            let (_, intents) = wants.swap_remove(at);
            granted_here = self.acquire_here(io, id, intents);
        }
        let transaction = self.tx.coordinated.get_mut(id.slot);
        if granted_here {
            transaction.grant(self.id.0);
            if let Some(parts) = &mut transaction.first
                && let [(other, _)] = wants[..]
                && let Some(at) = parts.iter().position(|&(shard, _)| shard == other)
            {
                let (_, part) = parts.swap_remove(at);
                transaction.stage = Stage::Trying { yield_asked: false };
                let (_, intents) = wants.swap_remove(0);
                self.look_at_logs(id.slot);
                let writers = self.tx.coordinated.get_mut(id.slot).writers.clone();
                return self.tell(io, other, TxMail { id, now, body: Body::Try(intents, part, writers) });
            }
        }
        for (shard, intents) in wants {
            self.tell(io, shard, TxMail { id, now, body: Body::Acquire(intents) });
        }
        self.begin_if_granted(io, id.slot);
    }

    /// Sends a message of a transaction; one to this core itself is taken up by `drive`.
    pub(super) fn tell(&mut self, io: &mut Io, core: u16, mail: TxMail) {
        if core == self.id.0 {
            self.tx.inbox.push_back(mail);
        } else {
            io.mail(CoreId(core), Mail::Tx(Box::new(mail)));
        }
    }

    /// Takes up a message, and all that this core tells itself on account of it.
    pub(crate) fn on_transaction_mail(&mut self, io: &mut Io, mail: TxMail) {
        self.tx.inbox.push_back(mail);
        self.drive(io);
    }

    /// Takes up what this core has told itself, until there is nothing more. The clock of the commands that run next is
    /// set anew.
    pub(crate) fn drive(&mut self, io: &mut Io) {
        if std::mem::replace(&mut self.tx.driving, true) {
            return;
        }
        while let Some(TxMail { id, now, body }) = self.tx.inbox.pop_front() {
            match body {
                Body::Acquire(intents) => self.acquire_for(io, id, now, intents),
                Body::Try(intents, part, writers) => self.try_for(io, id, now, intents, part, writers),
                Body::Run { part, last, writers } => self.run_for(io, id, now, part, last, writers),
                Body::Yielded => self.yielded_by(io, id),
                Body::Granted(shard) => self.granted(io, id, shard, now),
                Body::Yield(shard) => self.asked_to_yield(io, id, shard),
                Body::Ran(shard, outcome, logged) => {
                    if let Some(logged) = logged {
                        self.note_logged(io, id.number, shard, logged);
                    }
                    self.ran(io, id, shard, outcome);
                }
                Body::Logged(shard, logged) => self.note_logged(io, id.number, shard, logged),
                Body::Tried(shard, result) => self.tried(io, id, shard, now, result),
            }
        }
        self.tx.driving = false;
        self.exec.start(io.now_ms());
    }

    /// The transaction, unless it is over by now.
    fn transaction(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.tx.coordinated.find_mut(id.slot).filter(|transaction| transaction.id == id)
    }

    fn granted(&mut self, io: &mut Io, id: TransactionId, shard: u16, now: i64) {
        let Some(transaction) = self.transaction(id) else { return };
        transaction.now = transaction.now.max(now);
        transaction.grant(shard);
        self.begin_if_granted(io, id.slot);
    }

    fn begin_if_granted(&mut self, io: &mut Io, slot: u32) {
        let transaction = self.tx.coordinated.get_mut(slot);
        let all = transaction.members.iter().all(|member| member.granted);
        let enough =
            all || planted::has(Bug::BeginsUngranted) && transaction.members.iter().any(|member| member.granted);
        if transaction.stage == Stage::Acquiring && enough {
            transaction.stage = Stage::Begun;
            self.exec.see(transaction.now);
            self.look_at_logs(slot);
            self.step(io, slot, Vec::new());
        }
    }

    /// Which of its shards log a part of a transaction that begins now. It holds what it touches, so the logs are not started
    /// or stopped before it has ended.
    fn look_at_logs(&mut self, slot: u32) {
        let transaction = self.tx.coordinated.get_mut(slot);
        if !transaction.logs {
            return;
        }
        transaction.writers = if self.exec.logs() { writers(&transaction.members) } else { None };
        let placed = transaction.writers.is_some() || self.exec.holds;
        if placed && !transaction.placed {
            self.tx.placings.begin(transaction.id.number, transaction.members.len(), &transaction.writers);
        }
        transaction.placed |= placed;
    }

    fn asked_to_yield(&mut self, io: &mut Io, id: TransactionId, shard: u16) {
        let Some(transaction) = self.transaction(id) else { return };
        match transaction.stage {
            Stage::Acquiring => {
                let member = transaction.member(shard);
                if std::mem::take(&mut member.granted) {
                    let now = transaction.now;
                    self.tell(io, shard, TxMail { id, now, body: Body::Yielded });
                }
            }
            Stage::Trying { .. } => transaction.stage = Stage::Trying { yield_asked: true },
            Stage::Begun => {}
        }
    }

    fn tried(
        &mut self,
        io: &mut Io,
        id: TransactionId,
        shard: u16,
        now: i64,
        result: Result<(Outcome, Option<Logged>), Part>,
    ) {
        let result = result.map(|(outcome, logged)| {
            if let Some(logged) = logged {
                self.note_logged(io, id.number, shard, logged);
            }
            outcome
        });
        let own = self.id.0;
        let Some(transaction) = self.transaction(id) else { return };
        let Stage::Trying { yield_asked } = transaction.stage else { unreachable!("one answer to one question") };
        match result {
            Ok(outcome) => {
                transaction.stage = Stage::Begun;
                transaction.now = transaction.now.max(now);
                transaction.member(shard).released = true;
                transaction.member(own).released = true;
                transaction.outcomes.push((shard, outcome));
                let now = transaction.now;
                let part = transaction.first.take().and_then(|mut parts| parts.pop()).map(|(_, part)| part);
                transaction.awaited = usize::from(part.is_some());
                let nothing_here = part.is_none();
                let writers = transaction.writers.clone();
                self.exec.see(now);
                self.tell(io, own, TxMail { id, now, body: Body::Run { part, last: true, writers } });
                if nothing_here {
                    let outcomes = std::mem::take(&mut self.tx.coordinated.get_mut(id.slot).outcomes);
                    self.step(io, id.slot, outcomes);
                }
            }
            Err(part) => {
                transaction.stage = Stage::Acquiring;
                transaction.first.get_or_insert_default().push((shard, part));
                if yield_asked {
                    self.asked_to_yield(io, id, own);
                }
                self.begin_if_granted(io, id.slot);
            }
        }
    }

    fn ran(&mut self, io: &mut Io, id: TransactionId, shard: u16, outcome: Outcome) {
        let Some(transaction) = self.transaction(id) else { return };
        transaction.outcomes.push((shard, outcome));
        transaction.awaited -= 1;
        if transaction.awaited == 0 {
            let mut outcomes = std::mem::take(&mut transaction.outcomes);
            outcomes.sort_by_key(|&(shard, _)| shard);
            self.step(io, id.slot, outcomes);
        }
    }

    /// Goes on with a transaction that waited for a reply of the server's own.
    pub(crate) fn resume_transaction(&mut self, io: &mut Io, slot: u32, reply: pinyon_resp::Output) {
        self.resume_with(io, slot, Outcome::Replied(reply));
    }

    /// Goes on with a transaction that waited for this.
    pub(crate) fn resume_with(&mut self, io: &mut Io, slot: u32, outcome: Outcome) {
        self.step(io, slot, vec![(self.id.0, outcome)]);
        self.drive(io);
    }

    /// Where the transaction is kept whose script is at work.
    pub(crate) fn transaction_at_work(&self) -> u32 {
        self.tx.stepping
    }

    /// Does steps until one has to be waited for.
    fn step(&mut self, io: &mut Io, slot: u32, mut outcomes: Outcomes) {
        loop {
            let transaction = self.tx.coordinated.get_mut(slot);
            let mut script = transaction.script.take().expect("it is in use only here");
            let current = transaction.placed.then_some(transaction.id.number);
            let step = match transaction.first.take() {
                Some(parts) => Step::Run { parts, last: true },
                None => {
                    self.tx.stepping = slot;
                    let before = std::mem::replace(&mut self.tx.current, current);
                    let step = script.next(self, io, std::mem::take(&mut outcomes));
                    self.tx.current = before;
                    step
                }
            };
            self.tx.coordinated.get_mut(slot).script = Some(script);
            match step {
                Step::Wait => return,
                Step::Done => {
                    self.release_members(io, slot);
                    self.tx.coordinated.remove(slot);
                    self.expecting -= 1;
                    return;
                }
                Step::Run { parts, last } => {
                    let nothing = parts.is_empty();
                    self.send_parts(io, slot, parts, last);
                    if !nothing {
                        return;
                    }
                }
            }
        }
    }

    fn send_parts(&mut self, io: &mut Io, slot: u32, parts: Vec<(u16, Part)>, last: bool) {
        let transaction = self.tx.coordinated.get_mut(slot);
        transaction.awaited = parts.len();
        let (id, now) = (transaction.id, transaction.now);
        for (shard, part) in parts {
            let transaction = self.tx.coordinated.get_mut(slot);
            // A command without keys runs where nothing is held for it.
            let member = transaction.members.iter_mut().find(|member| member.shard == shard);
            let last = (last || planted::has(Bug::LetsGoEarly))
                && member.filter(|member| !member.released).map(|member| member.released = true).is_some();
            let writers = transaction.writers.clone().filter(|_| last);
            self.tell(io, shard, TxMail { id, now, body: Body::Run { part: Some(part), last, writers } });
        }
        if last {
            self.release_members(io, slot);
        }
    }

    /// Lets go of what is still held.
    fn release_members(&mut self, io: &mut Io, slot: u32) {
        let transaction = self.tx.coordinated.get_mut(slot);
        let (id, now) = (transaction.id, transaction.now);
        let held = transaction.members.iter_mut().filter(|member| !member.released);
        let let_go = held.map(|member| {
            member.released = true;
            member.shard
        });
        let shards: Vec<u16> = let_go.collect();
        for shard in shards {
            let writers = self.tx.coordinated.get_mut(slot).writers.clone();
            self.tell(io, shard, TxMail { id, now, body: Body::Run { part: None, last: true, writers } });
        }
    }
}

/// The shards that it may write to, ascending.
fn writers(members: &[Member]) -> Writers {
    let written = members.iter().filter(|member| member.writes);
    let mut shards: Vec<ShardId> = written.map(|member| ShardId(member.shard)).collect();
    shards.sort_unstable();
    (!shards.is_empty()).then(|| shards.into())
}

impl Transaction {
    fn member(&mut self, shard: u16) -> &mut Member {
        self.members.iter_mut().find(|member| member.shard == shard).expect("only its shards write to it")
    }

    fn grant(&mut self, shard: u16) {
        self.member(shard).granted = true;
    }
}
