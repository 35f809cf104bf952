//! Some of the fields: HSCAN in steps, HRANDFIELD by chance.

use std::collections::BTreeSet;

use pinyon_base::{glob_match, parse_i64};
use pinyon_resp::{Args, Proto, Writer};
use pinyon_values::hash::{Field, Hash, HashRef};

use super::{KEY, write_item};
use crate::command::key::walk::parse_cursor;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Rng;
use crate::{CommandError, Cx, Effect};

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

pub(super) const HSCAN: Command = Command {
    name: "hscan",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::HASH,
    keys: READS,
    group: Group::Hash,
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a whole walk over N fields.",
    summary: "Walks over the fields of a hash, some at a time.",
    tips: &["nondeterministic_output"],
    args: &[
        KEY,
        Arg::new("cursor", ArgKind::Integer),
        Arg::new("pattern", ArgKind::Pattern).with_token("MATCH").optional(),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::token("novalues", "NOVALUES").optional(),
    ],
    handler: Handler::Shard(hscan),
    ..Command::EMPTY
};

/// What HSCAN, SSCAN and ZSCAN are asked beside the cursor.
pub(in crate::command) struct ScanOptions<'a> {
    pub(in crate::command) pattern: Option<&'a [u8]>,
    pub(in crate::command) count: usize,
    pub(in crate::command) values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Parses the options from the fourth argument on. Of one given twice the last counts.
    pub(in crate::command) fn parse(args: Args<'a>, is_hash: bool) -> Result<ScanOptions<'a>, CommandError> {
        let mut options = ScanOptions { pattern: None, count: 10, values: true };
        let mut at = 3;
        while at < args.len() {
            let (word, value) = (args.get(at), (at + 1 < args.len()).then(|| args.get(at + 1)));
            match value {
                Some(count) if word.eq_ignore_ascii_case(b"count") => {
                    let count = parse_i64(count).ok_or(CommandError::NotInteger)?;
                    options.count =
                        usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
                }
                Some(pattern) if word.eq_ignore_ascii_case(b"match") => {
                    options.pattern = (pattern != b"*").then_some(pattern);
                }
                _ if word.eq_ignore_ascii_case(b"novalues") => {
                    if !is_hash {
                        return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                    }
                    options.values = false;
                    at += 1;
                    continue;
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 2;
        }
        Ok(options)
    }

    pub(in crate::command) fn admits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob_match(pattern, name, false))
    }
}

/// The cursor of HSCAN, SSCAN and ZSCAN.
pub(in crate::command) fn cursor(args: Args<'_>) -> Result<u64, CommandError> {
    parse_cursor(args.get(2)).ok_or(CommandError::text("ERR invalid cursor"))
}

/// What a step of a walk has found, until it is known how much that is.
#[derive(Default)]
pub(in crate::command) struct Found {
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl Found {
    pub(in crate::command) fn push(&mut self, text: &[u8]) {
        self.texts.extend_from_slice(text);
        self.ends.push(self.texts.len());
    }

    /// Replies the next cursor and what was found.
    pub(in crate::command) fn reply(&self, next: u64, out: &mut Writer<'_>) {
        out.array(2);
        out.bulk_str(&next.to_string());
        out.array(self.ends.len());
        let mut from = 0;
        for &end in &self.ends {
            out.bulk(&self.texts[from..end]);
            from = end;
        }
    }
}

fn hscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let cursor = cursor(args)?;
    let key = cx.ks.key(args, 1);
    let Some(hash) = cx.ks.read_as::<Hash>(key)? else {
        Found::default().reply(0, &mut cx.out);
        return Ok(Effect::None);
    };
    // As in Redis, wrong options of a missing key are not complained of.
    let options = ScanOptions::parse(args, true)?;
    let mut found = Found::default();
    let next = hash.scan(cursor, options.count, &mut |field| {
        let scratch = &mut [0; 20];
        let name = field.name.bytes(scratch);
        if options.admits(name) {
            found.push(name);
            if options.values {
                found.push(field.value.bytes(&mut [0; 20]));
            }
        }
    });
    found.reply(next, &mut cx.out);
    Ok(Effect::None)
}

