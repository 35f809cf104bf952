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
use allowed::{How, how};
use compare::{Reply, compare};
use generate::{Generator, full_name};
use side::Side;
use vocabulary::is_key;

/// Calls between two comparisons of the whole data.
const CALLS_BETWEEN_STATES: u64 = 5_000;
/// Calls remembered for the report of a difference.
const HISTORY: usize = 5_000;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub seed: u64,
    pub era: Era,
    pub connections: usize,
}

impl Options {
    /// With the seed of `PINYON_SEED`, else one of the process's own.
    pub fn from_env(era: Era) -> Options {
        const CONNECTIONS: usize = 6;
        let seed = number("PINYON_SEED").unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
        });
        Options { seed, era, connections: CONNECTIONS }
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
}

struct Past {
    number: u64,
    connection: usize,
    args: Vec<Vec<u8>>,
    reply: String,
}

/// The first difference of a run, or what ended it. `Display` is the report.
#[derive(Debug)]
pub struct Difference {
    seed: u64,
    /// Calls compared before.
    calls: u64,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        write!(f, "after {} calls; again with PINYON_SEED={}", self.calls, self.seed)
    }
}

impl std::error::Error for Difference {}

impl Differential {
    pub fn new(oracle: &Address, subject: &Address, options: Options) -> io::Result<Differential> {
        Ok(Differential {
            generator: Generator::new(options.seed, options.era),
            oracle: Side::new(oracle.clone(), options.connections)?,
            subject: Side::new(subject.clone(), options.connections)?,
            history: VecDeque::new(),
            calls: 0,
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
    pub fn run(&mut self, calls: u64) -> Result<(), Difference> {
        let end = self.calls + calls;
        let mut next_state = self.calls + CALLS_BETWEEN_STATES;
        while self.calls < end {
            self.step()?;
            if self.calls >= next_state {
                self.compare_states()?;
                next_state = self.calls + CALLS_BETWEEN_STATES;
            }
        }
        self.compare_states()
    }

    fn step(&mut self) -> Result<(), Difference> {
        let step = self.generator.step(self.options.connections);
        let sent = self
            .oracle
            .send(step.connection, &step.calls)
            .and_then(|()| self.subject.send(step.connection, &step.calls));
        if let Err(error) = sent {
            return Err(self.broken("sending", &step.calls[0], &error));
        }
        for (i, args) in step.calls.iter().enumerate() {
            let oracle = match self.oracle.receive(step.connection) {
                Ok(reply) => reply,
                Err(error) => return Err(self.broken("the oracle's reply", args, &error)),
            };
            let subject = match self.subject.receive(step.connection) {
                Ok(reply) => reply,
                Err(error) => return Err(self.broken("the subject's reply", args, &error)),
            };
            self.calls += 1;
            self.remember(step.connection, args, &oracle);
            let name = full_name(args);
            let how = how(&name, args.len());
            if let Err(why) = compare(how, &name, &oracle, &subject) {
                return Err(self.differ(&why, step.connection, args, &oracle, &subject));
            }
            let closed = matches!(oracle, Reply::Closed) || (name == "quit" && !oracle.is_error());
            match self.look_closer(how, step.connection, args, &oracle, &subject) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return Err(self.differ(&why, step.connection, args, &oracle, &subject)),
                Err(error) => return Err(self.broken("looking closer", args, &error)),
            }
            if closed {
                let again =
                    self.oracle.reconnect(step.connection).and_then(|()| self.subject.reconnect(step.connection));
                if let Err(error) = again {
                    return Err(self.broken("connecting again", args, &error));
                }
                if i + 1 < step.calls.len() {
                    break;
                }
            }
        }
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
            How::Swept if !a.is_error() && args[1] == b"0" => {
                let a = self.oracle.sweep(connection, args, a)?;
                let b = self.subject.sweep(connection, args, b)?;
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
            _ => Ok(Ok(())),
        }
    }

    fn compare_states(&mut self) -> Result<(), Difference> {
        const SHOWN: usize = 10;
        let states = state::read(self.oracle.observer())
            .and_then(|oracle| state::read(self.subject.observer()).map(|subject| (oracle, subject)));
        let what = match states {
            Ok((oracle, subject)) => match state::difference(&oracle, &subject, SHOWN) {
                None => return Ok(()),
                Some(lines) => format!("the servers hold different data:\n{lines}"),
            },
            Err(error) => format!("reading the data failed: {error}"),
        };
        let what = format!("{what}\nthe last calls:\n{}", self.last_calls(|_| true, 10));
        Err(self.difference(what))
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

    fn differ(&self, why: &str, connection: usize, args: &[Vec<u8>], oracle: &Reply, subject: &Reply) -> Difference {
        let keys: Vec<&Vec<u8>> = args[1..].iter().filter(|arg| is_key(arg)).collect();
        let about = self.last_calls(|past| past.args[1..].iter().any(|arg| keys.contains(&arg)), 15);
        let session = self.last_calls(|past| past.connection == connection, 6);
        self.difference(format!(
            "{why}, to {}\n  oracle:  {oracle}\n  subject: {subject}\nthe last calls with these keys (and the oracle's replies):\n{about}\n\
             the last calls of connection {connection}:\n{session}",
            quoted(args)
        ))
    }

    fn broken(&self, what: &str, args: &[Vec<u8>], error: &io::Error) -> Difference {
        let last = self.last_calls(|_| true, 10);
        self.difference(format!("{what} failed at {}: {error}\nthe last calls:\n{last}", quoted(args)))
    }

    fn difference(&self, what: String) -> Difference {
        Difference { seed: self.options.seed, calls: self.calls, what }
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
