//! The load generator: from settings to a measured run.
//!
//! [`run`] connects, starts the threads, gives them one moment to begin at, and adds up what they report. It measures; printing is
//! the business of [`report`].

pub mod arrival;
pub mod connection;
pub mod control;
pub mod families;
pub mod keys;
pub mod process;
pub mod random;
pub mod record;
pub mod reply;
pub mod report;
pub mod settings;
pub mod template;
pub mod values;
pub mod wire;
pub mod worker;
pub mod workload;

use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use arrival::Schedule;
use control::{Control, Handshake, Reply};
use keys::{Keys, part};
use process::Usage;
use random::Random;
use record::Second;
use settings::Settings;
use template::Source;
use values::Contents;
use wire::{Address, kernel};
use worker::{Finished, Plan, Report, Worker};

/// Why a run could not be made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    Settings(String),
    #[error("{address}: {error}")]
    Server { address: String, error: std::io::Error },
    #[error("{0}")]
    Kernel(String),
    #[error("{0}")]
    Thread(String),
}

/// What is known before the load begins.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Target {
    /// "valkey 9.1.2".
    pub server: String,
    pub nodes: usize,
}

/// What a run watches over: told of the begin, and of each second as soon as all threads are through it.
pub trait Watch {
    fn begins(&mut self, target: &Target);
    fn second(&mut self, number: u64, second: &Second);
}

/// A finished run.
pub struct Outcome {
    pub target: Target,
    /// The commands' names, in the order of the mix.
    pub names: Vec<String>,
    /// Everything within the measured interval.
    pub total: Second,
    /// Replies that came after its end, to requests from before.
    pub drained: Second,
    pub unanswered: u64,
    /// Length of the measured interval.
    pub seconds: f64,
    pub begin_unix_us: u64,
    pub end_unix_us: u64,
    pub client_cpu_s: f64,
    /// Of that, the time in which the threads only looked for replies.
    pub client_spin_s: f64,
    /// CPU time and resident memory of the process named by `server-pid`.
    pub server: Option<Usage>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// Runs a load to its end.
///
/// # Errors
/// The settings do not go together, the server cannot be reached or refuses, or a thread fails.
pub fn run(settings: &Settings, watch: &mut dyn Watch) -> Result<Outcome, RunError> {
    let mut settings = settings.clone();
    settings.check().map_err(RunError::Settings)?;
    let sockets = (settings.connections + settings.subscribers) as u64;
    kernel::raise_open_files(sockets + 64 + 2 * settings.threads as u64).map_err(RunError::Kernel)?;

    let first = address(&settings)?;
    let handshake = Handshake::of(&settings);
    let mut control = connect(&first, &handshake)?;
    let mut target = Target { server: control::version(&mut control, settings.memcached), nodes: 1 };
    let (addresses, owners) = nodes(&settings, &first, &mut control)?;
    target.nodes = addresses.len();
    drop(control);

    let (reports, received) = mpsc::channel();
    let (ready, readies) = mpsc::channel();
    let mut threads = Vec::new();
    let mut first_connection = 0;
    for thread in 0..settings.threads {
        let connections = part(settings.connections as u64, thread as u64 + 1, settings.threads as u64)
            - part(settings.connections as u64, thread as u64, settings.threads as u64);
        let plan = plan(&settings, thread, first_connection, &handshake, &addresses, &owners)?;
        let opener = Opener {
            addresses: addresses.clone(),
            handshake: handshake.clone(),
            is_memcached: settings.memcached,
            first: first_connection as usize,
            asking: connections as usize,
            listening: subscribers_of(&settings, thread),
            channels: settings.channels.clone(),
        };
        first_connection += connections as u32;
        let (go, gone) = mpsc::channel();
        let (spare, spares) = mpsc::channel();
        let cpu = (!settings.cpus.is_empty()).then(|| settings.cpus[thread % settings.cpus.len()]);
        let (ready, reports) = (ready.clone(), reports.clone());
        thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || thread_main(cpu, opener, plan, &ready, reports, &gone, spares))
            .map_err(|error| RunError::Kernel(format!("no thread: {error}")))?;
        threads.push(Thread { go, spare });
    }
    drop((ready, reports));
    for _ in &threads {
        readies.recv().map_err(|_| RunError::Thread("a thread ended before it began".to_owned()))??;
    }
    watch.begins(&target);
    let names = settings.templates().map_err(RunError::Settings)?.iter().map(|one| one.name().to_owned()).collect();
    Collection::begin(&settings, &threads, received).collect(watch, target, names)
}

