//! Listening sockets: one per core and TCP address, with SO_REUSEPORT, so that the kernel spreads
//! connections over the cores; sockets of single cores, for ports of their own; and one unix socket,
//! accepted on core 0 and dealt to all.
//!
//! SO_REUSEPORT would also let a second server of the same user share the port in silence. So each
//! address is first bound once without it: that fails when anybody listens there.
//!
//! TCP_NODELAY and keepalive are set on the listener: Linux copies them to accepted sockets, which
//! saves four system calls per connection.

use std::fs;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to listen on.
#[derive(Clone, Debug, Default)]
pub struct ListenSpec {
    /// TCP addresses; port 0 lets the kernel choose one (the same for all cores).
    pub tcp: Vec<SocketAddr>,
    /// By core: addresses that this core alone listens on. Empty: none have any.
    pub own: Vec<Vec<SocketAddr>>,
    /// The unix socket, if any.
    pub unix: Option<UnixListen>,
    /// `tcp-backlog`: connections that may wait to be accepted, per socket.
    pub backlog: u32,
    /// Number of cores; each gets its own socket per TCP address.
    pub cores: usize,
    /// `tcp-keepalive` in seconds of silence before probes, 0 = none.
    pub keepalive_secs: u32,
}

/// A unix socket to listen on.
#[derive(Clone, Debug)]
pub struct UnixListen {
    /// Where it lies. A dead one left there is removed.
    pub path: PathBuf,
    /// Permission bits such as 0o770; `None` leaves what the umask gives.
    pub mode: Option<u32>,
}

/// One TCP listener of one core.
#[derive(Clone, Debug)]
pub struct TcpListen {
    /// Address and port.
    pub addr: SocketAddr,
    /// `tcp-backlog`.
    pub backlog: u32,
    /// `tcp-keepalive` in seconds, 0 = none.
    pub keepalive_secs: u32,
}

/// Why listening failed. Names the address.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("{addr}: another process listens there already")]
    InUse {
        /// The address or path.
        addr: String,
    },
    /// The path of the unix socket is taken by something that is no socket.
    #[error("{path}: exists and is not a socket")]
    NotASocket {
        /// The path.
        path: String,
    },
    /// Anything else the system refused.
    #[error("{addr}: cannot {what}: {source}")]
    Socket {
        /// The address or path.
        addr: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Listeners that are bound and listen, ready for [`crate::run`].
pub struct Listeners {
    /// By core: one socket per address, in the order of `addrs`.
    pub(crate) tcp: Vec<Vec<OwnedFd>>,
    addrs: Vec<SocketAddr>,
    /// By core: its own sockets with their addresses.
    pub(crate) own: Vec<Vec<(OwnedFd, SocketAddr)>>,
    pub(crate) unix: Option<UnixSocket>,
}

/// A listening unix socket; its path goes away with it.
pub(crate) struct UnixSocket {
    pub fd: OwnedFd,
    pub path: Arc<str>,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&*self.path) {
            tracing::debug!(%error, path = &*self.path, "cannot remove the unix socket");
        }
    }
}

impl Listeners {
    /// No listeners at all; cores may open some later.
    pub fn none(cores: usize) -> Listeners {
        let (tcp, own) = ((0..cores).map(|_| Vec::new()).collect(), (0..cores).map(|_| Vec::new()).collect());
        Listeners { tcp, addrs: Vec::new(), own, unix: None }
    }

    /// The bound addresses in the order of [`ListenSpec::tcp`], with the ports the kernel chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The addresses that single cores listen on, core by core.
    pub fn own_addrs(&self) -> Vec<SocketAddr> {
        self.own.iter().flatten().map(|(_, addr)| *addr).collect()
    }

    pub(crate) fn cores(&self) -> usize {
        self.tcp.len()
    }
}

/// Binds all of `spec` and listens: from here on connections are taken into the backlog.
///
/// # Errors
/// The first address that cannot be had; nothing stays bound then.
pub fn bind(spec: &ListenSpec) -> Result<Listeners, ListenError> {
    let mut listeners = Listeners::none(spec.cores);
    for &wanted in &spec.tcp {
        if wanted.port() != 0 {
            probe(wanted)?;
        }
        let mut addr = wanted;
        for core in &mut listeners.tcp {
            let tcp = TcpListen { addr, backlog: spec.backlog, keepalive_secs: spec.keepalive_secs };
            let socket = listen_tcp(&tcp)?;
            if addr.port() == 0 {
                addr = local_addr(socket.as_raw_fd()).ok_or_else(|| refused(addr, "ask for its port"))?;
            }
            core.push(socket);
        }
        listeners.addrs.push(addr);
    }
    for (core, own) in listeners.own.iter_mut().zip(&spec.own) {
        for &addr in own {
            probe(addr)?;
            let tcp = TcpListen { addr, backlog: spec.backlog, keepalive_secs: spec.keepalive_secs };
            core.push((listen_tcp(&tcp)?, addr));
        }
    }
    if let Some(unix) = &spec.unix {
        listeners.unix = Some(listen_unix(unix, spec.backlog)?);
    }
    Ok(listeners)
}

