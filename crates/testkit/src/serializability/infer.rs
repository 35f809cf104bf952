//! What a history says for certain of the order of its transactions, as Elle infers it from lists.
//!
//! A value ends in the token of the write that made it, and shows the tokens before. So it is known which write made what a
//! transaction found (`wr`, or `ww` where it wrote there, too), and which transaction replaced it (`rw` from those that
//! found it). A **version** is a key with the last token of its value, where that was written to that very key, or can have
//! been brought there by RENAME or COPY only once (`moves.rs`).
//!
//! Also found on the way, without any order: values from nowhere or of aborted transactions (G1a), values in the middle of a
//! transaction (G1b), values that do not continue each other (incompatible order).

use std::collections::HashMap;

use super::access::{Access, Known};
use super::history::{Action, Answer, Content, Key, Seen, Token, Transaction, appended_hash};

/// Why one transaction comes before another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Why {
    /// The second replaced what the first wrote.
    Ww,
    /// The second found what the first wrote.
    Wr,
    /// The second replaced what the first found.
    Rw,
    /// The first had completed when the second was invoked.
    RealTime,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Edge {
    pub from: u32,
    pub to: u32,
    pub why: Why,
    pub key: Key,
}

/// Where a token was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// None: before this history.
    pub(super) writer: Option<u32>,
    /// None: it was moved about before this history.
    pub(super) key: Option<Key>,
    appended: bool,
    aborted: bool,
    intermediate: bool,
}

/// A value that one write to one key made.
#[derive(Clone, Debug)]
pub struct Version {
    pub key: Key,
    /// None: it was there before this history.
    pub writer: Option<u32>,
    /// Who found it and left it.
    pub readers: Vec<u32>,
    /// Who found it and replaced it: one, if all is well.
    pub replaced_by: Vec<u32>,
    /// The version that its writer found.
    pub before: Option<u32>,
    /// In tokens; 0 where nobody told.
    pub length: u32,
}

/// An anomaly that needs no order to be seen: its kind, what is wrong, and the transactions concerned.
#[derive(Clone, PartialEq, Debug)]
pub struct Direct {
    pub kind: &'static str,
    pub what: String,
    pub concerned: Vec<u32>,
}

#[derive(Debug, Default)]
pub struct Facts {
    /// By transaction; those of FLUSHALL have all keys.
    pub accesses: Vec<Vec<Access>>,
    pub versions: Vec<Version>,
    pub index: HashMap<(Key, Token), u32>,
    pub edges: Vec<Edge>,
    pub anomalies: Vec<Direct>,
    /// Keys that values come to by RENAME and COPY: not all that they hold are versions.
    pub is_target: Vec<bool>,
}

/// What can be inferred. `committed` are the transactions by number; `aborted` may not be seen by any of them.
pub fn infer(committed: &[&Transaction], aborted: &[&Transaction], initial: &[Content], arena: &[Token]) -> Facts {
    let mut inference = Inference::default();
    inference.note_moves(committed, initial.len());
    inference.note_origins(committed, aborted, initial);
    inference.note_values(committed, arena);
    inference.note_accesses(committed, initial.len());
    inference.note_versions(initial);
    inference.note_moved(committed);
    inference.draw_edges();
    inference.facts
}

#[derive(Default)]
pub(super) struct Inference {
    pub(super) facts: Facts,
    pub(super) origins: HashMap<Token, Origin>,
    /// Of each token that a value was seen to end in: the value's length and hash.
    values: HashMap<Token, (u32, u64)>,
    /// The token before each that was appended.
    before: HashMap<Token, Token>,
    /// Keys that RENAME and COPY take values from.
    is_source: Vec<bool>,
}

impl Inference {
    fn note_moves(&mut self, committed: &[&Transaction], keys: usize) {
        self.facts.is_target = vec![false; keys];
        self.is_source = vec![false; keys];
        for op in committed.iter().flat_map(|transaction| &transaction.ops) {
            if let Action::Rename { from, to, .. } | Action::Copy { from, to, .. } = op.action {
                self.is_source[usize::from(from.0)] = true;
                self.facts.is_target[usize::from(to.0)] = true;
            }
        }
    }