/// What a thread is reached by.
struct Thread {
    go: Sender<Instant>,
    spare: Sender<Box<Second>>,
}

/// The connections that a thread opens for itself.
struct Opener {
    addresses: Vec<Address>,
    handshake: Handshake,
    is_memcached: bool,
    /// Number of its first connection: they take the nodes in turn.
    first: usize,
    asking: usize,
    listening: usize,
    channels: Vec<String>,
}

/// Those that ask, each with the number of its node, and those that listen.
type Opened = (Vec<(OwnedFd, u16)>, Vec<OwnedFd>);

impl Opener {
    fn open(&self) -> Result<Opened, RunError> {
        let fd = |control: Control, address: &Address| control.into_fd().map_err(|error| at(address, error));
        let mut asking = Vec::with_capacity(self.asking);
        for number in self.first..self.first + self.asking {
            let node = number % self.addresses.len();
            let address = &self.addresses[node];
            let mut control = connect(address, &self.handshake)?;
            control.check(self.is_memcached).map_err(|error| at(address, error))?;
            asking.push((fd(control, address)?, node as u16));
        }
        let mut listening = Vec::with_capacity(self.listening);
        let address = &self.addresses[0];
        for _ in 0..self.listening {
            let mut control = connect(address, &self.handshake)?;
            let words: Vec<&str> =
                std::iter::once("SUBSCRIBE").chain(self.channels.iter().map(String::as_str)).collect();
            let mut reply = control.call(&words).map_err(|error| at(address, error))?;
            for _ in 1..self.channels.len() {
                if !matches!(reply, Reply::Error(_)) {
                    reply = control.reply().map_err(|error| at(address, error))?;
                }
            }
            if let Reply::Error(text) = reply {
                return Err(at(address, std::io::Error::other(format!("SUBSCRIBE: the server said: {text}"))));
            }
            listening.push(fd(control, address)?);
        }
        Ok((asking, listening))
    }
}

fn thread_main(
    cpu: Option<usize>,
    opener: Opener,
    mut plan: Plan,
    ready: &Sender<Result<(), RunError>>,
    reports: Sender<Report>,
    go: &Receiver<Instant>,
    spares: Receiver<Box<Second>>,
) {
    let prepare = || {
        if let Some(cpu) = cpu {
            kernel::pin_thread(cpu).map_err(|error| RunError::Kernel(format!("cpu {cpu}: {error}")))?;
        }
        (plan.asking, plan.listening) = opener.open()?;
        Worker::new(plan, reports.clone(), spares).map_err(|error| {
            RunError::Kernel(format!("io_uring: {error} (is it allowed here, and is the memlock limit high enough?)"))
        })
    };
    // The receivers are gone only when another thread failed first.
    match prepare() {
        Err(error) => {
            let _ = ready.send(Err(error));
        }
        Ok(worker) => {
            let _ = ready.send(Ok(()));
            let Ok(epoch) = go.recv() else { return };
            if let Err(why) = worker.run(epoch) {
                let _ = reports.send(Report::Failed(why));
            }
        }
    }
}

fn at(address: &Address, error: std::io::Error) -> RunError {
    RunError::Server { address: address.to_string(), error }
}

fn connect(address: &Address, handshake: &Handshake) -> Result<Control, RunError> {
    let mut control = Control::connect(address).map_err(|error| at(address, error))?;
    handshake.perform(&mut control).map_err(|error| at(address, error))?;
    Ok(control)
}

fn address(settings: &Settings) -> Result<Address, RunError> {
    match &settings.unix {
        Some(path) => Ok(Address::Unix(path.clone())),
        None => resolve(&settings.host, settings.port),
    }
}

