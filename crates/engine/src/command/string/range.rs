//! Parts of a string: GETRANGE and its old name SUBSTR, SETRANGE, APPEND.

use pinyon_base::parse_i64;
use pinyon_resp::Args;

use super::string;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Keyspace, NewValue, Ttl};
use crate::{CommandError, Cx, Effect};

const KEY: Arg = Arg::key("key", 0);
const VALUE: Arg = Arg::new("value", ArgKind::String);
const START_END: &[Arg] = &[KEY, Arg::new("start", ArgKind::Integer), Arg::new("end", ArgKind::Integer)];

pub const APPEND: Command = Command {
    name: "append",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::String,
    since: "2.0.0",
    complexity: "O(1) amortized for short additions, O(N) in the length of what is added.",
    summary: "Adds bytes to the end of the string under a key; without such a key, stores them.",
    args: &[KEY, VALUE],
    handler: Handler::Shard(append),
    ..Command::EMPTY
};

fn append(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let tail = args.get(2);
    let len = match cx.ks.for_write(key) {
        None => {
            cx.ks.put(key, NewValue::Text(tail), Ttl::Clear);
            tail.len()
        }
        Some(value) => {
            let len = string(value)?.len();
            check_length(&cx.ks, len as u64, tail.len())?;
            cx.ks.append(key, tail)
        }
    };
    cx.ks.notify(Events::STRING, "append", key);
    cx.out.int(len as i64);
    Ok(Effect::AsSent { changes: 1 })
}

/// Refuses a string of `size + added` bytes when `proto-max-bulk-len` does not allow one.
fn check_length(ks: &Keyspace<'_>, size: u64, added: usize) -> Result<(), CommandError> {
    match size.checked_add(added as u64) {
        Some(total) if total <= ks.string_bytes_max() => Ok(()),
        _ => Err(CommandError::StringTooLong),
    }
}

pub const SETRANGE: Command = Command {
    name: "setrange",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "2.2.0",
    complexity: "O(1) when the string is short and not made longer, otherwise O(N) in its length and that of the value.",
    summary: "Overwrites part of the string under a key from an offset on; a gap before it is filled with zero bytes.",
    args: &[KEY, Arg::new("offset", ArgKind::Integer), VALUE],
    handler: Handler::Shard(setrange),
    ..Command::EMPTY
};

fn setrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let offset = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let offset = u64::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let key = cx.ks.key(args, 1);
    let value = args.get(3);
    let old_len = match cx.ks.for_write(key) {
        Some(old) => string(old)?.len(),
        None => 0,
    };
    if value.is_empty() {
        cx.out.int(old_len as i64);
        return Ok(Effect::None);
    }
    check_length(&cx.ks, offset, value.len())?;
    let len = cx.ks.set_range(key, offset as usize, value);
    cx.ks.notify(Events::STRING, "setrange", key);
    cx.out.int(len as i64);
    Ok(Effect::AsSent { changes: 1 })
}

pub const GETRANGE: Command = Command {
    name: "getrange",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    since: "2.4.0",
    complexity: "O(N) in the length of the part.",
    summary: "Replies part of the string under a key, both ends included, negative ones counted from its end.",
    args: START_END,
    handler: Handler::Shard(getrange),
    ..Command::EMPTY
};

pub const SUBSTR: Command = Command {
    name: "substr",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(N) in the length of the part.",
    summary: "The old name of GETRANGE.",
    deprecated: Some(("2.0.0", "`GETRANGE`")),
    args: START_END,
    handler: Handler::Shard(getrange),
    ..Command::EMPTY
};

fn getrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let start = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let end = parse_i64(args.get(3)).ok_or(CommandError::NotInteger)?;
    let key = cx.ks.key(args, 1);
    match cx.ks.read(key) {
        None => cx.out.bulk(b""),
        Some(value) => {
            let value = string(value)?;
            let mut digits = [0; 20];
            let bytes = value.as_bytes(&mut digits);
            cx.out.bulk(&bytes[bounds(start, end, bytes.len())]);
        }
    }
    Ok(Effect::None)
}