/// Fails when anybody (this process too) listens on the address already. To be asked once before
/// the cores open listeners on a new address at run time.
///
/// # Errors
/// [`ListenError::InUse`], or the address is not one of this machine.
pub fn probe(addr: SocketAddr) -> Result<(), ListenError> {
    let socket = tcp_socket(addr)?;
    // Without this, connections of an earlier server in TIME_WAIT would be in the way; a socket
    // that listens is in the way all the same.
    set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).map_err(|e| failed(addr, "set SO_REUSEADDR", e))?;
    bind_tcp(&socket, addr)
}

/// One listening TCP socket of one core.
pub(crate) fn listen_tcp(spec: &TcpListen) -> Result<OwnedFd, ListenError> {
    let addr = spec.addr;
    let socket = tcp_socket(addr)?;
    set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).map_err(|e| failed(addr, "set SO_REUSEADDR", e))?;
    set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map_err(|e| failed(addr, "set SO_REUSEPORT", e))?;
    set_int(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1).map_err(|e| failed(addr, "set TCP_NODELAY", e))?;
    set_keepalive(&socket, spec.keepalive_secs).map_err(|e| failed(addr, "set keepalive", e))?;
    bind_tcp(&socket, addr)?;
    listen(&socket, spec.backlog).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { addr: addr.to_string() },
        _ => failed(addr, "listen", error),
    })?;
    Ok(socket)
}

/// Probes after `seconds` of silence, three of them a third of that apart, as Redis sets it.
pub(crate) fn set_keepalive(socket: &OwnedFd, seconds: u32) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, i32::from(seconds > 0))?;
    if seconds > 0 {
        // The kernel's bounds: 1 to 32767 seconds.
        let idle = seconds.clamp(1, 32_767) as i32;
        set_int(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
        set_int(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (idle / 3).max(1))?;
        set_int(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)?;
    }
    Ok(())
}

fn listen_unix(spec: &UnixListen, backlog: u32) -> Result<UnixSocket, ListenError> {
    let name = spec.path.display().to_string();
    let failed = |what, source| ListenError::Socket { addr: name.clone(), what, source };
    remove_stale(&spec.path, &name)?;
    let listener = UnixListener::bind(&spec.path).map_err(|e| failed("bind", e))?;
    let socket = UnixSocket { fd: listener.into(), path: name.as_str().into() };
    if let Some(mode) = spec.mode {
        fs::set_permissions(&spec.path, fs::Permissions::from_mode(mode)).map_err(|e| failed("set permissions", e))?;
    }
    // Again, for the backlog asked for.
    listen(&socket.fd, backlog).map_err(|e| failed("listen", e))?;
    Ok(socket)
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path, name: &str) -> Result<(), ListenError> {
    let failed = |what, source| ListenError::Socket { addr: name.to_owned(), what, source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", error)),
        Ok(found) if !found.file_type().is_socket() => Err(ListenError::NotASocket { path: name.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(ListenError::InUse { addr: name.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|e| failed("remove the dead socket", e))
            }
            Err(error) => Err(failed("ask who listens", error)),
        },
    }
}

fn tcp_socket(addr: SocketAddr) -> Result<OwnedFd, ListenError> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: plain call; the result is checked.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(failed(addr, "make a socket", io::Error::last_os_error()));
    }
    // SAFETY: the descriptor is new and ours.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if addr.is_ipv6() {
        // So that 0.0.0.0 and :: can both be bound to one port.
        set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1).map_err(|e| failed(addr, "set IPV6_V6ONLY", e))?;
    }
    Ok(socket)
}

fn bind_tcp(socket: &OwnedFd, addr: SocketAddr) -> Result<(), ListenError> {
    let rc = match addr {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `raw` is a socket address of the length given.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t) }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: `raw` is a socket address of the length given.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t) }
        }
    };
    if rc == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { addr: addr.to_string() },
        _ => failed(addr, "bind", error),
    })
}

