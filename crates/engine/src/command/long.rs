//! Commands on values so big that they would hold up all others: they are carried out in pieces.
//!
//! A row with a [`Long`] has, beside its handler, the same command as [`Work`]: a state that is asked for one piece after the
//! other, some 100 µs each, until it gives the effect. Between two pieces other commands run on the shard; whoever calls this
//! holds the command's keys all the while, so that nothing that it reads or writes changes under it.
//!
//! The first piece does what the handler does first: it reads the keys, which counts and touches them, and says what is wrong
//! with them or with the arguments. Later ones look at the keys without a trace ([`Keyspace::seen_as`]).

use pinyon_resp::{Args, Output};
use pinyon_values::Collection;

use super::registry::{CommandId, Entry, registry};
use super::row::Handler;
use crate::keyspace::Keyspace;
use crate::transaction::each_intent;
use crate::{CommandError, Cx, Effect};

/// A command in pieces: none when more are to come. What it replies is written as it goes on.
pub type Work = Box<dyn FnMut(&mut Cx<'_>, Args<'_>) -> Result<Option<Effect>, CommandError> + Send>;

/// The pieces of a command.
#[derive(Clone, Copy)]
pub struct Long {
    /// Whether the values are so big that it should be carried out in pieces. Whatever it says, both ways do the same.
    pub is: fn(&mut Keyspace<'_>, Args<'_>) -> bool,
    pub work: fn() -> Work,
}

/// How a command is carried out in pieces.
#[derive(Clone, Copy)]
pub enum Pieces {
    Long(Long),
    /// Many fields of a hash may be due: they go in pieces before the command.
    Fading(&'static Entry),
}

impl Pieces {
    /// The pieces of a command, if its values are so big that it should be carried out in them.
    #[inline]
    pub fn of(ks: &mut Keyspace<'_>, command: CommandId, args: Args<'_>) -> Option<Pieces> {
        let entry = registry().entry(command);
        if ks.has_fading() && has_fading(ks, entry, args) {
            return Some(Pieces::Fading(entry));
        }
        let long = entry.row.long?;
        (long.is)(ks, args).then_some(Pieces::Long(long))
    }

    pub fn work(self) -> Work {
        match self {
            Pieces::Long(long) => (long.work)(),
            Pieces::Fading(entry) => behind_fading(entry),
        }
    }
}

/// Whether a key of the command has a big hash of which fields are due.
fn has_fading(ks: &Keyspace<'_>, entry: &Entry, args: Args<'_>) -> bool {
    let mut found = false;
    let is_of_shard = matches!(entry.row.handler, Handler::Shard(_) | Handler::Spread(..));
    if is_of_shard {
        each_intent(entry, args, |at, _| found = found || ks.is_fading(ks.key_of(args.get(at)), ELEMENTS_MIN));
    }
    found
}

/// The command itself, whole or in pieces, behind the fields that are due.
fn behind_fading(entry: &'static Entry) -> Work {
    let mut begun: Option<Work> = None;
    Box::new(move |cx, args| {
        if let Some(work) = &mut begun {
            return work(cx, args);
        }
        let mut more = false;
        each_intent(entry, args, |at, _| {
            let key = cx.ks.key_of(args.get(at));
            more = more || cx.ks.fade_some(key, ELEMENTS_PER_PIECE);
        });
        if more {
            return Ok(None);
        }
        match (entry.row.long, entry.row.handler) {
            (Some(long), _) if (long.is)(&mut cx.ks, args) => begun.insert((long.work)())(cx, args),
            (_, Handler::Shard(handler) | Handler::Spread(_, handler)) => handler(cx, args).map(Some),
            _ => unreachable!("it has keys on a shard"),
        }
    })
}

/// Values with at least so many elements are big: what is done with fewer takes some hundred microseconds at most.
pub const ELEMENTS_MIN: usize = if cfg!(debug_assertions) { 300 } else { 2000 };
/// Elements read in a piece, one after the other.
pub(super) const ELEMENTS_PER_PIECE: usize = 512;
/// Elements looked up or put into another collection in a piece.
pub(super) const LOOKUPS_PER_PIECE: usize = 128;
/// Strings of at least so many bytes are big.
pub(super) const BYTES_MIN: usize = if cfg!(debug_assertions) { 1 << 10 } else { 256 << 10 };
/// Bytes of a string worked on in a piece.
pub(super) const BYTES_PER_PIECE: usize = if cfg!(debug_assertions) { 256 } else { 128 << 10 };

/// What is in a reply by now is set aside in blocks of this size: a buffer that grows is copied.
const SEAL_BYTES: usize = 64 << 10;

/// To be called between pieces.
pub fn seal(reply: &mut Output) {
    if reply.open_bytes() >= SEAL_BYTES {
        reply.seal();
    }
}

/// Elements of the collections under some keys; those of a key of another type are not counted.
pub(super) fn elements(ks: &mut Keyspace<'_>, keys: Args<'_>) -> usize {
    keys.iter().map(|key| elements_of(ks, key)).sum()
}

/// Elements of the collection under a key.
pub(super) fn elements_of(ks: &Keyspace<'_>, key: &[u8]) -> usize {
    ks.seen_elements(ks.key_of(key)) as usize
}

/// Whether the first argument names a big collection.
pub(super) fn is_first_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    elements_of(ks, args.get(1)) >= ELEMENTS_MIN
}