/// The bytes from `start` to `end`, both included, of a string of `len` bytes; negative numbers count from its end.
fn bounds(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let from_end = |at: i64| if at < 0 { at.saturating_add(len as i64).max(0) } else { at };
    let reversed = start < 0 && end < 0 && start > end;
    let (start, end) = (from_end(start), from_end(end).min(len as i64 - 1));
    if reversed || start > end { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::bounds;
    use crate::Effect;
    use crate::command::trial::Trial;
    use crate::keyspace::ShardConfig;

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn parts() {
        let mut t = Trial::new();
        t.run("set s \"Hello World\"");
        t.run("set n 12345");
        t.expect(&[
            ("getrange s 0 3", "$4 Hell"),
            ("getrange s 0 -1", "$11 Hello World"),
            ("getrange s -4 -1", "$4 orld"),
            ("getrange s 5 3", "$0"),
            ("getrange s -1 -4", "$0"),
            ("getrange s 4 5000", "$7 o World"),
            ("getrange s -5000 10000", "$11 Hello World"),
            ("getrange s 0 -100", "$1 H"),
            ("getrange s -9223372036854775808 9223372036854775807", "$11 Hello World"),
            ("getrange s 9223372036854775807 9223372036854775807", "$0"),
            ("getrange n 1 -2", "$3 234"),
            ("substr n 0 0", "$1 1"),
            ("getrange nokey 0 -1", "$0"),
            ("getrange s x 1", NOT_INTEGER),
            ("getrange nokey 1 x", NOT_INTEGER),
        ]);
    }

    #[test]
    fn bounds_of_the_empty_string() {
        for (start, end) in [(0, -1), (0, 0), (-1, -1), (1, 5), (-1, 0)] {
            assert_eq!(bounds(start, end, 0), 0..0, "{start} {end}");
        }
    }

    #[test]
    fn overwriting() {
        let mut t = Trial::new();
        t.expect(&[
            ("setrange s 0 Hello", ":5"),
            ("setrange s 6 World", ":11"),
            ("get s", "$11 Hello\0World"),
            ("setrange s 0 J", ":11"),
            ("getrange s 0 4", "$5 Jello"),
            ("setrange nokey 5 \"\"", ":0"),
            ("get nokey", "$-1"),
            ("setrange s 100 \"\"", ":11"),
            ("setrange s -1 x", "-ERR offset is out of range"),
            ("setrange s x x", NOT_INTEGER),
            ("setrange s 536870911 ab", TOO_LONG),
            ("setrange s 536870912 \"\"", ":11"),
            ("setrange s 9223372036854775807 x", TOO_LONG),
            ("set n 12345 ex 10", "+OK"),
            ("setrange n 1 x", ":5"),
            ("get n", "$5 1x345"),
        ]);
        assert_eq!(t.left("n"), Some(10_000));
        t.run("setrange n 9 \"\"");
        assert_eq!(t.effect(), Effect::None);
        t.run("setrange n 9 x");
        assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    }

    #[test]
    fn appending() {
        let mut t = Trial::new();
        t.expect(&[
            ("append s \"\"", ":0"),
            ("get s", "$0"),
            ("append s ab", ":2"),
            ("append s cd", ":4"),
            ("get s", "$4 abcd"),
            ("set n 12 px 50", "+OK"),
            ("append n 3", ":3"),
            ("get n", "$3 123"),
        ]);
        assert_eq!(t.left("n"), Some(50));
        assert_eq!(t.effect(), Effect::None);
        t.run("append n \"\"");
        assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    }

    /// A string grows over the length from which on it lives in a block of its own.
    #[test]
    fn growing_long() {
        let mut t = Trial::new();
        let mut expected = String::new();
        for i in 0..30 {
            let piece = char::from(b'a' + i).to_string().repeat(371);
            expected.push_str(&piece);
            assert_eq!(t.run(&format!("append s {piece}")), format!(":{}", expected.len()));
            // What is replied here must not change with the string later.
            assert_eq!(t.run("get s"), format!("${} {expected}", expected.len()));
        }
        assert_eq!(t.run("setrange s 4000 XYZ"), format!(":{}", expected.len()));
        expected.replace_range(4000..4003, "XYZ");
        assert_eq!(t.run("get s"), format!("${} {expected}", expected.len()));
        assert_eq!(t.run("getrange s 3999 4003"), format!("$5 {}", &expected[3999..4004]));
    }

    #[test]
    fn the_longest_string() {
        let mut t = Trial::with(ShardConfig { string_bytes_max: 8, ..ShardConfig::default() });
        t.expect(&[
            ("append s 12345", ":5"),
            ("append s 678", ":8"),
            ("append s 9", TOO_LONG),
            ("append s \"\"", ":8"),
            ("setrange s 7 x", ":8"),
            ("setrange s 7 xy", TOO_LONG),
            ("setrange nokey 8 x", TOO_LONG),
            ("strlen nokey", ":0"),
        ]);
    }
}
