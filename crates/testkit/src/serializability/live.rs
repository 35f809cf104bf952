//! Clients of a real server: each a thread with a connection, sending pipelines of independent transactions, and recording
//! when each was sent, when its reply had arrived, and what it said.
//!
//! A run comes in rounds. Between two rounds no transaction is under way, so that each round is a history of its own, which
//! begins with what the one before left.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::checker::Proven;
use super::generate::{Mix, Plan, Source};
use super::history::{
    Action, Answer, Content, History, Key, Only, Op, Outcome, Seen, TOKEN_BYTES, Token, Transaction, Watched, key_name,
};
use crate::client::encode;
use crate::{Address, Random, Value};

/// How the clients of a run behave.
#[derive(Clone, Debug)]
pub struct Load {
    pub seed: u64,
    pub clients: usize,
    /// Transactions that a client sends at once, at most.
    pub depth: usize,
    pub mix: Mix,
    /// Nanoseconds, as [`History::shown_past_deadline`].
    pub shown_past_deadline: u64,
}

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all clients of a run draw from.
struct Shared {
    start: Instant,
    token: AtomicU64,
    deadline: AtomicU64,
    unique_deadlines: bool,
}

/// Clients that are connected, and what the keys hold between rounds.
pub struct Run {
    load: Load,
    shared: Shared,
    connections: Vec<Connection>,
    contents: Vec<Content>,
    clock: u64,
}

impl Run {
    /// Connects the clients, empties the server and gives every key a first value.
    pub fn connect(address: &Address, load: Load) -> Result<Run, String> {
        let shared = Shared {
            start: Instant::now(),
            token: AtomicU64::new(1),
            deadline: AtomicU64::new(0),
            unique_deadlines: load.shown_past_deadline > 0,
        };
        let mut first = Connection::new(address, load.seed, &load)?;
        let mut contents = Vec::new();
        let mut commands = vec![Action::FlushAll];
        for i in 0..load.mix.keys {
            let token = Token::numbered(shared.token.fetch_add(1, Ordering::Relaxed));
            commands.push(Action::Append { key: Key(i as u8), token });
            contents.push(Content { tokens: vec![token], ..Content::default() });
        }
        for action in &commands {
            let mut bytes = Vec::new();
            send_action(action, &mut bytes);
            first.stream.write_all(&bytes).map_err(|error| error.to_string())?;
            let value = first.receive()?;
            answer(action, &value, &mut Vec::new())?;
        }
        let mut connections = vec![first];
        for i in 1..load.clients {
            connections.push(Connection::new(address, load.seed.wrapping_add(i as u64 * 0x1234_5677), &load)?);
        }
        Ok(Run { load, shared, connections, contents, clock: unix_ms() })
    }

    /// Goes on from where a history that was proven ended.
    pub fn follow(&mut self, proven: Proven) {
        self.contents = proven.contents;
        self.clock = proven.clock;
        // How a key that is not there came to its end was not seen.
        for content in self.contents.iter_mut().filter(|content| content.tokens.is_empty()) {
            content.overdue = true;
        }
    }

    /// Has the clients carry out about so many operations, and gives the history. Commands of an EXEC count one each.
    pub fn round(&mut self, operations: usize) -> Result<History, String> {
        let left = AtomicI64::new(operations as i64);
        let shared = &self.shared;
        let mix = &self.load.mix;
        let results: Vec<Result<Recorded, String>> = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .connections
                .iter_mut()
                .map(|connection| scope.spawn(|| connection.work(shared, mix, &left)))
                .collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                handle.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
            };
            handles.into_iter().map(join).collect()
        });
        let last = self.connections[0].look_at_all(shared, mix.keys)?;
        let since_start = shared.start.elapsed().as_nanos() as u64;
        let mut history = History {
            initial: self.contents.clone(),
            clock: self.clock,
            shown_past_deadline: self.load.shown_past_deadline,
            unix_base: (unix_ns() as u64).saturating_sub(since_start),
            ..History::default()
        };
        for (client, recorded) in results.into_iter().enumerate() {
            let recorded = recorded.map_err(|error| format!("client {client}: {error}"))?;
            append(&mut history, client as u32, recorded);
        }
        append(&mut history, 0, last);
        Ok(history)
    }
}

