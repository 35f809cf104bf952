//! Fields with their deadlines in one command, as Valkey 9 has it: HGETDEL, HGETEX, HSETEX.

use pinyon_resp::Args;
use pinyon_values::hash::{FieldTtl, Hash};

use super::deadline::{FIELDS, NUMFIELDS, Unit, fields_position, fields_word, first_field, settle};
use super::{KEY, write_item};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Key, Keyspace};
use crate::{CommandError, Cx, Effect};

const EX: Arg = Arg::new("seconds", ArgKind::Integer).with_token("EX");
const PX: Arg = Arg::new("milliseconds", ArgKind::Integer).with_token("PX");
const EXAT: Arg = Arg::new("unix-time-seconds", ArgKind::UnixTime).with_token("EXAT");
const PXAT: Arg = Arg::new("unix-time-milliseconds", ArgKind::UnixTime).with_token("PXAT");

pub(super) const HGETDEL: Command = Command {
    name: "hgetdel",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::Hash,
    since: "9.1.0",
    complexity: "O(N) with N the number of fields named.",
    summary: "Replies the values of fields and removes them.",
    history: &[("9.1.0", "A command of Valkey's.")],
    args: &[KEY, FIELDS],
    handler: Handler::Shard(hgetdel),
    ..Command::EMPTY
};

fn hgetdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let first = first_field(args, fields_word(args)?, 1, NUMFIELDS)?;
    let key = cx.ks.key(args, 1);
    let mut hash = cx.ks.update::<Hash>(key)?;
    cx.out.array(args.len() - first);
    let mut removed = 0;
    for name in args.iter().skip(first) {
        match hash.as_ref().and_then(|hash| hash.get(name)) {
            None => cx.out.null(),
            Some(value) => {
                write_item(&mut cx.out, value);
                removed += u32::from(hash.as_mut().is_some_and(|hash| hash.remove(name)));
            }
        }
    }
    if removed == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed_by::<Hash>(key, "hdel");
    Ok(Effect::AsSent { changes: removed })
}

pub(super) const HGETEX: Command = Command {
    name: "hgetex",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::Hash,
    since: "9.0.0",
    complexity: "O(N) with N the number of fields named.",
    summary: "Replies the values of fields and sets or clears their deadlines.",
    history: &[("9.0.0", "A command of Valkey's.")],
    args: &[KEY, Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::token("persist", "PERSIST")]).optional(), FIELDS],
    handler: Handler::Shard(hgetex),
    ..Command::EMPTY
};

pub(super) const HSETEX: Command = Command {
    name: "hsetex",
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::HASH,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::Hash,
    since: "9.0.0",
    complexity: "O(N) with N the number of fields written.",
    summary: "Writes fields with a deadline, if conditions are met.",
    history: &[("9.0.0", "A command of Valkey's."), ("9.1.0", "The options NX and XX.")],
    args: &[
        KEY,
        Arg::one_of("key-condition", &[Arg::token("nx", "NX"), Arg::token("xx", "XX")]).optional(),
        Arg::one_of("fields-condition", &[Arg::token("fnx", "FNX"), Arg::token("fxx", "FXX")]).optional(),
        Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::token("keepttl", "KEEPTTL")]).optional(),
        Arg::block(
            "fields",
            &[
                Arg::new("numfields", ArgKind::Integer),
                Arg::block("data", &[Arg::new("field", ArgKind::String), Arg::new("value", ArgKind::String)])
                    .multiple(),
            ],
        )
        .with_token("FIELDS"),
    ],
    handler: Handler::Shard(hsetex),
    ..Command::EMPTY
};

/// What becomes of the deadlines. Of an option given twice the last one counts; two different ones are refused.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Change<'a> {
    #[default]
    None,
    To(Unit, &'a [u8]),
    Persist,
    Keep,
}

#[derive(Default)]
struct Options<'a> {
    change: Change<'a>,
    /// Whether the key, and whether each of the fields, must be there or must not.
    key: Option<bool>,
    fields: Option<bool>,
}

