//! Other TCP addresses while the server runs: CONFIG SET of `port` or `bind`.
//!
//! The new addresses are opened on every core before the old ones are closed, so that a change that fails leaves everything
//! as it was. An address that stays is not touched.

use std::net::SocketAddr;

use pinyon_runtime::listen::{ListenError, TcpListen, probe};

use crate::config::Config;
use crate::config::listen::{AddressError, addresses};
use crate::core::{Core, Io};

/// Addresses to be opened and to be closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebind {
    pub added: Vec<SocketAddr>,
    pub removed: Vec<SocketAddr>,
}

/// Why the new addresses cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RebindError {
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("{0}")]
    Listen(#[from] ListenError),
}

impl Rebind {
    fn between(now: &[SocketAddr], wanted: &[SocketAddr]) -> Rebind {
        let missing = |of: &[SocketAddr], from: &[SocketAddr]| -> Vec<SocketAddr> {
            of.iter().filter(|address| !from.contains(address)).copied().collect()
        };
        Rebind { added: missing(wanted, now), removed: missing(now, wanted) }
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
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
        let rebind = Rebind::between(&self.listening, &addresses(new)?);
        for &address in &rebind.added {
            if !self.listening.iter().any(|&own| overlap(own, address)) {
                probe(address)?;
            }
        }
        Ok(rebind)
    }

    /// Opens listeners on this core: all of them, or none.
    pub(crate) fn open_listeners(&mut self, io: &mut Io, addresses: &[SocketAddr]) -> Result<(), ListenError> {
        for (done, &addr) in addresses.iter().enumerate() {
            let Config { tcp_backlog: backlog, tcp_keepalive: keepalive_secs, .. } = *self.config;
            if let Err(error) = io.listen(&TcpListen { addr, backlog, keepalive_secs }) {
                self.close_listeners(io, &addresses[..done]);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn close_listeners(&mut self, io: &mut Io, addresses: &[SocketAddr]) {
        for &address in addresses {
            io.unlisten(address);
        }
    }

    /// Brings the list up to date once the change is in force.
    pub(crate) fn note_rebind(&mut self, rebind: &Rebind) {
        self.listening.retain(|address| !rebind.removed.contains(address));
        self.listening.extend(&rebind.added);
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
        let rebind = Rebind::between(&now, &list(&["[::1]:6379", "127.0.0.1:6379"]));
        assert_eq!(rebind, Rebind { added: list(&["127.0.0.1:6379"]), removed: list(&["0.0.0.0:6379"]) });
        assert!(Rebind::between(&now, &now).is_empty());
        assert_eq!(Rebind::between(&now, &[]).removed, now);
    }

    #[test]
    fn wild_addresses_overlap_within_a_family() {
        let check = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(check("0.0.0.0:1", "127.0.0.1:1") && check("[::1]:1", "[::]:1"));
        assert!(!check("0.0.0.0:1", "127.0.0.1:2") && !check("0.0.0.0:1", "[::1]:1"));
        assert!(!check("127.0.0.1:1", "127.0.0.2:1"));
    }
}