pub(super) const HRANDFIELD: Command = Command {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::HASH,
    keys: READS,
    group: Group::Hash,
    since: "6.2.0",
    complexity: "O(N) with N the number of fields replied.",
    summary: "Replies random fields of a hash.",
    tips: &["nondeterministic_output"],
    args: &[
        KEY,
        Arg::block(
            "options",
            &[Arg::new("count", ArgKind::Integer), Arg::token("withvalues", "WITHVALUES").optional()],
        )
        .optional(),
    ],
    handler: Handler::Shard(hrandfield),
    ..Command::EMPTY
};

fn hrandfield(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let asked = if args.len() > 2 { Some(random_count(args)?) } else { None };
    let with_values = args.len() == 4;
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    let hash = cx.ks.read_as::<Hash>(key)?;
    let Some(count) = asked else {
        match hash.and_then(|hash| hash.random(&mut || rng.next_u64())) {
            Some(field) => write_item(&mut cx.out, field.name),
            None => cx.out.null(),
        }
        return Ok(Effect::None);
    };
    let Some(hash) = hash.filter(|_| count != 0) else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    check_repeats(count)?;
    if count < 0 {
        let count = count.unsigned_abs() as usize;
        begin(&mut cx.out, count, with_values);
        for _ in 0..count {
            if let Some(field) = hash.random(&mut || rng.next_u64()) {
                write_field(&mut cx.out, field, with_values);
            }
        }
        return Ok(Effect::None);
    }
    let fields = distinct(hash, count as usize, &mut rng);
    begin(&mut cx.out, fields.len(), with_values);
    fields.into_iter().for_each(|field| write_field(&mut cx.out, field, with_values));
    Ok(Effect::None)
}

/// How many random elements are wanted. Below 0 the same one may come several times.
pub(in crate::command) fn parse_random_count(text: &[u8]) -> Result<i64, CommandError> {
    const TEXT: &str = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    match parse_i64(text).ok_or(CommandError::NotInteger)? {
        i64::MIN => Err(CommandError::text(TEXT)),
        count => Ok(count),
    }
}

/// Whether so many may be given of a value that is there. Redis begins a reply of any length; nobody can take a longer one.
pub(in crate::command) fn check_repeats(count: i64) -> Result<(), CommandError> {
    const REPEATS_MAX: i64 = 1 << 28;
    if count < -REPEATS_MAX { Err(CommandError::text("ERR value is out of range")) } else { Ok(()) }
}

/// The count of HRANDFIELD and what may follow it.
fn random_count(args: Args<'_>) -> Result<i64, CommandError> {
    let count = parse_random_count(args.get(2))?;
    if args.len() > 4 || (args.len() == 4 && !args.get(3).eq_ignore_ascii_case(b"withvalues")) {
        return Err(CommandError::Syntax);
    }
    if args.len() == 4 && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(CommandError::text("ERR value is out of range"));
    }
    Ok(count)
}

/// Begins an array of fields: with values it holds pairs in RESP3, and is flat in RESP2.
fn begin(out: &mut Writer<'_>, count: usize, with_values: bool) {
    let flat = with_values && out.proto == Proto::Resp2;
    out.array(if flat { 2 * count } else { count });
}

fn write_field(out: &mut Writer<'_>, field: Field<'_>, with_values: bool) {
    if with_values && out.proto == Proto::Resp3 {
        out.array(2);
    }
    write_item(out, field.name);
    if with_values {
        write_item(out, field.value);
    }
}

