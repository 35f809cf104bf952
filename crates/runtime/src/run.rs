//! Starting the cores' threads, and ending them together.
//!
//! All rings exist before the first turn of any core, and all stay open until the last core has
//! left its loop: so a core may post into any other's ring at any time. A core that fails (its ring
//! is lost, or the program panics) has the others leave too.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::CORES_MAX;
use crate::accept::Acceptor;
use crate::app::{App, CoreId};
use crate::buffers::{OutputPool, RecvBuffers};
use crate::clock;
use crate::config::{RuntimeConfig, RuntimeError, WakeBy};
use crate::conn::ConnTable;
use crate::core_loop::CoreLoop;
use crate::files::FileOps;
use crate::host;
use crate::io::{Io, IoStats};
use crate::listen::{Listeners, UnixSocket};
use crate::mesh::{self, Inboxes, Mesh, Post};
use crate::patience::Patience;
use crate::pin::{allowed_cpus, pin_thread};
use crate::ring::{Ring, Wait};
use crate::send::Sending;
use crate::signal::{self, SignalFd};
use crate::storage::Storage;
use crate::wake::Waker;

/// What a core's thread is given.
struct Seat<M> {
    core: CoreId,
    cpu: Option<usize>,
    post: Post<M>,
    inboxes: Inboxes<M>,
    tcp: Vec<(OwnedFd, SocketAddr)>,
    unix: Option<UnixSocket>,
    own: Vec<(OwnedFd, SocketAddr)>,
    signals: Option<SignalFd>,
    patience: Patience,
}

/// Runs one thread per entry of `cfg.cpus`, each with its own ring and the [`App`] that `make`
/// makes on it, and returns when all of them have said [`crate::Next::Stop`].
///
/// With `cfg.signals`, SIGTERM and SIGINT are blocked in the calling thread and stay so; threads
/// that exist already must have blocked them too (see [`crate::signal::block`]).
///
/// # Errors
/// What failed at the start, or the first core whose ring failed or which panicked; the other cores
/// were stopped then.
pub fn run<A: App>(
    cfg: RuntimeConfig,
    listeners: Listeners,
    make: impl Fn(CoreId) -> A + Send + Sync,
) -> Result<(), RuntimeError> {
    let cores = cfg.cpus.len();
    if cores == 0 || cores > CORES_MAX {
        return Err(RuntimeError::Cores(cores));
    }
    if listeners.cores() != cores {
        return Err(RuntimeError::ListenerCores { bound: listeners.cores(), cores });
    }
    clock::calibrate();
    let mesh = Arc::new(Mesh::new(cores));
    let seats = seats(&cfg, listeners, &mesh)?;
    let gates = Gates::new(cores);
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(cores);
        let mut outcome = Ok(());
        for seat in seats {
            let core = seat.core;
            let (cfg, mesh, gates, make) = (&cfg, &mesh, &gates, &make);
            let body = move || run_core(seat, cfg, mesh, gates, make);
            match thread::Builder::new().name(format!("core-{core}")).spawn_scoped(scope, body) {
                Ok(thread) => threads.push((core, thread)),
                Err(source) => {
                    gates.give_up();
                    outcome = Err(RuntimeError::Thread { core: core.0, source });
                    break;
                }
            }
        }
        for (core, thread) in threads {
            let result = thread.join().unwrap_or(Err(RuntimeError::Panicked(core.0)));
            outcome = outcome.and(result);
        }
        outcome
    })
}

fn seats<M>(cfg: &RuntimeConfig, listeners: Listeners, mesh: &Arc<Mesh>) -> Result<Vec<Seat<M>>, RuntimeError> {
    let cores = cfg.cpus.len();
    let mut signals = None;
    if cfg.signals {
        signal::block().map_err(RuntimeError::Signals)?;
        signals = Some(SignalFd::new().map_err(RuntimeError::Signals)?);
    }
    // Spinning helps only where the awaited peer can run at the same time.
    let spins = cores <= allowed_cpus().len();
    let patience = || match spins {
        true => Patience::new(cfg.spin_us.into(), cfg.busy_spin_us.into()),
        false => Patience::new(0, 0),
    };
    let addrs = listeners.local_addrs().to_vec();
    let Listeners { tcp, own, mut unix, .. } = listeners;
    let ends = mesh::connect::<M>(mesh, cfg.mail_capacity);
    let seats = ends.into_iter().zip(tcp.into_iter().zip(own)).zip(&cfg.cpus).enumerate();
    Ok(seats
        .map(|(number, (((post, inboxes), (tcp, own)), &cpu))| Seat {
            core: CoreId(number as u16),
            cpu,
            post,
            inboxes,
            tcp: tcp.into_iter().zip(addrs.iter().copied()).collect(),
            unix: unix.take(),
            own,
            signals: signals.take(),
            patience: patience(),
        })
        .collect())
}

