//! Going back in the search for an order, when nothing can run any more.
//!
//! One repair makes one demand: the step that took away what a stuck transaction wants, or one that changed a key of which
//! nobody knows what it found there, is to come later. When some demands in a row have led nowhere, all are dropped, the
//! search goes back farther and lets chance choose for some transactions. All is repeatable: chance comes from numbers of
//! the search.

use super::{Key, Known, Obstacle, Place, Search, Step, Stuck, Token, is_tick};

/// Times that the search goes back from one place before it gives up.
const ATTEMPTS_MAX: usize = 6_000;
/// Stuck transactions that are looked at for a repair.
const STUCK_MAX: usize = 64;
/// Steps that are looked back over for one.
const STEPS_BACK_MAX: usize = 20_000;
/// How often the same is demanded, and how many steps farther back the search would rather go than demand it again.
const TRIES_MAX: usize = 8;
const TRIED_COST: usize = 150;
/// The same for dropping a demand.
const UNHOLD_COST: usize = 100;

/// Another choice that can be made, and how far it seems.
struct Choice {
    cost: usize,
    change: Change,
}

enum Change {
    /// A step is to come behind a transaction.
    Delay { at: usize, behind: u32 },
    /// What was demanded of a transaction is demanded no more.
    Release(u32),
}