fn resolve(host: &str, port: u16) -> Result<Address, RunError> {
    let found = (host, port).to_socket_addrs().and_then(|mut found| {
        found.next().ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "no address of that name"))
    });
    found.map(Address::Tcp).map_err(|error| RunError::Server { address: format!("{host}:{port}"), error })
}

/// The nodes to connect to, and the owner of each slot; without a cluster the server alone.
fn nodes(settings: &Settings, first: &Address, control: &mut Control) -> Result<(Vec<Address>, Vec<u16>), RunError> {
    if !settings.cluster {
        return Ok((vec![first.clone()], Vec::new()));
    }
    let nodes = control::nodes(control, &settings.host).map_err(|error| at(first, error))?;
    let addresses = nodes.addresses.iter().map(|(host, port)| resolve(host, *port)).collect::<Result<Vec<_>, _>>()?;
    if settings.connections < addresses.len() {
        return Err(RunError::Settings(format!("connections: the cluster has {} nodes", addresses.len())));
    }
    Ok((addresses, nodes.owners))
}

fn subscribers_of(settings: &Settings, thread: usize) -> usize {
    let (all, threads) = (settings.subscribers as u64, settings.threads as u64);
    (part(all, thread as u64 + 1, threads) - part(all, thread as u64, threads)) as usize
}

fn plan(
    settings: &Settings,
    thread: usize,
    first_connection: u32,
    handshake: &Handshake,
    addresses: &[Address],
    owners: &[u16],
) -> Result<Plan, RunError> {
    let (number, threads) = (thread as u64, settings.threads as u64);
    let mut random = Random::stream(settings.seed, number);
    let contents = Contents::new(settings.value_size.max(), &mut random);
    let keys = Keys::new(settings.distribution, settings.keys, number, threads);
    let mut source = Source::new(random, keys, settings.value_size.clone(), contents, settings.fields);
    (source.sequence, source.sequence_step) = (number, threads);
    let schedule = |rate| Schedule::new(settings.arrivals, rate, number, threads, settings.seed);
    Ok(Plan {
        thread,
        asking: Vec::new(),
        listening: Vec::new(),
        addresses: addresses.to_vec(),
        owners: owners.to_vec(),
        templates: settings.templates().map_err(RunError::Settings)?,
        weights: settings.mix.iter().map(|entry| entry.weight).collect(),
        apart: settings.apart,
        source,
        pipeline: settings.pipeline as u32,
        schedule: settings.rate.map(schedule),
        warmup: Duration::from_secs_f64(settings.warmup),
        duration: settings.duration.map(Duration::from_secs_f64),
        quota: settings.requests.map(|all| part(all, number + 1, threads) - part(all, number, threads)),
        reconnect_every: settings.reconnect_every,
        reset: settings.reset,
        handshake: handshake.clone(),
        memcached: settings.memcached,
        spin: settings.spin,
        first_connection,
    })
}

/// What is gathered while the threads run.
struct Collection<'a> {
    threads: &'a [Thread],
    received: Receiver<Report>,
    server_pid: Option<u32>,
    commands: usize,
    begin: Instant,
    begin_unix_us: u64,
    /// Seconds that not all threads are through: their sum so far, and by how many.
    seconds: Vec<Option<(Second, usize)>>,
    total: Second,
    finished: Vec<Finished>,
}

