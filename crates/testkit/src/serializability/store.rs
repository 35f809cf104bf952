//! The store that all transactions are to have run on, one after the other: plain, serial, and with its changes undoable.
//!
//! It is what "correct" means to the checker: `perform` is each command's meaning on string values made of tokens. Values
//! are chains of nodes (a token and what stood before it), so that a key's state is one number and undoing is putting an
//! old number back. Time stands still but for [`Action::Tick`].

use super::history::{Action, Answer, Content, Key, Only, Op, Seen, Token, appended_hash};

/// A value: a token behind another value. Number 0 is no value.
#[derive(Clone, Copy, Debug)]
struct Node {
    token: Token,
    parent: u32,
    length: u32,
    hash: u64,
}

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    node: u32,
    /// 0: none.
    deadline: u64,
    /// Gone by its deadline, so that DBSIZE may still count it.
    overdue: bool,
    /// The latest invocation among all that ran up to the last change of this key.
    changed_by: u64,
}

/// A mark in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    journal: usize,
    nodes: usize,
    clock: u64,
}

#[derive(Clone, Debug)]
pub struct Store {
    nodes: Vec<Node>,
    keys: Vec<State>,
    /// The last deadline that has passed.
    clock: u64,
    /// The latest invocation among what ran so far, as the caller says.
    pub now: u64,
    /// Every change: the key and its state before.
    journal: Vec<(Key, State)>,
}

impl Store {
    pub fn new(initial: &[Content], clock: u64) -> Store {
        let root = Node { token: Token::NONE, parent: 0, length: 0, hash: 0 };
        let keys = vec![State::default(); initial.len()];
        let mut store = Store { nodes: vec![root], keys, clock, now: 0, journal: Vec::new() };
        for (i, content) in initial.iter().enumerate() {
            let node = content.tokens.iter().fold(0, |node, token| store.node(node, *token));
            store.keys[i] = State { node, deadline: content.deadline, overdue: content.overdue, changed_by: 0 };
        }
        store
    }

    /// What the keys hold, to go on from.
    pub fn contents(&self) -> Vec<Content> {
        let content =
            |state: &State| Content { tokens: self.list(state.node), deadline: state.deadline, overdue: state.overdue };
        self.keys.iter().map(content).collect()
    }

    pub fn clock(&self) -> u64 {
        self.clock
    }

    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub fn exists(&self, key: Key) -> bool {
        self.state(key).node != 0
    }

    pub fn length(&self, key: Key) -> u32 {
        self.top(key).length
    }

    pub fn last(&self, key: Key) -> Token {
        self.top(key).token
    }

    pub fn deadline(&self, key: Key) -> u64 {
        self.state(key).deadline
    }

    /// The latest invocation among all that ran up to the last change of this key.
    pub fn changed_by(&self, key: Key) -> u64 {
        self.state(key).changed_by
    }

    /// The value's tokens in order.
    pub fn tokens(&self, key: Key) -> Vec<Token> {
        self.list(self.state(key).node)
    }

    /// What the key held that was changed last, before that change.
    pub fn tokens_before_last_change(&self) -> Vec<Token> {
        self.journal.last().map_or(Vec::new(), |(_, state)| self.list(state.node))
    }

    pub fn seen(&self, key: Key) -> Seen {
        let top = self.top(key);
        Seen { length: top.length, at: 0, last: top.token.0, hash: top.hash }
    }

    // ------------------------------------------------------------------------------------------------------------- undo

    pub fn mark(&self) -> Mark {
        Mark { journal: self.journal.len(), nodes: self.nodes.len(), clock: self.clock }
    }

