//! Members by chance: SPOP, which takes them out, and SRANDMEMBER.
//!
//! What SPOP took is not to be told from its arguments, so it is recorded as the SREM that takes the same.

use std::collections::BTreeSet;

use pinyon_base::number::parse_i64;
use pinyon_resp::{Args, Writer};
use pinyon_values::set::{Set, SetRef};

use super::write_item;
use crate::command::hash::walk::{check_repeats, parse_random_count};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

/// Members named in one recorded SREM.
const RECORDED_AT_ONCE: usize = 1024;

pub const SPOP: Command = Command {
    name: "spop",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1) without a count, otherwise O(N) where N is the count.",
    summary: "Takes random members out of a set and returns them.",
    history: &[("3.2.0", "A count.")],
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0), Arg::new("count", ArgKind::Integer).optional().since("3.2.0")],
    handler: Handler::Shard(spop),
    ..Command::EMPTY
};

fn spop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    match args.len() {
        2 => spop_one(cx, args),
        3 => spop_many(cx, args),
        _ => Err(CommandError::Syntax),
    }
}

fn spop_one(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    let Some(set) = cx.ks.update::<Set>(key)? else {
        cx.out.null();
        return Ok(Effect::None);
    };
    let mut popped = Popped::default();
    set.pop(&mut || rng.next_u64(), &mut |member| {
        cx.out.bulk(member);
        popped.keep(member);
    });
    cx.ks.changed_by::<Set>(key, "spop");
    cx.ks.record(&[b"SREM", key.bytes, popped.bytes()]);
    Ok(Effect::Recorded { changes: 1 })
}

/// A count that may not be negative.
pub(in crate::command) fn positive_count(arg: &[u8]) -> Result<usize, CommandError> {
    parse_i64(arg)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(CommandError::text("ERR value is out of range, must be positive"))
}

/// The member taken: in place up to a usual length, so that nothing is allocated for it.
struct Popped {
    short: [u8; 128],
    len: usize,
    long: Vec<u8>,
}

impl Default for Popped {
    fn default() -> Popped {
        Popped { short: [0; 128], len: 0, long: Vec::new() }
    }
}

impl Popped {
    fn keep(&mut self, member: &[u8]) {
        self.len = member.len();
        match self.short.get_mut(..member.len()) {
            Some(place) => place.copy_from_slice(member),
            None => self.long = member.to_vec(),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.short.get(..self.len).unwrap_or(&self.long)
    }
}

fn spop_many(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let count = positive_count(args.get(2))?;
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    let Some(set) = cx.ks.update::<Set>(key)?.filter(|_| count > 0) else {
        cx.out.set(0);
        return Ok(Effect::None);
    };
    let members = set.len();
    if count >= members {
        cx.out.set(members);
        set.scan(0, usize::MAX, &mut |member| write_item(&mut cx.out, member));
        cx.ks.remove_lazy(key);
        cx.ks.notify(Events::SET, "spop", key);
        cx.ks.notify(Events::GENERIC, "del", key);
        cx.ks.record(&[b"DEL", key.bytes]);
        return Ok(Effect::recorded(members));
    }
    let mut taken: Vec<Vec<u8>> = Vec::with_capacity(count);
    cx.out.set(count);
    for _ in 0..count {
        set.pop(&mut || rng.next_u64(), &mut |member| {
            cx.out.bulk(member);
            taken.push(member.to_vec());
        });
    }
    cx.ks.changed_by::<Set>(key, "spop");
    for some in taken.chunks(RECORDED_AT_ONCE) {
        cx.ks.record_with(&[b"SREM", key.bytes], some.iter().map(Vec::as_slice));
    }
    Ok(Effect::recorded(count))
}

pub const SRANDMEMBER: Command = Command {
    name: "srandmember",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1) without a count, otherwise O(N) where N is the absolute count.",
    summary: "Returns random members of a set.",
    history: &[("2.6.0", "A count.")],
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0), Arg::new("count", ArgKind::Integer).optional().since("2.6.0")],
    handler: Handler::Shard(srandmember),
    ..Command::EMPTY
};

fn srandmember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    match args.len() {
        2 => {
            let key = cx.ks.key(args, 1);
            let mut rng = cx.ks.rng();
            match cx.ks.read_as::<Set>(key)?.and_then(|set| set.random(&mut || rng.next_u64())) {
                Some(member) => write_item(&mut cx.out, member),
                None => cx.out.null(),
            }
        }
        3 => srandmember_many(cx, args)?,
        _ => return Err(CommandError::Syntax),
    }
    Ok(Effect::None)
}

/// A negative count may give the same member several times.
fn srandmember_many(cx: &mut Cx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = parse_random_count(args.get(2))?;
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    let mut random = || rng.next_u64();
    let Some(set) = cx.ks.read_as::<Set>(key)?.filter(|_| count != 0) else {
        cx.out.array(0);
        return Ok(());
    };
    check_repeats(count)?;
    let wanted = count.unsigned_abs() as usize;
    if count < 0 {
        cx.out.array(wanted);
        for _ in 0..wanted {
            if let Some(member) = set.random(&mut random) {
                write_item(&mut cx.out, member);
            }
        }
    } else if wanted >= set.len() {
        cx.out.array(set.len());
        set.scan(0, usize::MAX, &mut |member| write_item(&mut cx.out, member));
    } else {
        cx.out.array(wanted);
        distinct(set, wanted, &mut random, &mut cx.out);
    }
    Ok(())
}

/// Writes some, not all, of the members, each only once.
fn distinct(set: SetRef<'_>, wanted: usize, random: &mut dyn FnMut() -> u64, out: &mut Writer<'_>) {
    if wanted * 3 > set.len() {
        // Most of them: every member has its chance to be among those left.
        let (mut left, mut wanted) = (set.len(), wanted);
        set.scan(0, usize::MAX, &mut |member| {
            if ((u128::from(random()) * left as u128) >> 64) < wanted as u128 {
                write_item(out, member);
                wanted -= 1;
            }
            left -= 1;
        });
        return;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < wanted {
        let Some(member) = set.random(random) else { return };
        let member = member.to_vec();
        if !seen.contains(&member) {
            out.bulk(&member);
            seen.insert(member);
        }
    }
}
