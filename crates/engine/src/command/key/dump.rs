//! DUMP and RESTORE: one value as bytes, out of one server and into another.

use pinyon_base::Millis;
use pinyon_base::number::parse_i64;
use pinyon_resp::Args;
use pinyon_values::codec::dump::PayloadError;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Loaded, Ttl, payload_of};
use crate::{CommandError, Cx, Effect};

pub(super) const DUMP: Command = Command {
    name: "dump",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Returns a key's value as bytes that RESTORE takes, here or on a Redis server.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(dump),
    ..Command::EMPTY
};

pub(super) const RESTORE: Command = Command {
    name: "restore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value; O(N*log(N)) for sorted sets.",
    summary: "Makes a key out of what DUMP returned.",
    history: &[("3.0.0", "REPLACE."), ("5.0.0", "ABSTTL."), ("5.0.0", "IDLETIME and FREQ.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("ttl", ArgKind::Integer),
        Arg::new("serialized-value", ArgKind::String),
        Arg::token("replace", "REPLACE").optional().since("3.0.0"),
        Arg::token("absttl", "ABSTTL").optional().since("5.0.0"),
        Arg::new("seconds", ArgKind::Integer).with_token("IDLETIME").optional().since("5.0.0"),
        Arg::new("frequency", ArgKind::Integer).with_token("FREQ").optional().since("5.0.0"),
    ],
    handler: Handler::Shard(restore),
    ..Command::EMPTY
};

fn dump(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read(key) {
        Some(value) => cx.out.bulk(&payload_of(value)),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut i = 4;
        while i < args.len() {
            let word = args.get(i);
            let number = || parse_i64(args.get(i + 1)).ok_or(CommandError::NotInteger);
            let has_value = i + 1 < args.len();
            if word.eq_ignore_ascii_case(b"replace") {
                options.replace = true;
            } else if word.eq_ignore_ascii_case(b"absttl") {
                options.absolute = true;
            } else if word.eq_ignore_ascii_case(b"idletime") && has_value && options.frequency.is_none() {
                let refused = CommandError::text("ERR Invalid IDLETIME value, must be >= 0");
                options.idle_seconds = Some(u64::try_from(number()?).map_err(|_| refused)?);
                i += 1;
            } else if word.eq_ignore_ascii_case(b"freq") && has_value && options.idle_seconds.is_none() {
                let refused = CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(u8::try_from(number()?).map_err(|_| refused)?);
                i += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            i += 1;
        }
        Ok(options)
    }
}

fn restore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let options = Options::parse(args)?;
    let key = cx.ks.key(args, 1);
    if !options.replace && cx.ks.for_write(key).is_some() {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let ttl = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    if ttl < 0 {
        return Err(CommandError::text("ERR Invalid TTL value, must be >= 0"));
    }
    let value = Loaded::of(args.get(3), cx.ks.limits()).map_err(|error| match error {
        PayloadError::Footer => CommandError::text("ERR DUMP payload version or checksum are wrong"),
        PayloadError::Value(_) => CommandError::text("ERR Bad data format"),
    })?;
    let now = cx.ks.now();
    let ttl = match (ttl, options.absolute) {
        (0, _) => Ttl::Clear,
        (at, true) => Ttl::At(Millis(at)),
        (after, false) => Ttl::At(Millis(now.0.saturating_add(after))),
    };
    cx.out.ok();
    // Its deadline has passed already: as if it had expired at once.
    if matches!(ttl, Ttl::At(at) if at <= now) {
        let was_there = cx.ks.remove(key);
        if was_there {
            cx.ks.notify(Events::GENERIC, "del", key);
        }
        return Ok(if was_there { Effect::Deleted { key: 1 } } else { Effect::None });
    }
    if options.replace && cx.ks.for_write(key).is_some() {
        // Not overwritten but made anew.
        cx.ks.notify(Events::NEW, "new", key);
    }
    cx.ks.put_loaded(key, value, ttl);
    cx.ks.notify(Events::GENERIC, "restore", key);
    cx.ks.set_usage(key, options.idle_seconds, options.frequency);
    Ok(Effect::Put { key: 1 })
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
