//! Telling systemd when the server is ready and when it stops (`Type=notify`): one datagram each to the socket that
//! NOTIFY_SOCKET names. Without that variable nothing is sent.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Supervised;

/// Who is to be told, if anybody is.
#[derive(Clone, Debug)]
pub struct Supervisor {
    socket: Option<OsString>,
}

impl Supervisor {
    /// The supervisor of this process, as `supervised` and the environment have it.
    pub fn of_process(supervised: Supervised) -> Supervisor {
        let wanted = matches!(supervised, Supervised::Auto | Supervised::Systemd);
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| wanted && !name.is_empty());
        if supervised == Supervised::Systemd && socket.is_none() {
            tracing::warn!("supervised systemd, but NOTIFY_SOCKET is not set: nobody is told when the server is ready");
        }
        Supervisor { socket }
    }

    /// The server takes connections. `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// The server has begun to stop.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Stopping\n");
    }

    fn send(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        // A supervisor that cannot be told is no reason not to serve; it will say itself that it waited in vain.
        if let Err(e) = send_to(socket, message) {
            tracing::warn!("can't tell systemd (NOTIFY_SOCKET={}): {e}", socket.to_string_lossy());
        }
    }
}

/// A path, or `@name` for a socket in the abstract namespace.
fn send_to(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let bytes = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn tells_a_socket_with_a_path() {
        let path = std::env::temp_dir().join(format!("pinyon-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor { socket: Some(path.clone().into_os_string()) };
        supervisor.ready("Ready on\n127.0.0.1:6379");
        assert_eq!(received(&socket), "READY=1\nSTATUS=Ready on 127.0.0.1:6379\n");
        supervisor.stopping();
        assert_eq!(received(&socket), "STOPPING=1\nSTATUS=Stopping\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn tells_an_abstract_socket() {
        let name = format!("pinyon-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Supervisor { socket: Some(format!("@{name}").into()) }.ready("Ready");
        assert_eq!(received(&socket), "READY=1\nSTATUS=Ready\n");
    }

    #[test]
    fn nobody_there_is_fine() {
        Supervisor { socket: None }.ready("Ready");
        Supervisor { socket: Some("/nonexistent/notify".into()) }.stopping();
    }
}
