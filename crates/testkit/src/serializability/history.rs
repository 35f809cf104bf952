//! What clients did and what they were told: the record that the checker works on.
//!
//! A **transaction** is one command sent alone, or the commands between MULTI and EXEC. It was invoked when the first byte
//! that could carry it out left the client, and completed when its reply had arrived, both by one monotonic clock. Commands
//! of one pipeline are transactions of their own that overlap each other: nothing is claimed of their order.
//!
//! Every value is a list of **tokens**: eight printable bytes each, no two writes of a run write the same. So the last token
//! of a value names the write that made it, and a value shows the order of the appends that led to it.

use std::fmt;

/// A key by its number among the keys of a run; at most [`KEYS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key(pub u8);

/// Sets of keys are the bits of a `u64`.
pub const KEYS_MAX: usize = 64;

/// Eight bytes of a value, as they stand there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Token(pub u64);

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 8;

impl Token {
    /// No token: the last one of a key that is not there.
    pub const NONE: Token = Token(0);

    /// The token of number `n` < 2⁴⁸.
    pub fn numbered(n: u64) -> Token {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = [0; TOKEN_BYTES];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = DIGITS[(n >> (6 * (TOKEN_BYTES - 1 - i)) & 63) as usize];
        }
        Token(u64::from_le_bytes(bytes))
    }

    pub fn bytes(self) -> [u8; TOKEN_BYTES] {
        self.0.to_le_bytes()
    }

    pub fn from_bytes(bytes: [u8; TOKEN_BYTES]) -> Token {
        Token(u64::from_le_bytes(bytes))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Token::NONE => f.write_str("nil"),
            Token(_) => f.write_str(String::from_utf8_lossy(&self.bytes()).trim_start_matches('A')),
        }
    }
}

/// The hash of a value that `token` is appended to, from the hash before; of nothing it is 0.
pub fn appended_hash(hash: u64, token: Token) -> u64 {
    (hash.rotate_left(23) ^ token.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (token.0 >> 29)
}

/// A value as a read showed it whole; of length 0 when the key was not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// In tokens.
    pub length: u32,
    /// Where the tokens stand in [`History::tokens`].
    pub at: u32,
    pub last: u64,
    pub hash: u64,
}

impl Seen {
    pub const NIL: Seen = Seen { length: 0, at: 0, last: 0, hash: 0 };

    /// The value `list`, noted at the end of `arena`.
    pub fn note(list: &[Token], arena: &mut Vec<Token>) -> Seen {
        let at = arena.len() as u32;
        arena.extend_from_slice(list);
        let hash = list.iter().fold(0, |hash, token| appended_hash(hash, *token));
        Seen { length: list.len() as u32, at, last: list.last().map_or(0, |token| token.0), hash }
    }

    pub fn last(&self) -> Token {
        Token(self.last)
    }

    pub fn tokens<'a>(&self, arena: &'a [Token]) -> &'a [Token] {
        &arena[self.at as usize..][..self.length as usize]
    }
}

/// Wherever the tokens are noted, equal values are equal.
impl PartialEq for Seen {
    fn eq(&self, other: &Seen) -> bool {
        (self.length, self.last, self.hash) == (other.length, other.last, other.hash)
    }
}

/// When SET writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    Always,
    IfAbsent,
    IfPresent,
}

/// One command. Deadlines are Unix times in milliseconds; 0 is none.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Append {
        key: Key,
        token: Token,
    },
    Get {
        key: Key,
    },
    /// GETRANGE of the last two tokens.
    Tail {
        key: Key,
    },
    /// STRLEN.
    Length {
        key: Key,
    },
    /// With `get`, SET … GET, which always writes.
    Set {
        key: Key,
        token: Token,
        get: bool,
        only: Only,
        deadline: u64,
    },
    /// GETDEL.
    Take {
        key: Key,
    },
    /// MGET.
    ReadMany {
        keys: Vec<Key>,
    },
    /// MSET, or MSETNX.
    WriteMany {
        pairs: Vec<(Key, Token)>,
        if_absent: bool,
    },
    /// DEL, or UNLINK.
    Delete {
        keys: Vec<Key>,
        unlink: bool,
    },
    Exists {
        keys: Vec<Key>,
    },
    Rename {
        from: Key,
        to: Key,
        if_absent: bool,
    },
    Copy {
        from: Key,
        to: Key,
        replace: bool,
    },
    /// PEXPIREAT.
    ExpireAt {
        key: Key,
        deadline: u64,
    },
    Persist {
        key: Key,
    },
    /// PEXPIRETIME.
    ExpireTime {
        key: Key,
    },
    FlushAll,
    /// DBSIZE.
    Count,
    /// KEYS *.
    Keys,
    RandomKey,
    /// No command: time passes this deadline, and every key with it is gone.
    Tick {
        deadline: u64,
    },
}

