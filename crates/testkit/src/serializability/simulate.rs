//! A simulated server of several shards with many clients, on one thread and from one seed, whose atomicity can be broken.
//!
//! Every client has one transaction under way at a time: invoked, carried out in one or more steps, answered. A scheduler
//! picks a client by chance for each step and lets a little time pass. Without a fault every transaction is one step, so
//! the history is strictly serializable; each [`Fault`] splits or delays something that must not be.
//!
//! It shows that the checker finds what it is to find, and finds nothing where nothing is. It says nothing about Pinyon.

use std::collections::VecDeque;

use super::generate::{Mix, Plan, Source};
use super::history::{Action, Answer, Content, History, Key, Op, Outcome, Seen, Token, Transaction, Watched};
use super::store::Store;
use crate::Random;

/// What the simulated server does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// MGET and EXISTS look at one shard after the other.
    ReadSkew,
    /// MSET and DEL write one shard after the other.
    HalfWrites,
    /// Between the commands of an EXEC others run.
    InterleavedExec,
    /// EXEC does not hear of changes on other shards than the first.
    BlindWatch,
    /// EXEC does not hear of keys that expired.
    WatchMissesExpiry,
    /// FLUSHALL empties one shard after the other.
    SplitFlush,
    /// RENAME takes the value away, and puts it to its new place later.
    TwoStepRename,
    /// COPY reads, and writes later.
    TwoStepCopy,
    /// One shard's clock is late.
    StaleClock,
    /// DBSIZE and KEYS ask one shard after the other.
    SplitCount,
    /// MSETNX looks first, and writes later.
    LateCondition,
    /// SET … GET reads first, and writes later.
    LostUpdate,
    /// APPEND is answered before it takes effect.
    EarlyAnswer,
    /// An EXEC that is aborted has carried out its first command.
    LeakingAbort,
}

impl Fault {
    pub const ALL: [Fault; 14] = [
        Fault::ReadSkew,
        Fault::HalfWrites,
        Fault::InterleavedExec,
        Fault::BlindWatch,
        Fault::WatchMissesExpiry,
        Fault::SplitFlush,
        Fault::TwoStepRename,
        Fault::TwoStepCopy,
        Fault::StaleClock,
        Fault::SplitCount,
        Fault::LateCondition,
        Fault::LostUpdate,
        Fault::EarlyAnswer,
        Fault::LeakingAbort,
    ];
}

/// How a simulation is to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub shards: usize,
    pub clients: usize,
    pub transactions: usize,
    pub mix: Mix,
    pub fault: Option<Fault>,
}

/// A piece of a transaction that is one moment.
#[derive(Clone, Debug)]
enum Step {
    /// Commands of the plan, from and to.
    Run(usize, usize),
    /// A command for the keys of one shard.
    Part(usize, usize),
    /// Reads what is to be written by the next step.
    Look(usize),
    /// Writes what was looked at.
    Act(usize),
    /// The answer leaves.
    Answer,
}

#[derive(Clone, Debug)]
struct Client {
    plan: Plan,
    invoked: u64,
    steps: VecDeque<Step>,
    answers: Vec<Answer>,
    watched: Vec<Watched>,
    aborted: bool,
    looked: Option<Vec<Token>>,
}

struct Simulation {
    settings: Settings,
    random: Random,
    /// Microseconds times 1,000, as histories count.
    now: u64,
    store: Store,
    history: History,
    clients: Vec<Option<Client>>,
    unique: Unique,
    planned: usize,
}

struct Unique {
    token: u64,
    now_ms: u64,
}

impl Source for Unique {
    fn token(&mut self) -> Token {
        self.token += 1;
        Token::numbered(self.token)
    }

    fn deadline(&mut self, ms: u64) -> u64 {
        self.now_ms + 1 + ms / 15
    }
}

/// The Unix time at which simulations begin.
const BASE_MS: u64 = 1_000_000;
/// How late the clock of the shard is that is late.
const LATE_MS: u64 = 8;