/// Lets go of a collection that is not needed any more, in slices.
pub(super) fn discard(ks: &mut Keyspace<'_>, collection: Collection) {
    ks.discard(collection);
}

#[cfg(test)]
pub(super) mod tests {
    use pinyon_base::DbIndex;
    use pinyon_resp::Writer;

    use super::*;
    use crate::command::trial::{Owned, Trial};
    use crate::keyspace::{EvictionPolicy, ShardConfig};

    fn long_of(words: &[&str]) -> Long {
        let id = registry().find(words[0].as_bytes()).expect("a command");
        registry().row(id).long.expect("it has pieces")
    }

    /// Runs a command in pieces, as it should be: its reply, its effect, and how many there were.
    pub(in crate::command) fn in_pieces(t: &mut Trial, line: &str) -> (String, Effect, usize) {
        let words: Vec<&str> = line.split(' ').collect();
        let is_big = (long_of(&words).is)(&mut t.shard.keyspace(DbIndex(0), true), Owned::of(&words).args());
        assert!(is_big, "{line}: not big");
        run_pieces(t, line)
    }

    /// As [`in_pieces`], however big its values.
    pub(in crate::command) fn run_pieces(t: &mut Trial, line: &str) -> (String, Effect, usize) {
        let words: Vec<&str> = line.split(' ').collect();
        run_work(t, &Owned::of(&words), (long_of(&words).work)())
    }

    fn run_work(t: &mut Trial, owned: &Owned, mut work: Work) -> (String, Effect, usize) {
        let (mut output, mut pieces) = (Output::default(), 1);
        let done = loop {
            let mut cx =
                Cx { ks: t.shard.keyspace(DbIndex(0), false), out: Writer { out: &mut output, proto: t.proto } };
            match work(&mut cx, owned.args()) {
                Ok(None) => pieces += 1,
                Ok(Some(effect)) => break Ok(effect),
                Err(error) => break Err(error),
            }
            output.seal();
        };
        let reply = match done {
            Ok(_) => output.pieces().collect::<Vec<_>>().concat(),
            Err(ref error) => format!("-{error}\r\n").into_bytes(),
        };
        let reply = String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_owned();
        (reply, done.unwrap_or(Effect::None), pieces)
    }

    /// With elements that begin with this a list has more than one node.
    const LONG: &str = "........................................................................";

