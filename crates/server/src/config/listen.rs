//! From `bind`, `port` and `core-ports` to socket addresses.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use super::Config;
use super::lists::os_words;

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("bind {name}: {}", os_words(source))]
    Lookup { name: String, source: io::Error },
    #[error("bind {name}: {}", os_words(source))]
    Unusable { name: String, source: io::Error },
    #[error("bind: this machine has none of the addresses")]
    None,
}

/// The TCP addresses to listen on: empty when `port` is 0 or `bind` is. Names are looked up. Addresses that this
/// machine lacks are left out when they are optional, and those of a protocol that the kernel lacks always.
///
/// # Errors
/// An address that must be there and is not, a name that is not known, or no address left.
pub fn addresses(config: &Config) -> Result<Vec<SocketAddr>, AddressError> {
    addresses_at(config, config.port)
}

impl Config {
    /// The port of core 0 with `core-ports yes`; the other cores' follow it.
    pub fn first_core_port(&self) -> Option<u16> {
        let base = if self.core_port_base == 0 { self.port.saturating_add(1) } else { self.core_port_base };
        self.core_ports.then_some(base)
    }
}

/// As [`addresses`], with another port than the main one: where cores have their own.
///
/// # Errors
/// As of [`addresses`].
pub fn addresses_at(config: &Config, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    if port == 0 || config.bind.is_empty() {
        return Ok(addresses);
    }
    for bind in &config.bind {
        let fail = |source| AddressError::Lookup { name: bind.name.clone(), source };
        for address in (bind.host(), port).to_socket_addrs().map_err(fail)? {
            match usable(address) {
                Ok(()) if addresses.contains(&address) => {}
                Ok(()) => addresses.push(address),
                Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable && bind.optional => {}
                Err(e) if is_protocol_missing(&e) => {}
                Err(source) => return Err(AddressError::Unusable { name: bind.name.clone(), source }),
            }
        }
    }
    if addresses.is_empty() { Err(AddressError::None) } else { Ok(addresses) }
}

/// Whether sockets can have the address; tried with a port of the kernel's choice.
fn usable(mut address: SocketAddr) -> io::Result<()> {
    address.set_port(0);
    TcpListener::bind(address).map(drop)
}

fn is_protocol_missing(error: &io::Error) -> bool {
    // Linux: ENOPROTOOPT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EPFNOSUPPORT, EAFNOSUPPORT.
    matches!(error.raw_os_error(), Some(92 | 93 | 94 | 96 | 97))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BindAddress;

    fn bound(words: &[&str]) -> Result<Vec<String>, AddressError> {
        let bind = words.iter().map(|word| BindAddress::from_word(word)).collect();
        let config = Config { bind, ..Config::default() };
        Ok(addresses(&config)?.iter().map(SocketAddr::to_string).collect())
    }

    #[test]
    fn finds_the_addresses() {
        assert_eq!(bound(&["127.0.0.1"]).unwrap(), ["127.0.0.1:6379"]);
        assert_eq!(bound(&["*"]).unwrap(), ["0.0.0.0:6379"]);
        assert_eq!(bound(&["127.0.0.1", "-192.0.2.1", "127.0.0.1"]).unwrap(), ["127.0.0.1:6379"]);
        assert!(matches!(bound(&["192.0.2.1"]), Err(AddressError::Unusable { .. })));
        assert!(matches!(bound(&["-192.0.2.1"]), Err(AddressError::None)));
        assert!(bound(&[]).unwrap().is_empty());
    }

    #[test]
    fn no_port_listens_nowhere() {
        assert!(addresses(&Config { port: 0, ..Config::default() }).unwrap().is_empty());
    }
}