    fn note_origins(&mut self, committed: &[&Transaction], aborted: &[&Transaction], initial: &[Content]) {
        for (i, content) in initial.iter().enumerate() {
            let key = Key(i as u8);
            for token in &content.tokens {
                let key = (!self.facts.is_target[i]).then_some(key);
                let origin = Origin { writer: None, key, appended: false, aborted: false, intermediate: false };
                self.origins.insert(*token, origin);
            }
        }
        let all = committed.iter().enumerate().map(|(i, transaction)| (i, transaction, false));
        for (i, transaction, aborted) in all.chain(aborted.iter().map(|transaction| (0, transaction, true))) {
            for op in &transaction.ops {
                let origin = |key, appended| Origin {
                    writer: Some(i as u32),
                    key: Some(key),
                    appended,
                    aborted: aborted || op.answer == Answer::Refused || op.answer == Answer::Int(0),
                    intermediate: false,
                };
                match &op.action {
                    Action::Append { key, token } => drop(self.origins.insert(*token, origin(*key, true))),
                    Action::Set { key, token, .. } => drop(self.origins.insert(*token, origin(*key, false))),
                    Action::WriteMany { pairs, .. } => {
                        self.origins.extend(pairs.iter().map(|(key, token)| (*token, origin(*key, false))));
                    }
                    _ => {}
                }
            }
        }
    }

    // ----------------------------------------------------------------------------------------------------------- values

    fn note_values(&mut self, committed: &[&Transaction], arena: &[Token]) {
        let mut prefix = Vec::new();
        for (i, transaction) in committed.iter().enumerate() {
            for op in &transaction.ops {
                match &op.answer {
                    Answer::Seen(seen) => self.note_value(i as u32, seen, arena, &mut prefix),
                    Answer::Many(all) => {
                        all.iter().for_each(|seen| self.note_value(i as u32, seen, arena, &mut prefix))
                    }
                    Answer::Tail(before, last) if *last != Token::NONE => self.note_tail(i as u32, *before, *last),
                    _ => {}
                }
            }
        }
    }

    fn note_tail(&mut self, reader: u32, before: Token, last: Token) {
        let Some(origin) = self.known_origin(reader, last) else { return };
        if origin.appended && before != Token::NONE && *self.before.entry(last).or_insert(before) != before {
            self.report("incompatible order", format!("{before} stands before {last}, and elsewhere not"), &[reader]);
        }
    }

    /// Every value that ends in a token is the same one, and each of its beginnings is a value, too.
    fn note_value(&mut self, reader: u32, seen: &Seen, arena: &[Token], prefix: &mut Vec<u64>) {
        if seen.length == 0 {
            return;
        }
        match self.values.get(&seen.last()) {
            Some(known) if *known == (seen.length, seen.hash) => return,
            Some(_) => return self.incompatible(reader, seen),
            None => {}
        }
        let list = seen.tokens(arena);
        prefix.clear();
        list.iter().fold(0, |hash, token| {
            prefix.push(appended_hash(hash, *token));
            prefix[prefix.len() - 1]
        });
        for i in (0..list.len()).rev() {
            let value = (i as u32 + 1, prefix[i]);
            match self.values.get(&list[i]) {
                Some(known) if *known == value => return,
                Some(_) => return self.incompatible(reader, seen),
                None => drop(self.values.insert(list[i], value)),
            }
            let Some(origin) = self.known_origin(reader, list[i]) else { return };
            if origin.appended && i > 0 && *self.before.entry(list[i]).or_insert(list[i - 1]) != list[i - 1] {
                return self.incompatible(reader, seen);
            }
        }
    }

    fn incompatible(&mut self, reader: u32, seen: &Seen) {
        self.report("incompatible order", format!("{seen} does not continue what others saw"), &[reader]);
    }

    /// Where a token that somebody saw comes from; from nowhere and from what was aborted is an anomaly.
    fn known_origin(&mut self, reader: u32, token: Token) -> Option<Origin> {
        match self.origins.get(&token) {
            Some(origin) if !origin.aborted => Some(*origin),
            Some(_) => {
                self.report("G1a", format!("{token} was written by nobody that committed"), &[reader]);
                None
            }
            None => {
                self.report("G1a", format!("nobody wrote {token}"), &[reader]);
                None
            }
        }
    }

    fn report(&mut self, kind: &'static str, what: String, concerned: &[u32]) {
        const ENOUGH: usize = 100;
        if self.facts.anomalies.len() < ENOUGH {
            self.facts.anomalies.push(Direct { kind, what, concerned: concerned.to_vec() });
        }
    }

    // --------------------------------------------------------------------------------------------------------- accesses

