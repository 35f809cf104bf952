//! How a runtime is set up, and what can go wrong while it starts.

use std::io;

/// Sizes and places of the cores. `RuntimeConfig::new(n)` gives defaults that suit a server.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// One entry per core: the cpu its thread is pinned to, or `None` to let the kernel place it.
    pub cpus: Vec<Option<usize>>,
    /// Submission entries of each ring; the completion ring has eight times as many.
    pub ring_entries: u32,
    /// Receive buffers of each core (rounded up to a power of two, at most 32768).
    pub recv_buffers: u16,
    /// Bytes of one receive buffer: the most that one `on_data` brings.
    pub recv_buffer_bytes: u32,
    /// How long a core that expects replies of its peers spins before it sleeps. Like the next one,
    /// without effect when there are more cores than cpus.
    pub spin_us: u32,
    /// How long a core spins for the next request before it sleeps, while that mostly brings one.
    pub busy_spin_us: u32,
    /// Connections per core that get a place in the ring's table of registered files. Further
    /// ones work too, by plain descriptors.
    pub registered_files: u32,
    /// Messages that fit between each pair of cores before the sender keeps them.
    pub mail_capacity: usize,
    /// Whether SIGTERM and SIGINT are taken over and delivered to core 0.
    pub signals: bool,
    /// How a sleeping core is woken.
    pub wake: WakeBy,
    /// Whether each core gets a storage executor ([`crate::storage`]) beside its loop; [`crate::Io::start_storage`] starts one later.
    pub storage: bool,
}

/// How a sleeping core is woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeBy {
    /// A message posted into its ring; an eventfd where the kernel refuses that or is too old
    /// (before 6.6) to be trusted with it.
    Ring,
    /// An eventfd.
    EventFd,
}

impl RuntimeConfig {
    /// Defaults for `cores` cores that are not pinned.
    pub fn new(cores: usize) -> RuntimeConfig {
        RuntimeConfig {
            cpus: vec![None; cores],
            ring_entries: 1024,
            recv_buffers: 128,
            recv_buffer_bytes: 32 * 1024,
            spin_us: 20,
            busy_spin_us: 8,
            registered_files: 16 * 1024,
            mail_capacity: 1024,
            signals: true,
            wake: WakeBy::Ring,
            storage: false,
        }
    }
}

/// Why the runtime could not run. The texts name the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// `cpus` is empty or longer than [`crate::CORES_MAX`].
    #[error("{0} cores asked for, 1 to {max} are possible", max = crate::CORES_MAX)]
    Cores(usize),
    /// The listeners were bound for another number of cores.
    #[error("listeners were bound for {bound} cores, the runtime has {cores}")]
    ListenerCores { bound: usize, cores: usize },
    /// A core's ring could not be set up.
    #[error("core {core}: cannot set up its ring: {what}: {source}")]
    Ring { core: u16, what: &'static str, source: io::Error },
    /// There is not enough lockable memory for a core's ring.
    #[error(
        "core {core}: its ring cannot be set up for want of lockable memory (all rings of this user need {needed_kib} KiB, the limit is {limit_kib} KiB); raise it with: ulimit -l {needed_kib} (or LimitMEMLOCK={needed_kib}K in the systemd unit)"
    )]
    RingMemory {
        /// The core.
        core: u16,
        /// The limit in force.
        limit_kib: u64,
        /// What the runtime's cores need together.
        needed_kib: u64,
    },
    /// A core's thread could not be started.
    #[error("core {core}: cannot start its thread: {source}")]
    Thread { core: u16, source: io::Error },
    /// A core's thread could not be pinned.
    #[error("core {core}: cannot pin its thread to cpu {cpu}: {source}")]
    Pin { core: u16, cpu: usize, source: io::Error },
    /// A core's storage executor could not be started.
    #[error("core {core}: cannot start its storage executor: {source}")]
    Storage { core: u16, source: io::Error },
    /// Taking over SIGTERM and SIGINT failed.
    #[error("cannot take over signals: {0}")]
    Signals(io::Error),
    /// A running core's ring failed.
    #[error("core {core}: its ring failed: {source}")]
    RingLost { core: u16, source: io::Error },
    /// A core's thread panicked; the others were stopped.
    #[error("core {0} panicked")]
    Panicked(u16),
}
