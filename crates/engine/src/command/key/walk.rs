//! KEYS, SCAN and RANDOMKEY: the server goes over all shards; here is what it does on one.

use pinyon_base::DbIndex;
use pinyon_base::glob::glob_match;
use pinyon_base::number::parse_i64;
use pinyon_resp::Args;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, ServerCommand};
use crate::keyspace::{KeyType, Shard};
use crate::{CommandError, until_nul};

pub(super) const KEYS: Command = Command {
    name: "keys",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in the database.",
    summary: "Returns all keys that match a pattern.",
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    args: &[Arg::new("pattern", ArgKind::Pattern)],
    handler: Handler::Server(ServerCommand::Keys),
    ..Command::EMPTY
};

pub(super) const SCAN: Command = Command {
    name: "scan",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    group: Group::Generic,
    since: "2.8.0",
    complexity: "O(1) per call, O(N) for a walk over all N keys.",
    summary: "Walks over the keys of the database a few at a time.",
    history: &[("6.0.0", "The `TYPE` option.")],
    tips: &["nondeterministic_output", "request_policy:special"],
    args: &[
        Arg::new("cursor", ArgKind::Integer),
        Arg::new("pattern", ArgKind::Pattern).with_token("MATCH").optional(),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::new("type", ArgKind::String).with_token("TYPE").since("6.0.0").optional(),
    ],
    handler: Handler::Server(ServerCommand::Scan),
    ..Command::EMPTY
};

pub(super) const RANDOMKEY: Command = Command {
    name: "randomkey",
    arity: 1,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns a random key of the database.",
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    handler: Handler::Server(ServerCommand::Randomkey),
    ..Command::EMPTY
};

/// The keys that KEYS or SCAN asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// `None`: any name.
    pub pattern: Option<&'a [u8]>,
    pub key_type: TypeFilter,
}

/// The TYPE option of SCAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeFilter {
    Any,
    Only(KeyType),
    /// A type that does not exist: no key has it.
    Nothing,
}

impl<'a> Wanted<'a> {
    /// The keys that match a glob (KEYS).
    pub fn matching(pattern: &'a [u8]) -> Wanted<'a> {
        Wanted { pattern: (pattern != b"*").then_some(pattern), key_type: TypeFilter::Any }
    }

    /// Whether a key is asked for.
    pub fn admits(&self, key: &[u8], key_type: KeyType) -> bool {
        let type_fits = match self.key_type {
            TypeFilter::Any => true,
            TypeFilter::Only(wanted) => wanted == key_type,
            TypeFilter::Nothing => false,
        };
        type_fits && self.pattern.is_none_or(|pattern| glob_match(pattern, key, false))
    }
}

/// What SCAN was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanOptions<'a> {
    /// Any number: what it means is up to the server, which puts the shard into it.
    pub cursor: u64,
    /// How many keys to look at, at least 1.
    pub count: usize,
    pub wanted: Wanted<'a>,
}

/// Parses `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`. Of an option given twice the last one counts.
pub fn scan_options<'a>(args: Args<'a>) -> Result<ScanOptions<'a>, CommandError> {
    let cursor = parse_cursor(args.get(1)).ok_or(CommandError::text("ERR invalid cursor"))?;
    let mut options = ScanOptions { cursor, count: 10, wanted: Wanted { pattern: None, key_type: TypeFilter::Any } };
    let mut i = 2;
    while i < args.len() {
        if i + 1 == args.len() {
            return Err(CommandError::Syntax);
        }
        let (option, value) = (args.get(i), args.get(i + 1));
        if option.eq_ignore_ascii_case(b"match") {
            options.wanted.pattern = Wanted::matching(value).pattern;
        } else if option.eq_ignore_ascii_case(b"count") {
            let count = parse_i64(value).ok_or(CommandError::NotInteger)?;
            options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
        } else if option.eq_ignore_ascii_case(b"type") {
            options.wanted.key_type = KeyType::named(value).map_or(TypeFilter::Nothing, TypeFilter::Only);
        } else {
            return Err(CommandError::Syntax);
        }
        i += 2;
    }
    Ok(options)
}

