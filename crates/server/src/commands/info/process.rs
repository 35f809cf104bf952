//! What the kernel says about this process and its machine, read from /proc.

use std::fs;
use std::sync::LazyLock;

/// Processor time used, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    pub user_us: u64,
    pub system_us: u64,
    /// Of children that have ended and were waited for.
    pub children_user_us: u64,
    pub children_system_us: u64,
}

/// The kernel counts in ticks of 10 ms for user space, on every machine that Pinyon runs on.
const TICK_US: u64 = 10_000;

impl CpuTimes {
    /// Of this process until now; zeros when the kernel does not tell.
    pub fn now() -> CpuTimes {
        fs::read_to_string("/proc/self/stat").ok().and_then(|text| CpuTimes::of_stat(&text)).unwrap_or_default()
    }

    /// Reads the line of a `stat` file: `pid (name) state …`, of which the 14th to 17th fields are wanted. The name may
    /// hold anything, so fields are counted from its closing bracket.
    fn of_stat(text: &str) -> Option<CpuTimes> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut ticks = fields.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>());
        let mut next = || ticks.next()?.ok().map(|ticks| ticks * TICK_US);
        Some(CpuTimes { user_us: next()?, system_us: next()?, children_user_us: next()?, children_system_us: next()? })
    }
}

/// Memory of the machine in bytes; 0 when the kernel does not tell.
pub fn total_system_memory() -> u64 {
    static TOTAL: LazyLock<u64> = LazyLock::new(|| {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    });
    *TOTAL
}

/// System, release and processor: `Linux 6.18.0 x86_64`.
pub fn os() -> &'static str {
    static OS: LazyLock<String> = LazyLock::new(|| {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        format!("{} {} {}", read("ostype").trim(), read("osrelease").trim(), std::env::consts::ARCH)
    });
    &OS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name() {
        let line = "4711 (a ) name) S 1 2 3 4 5 6 7 8 9 10 120 30 4 5 20 0 3 0 99";
        let times =
            CpuTimes { user_us: 1_200_000, system_us: 300_000, children_user_us: 40_000, children_system_us: 50_000 };
        assert_eq!(CpuTimes::of_stat(line), Some(times));
        assert_eq!(CpuTimes::of_stat("4711 (x) S 1 2 3"), None);
        assert_eq!(CpuTimes::of_stat(""), None);
    }

    #[test]
    fn this_machine_answers() {
        assert!(total_system_memory() > 1 << 26);
        assert!(os().starts_with("Linux "));
        assert!(fs::read_to_string("/proc/self/stat").is_ok_and(|text| CpuTimes::of_stat(&text).is_some()));
    }
}
