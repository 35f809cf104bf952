//! What one transaction says of each key it touched: what it found there, and what it left.
//!
//! This follows the commands of a transaction one by one and keeps, per key, what the answers so far allow to be known. An
//! answer that contradicts an earlier one of the same transaction (two GETs of a key in one EXEC that differ, an APPEND that
//! is missing from the GET behind it) is an internal anomaly.

use super::history::{Action, Answer, Key, Only, Op, Seen, Token, Transaction};

/// What is known of a key at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    Nothing,
    Nil,
    /// It is there.
    Exists,
    /// It is there, with so many tokens.
    Length(u32),
    /// Its last token, and its length unless that is 0.
    Value {
        last: Token,
        length: u32,
    },
}

impl Known {
    fn of(seen: &Seen) -> Known {
        match seen.length {
            0 => Known::Nil,
            length => Known::Value { last: seen.last(), length },
        }
    }

    /// The last token, where it is known.
    pub fn last(self) -> Option<Token> {
        match self {
            Known::Value { last, .. } => Some(last),
            _ => None,
        }
    }

    /// Whether both can be true, and if so what is known by both.
    fn and(self, other: Known) -> Option<Known> {
        use Known::{Exists, Length, Nil, Nothing, Value};
        match (self, other) {
            (Nothing, known) | (known, Nothing) => Some(known),
            (Nil, Nil) => Some(Nil),
            (Nil, _) | (_, Nil) => None,
            (Exists, known) | (known, Exists) => Some(known),
            (Length(a), Length(b)) => (a == b).then_some(self),
            (Length(a), Value { last, length }) | (Value { last, length }, Length(a)) => {
                (length == 0 || length == a).then_some(Value { last, length: a })
            }
            (Value { last: a, length: n }, Value { last: b, length: m }) => {
                (a == b && (n == m || n == 0 || m == 0)).then_some(Value { last: a, length: n.max(m) })
            }
        }
    }
}

/// A transaction's part in one key's history.
#[derive(Clone, Debug)]
pub struct Access {
    pub key: Key,
    /// What it found.
    pub found: Known,
    /// It put something else there, or took away what was there.
    pub written: bool,
    /// What it left.
    pub left: Known,
    /// The first thing it did was to append this token to a value that it did not see.
    pub appended: Option<Token>,
    /// The tokens it wrote here, in order.
    pub tokens: Vec<Token>,
    /// It gave the key a deadline, which may have passed at once.
    vanishing: bool,
}

impl Access {
    /// Tokens written here that no other transaction may find at the end of a value.
    pub fn intermediate(&self) -> impl Iterator<Item = Token> + '_ {
        let left = self.left.last();
        self.tokens.iter().copied().filter(move |token| Some(*token) != left)
    }
}

/// What a transaction did to the keys, or the number of the command whose answer contradicts those before.
pub fn accesses(transaction: &Transaction, keys: usize) -> Result<Vec<Access>, usize> {
    let mut all = Accesses { all: Vec::new(), keys };
    for watched in &transaction.watched {
        all.find(watched.key, Known::of(&watched.seen)).ok_or(0usize)?;
    }
    for (i, op) in transaction.ops.iter().enumerate() {
        all.follow(op).ok_or(i)?;
    }
    Ok(all.all)
}

struct Accesses {
    all: Vec<Access>,
    keys: usize,
}

