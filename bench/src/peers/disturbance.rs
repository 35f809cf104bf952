//! Whether a round was measured on a quiet machine: steal time, other processes' work on the cores used, and the time that
//! the server waited for a core. It judges; what is done about a disturbed round is `alternate`'s.
//!
//! The work of others is what the cores did less what the server, pinyon-bench and the harness did. The kernel counts the
//! first by sampling and the others exactly, so there is a floor below which a difference means nothing.

use super::procfs::{self, CoreTimes};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// More than this share of the cores' time taken by the hypervisor is a disturbance.
pub const STEAL_MAX: f64 = 0.01;
/// More than this share of the cores' time used by others is one.
pub const OTHER_MAX: f64 = 0.08;
/// A server waiting for its core for more than this share of the round is one.
pub const WAITED_MAX: f64 = 0.03;

/// More than this share of an open loop's requests sent late by pinyon-bench itself is one.
pub const LAGGING_MAX: f64 = 0.0005;

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: Instant,
    pub cores: CoreTimes,
    /// CPU seconds of the server.
    pub server: f64,
    /// CPU seconds of its children that ended: those that saved a snapshot.
    pub children: f64,
    /// CPU seconds of this process and of its children that ended, pinyon-bench among them.
    pub own: f64,
    /// Seconds that the server waited for a core.
    pub waited: f64,
}

impl Sample {
    /// Reads all counters. To be taken before pinyon-bench starts and after it was waited for.
    pub fn take(cores: &[usize], server_pid: u32) -> Sample {
        let (own, ended) = procfs::own_seconds();
        let (server, children) = procfs::cpu_seconds(server_pid).unwrap_or_default();
        Sample {
            at: Instant::now(),
            cores: procfs::core_times(&procfs::stat_text(), cores),
            server,
            children,
            own: own + ended,
            waited: procfs::waited_seconds(server_pid).unwrap_or(0.0),
        }
    }
}

/// What happened between two samples, as shares of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// Of the cores' time: taken by the hypervisor.
    pub steal: f64,
    /// Of the cores' time: used by other processes.
    pub other: f64,
    /// Of the round: the server could run and had to wait, all threads together.
    pub waited: f64,
    /// Of an open loop's requests: sent more than a millisecond late though the server had nothing to do with it.
    #[serde(default)]
    pub lagging: f64,
    /// Waiting is no sign of disturbance: server and generator share cores, or the server has more threads than cores.
    pub shared: bool,
}

impl Disturbance {
    /// Between two samples over `cores` cores.
    pub fn between(before: &Sample, after: &Sample, cores: usize, shared: bool) -> Disturbance {
        let seconds = after.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let capacity = seconds * cores.max(1) as f64;
        let known = (after.server - before.server) + (after.children - before.children) + (after.own - before.own);
        let busy = after.cores.busy - before.cores.busy;
        Disturbance {
            steal: ((after.cores.steal - before.cores.steal) / capacity).max(0.0),
            other: ((busy - known) / capacity).max(0.0),
            waited: ((after.waited - before.waited) / seconds).max(0.0),
            lagging: 0.0,
            shared,
        }
    }

    /// What was wrong, in words; empty for a quiet round.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.steal > STEAL_MAX {
            complaints.push(format!("{:.1} % of the cores' time stolen by the hypervisor", self.steal * 100.0));
        }
        if self.other > OTHER_MAX {
            complaints.push(format!("{:.0} % of the cores' time used by other processes", self.other * 100.0));
        }
        if self.waited > WAITED_MAX && !self.shared {
            complaints.push(format!("the server waited for its core {:.1} % of the time", self.waited * 100.0));
        }
        if self.lagging > LAGGING_MAX && !self.shared {
            complaints.push(format!("{:.2} % of the requests were sent late by the generator", self.lagging * 100.0));
        }
        complaints
    }

    pub fn is_quiet(&self) -> bool {
        self.complaints().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Two cores over two seconds: the text of /proc/stat before and after, the server's and our own CPU seconds.
    fn judged(after: &str, server: f64, own: f64, waited: f64) -> Disturbance {
        let before = "cpu0 1000 0 500 9000 0 0 100 10 0 0\ncpu1 1000 0 500 9000 0 0 100 10 0 0\n";
        let at = Instant::now();
        let sample = |text, server, own, waited, at| Sample {
            at,
            cores: procfs::core_times(text, &[0, 1]),
            server,
            children: 0.0,
            own,
            waited,
        };
        let first = sample(before, 5.0, 3.0, 0.25, at);
        let second = sample(after, 5.0 + server, 3.0 + own, 0.25 + waited, at + Duration::from_secs(2));
        Disturbance::between(&first, &second, 2, false)
    }

    #[test]
    fn a_quiet_round_is_quiet() {
        // Each core busy for 1.9 s; the server and pinyon-bench used 3.7 s of these 3.8.
        let quiet =
            judged("cpu0 1100 0 580 9010 0 0 110 10 0 0\ncpu1 1100 0 580 9010 0 0 110 10 0 0\n", 1.9, 1.8, 0.01);
        assert!(quiet.is_quiet(), "{quiet:?}");
        assert!((quiet.other - 0.025).abs() < 1e-6, "{quiet:?}");
    }

    #[test]
    fn steal_others_and_waiting_are_noticed() {
        let busy = "cpu0 1100 0 580 9010 0 0 110 10 0 0\ncpu1 1100 0 580 9010 0 0 110 10 0 0\n";
        let stolen =
            judged("cpu0 1100 0 570 9010 0 0 110 16 0 0\ncpu1 1100 0 580 9010 0 0 110 10 0 0\n", 1.9, 1.75, 0.0);
        assert_eq!(stolen.complaints(), ["1.5 % of the cores' time stolen by the hypervisor"]);
        assert_eq!(judged(busy, 1.0, 1.8, 0.0).complaints(), ["25 % of the cores' time used by other processes"]);
        let waited = judged(busy, 1.9, 1.8, 0.2);
        assert_eq!(waited.complaints(), ["the server waited for its core 10.0 % of the time"]);
        assert!(Disturbance { shared: true, ..waited }.is_quiet());
        let late = Disturbance { lagging: 0.002, ..Disturbance::default() };
        assert_eq!(late.complaints(), ["0.20 % of the requests were sent late by the generator"]);
    }

    #[test]
    fn counters_that_run_late_are_no_negative_load() {
        let late = judged("cpu0 1000 0 500 9000 0 0 100 10 0 0\ncpu1 1000 0 500 9000 0 0 100 10 0 0\n", 1.9, 1.8, 0.0);
        assert_eq!(late.other, 0.0);
    }
}