/// Runs a simulation and gives what its clients saw.
pub fn simulate(settings: Settings) -> History {
    let first = |i: usize| Content { tokens: vec![Token::numbered(i as u64 + 1)], ..Content::default() };
    let initial: Vec<Content> = (0..settings.mix.keys).map(first).collect();
    let mut simulation = Simulation {
        random: Random::new(settings.seed),
        now: 0,
        store: Store::new(&initial, BASE_MS),
        history: History {
            initial,
            clock: BASE_MS,
            unix_base: BASE_MS * 1_000_000,
            shown_past_deadline: 1_000_000,
            ..History::default()
        },
        clients: vec![None; settings.clients],
        unique: Unique { token: settings.mix.keys as u64, now_ms: BASE_MS },
        planned: 0,
        settings,
    };
    while simulation.planned < simulation.settings.transactions || simulation.clients.iter().any(Option::is_some) {
        simulation.turn();
    }
    simulation.history
}

impl Simulation {
    fn turn(&mut self) {
        self.now += 1 + self.random.below(3_000) as u64;
        self.pass_time();
        let i = self.random.below(self.clients.len());
        match self.clients[i].take() {
            Some(mut client) => {
                let step = client.steps.pop_front().unwrap_or(Step::Answer);
                if matches!(step, Step::Answer) {
                    self.answer(i, client);
                } else {
                    self.step(&mut client, &step);
                    self.clients[i] = Some(client);
                }
            }
            None if self.planned < self.settings.transactions => {
                self.planned += 1;
                let plan = self.settings.mix.plan(&mut self.random, &mut self.unique);
                self.clients[i] = Some(self.begin(plan));
            }
            None => {}
        }
    }

    /// Takes away what is due; the clock shows a key in the millisecond of its deadline, as Redis does.
    fn pass_time(&mut self) {
        let now_ms = BASE_MS + self.now / 1_000_000;
        self.unique.now_ms = now_ms;
        let due: Vec<Key> = self.store.due(now_ms - 1).collect();
        for key in due {
            let late = self.settings.fault == Some(Fault::StaleClock) && self.shard(key) == 1;
            if !late || self.store.deadline(key) + LATE_MS < now_ms {
                self.store.expire(key);
            }
        }
    }

    fn shard(&self, key: Key) -> usize {
        usize::from(key.0) % self.settings.shards
    }

    fn is(&self, fault: Fault) -> bool {
        self.settings.fault == Some(fault)
    }

    fn begin(&mut self, plan: Plan) -> Client {
        let mut steps = VecDeque::new();
        let all = plan.actions.len();
        if plan.exec && self.is(Fault::InterleavedExec) && !plan.actions.contains(&Action::FlushAll) {
            steps.extend((0..all).map(|i| Step::Run(i, i + 1)));
        } else if let ([action], false) = (&plan.actions[..], plan.exec) {
            self.split(action, &mut steps);
        }
        if steps.is_empty() {
            steps.push_back(Step::Run(0, all));
        }
        if self.is(Fault::EarlyAnswer) && matches!(plan.actions[..], [Action::Append { .. }]) && !plan.exec {
            steps = VecDeque::from([Step::Look(0), Step::Answer]);
        }
        self.store.now = self.store.now.max(self.now);
        let watched = plan.watch.iter().map(|key| self.watch(*key)).collect();
        let answers = Vec::with_capacity(all);
        Client { plan, invoked: self.now, steps, answers, watched, aborted: false, looked: None }
    }

    /// WATCH and the read behind it are one moment here, the one before the transaction is invoked.
    fn watch(&mut self, key: Key) -> Watched {
        let list = self.store.tokens(key);
        Watched { key, seen: Seen::note(&list, &mut self.history.tokens), asked: self.now, since: self.now }
    }

    fn split(&self, action: &Action, steps: &mut VecDeque<Step>) {
        let by_shard = match action {
            Action::ReadMany { .. } | Action::Exists { .. } => self.is(Fault::ReadSkew),
            Action::WriteMany { if_absent: false, .. } | Action::Delete { .. } => self.is(Fault::HalfWrites),
            Action::FlushAll => self.is(Fault::SplitFlush),
            Action::Count | Action::Keys => self.is(Fault::SplitCount),
            _ => false,
        };
        let in_two = match action {
            Action::Rename { .. } => self.is(Fault::TwoStepRename),
            Action::Copy { .. } => self.is(Fault::TwoStepCopy),
            Action::WriteMany { if_absent: true, .. } => self.is(Fault::LateCondition),
            Action::Set { get: true, .. } => self.is(Fault::LostUpdate),
            _ => false,
        };
        if by_shard {
            steps.extend((0..self.settings.shards).map(|shard| Step::Part(0, shard)));
        } else if in_two {
            steps.extend([Step::Look(0), Step::Act(0)]);
        }
    }

