//! What this machine's kernel allows, and what an operator should change: asked once at start, so
//! that the answer is a sentence with a remedy instead of an errno from deep inside.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

use crate::pin::allowed_cpus;

/// The oldest kernel that has all the core loop needs (DEFER_TASKRUN: 6.1).
pub const KERNEL_MIN: (u32, u32) = (6, 1);

/// Memory that one core's ring pins for a process without privileges.
pub const RING_MEMLOCK_BYTES: u64 = 256 * 1024;

/// The machine as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// Its full release text.
    pub release: String,
    /// The cpus this process may use.
    pub cpus: Vec<usize>,
    /// Memory this process may lock; `None`: no limit.
    pub memlock_bytes: Option<u64>,
    /// Soft limit of open files.
    pub open_files: u64,
}

/// Why the core loop cannot run here. The texts name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum NotSupported {
    /// The kernel is too old.
    #[error(
        "Linux {found} is too old: io_uring as used here needs Linux {}.{} or newer",
        KERNEL_MIN.0,
        KERNEL_MIN.1
    )]
    KernelTooOld {
        /// The release found.
        found: String,
    },
    /// io_uring is switched off for this user.
    #[error(
        "io_uring is disabled by the sysctl kernel.io_uring_disabled={value}; enable it with: sysctl -w kernel.io_uring_disabled=0{group}"
    )]
    DisabledBySysctl {
        /// 1 or 2.
        value: u32,
        /// A further remedy for value 1.
        group: &'static str,
    },
    /// The call exists but is forbidden: a seccomp filter.
    #[error(
        "io_uring is forbidden here, most likely by a seccomp filter as container runtimes install it; allow the system calls io_uring_setup, io_uring_enter and io_uring_register (docker: --security-opt seccomp=<profile that allows them>)"
    )]
    Forbidden,
    /// The call does not exist: a kernel without io_uring, or a filter that pretends so.
    #[error(
        "this kernel answers that it has no io_uring: it was built without CONFIG_IO_URING, or a sandbox (gVisor, an old seccomp profile) hides it"
    )]
    Missing,
    /// Too little memory may be locked.
    #[error(
        "a ring cannot be set up for want of lockable memory (limit {limit_kib} KiB); raise it with: ulimit -l {needed_kib} (or LimitMEMLOCK={needed_kib}K in the systemd unit)"
    )]
    Memlock {
        /// The limit in force.
        limit_kib: u64,
        /// What is needed.
        needed_kib: u64,
    },
    /// The kernel's io_uring lacks an operation.
    #[error("this kernel's io_uring lacks the operation {0}; Linux 6.1 or newer has it")]
    Operation(&'static str),
    /// Anything else.
    #[error("a ring cannot be set up: {0}")]
    Other(#[from] io::Error),
}

/// One thing an operator should change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it is about.
    pub what: &'static str,
    /// As found.
    pub now: String,
    /// As it should be, and why.
    pub should_be: String,
    /// The command that changes it.
    pub command: String,
}

/// Looks whether the core loop can run here.
///
/// # Errors
/// Why it cannot, and what to do about it.
pub fn check_kernel() -> Result<Host, NotSupported> {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = parse_release(&release);
    let host = Host {
        kernel: kernel.unwrap_or((0, 0)),
        release,
        cpus: allowed_cpus(),
        memlock_bytes: memlock_bytes(),
        open_files: limit(libc::RLIMIT_NOFILE).map_or(0, |limit| limit.rlim_cur),
    };
    if kernel.is_some_and(|kernel| kernel < KERNEL_MIN) {
        return Err(NotSupported::KernelTooOld { found: host.release });
    }
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    let ring: IoUring = builder.build(8).map_err(|error| explain(error, host.memlock_bytes))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| explain(error, host.memlock_bytes))?;
    let needed = [
        ("accept", opcode::AcceptMulti::CODE),
        ("recv", opcode::RecvMulti::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("async_cancel", opcode::AsyncCancel::CODE),
        ("poll_add", opcode::PollAdd::CODE),
    ];
    for (name, code) in needed {
        if !probe.is_supported(code) {
            return Err(NotSupported::Operation(name));
        }
    }
    Ok(host)
}

