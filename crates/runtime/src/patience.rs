//! Waiting a little before sleeping, and learning whether that pays.
//!
//! Falling asleep and being woken costs a core about 5 µs of cpu time, and the one who wakes it
//! something too. So there are two reasons to look around for a moment first:
//! - The program expects replies of other cores: they come within a few µs or not at all.
//! - The core is busy: requests follow each other so closely that the next one is nearly always
//!   there within a few µs. This is learned: a spin that pays adds to the credit, one in vain takes
//!   three times as much; without credit only a probe is made now and then, ever more rarely as
//!   probes fail. (Three: a spin in vain costs about what three sleeps less than it save.)
//!
//! Turns without events never spin: an idle core sleeps.

use std::io;

use crate::clock;
use crate::io::Io;
use crate::ring::Wait;

pub(crate) struct Patience {
    /// For replies of peers; 0: never.
    expecting_us: u64,
    /// For the next request; 0: never.
    busy_us: u64,
    credit: u32,
    /// Sleeps until the next probe.
    until_probe: u32,
    /// Sleeps between probes.
    probe_every: u32,
}

const CREDIT_MAX: u32 = 24;
const VAIN_COST: u32 = 3;
const PROBE_EVERY_MIN: u32 = 16;
const PROBE_EVERY_MAX: u32 = 4096;

impl Patience {
    pub fn new(expecting_us: u64, busy_us: u64) -> Patience {
        Patience { expecting_us, busy_us, credit: 0, until_probe: 0, probe_every: PROBE_EVERY_MIN }
    }

    /// Spins if there is reason to. `busy`: the turn had events. Whether something has come.
    #[inline]
    pub fn wait<M: Send + 'static>(
        &mut self,
        io: &mut Io<M>,
        until: Option<u64>,
        expecting: bool,
        busy: bool,
    ) -> io::Result<bool> {
        let limit_us = if expecting && self.expecting_us > 0 {
            self.expecting_us
        } else if busy && self.busy_us > 0 && self.tries() {
            self.busy_us
        } else {
            return Ok(false);
        };
        let came = spin(io, until.map_or(limit_us, |until| limit_us.min(until.saturating_sub(io.now_us))))?;
        if came {
            io.stats.spins_paid += 1;
        } else {
            io.stats.spins_lost += 1;
        }
        if !expecting {
            self.learn(came);
        }
        Ok(came)
    }

    fn tries(&mut self) -> bool {
        if self.credit > 0 || self.until_probe == 0 {
            return true;
        }
        self.until_probe -= 1;
        false
    }

    fn learn(&mut self, came: bool) {
        if came {
            self.credit = (self.credit + 1).min(CREDIT_MAX);
            self.probe_every = PROBE_EVERY_MIN;
            self.until_probe = 0;
        } else {
            if self.credit == 0 {
                self.probe_every = (self.probe_every * 2).min(PROBE_EVERY_MAX);
            }
            self.credit = self.credit.saturating_sub(VAIN_COST);
            if self.credit == 0 {
                self.until_probe = self.probe_every;
            }
        }
    }
}

/// Hands over what is queued and looks for completions and mail for a while. Whether something is
/// there.
fn spin<M: Send + 'static>(io: &mut Io<M>, limit_us: u64) -> io::Result<bool> {
    if io.ring.has_queued() {
        io.ring.enter(Wait::No)?;
    }
    let begin = clock::cycles();
    loop {
        for _ in 0..8 {
            if io.post.is_rung() || io.ring.has_completions() {
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        if io.ring.has_work() {
            io.ring.enter(Wait::No)?;
        }
        if clock::cycles_to_ns(clock::cycles().wrapping_sub(begin)) >= limit_us * 1_000 {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `sleeps` sleeps with a next event within reach or not, how many were preceded by a spin.
    fn spins(patience: &mut Patience, sleeps: u32, mut comes: impl FnMut(u32) -> bool) -> u32 {
        let mut count = 0;
        for sleep in 0..sleeps {
            if patience.tries() {
                count += 1;
                patience.learn(comes(sleep));
            }
        }
        count
    }

    #[test]
    fn spins_where_it_pays() {
        let mut patience = Patience::new(0, 5);
        assert_eq!(spins(&mut patience, 1000, |_| true), 1000);
        // Nine of ten: worth it.
        assert!(spins(&mut patience, 1000, |sleep| sleep % 10 != 0) > 950);
    }

    #[test]
    fn hardly_spins_where_it_does_not() {
        let mut patience = Patience::new(0, 5);
        assert!(spins(&mut patience, 100_000, |_| false) < 40);
        // Half of them: a loss.
        let count = spins(&mut patience, 100_000, |sleep| sleep % 2 == 0);
        assert!(count < 20_000, "{count}");
        // And finds out soon when that changes.
        assert!(spins(&mut patience, 10_000, |_| true) > 5_000);
    }
}