fn unix_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

fn unix_ms() -> u64 {
    (unix_ns() / 1_000_000) as u64
}

#[derive(Default)]
struct Recorded {
    transactions: Vec<Transaction>,
    tokens: Vec<Token>,
}

/// Adds what one client recorded, whose values are to be found in its own arena.
fn append(history: &mut History, client: u32, mut recorded: Recorded) {
    let offset = history.tokens.len() as u32;
    history.tokens.append(&mut recorded.tokens);
    for mut transaction in recorded.transactions {
        transaction.client = client;
        transaction.watched.iter_mut().for_each(|watched| watched.seen.at += offset);
        for op in &mut transaction.ops {
            match &mut op.answer {
                Answer::Seen(seen) => seen.at += offset,
                Answer::Many(all) => all.iter_mut().for_each(|seen| seen.at += offset),
                _ => {}
            }
        }
        history.transactions.push(transaction);
    }
}

/// What a reply that is to come belongs to.
enum Expected {
    Single(Action),
    /// WATCH of these keys.
    Watch(Vec<Key>),
    /// MULTI, or a command that is queued.
    Queued,
    Exec(Plan),
}

struct Connection {
    stream: TcpStream,
    random: Random,
    depth: usize,
    buffer: Vec<u8>,
    at: usize,
    /// When the last bytes arrived.
    arrived: Option<Instant>,
    /// An EXEC whose keys are watched already.
    pending: Option<Plan>,
    watched: Vec<Watched>,
}

/// Where a client draws what is unique. Redis deletes a key that is given a deadline in the current millisecond, and shows
/// one that has it; so with Redis no two deadlines are the same.
struct Drawn<'a> {
    shared: &'a Shared,
}

impl Source for Drawn<'_> {
    fn token(&mut self) -> Token {
        Token::numbered(self.shared.token.fetch_add(1, Ordering::Relaxed))
    }

    fn deadline(&mut self, ms: u64) -> u64 {
        let wanted = unix_ms() + 2 + ms;
        if !self.shared.unique_deadlines {
            return wanted;
        }
        let next = |last: u64| Some(wanted.max(last + 1));
        self.shared
            .deadline
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map_or(wanted, |last| wanted.max(last + 1))
    }
}

impl Connection {
    fn new(address: &Address, seed: u64, load: &Load) -> Result<Connection, String> {
        let Address::Tcp(address) = address else { return Err("clients connect over TCP".to_owned()) };
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        prepared.map_err(|error| error.to_string())?;
        Ok(Connection {
            stream,
            random: Random::new(seed),
            depth: load.depth,
            buffer: Vec::new(),
            at: 0,
            arrived: None,
            pending: None,
            watched: Vec::new(),
        })
    }

    fn work(&mut self, shared: &Shared, mix: &Mix, left: &AtomicI64) -> Result<Recorded, String> {
        let mut recorded = Recorded::default();
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        while left.load(Ordering::Relaxed) > 0 || self.pending.is_some() {
            bytes.clear();
            expected.clear();
            let operations = self.prepare(shared, mix, &mut bytes, &mut expected);
            left.fetch_sub(operations, Ordering::Relaxed);
            let invoked = shared.start.elapsed().as_nanos() as u64;
            self.stream.write_all(&bytes).map_err(|error| error.to_string())?;
            for expected in expected.drain(..) {
                let value = self.receive()?;
                let arrived = self.arrived.unwrap_or(shared.start);
                let completed = arrived.duration_since(shared.start).as_nanos() as u64;
                self.take(expected, &value, (invoked, completed), &mut recorded)?;
            }
        }
        Ok(recorded)
    }

