//! The process of the server as the kernel's accounting shows it, and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::load::wire::kernel;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Usage {
    /// CPU time of all its threads, those that have ended too, user and kernel.
    pub cpu_s: f64,
    pub user_s: f64,
    /// Resident bytes.
    pub resident_bytes: u64,
}

/// What a process has used so far; None when there is none of that number.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (ticks, page) = kernel::units();
    // Fields are counted behind the name, which may hold anything, brackets too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let (user, kernel, pages) = (number(11)?, number(12)?, number(21)?);
    let seconds = |count: u64| count as f64 / ticks as f64;
    Some(Usage { cpu_s: seconds(user + kernel), user_s: seconds(user), resident_bytes: pages * page })
}

/// The wall clock.
pub fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let pid = std::process::id();
        let before = usage(pid).unwrap();
        assert!(before.resident_bytes > 100_000);
        let mut sum = 0u64;
        while usage(pid).unwrap().cpu_s < before.cpu_s + 0.02 {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(usage(u32::MAX), None);
        assert!(unix_us() > 1_600_000_000_000_000);
    }
}
