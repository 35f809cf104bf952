//! For the tests of handlers: one shard, a clock that stands still until told otherwise, and commands as a client types
//! them.

use pinyon_base::{DbIndex, Millis, split_args};
use pinyon_resp::{Args, Output, Proto, Span, Writer};

use crate::command::registry;
use crate::command::row::Handler;
use crate::keyspace::{Shard, ShardConfig};
use crate::record::read::{Op, Reader};
use crate::{Cx, Effect};

/// A moment like any other: 2023-11-14.
pub(crate) const START: Millis = Millis(1_700_000_000_000);

/// The arguments of one command, in memory of their own.
pub(crate) struct Owned {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Owned {
    pub(crate) fn of<A: AsRef<[u8]>>(args: &[A]) -> Owned {
        let mut owned = Owned { bytes: Vec::new(), spans: Vec::new() };
        for arg in args {
            let (start, len) = (owned.bytes.len() as u32, arg.as_ref().len() as u32);
            owned.spans.push(Span { start, len });
            owned.bytes.extend_from_slice(arg.as_ref());
        }
        owned
    }

    pub(crate) fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }
}

pub(crate) struct Trial {
    pub(crate) shard: Shard,
    pub(crate) proto: Proto,
    now: Millis,
    effect: Effect,
    recorded: Vec<String>,
}

impl Trial {
    pub(crate) fn new() -> Trial {
        Trial::with(ShardConfig::default())
    }

    pub(crate) fn with(config: ShardConfig) -> Trial {
        let mut shard = Shard::new(config);
        shard.begin_turn(START);
        shard.set_journal(true);
        Trial { shard, proto: Proto::Resp2, now: START, effect: Effect::None, recorded: Vec::new() }
    }

    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        self.shard.begin_turn(self.now);
    }

    /// Runs a command written as for redis-cli; the reply's bytes, with line ends as spaces.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let args = split_args(line.as_bytes()).expect("balanced quotes");
        let reply = self.run_args(Owned::of(&args).args());
        String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_owned()
    }

    /// Runs a command; the reply's bytes.
    pub(crate) fn run_args(&mut self, args: Args<'_>) -> Vec<u8> {
        let mut id = registry().find(args.get(0)).expect("a command");
        if let Handler::Container = registry().row(id).handler {
            id = registry().find_sub(id, args.get(1)).expect("a subcommand");
        }
        assert!(registry().entry(id).arity_ok(args.len()), "arity is the dispatcher's business");
        let (Handler::Shard(handler) | Handler::Spread(_, handler)) = registry().row(id).handler else {
            panic!("{} has no handler on a shard", registry().full_name(id));
        };
        self.shard.journal_mut().clear();
        let mut output = Output::default();
        let mut cx =
            Cx { ks: self.shard.keyspace(DbIndex(0), false), out: Writer { out: &mut output, proto: self.proto } };
        let error = match handler(&mut cx, args) {
            Ok(effect) => {
                self.effect = effect;
                None
            }
            Err(error) => {
                assert!(output.is_empty(), "an error comes before the reply");
                self.effect = Effect::None;
                Some(format!("-{error}\r\n").into_bytes())
            }
        };
        self.recorded = recorded(self.shard.journal().operations());
        error.unwrap_or_else(|| output.pieces().collect::<Vec<_>>().concat())
    }

    /// The canonical commands that were recorded while the last command ran.
    pub(crate) fn recorded(&self) -> &[String] {
        &self.recorded
    }

    /// The keyspace events since the last call: what has happened, and the key with its database unless that is 0.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        self.shard.take_events(|db, event, key| {
            let db = if db == DbIndex(0) { String::new() } else { format!("@{}", db.0) };
            events.push(format!("{event} {}{db}", String::from_utf8_lossy(key)));
        });
        events
    }

    /// The key's deadline in milliseconds from now: none without one.
    pub(crate) fn left(&mut self, key: &str) -> Option<i64> {
        let mut ks = self.shard.keyspace(DbIndex(0), true);
        let key = ks.key_of(key.as_bytes());
        ks.deadline(key).flatten().map(|at| at.0 - self.now.0)
    }

    /// What OBJECT ENCODING answers of a key that is there.
    pub(crate) fn encoding(&mut self, key: &str) -> &'static str {
        let mut ks = self.shard.keyspace(DbIndex(0), true);
        let key = ks.key_of(key.as_bytes());
        ks.peek(key).expect("the key is there").encoding()
    }

    /// The effect of the last command.
    pub(crate) fn effect(&self) -> Effect {
        self.effect
    }

    /// Asserts the reply to each command in turn.
    pub(crate) fn expect(&mut self, script: &[(&str, &str)]) {
        for (command, reply) in script {
            assert_eq!(self.run(command), *reply, "{command}");
        }
    }
}

/// The commands of a record, and its deletions as DEL.
fn recorded(operations: &[u8]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut reader, mut commands) = (Reader::new(operations), Vec::new());
    while let Some((_, op)) = reader.op().expect("whole operations") {
        match op {
            Op::Delete { key } => commands.push(format!("DEL {}", text(key))),
            Op::Command { count } => {
                let args: Vec<String> = (0..count).map(|_| text(reader.bytes().expect("an argument"))).collect();
                commands.push(args.join(" "));
            }
            other => commands.push(format!("{other:?}")),
        }
    }
    commands
}