    fn note_accesses(&mut self, committed: &[&Transaction], keys: usize) {
        for (i, transaction) in committed.iter().enumerate() {
            let mut accesses = super::access::accesses(transaction, keys).unwrap_or_else(|op| {
                self.report("internal", format!("command {op} contradicts what came before it"), &[i as u32]);
                Vec::new()
            });
            for access in &mut accesses {
                for token in access.intermediate() {
                    if let Some(origin) = self.origins.get_mut(&token) {
                        origin.intermediate = true;
                    }
                }
                self.find_appended_to(access);
            }
            self.facts.accesses.push(accesses);
        }
    }

    /// A token that was appended to what the transaction did not look at: others saw what stands before it.
    fn find_appended_to(&self, access: &mut Access) {
        let before = access.appended.and_then(|token| self.before.get(&token));
        if let (Some(before), Known::Length(length)) = (before, access.found) {
            access.found = Known::Value { last: *before, length };
        }
    }

    /// Whether a value that ends in this token can have been at this key only once.
    pub(super) fn is_version(&self, key: Key, token: Token) -> bool {
        let i = usize::from(key.0);
        let moved_about = self.facts.is_target[i] && self.is_source[i];
        !moved_about && self.origins.get(&token).is_some_and(|origin| origin.key == Some(key))
    }

    pub(super) fn version(&mut self, key: Key, token: Token) -> u32 {
        let Facts { versions, index, .. } = &mut self.facts;
        *index.entry((key, token)).or_insert_with(|| {
            let writer = self.origins.get(&token).and_then(|origin| origin.writer);
            versions.push(Version {
                key,
                writer,
                readers: Vec::new(),
                replaced_by: Vec::new(),
                before: None,
                length: 0,
            });
            (versions.len() - 1) as u32
        })
    }

    fn note_versions(&mut self, initial: &[Content]) {
        for (i, content) in initial.iter().enumerate() {
            let key = Key(i as u8);
            // What came here by a move may come again, if its source still holds it.
            let again = |last| initial.iter().enumerate().any(|(j, other)| j != i && other.tokens.last() == Some(last));
            let last = content.tokens.last();
            if let Some(last) =
                last.filter(|last| self.is_version(key, **last) || self.facts.is_target[i] && !again(*last))
            {
                let version = self.version(key, *last);
                self.facts.versions[version as usize].length = content.tokens.len() as u32;
            }
        }
        let all = std::mem::take(&mut self.facts.accesses);
        for (i, accesses) in all.iter().enumerate() {
            for access in accesses {
                self.note_found(i as u32, access);
            }
        }
        self.facts.accesses = all;
    }

    pub(super) fn note_found(&mut self, transaction: u32, access: &Access) {
        let key = access.key;
        let found = access.found.last().filter(|token| self.is_version(key, *token));
        let found = found.map(|token| {
            let version = self.version(key, token);
            let readers = &mut self.facts.versions[version as usize];
            if access.written { &mut readers.replaced_by } else { &mut readers.readers }.push(transaction);
            version
        });
        if let Some(token) = access.found.last() {
            self.note_source(transaction, access, token);
        }
        if let Some(token) = access.left.last().filter(|token| access.written && self.is_version(key, *token)) {
            let version = self.version(key, token);
            let version = &mut self.facts.versions[version as usize];
            version.before = found;
            if let Known::Value { length, .. } = access.left {
                version.length = length;
            }
        }
    }

    /// The edge from the write of what a transaction found.
    fn note_source(&mut self, transaction: u32, access: &Access, token: Token) {
        let Some(origin) = self.origins.get(&token).copied() else { return };
        let Some(writer) = origin.writer.filter(|writer| *writer != transaction && !origin.aborted) else { return };
        if origin.intermediate && origin.key == Some(access.key) {
            self.report("G1b", format!("{token} is in the middle of a transaction"), &[writer, transaction]);
        }
        let why = if access.appended.is_some() { Why::Ww } else { Why::Wr };
        self.facts.edges.push(Edge { from: writer, to: transaction, why, key: access.key });
    }

    fn draw_edges(&mut self) {
        let Facts { versions, edges, .. } = &mut self.facts;
        for version in versions {
            for to in &version.replaced_by {
                let found_too = version.readers.iter().chain(&version.replaced_by).filter(|from| *from != to);
                edges.extend(found_too.map(|from| Edge { from: *from, to: *to, why: Why::Rw, key: version.key }));
            }
        }
    }
}