    fn filled() -> Trial {
        let mut t = Trial::new();
        for i in 0..1200 {
            t.run(&format!("sadd big m{i}"));
            t.run(&format!("sadd more m{}", i + 600));
            t.run(&format!("sadd numbers {}", i * 3));
            t.run(&format!("hset hash f{i} v{i}"));
            t.run(&format!("rpush list e{i}"));
            t.run(&format!("rpush mixed {} {}", i * 7 % 1200, i % 10));
            t.run(&format!("zadd numbered {} {}", i % 7, i * 11 % 1200));
            t.run(&format!("zadd ranking {} m{i}", i % 7));
            t.run(&format!("zadd scores {} m{}", i as f64 / 4.0, i + 300));
            t.run(&format!("zadd alike 0 m{i}"));
            t.run(&format!("xadd stream {}-1 name v{i} number {i}", i + 1));
        }
        let repeated: Vec<String> = (0..1200).map(|i| format!("{}{LONG}", i % 7)).collect();
        t.run(&format!("rpush repeated {} last", repeated.join(" ")));
        t.run(&format!("rpush same{}", format!(" {LONG}").repeat(1200)));
        t.run(&format!("set bits {}", "ab\0cd".repeat(1000)));
        t.run(&format!("set bits2 {}", "xyz".repeat(500)));
        t.run("setbit bits 100000 1");
        t.run("rpush bad 1");
        t.run("sort mixed store bad");
        t.run("rpush bad x");
        t.run("set text v");
        t.run("sadd few m7 m8 x");
        t.run("set due v px 1");
        t
    }