impl<'a> Options<'a> {
    /// Reads the options up to the word FIELDS, whose position it gives.
    fn parse(args: Args<'a>, sets: bool) -> Result<(Options<'a>, usize), CommandError> {
        let mut options = Options::default();
        let mut at = 2;
        let fields_at = fields_position(args, at)?;
        while at < fields_at {
            let word = args.get(at).to_ascii_lowercase();
            let unit = match &word[..] {
                b"ex" => Some(Unit::SECONDS),
                b"px" => Some(Unit::MILLISECONDS),
                b"exat" => Some(Unit::SECONDS.absolute()),
                b"pxat" => Some(Unit::MILLISECONDS.absolute()),
                _ => None,
            };
            if let Some(unit) = unit {
                at += 1;
                if at >= fields_at {
                    return Err(CommandError::Syntax);
                }
                let fits = matches!(options.change, Change::None)
                    || matches!(options.change, Change::To(before, _) if before == unit);
                options.change = if fits { Change::To(unit, args.get(at)) } else { return Err(CommandError::Syntax) };
            } else {
                options.take_word(&word, sets)?;
            }
            at += 1;
        }
        Ok((options, fields_at))
    }

    fn take_word(&mut self, word: &[u8], sets: bool) -> Result<(), CommandError> {
        let fits = match (word, sets) {
            (b"persist", false) => once(&mut self.change, Change::Persist),
            (b"keepttl", true) => once(&mut self.change, Change::Keep),
            (b"nx" | b"xx", true) => set_once(&mut self.key, word == b"xx"),
            (b"fnx" | b"fxx", true) => set_once(&mut self.fields, word == b"fxx"),
            _ => false,
        };
        if fits { Ok(()) } else { Err(CommandError::Syntax) }
    }
}

fn once<'a>(change: &mut Change<'a>, to: Change<'a>) -> bool {
    let fits = matches!(change, Change::None) || *change == to;
    *change = to;
    fits
}

fn set_once(option: &mut Option<bool>, to: bool) -> bool {
    option.replace(to).is_none_or(|before| before == to)
}

fn hgetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (options, fields_at) = Options::parse(args, false)?;
    let first = first_field(args, fields_at, 1, NUMFIELDS)?;
    let (now, past) = (cx.ks.now(), cx.ks.past());
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let mut hash = cx.ks.update::<Hash>(key)?;
    let is_missing = hash.is_none();
    let moment = match options.change {
        Change::To(unit, text) => Some(unit.moment(text, now, "hgetex")?),
        _ => None,
    };
    cx.out.array(args.len() - first);
    let mut changed = Vec::new();
    for name in args.iter().skip(first) {
        let Some((hash, value)) = hash.as_mut().and_then(|hash| {
            let value = hash.get(name)?.to_vec();
            Some((hash, value))
        }) else {
            cx.out.null();
            continue;
        };
        cx.out.bulk(&value);
        let is_changed = match (moment, options.change) {
            (Some(moment), _) if moment <= past.0 => hash.remove(name),
            (Some(moment), _) => hash.set_deadline(name, Some(moment), &limits),
            (None, Change::Persist) if hash.deadline(name).flatten().is_some() => {
                hash.set_deadline(name, None, &limits)
            }
            _ => false,
        };
        if is_changed {
            changed.push(name);
        }
    }
    if is_missing {
        cx.ks.notify(Events::MISS, "keymiss", key);
    }
    Ok(settle(cx, key, &changed, moment))
}

fn hsetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (options, fields_at) = Options::parse(args, true)?;
    let first = first_field(args, fields_at, 2, NUMFIELDS)?;
    let names = || (first..args.len()).step_by(2).map(|at| args.get(at));
    let (now, past) = (cx.ks.now(), cx.ks.past());
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let found = cx.ks.update::<Hash>(key)?;
    // The time is looked at between the two conditions.
    if options.key.is_some_and(|wanted| found.is_some() != wanted) {
        cx.out.int(0);
        return Ok(Effect::None);
    }
    let (ttl, moment) = match options.change {
        Change::To(unit, text) => {
            let moment = unit.moment(text, now, "hsetex")?;
            (FieldTtl::At(moment), Some(moment))
        }
        Change::Keep => (FieldTtl::Keep, None),
        Change::None | Change::Persist => (FieldTtl::Clear, None),
    };
    let has_field = |name: &[u8]| found.as_ref().is_some_and(|hash| hash.contains(name));
    let is_met = options.fields.is_none_or(|wanted| names().all(|name| has_field(name) == wanted));
    cx.out.int(i64::from(is_met));
    if !is_met {
        return Ok(Effect::None);
    }
    let changes = names().count() as u32;
    if moment.is_some_and(|moment| moment <= past.0) {
        let was_there = found.is_some();
        let removed: Vec<&[u8]> =
            found.map_or_else(Vec::new, |hash| names().filter(|name| hash.remove(name)).collect());
        cx.ks.count_expired_fields(names().count() - removed.len());
        over_at_once(&mut cx.ks, key, was_there, removed.is_empty());
        return Ok(settle(cx, key, &removed, moment));
    }
    let hash = cx.ks.update_or_create::<Hash>(key)?;
    for at in (first..args.len()).step_by(2) {
        hash.set(args.get(at), args.get(at + 1), ttl, &limits);
    }
    cx.ks.changed_by::<Hash>(key, "hset");
    if moment.is_some() {
        cx.ks.notify(Events::HASH, "hexpire", key);
    }
    let Some(moment) = moment else { return Ok(Effect::AsSent { changes }) };
    let moment = moment.to_string();
    let head: &[&[u8]] = &[b"HSETEX", key.bytes, b"PXAT", moment.as_bytes(), b"FIELDS", args.get(fields_at + 1)];
    cx.ks.record_with(head, args.iter().skip(first));
    Ok(Effect::Recorded { changes })
}