impl Action {
    /// The keys named; none for commands on all keys.
    pub fn keys(&self) -> Vec<Key> {
        match self {
            Action::Append { key, .. }
            | Action::Get { key }
            | Action::Tail { key }
            | Action::Length { key }
            | Action::Set { key, .. }
            | Action::Take { key }
            | Action::ExpireAt { key, .. }
            | Action::Persist { key }
            | Action::ExpireTime { key } => vec![*key],
            Action::ReadMany { keys } | Action::Delete { keys, .. } | Action::Exists { keys } => keys.clone(),
            Action::WriteMany { pairs, .. } => pairs.iter().map(|pair| pair.0).collect(),
            Action::Rename { from, to, .. } | Action::Copy { from, to, .. } => vec![*from, *to],
            Action::FlushAll | Action::Count | Action::Keys | Action::RandomKey | Action::Tick { .. } => Vec::new(),
        }
    }

    /// The deadline that it gives to a key, or 0.
    pub fn deadline(&self) -> u64 {
        match self {
            Action::Set { deadline, .. } | Action::ExpireAt { deadline, .. } => *deadline,
            _ => 0,
        }
    }

    /// Whether it can change nothing, whatever it meets.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Action::Get { .. }
                | Action::Tail { .. }
                | Action::Length { .. }
                | Action::ReadMany { .. }
                | Action::Exists { .. }
                | Action::ExpireTime { .. }
                | Action::Count
                | Action::Keys
                | Action::RandomKey
        )
    }
}

/// What a command was answered.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// +OK
    Done,
    /// A null where a condition was not met.
    Refused,
    Int(i64),
    Seen(Seen),
    /// The last token but one, and the last.
    Tail(Token, Token),
    Many(Vec<Seen>),
    /// The error "no such key".
    NoSuchKey,
    Keys(u64),
    Key(Option<Key>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Op {
    pub action: Action,
    pub answer: Answer,
}

/// A key that WATCH named before an EXEC that went through.
#[derive(Clone, PartialEq, Debug)]
pub struct Watched {
    pub key: Key,
    /// What a read between WATCH and EXEC saw there.
    pub seen: Seen,
    /// When WATCH was sent.
    pub asked: u64,
    /// When WATCH had been answered: since then at the latest nobody may have changed the key.
    pub since: u64,
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Committed,
    /// EXEC answered a null: none of its writes may be seen by anybody. Its answers mean nothing.
    Aborted,
}

/// Times are nanoseconds since the start of the run.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    pub client: u32,
    pub invoked: u64,
    pub completed: u64,
    pub exec: bool,
    pub outcome: Outcome,
    pub watched: Vec<Watched>,
    pub ops: Vec<Op>,
}

/// What a key holds between two histories.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Content {
    pub tokens: Vec<Token>,
    /// 0: none.
    pub deadline: u64,
    /// It was there until its deadline, and the server may still count it.
    pub overdue: bool,
}

/// Everything that happened between two moments in which no transaction was under way.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the keys held at the first of them; its length is the number of keys.
    pub initial: Vec<Content>,
    /// The last deadline that had passed by then.
    pub clock: u64,
    pub transactions: Vec<Transaction>,
    pub tokens: Vec<Token>,
    /// The Unix time, in nanoseconds, at time 0 of the run.
    pub unix_base: u64,
    /// How long a server shows a key past the beginning of the millisecond that its deadline names: Redis all of it.
    pub shown_past_deadline: u64,
}

/// How far two clocks of one machine may be apart, in nanoseconds.
pub const CLOCK_SLACK: u64 = 300_000;

impl History {
    pub fn operations(&self) -> usize {
        self.transactions.iter().map(|transaction| transaction.ops.len()).sum()
    }

    /// Transactions that WATCH aborted.
    pub fn aborted(&self) -> usize {
        self.transactions.iter().filter(|transaction| transaction.outcome == Outcome::Aborted).count()
    }

    /// When keys with this deadline may be found gone for the first time, and found there for the last time.
    pub fn tick_window(&self, deadline: u64) -> (u64, u64) {
        let at = (deadline * 1_000_000 + self.shown_past_deadline).saturating_sub(self.unix_base);
        (at.saturating_sub(CLOCK_SLACK), at + CLOCK_SLACK)
    }
}

/// What a key is called in reports and on the wire.
pub fn key_name(key: Key) -> String {
    format!("k{}", key.0)
}