    /// Sees what all keys hold, when nobody else does anything: the next history begins with that.
    fn look_at_all(&mut self, shared: &Shared, keys: usize) -> Result<Recorded, String> {
        let keys: Vec<Key> = (0..keys).map(|i| Key(i as u8)).collect();
        let deadlines: Vec<Action> = keys.iter().map(|key| Action::ExpireTime { key: *key }).collect();
        let mut recorded = Recorded::default();
        for action in std::iter::once(Action::ReadMany { keys }).chain(deadlines) {
            let mut bytes = Vec::new();
            send_action(&action, &mut bytes);
            let invoked = shared.start.elapsed().as_nanos() as u64;
            self.stream.write_all(&bytes).map_err(|error| error.to_string())?;
            let value = self.receive()?;
            let completed = shared.start.elapsed().as_nanos() as u64;
            self.take(Expected::Single(action), &value, (invoked, completed), &mut recorded)?;
        }
        Ok(recorded)
    }

    /// Writes the next pipeline; gives how many operations it holds.
    fn prepare(&mut self, shared: &Shared, mix: &Mix, bytes: &mut Vec<u8>, expected: &mut Vec<Expected>) -> i64 {
        let mut operations = 0;
        if let Some(plan) = self.pending.take() {
            operations += send_exec(plan, bytes, expected);
        }
        let count = if self.random.one_in(4) { 1 } else { 1 + self.random.below(self.depth) };
        for _ in 0..count {
            let plan = mix.plan(&mut self.random, &mut Drawn { shared });
            if !plan.watch.is_empty() {
                encode_words(&["WATCH"], &plan.watch, bytes);
                expected.push(Expected::Watch(plan.watch.clone()));
                let read = Action::ReadMany { keys: plan.watch.clone() };
                send_action(&read, bytes);
                expected.push(Expected::Single(read));
                operations += 1;
                if self.random.one_in(2) {
                    // EXEC comes with the next pipeline, when what was watched has been seen.
                    self.pending = Some(plan);
                    break;
                }
            }
            if plan.exec {
                operations += send_exec(plan, bytes, expected);
            } else {
                operations += 1;
                plan.actions.into_iter().for_each(|action| {
                    send_action(&action, bytes);
                    expected.push(Expected::Single(action));
                });
            }
        }
        operations
    }