/// Tells of fields that are set with a deadline in the past: as if they had been there for a moment. That fields are gone which
/// were there before is told by [`settle`].
fn over_at_once(ks: &mut Keyspace<'_>, key: Key<'_>, was_there: bool, none_gone: bool) {
    if !was_there {
        ks.notify(Events::NEW, "new", key);
    }
    ks.notify(Events::HASH, "hset", key);
    ks.notify(Events::HASH, "hexpire", key);
    if none_gone {
        ks.notify(Events::HASH, "hexpired", key);
    }
    if !was_there {
        ks.notify(Events::GENERIC, "del", key);
    }
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::trial::{START, Trial};

    const NUMFIELDS: &str = "-ERR numfields should be greater than 0 and match the provided number of fields";
    const SYNTAX: &str = "-ERR syntax error";
    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn hgetdel() {
        let mut t = Trial::new();
        t.run("hset h a 1 b 2 c 3");
        t.run("set s x");
        t.expect(&[
            ("hgetdel h fields 2 a z", "*2 $1 1 $-1"),
            ("hgetdel h fields 1 z", "*1 $-1"),
            ("hgetdel nokey fields 1 a", "*1 $-1"),
            ("hgetdel h fields 0 a", NUMFIELDS),
            ("hgetdel h fields 2 a", NUMFIELDS),
            ("hgetdel h foo 1 a", SYNTAX),
            ("hgetdel h fields x a", "-ERR value is not an integer or out of range"),
            ("hgetdel s fields 1 a", WRONG),
            ("hgetdel h fields 3 b c b", "*3 $1 2 $1 3 $-1"),
            ("exists h", ":0"),
        ]);
    }

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn hgetex() {
        let mut t = Trial::new();
        t.run("hset h a 1 b 2 c 3");
        t.run("set s x");
        t.expect(&[
            ("hgetex h fields 1 a", "*1 $1 1"),
            ("hgetex h ex 10 fields 2 a z", "*2 $1 1 $-1"),
            ("httl h fields 1 a", "*1 :10"),
            ("hgetex h persist fields 1 a", "*1 $1 1"),
            ("httl h fields 1 a", "*1 :-1"),
            ("hgetex h ex 0 fields 1 a", "*1 $1 1"),
            ("hexists h a", ":0"),
            ("hgetex h exat 1 fields 2 a b", "*2 $-1 $1 2"),
            ("hexists h b", ":0"),
            ("hgetex h ex -1 fields 1 c", "-ERR invalid expire time in 'hgetex' command"),
            ("hgetex h ex 9223372036854775807 fields 1 c", "-ERR invalid expire time in 'hgetex' command"),
            ("hgetex h ex 10 px 10 fields 1 c", SYNTAX),
            ("hgetex h persist ex 10 fields 1 c", SYNTAX),
            ("hgetex h keepttl fields 1 c", SYNTAX),
            ("hgetex h foo fields 1 c", SYNTAX),
            ("hgetex h ex fields 1 c", SYNTAX),
            ("hgetex h ex abc fields 1 c", "-ERR value is not an integer or out of range"),
            ("hgetex h ex abc ex 10 fields 1 c", "*1 $1 3"),
            ("hgetex h fields 2 c", NUMFIELDS),
            ("hgetex h fields 1 c ex 10", NUMFIELDS),
            ("hgetex h foo 1 a", NUMFIELDS),
            ("hgetex h foo fields 2 a", "-ERR syntax error"),
            ("hgetex h ex abc fields 2 c", NUMFIELDS),
            ("hgetex s ex abc fields 1 c", WRONG),
            ("hgetex nokey ex 10 fields 2 a b", "*2 $-1 $-1"),
            ("hgetex nokey ex -1 fields 1 b", "-ERR invalid expire time in 'hgetex' command"),
        ]);
        t.run("hgetex h px 5 fields 1 c");
        assert_eq!(t.recorded(), [format!("HPEXPIREAT h {} FIELDS 1 c", START.0 + 5)]);
        t.run("hgetex h persist fields 1 c");
        assert_eq!(t.recorded(), ["HPERSIST h FIELDS 1 c"]);
        t.run("hgetex h persist fields 1 c");
        assert_eq!(t.effect(), Effect::None);
    }

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn hsetex() {
        let mut t = Trial::new();
        t.run("set s x");
        t.expect(&[
            ("hsetex h fields 1 a 1", ":1"),
            ("hsetex h ex 10 fields 2 a 1 b 2", ":1"),
            ("httl h fields 2 a b", "*2 :10 :10"),
            ("hsetex h keepttl fields 1 a 5", ":1"),
            ("httl h fields 1 a", "*1 :10"),
            ("hsetex h fields 1 a 5", ":1"),
            ("httl h fields 1 a", "*1 :-1"),
            ("hsetex h fnx fields 1 a 5", ":0"),
            ("hsetex h fnx fields 1 n1 5", ":1"),
            ("hsetex h fxx fields 1 n2 5", ":0"),
            ("hsetex h fxx fields 1 n1 6", ":1"),
            ("hsetex h fnx fxx fields 1 n1 6", SYNTAX),
            ("hsetex h nx fields 1 n1 6", ":0"),
            ("hsetex h xx fields 1 n1 7", ":1"),
            ("hsetex nokey xx fields 1 n1 7", ":0"),
            ("hsetex h nx ex abc fields 1 n1 7", ":0"),
            ("hsetex h fnx ex abc fields 1 n1 7", "-ERR value is not an integer or out of range"),
            ("hsetex nokey2 nx fields 1 n1 7", ":1"),
            ("hsetex h nx xx fields 1 a 5", SYNTAX),
            ("hsetex h ex 10 px 10 fields 1 a 5", SYNTAX),
            ("hsetex h ex 10 keepttl fields 1 a 5", SYNTAX),
            ("hsetex h keepttl ex 10 fields 1 a 5", SYNTAX),
            ("hsetex h keepttl keepttl fields 1 a 5", ":1"),
            ("hsetex h persist fields 1 a 5", SYNTAX),
            ("hsetex h ex -1 fields 1 a 5", "-ERR invalid expire time in 'hsetex' command"),
            ("hsetex h ex abc fields 1 a 5", "-ERR value is not an integer or out of range"),
            ("hsetex h fields 0 a 5", NUMFIELDS),
            ("hsetex h fields 2 a 5", NUMFIELDS),
            ("hsetex h fields 1 a 5 b", NUMFIELDS),
            ("hsetex h fields 1 a 5 ex 10", NUMFIELDS),
            ("hsetex h ex abc a 5", NUMFIELDS),
            ("hsetex h foo fields 2 a 5", "-ERR syntax error"),
            ("hsetex h pxat fields fields 1 a 5", "-ERR syntax error"),
            ("hsetex h fields x a 5", "-ERR value is not an integer or out of range"),
            ("hsetex s ex -1 fields 1 a 5", WRONG),
            ("hsetex s xx fields 1 a 5", WRONG),
            ("hsetex h exat 1 fields 1 a 5", ":1"),
            ("hexists h a", ":0"),
            ("hsetex newh exat 1 fields 1 a 5", ":1"),
            ("exists newh", ":0"),
            ("hsetex h px 5 fnx fields 2 x 1 y 2", ":1"),
        ]);
        assert_eq!(t.effect(), Effect::Recorded { changes: 2 });
        assert_eq!(t.recorded(), [format!("HSETEX h PXAT {} FIELDS 2 x 1 y 2", START.0 + 5)]);
    }
}
