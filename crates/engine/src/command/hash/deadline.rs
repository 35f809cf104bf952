//! Deadlines of fields, as Valkey 9 has them: HEXPIRE and its kin, what is left, HPERSIST.
//!
//! A deadline that is not in the future takes the field out at once. What is recorded has absolute times.

use pinyon_base::{Millis, parse_i64};
use pinyon_resp::Args;
use pinyon_values::hash::Hash;

use super::KEY;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Key;
use crate::{CommandError, Cx, Effect};

pub(super) const NUMFIELDS: CommandError =
    CommandError::text("ERR numfields should be greater than 0 and match the provided number of fields");

pub(super) const FIELDS: Arg =
    Arg::block("fields", &[Arg::new("numfields", ArgKind::Integer), Arg::new("field", ArgKind::String).multiple()])
        .with_token("FIELDS");

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const UNMET: i64 = 0;
const DONE: i64 = 1;
const REMOVED: i64 = 2;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::token("nx", "NX"), Arg::token("xx", "XX"), Arg::token("gt", "GT"), Arg::token("lt", "LT")],
)
.optional();

const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const HISTORY: &[(&str, &str)] = &[("9.0.0", "A command of Valkey's.")];

const fn sets(name: &'static str, summary: &'static str, args: &'static [Arg], handler: Handler) -> Command {
    Command {
        name,
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        categories: Categories::HASH,
        keys: UPDATES,
        group: Group::Hash,
        since: "9.0.0",
        complexity: "O(N) with N the number of fields named.",
        summary,
        history: HISTORY,
        args,
        handler,
        ..Command::EMPTY
    }
}

pub(super) const HEXPIRE: Command = sets(
    "hexpire",
    "Gives fields a number of seconds to live.",
    &[KEY, Arg::new("seconds", ArgKind::Integer), CONDITION, FIELDS],
    Handler::Shard(|cx, args| set_deadlines(cx, args, "hexpire", Unit::SECONDS)),
);

pub(super) const HPEXPIRE: Command = sets(
    "hpexpire",
    "Gives fields a number of milliseconds to live.",
    &[KEY, Arg::new("milliseconds", ArgKind::Integer), CONDITION, FIELDS],
    Handler::Shard(|cx, args| set_deadlines(cx, args, "hpexpire", Unit::MILLISECONDS)),
);

pub(super) const HEXPIREAT: Command = sets(
    "hexpireat",
    "Gives fields a deadline, in seconds of Unix time.",
    &[KEY, Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION, FIELDS],
    Handler::Shard(|cx, args| set_deadlines(cx, args, "hexpireat", Unit::SECONDS.absolute())),
);

pub(super) const HPEXPIREAT: Command = sets(
    "hpexpireat",
    "Gives fields a deadline, in milliseconds of Unix time.",
    &[KEY, Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION, FIELDS],
    Handler::Shard(|cx, args| set_deadlines(cx, args, "hpexpireat", Unit::MILLISECONDS.absolute())),
);

/// How a time is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    millis: i64,
    absolute: bool,
}

impl Unit {
    pub(super) const SECONDS: Unit = Unit { millis: 1000, absolute: false };
    pub(super) const MILLISECONDS: Unit = Unit { millis: 1, absolute: false };

    pub(super) const fn absolute(self) -> Unit {
        Unit { absolute: true, ..self }
    }

    /// The moment that a text means.
    pub(super) fn moment(self, text: &[u8], now: Millis, command: &'static str) -> Result<i64, CommandError> {
        let number = parse_i64(text).ok_or(CommandError::NotInteger)?;
        let base = if self.absolute { 0 } else { now.0 };
        let moment = number.checked_mul(self.millis).and_then(|millis| millis.checked_add(base));
        moment.filter(|_| number >= 0).ok_or(CommandError::InvalidExpire(command))
    }
}

/// Where the word FIELDS is, which must have something behind it. Without it nothing else is looked at.
pub(super) fn fields_position(args: Args<'_>, from: usize) -> Result<usize, CommandError> {
    (from..args.len() - 1).find(|at| args.get(*at).eq_ignore_ascii_case(b"fields")).ok_or(NUMFIELDS)
}

/// Where the fields are, given the position of the word FIELDS: a count and as many names, and nothing else. `per_field`: how
/// many arguments belong to each.
pub(super) fn first_field(
    args: Args<'_>,
    fields_at: usize,
    per_field: usize,
    mismatch: CommandError,
) -> Result<usize, CommandError> {
    if fields_at + 1 >= args.len() {
        return Err(mismatch);
    }
    let count = parse_i64(args.get(fields_at + 1)).ok_or(CommandError::NotInteger)?;
    let given = args.len() - fields_at - 2;
    let fits = usize::try_from(count).ok().filter(|count| *count > 0).and_then(|count| count.checked_mul(per_field));
    if fits == Some(given) { Ok(fields_at + 2) } else { Err(mismatch) }
}