/// `count` different fields, or all.
fn distinct<'h>(hash: HashRef<'h>, count: usize, rng: &mut Rng) -> Vec<Field<'h>> {
    /// Above this part of the fields most draws would hit one that is taken.
    const MANY: usize = 3;
    if count >= hash.len() {
        return hash.fields().collect();
    }
    if hash.is_packed() || count * MANY > hash.len() {
        let mut fields: Vec<Field<'h>> = hash.fields().collect();
        for at in 0..count {
            let other = at + rng.below((fields.len() - at) as u64) as usize;
            fields.swap(at, other);
        }
        fields.truncate(count);
        return fields;
    }
    let (mut taken, mut fields) = (BTreeSet::new(), Vec::with_capacity(count));
    while fields.len() < count {
        let Some(field) = hash.random(&mut || rng.next_u64()) else { break };
        if taken.insert(field.name.to_vec()) {
            fields.push(field);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pinyon_resp::Proto;

    use crate::command::trial::Trial;

    /// Replies asked of redis-server 7.0.15, those of NOVALUES of valkey-server 9.1.2.
    #[test]
    fn scans() {
        let mut t = Trial::new();
        t.run("hset h a 1 b 2 ab 3");
        t.run("set s x");
        t.expect(&[
            ("hscan h 0", "*2 $1 0 *6 $1 a $1 1 $1 b $1 2 $2 ab $1 3"),
            ("hscan h 0 count 1", "*2 $1 0 *6 $1 a $1 1 $1 b $1 2 $2 ab $1 3"),
            ("hscan h 0 match a*", "*2 $1 0 *4 $1 a $1 1 $2 ab $1 3"),
            ("hscan h 0 novalues match a*", "*2 $1 0 *2 $1 a $2 ab"),
            ("hscan h x", "-ERR invalid cursor"),
            ("hscan nokey x", "-ERR invalid cursor"),
            ("hscan nokey 0 foo", "*2 $1 0 *0"),
            ("hscan h 0 foo", "-ERR syntax error"),
            ("hscan h 0 count", "-ERR syntax error"),
            ("hscan h 0 count 0", "-ERR syntax error"),
            ("hscan h 0 count x", "-ERR value is not an integer or out of range"),
            ("hscan h 0 type string", "-ERR syntax error"),
            ("hscan s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
    }

    #[test]
    fn a_walk_sees_all_that_stays() {
        let mut t = Trial::new();
        for field in 0..3000 {
            t.run(&format!("hset h stays:{field} {field}"));
        }
        let (mut cursor, mut seen, mut step) = (String::from("0"), BTreeMap::new(), 0);
        loop {
            let reply = t.run(&format!("hscan h {cursor} count 50 novalues match stays:*"));
            let words: Vec<&str> = reply.split(' ').collect();
            cursor = words[2].to_owned();
            for name in words.iter().filter(|word| word.starts_with("stays:")) {
                *seen.entry((*name).to_owned()).or_insert(0) += 1;
            }
            // The table grows and shrinks meanwhile.
            for field in 0..200 {
                t.run(&format!("hset h goes:{step}:{field} x"));
                t.run(&format!("hdel h goes:{}:{field}", step - 3));
            }
            step += 1;
            if cursor == "0" {
                break;
            }
            assert!(step < 1000, "it comes to an end");
        }
        assert_eq!(seen.len(), 3000);
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn random_fields() {
        let mut t = Trial::new();
        t.run("set s x");
        t.expect(&[
            ("hrandfield nokey", "$-1"),
            ("hrandfield nokey 3", "*0"),
            ("hset h a 1", ":1"),
            ("hrandfield h", "$1 a"),
            ("hrandfield h 0", "*0"),
            ("hrandfield h 5", "*1 $1 a"),
            ("hrandfield h -3", "*3 $1 a $1 a $1 a"),
            ("hrandfield h -2 withvalues", "*4 $1 a $1 1 $1 a $1 1"),
            ("hrandfield h 5 withvalues", "*2 $1 a $1 1"),
            ("hrandfield h -2147483648", "-ERR value is out of range"),
            ("hrandfield nokey -2147483648", "*0"),
            ("hrandfield h x", "-ERR value is not an integer or out of range"),
            ("hrandfield h 1 foo", "-ERR syntax error"),
            ("hrandfield h 1 withvalues x", "-ERR syntax error"),
            ("hrandfield h 9223372036854775807 withvalues", "-ERR value is out of range"),
            (
                "hrandfield h -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            ("hrandfield s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
        t.proto = Proto::Resp3;
        t.expect(&[("hrandfield h 5 withvalues", "*1 *2 $1 a $1 1"), ("hrandfield nokey", "_")]);
    }

    #[test]
    fn random_fields_are_different_and_all_come_up() {
        let mut t = Trial::new();
        for (fields, count) in [(100, 5), (100, 90), (2000, 10), (2000, 1900)] {
            t.run("del h");
            for field in 0..fields {
                t.run(&format!("hset h f{field} v"));
            }
            let mut times = BTreeMap::new();
            for _ in 0..20 {
                let reply = t.run(&format!("hrandfield h {count}"));
                let mut names: Vec<&str> = reply.split(' ').filter(|word| word.starts_with('f')).collect();
                names.iter().for_each(|name| *times.entry((*name).to_owned()).or_insert(0) += 1);
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), count);
            }
            let expected = (fields as f64) * (1.0 - (1.0 - count as f64 / fields as f64).powi(20));
            assert!((times.len() as f64) > expected * 0.8, "{} of {fields}", times.len());
        }
    }
}
