//! What the kernel says of processes and cores in `/proc`: CPU time, resident memory, time spent waiting for a core. The
//! texts are parsed by pure functions, so that tests can hand them canned ones. Where a figure is missing (a kernel built
//! without it), it is `None` or zero, never an error.

use std::fs;

/// Ticks a second in `/proc/stat` and `/proc/PID/stat`: fixed at 100 on Linux, whatever the kernel's own clock.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that some cores have spent since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CoreTimes {
    /// For processes and interrupts.
    pub busy: f64,
    /// Taken by the hypervisor while there was something to do.
    pub steal: f64,
}

/// The sum over the named cores of the text of `/proc/stat`.
pub fn core_times(text: &str, cores: &[usize]) -> CoreTimes {
    let mut sum = CoreTimes::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let core = words.next().and_then(|word| word.strip_prefix("cpu")).and_then(|word| word.parse().ok());
        if !core.is_some_and(|core: usize| cores.contains(&core)) {
            continue;
        }
        let ticks: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0) / TICKS_PER_SECOND;
        // user nice system idle iowait irq softirq steal; guests are in user already.
        sum.busy += at(0) + at(1) + at(2) + at(5) + at(6);
        sum.steal += at(7);
    }
    sum
}

/// CPU seconds of a process in the text of its `stat`: (its own, those of children that ended and were waited for).
pub fn process_times(text: &str) -> Option<(f64, f64)> {
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, (ticks(13)? + ticks(14)?) / TICKS_PER_SECOND))
}

/// Seconds a thread waited for a core while it could run, in the text of its `schedstat`.
pub fn waited(text: &str) -> Option<f64> {
    text.split_whitespace().nth(1)?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
}

/// CPU seconds of a running process, all threads, and of its children that ended and were waited for.
pub fn cpu_seconds(pid: u32) -> Option<(f64, f64)> {
    process_times(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU seconds of this process, and of its children that have ended.
pub fn own_seconds() -> (f64, f64) {
    fs::read_to_string("/proc/self/stat").ok().and_then(|text| process_times(&text)).unwrap_or_default()
}

/// Seconds that all threads of a process have waited for a core.
pub fn waited_seconds(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |entry: fs::DirEntry| waited(&fs::read_to_string(entry.path().join("schedstat")).ok()?);
    Some(threads.filter_map(|entry| of_thread(entry.ok()?)).sum())
}

/// Resident bytes of a process.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status_kib(&text, "VmRSS").map(|kib| kib * 1024)
}

/// A line of `/proc/PID/status` in KiB.
pub fn status_kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().trim_end_matches(" kB").parse().ok()
}

/// The text of `/proc/stat`, empty where there is none.
pub fn stat_text() -> String {
    fs::read_to_string("/proc/stat").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  30 0 0 0 0 0 0 3 0 0\ncpu0 1000 200 300 9000 70 10 20 50 0 0\ncpu1 4 0 0 0 0 0 0 1 0 0\ncpu10 7 0 0 0 0 0 0 9 0 0\nintr 1 2\n";

    #[test]
    fn cores_are_summed_by_number() {
        let times = core_times(STAT, &[0]);
        assert!((times.busy - 15.3).abs() < 1e-9 && (times.steal - 0.5).abs() < 1e-9, "{times:?}");
        let both = core_times(STAT, &[0, 1]);
        assert!((both.busy - 15.34).abs() < 1e-9 && (both.steal - 0.51).abs() < 1e-9, "{both:?}");
        assert_eq!(core_times("", &[0]), CoreTimes::default());
    }

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let text = "17 (a ) b) R 1 1 1 0 -1 0 0 0 0 0 250 150 30 20 20 0 1 0 5 6 7";
        assert_eq!(process_times(text), Some((4.0, 0.5)));
        assert_eq!(process_times("17 (a) R 1"), None);
    }

    #[test]
    fn waiting_and_memory() {
        assert_eq!(waited("552527 1500000000 12\n"), Some(1.5));
        assert_eq!(waited(""), None);
        assert_eq!(status_kib("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS"), Some(2048));
        assert_eq!(status_kib("Name:\tx\n", "VmRSS"), None);
    }

    #[test]
    fn this_process_has_figures() {
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert!(cpu_seconds(std::process::id()).is_some());
    }
}
