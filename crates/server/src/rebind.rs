//! Other TCP addresses while the server runs: CONFIG SET of `port` or `bind`.
//!
//! The new addresses are opened on every core before the old ones are closed, so that a change that fails leaves everything
//! as it was. An address that stays is not touched. The cores' own ports keep their numbers; `bind` moves them to other
//! addresses.

use std::net::SocketAddr;

use pinyon_runtime::listen::{ListenError, TcpListen, probe};

use crate::config::Config;
use crate::config::listen::{AddressError, addresses, addresses_at};
use crate::core::{Core, Io};

/// Addresses to be opened and to be closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebind {
    pub added: Vec<SocketAddr>,
    pub removed: Vec<SocketAddr>,
    /// Those of the cores' own ports: each core opens and closes the ones with its port.
    pub own_added: Vec<SocketAddr>,
    pub own_removed: Vec<SocketAddr>,
}

/// Why the new addresses cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RebindError {
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("port {0} is a core's own")]
    CorePort(u16),
}

impl Rebind {
    fn between(now: &[SocketAddr], wanted: &[SocketAddr], own_now: &[SocketAddr], own_wanted: &[SocketAddr]) -> Rebind {
        Rebind {
            added: missing(wanted, now),
            removed: missing(now, wanted),
            own_added: missing(own_wanted, own_now),
            own_removed: missing(own_now, own_wanted),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Rebind::default()
    }
}

/// The addresses of a list that are not in another one.
fn missing(of: &[SocketAddr], from: &[SocketAddr]) -> Vec<SocketAddr> {
    of.iter().filter(|address| !from.contains(address)).copied().collect()
}

/// Whether one of two addresses takes in the other. A probe of one would then find our own socket on the other in its way.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wild = a.ip().is_unspecified() || b.ip().is_unspecified();
    wild && a.port() == b.port() && a.is_ipv4() == b.is_ipv4()
}

impl Core {
    /// What a change to `new` means for the listeners, and whether all new addresses are free. To be asked on the core that
    /// keeps the list.
    pub(crate) fn plan_rebind(&self, new: &Config) -> Result<Rebind, RebindError> {
        if (self.config.port, &self.config.bind) == (new.port, &new.bind) {
            return Ok(Rebind::default());
        }
        let mut own = Vec::new();
        for port in self.own_ports() {
            if port == new.port {
                return Err(RebindError::CorePort(port));
            }
            own.extend(addresses_at(new, port)?);
        }
        let rebind = Rebind::between(&self.listening, &addresses(new)?, &self.own_listening, &own);
        for &address in rebind.added.iter().chain(&rebind.own_added) {
            if !self.listening.iter().chain(&self.own_listening).any(|&own| overlap(own, address)) {
                probe(address)?;
            }
        }
        Ok(rebind)
    }

    /// The ports of all cores, where they have their own.
    fn own_ports(&self) -> std::ops::Range<u16> {
        self.shared.first_core_port.map_or(0..0, |first| first..first + self.shards)
    }

    /// Opens listeners on this core: all of them, or none.
    pub(crate) fn open_listeners(&mut self, io: &mut Io, rebind: &Rebind) -> Result<(), ListenError> {
        let Config { tcp_backlog: backlog, tcp_keepalive: keepalive_secs, .. } = *self.config;
        let spec = |addr| TcpListen { addr, backlog, keepalive_secs };
        let own = rebind.own_added.iter().filter(|address| self.is_own(address));
        let mut opened = rebind.added.iter().try_for_each(|&addr| io.listen(&spec(addr)).map(drop));
        if opened.is_ok() {
            opened = own.into_iter().try_for_each(|&addr| io.listen_here(&spec(addr)).map(drop));
        }
        if opened.is_err() {
            self.close_added(io, rebind);
        }
        opened
    }

    /// Closes on this core what was opened for a change that is not to be.
    pub(crate) fn close_added(&mut self, io: &mut Io, rebind: &Rebind) {
        self.close_listeners(io, &rebind.added, &rebind.own_added);
    }

    /// Closes on this core what a change has moved away from.
    pub(crate) fn close_removed(&mut self, io: &mut Io, rebind: &Rebind) {
        self.close_listeners(io, &rebind.removed, &rebind.own_removed);
    }

    fn close_listeners(&mut self, io: &mut Io, addresses: &[SocketAddr], own: &[SocketAddr]) {
        for &address in addresses.iter().chain(own.iter().filter(|address| self.is_own(address))) {
            io.unlisten(address);
        }
    }

    /// Whether an address has this core's own port.
    fn is_own(&self, address: &SocketAddr) -> bool {
        self.shared.first_core_port.is_some_and(|first| address.port() == first + self.id.0)
    }

    /// Brings the list up to date once the change is in force.
    pub(crate) fn note_rebind(&mut self, rebind: &Rebind) {
        self.listening.retain(|address| !rebind.removed.contains(address));
        self.listening.extend(&rebind.added);
        self.own_listening.retain(|address| !rebind.own_removed.contains(address));
        self.own_listening.extend(&rebind.own_added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_stays_is_not_touched() {
        let now = list(&["0.0.0.0:6379", "[::1]:6379"]);
        let rebind = Rebind::between(&now, &list(&["[::1]:6379", "127.0.0.1:6379"]), &now[..1], &now[1..]);
        let (added, removed) = (list(&["127.0.0.1:6379"]), list(&["0.0.0.0:6379"]));
        let (own_added, own_removed) = (now[1..].to_vec(), now[..1].to_vec());
        assert_eq!(rebind, Rebind { added, removed, own_added, own_removed });
        assert!(Rebind::between(&now, &now, &now, &now).is_empty());
        assert_eq!(Rebind::between(&now, &[], &[], &[]).removed, now);
    }

    #[test]
    fn wild_addresses_overlap_within_a_family() {
        let check = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(check("0.0.0.0:1", "127.0.0.1:1") && check("[::1]:1", "[::]:1"));
        assert!(!check("0.0.0.0:1", "127.0.0.1:2") && !check("0.0.0.0:1", "[::1]:1"));
        assert!(!check("127.0.0.1:1", "127.0.0.2:1"));
    }
}