    /// The changes since a mark: key and state before, in order. A key may come more than once.
    pub fn changes(&self, since: Mark) -> impl Iterator<Item = Key> + '_ {
        self.journal[since.journal..].iter().map(|change| change.0)
    }

    pub fn undo(&mut self, to: Mark) {
        while self.journal.len() > to.journal {
            let (key, state) = self.journal.pop().expect("longer than the mark");
            self.keys[usize::from(key.0)] = state;
        }
        self.nodes.truncate(to.nodes);
        self.clock = to.clock;
    }

    /// The changes between two marks, the latest first: the key, and the length and last token that it had before.
    pub fn undone(&self, from: Mark, to: Mark) -> impl Iterator<Item = (Key, u32, Token)> + '_ {
        self.journal[from.journal..to.journal].iter().rev().map(|(key, state)| {
            let node = &self.nodes[state.node as usize];
            (*key, node.length, node.token)
        })
    }

    // --------------------------------------------------------------------------------------------------------- commands

    /// Whether the command is answered as it was then. It has run afterwards either way.
    pub fn repeats(&mut self, op: &Op) -> bool {
        match (&op.action, &op.answer) {
            (Action::Count, Answer::Int(counted)) => {
                let there = self.keys.iter().filter(|state| state.node != 0).count() as i64;
                let overdue = self.keys.iter().filter(|state| state.overdue).count() as i64;
                (there..=there + overdue).contains(counted)
            }
            (Action::RandomKey, Answer::Key(Some(key))) => self.exists(*key),
            (Action::RandomKey, Answer::Key(None)) => self.mask() == 0,
            (action, answer) => self.perform(action) == *answer,
        }
    }

    /// Runs a command. RANDOMKEY gives the first key.
    pub fn perform(&mut self, action: &Action) -> Answer {
        match action {
            Action::Append { key, token } => {
                let node = self.node(self.state(*key).node, *token);
                let deadline = self.state(*key).deadline;
                self.put(*key, node, deadline);
                Answer::Int(i64::from(self.length(*key)))
            }
            Action::Get { key } => Answer::Seen(self.seen(*key)),
            Action::Tail { key } => {
                let top = self.top(*key);
                Answer::Tail(self.nodes[top.parent as usize].token, top.token)
            }
            Action::Length { key } => Answer::Int(i64::from(self.length(*key))),
            Action::Set { key, token, get, only, deadline } => self.set(*key, *token, *get, *only, *deadline),
            Action::Take { key } => {
                let seen = self.seen(*key);
                self.remove(*key);
                Answer::Seen(seen)
            }
            Action::ReadMany { keys } => Answer::Many(keys.iter().map(|key| self.seen(*key)).collect()),
            Action::WriteMany { pairs, if_absent } => self.write_many(pairs, *if_absent),
            Action::Delete { keys, .. } => {
                Answer::Int(keys.iter().map(|key| i64::from(self.remove(*key))).sum::<i64>())
            }
            Action::Exists { keys } => Answer::Int(keys.iter().filter(|key| self.exists(**key)).count() as i64),
            Action::Rename { from, to, if_absent } => self.rename(*from, *to, *if_absent),
            Action::Copy { from, to, replace } => self.copy(*from, *to, *replace),
            Action::ExpireAt { key, deadline } => self.expire_at(*key, *deadline),
            Action::Persist { key } => {
                let state = self.state(*key);
                let held = state.node != 0 && state.deadline != 0;
                if held {
                    self.put(*key, state.node, 0);
                }
                Answer::Int(i64::from(held))
            }
            Action::ExpireTime { key } => Answer::Int(match self.state(*key) {
                State { node: 0, .. } => -2,
                State { deadline: 0, .. } => -1,
                State { deadline, .. } => deadline as i64,
            }),
            Action::FlushAll => {
                for key in self.all_keys() {
                    if !self.remove(key) {
                        // It frees what is overdue, too, which changes nothing that anybody watches.
                        self.change(key, State { overdue: false, ..self.state(key) });
                    }
                }
                Answer::Done
            }
            Action::Count => Answer::Int(i64::from(self.mask().count_ones())),
            Action::Keys => Answer::Keys(self.mask()),
            Action::RandomKey => Answer::Key(self.all_keys().find(|key| self.exists(*key))),
            Action::Tick { deadline } => {
                self.tick(*deadline);
                Answer::Done
            }
        }
    }

    /// The keys that a tick of this deadline takes away.
    pub fn due(&self, deadline: u64) -> impl Iterator<Item = Key> + '_ {
        self.all_keys().filter(move |key| {
            let state = self.state(*key);
            state.node != 0 && state.deadline != 0 && state.deadline <= deadline
        })
    }

    fn tick(&mut self, deadline: u64) {
        let due: Vec<Key> = self.due(deadline).collect();
        for key in due {
            self.change(key, State { node: 0, deadline: 0, overdue: true, changed_by: self.now });
        }
        self.clock = self.clock.max(deadline);
    }

    /// Takes a key away as its deadline does.
    pub fn expire(&mut self, key: Key) {
        self.change(key, State { node: 0, deadline: 0, overdue: true, changed_by: self.now });
    }

    fn set(&mut self, key: Key, token: Token, get: bool, only: Only, deadline: u64) -> Answer {
        let old = self.seen(key);
        let met = match only {
            Only::Always => true,
            Only::IfAbsent => old.length == 0,
            Only::IfPresent => old.length > 0,
        };
        if met {
            let node = self.node(0, token);
            self.put(key, node, deadline);
        }
        match (get, met) {
            (true, _) => Answer::Seen(old),
            (false, true) => Answer::Done,
            (false, false) => Answer::Refused,
        }
    }

    fn write_many(&mut self, pairs: &[(Key, Token)], if_absent: bool) -> Answer {
        if if_absent && pairs.iter().any(|pair| self.exists(pair.0)) {
            return Answer::Int(0);
        }
        for (key, token) in pairs {
            let node = self.node(0, *token);
            self.put(*key, node, 0);
        }
        if if_absent { Answer::Int(1) } else { Answer::Done }
    }

    fn rename(&mut self, from: Key, to: Key, if_absent: bool) -> Answer {
        let state = self.state(from);
        if state.node == 0 {
            return Answer::NoSuchKey;
        }
        if if_absent && self.exists(to) {
            return Answer::Int(0);
        }
        self.remove(from);
        self.put(to, state.node, state.deadline);
        if if_absent { Answer::Int(1) } else { Answer::Done }
    }

    fn copy(&mut self, from: Key, to: Key, replace: bool) -> Answer {
        let state = self.state(from);
        let copies = state.node != 0 && (replace || !self.exists(to));
        if copies {
            self.put(to, state.node, state.deadline);
        }
        Answer::Int(i64::from(copies))
    }

    fn expire_at(&mut self, key: Key, deadline: u64) -> Answer {
        let state = self.state(key);
        if state.node != 0 {
            self.put(key, state.node, deadline);
        }
        Answer::Int(i64::from(state.node != 0))
    }

    // ------------------------------------------------------------------------------------------------------------- keys

    fn all_keys(&self) -> impl Iterator<Item = Key> + use<> {
        (0..self.keys.len()).map(|i| Key(i as u8))
    }

    fn mask(&self) -> u64 {
        self.keys.iter().enumerate().fold(0, |mask, (i, state)| mask | u64::from(state.node != 0) << i)
    }

    fn state(&self, key: Key) -> State {
        self.keys[usize::from(key.0)]
    }

    fn top(&self, key: Key) -> Node {
        self.nodes[self.state(key).node as usize]
    }

    fn node(&mut self, parent: u32, token: Token) -> u32 {
        let Node { length, hash, .. } = self.nodes[parent as usize];
        self.nodes.push(Node { token, parent, length: length + 1, hash: appended_hash(hash, token) });
        (self.nodes.len() - 1) as u32
    }

    fn list(&self, mut node: u32) -> Vec<Token> {
        let mut tokens = Vec::with_capacity(self.nodes[node as usize].length as usize);
        while node != 0 {
            tokens.push(self.nodes[node as usize].token);
            node = self.nodes[node as usize].parent;
        }
        tokens.reverse();
        tokens
    }

    /// A deadline that has passed takes the key away at once.
    fn put(&mut self, key: Key, node: u32, deadline: u64) {
        if deadline != 0 && deadline <= self.clock {
            self.change(key, State { node: 0, deadline: 0, overdue: true, changed_by: self.now });
        } else {
            self.change(key, State { node, deadline, overdue: false, changed_by: self.now });
        }
    }

    fn remove(&mut self, key: Key) -> bool {
        let existed = self.exists(key);
        if existed {
            self.change(key, State { node: 0, deadline: 0, overdue: false, changed_by: self.now });
        }
        existed
    }

    fn change(&mut self, key: Key, state: State) {
        let old = std::mem::replace(&mut self.keys[usize::from(key.0)], state);
        self.journal.push((key, old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u64) -> Token {
        Token::numbered(n)
    }

    #[test]
    fn commands_mean_what_redis_means() {
        let (a, b) = (Key(0), Key(1));
        let mut store = Store::new(&vec![Content::default(); 2], 0);
        assert_eq!(store.perform(&Action::Append { key: a, token: token(1) }), Answer::Int(1));
        assert_eq!(store.perform(&Action::Append { key: a, token: token(2) }), Answer::Int(2));
        assert_eq!(store.perform(&Action::Tail { key: a }), Answer::Tail(token(1), token(2)));
        assert_eq!(store.perform(&Action::Rename { from: b, to: a, if_absent: false }), Answer::NoSuchKey);
        assert_eq!(store.perform(&Action::Copy { from: a, to: b, replace: false }), Answer::Int(1));
        assert_eq!(store.perform(&Action::Rename { from: a, to: b, if_absent: true }), Answer::Int(0));
        assert_eq!(store.perform(&Action::Delete { keys: vec![a, b], unlink: false }), Answer::Int(2));
        assert_eq!(store.perform(&Action::Count), Answer::Int(0));
        let pairs = vec![(a, token(3)), (b, token(4))];
        assert_eq!(store.perform(&Action::WriteMany { pairs: pairs.clone(), if_absent: true }), Answer::Int(1));
        assert_eq!(store.perform(&Action::WriteMany { pairs, if_absent: true }), Answer::Int(0));
        assert_eq!(store.perform(&Action::Keys), Answer::Keys(3));
    }

    #[test]
    fn deadlines_pass_with_the_tick_and_changes_are_undone() {
        let key = Key(0);
        let mut store = Store::new(&[Content::default()], 0);
        store.perform(&Action::Append { key, token: token(1) });
        let mark = store.mark();
        assert_eq!(store.perform(&Action::ExpireAt { key, deadline: 10 }), Answer::Int(1));
        store.perform(&Action::Tick { deadline: 9 });
        assert!(store.exists(key));
        store.perform(&Action::Tick { deadline: 10 });
        assert!(!store.exists(key));
        let counts = |store: &mut Store, n| store.repeats(&Op { action: Action::Count, answer: Answer::Int(n) });
        assert!(counts(&mut store, 0) && counts(&mut store, 1) && !counts(&mut store, 2));
        store.undo(mark);
        assert!(store.exists(key) && store.clock() == 0 && store.deadline(key) == 0);
        assert!(!counts(&mut store, 0) && counts(&mut store, 1));
    }
}
