//! Clocks: unix and monotonic time from the kernel, and a cycle counter for measuring short
//! durations (slow log, latency) without a call per command.
//!
//! The counter is the time stamp counter where the cpu says it runs at one rate in all states;
//! elsewhere it counts nanoseconds of the monotonic clock. It is calibrated against that clock the
//! first time a duration is asked for; [`calibrate`] does it at a moment of the caller's choice.

use std::sync::OnceLock;
use std::time::Duration;

/// Unix time in milliseconds.
pub fn unix_ms() -> i64 {
    let (seconds, nanos) = read(libc::CLOCK_REALTIME);
    seconds * 1_000 + nanos / 1_000_000
}

/// Unix time in microseconds.
pub fn unix_us() -> i64 {
    let (seconds, nanos) = read(libc::CLOCK_REALTIME);
    seconds * 1_000_000 + nanos / 1_000
}

/// Monotonic time in microseconds since some fixed moment (the machine's start).
pub fn monotonic_us() -> u64 {
    monotonic_ns() / 1_000
}

/// Monotonic time in nanoseconds since the same moment.
pub fn monotonic_ns() -> u64 {
    let (seconds, nanos) = read(libc::CLOCK_MONOTONIC);
    seconds as u64 * 1_000_000_000 + nanos as u64
}

/// CPU time of the calling thread so far, in microseconds.
pub fn thread_cpu_us() -> u64 {
    let (seconds, nanos) = read(libc::CLOCK_THREAD_CPUTIME_ID);
    seconds as u64 * 1_000_000 + nanos as u64 / 1_000
}

fn read(clock: libc::clockid_t) -> (i64, i64) {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that outlives the call; these clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec, now.tv_nsec)
}

/// A counter that only grows, for differences on one machine: see [`cycles_to_ns`].
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if scale().tsc {
        return tsc();
    }
    monotonic_ns()
}

/// Nanoseconds that a difference of two [`cycles`] lasted.
#[inline]
pub fn cycles_to_ns(cycles: u64) -> u64 {
    // 32 fractional bits keep the error below a nanosecond in a second.
    ((u128::from(cycles) * u128::from(scale().nanos_per_cycle)) >> 32) as u64
}

/// Measures the counter's rate now (about 5 ms) unless that was done already.
pub fn calibrate() {
    scale();
}

/// Cycles per microsecond, for display.
pub fn cycles_per_us() -> f64 {
    1_000.0 * (1u64 << 32) as f64 / scale().nanos_per_cycle as f64
}

struct Scale {
    tsc: bool,
    /// Nanoseconds per cycle with 32 fractional bits.
    nanos_per_cycle: u64,
}

const BY_CLOCK: Scale = Scale { tsc: false, nanos_per_cycle: 1 << 32 };

#[inline]
fn scale() -> &'static Scale {
    static SCALE: OnceLock<Scale> = OnceLock::new();
    SCALE.get_or_init(measure)
}

#[cfg(not(target_arch = "x86_64"))]
fn measure() -> Scale {
    BY_CLOCK
}

#[cfg(target_arch = "x86_64")]
fn measure() -> Scale {
    if !tsc_is_steady() {
        return BY_CLOCK;
    }
    let (cycles_before, nanos_before) = sample();
    std::thread::sleep(Duration::from_millis(5));
    let (cycles_after, nanos_after) = sample();
    let cycles = cycles_after.wrapping_sub(cycles_before);
    let nanos = nanos_after.wrapping_sub(nanos_before);
    if cycles == 0 || nanos == 0 {
        return BY_CLOCK;
    }
    Scale { tsc: true, nanos_per_cycle: ((u128::from(nanos) << 32) / u128::from(cycles)) as u64 }
}

/// Both clocks at nearly one moment: of several readings the one that took the least time.
#[cfg(target_arch = "x86_64")]
fn sample() -> (u64, u64) {
    (0..8)
        .map(|_| {
            let before = tsc();
            let nanos = monotonic_ns();
            let took = tsc().wrapping_sub(before);
            (took, before.wrapping_add(took / 2), nanos)
        })
        .min()
        .map(|(_, cycles, nanos)| (cycles, nanos))
        .unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn tsc() -> u64 {
    // SAFETY: every x86_64 cpu has rdtsc; Linux lets user programs execute it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The kernel's own judgement: it lists these flags when the counter keeps one rate in all power
/// states. (Where it later finds the counter unstable it stops using it as clock source.)
#[cfg(target_arch = "x86_64")]
fn tsc_is_steady() -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else {
        return false;
    };
    let Some(flags) = text.lines().find(|line| line.starts_with("flags")) else {
        return false;
    };
    ["constant_tsc", "nonstop_tsc"].iter().all(|wanted| flags.split_ascii_whitespace().any(|flag| flag == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_agrees_with_the_clock() {
        calibrate();
        let (c0, n0) = (cycles(), monotonic_ns());
        std::thread::sleep(Duration::from_millis(50));
        let (c1, n1) = (cycles(), monotonic_ns());
        let by_cycles = cycles_to_ns(c1 - c0) as f64;
        let by_clock = (n1 - n0) as f64;
        assert!((by_cycles / by_clock - 1.0).abs() < 0.01, "{by_cycles} ns by cycles, {by_clock} ns by clock");
    }

    #[test]
    fn units_agree() {
        assert!((unix_us() / 1_000 - unix_ms()).abs() <= 1_000);
        let before = monotonic_us();
        assert!(monotonic_us() >= before);
        assert!(unix_ms() > 1_600_000_000_000);
    }
}