fn explain(error: io::Error, memlock: Option<u64>) -> NotSupported {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => NotSupported::Missing,
        Some(libc::EPERM | libc::EACCES) => match read("/proc/sys/kernel/io_uring_disabled").as_deref() {
            Some("2") => NotSupported::DisabledBySysctl { value: 2, group: "" },
            Some("1") => NotSupported::DisabledBySysctl {
                value: 1,
                group: " (or put the server's group into kernel.io_uring_group)",
            },
            _ => NotSupported::Forbidden,
        },
        Some(libc::ENOMEM) => match memlock {
            Some(limit) if limit < 8 * 1024 * 1024 => {
                NotSupported::Memlock { limit_kib: limit / 1024, needed_kib: 8 * 1024 }
            }
            _ => NotSupported::Other(error),
        },
        _ => NotSupported::Other(error),
    }
}

/// What an operator should change for these settings; empty when all is well.
pub fn advice(host: &Host, cores: usize, tcp_backlog: u32, connections_max: u32, huge_pages: bool) -> Vec<Advice> {
    let mut list = Vec::new();
    let memlock_needed = RING_MEMLOCK_BYTES * cores as u64;
    if let Some(limit) = host.memlock_bytes
        && limit < memlock_needed
    {
        list.push(Advice {
            what: "lockable memory (RLIMIT_MEMLOCK)",
            now: format!("{} KiB", limit / 1024),
            should_be: format!(
                "at least {} KiB: each core's ring needs {} KiB",
                memlock_needed / 1024,
                RING_MEMLOCK_BYTES / 1024
            ),
            command: format!("ulimit -l {}", memlock_needed / 1024),
        });
    }
    if let Some(somaxconn) = read("/proc/sys/net/core/somaxconn").and_then(|text| text.parse::<u32>().ok())
        && somaxconn < tcp_backlog
    {
        list.push(Advice {
            what: "net.core.somaxconn",
            now: somaxconn.to_string(),
            should_be: format!("at least {tcp_backlog}, the tcp-backlog: the kernel cuts it to this value"),
            command: format!("sysctl -w net.core.somaxconn={tcp_backlog}"),
        });
    }
    // Without fork there is no copy that overcommit must allow for; strict accounting still makes
    // large reservations fail while memory is free.
    if read("/proc/sys/vm/overcommit_memory").as_deref() == Some("2") {
        list.push(Advice {
            what: "vm.overcommit_memory",
            now: "2".to_owned(),
            should_be: "0 or 1: with strict accounting allocations fail while memory is free".to_owned(),
            command: "sysctl -w vm.overcommit_memory=1".to_owned(),
        });
    }
    if huge_pages
        && let Some(thp) = read("/sys/kernel/mm/transparent_hugepage/enabled")
        && thp.contains("[always]")
    {
        list.push(Advice {
            what: "transparent huge pages",
            now: "always".to_owned(),
            should_be: "madvise: huge pages under small values cost resident memory and latency".to_owned(),
            command: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
        });
    }
    let files_needed = open_files_needed(cores, connections_max);
    if host.open_files < files_needed {
        list.push(Advice {
            what: "open files (RLIMIT_NOFILE)",
            now: host.open_files.to_string(),
            should_be: format!("at least {files_needed}: {connections_max} connections and the server's own files"),
            command: format!("ulimit -n {files_needed}"),
        });
    }
    list
}

/// Descriptors that so many connections and the runtime itself take.
pub fn open_files_needed(cores: usize, connections_max: u32) -> u64 {
    u64::from(connections_max) + 32 + 8 * cores as u64
}

