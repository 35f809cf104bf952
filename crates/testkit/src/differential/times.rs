//! Deadlines that do not decide anything: two servers never do the same at the same millisecond, so a generated deadline is
//! either past or far away, relative ones far apart from each other, and absolute ones farther than all relative ones.
//!
//! ```text
//!        past         now    relative: 1 day … 9.5 years     absolute: 2065 …
//! ────────────────────┼──────┼──────────────────────┼────────┼──────────────▶
//!                                                   RELATIVE_END
//! ```

use pinyon_base::parse_i64;
use pinyon_engine::command::row::{Arg, ArgKind, Command};

use crate::Random;

/// Unix milliseconds: deadlines below come from relative times, and may differ by how long a call took to arrive.
pub(super) const RELATIVE_END_MS: i64 = 2_500_000_000_000;

const RELATIVE_MIN_MS: i64 = 100_000_000;
const RELATIVE_MAX_MS: i64 = 300_000_000_000;
const ABSOLUTE_PAST_MS: i64 = 1_000_000_000_000;
const ABSOLUTE_MIN_MS: i64 = 3_000_000_000_000;
const ABSOLUTE_MAX_MS: i64 = 9_000_000_000_000;
/// So close to the end of the range that adding the present time to it must overflow.
const OVERFLOWS_MS: i64 = i64::MAX - 1_000_000_000_000;

/// What a number means as a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeArg {
    milliseconds: bool,
    absolute: bool,
}

impl TimeArg {
    /// If `arg` is a time, which.
    pub fn of(arg: &Arg) -> Option<TimeArg> {
        let is_number = matches!(arg.kind, ArgKind::Integer | ArgKind::UnixTime);
        (is_number && arg.name.ends_with("seconds")).then(|| TimeArg {
            milliseconds: arg.name.ends_with("milliseconds"),
            absolute: arg.kind == ArgKind::UnixTime,
        })
    }

    fn unit(self) -> i64 {
        if self.milliseconds { 1 } else { 1000 }
    }

    /// A time that is far or past, or an edge of the range.
    pub fn random(self, random: &mut Random) -> Vec<u8> {
        const EDGES: &[i64] = &[
            0,
            -1,
            -1000,
            i64::MAX,
            i64::MIN,
            i64::MAX / 1000,
            i64::MAX / 1000 + 1,
            i64::MIN / 1000,
            i64::MIN / 1000 - 1,
        ];
        let number = match random.below(10) {
            0 => EDGES[random.below(EDGES.len())],
            1 => random.between(-100_000, -1),
            2 => return random.pick(&[&b"abc"[..], b"", b"1.5", b"99999999999999999999"]).to_vec(),
            _ => self.far(random),
        };
        (if self.is_safe(number) { number } else { self.far(random) }).to_string().into_bytes()
    }

    fn far(self, random: &mut Random) -> i64 {
        let range = if self.absolute { (ABSOLUTE_MIN_MS, ABSOLUTE_MAX_MS) } else { (RELATIVE_MIN_MS, RELATIVE_MAX_MS) };
        random.between(range.0 / self.unit(), range.1 / self.unit())
    }

    /// Whether the present time makes no difference to what this number does.
    fn is_safe(self, number: i64) -> bool {
        let unit = self.unit();
        if self.absolute {
            number <= ABSOLUTE_PAST_MS / unit || number >= ABSOLUTE_MIN_MS / unit
        } else {
            number <= 0
                || (RELATIVE_MIN_MS / unit..=RELATIVE_MAX_MS / unit).contains(&number)
                || number >= OVERFLOWS_MS / unit
        }
    }
}

/// Where a command takes times: after these tokens, and perhaps at a fixed position.
#[derive(Clone, Debug, Default)]
pub(super) struct TimePlaces {
    tokens: Vec<(&'static str, TimeArg)>,
    position: Option<(usize, TimeArg)>,
}

impl TimePlaces {
    /// `words`: how many arguments the command's name takes.
    pub fn of(row: &Command, words: usize) -> TimePlaces {
        let mut places = TimePlaces::default();
        for (i, arg) in row.args.iter().enumerate() {
            if let (Some(time), None) = (TimeArg::of(arg), arg.token) {
                places.position = Some((words + i, time));
            }
            places.collect(arg);
        }
        places
    }

    fn collect(&mut self, arg: &Arg) {
        if let (Some(time), Some(token)) = (TimeArg::of(arg), arg.token) {
            self.tokens.push((token, time));
        }
        for inner in arg.args {
            self.collect(inner);
        }
    }

    /// Replaces what would be a deadline near the present by one far away.
    pub fn make_safe(&self, args: &mut [Vec<u8>], random: &mut Random) {
        for i in 1..args.len() {
            let by_token = self
                .tokens
                .iter()
                .find(|(token, _)| args[i - 1].eq_ignore_ascii_case(token.as_bytes()))
                .map(|(_, time)| *time);
            let by_position = self.position.filter(|(position, _)| *position == i).map(|(_, time)| time);
            for time in by_token.into_iter().chain(by_position) {
                if parse_i64(&args[i]).is_some_and(|number| !time.is_safe(number)) {
                    args[i] = time.far(random).to_string().into_bytes();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: TimeArg = TimeArg { milliseconds: false, absolute: false };
    const AT_MILLISECONDS: TimeArg = TimeArg { milliseconds: true, absolute: true };

    #[test]
    fn near_times_are_replaced_and_far_ones_stay() {
        let places =
            TimePlaces { tokens: vec![("EX", SECONDS), ("PXAT", AT_MILLISECONDS)], position: Some((2, SECONDS)) };
        let safe = |args: &[&str]| {
            let mut args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
            places.make_safe(&mut args, &mut Random::new(1));
            args
        };
        for stays in [&["SET", "k", "-5", "ex", "200000"][..], &["SET", "k", "abc", "PXAT", "4000000000000", "EX"]] {
            assert_eq!(safe(stays), stays.iter().map(|arg| arg.as_bytes().to_vec()).collect::<Vec<_>>());
        }
        for changes in
            [&["SET", "k", "10"][..], &["SET", "k", "v", "Ex", "5"], &["SET", "k", "v", "PXAT", "1800000000000"]]
        {
            assert_ne!(safe(changes).last().map(Vec::as_slice), changes.last().map(|arg| arg.as_bytes()));
        }
    }
}
