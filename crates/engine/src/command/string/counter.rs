//! Strings that are numbers: INCR, DECR, INCRBY, DECRBY and INCRBYFLOAT.
//!
//! The deadline stays. Integers are 64 bits; INCRBYFLOAT computes with the 80-bit floats of x87, as Redis does on the
//! processors it is mostly run on, so that its digits are the same everywhere.

use pinyon_base::{Extended, parse_i64};
use pinyon_resp::Args;

use super::string;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, NewValue, Ttl};
use crate::{CommandError, Cx, Effect};

const KEY: Arg = Arg::key("key", 0);
const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub const INCR: Command = Command {
    name: "incr",
    arity: 2,
    flags: FLAGS,
    categories: Categories::STRING,
    keys: KEYS,
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Adds one to the integer under a key; a missing key counts as 0.",
    args: &[KEY],
    handler: Handler::Shard(incr),
    ..Command::EMPTY
};

fn incr(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    add(cx, args, 1)
}

pub const DECR: Command = Command {
    name: "decr",
    arity: 2,
    flags: FLAGS,
    categories: Categories::STRING,
    keys: KEYS,
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Subtracts one from the integer under a key; a missing key counts as 0.",
    args: &[KEY],
    handler: Handler::Shard(decr),
    ..Command::EMPTY
};

fn decr(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    add(cx, args, -1)
}

pub const INCRBY: Command = Command {
    name: "incrby",
    arity: 3,
    flags: FLAGS,
    categories: Categories::STRING,
    keys: KEYS,
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Adds an integer to the one under a key; a missing key counts as 0.",
    args: &[KEY, Arg::new("increment", ArgKind::Integer)],
    handler: Handler::Shard(incrby),
    ..Command::EMPTY
};

fn incrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let by = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    add(cx, args, by)
}

pub const DECRBY: Command = Command {
    name: "decrby",
    arity: 3,
    flags: FLAGS,
    categories: Categories::STRING,
    keys: KEYS,
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Subtracts an integer from the one under a key; a missing key counts as 0.",
    args: &[KEY, Arg::new("decrement", ArgKind::Integer)],
    handler: Handler::Shard(decrby),
    ..Command::EMPTY
};

fn decrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let by = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let by = by.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    add(cx, args, by)
}

#[inline]
fn add(cx: &mut Cx<'_>, args: Args<'_>, by: i64) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let old = match cx.ks.for_write(key) {
        Some(value) => string(value)?.parse_i64().ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
    cx.ks.put(key, NewValue::Int(new), Ttl::Keep);
    cx.ks.notify(Events::STRING, "incrby", key);
    cx.out.int(new);
    Ok(Effect::AsSent { changes: 1 })
}

pub const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    arity: 3,
    flags: FLAGS,
    categories: Categories::STRING,
    keys: KEYS,
    group: Group::String,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Adds a floating point number to the one under a key; a missing key counts as 0.",
    args: &[KEY, Arg::new("increment", ArgKind::Double)],
    handler: Handler::Shard(incrbyfloat),
    ..Command::EMPTY
};

fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let old = match cx.ks.for_write(key) {
        Some(value) => Some(float(string(value)?.as_bytes(&mut [0; 20]))?),
        None => None,
    };
    let by = float(args.get(2))?;
    // A missing key counts as 0.
    let new = old.map_or_else(|| float(b"0"), Ok)?.add(by);
    if !new.is_finite() {
        return Err(CommandError::IncrementNotFinite);
    }
    let text = new.format();
    cx.ks.put(key, NewValue::Plain(text.as_bytes()), Ttl::Keep);
    cx.ks.notify(Events::STRING, "incrbyfloat", key);
    cx.out.bulk(text.as_bytes());
    Ok(Effect::Put { key: 1 })
}

fn float(text: &[u8]) -> Result<Extended, CommandError> {
    Extended::parse(text).ok_or(CommandError::NotFloat)
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::trial::Trial;

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn integers() {
        let mut t = Trial::new();
        t.expect(&[
            ("incr n", ":1"),
            ("decr n", ":0"),
            ("decr n", ":-1"),
            ("incrby n 11", ":10"),
            ("decrby n -5", ":15"),
            ("incrby n 0", ":15"),
            ("get n", "$2 15"),
            ("incrby n +1", NOT_INTEGER),
            ("incrby n 1.0", NOT_INTEGER),
            ("incrby n \"\"", NOT_INTEGER),
            ("incrby n 9223372036854775808", NOT_INTEGER),
            ("incrby n 9223372036854775807", OVERFLOW),
            ("set n 9223372036854775807", "+OK"),
            ("incr n", OVERFLOW),
            ("set n -9223372036854775808", "+OK"),
            ("decr n", OVERFLOW),
            ("decrby n -9223372036854775808", "-ERR decrement would overflow"),
            ("incrby n 9223372036854775807", ":-1"),
        ]);
        for text in ["x", "\"\"", "007", "-0", "\" 7\"", "\"7 \"", "1.5", "9223372036854775808"] {
            t.run(&format!("set n {text}"));
            assert_eq!(t.run("incr n"), NOT_INTEGER, "{text}");
        }
    }

    #[test]
    fn an_integer_made_piecewise_counts_too() {
        let mut t = Trial::new();
        t.expect(&[
            ("append n 1", ":1"),
            ("append n 9", ":2"),
            ("incr n", ":20"),
            ("append n 5", ":3"),
            ("decr n", ":204"),
        ]);
    }

    #[test]
    fn the_deadline_stays() {
        let mut t = Trial::new();
        t.run("set n 1 px 100");
        t.run("incr n");
        assert_eq!((t.left("n"), t.effect()), (Some(100), Effect::AsSent { changes: 1 }));
        t.run("incrbyfloat n 0.5");
        assert_eq!((t.left("n"), t.effect()), (Some(100), Effect::Put { key: 1 }));
        t.advance(100);
        assert_eq!(t.run("incr n"), ":1");
        assert_eq!(t.left("n"), None);
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn floats() {
        let mut t = Trial::new();
        let not_float = "-ERR value is not a valid float";
        let not_finite = "-ERR increment would produce NaN or Infinity";
        t.expect(&[
            ("incrbyfloat f 0.1", "$3 0.1"),
            ("incrbyfloat f 0.2", "$3 0.3"),
            ("incrbyfloat f -0.3", "$1 0"),
            ("incrbyfloat f 5.0e3", "$4 5000"),
            ("incr f", ":5001"),
            ("incrbyfloat f x", not_float),
            ("incrbyfloat f \" 1\"", not_float),
            ("incrbyfloat f \"\"", not_float),
            ("incrbyfloat f nan", not_float),
            ("incrbyfloat f inf", not_finite),
            ("incrbyfloat nokey -inf", not_finite),
            ("set f x", "+OK"),
            ("incrbyfloat f 1", not_float),
            ("set f 3.0", "+OK"),
            ("incrbyfloat f 1", "$1 4"),
            ("set f 10.5", "+OK"),
            ("incrbyfloat f 0.1", "$4 10.6"),
            ("set f 1e17", "+OK"),
            ("incrbyfloat f 1", "$18 100000000000000001"),
            ("incrbyfloat zero -0", "$1 0"),
        ]);
    }
}
