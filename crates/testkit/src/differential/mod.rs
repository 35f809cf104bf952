//! The differential harness: the same generated calls to two servers, and every reply compared.
//!
//! One side is the oracle (redis-server 7.0.15, or Valkey 9 for what that lacks), the other Pinyon. Calls come from
//! Pinyon's command table, over several connections in RESP2 and RESP3, one at a time or pipelined on one connection, so
//! that their order is the same on both sides. Replies are compared byte by byte; what may differ is in `allowed.rs`, with
//! its reason. From time to time the whole data is compared, too. A run is repeated exactly by its seed.

mod allowed;
mod compare;
mod generate;
mod side;
mod state;
mod times;
mod vocabulary;

use std::collections::VecDeque;
use std::fmt;
use std::io;

use pinyon_base::write_quoted;

pub use generate::Era;

use crate::{Address, Client};
use allowed::{How, how, is_counted_differently};
use compare::{Reply, compare, is_sign_of_zero, is_stale_errno};
use generate::{Generator, full_name};
use side::Side;
use vocabulary::is_key;

/// Calls between two comparisons of the whole data.
const CALLS_BETWEEN_STATES: u64 = 5_000;
/// Calls remembered for the report of a difference.
const HISTORY: usize = 5_000;

/// What to generate, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub seed: u64,
    pub era: Era,
    pub connections: usize,
    /// Goes on after a difference until so many commands have differed: a list to work from. The first one counts;
    /// others may follow from it.
    pub differences_max: usize,
}

impl Options {
    /// With the seed of `PINYON_SEED`, else one of the process's own; stops at the first difference, or after
    /// `PINYON_DIFF_MAX` of them.
    pub fn from_env(era: Era) -> Options {
        const CONNECTIONS: usize = 6;
        let seed = number("PINYON_SEED").unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
        });
        let differences_max = number("PINYON_DIFF_MAX").unwrap_or(1).max(1) as usize;
        Options { seed, era, connections: CONNECTIONS, differences_max }
    }
}

/// How many calls to compare: `PINYON_DIFF_CALLS`, else 20,000.
pub fn calls_from_env() -> u64 {
    const CALLS: u64 = 20_000;
    number("PINYON_DIFF_CALLS").unwrap_or(CALLS)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Two servers, empty at first, that are given the same calls.
pub struct Differential {
    options: Options,
    generator: Generator,
    oracle: Side,
    subject: Side,
    history: VecDeque<Past>,
    /// Calls compared so far.
    calls: u64,
    differences: Differences,
}

struct Past {
    number: u64,
    connection: usize,
    args: Vec<Vec<u8>>,
    reply: String,
}

/// What differed in a run, or what ended it; the first of each command. `Display` is the report.
#[derive(Debug)]
pub struct Differences {
    seed: u64,
    /// By command: which call it was, and what differed.
    found: Vec<(String, u64, String)>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, call, what) in &self.found {
            writeln!(f, "{what}\nafter {call} calls\n")?;
        }
        write!(f, "again with PINYON_SEED={}", self.seed)
    }
}

impl std::error::Error for Differences {}

impl Differential {
    pub fn new(oracle: &Address, subject: &Address, options: Options) -> io::Result<Differential> {
        Ok(Differential {
            generator: Generator::new(options.seed, options.era),
            oracle: Side::new(oracle.clone(), options.connections)?,
            subject: Side::new(subject.clone(), options.connections)?,
            history: VecDeque::new(),
            calls: 0,
            differences: Differences { seed: options.seed, found: Vec::new() },
            options,
        })
    }

    /// Calls compared so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The connection through which the other side's data is read.
    pub fn subject(&mut self) -> &mut Client {
        self.subject.observer()
    }

    /// Compares at least `calls` more calls, and the whole data at the end.
    pub fn run(mut self, calls: u64) -> Result<Differential, Differences> {
        let end = self.calls + calls;
        let mut next_state = self.calls + CALLS_BETWEEN_STATES;
        while self.calls < end {
            if !self.step() {
                return Err(self.differences);
            }
            if self.calls >= next_state {
                self.compare_states();
                next_state = self.calls + CALLS_BETWEEN_STATES;
            }
            if self.differences.found.len() >= self.options.differences_max {
                return Err(self.differences);
            }
        }
        self.compare_states();
        if self.differences.found.is_empty() { Ok(self) } else { Err(self.differences) }
    }