/// Raises the soft limit of open files to `needed`, and the hard one where this process may. What
/// is in force afterwards (at least what was before).
pub fn raise_open_files(needed: u64) -> u64 {
    let Some(mut now) = limit(libc::RLIMIT_NOFILE) else { return 0 };
    if now.rlim_cur >= needed {
        return now.rlim_cur;
    }
    let wanted = libc::rlimit { rlim_cur: needed, rlim_max: now.rlim_max.max(needed) };
    if set_limit(&wanted) {
        return needed;
    }
    now.rlim_cur = needed.min(now.rlim_max);
    set_limit(&now);
    limit(libc::RLIMIT_NOFILE).map_or(0, |limit| limit.rlim_cur)
}

fn set_limit(limit: &libc::rlimit) -> bool {
    // SAFETY: `limit` is readable.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) == 0 }
}

fn limit(resource: libc::__rlimit_resource_t) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    (unsafe { libc::getrlimit(resource, &mut limit) } == 0).then_some(limit)
}

/// Memory this process may lock; `None`: no limit.
pub(crate) fn memlock_bytes() -> Option<u64> {
    limit(libc::RLIMIT_MEMLOCK).map_or(Some(0), |limit| finite(limit.rlim_cur))
}

fn finite(limit: libc::rlim_t) -> Option<u64> {
    (limit != libc::RLIM_INFINITY).then_some(limit)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Major and minor version of a release such as `6.18.44-fc` or `6.1`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(parse_release("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(parse_release("6.1"), Some((6, 1)));
        assert_eq!(parse_release("5.15.0-91-generic"), Some((5, 15)));
        assert_eq!(parse_release("unknown"), None);
        for (kernel, enough) in [((5, 19), false), ((6, 0), false), ((6, 1), true), ((7, 0), true)] {
            assert_eq!(kernel >= KERNEL_MIN, enough, "{kernel:?}");
        }
    }

    #[test]
    fn this_machine_is_supported() {
        let host = check_kernel().unwrap();
        assert!(host.kernel >= KERNEL_MIN);
        assert!(!host.cpus.is_empty());
        assert!(host.open_files > 0);
    }

    #[test]
    fn refusals_name_their_remedy() {
        let texts = [
            explain(io::Error::from_raw_os_error(libc::ENOSYS), None).to_string(),
            explain(io::Error::from_raw_os_error(libc::EPERM), None).to_string(),
            explain(io::Error::from_raw_os_error(libc::ENOMEM), Some(64 * 1024)).to_string(),
            NotSupported::KernelTooOld { found: "5.15.0".to_owned() }.to_string(),
        ];
        assert!(texts[0].contains("CONFIG_IO_URING"), "{}", texts[0]);
        assert!(texts[1].contains("seccomp") || texts[1].contains("sysctl"), "{}", texts[1]);
        assert!(texts[2].contains("ulimit -l"), "{}", texts[2]);
        assert!(texts[3].contains("5.15.0") && texts[3].contains("6.1"), "{}", texts[3]);
    }

    #[test]
    fn advice_compares_with_what_is_needed() {
        let host = Host {
            kernel: (6, 18),
            release: "6.18".to_owned(),
            cpus: vec![0, 1],
            memlock_bytes: Some(64 * 1024),
            open_files: 1024,
        };
        let list = advice(&host, 2, u32::MAX, 10_000, true);
        let whats: Vec<&str> = list.iter().map(|advice| advice.what).collect();
        assert!(whats.iter().any(|what| what.contains("MEMLOCK")), "{whats:?}");
        assert!(whats.contains(&"net.core.somaxconn"), "{whats:?}");
        assert!(whats.iter().any(|what| what.contains("NOFILE")), "{whats:?}");
        let calm = Host { memlock_bytes: None, open_files: 1 << 20, ..host };
        let list = advice(&calm, 2, 1, 100, false);
        assert!(list.iter().all(|advice| !advice.what.contains("RLIMIT") && advice.what != "net.core.somaxconn"));
    }

    #[test]
    fn open_files_are_raised_never_lowered() {
        let before = limit(libc::RLIMIT_NOFILE).unwrap().rlim_cur;
        assert_eq!(raise_open_files(1), before);
        assert!(raise_open_files(before + 1) >= before);
    }
}
