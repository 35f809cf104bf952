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

use crate::keyspace::Keyspace;
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
mod tests {
    use pinyon_base::DbIndex;
    use pinyon_resp::Writer;

    use super::*;
    use crate::command::registry;
    use crate::command::trial::{Owned, Trial};

    /// Runs a command in pieces: its reply, and how many there were.
    fn in_pieces(t: &mut Trial, line: &str) -> (String, Effect, usize) {
        let words: Vec<&str> = line.split(' ').collect();
        let owned = Owned::of(&words);
        let id = registry().find(words[0].as_bytes()).expect("a command");
        let long = registry().row(id).long.expect("it has pieces");
        assert!((long.is)(&mut t.shard.keyspace(DbIndex(0), true), owned.args()), "{line}: not big");
        let (mut work, mut output, mut pieces) = ((long.work)(), Output::default(), 1);
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

    fn filled() -> Trial {
        let mut t = Trial::new();
        for i in 0..1200 {
            t.run(&format!("sadd big m{i}"));
            t.run(&format!("sadd more m{}", i + 600));
            t.run(&format!("sadd numbers {}", i * 3));
            t.run(&format!("hset hash f{i} v{i}"));
            t.run(&format!("rpush list e{i}"));
            t.run(&format!("zadd ranking {} m{i}", i % 7));
            t.run(&format!("zadd scores {} m{}", i as f64 / 4.0, i + 300));
        }
        t.run(&format!("set bits {}", "ab\0cd".repeat(1000)));
        t.run(&format!("set bits2 {}", "xyz".repeat(500)));
        t.run("setbit bits 100000 1");
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
        ];
        for (line, more_than) in commands {
            let (mut plain, mut pieced) = (filled(), filled());
            let expected = plain.run(line);
            let (reply, effect, pieces) = in_pieces(&mut pieced, line);
            assert_eq!(sorted(&reply), sorted(&expected), "{line}");
            assert_eq!(effect, plain.effect(), "{line}");
            assert!(pieces > more_than, "{line}: {pieces} pieces");
            for look in ["smembers big", "smembers to", "zrange to 0 -1 withscores", "get to", "object encoding to"] {
                assert_eq!(sorted(&pieced.run(look)), sorted(&plain.run(look)), "{look} after {line}");
            }
        }
    }
}