    /// Makes the next calls. False when it cannot go on.
    fn step(&mut self) -> bool {
        let step = self.generator.step(self.options.connections);
        let connection = step.connection;
        let sent = self.oracle.send(connection, &step.calls).and_then(|()| self.subject.send(connection, &step.calls));
        if let Err(error) = sent {
            return self.broken("sending", &step.calls[0], &error);
        }
        let mut counts_differ = false;
        for args in &step.calls {
            let oracle = match self.oracle.receive(connection) {
                Ok(reply) => reply,
                Err(error) => return self.broken("the oracle's reply", args, &error),
            };
            let subject = match self.subject.receive(connection) {
                Ok(reply) => reply,
                Err(error) => return self.broken("the subject's reply", args, &error),
            };
            self.calls += 1;
            self.remember(connection, args, &oracle);
            let name = full_name(args);
            let how = how(&name, args.len());
            counts_differ |= is_counted_differently(&name, oracle.has_error(), oracle.is_null());
            let agreed = match compare(how, &name, &oracle, &subject) {
                Err(_) if is_stale_errno(&name, &oracle, &subject) => {
                    counts_differ = true;
                    Ok(Ok(()))
                }
                Err(_) if is_sign_of_zero(&name, &oracle, &subject) => Ok(Ok(())),
                Ok(()) => self.look_closer(how, connection, args, &oracle, &subject),
                Err(why) => Ok(Err(why)),
            };
            match agreed {
                Ok(Ok(())) => {}
                Ok(Err(why)) => self.differ(&why, connection, args, &oracle, &subject),
                Err(error) => return self.broken("looking closer", args, &error),
            }
            let is_closed = |reply: &Reply| matches!(reply, Reply::Closed);
            if is_closed(&oracle) || is_closed(&subject) || (name == "quit" && !oracle.is_error()) {
                let again = self.oracle.reconnect(connection).and_then(|()| self.subject.reconnect(connection));
                return match again {
                    Ok(()) => true,
                    Err(error) => self.broken("connecting again", args, &error),
                };
            }
        }
        if counts_differ && let Err(error) = self.count_anew() {
            return self.broken("CONFIG RESETSTAT", &step.calls[0], &error);
        }
        true
    }

    /// What was counted up to here cannot be compared any more.
    fn count_anew(&mut self) -> io::Result<()> {
        self.oracle.observer().call(&["CONFIG", "RESETSTAT"])?;
        self.subject.observer().call(&["CONFIG", "RESETSTAT"])?;
        Ok(())
    }

    /// What a reply alone does not show: the rest of a SCAN, and whether a random key exists.
    fn look_closer(
        &mut self,
        how: How,
        connection: usize,
        args: &[Vec<u8>],
        oracle: &Reply,
        subject: &Reply,
    ) -> io::Result<Result<(), String>> {
        let (Reply::Value { value: a, .. }, Reply::Value { value: b, .. }) = (oracle, subject) else {
            return Ok(Ok(()));
        };
        match how {
            // No cursor at all begins, too.
            How::Swept if !a.is_error() && (args[1] == b"0" || args[1].is_empty()) => {
                let a = self.oracle.sweep(connection, args, a)?;
                let b = self.subject.sweep(connection, args, b)?;
                if args.iter().any(|arg| arg.eq_ignore_ascii_case(b"type")) {
                    // Redis counts the keys that it looks at here as hits: nothing to compare, so both begin anew.
                    self.count_anew()?;
                }
                Ok(if a == b {
                    Ok(())
                } else {
                    Err(format!("iterated to the end:\n  oracle:  {a:?}\n  subject: {b:?}"))
                })
            }
            How::Member if !a.is_error() => {
                for key in [a, b].into_iter().filter_map(|value| value.as_bytes()) {
                    if !self.oracle.has_key(connection, key)? || !self.subject.has_key(connection, key)? {
                        return Ok(Err(format!("\"{}\" is not on both sides", key.escape_ascii())));
                    }
                }
                Ok(Ok(()))
            }
            How::KindOfKey if a.is_null() != b.is_null() => {
                let there = |side: &mut Side| side.has_key(connection, &args[2]);
                let (a, b) = (there(&mut self.oracle)?, there(&mut self.subject)?);
                Ok(if a || b { Err("one of them does not find the key".to_string()) } else { Ok(()) })
            }
            How::Counted if a != b => {
                let (a, b) = (self.oracle.count_keys(connection)?, self.subject.count_keys(connection)?);
                Ok(if a == b { Ok(()) } else { Err(format!("KEYS finds {a} on the oracle and {b} on the subject")) })
            }
            _ => Ok(Ok(())),
        }
    }

