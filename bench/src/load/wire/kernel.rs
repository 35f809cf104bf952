//! What the generator asks of the kernel beside its ring: sockets, cpus, limits, the CPU time of a thread.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A server's address in the kernel's form.
pub(super) struct KernelAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl KernelAddress {
    pub fn of_tcp(address: SocketAddr) -> KernelAddress {
        // SAFETY: a sockaddr_storage is plain data, for which zero is a valid value.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let place = &raw mut storage;
        let length = match address {
            SocketAddr::V4(v4) => {
                let address = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: a sockaddr_storage is large enough and aligned for every kind of address.
                unsafe { place.cast::<libc::sockaddr_in>().write(address) };
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let address = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { place.cast::<libc::sockaddr_in6>().write(address) };
                size_of::<libc::sockaddr_in6>()
            }
        };
        KernelAddress { storage, length: length as libc::socklen_t }
    }

    /// # Errors
    /// The path is longer than the kernel's form has room for.
    pub fn of_unix(path: &Path) -> io::Result<KernelAddress> {
        // SAFETY: both are plain data, for which zero is a valid value.
        let (mut storage, mut address) =
            unsafe { (mem::zeroed::<libc::sockaddr_storage>(), mem::zeroed::<libc::sockaddr_un>()) };
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= address.sun_path.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of the unix socket is too long"));
        }
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
            *place = *byte as libc::c_char;
        }
        // SAFETY: a sockaddr_storage is large enough and aligned for every kind of address.
        unsafe { (&raw mut storage).cast::<libc::sockaddr_un>().write(address) };
        Ok(KernelAddress { storage, length: size_of::<libc::sockaddr_un>() as libc::socklen_t })
    }

    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub fn length(&self) -> libc::socklen_t {
        self.length
    }

    /// A fresh socket for this kind of address, without Nagle's delay.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        let family = libc::c_int::from(self.storage.ss_family);
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        if family != libc::AF_UNIX {
            let on: libc::c_int = 1;
            // SAFETY: the option's value is a c_int, readable for the length given.
            let result = unsafe {
                libc::setsockopt(
                    fd,
                    libc::IPPROTO_TCP,
                    libc::TCP_NODELAY,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(socket)
    }
}

/// Ends both directions of a socket; operations on it come back.
pub(super) fn shut_down(fd: std::os::fd::RawFd) {
    // SAFETY: no memory is passed. An error means that it is ended already.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Has the socket's closing end the connection with a reset: no port waits for stray packets.
pub(super) fn linger_not(fd: std::os::fd::RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the option's value is a linger, readable for the length given. An error leaves a port waiting, no more.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length) };
}

/// Binds the calling thread to one cpu.
///
/// # Errors
/// There is no such cpu, or this process may not use it.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is plain bits, for which zero is a valid value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number lies below CPU_SETSIZE, as checked.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable for the size given.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises the limit of open files to `wanted`, as far as this process may.
///
/// # Errors
/// It may not be raised so far; the text says how far it is.
pub fn raise_open_files(wanted: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    for maximum in [limit.rlim_max.max(wanted), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: wanted.min(maximum), rlim_max: maximum };
        // SAFETY: `raised` is readable and outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 && raised.rlim_cur >= wanted {
            return Ok(());
        }
    }
    Err(format!("{wanted} open files are needed and {} are allowed: raise ulimit -n", limit.rlim_max))
}

/// CPU time of the calling thread so far, user and kernel, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and outlives the call; every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Ticks of the kernel's accounting in a second, and bytes of a page.
pub fn units() -> (u64, u64) {
    // SAFETY: no memory is passed.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    (ticks.max(1) as u64, page.max(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_units() {
        assert!(raise_open_files(16).is_ok());
        assert!(raise_open_files(u64::MAX / 2).unwrap_err().contains("ulimit"));
        let (ticks, page) = units();
        assert!(ticks >= 1 && page >= 4096);
        let before = thread_cpu_ns();
        let mut sum = 0u64;
        while thread_cpu_ns() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(pin_thread(usize::MAX).is_err());
    }

    #[test]
    fn paths_that_are_too_long_are_refused() {
        assert!(KernelAddress::of_unix(Path::new(&"x".repeat(200))).is_err());
        assert!(KernelAddress::of_unix(Path::new("s")).is_ok());
    }
}