impl<'a> Collection<'a> {
    /// Gives all threads the same moment to start at.
    fn begin(settings: &Settings, threads: &'a [Thread], received: Receiver<Report>) -> Collection<'a> {
        /// Enough for all of them to wake up.
        const NOTICE: Duration = Duration::from_millis(2);
        let epoch = Instant::now() + NOTICE;
        let begin = epoch + Duration::from_secs_f64(settings.warmup);
        let begin_unix_us = process::unix_us() + (begin - Instant::now()).as_micros() as u64;
        for thread in threads {
            // One that is gone has reported why.
            let _ = thread.go.send(epoch);
        }
        Collection {
            threads,
            received,
            server_pid: settings.server_pid,
            commands: settings.mix.len(),
            begin,
            begin_unix_us,
            seconds: Vec::new(),
            total: Second::new(settings.mix.len()),
            finished: Vec::new(),
        }
    }

    fn collect(mut self, watch: &mut dyn Watch, target: Target, names: Vec<String>) -> Result<Outcome, RunError> {
        let mut usage = None;
        let mut usage_at_end = None;
        while self.finished.len() < self.threads.len() {
            let report = if usage.is_none() && self.server_pid.is_some() {
                self.received.recv_timeout(self.begin.saturating_duration_since(Instant::now()))
            } else {
                self.received.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match report {
                Err(RecvTimeoutError::Timeout) => usage = self.server_pid.map(process::usage),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(RunError::Thread("a thread ended without a word".to_owned()));
                }
                Ok(Report::Failed(why)) => return Err(RunError::Thread(why)),
                Ok(Report::Second { number, second }) => self.second(number, second, watch),
                Ok(Report::Ended) => usage_at_end = self.server_pid.map(process::usage),
                Ok(Report::Finished(mut finished)) => {
                    let last = std::mem::replace(&mut finished.second, Box::new(Second::new(0)));
                    self.second(finished.number, last, watch);
                    self.finished.push(*finished);
                }
            }
        }
        self.rest(watch);
        let server = match (usage.flatten(), usage_at_end.flatten()) {
            (Some(begin), Some(end)) => Some(Usage { cpu_s: end.cpu_s - begin.cpu_s, ..end }),
            _ => None,
        };
        Ok(self.outcome(target, names, server))
    }

    /// Adds one thread's second, and tells of it when it was the last thread's.
    fn second(&mut self, number: u64, mut second: Box<Second>, watch: &mut dyn Watch) {
        let number = number as usize;
        if self.seconds.len() <= number {
            self.seconds.resize_with(number + 1, || None);
        }
        let commands = self.commands;
        let (sum, count) = self.seconds[number].get_or_insert_with(|| (Second::new(commands), 0));
        sum.add(&second);
        *count += 1;
        if *count == self.threads.len()
            && let Some((sum, _)) = self.seconds[number].take()
        {
            watch.second(number as u64, &sum);
            self.total.add(&sum);
        }
        second.clear();
        // Used over again by whichever thread comes first; a thread that is done does not need it.
        let _ = self.threads[number % self.threads.len()].spare.send(second);
    }

    /// Seconds that some threads had already ended in.
    fn rest(&mut self, watch: &mut dyn Watch) {
        for (number, second) in std::mem::take(&mut self.seconds).into_iter().enumerate() {
            if let Some((sum, _)) = second {
                watch.second(number as u64, &sum);
                self.total.add(&sum);
            }
        }
    }

    fn outcome(self, target: Target, names: Vec<String>, server: Option<Usage>) -> Outcome {
        let mut drained = Second::new(self.commands);
        let (mut unanswered, mut end_ns, mut cpu_ns, mut spun_ns, mut sent_bytes, mut received_bytes) =
            (0, 0, 0, 0, 0, 0);
        let mut begin_ns = u64::MAX;
        for finished in &self.finished {
            drained.add(&finished.drained);
            unanswered += finished.unanswered;
            begin_ns = begin_ns.min(finished.begin_ns);
            end_ns = end_ns.max(finished.end_ns);
            cpu_ns += finished.cpu_ns;
            spun_ns += finished.spun_ns;
            sent_bytes += finished.sent_bytes;
            received_bytes += finished.received_bytes;
        }
        let length_ns = end_ns.saturating_sub(begin_ns);
        Outcome {
            target,
            names,
            total: self.total,
            drained,
            unanswered,
            seconds: length_ns as f64 / 1e9,
            begin_unix_us: self.begin_unix_us,
            end_unix_us: self.begin_unix_us + length_ns / 1_000,
            client_cpu_s: cpu_ns as f64 / 1e9,
            client_spin_s: spun_ns.min(cpu_ns) as f64 / 1e9,
            server,
            sent_bytes,
            received_bytes,
        }
    }
}