fn listen(socket: &OwnedFd, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX).max(1);
    // SAFETY: plain call on a descriptor we hold.
    match unsafe { libc::listen(socket.as_raw_fd(), backlog) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_int(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is an int of the size given.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn failed(addr: SocketAddr, what: &'static str, source: io::Error) -> ListenError {
    ListenError::Socket { addr: addr.to_string(), what, source }
}

fn refused(addr: SocketAddr, what: &'static str) -> ListenError {
    failed(addr, what, io::Error::last_os_error())
}

/// A socket's own IP address; `None` for other families and closed sockets.
pub(crate) fn local_addr(fd: RawFd) -> Option<SocketAddr> {
    address_by(fd, libc::getsockname)
}

/// The IP address of a socket's peer; `None` for other families and once the peer is gone.
pub(crate) fn peer_addr(fd: RawFd) -> Option<SocketAddr> {
    address_by(fd, libc::getpeername)
}

type AddressCall = unsafe extern "C" fn(RawFd, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

fn address_by(fd: RawFd, call: AddressCall) -> Option<SocketAddr> {
    // SAFETY: a sockaddr_storage is plain bytes, for which zero is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut size = size_of_val(&storage) as libc::socklen_t;
    // SAFETY: `storage` is writable for `size` bytes.
    if unsafe { call(fd, (&raw mut storage).cast(), &mut size) } != 0 {
        return None;
    }
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in was written; the storage is large enough.
            let raw = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a sockaddr_in6 was written; the storage is large enough.
            let raw = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(tcp: &[&str], cores: usize) -> ListenSpec {
        let tcp = tcp.iter().map(|addr| addr.parse().unwrap()).collect();
        ListenSpec { tcp, backlog: 128, cores, keepalive_secs: 300, ..ListenSpec::default() }
    }

    #[test]
    fn all_cores_share_one_chosen_port() {
        let listeners = bind(&spec(&["127.0.0.1:0", "[::1]:0"], 3)).unwrap();
        for (place, &addr) in listeners.local_addrs().iter().enumerate() {
            assert_ne!(addr.port(), 0);
            for core in &listeners.tcp {
                assert_eq!(local_addr(core[place].as_raw_fd()), Some(addr));
            }
        }
    }

    #[test]
    fn a_taken_port_is_refused() {
        let first = bind(&spec(&["127.0.0.1:0"], 2)).unwrap();
        let addr = first.local_addrs()[0];
        let again = ListenSpec { tcp: vec![addr], ..spec(&[], 2) };
        let error = bind(&again).err().unwrap();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&addr.to_string()));
        drop(first);
        bind(&again).unwrap();
    }

    #[test]
    fn any_v4_and_any_v6_share_a_port() {
        let v4 = bind(&spec(&["0.0.0.0:0"], 1)).unwrap();
        let port = v4.local_addrs()[0].port();
        bind(&spec(&[&format!("[::]:{port}")], 1)).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = bind(&spec(&["192.0.2.1:0"], 1)).err().unwrap();
        assert!(matches!(error, ListenError::Socket { what: "bind", .. }), "{error}");
    }

    #[test]
    fn unix_sockets_stale_live_and_not_sockets() {
        let dir = std::env::temp_dir().join(format!("pinyon-listen-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s.sock");
        let with = |path: &Path| ListenSpec {
            unix: Some(UnixListen { path: path.to_owned(), mode: Some(0o700) }),
            ..spec(&[], 1)
        };
        let live = bind(&with(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(bind(&with(&path)), Err(ListenError::InUse { .. })));
        drop(live);
        assert!(!path.exists(), "removed with its listener");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead socket stays");
        drop(bind(&with(&path)).unwrap());

        let file = dir.join("file");
        fs::write(&file, b"data").unwrap();
        assert!(matches!(bind(&with(&file)), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"data");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn accepted_sockets_inherit_their_options() {
        let listeners = bind(&spec(&["127.0.0.1:0"], 1)).unwrap();
        let _client = std::net::TcpStream::connect(listeners.local_addrs()[0]).unwrap();
        // SAFETY: plain accept; the descriptor is checked and owned at once.
        let accepted = unsafe {
            let fd = libc::accept(listeners.tcp[0][0].as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut());
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        let get = |level, name| {
            let mut value = 0i32;
            let mut size = size_of_val(&value) as libc::socklen_t;
            // SAFETY: `value` is an int of the size given.
            let rc = unsafe { libc::getsockopt(accepted.as_raw_fd(), level, name, (&raw mut value).cast(), &mut size) };
            assert_eq!(rc, 0);
            value
        };
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_NODELAY), 1);
        assert_eq!(get(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 300);
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL), 100);
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_KEEPCNT), 3);
    }
}