fn run_core<A: App>(
    seat: Seat<A::Mail>,
    cfg: &RuntimeConfig,
    mesh: &Arc<Mesh>,
    gates: &Gates,
    make: &(impl Fn(CoreId) -> A + Send + Sync),
) -> Result<(), RuntimeError> {
    let core = seat.core;
    let Seat { cpu, post, inboxes, tcp, unix, own, signals, patience, .. } = seat;
    let io = match set_up(core, cpu, post, Acceptor::new(tcp, unix, own), cfg, mesh) {
        Ok(io) => io,
        Err(error) => {
            gates.give_up();
            return Err(error);
        }
    };
    if !gates.all_ready() {
        // Another core reports why.
        return Ok(());
    }
    // Declared before `leaving`, so dropped after it, also by a panic: the ring stays open until all
    // cores have left.
    let mut place = None;
    let leaving = Leaving { mesh, gates, clean: false };
    let core_loop = place.insert(CoreLoop::new(make(core), io, inboxes, signals, patience));
    let result = core_loop.run();
    leaving.done(result.is_ok());
    result.map_err(|source| RuntimeError::RingLost { core: core.0, source })
}

fn set_up<M: Send + 'static>(
    core: CoreId,
    cpu: Option<usize>,
    post: Post<M>,
    acceptor: Acceptor,
    cfg: &RuntimeConfig,
    mesh: &Arc<Mesh>,
) -> Result<Io<M>, RuntimeError> {
    if let Some(cpu) = cpu {
        pin_thread(cpu).map_err(|source| RuntimeError::Pin { core: core.0, cpu, source })?;
    }
    let failed = |what| move |source| RuntimeError::Ring { core: core.0, what, source };
    let mut ring = new_ring(cfg.ring_entries).map_err(|source| match host::memlock_bytes() {
        Some(limit) if source.raw_os_error() == Some(libc::ENOMEM) => RuntimeError::RingMemory {
            core: core.0,
            limit_kib: limit / 1024,
            needed_kib: host::RING_MEMLOCK_BYTES / 1024 * mesh.cores() as u64,
        },
        _ => failed("io_uring_setup")(source),
    })?;
    let buffers = RecvBuffers::new(&ring, cfg.recv_buffers, cfg.recv_buffer_bytes)
        .map_err(failed("registering receive buffers"))?;
    ring.register_file_table(cfg.registered_files);
    let waker = Waker::new(cfg.wake, &ring, Arc::clone(mesh)).map_err(failed("an eventfd"))?;
    mesh.set_wake_fd(core, waker.address(&ring));
    let storage = match cfg.storage {
        true => Some(Storage::start(format!("storage-{core}"), cpu)),
        false => None,
    };
    let storage = storage.transpose().map_err(|source| RuntimeError::Storage { core: core.0, source })?;
    Ok(Io {
        ring,
        buffers,
        files: FileOps::default(),
        conns: ConnTable::new(),
        pool: OutputPool::default(),
        sending: Sending::default(),
        acceptor,
        storage,
        cpu,
        post,
        waker,
        stats: IoStats::default(),
        dirty: Vec::new(),
        pushed: Vec::new(),
        doomed: Vec::new(),
        rearm: Vec::new(),
        resumed: Vec::new(),
        leaving: Vec::new(),
        adopted: VecDeque::new(),
        held: VecDeque::new(),
        now_ms: clock::unix_ms(),
        now_us: clock::monotonic_us(),
        core,
        cores: mesh.cores(),
    })
}

/// The kernel gives back the locked memory of ended processes a moment after their end: a server
/// that is started again at once may have to wait for it.
fn new_ring(entries: u32) -> io::Result<Ring> {
    let mut tries = 25;
    loop {
        match Ring::new(entries) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && tries > 0 => {
                tries -= 1;
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Where the cores wait for each other: once before the first turn, once after the last.
struct Gates {
    state: Mutex<GateState>,
    changed: Condvar,
}

struct GateState {
    cores: usize,
    ready: usize,
    left: usize,
    given_up: bool,
}

impl Gates {
    fn new(cores: usize) -> Gates {
        let state = GateState { cores, ready: 0, left: 0, given_up: false };
        Gates { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This core could not be set up: none starts.
    fn give_up(&self) {
        self.state().given_up = true;
        self.changed.notify_all();
    }

    /// Waits until all cores are set up; `false` when one was not.
    fn all_ready(&self) -> bool {
        let mut state = self.state();
        state.ready += 1;
        self.changed.notify_all();
        while state.ready < state.cores && !state.given_up {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.given_up
    }

    /// Waits until all cores have left their loops.
    fn all_left(&self) {
        let mut state = self.state();
        state.left += 1;
        self.changed.notify_all();
        while state.left < state.cores {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A core on its way out, also by a panic.
struct Leaving<'a> {
    mesh: &'a Arc<Mesh>,
    gates: &'a Gates,
    clean: bool,
}

impl Leaving<'_> {
    fn done(mut self, clean: bool) {
        self.clean = clean;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.clean {
            self.mesh.abort();
            if let Err(error) = wake_everybody(self.mesh) {
                tracing::error!(%error, "cannot wake the other cores after a failure");
            }
        }
        self.gates.all_left();
    }
}

/// Wakes all cores whether they sleep or not, with a ring of its own: that of the failed core may be
/// unusable.
fn wake_everybody(mesh: &Arc<Mesh>) -> io::Result<()> {
    let mut ring = Ring::new(64)?;
    let by = if mesh.wakes_by_event() { WakeBy::EventFd } else { WakeBy::Ring };
    let mut waker = Waker::new(by, &ring, Arc::clone(mesh))?;
    for core in 0..mesh.cores() {
        waker.wake(&mut ring, core);
    }
    ring.enter(Wait::No)
}
