//! The real binary over real sockets: one server per test, three shards on threads that are not pinned, a port of its own.
//!
//! Nothing here waits for a fixed time: what takes a while is asked for until it is there or a deadline has passed.

mod access;
mod algebra;
mod blocking;
mod buffers;
mod clients;
mod cluster;
mod combined;
mod configuration;
mod debugging;
mod durability;
mod events;
mod exchange;
mod expiry;
mod faults;
mod import;
mod information;
mod keyspace;
mod loading;
mod loading_again;
mod long;
mod maxmemory;
mod migration;
mod observers;
mod persistence;
mod pipelines;
mod process;
mod pubsub;
mod snapshots;
mod tampering;
mod transactions;

use std::time::{Duration, Instant};

use pinyon_testkit::{Client, Program, Server, ServerOptions, Value};

/// More than one, so that keys lie on other cores than connections.
const SHARDS: u16 = 3;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

fn options() -> ServerOptions {
    ServerOptions::new(Program::Pinyon).built_at(env!("CARGO_BIN_EXE_pinyon-server")).shards(SHARDS)
}

/// A server with these words added to its command line.
#[track_caller]
fn start(words: &[&str]) -> Server {
    options().args(words.iter().copied()).start().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn connect(server: &Server) -> Client {
    server.client().unwrap_or_else(|error| panic!("{error}"))
}

/// Sends a command as typed into redis-cli and gives the reply in short: texts as they are, errors behind a `-`, `nil`,
/// `[…]` around the elements of arrays and sets, `{…}` around maps.
#[track_caller]
fn say(client: &mut Client, line: &str) -> String {
    match client.line(line) {
        Ok(value) => short(&value),
        Err(error) => panic!("{line}: {error}"),
    }
}

/// As `say`, for words that are not typed.
#[track_caller]
fn call(client: &mut Client, words: &[&[u8]]) -> String {
    match client.call(words) {
        Ok(value) => short(&value),
        Err(error) => panic!("{}: {error}", words[0].escape_ascii()),
    }
}

fn short(value: &Value) -> String {
    let list = |items: &[Value]| format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(" "));
    match value {
        Value::Error(text) => format!("-{text}"),
        Value::Int(number) => number.to_string(),
        Value::Null | Value::NullArray => "nil".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => list(items),
        Value::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}={}", short(key), short(value))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        text => String::from_utf8_lossy(text.as_bytes().unwrap_or_default()).into_owned(),
    }
}

/// Checks until it is true.
#[track_caller]
fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A field of INFO with the section that it is in.
#[track_caller]
fn info(client: &mut Client, section: &str, field: &str) -> String {
    let text = say(client, &format!("INFO {section}"));
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

#[track_caller]
fn info_number(client: &mut Client, section: &str, field: &str) -> i64 {
    let text = info(client, section, field);
    text.parse().unwrap_or_else(|_| panic!("{field}:{text}"))
}

/// Whether the server has closed the connection.
fn is_closed(client: &mut Client) -> bool {
    client.set_timeout(PATIENCE).is_err() || client.receive_to_end().is_ok()
}
