//! The options that SET, GETEX and MSETEX share: conditions (NX, XX, IFEQ), GET, and what becomes of the deadline.
//!
//! Options are read first, all of them, and only then are their numbers looked at: a syntax error anywhere wins over a
//! number that is out of range.

use pinyon_base::{Millis, parse_i64};
use pinyon_resp::Args;

use crate::CommandError;
use crate::command::row::{Arg, ArgKind};
use crate::keyspace::Ttl;

/// Which options a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Set,
    GetEx,
    MsetEx,
}

/// When a value is stored at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    Always,
    /// NX: no key is there.
    Absent,
    /// XX: every key is there.
    Present,
    /// IFEQ: the key holds exactly this string.
    Equals(&'a [u8]),
}

/// What becomes of the deadline, with the number not yet read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline<'a> {
    Unsaid,
    Keep,
    Persist,
    At { number: &'a [u8], unit: Unit, from_now: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    pub(super) condition: Condition<'a>,
    pub(super) get: bool,
    deadline: Deadline<'a>,
}

/// An option's name in lower case, packed into a word. Options are letters only, for which setting bit 5 is
/// lower-casing.
const fn packed(name: &[u8]) -> u64 {
    let mut word = 0;
    let mut i = 0;
    while i < name.len() {
        word |= ((name[i] | 0x20) as u64) << (8 * i);
        i += 1;
    }
    word
}

const NX: u64 = packed(b"nx");
const XX: u64 = packed(b"xx");
const GET: u64 = packed(b"get");
const IFEQ: u64 = packed(b"ifeq");
const KEEPTTL: u64 = packed(b"keepttl");
const PERSIST: u64 = packed(b"persist");
const EX: u64 = packed(b"ex");
const PX: u64 = packed(b"px");
const EXAT: u64 = packed(b"exat");
const PXAT: u64 = packed(b"pxat");

impl<'a> Options<'a> {
    /// Reads the options from argument `at` to the end.
    pub(super) fn parse(args: Args<'a>, mut at: usize, taker: Taker) -> Result<Options<'a>, CommandError> {
        let mut options = Options { condition: Condition::Always, get: false, deadline: Deadline::Unsaid };
        while at < args.len() {
            let name = args.get(at);
            let word = if name.len() <= 8 { packed(name) } else { 0 };
            let timed = matches!(options.deadline, Deadline::Unsaid | Deadline::At { .. });
            match word {
                NX if taker != Taker::GetEx && matches!(options.condition, Condition::Always | Condition::Absent) => {
                    options.condition = Condition::Absent;
                }
                XX if taker != Taker::GetEx && matches!(options.condition, Condition::Always | Condition::Present) => {
                    options.condition = Condition::Present;
                }
                IFEQ if taker == Taker::Set && options.condition == Condition::Always && at + 1 < args.len() => {
                    at += 1;
                    options.condition = Condition::Equals(args.get(at));
                }
                GET if taker == Taker::Set => options.get = true,
                KEEPTTL if taker != Taker::GetEx && matches!(options.deadline, Deadline::Unsaid | Deadline::Keep) => {
                    options.deadline = Deadline::Keep;
                }
                PERSIST
                    if taker == Taker::GetEx && matches!(options.deadline, Deadline::Unsaid | Deadline::Persist) =>
                {
                    options.deadline = Deadline::Persist;
                }
                EX | PX | EXAT | PXAT if timed && at + 1 < args.len() => {
                    let unit = if word == EX || word == EXAT { Unit::Seconds } else { Unit::Millis };
                    let from_now = word == EX || word == PX;
                    // The same option may be repeated, the last one counts; two different ones contradict each other.
                    if let Deadline::At { unit: u, from_now: f, .. } = options.deadline
                        && (u, f) != (unit, from_now)
                    {
                        return Err(CommandError::Syntax);
                    }
                    at += 1;
                    options.deadline = Deadline::At { number: args.get(at), unit, from_now };
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(options)
    }

    /// What SET and MSETEX do with the deadline. `command` names the command in the error.
    pub(super) fn ttl_of_set(&self, now: Millis, command: &'static str) -> Result<Ttl, CommandError> {
        match self.deadline {
            Deadline::Unsaid => Ok(Ttl::Clear),
            _ => Ok(self.ttl_of_getex(now, command)?.unwrap_or(Ttl::Clear)),
        }
    }

    /// What GETEX does with the deadline; `None`: nothing.
    pub(super) fn ttl_of_getex(&self, now: Millis, command: &'static str) -> Result<Option<Ttl>, CommandError> {
        match self.deadline {
            Deadline::Unsaid => Ok(None),
            Deadline::Keep => Ok(Some(Ttl::Keep)),
            Deadline::Persist => Ok(Some(Ttl::Clear)),
            Deadline::At { number, unit, from_now } => {
                deadline(number, unit == Unit::Seconds, from_now.then_some(now), command).map(|at| Some(Ttl::At(at)))
            }
        }
    }

    /// Whether the deadline is given as a moment of unix time, which alone may lie in the past.
    pub(super) fn is_absolute(&self) -> bool {
        matches!(self.deadline, Deadline::At { from_now: false, .. })
    }
}

/// The moment that `number` seconds or milliseconds after `from` (or after the epoch) is. Not positive or out of range:
/// "invalid expire time in '<command>' command".
pub(super) fn deadline(
    number: &[u8],
    seconds: bool,
    from: Option<Millis>,
    command: &'static str,
) -> Result<Millis, CommandError> {
    let count = parse_i64(number).ok_or(CommandError::NotInteger)?;
    let millis = if seconds { count.checked_mul(1000) } else { Some(count) };
    millis
        .filter(|&ms| ms > 0)
        .and_then(|ms| ms.checked_add(from.map_or(0, |now| now.0)))
        .map(Millis)
        .ok_or(CommandError::InvalidExpire(command))
}

/// The grammar of EX, PX, EXAT and PXAT, without the versions in which they came.
pub(super) const EX_ARG: Arg = Arg::new("seconds", ArgKind::Integer).with_token("EX");
pub(super) const PX_ARG: Arg = Arg::new("milliseconds", ArgKind::Integer).with_token("PX");
pub(super) const EXAT_ARG: Arg = Arg::new("unix-time-seconds", ArgKind::UnixTime).with_token("EXAT");
pub(super) const PXAT_ARG: Arg = Arg::new("unix-time-milliseconds", ArgKind::UnixTime).with_token("PXAT");
pub(super) const KEEPTTL_ARG: Arg = Arg::token("keepttl", "KEEPTTL");
pub(super) const NX_ARG: Arg = Arg::token("nx", "NX");
pub(super) const XX_ARG: Arg = Arg::token("xx", "XX");