    fn step(&mut self, client: &mut Client, step: &Step) {
        self.store.now = self.now;
        match *step {
            Step::Run(from, to) => self.run(client, from, to),
            Step::Part(i, shard) => self.part(client, i, shard),
            Step::Look(i) => self.look(client, i),
            Step::Act(i) => self.act(client, i),
            Step::Answer => {}
        }
    }

    fn run(&mut self, client: &mut Client, from: usize, to: usize) {
        if from == 0 && !client.watched.iter().all(|watched| self.is_untouched(watched)) {
            client.aborted = true;
        }
        for i in from..to {
            let leaks = i == 0 && self.is(Fault::LeakingAbort);
            if client.aborted && !leaks {
                continue;
            }
            let answer = self.store.perform(&client.plan.actions[i]);
            let answer = self.with_tokens(&client.plan.actions[i], answer);
            client.answers.push(answer);
        }
    }

    fn is_untouched(&self, watched: &Watched) -> bool {
        let gone = watched.seen.length > 0 && !self.store.exists(watched.key);
        self.store.changed_by(watched.key) <= watched.since
            || self.is(Fault::BlindWatch) && self.shard(watched.key) > 0
            || self.is(Fault::WatchMissesExpiry) && gone
    }

    /// Notes the tokens of values that are read, as a client would that decodes them.
    fn with_tokens(&mut self, action: &Action, answer: Answer) -> Answer {
        let mut note = |key: &Key| {
            let list = self.store.tokens(*key);
            Seen::note(&list, &mut self.history.tokens)
        };
        match action {
            Action::Get { key } => Answer::Seen(note(key)),
            Action::ReadMany { keys } => Answer::Many(keys.iter().map(note).collect()),
            _ => self.forget_hidden(answer),
        }
    }

    /// What SET GET and GETDEL return is gone from the store: its tokens are those of its last node.
    fn forget_hidden(&mut self, answer: Answer) -> Answer {
        match answer {
            Answer::Seen(seen) if seen.length > 0 => {
                let at = self.history.tokens.len() as u32;
                let list = self.store.tokens_before_last_change();
                self.history.tokens.extend_from_slice(&list);
                Answer::Seen(Seen { at, ..seen })
            }
            other => other,
        }
    }

    fn part(&mut self, client: &mut Client, i: usize, shard: usize) {
        let action = client.plan.actions[i].clone();
        let mine = |key: &Key| usize::from(key.0) % self.settings.shards == shard;
        let first = client.answers.is_empty();
        match action {
            Action::ReadMany { keys } => {
                if first {
                    client.answers.push(Answer::Many(vec![Seen::NIL; keys.len()]));
                }
                let Some(Answer::Many(all)) = client.answers.first_mut() else { return };
                for (key, seen) in keys.iter().zip(all).filter(|(key, _)| mine(key)) {
                    *seen = Seen::note(&self.store.tokens(*key), &mut self.history.tokens);
                }
            }
            Action::Exists { keys } => {
                let there = keys.iter().filter(|key| mine(key) && self.store.exists(**key)).count();
                add(client, there as i64);
            }
            Action::Delete { keys, unlink } => {
                let keys: Vec<Key> = keys.into_iter().filter(mine).collect();
                if let Answer::Int(n) = self.store.perform(&Action::Delete { keys, unlink }) {
                    add(client, n);
                }
            }
            Action::WriteMany { pairs, .. } => {
                let pairs = pairs.into_iter().filter(|pair| mine(&pair.0)).collect();
                client.answers = vec![self.store.perform(&Action::WriteMany { pairs, if_absent: false })];
            }
            Action::FlushAll => {
                let keys = (0..self.settings.mix.keys).map(|i| Key(i as u8)).filter(mine).collect();
                self.store.perform(&Action::Delete { keys, unlink: false });
                client.answers = vec![Answer::Done];
            }
            Action::Count | Action::Keys => {
                let keys = (0..self.settings.mix.keys).map(|i| Key(i as u8)).filter(mine);
                let mask = keys.filter(|key| self.store.exists(*key)).fold(0, |mask, key| mask | 1 << key.0);
                if action == Action::Keys {
                    let before = if let Some(Answer::Keys(before)) = client.answers.first() { *before } else { 0 };
                    client.answers = vec![Answer::Keys(before | mask)];
                } else {
                    add(client, i64::from(u64::count_ones(mask)));
                }
            }
            _ => {}
        }
    }

