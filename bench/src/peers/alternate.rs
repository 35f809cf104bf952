//! The order of rounds: A B C A B C …, so that a slow minute of the machine hits all servers, and a disturbed round at once
//! once more, as long as there is time for that. It knows nothing of what a round is.

use std::time::{Duration, Instant};

/// How often a disturbed round is repeated at most.
const REPEATS_MAX: usize = 2;

/// The time there is for repeating disturbed rounds, over the whole campaign.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: Duration,
    /// How many rounds were repeated so far.
    pub repeated: usize,
}

impl Allowance {
    pub fn new(left: Duration) -> Allowance {
        Allowance { left, repeated: 0 }
    }

    /// Whether a round that took as long may be repeated; if so, its time is taken off.
    fn take(&mut self, round: Duration) -> bool {
        let enough = self.left >= round;
        if enough {
            self.left -= round;
            self.repeated += 1;
        }
        enough
    }
}

/// Measures `servers` servers for `rounds` rounds in turn. `measure(server, round)` with rounds from 1 says whether the round
/// was quiet; a server for which it fails is left out from then on, and is in the result with its error.
pub fn alternate(
    servers: usize,
    rounds: usize,
    allowance: &mut Allowance,
    mut measure: impl FnMut(usize, usize) -> Result<bool, String>,
) -> Vec<(usize, String)> {
    let mut failed: Vec<(usize, String)> = Vec::new();
    for round in 1..=rounds {
        for server in 0..servers {
            if failed.iter().any(|(index, _)| *index == server) {
                continue;
            }
            for repeat in 0..=REPEATS_MAX {
                let begun = Instant::now();
                match measure(server, round) {
                    Err(error) => {
                        failed.push((server, error));
                        break;
                    }
                    Ok(true) => break,
                    Ok(false) if repeat == REPEATS_MAX || !allowance.take(begun.elapsed()) => break,
                    Ok(false) => {}
                }
            }
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(
        rounds: usize,
        allowance: &mut Allowance,
        mut quiet: impl FnMut(usize, usize) -> Result<bool, String>,
    ) -> String {
        let mut order = String::new();
        alternate(3, rounds, allowance, |server, round| {
            order.push(['A', 'B', 'C'][server]);
            quiet(server, round)
        });
        order
    }

    #[test]
    fn servers_take_turns() {
        let mut allowance = Allowance::new(Duration::from_secs(1));
        assert_eq!(order(3, &mut allowance, |_, _| Ok(true)), "ABCABCABC");
        assert_eq!(allowance.repeated, 0);
    }

    #[test]
    fn disturbed_rounds_are_repeated_at_once_and_not_for_ever() {
        let mut allowance = Allowance::new(Duration::from_secs(100));
        assert_eq!(order(2, &mut allowance, |server, round| Ok((server, round) != (1, 1))), "ABBBCABC");
        assert_eq!(allowance.repeated, 2);
        let mut once = false;
        let mut quiet_later = |server: usize, _: usize| Ok(server != 0 || std::mem::replace(&mut once, true));
        assert_eq!(order(1, &mut allowance, &mut quiet_later), "AABC");
    }

    #[test]
    fn without_time_nothing_is_repeated() {
        let mut allowance = Allowance::new(Duration::ZERO);
        let slow = |_: usize, _: usize| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(false)
        };
        assert_eq!(order(1, &mut allowance, slow), "ABC");
    }

    #[test]
    fn a_server_that_fails_is_left_out() {
        let mut allowance = Allowance::new(Duration::ZERO);
        let mut order = String::new();
        let failed = alternate(2, 3, &mut allowance, |server, round| {
            order.push(['A', 'B'][server]);
            if server == 0 && round == 2 { Err("gone".to_owned()) } else { Ok(true) }
        });
        assert_eq!((order.as_str(), failed), ("ABABB", vec![(0, "gone".to_owned())]));
    }
}