impl Accesses {
    fn entry(&mut self, key: Key) -> &mut Access {
        let at = self.all.iter().position(|access| access.key == key).unwrap_or_else(|| {
            self.all.push(Access {
                key,
                found: Known::Nothing,
                written: false,
                left: Known::Nothing,
                appended: None,
                tokens: Vec::new(),
                vanishing: false,
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    /// The key's state was as `known` says; None when that cannot be.
    fn find(&mut self, key: Key, known: Known) -> Option<()> {
        let access = self.entry(key);
        if access.vanishing && known == Known::Nil {
            access.left = Known::Nil;
            access.written = true;
            return Some(());
        }
        access.left = access.left.and(known)?;
        if !access.written {
            access.found = access.left;
        }
        Some(())
    }

    fn write(&mut self, key: Key, left: Known) {
        let access = self.entry(key);
        access.written = true;
        access.vanishing = false;
        access.left = left;
    }

    fn write_token(&mut self, key: Key, token: Token, length: u32) {
        self.write(key, Known::Value { last: token, length });
        self.entry(key).tokens.push(token);
    }

    fn append(&mut self, key: Key, token: Token, length: u32) -> Option<()> {
        match length {
            1 => self.find(key, Known::Nil)?,
            _ => self.find(key, Known::Length(length.checked_sub(1)?))?,
        }
        let access = self.entry(key);
        if !access.written && access.found.last().is_none() && access.found != Known::Nil {
            access.appended = Some(token);
        }
        self.write_token(key, token, length);
        Some(())
    }

    fn every(&mut self, known: impl Fn(Key) -> Known) -> Option<()> {
        (0..self.keys).try_for_each(|i| self.find(Key(i as u8), known(Key(i as u8))))
    }

    fn follow(&mut self, op: &Op) -> Option<()> {
        match (&op.action, &op.answer) {
            (Action::Append { key, token }, Answer::Int(n)) => self.append(*key, *token, u32::try_from(*n).ok()?),
            (Action::Get { key }, Answer::Seen(seen)) => self.find(*key, Known::of(seen)),
            (Action::Tail { key }, Answer::Tail(_, last)) => {
                let known = if *last == Token::NONE { Known::Nil } else { Known::Value { last: *last, length: 0 } };
                self.find(*key, known)
            }
            (Action::Length { key }, Answer::Int(n)) => {
                self.find(*key, if *n == 0 { Known::Nil } else { Known::Length(u32::try_from(*n).ok()?) })
            }
            (Action::Set { key, token, only, deadline, .. }, answer) => {
                self.set(*key, *token, *only, *deadline, answer)
            }
            (Action::Take { key }, Answer::Seen(seen)) => {
                self.find(*key, Known::of(seen))?;
                if seen.length > 0 {
                    self.write(*key, Known::Nil);
                }
                Some(())
            }
            (Action::ReadMany { keys }, Answer::Many(all)) => {
                keys.iter().zip(all).try_for_each(|(key, seen)| self.find(*key, Known::of(seen)))
            }
            (Action::WriteMany { pairs, if_absent }, answer) => self.write_many(pairs, *if_absent, answer),
            (Action::Delete { keys, .. }, Answer::Int(n)) => self.delete(keys, *n),
            (Action::Exists { keys }, Answer::Int(n)) => match usize::try_from(*n).ok()? {
                0 => keys.iter().try_for_each(|key| self.find(*key, Known::Nil)),
                n if n == keys.len() => keys.iter().try_for_each(|key| self.find(*key, Known::Exists)),
                _ => Some(()),
            },
            (Action::Rename { from, to, if_absent }, answer) => self.rename(*from, *to, *if_absent, answer),
            (Action::Copy { from, to, replace }, Answer::Int(n)) => self.copy(*from, *to, *replace, *n == 1),
            (Action::ExpireAt { key, .. }, Answer::Int(n)) => {
                self.find(*key, if *n == 1 { Known::Exists } else { Known::Nil })?;
                self.entry(*key).vanishing = *n == 1;
                Some(())
            }
            (Action::Persist { key }, Answer::Int(1)) => self.find(*key, Known::Exists),
            (Action::Persist { .. }, Answer::Int(_)) => Some(()),
            (Action::ExpireTime { key }, Answer::Int(n)) => {
                self.find(*key, if *n == -2 { Known::Nil } else { Known::Exists })
            }
            (Action::FlushAll, Answer::Done) => {
                (0..self.keys).for_each(|i| self.write(Key(i as u8), Known::Nil));
                Some(())
            }
            (Action::Count, Answer::Int(n)) => {
                if *n == 0 {
                    self.every(|_| Known::Nil)
                } else {
                    Some(())
                }
            }
            (Action::Keys, Answer::Keys(mask)) => {
                self.every(|key| if mask >> key.0 & 1 == 1 { Known::Exists } else { Known::Nil })
            }
            (Action::RandomKey, Answer::Key(Some(key))) => self.find(*key, Known::Exists),
            (Action::RandomKey, Answer::Key(None)) => self.every(|_| Known::Nil),
            (Action::Tick { .. }, _) => Some(()),
            _ => None,
        }
    }

    fn set(&mut self, key: Key, token: Token, only: Only, deadline: u64, answer: &Answer) -> Option<()> {
        let writes = match (answer, only) {
            (Answer::Seen(old), _) => {
                self.find(key, Known::of(old))?;
                match only {
                    Only::Always => true,
                    Only::IfAbsent => old.length == 0,
                    Only::IfPresent => old.length > 0,
                }
            }
            (Answer::Done, Only::Always) => true,
            (Answer::Done, Only::IfAbsent) => self.find(key, Known::Nil).map(|()| true)?,
            (Answer::Done, Only::IfPresent) => self.find(key, Known::Exists).map(|()| true)?,
            (Answer::Refused, Only::IfAbsent) => self.find(key, Known::Exists).map(|()| false)?,
            (Answer::Refused, Only::IfPresent) => self.find(key, Known::Nil).map(|()| false)?,
            _ => return None,
        };
        if writes {
            self.write_token(key, token, 1);
            self.entry(key).vanishing = deadline != 0;
        }
        Some(())
    }

    fn write_many(&mut self, pairs: &[(Key, Token)], if_absent: bool, answer: &Answer) -> Option<()> {
        match (if_absent, answer) {
            (true, Answer::Int(0)) => return Some(()),
            (true, Answer::Int(1)) => pairs.iter().try_for_each(|pair| self.find(pair.0, Known::Nil))?,
            (false, Answer::Done) => {}
            _ => return None,
        }
        pairs.iter().for_each(|(key, token)| self.write_token(*key, *token, 1));
        Some(())
    }

    fn delete(&mut self, keys: &[Key], deleted: i64) -> Option<()> {
        let deleted = usize::try_from(deleted).ok()?;
        if deleted == 0 {
            return keys.iter().try_for_each(|key| self.find(*key, Known::Nil));
        }
        if deleted == keys.len() {
            keys.iter().try_for_each(|key| self.find(*key, Known::Exists))?;
        }
        // Of those of which nothing is known, some were not there; nor are they now.
        keys.iter().for_each(|key| self.write(*key, Known::Nil));
        Some(())
    }

    fn rename(&mut self, from: Key, to: Key, if_absent: bool, answer: &Answer) -> Option<()> {
        match (if_absent, answer) {
            (_, Answer::NoSuchKey) => return self.find(from, Known::Nil),
            (true, Answer::Int(0)) => {
                self.find(from, Known::Exists)?;
                return self.find(to, Known::Exists);
            }
            (true, Answer::Int(1)) => self.find(to, Known::Nil)?,
            (false, Answer::Done) => {}
            _ => return None,
        }
        self.find(from, Known::Exists)?;
        let moved = self.entry(from).left;
        self.write(from, Known::Nil);
        self.write(to, moved);
        Some(())
    }

    fn copy(&mut self, from: Key, to: Key, replace: bool, copied: bool) -> Option<()> {
        match (copied, replace) {
            (false, true) => return self.find(from, Known::Nil),
            (false, false) => return Some(()),
            (true, true) => {}
            (true, false) => self.find(to, Known::Nil)?,
        }
        self.find(from, Known::Exists)?;
        let source = self.entry(from);
        let (copy, vanishing) = (source.left, source.vanishing);
        self.write(to, copy);
        self.entry(to).vanishing = vanishing;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializability::history::Outcome;

    fn exec(ops: Vec<(Action, Answer)>) -> Transaction {
        let ops = ops.into_iter().map(|(action, answer)| Op { action, answer }).collect();
        Transaction {
            client: 0,
            invoked: 0,
            completed: 1,
            exec: true,
            outcome: Outcome::Committed,
            watched: vec![],
            ops,
        }
    }

    #[test]
    fn an_append_that_is_missing_from_the_read_behind_it_contradicts() {
        let (key, token) = (Key(0), Token::numbered(1));
        let append = (Action::Append { key, token }, Answer::Int(1));
        let read = |list: &[Token]| (Action::Get { key }, Answer::Seen(Seen::note(list, &mut Vec::new())));
        let good = accesses(&exec(vec![append.clone(), read(&[token])]), 1).expect("consistent");
        assert_eq!((good[0].found, good[0].written), (Known::Nil, true));
        assert_eq!(accesses(&exec(vec![append, read(&[])]), 1).err(), Some(1));
    }

    #[test]
    fn two_reads_of_one_moment_are_equal() {
        let (key, a, b) = (Key(0), Token::numbered(1), Token::numbered(2));
        let read = |list: &[Token]| (Action::Get { key }, Answer::Seen(Seen::note(list, &mut Vec::new())));
        assert!(accesses(&exec(vec![read(&[a]), read(&[a])]), 1).is_ok());
        assert_eq!(accesses(&exec(vec![read(&[a]), read(&[a, b])]), 1).err(), Some(1));
        let length = (Action::Length { key }, Answer::Int(2));
        assert_eq!(accesses(&exec(vec![read(&[a]), length]), 1).err(), Some(1));
    }
}