    /// After a difference that was let pass, the data may differ for the same reason.
    fn compare_states(&mut self) {
        const SHOWN: usize = 20;
        let states = state::read(self.oracle.observer(), self.options.era)
            .and_then(|oracle| state::read(self.subject.observer(), self.options.era).map(|subject| (oracle, subject)));
        let what = match states {
            Ok((oracle, subject)) => match state::difference(&oracle, &subject, SHOWN) {
                None => return,
                Some(lines) => format!("the servers hold different data:\n{lines}"),
            },
            Err(error) => format!("reading the data failed: {error}"),
        };
        let what = format!("{what}\nthe last calls:\n{}", self.last_calls(|_| true, 10));
        self.found("the data", what);
    }

    fn remember(&mut self, connection: usize, args: &[Vec<u8>], reply: &Reply) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let reply = match reply {
            Reply::Value { value, .. } => value.to_string().chars().take(200).collect(),
            Reply::Closed => "(closed)".to_string(),
        };
        self.history.push_back(Past { number: self.calls, connection, args: args.to_vec(), reply });
    }

    fn differ(&mut self, why: &str, connection: usize, args: &[Vec<u8>], oracle: &Reply, subject: &Reply) {
        let mut keys: Vec<Vec<u8>> = args[1..].iter().filter(|arg| is_key(arg)).cloned().collect();
        if args[0].eq_ignore_ascii_case(b"exec") {
            keys.extend(self.watched(connection));
        }
        let is_about = |past: &Past| match past.args[0].to_ascii_lowercase().as_slice() {
            b"flushall" | b"flushdb" | b"swapdb" => true,
            _ => past.args[1..].iter().any(|arg| keys.contains(arg)),
        };
        let about = self.last_calls(is_about, 30);
        let session = self.last_calls(|past| past.connection == connection, 6);
        let what = format!(
            "{why}, to {}\n  oracle:  {oracle}\n  subject: {subject}\n\
             the last calls with these keys (and the oracle's replies):\n{about}\n\
             the last calls of connection {connection}:\n{session}",
            quoted(args)
        );
        self.found(&full_name(args), what);
    }

    /// The keys that a connection has watched, as far as is remembered, since its last EXEC or the like.
    fn watched(&self, connection: usize) -> Vec<Vec<u8>> {
        let own = |past: &&Past| past.connection == connection;
        let ends = |past: &&Past| {
            let name = past.args[0].to_ascii_lowercase();
            let fails = past.reply == "QUEUED" || past.reply.starts_with("(error) ERR");
            fails || !matches!(name.as_slice(), b"exec" | b"discard" | b"unwatch" | b"reset" | b"quit")
        };
        // The last one is the EXEC that is asked about.
        let since = self.history.iter().rev().filter(own).skip(1).take_while(ends);
        let watches = since.filter(|past| past.args[0].eq_ignore_ascii_case(b"watch"));
        watches.flat_map(|past| past.args[1..].to_vec()).collect()
    }

    /// Notes what keeps the run from going on: false.
    fn broken(&mut self, what: &str, args: &[Vec<u8>], error: &io::Error) -> bool {
        let last = self.last_calls(|_| true, 10);
        self.found(what, format!("{what} failed at {}: {error}\nthe last calls:\n{last}", quoted(args)));
        false
    }

    /// Keeps the first difference of each command.
    fn found(&mut self, about: &str, what: String) {
        if !self.differences.found.iter().any(|(earlier, ..)| earlier == about) {
            self.differences.found.push((about.to_string(), self.calls, what));
        }
    }

    /// The last `most` calls that `wanted` chooses, one a line.
    fn last_calls(&self, wanted: impl Fn(&Past) -> bool, most: usize) -> String {
        let mut lines: Vec<String> = self
            .history
            .iter()
            .rev()
            .filter(|past| wanted(past))
            .take(most)
            .map(|past| format!("  {:>7} [{}] {} -> {}", past.number, past.connection, quoted(&past.args), past.reply))
            .collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// A call as it can be typed into redis-cli.
fn quoted(args: &[Vec<u8>]) -> String {
    const SHOWN: usize = 400;
    let mut line = Vec::new();
    for arg in args {
        if !line.is_empty() {
            line.push(b' ');
        }
        let plain = !arg.is_empty() && arg.iter().all(|c| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\'));
        let shown = &arg[..arg.len().min(SHOWN)];
        if plain {
            line.extend_from_slice(shown);
        } else {
            write_quoted(shown, &mut line);
        }
        if arg.len() > SHOWN {
            line.extend_from_slice(format!("…({} bytes)", arg.len()).as_bytes());
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}
