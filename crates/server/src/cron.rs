//! What a core does besides answering: expiry, deferred frees, samples for INFO, looking after sessions. All of it in
//! slices, and none of it while there is nothing to do: an idle server does not wake.

use pinyon_base::Millis;

use pinyon_runtime::memory;

use crate::core::{Core, Io};
use crate::settings::Settings;

/// Expired keys removed and steps of deferred work done in one turn. A slice stays well under 100 µs.
const EXPIRE_BUDGET: usize = 128;
const BACKGROUND_BUDGET: usize = 8;
/// So many bytes are to be free before they are given back to the kernel, and for so long, in µs: they are soon wanted again,
/// mostly.
const FREE_BYTES_MIN: i64 = 8 << 20;
const FREE_US: u64 = 1_000_000;
/// Sessions are looked after this often while that is needed, and this often while their memory is limited, in µs.
const TEND_US: u64 = 1_000_000;
const TEND_MEMORY_US: u64 = 100_000;
/// Samples of the rates in INFO are this far apart, in µs, and this many are averaged.
const SAMPLE_US: u64 = 100_000;
const SAMPLES: usize = 16;

/// The longest sleep, in ms.
const SLEEP_MS_MAX: i64 = 3_600_000;

/// When what is due.
#[derive(Default)]
pub struct Cron {
    /// Monotonic µs; 0 = not planned.
    tend_at_us: u64,
    pub rates: Rates,
    free: Free,
}

/// Memory that the core has freed and that is not yet given back to the kernel.
#[derive(Default)]
struct Free {
    /// The most bytes that were in use since it was given back last.
    most: i64,
    /// When that is done next, in monotonic µs; 0 = not planned.
    at_us: u64,
}

impl Free {
    /// With `used` bytes in use at `now_us`: whether it is time to give back.
    #[inline]
    fn is_due(&mut self, used: i64, now_us: u64) -> bool {
        if used + FREE_BYTES_MIN > self.most {
            *self = Free { most: self.most.max(used), at_us: 0 };
            return false;
        }
        if self.at_us == 0 {
            self.at_us = now_us + FREE_US;
        }
        let is_due = self.at_us <= now_us;
        if is_due {
            *self = Free { most: used, at_us: 0 };
        }
        is_due
    }
}

impl Cron {
    /// A session has come: plan to look after it if the configuration asks for that.
    pub fn wake(&mut self, settings: &Settings) {
        if self.tend_at_us == 0 && must_tend(settings) {
            self.tend_at_us = 1;
        }
    }

    /// Somebody is above a soft output limit.
    pub fn tend_from(&mut self, now_us: u64) {
        if self.tend_at_us == 0 {
            self.tend_at_us = now_us + TEND_US;
        }
    }

    /// The configuration has changed: what it asks for now begins at once.
    pub fn replan(&mut self, settings: &Settings) {
        self.tend_at_us = 0;
        self.wake(settings);
    }
}

/// Whether the configuration asks for looking after sessions.
fn must_tend(settings: &Settings) -> bool {
    settings.timeout_ms != 0 || settings.output_limited || settings.maxmemory_clients != 0
}

/// Commands and bytes per second, sampled while there is traffic.
#[derive(Default)]
pub struct Rates {
    sample_at_us: u64,
    last_us: u64,
    last: [u64; 3],
    samples: [[u64; 3]; SAMPLES],
    next: usize,
}

impl Rates {
    /// Takes a sample if one is due. `totals`: commands, bytes in, bytes out.
    fn sample(&mut self, now_us: u64, totals: [u64; 3]) {
        if totals == self.last {
            // Nothing happened. Once all samples say so, sampling sleeps until something does.
            if self.samples == [[0; 3]; SAMPLES] {
                self.sample_at_us = 0;
                self.last_us = now_us;
                return;
            }
        } else if self.sample_at_us == 0 {
            self.sample_at_us = now_us + SAMPLE_US;
            self.last_us = now_us;
            return;
        }
        if now_us < self.sample_at_us {
            return;
        }
        let elapsed = (now_us - self.last_us).max(1);
        let sample = std::array::from_fn(|i| (totals[i] - self.last[i].min(totals[i])) * 1_000_000 / elapsed);
        self.samples[self.next] = sample;
        self.next = (self.next + 1) % SAMPLES;
        self.last = totals;
        self.last_us = now_us;
        self.sample_at_us = now_us + SAMPLE_US;
    }

