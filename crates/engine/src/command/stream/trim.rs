//! Trimming: XTRIM, and the options of XADD that do the same.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::stream::{BlockLimits, Stream, TrimTo};

use super::id::{self, IdText};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub(super) const XTRIM: Command = Command {
    name: "xtrim",
    arity: -4,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries taken off.",
    summary: "Takes entries off the old end of a stream.",
    history: &[("6.2.0", "Trimming by `MINID`, and `LIMIT`.")],
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::block(
            "trim",
            &[
                Arg::one_of("strategy", &[Arg::token("maxlen", "MAXLEN"), Arg::token("minid", "MINID").since("6.2.0")]),
                Arg::one_of("operator", &[Arg::token("equal", "="), Arg::token("approximately", "~")]).optional(),
                Arg::new("threshold", ArgKind::String),
                Arg::new("count", ArgKind::Integer).with_token("LIMIT").optional().since("6.2.0"),
            ],
        ),
    ],
    handler: Handler::Shard(xtrim),
    ..Command::EMPTY
};

/// How to trim.
#[derive(Clone, Copy)]
pub struct Trim {
    pub to: TrimTo,
    /// Whole blocks only, and so many entries at most.
    pub is_approximate: bool,
    limit: u64,
}

/// What the options say before they are checked together.
#[derive(Default)]
pub struct TrimOptions {
    to: Option<(TrimTo, bool)>,
    limit: Option<u64>,
}

impl TrimOptions {
    /// Reads an option, if one is at `at`; gives the position behind it.
    pub fn read(&mut self, args: Args<'_>, at: usize) -> Result<Option<usize>, CommandError> {
        let more = args.len() - 1 - at;
        let named = |name: &str| more > 0 && args.get(at).eq_ignore_ascii_case(name.as_bytes());
        if named("LIMIT") {
            let limit = parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?;
            let limit = u64::try_from(limit).map_err(|_| CommandError::text("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
            return Ok(Some(at + 2));
        }
        let by_length = named("MAXLEN");
        if !by_length && !named("MINID") {
            return Ok(None);
        }
        if self.to.is_some() {
            return Err(CommandError::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let sign = if more >= 2 { args.get(at + 1) } else { b"" };
        let value_at = at + if sign == b"~" || sign == b"=" { 2 } else { 1 };
        let value = args.get(value_at);
        let to = if by_length {
            let length = parse_i64(value).ok_or(CommandError::NotInteger)?;
            let length =
                u64::try_from(length).map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?;
            TrimTo::Length(length)
        } else {
            TrimTo::From(id::parse_strict(value, 0)?)
        };
        self.to = Some((to, sign == b"~"));
        Ok(Some(value_at + 1))
    }

    /// Checks the options against each other.
    pub fn finish(self, blocks: &BlockLimits) -> Result<Option<Trim>, CommandError> {
        let Some((to, is_approximate)) = self.to else {
            return match self.limit {
                Some(limit) if limit > 0 => Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ => Ok(None),
            };
        };
        if self.limit.is_some() && !is_approximate {
            return Err(CommandError::text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        // A hundred blocks, so that one trim does not take too long.
        let usual = match blocks.entries as u64 {
            0 => 10_000,
            entries => entries.saturating_mul(100).min(1_000_000),
        };
        Ok(Some(Trim { to, is_approximate, limit: self.limit.unwrap_or(if is_approximate { usual } else { 0 }) }))
    }
}

impl Trim {
    /// Trims; gives how many entries are gone.
    pub fn apply(&self, stream: &mut Stream) -> u64 {
        stream.trim(self.to, self.is_approximate, self.limit)
    }

    /// The words that trim exactly to what the stream is now.
    pub fn exact_words(stream: &Stream, to: TrimTo) -> (&'static [u8], Vec<u8>) {
        match to {
            TrimTo::Length(_) => (b"MAXLEN", stream.len().to_string().into_bytes()),
            TrimTo::From(least) => {
                let first = stream.first_entry().unwrap_or(least);
                (b"MINID", IdText::of(first).as_bytes().to_vec())
            }
        }
    }
}

fn xtrim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut options = TrimOptions::default();
    let mut at = 2;
    while at < args.len() {
        at = options.read(args, at)?.ok_or(CommandError::Syntax)?;
    }
    let trim = options.finish(&cx.ks.limits().stream)?;
    let trim = trim.ok_or(CommandError::text("ERR syntax error, XTRIM must be called with a trimming strategy"))?;
    let key = cx.ks.key(args, 1);
    let Some(stream) = cx.ks.update::<Stream>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let taken = trim.apply(stream);
    cx.out.int(taken as i64);
    if taken == 0 {
        return Ok(Effect::None);
    }
    let changes = u32::try_from(taken).unwrap_or(u32::MAX);
    let exact = trim.is_approximate.then(|| Trim::exact_words(stream, trim.to));
    cx.ks.changed_by::<Stream>(key, "xtrim");
    Ok(match exact {
        None => Effect::AsSent { changes },
        Some((strategy, value)) => {
            cx.ks.record(&[b"XTRIM", key.bytes, strategy, b"=", &value]);
            Effect::Recorded { changes }
        }
    })
}