struct Names<'a>(&'a [Key]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(f, " k{}", key.0))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Append { key, token } => write!(f, "APPEND k{} {token}", key.0),
            Action::Get { key } => write!(f, "GET k{}", key.0),
            Action::Tail { key } => write!(f, "GETRANGE k{} -16 -1", key.0),
            Action::Length { key } => write!(f, "STRLEN k{}", key.0),
            Action::Set { key, token, get, only, deadline } => {
                write!(f, "SET k{} {token}", key.0)?;
                f.write_str(match only {
                    Only::Always => "",
                    Only::IfAbsent => " NX",
                    Only::IfPresent => " XX",
                })?;
                f.write_str(if *get { " GET" } else { "" })?;
                if *deadline > 0 { write!(f, " PXAT {deadline}") } else { Ok(()) }
            }
            Action::Take { key } => write!(f, "GETDEL k{}", key.0),
            Action::ReadMany { keys } => write!(f, "MGET{}", Names(keys)),
            Action::WriteMany { pairs, if_absent } => {
                f.write_str(if *if_absent { "MSETNX" } else { "MSET" })?;
                pairs.iter().try_for_each(|(key, token)| write!(f, " k{} {token}", key.0))
            }
            Action::Delete { keys, unlink } => write!(f, "{}{}", if *unlink { "UNLINK" } else { "DEL" }, Names(keys)),
            Action::Exists { keys } => write!(f, "EXISTS{}", Names(keys)),
            Action::Rename { from, to, if_absent } => {
                write!(f, "RENAME{} k{} k{}", if *if_absent { "NX" } else { "" }, from.0, to.0)
            }
            Action::Copy { from, to, replace } => {
                write!(f, "COPY k{} k{}{}", from.0, to.0, if *replace { " REPLACE" } else { "" })
            }
            Action::ExpireAt { key, deadline } => write!(f, "PEXPIREAT k{} {deadline}", key.0),
            Action::Persist { key } => write!(f, "PERSIST k{}", key.0),
            Action::ExpireTime { key } => write!(f, "PEXPIRETIME k{}", key.0),
            Action::FlushAll => f.write_str("FLUSHALL"),
            Action::Count => f.write_str("DBSIZE"),
            Action::Keys => f.write_str("KEYS *"),
            Action::RandomKey => f.write_str("RANDOMKEY"),
            Action::Tick { deadline } => write!(f, "the time {deadline} passes"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            0 => f.write_str("nil"),
            1 => write!(f, "[{}]", self.last()),
            length => write!(f, "[{length} tokens …{}]", self.last()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("OK"),
            Answer::Refused => f.write_str("nil"),
            Answer::Int(n) => write!(f, "{n}"),
            Answer::Seen(seen) => write!(f, "{seen}"),
            Answer::Tail(before, last) => write!(f, "[…{before} {last}]"),
            Answer::Many(all) => {
                all.iter().enumerate().try_for_each(|(i, seen)| write!(f, "{}{seen}", if i > 0 { " " } else { "" }))
            }
            Answer::NoSuchKey => f.write_str("no such key"),
            Answer::Keys(mask) => {
                let keys: Vec<Key> = (0..64).filter(|bit| mask >> bit & 1 == 1).map(Key).collect();
                write!(f, "keys{}", Names(&keys))
            }
            Answer::Key(None) => f.write_str("nil"),
            Answer::Key(Some(key)) => write!(f, "k{}", key.0),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        write!(f, "client {} [{:.4} to {:.4} ms] ", self.client, ms(self.invoked), ms(self.completed))?;
        for watched in &self.watched {
            write!(f, "WATCH k{} = {}; ", watched.key.0, watched.seen)?;
        }
        f.write_str(if self.exec { "EXEC { " } else { "" })?;
        for (i, op) in self.ops.iter().enumerate() {
            write!(f, "{}{} → {}", if i > 0 { "; " } else { "" }, op.action, op.answer)?;
        }
        f.write_str(if self.exec { " }" } else { "" })?;
        f.write_str(if self.outcome == Outcome::Aborted { " aborted" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_print() {
        let tokens: std::collections::BTreeSet<Token> = (0..100_000).step_by(7).map(Token::numbered).collect();
        assert_eq!(tokens.len(), 100_000usize.div_ceil(7));
        assert_eq!(Token::numbered(1).bytes(), *b"AAAAAAAB");
        assert_eq!(Token::from_bytes(*b"AAAAAAAB").to_string(), "B");
    }

    #[test]
    fn values_are_equal_wherever_they_are_noted() {
        let list: Vec<Token> = (1..5).map(Token::numbered).collect();
        let mut arena = Vec::new();
        let first = Seen::note(&list, &mut arena);
        let second = Seen::note(&list, &mut arena);
        assert_eq!(first, second);
        assert_eq!(second.tokens(&arena), &list[..]);
        assert_ne!(first, Seen::note(&list[1..], &mut arena));
        assert_ne!(first, Seen::NIL);
    }
}
