//! Values that RENAME and COPY brought from one key to another.
//!
//! Such a value can come to a key twice, by two COPYs of a source that did not change in between. Where only one transaction
//! can have brought it, that one is as good as the writer of a version; and where that one did not see what it moved, it is
//! known now what it found at its source.

use std::collections::{BTreeMap, HashMap};

use super::access::{Access, Known};
use super::history::{Action, Answer, Key, Op, Token, Transaction};
use super::infer::{Edge, Inference, Version, Why};

/// A transaction that moved a value between two keys, and what it found at the source: None when it did not see it.
#[derive(Clone, Copy, Debug)]
struct Move {
    by: u32,
    token: Option<Token>,
}

type Moves = HashMap<(Key, Key), Vec<Move>>;

/// Source and target of a command that took a value from one key to another.
fn move_of(op: &Op) -> Option<(Key, Key)> {
    match (&op.action, &op.answer) {
        (Action::Rename { from, to, .. }, Answer::Done | Answer::Int(1)) => Some((*from, *to)),
        (Action::Copy { from, to, .. }, Answer::Int(1)) => Some((*from, *to)),
        _ => None,
    }
}

/// The token that a command wrote to a key.
fn written(op: &Op, key: Key) -> Option<Token> {
    match &op.action {
        Action::Append { key: to, token } | Action::Set { key: to, token, .. } => (*to == key).then_some(*token),
        Action::WriteMany { pairs, .. } => pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1),
        _ => None,
    }
}

impl Inference {
    /// Notes the versions that came by a move, who found them, and what their movers found.
    pub(super) fn note_moved(&mut self, committed: &[&Transaction]) {
        let moves = self.moves(committed);
        if moves.is_empty() {
            return;
        }
        let mut movers: BTreeMap<(Key, Token), u32> = BTreeMap::new();
        for (to, token) in self.foreign() {
            if let Some((from, mover)) = self.only_mover(committed, &moves, to, token) {
                movers.insert((to, token), mover);
                self.pin(mover, from, to, token);
            }
        }
        for ((key, token), mover) in &movers {
            let version = self.version(*key, *token);
            self.facts.versions[version as usize].writer = Some(*mover);
        }
        let all = std::mem::take(&mut self.facts.accesses);
        for (i, accesses) in all.iter().enumerate() {
            for access in accesses {
                if self.facts.is_target[usize::from(access.key.0)] {
                    self.note_foreign(i as u32, access);
                }
            }
        }
        self.facts.accesses = all;
    }

    fn moves(&self, committed: &[&Transaction]) -> Moves {
        let mut moves = Moves::new();
        for (i, transaction) in committed.iter().enumerate() {
            for (at, op) in transaction.ops.iter().enumerate() {
                let Some((from, to)) = move_of(op) else { continue };
                let access = self.facts.accesses[i].iter().find(|access| access.key == from);
                // What it wrote there itself before it moved it, else what it found.
                let own = transaction.ops[..at].iter().rev().find_map(|op| written(op, from));
                let token = own.or(access.and_then(|access| access.found.last()));
                moves.entry((from, to)).or_default().push(Move { by: i as u32, token });
            }
        }
        moves
    }

    /// Keys with values that were not written there, as somebody found them or left them.
    fn foreign(&self) -> Vec<(Key, Token)> {
        let accesses = self.facts.accesses.iter().flatten();
        let on_targets = accesses.filter(|access| self.facts.is_target[usize::from(access.key.0)]);
        let values = on_targets.flat_map(|access| {
            let left = access.left.last().filter(|_| access.written);
            [access.found.last(), left].into_iter().flatten().map(|token| (access.key, token))
        });
        let mut foreign: Vec<(Key, Token)> = values.filter(|(key, token)| !self.is_version(*key, *token)).collect();
        foreign.sort_unstable();
        foreign.dedup();
        foreign.retain(|value| !self.facts.index.contains_key(value));
        foreign
    }

    /// The source and the one transaction that can have brought the value to the key.
    fn only_mover(&self, committed: &[&Transaction], moves: &Moves, to: Key, token: Token) -> Option<(Key, u32)> {
        let origin = self.origins.get(&token)?;
        let from = origin.key?;
        let written = origin.writer.map_or(0, |writer| committed[writer as usize].invoked);
        let version = self.facts.index.get(&(from, token)).map(|version| &self.facts.versions[*version as usize]);
        let replaced = version.and_then(|version| version.replaced_by.first());
        let gone = replaced.map_or(u64::MAX, |by| committed[*by as usize].completed);
        let mut able = moves.get(&(from, to))?.iter().filter(|one| {
            let mover = committed[one.by as usize];
            one.token.map_or(mover.invoked <= gone && mover.completed >= written, |moved| moved == token)
        });
        let mover = able.next()?.by;
        able.next().is_none().then_some((from, mover))
    }

    /// A mover is known to have found this value at its source, and to have left it at its target.
    fn pin(&mut self, mover: u32, from: Key, to: Key, token: Token) {
        let accesses = &mut self.facts.accesses[mover as usize];
        if let Some(access) = accesses.iter_mut().find(|access| access.key == to && access.tokens.is_empty())
            && access.left.last().is_none()
        {
            access.left = Known::Value { last: token, length: 0 };
        }
        let unseen = |access: &&mut Access| {
            access.key == from
                && access.found.last().is_none()
                && access.found != Known::Nil
                && access.tokens.is_empty()
        };
        let Some(access) = accesses.iter_mut().find(unseen) else { return };
        let length = if let Known::Length(length) = access.found { length } else { 0 };
        access.found = Known::Value { last: token, length };
        let access = access.clone();
        self.note_found(mover, &access);
    }

    /// What a transaction found or left at a key that values are brought to.
    fn note_foreign(&mut self, transaction: u32, access: &Access) {
        let key = access.key;
        let foreign = |token: &Token| !self.is_version(key, *token);
        let found = access.found.last().filter(foreign);
        let found = found.and_then(|token| self.facts.index.get(&(key, token)).copied()).inspect(|version| {
            let Version { readers, replaced_by, writer, .. } = &mut self.facts.versions[*version as usize];
            if access.written { replaced_by } else { readers }.push(transaction);
            if let Some(mover) = writer.filter(|mover| *mover != transaction) {
                let why = if access.appended.is_some() { Why::Ww } else { Why::Wr };
                self.facts.edges.push(Edge { from: mover, to: transaction, why, key });
            }
        });
        // What it left continues what it found, whichever of the two came by a move.
        let left = access.left.last().filter(|_| access.written);
        let Some(left) = left.and_then(|token| self.facts.index.get(&(key, token)).copied()) else { return };
        let own = access.found.last().and_then(|token| self.facts.index.get(&(key, token)).copied());
        if let Some(before) = found.or(own).filter(|before| *before != left) {
            self.facts.versions[left as usize].before = Some(before);
        }
    }
}