    /// Per second: commands, bytes in, bytes out.
    pub fn per_second(&self) -> [u64; 3] {
        std::array::from_fn(|i| self.samples.iter().map(|sample| sample[i]).sum::<u64>() / SAMPLES as u64)
    }

    /// Starts over (CONFIG RESETSTAT).
    pub fn reset(&mut self) {
        *self = Rates::default();
    }
}

impl Core {
    /// The turn's slice of background work. True: there is more that should not wait.
    pub(crate) fn background(&mut self, io: &mut Io) -> bool {
        if self.is_loading() {
            // Nothing expires and nothing is evicted of what is not whole yet.
            return self.job_slice(io);
        }
        let now = Millis(self.exec.clock(io.now_ms()));
        self.exec.shard.begin_turn(now);
        let mut more = false;
        if self.exec.shard.next_deadline().is_some_and(|due| due <= now) {
            more |= self.exec.shard.expire_slice(now, EXPIRE_BUDGET, &mut |_, _| {});
        }
        more |= self.exec.shard.background_slice(BACKGROUND_BUDGET);
        more |= self.job_slice(io);
        more |= self.save_slice(io);
        if self.exec.maxmemory != 0 {
            more |= self.keep_limit(io);
        }
        if self.cron.free.is_due(memory::thread_bytes(), io.now_us()) {
            memory::give_back();
        }
        self.watch_load(io);
        let traffic = io.stats();
        let totals = [self.exec.stats.commands_processed, traffic.recv_bytes, traffic.sent_bytes];
        self.cron.rates.sample(io.now_us(), totals);
        self.time_out_waits(io);
        if self.pause.until_ms != 0 && io.now_ms() >= self.pause.until_ms {
            self.set_pause(0, false);
            more = true;
        }
        if self.cron.tend_at_us != 0 && io.now_us() >= self.cron.tend_at_us {
            let goes_on = self.tend_sessions(io) || must_tend(&self.settings);
            self.limit_client_memory(io);
            let gap_us = if self.settings.maxmemory_clients == 0 { TEND_US } else { TEND_MEMORY_US };
            self.cron.tend_at_us = if goes_on && !self.sessions.is_empty() { io.now_us() + gap_us } else { 0 };
        }
        more
    }

    /// When the core must wake without an event, in monotonic µs.
    pub(crate) fn wake_at_us(&self, io: &Io) -> Option<u64> {
        // Deadlines may be millions of years away: the core then sleeps for less.
        let from_ms = |at_ms: i64| {
            let wait_ms = at_ms.saturating_sub(io.now_ms()).clamp(0, SLEEP_MS_MAX);
            io.now_us() + wait_ms as u64 * 1000
        };
        // What is due while a transaction holds all keys is looked at when it has let go.
        let held = self.exec.shard.transactions().holds_all();
        let expiry = self.exec.shard.next_deadline().filter(|_| !held).map(|due| from_ms(due.0));
        let pause = (self.pause.until_ms != 0).then(|| from_ms(self.pause.until_ms));
        let tend = (self.cron.tend_at_us != 0).then_some(self.cron.tend_at_us);
        let free = (self.cron.free.at_us != 0).then_some(self.cron.free.at_us);
        let sample = (self.cron.rates.sample_at_us != 0).then_some(self.cron.rates.sample_at_us);
        let waits = self.blocking.next_deadline().map(from_ms);
        let own = [expiry, pause, tend, free, sample, waits];
        own.into_iter().chain([self.log_wake_at_us(), self.save_wake_at_us(io), self.walk_at_us()]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_stays_free_is_given_back() {
        let mut free = Free::default();
        let used = 100 << 20;
        assert!(!free.is_due(used, 0));
        assert!(!free.is_due(used - FREE_BYTES_MIN + 1, 10) && free.at_us == 0, "too little");
        assert!(!free.is_due(used - FREE_BYTES_MIN, 20) && free.at_us == 20 + FREE_US);
        assert!(!free.is_due(0, 19 + FREE_US), "not yet");
        assert!(free.is_due(0, 20 + FREE_US) && free.at_us == 0);
        assert!(!free.is_due(0, 30 + FREE_US) && free.at_us == 0, "once");
        assert!(!free.is_due(used, 40 + FREE_US) && !free.is_due(0, 50 + FREE_US) && free.at_us != 0);
        assert!(!free.is_due(used, 60 + FREE_US) && free.at_us == 0, "it was wanted again");
    }
}