/// A cursor as Redis takes it: decimal digits after an optional sign (a minus counts from 2^64 down), below 2^64. The text
/// ends at a zero byte if it holds one, and no text at all is 0.
pub(in crate::command) fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match until_nul(text) {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// One step of SCAN or KEYS over a shard: looks at about `count` keys from `cursor` on, hands the wanted ones to `found` and
/// returns the next cursor, 0 at the end. A long walk is a row of steps of bounded `count` with other work in between.
pub fn walk_step(
    shard: &mut Shard,
    db: DbIndex,
    cursor: u64,
    count: usize,
    wanted: &Wanted<'_>,
    found: &mut dyn FnMut(&[u8]),
) -> u64 {
    shard.scan(db, cursor, count, &mut |key, key_type| {
        if wanted.admits(key, key_type) {
            found(key);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{TypeFilter, Wanted, parse_cursor, scan_options, walk_step};
    use crate::command::key::trial::Trial;
    use crate::keyspace::KeyType;
    use pinyon_base::DbIndex;

    /// Accepted and refused by redis-server 7.0.15.
    #[test]
    fn cursors() {
        for (text, cursor) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("00", Some(0)),
            ("+7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-18446744073709551615", Some(1)),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("99999999999999999999", None),
            ("-", None),
            ("+", None),
            ("--1", None),
            ("abc", None),
            ("0x10", None),
            (" 1", None),
            ("1 ", None),
            ("\t1", None),
            ("\0\u{7f}\r\n", Some(0)),
            ("12\0junk", Some(12)),
            ("x\0", None),
            ("-\0", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }

    #[test]
    fn errors_of_scan() {
        let t = Trial::new();
        let syntax = Err("ERR syntax error".to_owned());
        let number = Err("ERR value is not an integer or out of range".to_owned());
        let cursor = Err("ERR invalid cursor".to_owned());
        for (command, expected) in [
            ("scan abc", &cursor),
            ("scan abc foo", &cursor),
            ("scan 0 foo", &syntax),
            ("scan 0 match", &syntax),
            ("scan 0 count", &syntax),
            ("scan 0 type", &syntax),
            ("scan 0 match * foo", &syntax),
            ("scan 0 match * foo bar", &syntax),
            ("scan 0 count 0", &syntax),
            ("scan 0 count -1", &syntax),
            ("scan 0 count abc", &number),
            ("scan 0 foo bar count abc", &syntax),
            ("scan 0 count abc foo bar", &number),
            ("scan 0 count 99999999999999999999", &number),
        ] {
            let got = t.with_args(command, |args| scan_options(args).map(|_| ()).map_err(|error| error.to_string()));
            assert_eq!(&got, expected, "{command}");
        }
    }

    #[test]
    fn options_of_scan() {
        let t = Trial::new();
        t.with_args("scan 5", |args| {
            let options = scan_options(args).expect("valid");
            assert_eq!((options.cursor, options.count), (5, 10));
            assert_eq!(options.wanted, Wanted { pattern: None, key_type: TypeFilter::Any });
        });
        t.with_args("scan 0 MATCH a* CoUnT 7 TYPE String match b*", |args| {
            let options = scan_options(args).expect("valid");
            assert_eq!((options.count, options.wanted.pattern), (7, Some(&b"b*"[..])));
            assert_eq!(options.wanted.key_type, TypeFilter::Only(KeyType::String));
        });
        t.with_args("scan 0 match a* match * type nosuchtype", |args| {
            let options = scan_options(args).expect("valid");
            assert_eq!(options.wanted, Wanted { pattern: None, key_type: TypeFilter::Nothing });
            assert!(!options.wanted.admits(b"k", KeyType::String));
        });
    }

    #[test]
    fn a_walk_in_steps_finds_every_key_once() {
        let mut t = Trial::new();
        for i in 0..1000 {
            t.set(&format!("key:{i}"), "v");
            t.set(&format!("other:{i}"), "v");
        }
        for (pattern, count) in [("key:*", 1000), ("*", 2000), ("key:99[0-4]", 5), ("nothing", 0), ("k?y:7", 1)] {
            let wanted = Wanted::matching(pattern.as_bytes());
            let mut found = BTreeSet::new();
            let (mut cursor, mut steps, mut seen) = (0, 0, 0);
            loop {
                cursor = walk_step(t.shard(), DbIndex(0), cursor, 50, &wanted, &mut |key| {
                    seen += 1;
                    found.insert(key.to_vec());
                });
                steps += 1;
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!((found.len(), seen), (count, count), "{pattern}");
            assert!(steps >= 10, "{steps} steps are no slices");
        }
    }

    #[test]
    fn a_walk_leaves_out_due_keys() {
        let mut t = Trial::new();
        t.set("stays", "v");
        t.set("goes", "v");
        t.run("pexpire goes 10");
        t.advance(10);
        let mut found = Vec::new();
        walk_step(t.shard(), DbIndex(0), 0, 100, &Wanted::matching(b"*"), &mut |key| found.push(key.to_vec()));
        assert_eq!(found, [b"stays".to_vec()]);
    }
}