impl Search<'_> {
    /// What is admitted, has nothing certain to wait for and cannot run; what had to be over first comes first.
    fn open(&mut self) -> Vec<u32> {
        while self.by_from.get(self.low).is_some_and(|i| self.place[*i as usize] == Place::Ran) {
            self.low += 1;
        }
        let admitted = self.by_from[self.low..self.admitted].iter().copied();
        let mut open: Vec<u32> =
            admitted.filter(|i| self.place[*i as usize] != Place::Ran && self.awaited[*i as usize] == 0).collect();
        open.sort_by_key(|i| self.windows[*i as usize].to);
        open.truncate(STUCK_MAX);
        open
    }

    /// Goes back to where other choices can be made: to one that was probably wrong, or, every so often, farther, with
    /// choices by chance. False when that was done often enough.
    pub(super) fn go_on(&mut self) -> bool {
        if self.steps.len() > self.farthest {
            (self.farthest, self.attempts, self.shuffle) = (self.steps.len(), 0, self.shuffle_first);
            self.stuck = self.look_at_stuck();
            self.forget_demands();
        }
        self.attempts += 1;
        self.stuck.repairs = self.repairs;
        if self.attempts > ATTEMPTS_MAX {
            return false;
        }
        if self.attempts.is_multiple_of(self.demands_between) || !self.repair() {
            self.shuffle = self.shuffle_first + self.repairs as u64 + 1;
            self.forget_demands();
            self.go_far_back();
        }
        true
    }

    fn forget_demands(&mut self) {
        self.tried.clear();
        self.held_by.clear();
        self.holds.clear();
    }

    /// Goes back to about where the oldest stuck transaction could have run for the first time.
    fn go_far_back(&mut self) {
        const IN_A_ROW: usize = 64;
        let Some(stuck) = self.open().first().copied() else { return };
        let from = self.windows[stuck as usize].from;
        let (mut at, mut older) = (self.steps.len(), 0);
        while at > 0 && older < IN_A_ROW + self.attempts {
            at -= 1;
            older = if self.windows[self.steps[at].transaction as usize].to < from { older + 1 } else { 0 };
        }
        if at < self.steps.len() {
            self.go_back(at);
        }
    }

    /// Goes back to where another choice can be made; whether there is one.
    fn repair(&mut self) -> bool {
        let mut best: Option<Choice> = None;
        for transaction in self.open() {
            let choice = if self.place[transaction as usize] == Place::Held {
                Some(Choice {
                    cost: UNHOLD_COST + self.cost((transaction, transaction)),
                    change: Change::Release(transaction),
                })
            } else {
                match self.attempt(transaction) {
                    Ok(step) => {
                        self.note_run(step);
                        return true;
                    }
                    Err(Obstacle::Wanted(key)) if is_tick(self.committed[transaction as usize]) => {
                        self.choose(transaction, &[key])
                    }
                    Err(Obstacle::Wanted(_)) => None,
                    Err(Obstacle::Differs(keys, _)) => self.choose(transaction, &keys),
                }
            };
            best = [best, choice].into_iter().flatten().min_by_key(|choice| choice.cost);
        }
        match best.map(|choice| choice.change) {
            Some(Change::Release(transaction)) => {
                *self.tried.entry((transaction, transaction)).or_default() += 1;
                self.held_by.remove(&transaction);
                self.make_ready(transaction);
            }
            Some(Change::Delay { at, behind }) => self.demand(behind, at),
            None => return false,
        }
        true
    }

    /// What it costs to try a demand: much where it was tried before, more than can be where that was often.
    fn cost(&self, pair: (u32, u32)) -> usize {
        self.tried.get(&pair).map_or(0, |tries| if *tries < TRIES_MAX { TRIED_COST * *tries } else { usize::MAX / 4 })
    }

    /// Goes back to before a step, which is to come after `first` now.
    fn demand(&mut self, first: u32, at: usize) {
        let delayed = self.steps[at].transaction;
        *self.tried.entry((first, delayed)).or_default() += 1;
        self.held_by.entry(delayed).or_default().push(first);
        self.holds.entry(first).or_default().push(delayed);
        self.go_back(at);
    }

    /// Looks back over the steps for the best one to delay for the sake of a stuck transaction that these keys are not right
    /// for (none: all keys). Either the step took away what the stuck one wants; then it is to come after the stuck one. Or
    /// it changed a key, and it is not known what it found there: it is to come after the next change of that key.
    fn choose(&self, stuck: u32, keys: &[Key]) -> Option<Choice> {
        let accesses = &self.facts.accesses[stuck as usize];
        let wants = |key: Key| accesses.iter().find(|access| access.key == key).map_or(Known::Nothing, |one| one.found);
        let all_keys = (0..self.current.len()).map(|i| Key(i as u8));
        let mut after: Vec<(u32, Token)> = all_keys.map(|key| (self.store.length(key), self.store.last(key))).collect();
        let mut next_change: Vec<Option<u32>> = vec![None; self.current.len()];
        let mut candidates = Vec::new();
        let mut best: Option<Choice> = None;
        let mut end = self.store.mark();
        for (back, at) in (0..self.steps.len()).rev().take(STEPS_BACK_MAX).enumerate() {
            if best.as_ref().is_some_and(|best| best.cost < back) {
                break;
            }
            let Step { transaction, mark, .. } = self.steps[at];
            candidates.clear();
            for (key, length, last) in self.store.undone(mark, end) {
                let before = (length, last);
                let after = std::mem::replace(&mut after[usize::from(key.0)], before);
                if !keys.is_empty() && !keys.contains(&key) {
                    continue;
                }
                let next = next_change[usize::from(key.0)].replace(transaction);
                if took(wants(key), before, after) {
                    candidates.push(stuck);
                }
                candidates.extend(next.filter(|_| self.changes_something(transaction, key)));
            }
            end = mark;
            let late_enough = |behind: &u32| {
                *behind != transaction && self.windows[transaction as usize].to >= self.windows[*behind as usize].from
            };
            for &behind in candidates.iter().filter(|behind| late_enough(behind)) {
                let choice =
                    Choice { cost: back + self.cost((behind, transaction)), change: Change::Delay { at, behind } };
                best = [best, Some(choice)].into_iter().flatten().min_by_key(|choice| choice.cost);
            }
        }
        best.filter(|best| best.cost < usize::MAX / 4)
    }

    /// Whether a transaction changed a key, and it is not known what it found there.
    fn changes_something(&self, transaction: u32, key: Key) -> bool {
        let mut of_key = self.facts.accesses[transaction as usize].iter().filter(|access| access.key == key);
        of_key.any(|access| access.found.last().is_none() && access.found != Known::Nil)
    }

    fn go_back(&mut self, to: usize) {
        self.store.undo(self.steps[to].mark);
        self.store.now = self.steps[to].now;
        let facts = self.facts;
        for step in self.steps.drain(to..) {
            let transaction = step.transaction;
            self.place[transaction as usize] = Place::Outside;
            self.left += usize::from(!is_tick(self.committed[transaction as usize]));
            self.followers.of(transaction).iter().for_each(|next| self.awaited[*next as usize] += 1);
            for access in facts.accesses[transaction as usize].iter().filter(|access| !access.written) {
                let version = access.found.last().and_then(|token| facts.index.get(&(access.key, token)));
                if let Some(version) = version {
                    self.pending[*version as usize] += 1;
                }
            }
            let window = self.windows[transaction as usize];
            let begins = |i: &u32| self.windows[*i as usize].from < window.from;
            let ends = |i: &u32| self.windows[*i as usize].to < window.to;
            self.low = self.low.min(self.by_from.partition_point(begins));
            self.oldest = self.oldest.min(self.by_to.partition_point(ends));
        }
        (0..self.current.len()).for_each(|i| self.note_current(Key(i as u8)));
        self.start_anew();
    }

    /// Makes ready what may be, as if it had just been let in.
    fn start_anew(&mut self) {
        self.ready.clear();
        self.asleep.iter_mut().for_each(Vec::clear);
        self.asleep_all.clear();
        for at in self.low..self.admitted {
            let transaction = self.by_from[at];
            if self.place[transaction as usize] != Place::Ran {
                self.place[transaction as usize] = Place::Outside;
            }
        }
        self.admitted = self.low;
        self.admit();
    }

    fn look_at_stuck(&mut self) -> Stuck {
        const SHOWN: usize = 8;
        let mut transactions = Vec::new();
        for transaction in self.open().into_iter().take(SHOWN) {
            let why = match self.attempt(transaction) {
                Ok(step) => {
                    self.store.undo(step.mark);
                    self.store.now = step.now;
                    "is to come after another".to_owned()
                }
                Err(Obstacle::Wanted(key)) => {
                    let version = self.current[usize::from(key.0)];
                    let unread = self.pending[version as usize];
                    let version = &self.facts.versions[version as usize];
                    let mut others =
                        version.readers.iter().filter(|reader| self.place[**reader as usize] != Place::Ran);
                    format!(
                        "k{} holds {}, which {unread} are to see first ({:?}), and {:?} to replace",
                        key.0,
                        self.store.seen(key),
                        others.next(),
                        version.replaced_by.first()
                    )
                }
                Err(Obstacle::Differs(keys, what)) => {
                    let all = (0..self.current.len()).map(|i| Key(i as u8)).filter(|key| !self.store.exists(*key));
                    let keys = if keys.is_empty() { all.collect() } else { keys };
                    let held: Vec<String> =
                        keys.iter().map(|key| format!("k{} holds {}", key.0, self.store.seen(*key))).collect();
                    format!("{what}; {}", held.join(", "))
                }
            };
            transactions.push((transaction, why));
        }
        Stuck { ran: self.steps.len(), repairs: self.repairs, transactions }
    }
}

/// Whether a change took a key out of the state that is wanted. Where nothing is known of that state, it may be that the
/// key is to be there, or that it is not.
fn took(wanted: Known, before: (u32, Token), after: (u32, Token)) -> bool {
    let fits = |(length, last): (u32, Token)| match wanted {
        Known::Nothing => false,
        Known::Nil => length == 0,
        Known::Exists => length > 0,
        Known::Length(n) => length == n,
        Known::Value { last: token, .. } => last == token,
    };
    match wanted {
        Known::Nothing => (before.0 == 0) != (after.0 == 0),
        // Another value of the same length is not the same.
        Known::Length(_) => fits(before) && before != after,
        _ => fits(before) && !fits(after),
    }
}
