//! From a configuration to a running server: sockets first, then the cores.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pinyon_runtime::{
    CoreId, ListenError, ListenSpec, Listeners, NotSupported, RuntimeConfig, RuntimeError, UnixListen, clock, host, pin,
};

use crate::config::Config;
use crate::config::listen::{AddressError, addresses, addresses_at};
use crate::core::Core;
use crate::log::{self, ClaimError};
use crate::shared::Shared;
use crate::startup::StartupError;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0}")]
    NotSupported(#[from] NotSupported),
    #[error("{0}")]
    Startup(#[from] StartupError),
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("Could not listen: {0}")]
    Listen(#[from] ListenError),
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    #[error("{0}")]
    Claim(#[from] ClaimError),
    #[error("{0}")]
    Failed(String),
}

/// A server whose sockets are open and whose cores have not started.
pub struct Server {
    config: Arc<Config>,
    shared: Arc<Shared>,
    listeners: Listeners,
    cpus: Vec<Option<usize>>,
}

impl Server {
    /// Opens the sockets. From here on connections wait in the kernel's queue.
    pub fn bind(mut config: Config, config_file: Option<PathBuf>) -> Result<Server, ServeError> {
        fit_maxclients(&mut config);
        let shards = config.shard_count();
        let unix = config
            .unixsocket
            .clone()
            .map(|path| UnixListen { path, mode: (config.unixsocketperm != 0).then_some(config.unixsocketperm) });
        let spec = ListenSpec {
            tcp: addresses(&config)?,
            own: core_addresses(&config, shards)?,
            unix,
            backlog: config.tcp_backlog,
            cores: usize::from(shards),
            keepalive_secs: config.tcp_keepalive,
        };
        let listeners = patiently(|| pinyon_runtime::bind(&spec), |error| matches!(error, ListenError::InUse { .. }))?;
        let cpus = places(&config, shards);
        let claim = || patiently(|| log::claim(&config), |error| matches!(error, ClaimError::InUse { .. }));
        let claim = claim()?;
        let shared = Arc::new(Shared::new(
            config_file,
            shards,
            cpus.iter().any(Option::is_some),
            listeners.local_addrs().to_vec(),
            (config.first_core_port(), listeners.own_addrs()),
            claim,
            seeds(),
        ));
        Ok(Server { config: Arc::new(config), shared, listeners, cpus })
    }

    /// The TCP addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.local_addrs()
    }

    /// How many connections are let in.
    pub fn maxclients(&self) -> u32 {
        self.config.maxclients
    }

    /// The cpu of each core; None where the kernel chooses.
    pub fn cpus(&self) -> &[Option<usize>] {
        &self.cpus
    }

    /// Runs until SHUTDOWN or a signal.
    pub fn run(self) -> Result<(), ServeError> {
        let mut runtime = RuntimeConfig::new(self.cpus.len());
        runtime.cpus = self.cpus;
        // Measured at 50 unpipelined connections: spinning for the next request takes 8 % more cpu time per operation than
        // sleeping, for 4 % more throughput.
        runtime.busy_spin_us = 0;
        // A reply of another core comes within a few µs or after the load beside it has had its turn: random GETs over two
        // cores cost 1.4 times one core's cpu time with 3 to 8 µs, 1.6 times with none and with 20.
        runtime.spin_us = 5;
        runtime.storage = self.shared.claim.is_some();
        let give_back = pinyon_runtime::memory::give_back_when_told();
        give_back
            .map_err(|error| ServeError::Failed(format!("Could not start the thread that frees memory: {error}")))?;
        let (config, shared) = (self.config, self.shared);
        pinyon_runtime::run(runtime, self.listeners, |id: CoreId| Core::new(id, config.clone(), shared.clone()))?;
        shared.failure().map_or(Ok(()), |why| Err(ServeError::Failed(why.to_owned())))
    }
}

/// By core: the addresses that it alone listens on; empty without `core-ports`.
fn core_addresses(config: &Config, shards: u16) -> Result<Vec<Vec<SocketAddr>>, AddressError> {
    let Some(first) = config.first_core_port() else { return Ok(Vec::new()) };
    (0..shards).map(|core| addresses_at(config, first + core)).collect()
}

/// Descriptors that the server needs besides those of clients.
const OWN_FILES: u64 = 64;
/// Descriptors that each core needs.
const FILES_PER_CORE: u64 = 8;

/// Raises the limit of open files to what `maxclients` needs, or lowers `maxclients` to what the limit allows.
fn fit_maxclients(config: &mut Config) {
    let own = OWN_FILES + FILES_PER_CORE * u64::from(config.shard_count());
    let wanted = u64::from(config.maxclients) + own;
    let granted = host::raise_open_files(wanted);
    if granted < wanted {
        let fits = granted.saturating_sub(own).max(1) as u32;
        tracing::warn!(
            "maxclients is {}, which needs {wanted} open files, but the limit is {granted}: maxclients is now {fits}. To \
             have more, raise the limit: ulimit -n {wanted}",
            config.maxclients
        );
        config.maxclients = fits;
    }
}

/// Which cpu each core is pinned to: the ones that the process may use, in order. With more cores than cpus, or `pin no`,
/// the kernel places them.
fn places(config: &Config, shards: u16) -> Vec<Option<usize>> {
    let cpus = pin::allowed_cpus();
    if !config.pin || cpus.len() < usize::from(shards) {
        return vec![None; usize::from(shards)];
    }
    cpus.into_iter().take(usize::from(shards)).map(Some).collect()
}

/// Random numbers of the operating system, by way of the standard library's hash seeds.
fn seeds() -> [u64; 8] {
    std::array::from_fn(|i| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(i as u64 ^ clock::unix_us() as u64);
        hasher.finish()
    })
}

/// Tries again for a moment what another process has: the kernel takes a while to free the sockets and files of a server with a
/// ring that was killed, and whoever starts it anew need not know.
fn patiently<T, E>(mut attempt: impl FnMut() -> Result<T, E>, is_in_use: impl Fn(&E) -> bool) -> Result<T, E> {
    let given_up = Instant::now() + Duration::from_secs(2);
    loop {
        match attempt() {
            Err(error) if is_in_use(&error) && Instant::now() < given_up => thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}
