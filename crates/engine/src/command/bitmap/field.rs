//! BITFIELD and BITFIELD_RO: integers of any width at any bit.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::bits::{FieldKind, Overflow};

use super::bit_offset;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::{Events, Key, Keyspace};
use crate::{CommandError, Cx, Effect};

pub(super) const BITFIELD: Command = Command {
    name: "bitfield",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(
        1,
        KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
    )
    .noting("Reads the string and may change it")],
    group: Group::Bitmap,
    since: "3.2.0",
    complexity: "O(1) for each operation.",
    summary: "Reads, sets and increments integers of any width at any bit of the string under a key.",
    args: &[
        Arg::key("key", 0),
        Arg::one_of(
            "operation",
            &[
                Arg::block(
                    "encoding_offset",
                    &[Arg::new("encoding", ArgKind::String), Arg::new("offset", ArgKind::Integer)],
                )
                .with_token("GET"),
                Arg::block(
                    "write",
                    &[
                        Arg::one_of(
                            "wrap_sat_fail",
                            &[Arg::token("wrap", "WRAP"), Arg::token("sat", "SAT"), Arg::token("fail", "FAIL")],
                        )
                        .with_token("OVERFLOW")
                        .optional(),
                        Arg::one_of(
                            "write_operation",
                            &[
                                Arg::block(
                                    "encoding_offset_value",
                                    &[
                                        Arg::new("encoding", ArgKind::String),
                                        Arg::new("offset", ArgKind::Integer),
                                        Arg::new("value", ArgKind::Integer),
                                    ],
                                )
                                .with_token("SET"),
                                Arg::block(
                                    "encoding_offset_increment",
                                    &[
                                        Arg::new("encoding", ArgKind::String),
                                        Arg::new("offset", ArgKind::Integer),
                                        Arg::new("increment", ArgKind::Integer),
                                    ],
                                )
                                .with_token("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .optional()
        .multiple(),
    ],
    handler: Handler::Shard(bitfield),
    ..Command::EMPTY
};

pub(super) const BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Bitmap,
    since: "6.0.0",
    complexity: "O(1) for each operation.",
    summary: "Reads integers of any width at any bit of the string under a key.",
    args: &[
        Arg::key("key", 0),
        Arg::block("encoding_offset", &[Arg::new("encoding", ArgKind::String), Arg::new("offset", ArgKind::Integer)])
            .with_token("GET")
            .optional()
            .multiple()
            .multiple_token(),
    ],
    handler: Handler::Shard(bitfield_ro),
    ..Command::EMPTY
};

/// One operation on a field.
struct Step {
    kind: FieldKind,
    at: u64,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

fn bitfield(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let steps = parse(&cx.ks, args)?;
    let end = steps.iter().filter(|step| !matches!(step.action, Action::Get)).map(Step::end).max();
    let Some(end) = end else { return get_all(cx, args, &steps) };
    let key = cx.ks.key(args, 1);
    let (len, is_raw) = match cx.ks.for_write(key) {
        Some(value) => (string(value)?.len(), value.encoding() == "raw"),
        None => (0, false),
    };
    // Redis makes the string long enough even if no operation succeeds then, which nobody is told of.
    let len_needed = (end.div_ceil(8)) as usize;
    let grows = len < len_needed;
    if grows {
        cx.ks.set_range_unwatched(key, len_needed - 1, &[0]);
    }
    let mut changes = 0;
    cx.out.array(steps.len());
    for step in &steps {
        let old = get(&mut cx.ks, key, step);
        let (new, reply) = match step.action {
            Action::Get => (Some(old), Some(old)),
            Action::Set(value, overflow) => {
                let new = step.kind.fit(value, overflow);
                (new, new.map(|_| old))
            }
            Action::Increment(by, overflow) => {
                let new = step.kind.increment(old, by, overflow);
                (new, new)
            }
        };
        match reply {
            Some(value) => cx.out.int(value),
            None => cx.out.null(),
        }
        if let Some(new) = new
            && !matches!(step.action, Action::Get)
            && (new != old || grows)
        {
            set(&mut cx.ks, key, step, new);
            changes += 1;
        }
    }
    if changes == 0 && !is_raw {
        // Its encoding does change.
        cx.ks.make_raw(key);
    }
    if changes > 0 {
        cx.ks.notify(Events::STRING, "setbit", key);
    }
    Ok(if changes > 0 || grows { Effect::AsSent { changes: changes.max(1) } } else { Effect::None })
}

fn bitfield_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let steps = parse(&cx.ks, args)?;
    if steps.iter().any(|step| !matches!(step.action, Action::Get)) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    get_all(cx, args, &steps)
}

fn get_all(cx: &mut Cx<'_>, args: Args<'_>, steps: &[Step]) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let mut digits = [0; 20];
    let value = cx.ks.read(key);
    let bytes = match &value {
        Some(value) => string(*value).map(|_| value.as_bytes(&mut digits))?,
        None => &[],
    };
    cx.out.array(steps.len());
    steps.iter().for_each(|step| cx.out.int(step.kind.get(bytes, step.at)));
    Ok(Effect::None)
}

/// The field's value as it is.
fn get(ks: &mut Keyspace<'_>, key: Key<'_>, step: &Step) -> i64 {
    let mut digits = [0; 20];
    ks.peek(key).map_or(0, |value| step.kind.get(value.as_bytes(&mut digits), step.at))
}

/// Writes the field, by the bytes that it touches.
fn set(ks: &mut Keyspace<'_>, key: Key<'_>, step: &Step, value: i64) {
    const TOUCHED_MAX: usize = 9;
    let (first, end) = ((step.at / 8) as usize, step.end().div_ceil(8) as usize);
    let mut window = [0; TOUCHED_MAX];
    let window = &mut window[..end - first];
    if let Some(old) = ks.peek(key) {
        window.copy_from_slice(&old.as_bytes(&mut [0; 20])[first..end]);
    }
    step.kind.set(window, step.at % 8, value);
    ks.set_range(key, first, window);
}

impl Step {
    /// The bit behind the field.
    fn end(&self) -> u64 {
        self.at + u64::from(self.kind.bits)
    }
}

fn parse(ks: &Keyspace<'_>, args: Args<'_>) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::with_capacity((args.len() - 2) / 3);
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        let named = |name: &str, words: usize| args.get(at).eq_ignore_ascii_case(name.as_bytes()) && left >= words;
        if named("OVERFLOW", 1) {
            overflow = overflow_named(args.get(at + 1))?;
            at += 2;
            continue;
        }
        let (is_set, is_get) = (named("SET", 3), named("GET", 2));
        if !is_get && !is_set && !named("INCRBY", 3) {
            return Err(CommandError::Syntax);
        }
        let kind = kind_named(args.get(at + 1))?;
        let place = bit_offset(ks, args.get(at + 2), Some(kind.bits))?;
        let action = if is_get {
            Action::Get
        } else {
            let value = parse_i64(args.get(at + 3)).ok_or(CommandError::NotInteger)?;
            if is_set { Action::Set(value, overflow) } else { Action::Increment(value, overflow) }
        };
        steps.push(Step { kind, at: place, action });
        at += if is_get { 3 } else { 4 };
    }
    Ok(steps)
}

/// What happens to the key: only a BITFIELD that does more than GET writes.
pub fn key_flags(args: Args<'_>) -> KeyFlags {
    let mut at = 2;
    while at < args.len() {
        if !args.get(at).eq_ignore_ascii_case(b"GET") || args.len() - at <= 2 {
            return KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        }
        at += 3;
    }
    KeyFlags::RO | KeyFlags::ACCESS
}

fn overflow_named(name: &[u8]) -> Result<Overflow, CommandError> {
    let all = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let found = all.into_iter().find(|(one, _)| name.eq_ignore_ascii_case(one.as_bytes()));
    found.map(|(_, overflow)| overflow).ok_or(CommandError::text("ERR Invalid OVERFLOW type specified"))
}

/// "i1" to "i64", "u1" to "u63".
fn kind_named(name: &[u8]) -> Result<FieldKind, CommandError> {
    let (signed, digits) = match name {
        [b'i', digits @ ..] => (true, digits),
        [b'u', digits @ ..] => (false, digits),
        _ => (false, &b""[..]),
    };
    match parse_i64(digits) {
        Some(bits) if bits >= 1 && bits <= if signed { 64 } else { 63 } => Ok(FieldKind { signed, bits: bits as u32 }),
        _ => Err(CommandError::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        )),
    }
}