    fn look(&mut self, client: &mut Client, i: usize) {
        let answer = match &client.plan.actions[i] {
            Action::Append { key, .. } => Answer::Int(i64::from(self.store.length(*key)) + 1),
            Action::Rename { from, to, if_absent } => {
                if !self.store.exists(*from) {
                    Answer::NoSuchKey
                } else if *if_absent && self.store.exists(*to) {
                    Answer::Int(0)
                } else {
                    client.looked = Some(self.store.tokens(*from));
                    self.store.perform(&Action::Delete { keys: vec![*from], unlink: false });
                    if *if_absent { Answer::Int(1) } else { Answer::Done }
                }
            }
            Action::Copy { from, to, replace } => {
                let copies = self.store.exists(*from) && (*replace || !self.store.exists(*to));
                client.looked = copies.then(|| self.store.tokens(*from));
                Answer::Int(i64::from(copies))
            }
            Action::WriteMany { pairs, .. } => {
                let absent = pairs.iter().all(|pair| !self.store.exists(pair.0));
                client.looked = absent.then(Vec::new);
                Answer::Int(i64::from(absent))
            }
            Action::Set { key, .. } => {
                let list = self.store.tokens(*key);
                client.looked = Some(Vec::new());
                Answer::Seen(Seen::note(&list, &mut self.history.tokens))
            }
            _ => return,
        };
        client.answers = vec![answer];
    }

    fn act(&mut self, client: &mut Client, i: usize) {
        let Some(looked) = client.looked.take() else { return };
        match &client.plan.actions[i] {
            Action::Rename { to, .. } | Action::Copy { to, .. } => {
                self.store.perform(&Action::Delete { keys: vec![*to], unlink: false });
                for token in looked {
                    self.store.perform(&Action::Append { key: *to, token });
                }
            }
            Action::WriteMany { pairs, .. } => {
                self.store.perform(&Action::WriteMany { pairs: pairs.clone(), if_absent: false });
            }
            action => {
                self.store.perform(action);
            }
        }
    }

    fn answer(&mut self, i: usize, client: Client) {
        let Client { plan, invoked, answers, watched, aborted, .. } = client;
        if self.is(Fault::EarlyAnswer)
            && !plan.exec
            && let [action @ Action::Append { .. }] = &plan.actions[..]
        {
            // It takes effect right after the answer, in the place that was promised or not.
            let late = Client {
                plan: Plan { actions: vec![action.clone()], exec: true, watch: Vec::new() },
                invoked: u64::MAX,
                steps: VecDeque::from([Step::Run(0, 1)]),
                answers: Vec::new(),
                watched: Vec::new(),
                aborted: false,
                looked: None,
            };
            self.clients[i] = Some(late);
        }
        if invoked == u64::MAX {
            return;
        }
        let ops = plan.actions.into_iter().zip(answers.into_iter().chain(std::iter::repeat(Answer::Done)));
        let ops = ops.map(|(action, answer)| Op { action, answer }).collect();
        let outcome = if aborted { Outcome::Aborted } else { Outcome::Committed };
        let completed = self.now;
        self.history.transactions.push(Transaction {
            client: i as u32,
            invoked,
            completed,
            exec: plan.exec,
            outcome,
            watched,
            ops,
        });
    }
}

/// Adds to the number that a client is to be answered.
fn add(client: &mut Client, n: i64) {
    let before = if let Some(Answer::Int(before)) = client.answers.first() { *before } else { 0 };
    client.answers = vec![Answer::Int(before + n)];
}