/// Under which conditions a deadline is set.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    /// Reads them from the third argument up to the word FIELDS, whose position it gives.
    fn parse(args: Args<'_>) -> Result<(Conditions, usize), CommandError> {
        let mut found = Conditions::default();
        let fields_at = fields_position(args, 3)?;
        for at in 3..fields_at {
            let option = args.get(at);
            let flag = match () {
                () if option.eq_ignore_ascii_case(b"nx") => &mut found.nx,
                () if option.eq_ignore_ascii_case(b"xx") => &mut found.xx,
                () if option.eq_ignore_ascii_case(b"gt") => &mut found.gt,
                () if option.eq_ignore_ascii_case(b"lt") => &mut found.lt,
                () => return Err(CommandError::quoting("ERR Unsupported option ", option, "")),
            };
            *flag = true;
        }
        found.check().map(|()| (found, fields_at))
    }

    fn check(self) -> Result<(), CommandError> {
        if self.nx && (self.xx || self.gt || self.lt) {
            return Err(CommandError::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if self.gt && self.lt {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(())
    }

    /// No deadline is later than any.
    fn admit(self, old: Option<i64>, new: i64) -> bool {
        match old {
            None => !self.xx && !self.gt,
            Some(old) => !(self.nx || self.gt && new <= old || self.lt && new >= old),
        }
    }
}

fn set_deadlines(cx: &mut Cx<'_>, args: Args<'_>, command: &'static str, unit: Unit) -> Result<Effect, CommandError> {
    let (conditions, fields_at) = Conditions::parse(args)?;
    let first = first_field(args, fields_at, 1, NUMFIELDS)?;
    let now = cx.ks.now();
    let moment = unit.moment(args.get(2), now, command)?;
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let is_past = moment <= cx.ks.past().0;
    let hash = cx.ks.update::<Hash>(key)?;
    cx.out.array(args.len() - first);
    let Some(hash) = hash else {
        (first..args.len()).for_each(|_| cx.out.int(NO_FIELD));
        return Ok(Effect::None);
    };
    let mut changed = Vec::new();
    for name in args.iter().skip(first) {
        let reply = match hash.deadline(name) {
            None => NO_FIELD,
            Some(old) if !conditions.admit(old, moment) => UNMET,
            Some(_) if is_past => {
                hash.remove(name);
                REMOVED
            }
            Some(_) => {
                hash.set_deadline(name, Some(moment), &limits);
                DONE
            }
        };
        if matches!(reply, REMOVED | DONE) {
            changed.push(name);
        }
        cx.out.int(reply);
    }
    Ok(settle(cx, key, &changed, Some(moment)))
}

/// Finishes and records a change of the deadlines of these fields: to `moment` (in the past: they are gone), or to none.
pub(super) fn settle(cx: &mut Cx<'_>, key: Key<'_>, changed: &[&[u8]], moment: Option<i64>) -> Effect {
    if changed.is_empty() {
        return Effect::None;
    }
    let event = match moment {
        Some(moment) if moment <= cx.ks.past().0 => "hexpired",
        Some(_) => "hexpire",
        None => "hpersist",
    };
    if event == "hexpired" {
        cx.ks.count_expired_fields(changed.len());
    }
    cx.ks.changed_by::<Hash>(key, event);
    if cx.ks.is_recording() {
        let (count, names) = (changed.len().to_string(), changed.iter().copied());
        match moment {
            Some(moment) if moment <= cx.ks.past().0 => cx.ks.record_with(&[b"HDEL", key.bytes], names),
            Some(moment) => {
                let moment = moment.to_string();
                let head: &[&[u8]] = &[b"HPEXPIREAT", key.bytes, moment.as_bytes(), b"FIELDS", count.as_bytes()];
                cx.ks.record_with(head, names);
            }
            None => cx.ks.record_with(&[b"HPERSIST", key.bytes, b"FIELDS", count.as_bytes()], names),
        }
    }
    Effect::Recorded { changes: changed.len() as u32 }
}

const fn tells(name: &'static str, summary: &'static str, handler: Handler) -> Command {
    Command {
        name,
        arity: -5,
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Categories::HASH,
        keys: READS,
        group: Group::Hash,
        since: "9.0.0",
        complexity: "O(N) with N the number of fields named.",
        summary,
        history: HISTORY,
        args: &[KEY, FIELDS],
        handler,
        ..Command::EMPTY
    }
}

pub(super) const HTTL: Command = tells(
    "httl",
    "Replies how many seconds fields have left.",
    Handler::Shard(|cx, args| tell(cx, args, |at, now| in_seconds(at - now.0))),
);

pub(super) const HPTTL: Command = tells(
    "hpttl",
    "Replies how many milliseconds fields have left.",
    Handler::Shard(|cx, args| tell(cx, args, |at, now| at - now.0)),
);

pub(super) const HEXPIRETIME: Command = tells(
    "hexpiretime",
    "Replies the deadlines of fields, in seconds of Unix time.",
    Handler::Shard(|cx, args| tell(cx, args, |at, _| in_seconds(at))),
);

pub(super) const HPEXPIRETIME: Command = tells(
    "hpexpiretime",
    "Replies the deadlines of fields, in milliseconds of Unix time.",
    Handler::Shard(|cx, args| tell(cx, args, |at, _| at)),
);

fn in_seconds(millis: i64) -> i64 {
    Millis(millis).nearest_second()
}

fn tell(cx: &mut Cx<'_>, args: Args<'_>, answer: fn(i64, Millis) -> i64) -> Result<Effect, CommandError> {
    let first = first_field(args, fields_word(args)?, 1, CommandError::Syntax)?;
    let now = cx.ks.now();
    let key = cx.ks.key(args, 1);
    let hash = cx.ks.read_as::<Hash>(key)?;
    cx.out.array(args.len() - first);
    for name in args.iter().skip(first) {
        cx.out.int(match hash.and_then(|hash| hash.deadline(name)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(at)) => answer(at, now),
        });
    }
    Ok(Effect::None)
}

/// The word FIELDS must be the second argument.
pub(super) fn fields_word(args: Args<'_>) -> Result<usize, CommandError> {
    if args.get(2).eq_ignore_ascii_case(b"fields") { Ok(2) } else { Err(CommandError::Syntax) }
}

pub(super) const HPERSIST: Command = Command {
    arity: -5,
    ..sets("hpersist", "Takes the deadlines of fields away.", &[KEY, FIELDS], Handler::Shard(hpersist))
};

fn hpersist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let first = first_field(args, fields_word(args)?, 1, NUMFIELDS)?;
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let mut hash = cx.ks.update::<Hash>(key)?;
    cx.out.array(args.len() - first);
    let mut changed = Vec::new();
    for name in args.iter().skip(first) {
        cx.out.int(match hash.as_ref().and_then(|hash| hash.deadline(name)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(_)) => {
                if let Some(hash) = &mut hash {
                    hash.set_deadline(name, None, &limits);
                }
                changed.push(name);
                DONE
            }
        });
    }
    Ok(settle(cx, key, &changed, None))
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::trial::{START, Trial};

    const NUMFIELDS: &str = "-ERR numfields should be greater than 0 and match the provided number of fields";
    const BOTH: &str = "-ERR NX and XX, GT or LT options at the same time are not compatible";

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn errors_and_their_order() {
        let mut t = Trial::new();
        t.run("hset h a 1");
        t.run("set s x");
        let number = "-ERR value is not an integer or out of range";
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        t.expect(&[
            ("hexpire h abc fields 1 a", number),
            ("hexpire h -1 fields 1 a", "-ERR invalid expire time in 'hexpire' command"),
            ("hexpire h 10 fields 0 a", NUMFIELDS),
            ("hexpire h 10 fields -1 a", NUMFIELDS),
            ("hexpire h 10 fields 2 a", NUMFIELDS),
            ("hexpire h 10 fields 1 a b", NUMFIELDS),
            ("hexpire h 10 fields 1 nx a", NUMFIELDS),
            ("hexpire h 10 fields x a", number),
            ("hexpire h 10 foo fields 1 a", "-ERR Unsupported option foo"),
            ("hexpire h abc foo fields 1 a", "-ERR Unsupported option foo"),
            ("hexpire h abc foo fields 2 a", "-ERR Unsupported option foo"),
            ("hexpire h abc 3 206 xx a", NUMFIELDS),
            ("hexpire h 10 nx xx foo 1 a", NUMFIELDS),
            ("hexpire h 10 nx foo a fields", NUMFIELDS),
            ("hexpire h 10 nx xx fields 5 a", BOTH),
            ("hexpire h 10 nx gt fields 1 a", BOTH),
            ("hexpire h -1 gt lt fields 1 a", "-ERR GT and LT options at the same time are not compatible"),
            ("hexpire h 9223372036854775807 fields 1 a", "-ERR invalid expire time in 'hexpire' command"),
            ("hpexpire h 9223372036854775807 fields 1 a", "-ERR invalid expire time in 'hpexpire' command"),
            ("hexpireat h 9223372036854776 fields 1 a", "-ERR invalid expire time in 'hexpireat' command"),
            ("hexpire s -1 fields 1 a", "-ERR invalid expire time in 'hexpire' command"),
            ("hexpire s 10 fields 1 a", wrong),
            ("hexpire nokey abc fields 1 a", number),
            ("hexpire nokey 10 fields 2 a b", "*2 :-2 :-2"),
            ("httl s fields 1 a", wrong),
            ("httl s fields 2 a", "-ERR syntax error"),
            ("httl h fields 0 a", "-ERR syntax error"),
            ("httl h fields x a", number),
            ("httl h foo 1 a", "-ERR syntax error"),
            ("httl nokey fields 2 a b", "*2 :-2 :-2"),
            ("hpersist s fields 1 a", wrong),
            ("hpersist h fields 2 a", NUMFIELDS),
            ("hpersist h foo 1 a", "-ERR syntax error"),
            ("hpersist nokey fields 1 a", "*1 :-2"),
        ]);
    }

    #[test]
    fn conditions() {
        let mut t = Trial::new();
        t.run("hset h a 1");
        t.expect(&[
            ("hexpire h 10 xx fields 1 a", "*1 :0"),
            ("hexpire h 10 gt fields 1 a", "*1 :0"),
            ("hexpire h 10 lt fields 1 a", "*1 :1"),
            ("hexpire h 5 gt fields 1 a", "*1 :0"),
            ("hexpire h 10 lt fields 1 a", "*1 :0"),
            ("hexpire h 10 nx fields 1 a", "*1 :0"),
            ("hexpire h 20 xx gt fields 1 a", "*1 :1"),
            ("httl h fields 2 a b", "*2 :20 :-2"),
            ("hpersist h fields 2 a b", "*2 :1 :-2"),
            ("hpersist h fields 1 a", "*1 :-1"),
            ("httl h fields 1 a", "*1 :-1"),
        ]);
    }

    #[test]
    fn fields_go_at_their_deadline() {
        let mut t = Trial::new();
        t.run("hset h a 1 b 2 c 3");
        assert_eq!(t.run("hpexpire h 50 fields 3 a b zz"), "*3 :1 :1 :-2");
        let at = START.0 + 50;
        assert_eq!(t.effect(), Effect::Recorded { changes: 2 });
        assert_eq!(t.recorded(), [format!("HPEXPIREAT h {at} FIELDS 2 a b")]);
        assert_eq!(t.run("hpexpiretime h fields 2 a c"), format!("*2 :{at} :-1"));
        t.advance(49);
        t.expect(&[("hpttl h fields 1 a", "*1 :1"), ("hlen h", ":3")]);
        t.advance(1);
        assert_eq!(t.run("hgetall h"), "*2 $1 c $1 3");
        assert_eq!(t.recorded(), ["HDEL h a b"]);
        t.run("hpexpire h 10 fields 1 c");
        t.advance(10);
        assert_eq!(t.run("hset h d 4"), ":1");
        assert_eq!(t.recorded(), ["HDEL h c"]);
        t.expect(&[("hgetall h", "*2 $1 d $1 4"), ("hexpire h 0 fields 2 d x", "*2 :2 :-2"), ("hlen h", ":0")]);
    }

    #[test]
    fn the_timer_takes_fields_and_at_last_the_key() {
        let mut t = Trial::new();
        for field in 0..500 {
            t.run(&format!("hset h f{field} v"));
            t.run(&format!("hpexpire h {} fields 1 f{field}", 100 + field));
        }
        let fields = |t: &mut Trial| {
            let mut found = 0;
            t.shard.scan(pinyon_base::DbIndex(0), 0, 100, &mut |_, _| found += 1);
            (found, t.shard.stats().expired_fields)
        };
        for ms in [50, 100, 200, 300] {
            t.advance(ms);
            let now = t.now();
            while t.shard.expire_slice(now, 8, &mut |_, _| panic!("no key has a deadline")) {}
            // No later than the wheel's tick and the next one.
            let due = (now.0 - START.0 - 100 - 32).clamp(0, 500) as u64;
            let (_, gone) = fields(&mut t);
            assert!(gone >= due, "{gone} of {due} after {ms}");
        }
        assert_eq!(fields(&mut t), (0, 500));
        assert_eq!(t.shard.next_deadline(), None);
    }

    #[test]
    fn deadlines_move_with_the_key() {
        let mut t = Trial::new();
        t.run("hset h a 1 b 2");
        t.run("hpexpire h 100 fields 1 a");
        t.run("rename h g");
        t.run("copy g k");
        t.advance(200);
        let now = t.now();
        while t.shard.expire_slice(now, 8, &mut |_, _| {}) {}
        assert_eq!(t.shard.stats().expired_fields, 2);
        t.expect(&[("hgetall g", "*2 $1 b $1 2"), ("hgetall k", "*2 $1 b $1 2")]);
    }
}