    fn take(
        &mut self,
        expected: Expected,
        value: &Value,
        (invoked, completed): (u64, u64),
        recorded: &mut Recorded,
    ) -> Result<(), String> {
        let transaction =
            |exec, outcome, watched, ops| Transaction { client: 0, invoked, completed, exec, outcome, watched, ops };
        match expected {
            Expected::Queued => expect_text(value, &["OK", "QUEUED"])?,
            Expected::Watch(keys) => {
                expect_text(value, &["OK"])?;
                let watched = |key| Watched { key, seen: Seen::NIL, asked: invoked, since: completed };
                self.watched = keys.into_iter().map(watched).collect();
            }
            Expected::Single(action) => {
                let answer = answer(&action, value, &mut recorded.tokens)?;
                if let (Answer::Many(all), Action::ReadMany { keys }) = (&answer, &action)
                    && keys.iter().eq(self.watched.iter().map(|watched| &watched.key))
                {
                    self.watched.iter_mut().zip(all).for_each(|(watched, seen)| watched.seen = *seen);
                }
                recorded.transactions.push(transaction(
                    false,
                    Outcome::Committed,
                    Vec::new(),
                    vec![Op { action, answer }],
                ));
            }
            Expected::Exec(plan) => {
                let watched = std::mem::take(&mut self.watched);
                let watched = if plan.watch.is_empty() { Vec::new() } else { watched };
                let (outcome, ops) = exec_ops(plan, value, &mut recorded.tokens)?;
                recorded.transactions.push(transaction(true, outcome, watched, ops));
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Value, String> {
        const CHUNK: usize = 32 * 1024;
        loop {
            match Value::decode(&self.buffer[self.at..]).map_err(|malformed| malformed.to_string())? {
                Some((value, length)) => {
                    self.at += length;
                    return Ok(value);
                }
                None => {
                    self.buffer.drain(..self.at);
                    self.at = 0;
                }
            }
            let length = self.buffer.len();
            self.buffer.resize(length + CHUNK, 0);
            let read = self.stream.read(&mut self.buffer[length..]);
            self.arrived = Some(Instant::now());
            self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(format!("no reply for {} s", PATIENCE.as_secs()));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- to the server

fn encode_words(words: &[&str], keys: &[Key], bytes: &mut Vec<u8>) {
    let all: Vec<String> =
        words.iter().map(|word| (*word).to_owned()).chain(keys.iter().map(|key| key_name(*key))).collect();
    encode(&all, bytes);
}

fn send_exec(plan: Plan, bytes: &mut Vec<u8>, expected: &mut Vec<Expected>) -> i64 {
    encode(&["MULTI"], bytes);
    expected.push(Expected::Queued);
    for action in &plan.actions {
        send_action(action, bytes);
        expected.push(Expected::Queued);
    }
    encode(&["EXEC"], bytes);
    let operations = plan.actions.len() as i64;
    expected.push(Expected::Exec(plan));
    operations
}

fn send_action(action: &Action, bytes: &mut Vec<u8>) {
    match action {
        Action::Append { key, token } => encode(&[&b"APPEND"[..], key_name(*key).as_bytes(), &token.bytes()], bytes),
        Action::Set { key, token, get, only, deadline } => {
            let name = key_name(*key);
            let (value, deadline) = (token.bytes(), (*deadline > 0).then(|| deadline.to_string()));
            let mut words: Vec<&[u8]> = vec![b"SET", name.as_bytes(), &value];
            match only {
                Only::Always => {}
                Only::IfAbsent => words.push(b"NX"),
                Only::IfPresent => words.push(b"XX"),
            }
            if *get {
                words.push(b"GET");
            }
            if let Some(deadline) = &deadline {
                words.extend([&b"PXAT"[..], deadline.as_bytes()]);
            }
            encode(&words, bytes);
        }
        Action::WriteMany { pairs, if_absent } => {
            let mut words = vec![if *if_absent { b"MSETNX".to_vec() } else { b"MSET".to_vec() }];
            words.extend(pairs.iter().flat_map(|(key, token)| [key_name(*key).into_bytes(), token.bytes().to_vec()]));
            encode(&words, bytes);
        }
        Action::Tail { key } => {
            let from = format!("-{}", 2 * TOKEN_BYTES);
            encode(&["GETRANGE", &key_name(*key), &from, "-1"], bytes);
        }
        Action::ExpireAt { key, deadline } => encode(&["PEXPIREAT", &key_name(*key), &deadline.to_string()], bytes),
        Action::Copy { from, to, replace: true } => {
            encode(&["COPY", &key_name(*from), &key_name(*to), "REPLACE"], bytes)
        }
        Action::Keys => encode(&["KEYS", "*"], bytes),
        Action::Tick { .. } => {}
        other => encode_words(&[name(other)], &other.keys(), bytes),
    }
}

/// The name of a command that has keys and nothing else.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Get { .. } => "GET",
        Action::Length { .. } => "STRLEN",
        Action::Take { .. } => "GETDEL",
        Action::ReadMany { .. } => "MGET",
        Action::Delete { unlink: false, .. } => "DEL",
        Action::Delete { .. } => "UNLINK",
        Action::Exists { .. } => "EXISTS",
        Action::Rename { if_absent: false, .. } => "RENAME",
        Action::Rename { .. } => "RENAMENX",
        Action::Copy { .. } => "COPY",
        Action::Persist { .. } => "PERSIST",
        Action::ExpireTime { .. } => "PEXPIRETIME",
        Action::FlushAll => "FLUSHALL",
        Action::Count => "DBSIZE",
        _ => "RANDOMKEY",
    }
}

// -------------------------------------------------------------------------------------------------------- from the server

fn expect_text(value: &Value, wanted: &[&str]) -> Result<(), String> {
    match value.as_str() {
        Some(text) if wanted.contains(&text) && !value.is_error() => Ok(()),
        _ => Err(format!("{wanted:?} expected, not {value}")),
    }
}

fn exec_ops(plan: Plan, value: &Value, arena: &mut Vec<Token>) -> Result<(Outcome, Vec<Op>), String> {
    if value.is_null() {
        let op = |action| Op { action, answer: Answer::Done };
        return Ok((Outcome::Aborted, plan.actions.into_iter().map(op).collect()));
    }
    let values = value.as_array().filter(|values| values.len() == plan.actions.len());
    let values = values.ok_or_else(|| format!("EXEC of {} commands: {value}", plan.actions.len()))?;
    let op = |(action, value)| Ok(Op { answer: answer(&action, value, arena)?, action });
    let ops = plan.actions.into_iter().zip(values).map(op).collect::<Result<_, String>>()?;
    Ok((Outcome::Committed, ops))
}

fn tokens(value: &Value, arena: &mut Vec<Token>) -> Option<Seen> {
    match value {
        Value::Bulk(bytes) => {
            let (tokens, rest) = bytes.as_chunks::<TOKEN_BYTES>();
            let list: Vec<Token> = tokens.iter().map(|token| Token::from_bytes(*token)).collect();
            rest.is_empty().then(|| Seen::note(&list, arena))
        }
        value => value.is_null().then_some(Seen::NIL),
    }
}

fn key_named(value: &Value) -> Option<Key> {
    value.as_str()?.strip_prefix('k')?.parse().ok().map(Key)
}

/// What a reply means.
fn answer(action: &Action, value: &Value, arena: &mut Vec<Token>) -> Result<Answer, String> {
    let meaning = match (action, value) {
        (Action::Get { .. } | Action::Take { .. } | Action::Set { get: true, .. }, value) => {
            tokens(value, arena).map(Answer::Seen)
        }
        (Action::ReadMany { keys }, Value::Array(values)) if values.len() == keys.len() => {
            values.iter().map(|value| tokens(value, arena)).collect::<Option<_>>().map(Answer::Many)
        }
        (Action::Tail { .. }, Value::Bulk(bytes)) => {
            let (tokens, rest) = bytes.as_chunks::<TOKEN_BYTES>();
            let token = |i: usize| tokens.get(i).map_or(Token::NONE, |token| Token::from_bytes(*token));
            let tail = match tokens.len() {
                0 => Answer::Tail(Token::NONE, Token::NONE),
                1 => Answer::Tail(Token::NONE, token(0)),
                _ => Answer::Tail(token(0), token(1)),
            };
            rest.is_empty().then_some(tail)
        }
        (Action::Length { .. }, Value::Int(n)) | (Action::Append { .. }, Value::Int(n)) => {
            let tokens = TOKEN_BYTES as i64;
            (n % tokens == 0).then_some(Answer::Int(n / tokens))
        }
        (Action::Keys, Value::Array(values)) => {
            let keys: Option<Vec<Key>> = values.iter().map(key_named).collect();
            keys.map(|keys| Answer::Keys(keys.iter().fold(0, |mask, key| mask | 1 << key.0)))
        }
        (Action::RandomKey, value) if value.is_null() => Some(Answer::Key(None)),
        (Action::RandomKey, value) => key_named(value).map(|key| Answer::Key(Some(key))),
        (Action::Rename { .. }, Value::Error(text)) if text == "ERR no such key" => Some(Answer::NoSuchKey),
        (Action::Set { .. }, value) if value.is_null() => Some(Answer::Refused),
        (_, Value::Simple(text)) if text == "OK" => Some(Answer::Done),
        (_, Value::Int(n)) => Some(Answer::Int(*n)),
        _ => None,
    };
    meaning.ok_or_else(|| format!("{action}: {value}"))
}
