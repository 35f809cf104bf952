//! A shard and its clock for the tests of this group: commands as text in, replies as text out.

use pinyon_base::{DbIndex, Millis};
use pinyon_resp::{Args, Output, Proto, Span, Writer};

use crate::command::registry::{arity_ok, registry};
use crate::command::row::Handler;
use crate::keyspace::{EvictionPolicy, NewValue, Shard, ShardConfig, Ttl};
use crate::{Cx, Effect};

/// When every trial begins, in Unix ms.
pub const START: i64 = 1_700_000_000_000;

pub struct Trial {
    shard: Shard,
    config: ShardConfig,
    db: DbIndex,
    now: i64,
    effect: Effect,
    pub no_touch: bool,
}

impl Trial {
    pub fn new() -> Trial {
        let config = ShardConfig::default();
        let mut shard = Shard::new(config.clone());
        shard.begin_turn(Millis(START));
        Trial { shard, config, db: DbIndex(0), now: START, effect: Effect::None, no_touch: false }
    }

    pub fn shard(&mut self) -> &mut Shard {
        &mut self.shard
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn advance(&mut self, millis: i64) {
        self.now += millis;
        self.shard.begin_turn(Millis(self.now));
    }

    pub fn select(&mut self, db: u16) {
        self.db = DbIndex(db);
    }

    pub fn policy(&mut self, policy: EvictionPolicy) {
        self.config.policy = policy;
        self.shard.reconfigure(&self.config);
    }

    pub fn reset_stats(&mut self) {
        self.shard.reset_stats();
    }

    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.shard.stats().hits, self.shard.stats().misses)
    }

    /// What the last command changed.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Stores a string without a deadline.
    pub fn set(&mut self, key: &str, value: &str) {
        let mut ks = self.shard.keyspace(self.db, false);
        let key = ks.key_of(key.as_bytes());
        ks.put(key, NewValue::Text(value.as_bytes()), Ttl::Clear);
    }

    pub fn get(&mut self, key: &str) -> Option<String> {
        let mut ks = self.shard.keyspace(self.db, false);
        let key = ks.key_of(key.as_bytes());
        ks.peek(key).map(|value| String::from_utf8(value.to_vec()).expect("text"))
    }

    /// Calls `f` with the words of `line` as arguments.
    pub fn with_args<T>(&self, line: &str, f: impl FnOnce(Args<'_>) -> T) -> T {
        with_args(line, f)
    }

    /// Runs a command of this shard and returns its reply without the last line end.
    pub fn run(&mut self, line: &str) -> String {
        let mut words = line.split(' ');
        let mut id = registry().find(words.next().expect("a name").as_bytes()).expect("a command");
        if let Handler::Container = registry().row(id).handler {
            id = registry().find_sub(id, words.next().expect("a subcommand").as_bytes()).expect("a subcommand");
        }
        let row = registry().row(id);
        let (Handler::Shard(handler) | Handler::Spread(_, handler)) = row.handler else {
            panic!("{line} is not carried out by a shard");
        };
        let mut out = Output::default();
        let mut cx =
            Cx { ks: self.shard.keyspace(self.db, self.no_touch), out: Writer { out: &mut out, proto: Proto::Resp2 } };
        let result = with_args(line, |args| {
            assert!(arity_ok(row, args.len()), "{line}: wrong number of arguments");
            handler(&mut cx, args)
        });
        self.effect = match result {
            Ok(effect) => effect,
            Err(error) => {
                assert!(cx.out.out.is_empty(), "{line}: an error after a reply");
                error.write(&mut cx.out);
                Effect::None
            }
        };
        let reply = out.pieces().collect::<Vec<_>>().concat();
        let reply = String::from_utf8(reply).expect("text");
        reply.strip_suffix("\r\n").expect("a whole reply").to_owned()
    }
}

fn with_args<T>(line: &str, f: impl FnOnce(Args<'_>) -> T) -> T {
    let mut spans = Vec::new();
    let mut start = 0;
    for word in line.split(' ') {
        spans.push(Span { start, len: word.len() as u32 });
        start += word.len() as u32 + 1;
    }
    f(Args { bytes: line.as_bytes(), spans: &spans })
}