    /// Words of an unordered reply in order.
    fn sorted(reply: &str) -> Vec<&str> {
        let mut words: Vec<&str> = reply.split(' ').collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn both_ways_do_the_same() {
        let commands = [
            ("smembers big", 1),
            ("smembers numbers", 1),
            ("hgetall hash", 1),
            ("hkeys hash", 1),
            ("hvals hash", 1),
            ("lrange list 0 -1", 2),
            ("lrange list 100 -200", 1),
            ("sunion big more few absent", 5),
            ("sinter more big", 5),
            ("sinter big few", 1),
            ("sinter big absent", 1),
            ("sdiff big more", 5),
            ("sdiff absent big", 1),
            ("sunionstore to big more numbers", 5),
            ("sinterstore to big more", 5),
            ("sdiffstore to big more few", 5),
            ("sinterstore to big absent", 1),
            ("sunionstore big big more", 5),
            ("sunion big text", 0),
            ("zunion 2 ranking scores withscores", 5),
            ("zinter 3 ranking scores big weights 2 1 0.5 aggregate max withscores", 5),
            ("zdiff 2 ranking scores", 5),
            ("zunionstore to 3 ranking scores big aggregate min", 5),
            ("zinterstore to 2 ranking scores", 5),
            ("zdiffstore to 2 scores ranking", 5),
            ("zunionstore to 2 ranking text", 0),
            ("zunionstore to 2 ranking scores weights 1", 0),
            ("bitcount bits", 5),
            ("bitcount bits 7 -9 bit", 5),
            ("bitcount bits -1 -5", 0),
            ("bitcount bits x y", 0),
            ("bitop and to bits bits2", 5),
            ("bitop not to bits", 5),
            ("bitop xor to bits bits2 absent text", 5),
            ("bitop not to bits bits2", 0),
            ("sort mixed", 40),
            ("sort_ro mixed desc", 40),
            ("sort list alpha", 20),
            ("sort numbers limit 100 500", 10),
            ("sort big alpha desc limit 1100 500", 5),
            ("sort numbered limit 5000 2", 5),
            ("sort ranking by nosort desc", 5),
            ("sort big by nosort", 5),
            ("sort big by nosort limit 900 5000", 5),
            ("sort mixed get # get # limit 3 50", 10),
            ("sort mixed store to", 40),
            ("sort numbered desc limit 10 700 store few", 10),
            ("sort mixed alpha get # get # store mixed", 40),
            ("sort list by nosort desc store to", 5),
            ("sort big by nosort store to", 10),
            ("sort mixed limit 9999 1 store to", 5),
            ("sort mixed limit 9999 1 store text", 5),
            ("sort bad", 5),
            ("sort bad store text", 5),
            ("sort bad alpha", 40),
            ("sort hash", 0),
        ];
        for (line, more_than) in commands {
            let (mut plain, mut pieced) = (filled(), filled());
            let expected = plain.run(line);
            let (reply, effect, pieces) = in_pieces(&mut pieced, line);
            assert_eq!(sorted(&reply), sorted(&expected), "{line}");
            assert_eq!(effect, plain.effect(), "{line}");
            assert!(pieces > more_than, "{line}: {pieces} pieces");
            let looks = ["smembers big", "smembers to", "zrange to 0 -1 withscores", "get to", "object encoding to"];
            let lists = ["lrange to 0 -1", "lrange few 0 -1", "lrange mixed 0 -1", "exists to text"];
            for look in looks.into_iter().chain(lists) {
                assert_eq!(sorted(&pieced.run(look)), sorted(&plain.run(look)), "{look} after {line}");
            }
        }
    }

    fn both_ways_do_the_same_in_order(commands: &[(String, usize)], looks: &[&str]) {
        for (line, more_than) in commands {
            let (mut plain, mut pieced) = (filled(), filled());
            let expected = plain.run(line);
            let (reply, effect, pieces) = in_pieces(&mut pieced, line);
            assert!(reply == expected, "{line}: {reply:.200} and not {expected:.200}");
            assert_eq!(effect, plain.effect(), "{line}");
            assert!(pieces > *more_than, "{line}: {pieces} pieces");
            let [plain_stats, pieced_stats] = [&plain, &pieced].map(|t| (t.shard.stats().hits, t.shard.stats().misses));
            assert_eq!(pieced_stats, plain_stats, "{line}");
            for look in looks {
                assert!(pieced.run(look) == plain.run(look), "{look} after {line}");
            }
        }
    }

    #[test]
    fn lists_change_both_ways() {
        let commands = [
            (format!("lrem repeated 0 3{LONG}"), 5),
            (format!("lrem repeated 5 3{LONG}"), 0),
            (format!("lrem repeated 150 3{LONG}"), 5),
            (format!("lrem repeated -5 3{LONG}"), 0),
            (format!("lrem repeated -150 3{LONG}"), 5),
            (format!("lrem repeated -9223372036854775808 3{LONG}"), 5),
            ("lrem repeated 0 absent".into(), 5),
            ("lrem repeated -1 last".into(), 0),
            (format!("lrem repeated x 3{LONG}"), 0),
            (format!("lrem same 0 {LONG}"), 5),
            (format!("lrem same 1199 {LONG}"), 5),
            (format!("lrem same -1200 {LONG}"), 5),
            ("lrem big 0 m1".into(), 0),
            ("ltrim repeated 300 -301".into(), 5),
            ("ltrim repeated 0 3".into(), 5),
            ("ltrim repeated -3 -1".into(), 5),
            ("ltrim repeated 5 1".into(), 5),
            ("ltrim same 2000 3000".into(), 5),
            ("ltrim big 400 -1".into(), 0),
            ("linsert repeated before last new".into(), 5),
            ("linsert repeated AFTER last new".into(), 5),
            (format!("linsert repeated after 0{LONG} new"), 0),
            ("linsert repeated before absent new".into(), 5),
            ("linsert repeated beside last new".into(), 0),
            ("linsert big before m1 new".into(), 0),
        ];
        let looks = [
            "lrange repeated 0 -1",
            "lrange same 0 -1",
            "exists same repeated",
            "object encoding repeated",
            "scard big",
        ];
        both_ways_do_the_same_in_order(&commands, &looks);
    }

    #[test]
    fn lists_are_searched_both_ways() {
        let commands = [
            (format!("lpos repeated 3{LONG}"), 0),
            ("lpos repeated last".into(), 5),
            ("lpos repeated last rank -1".into(), 0),
            ("lpos repeated absent".into(), 5),
            ("lpos repeated absent count 3".into(), 5),
            (format!("lpos repeated 3{LONG} count 0"), 5),
            (format!("lpos repeated 3{LONG} rank -2 count 7"), 0),
            (format!("lpos repeated 3{LONG} rank -1 count 0"), 5),
            (format!("lpos repeated 3{LONG} rank 100"), 5),
            (format!("lpos repeated 3{LONG} rank -100"), 5),
            (format!("lpos repeated 3{LONG} rank 1000"), 5),
            (format!("lpos repeated 3{LONG} count 0 maxlen 997"), 5),
            (format!("lpos repeated 3{LONG} rank -3 count 0 maxlen 994"), 5),
            (format!("lpos repeated 3{LONG} count 170 rank 2"), 5),
            ("lpos big m1 count 0".into(), 0),
        ];
        both_ways_do_the_same_in_order(&commands, &[]);
    }

    #[test]
    fn streams_are_read_both_ways() {
        let commands = [
            ("xrange stream - +", 4),
            ("xrange stream (5-1 + count 700", 2),
            ("xrange stream 7 1100-1", 4),
            ("xrange stream 7 (1100-1 count 512", 1),
            ("xrange stream - + count 5000", 4),
            ("xrevrange stream + -", 4),
            ("xrevrange stream 1100 (3-1 count 333", 1),
            ("xrevrange stream (1100-1 3", 4),
        ];
        let commands = commands.map(|(line, more_than)| (line.to_owned(), more_than));
        both_ways_do_the_same_in_order(&commands, &[]);
    }

    #[test]
    fn ranges_of_sorted_sets_both_ways() {
        let commands = [
            ("zrange ranking 0 -1", 2),
            ("zrange ranking -5000 -100 rev withscores", 1),
            ("zrange scores (3 280 byscore limit 10 1000 withscores", 1),
            ("zrevrange ranking 20 1100", 1),
            ("zrangebyscore ranking 1 (6 withscores", 1),
            ("zrevrangebyscore ranking +inf -inf limit 1 -1", 1),
            ("zrangebylex alike - +", 2),
            ("zrevrangebylex alike [m900 (m", 1),
            ("zrangestore to ranking 0 -1", 5),
            ("zrangestore ranking ranking 100 900 rev", 5),
            ("zremrangebyrank ranking 100 -101", 3),
            ("zremrangebyrank ranking 0 -1", 3),
            ("zremrangebyscore scores 10 (280", 3),
            ("zremrangebylex alike [m1 [m8", 2),
        ];
        let commands = commands.map(|(line, more_than)| (line.to_owned(), more_than));
        let looks = [
            "zrange to 0 -1 withscores",
            "zrange ranking 0 -1 withscores",
            "zrange scores 0 -1 withscores",
            "zrange alike 0 -1",
            "exists ranking alike to",
            "object encoding to",
        ];
        both_ways_do_the_same_in_order(&commands, &looks);
    }

    /// Fields that are due go in pieces before the command, which may be in pieces itself.
    #[test]
    fn due_fields_go_first() {
        let fading = || {
            let mut t = filled();
            let fields: Vec<String> = (0..1100).map(|i| format!("f{i}")).collect();
            t.run(&format!("hpexpire hash 5 fields 1100 {}", fields.join(" ")));
            t.run("hpexpire hash 7 fields 1 f1199");
            t.run("copy hash all");
            t.run(&format!("hdel all {}", (1100..1200).map(|i| format!("f{i}")).collect::<Vec<_>>().join(" ")));
            t.run("expire list 1");
            t
        };
        let lines = [
            ("hlen hash", 5, 2),
            ("hgetall hash", 5, 2),
            ("hget hash f3", 6, 2),
            ("hset hash f3 new f1150 newer", 6, 2),
            ("exists list hash", 5, 2),
            ("exists all", 5, 2),
            ("hlen all", 6, 2),
            ("hset all f1 v", 5, 2),
            ("rename hash to", 5, 2),
            ("del hash", 7, 2),
            ("type hash", 5, 2),
            ("get hash", 5, 2),
            ("hgetall hash", 4, 0),
            ("hlen list", 5, 0),
        ];
        for (line, ms, more_than) in lines {
            let (mut plain, mut pieced) = (fading(), fading());
            plain.advance(ms);
            pieced.advance(ms);
            let words: Vec<&str> = line.split(' ').collect();
            let (owned, id) = (Owned::of(&words), registry().find(words[0].as_bytes()).expect("a command"));
            let pieces = Pieces::of(&mut pieced.shard.keyspace(DbIndex(0), true), id, owned.args());
            assert_eq!(matches!(pieces, Some(Pieces::Fading(_))), more_than > 0, "{line}");
            let Some(pieces) = pieces else { continue };
            let expected = plain.run(line);
            let (reply, effect, count) = run_work(&mut pieced, &owned, pieces.work());
            assert_eq!((sorted(&reply), effect), (sorted(&expected), plain.effect()), "{line}");
            assert!(count > more_than, "{line}: {count} pieces");
            for look in ["hgetall hash", "hgetall to", "exists list", "exists hash", "exists all"] {
                assert_eq!(sorted(&pieced.run(look)), sorted(&plain.run(look)), "{look} after {line}");
            }
            assert_eq!(pieced.shard.stats().expired_fields, plain.shard.stats().expired_fields, "{line}");
        }
    }

    /// The first piece touches the key, as the handler does, and no other: LFU would count each.
    #[test]
    fn one_command_is_one_access() {
        let mut t = filled();
        t.shard.reconfigure(&ShardConfig {
            policy: EvictionPolicy::AllkeysLfu,
            lfu_log_factor: 0,
            lfu_decay_time: 0,
            ..ShardConfig::default()
        });
        for (of, line) in
            [("ranking", "zremrangebyrank to 1 -2"), ("same", "lrem to 0 absent"), ("same", "ltrim to 600 700")]
        {
            t.run(&format!("copy {of} to replace"));
            let before = t.run("object freq to");
            let (_, _, pieces) = in_pieces(&mut t, line);
            assert!(pieces > 3, "{line}: {pieces} pieces");
            assert_eq!((before, t.run("object freq to")), (":5".into(), ":6".into()), "{line}");
        }
    }

    #[test]
    fn what_looks_at_little_is_done_at_once() {
        let lines = [
            "lrem few 0 m7",
            "lrem absent 0 m7",
            "lpos repeated last maxlen 50",
            "lpos repeated last rank 0",
            "ltrim repeated 0 -1",
            "ltrim repeated 100 -100",
            "ltrim repeated a b",
            "xrange stream - + count 20",
            "xrange stream 305 360",
            "xrange stream 9 8",
            "xrange stream x +",
            "xrevrange stream 360 305",
            "xrevrange stream + - count x",
            "xrange big - +",
            "zrangestore to big 0 -1",
            "zremrangebyrank big 0 -1",
            "zrange big 0 -1",
            "zrange ranking 0 100",
            "zrange ranking -100 -1",
            "zrange ranking 0 -1000",
            "zrange ranking x 1000",
            "zrange ranking 0 -1 byscore",
            "zrange ranking 0 6 byscore limit 0 200",
            "zrangebyscore ranking 2 (3",
            "zrevrangebylex alike (m2 (m11",
            "zrangestore to ranking 7 80",
            "zremrangebyrank ranking 0 80",
            "zremrangebyscore ranking 1 1",
            "zremrangebyscore ranking 1 x",
        ];
        let mut t = filled();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let id = registry().find(words[0].as_bytes()).expect("a command");
            let long = registry().row(id).long.expect("it has pieces");
            let owned = Owned::of(&words);
            assert!(!(long.is)(&mut t.shard.keyspace(DbIndex(0), true), owned.args()), "{line}");
        }
    }
}
