//! A campaign: all workloads over all servers, one workload after the other, each on fresh servers. This file owns the order
//! of the steps; what is done with a kind of workload is in `closed`, `timeline`, `memory`, `recovery` and `scaling`.
//!
//! A server that cannot take part has a line with the reason instead of figures, and the others go on: nothing that one
//! server does or lacks ends a campaign.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::alternate::Allowance;
use super::generator::{Generator, longest};
use super::machine::Layout;
use super::record::{Begin, Finish, Journal, LeftOut, Machine, Record, WorkloadRecord};
use super::server::{Launch, Peer, PeerKind, Server};
use super::workload::{Kind, Options, Workload};
use super::{closed, machine, memory, recovery, scaling, timeline};

/// How long a server may take until it answers.
pub const START_MAX: Duration = Duration::from_secs(120);

/// What is asked of a campaign.
#[derive(Clone, Debug)]
pub struct Orders {
    /// In the order in which they take turns.
    pub peers: Vec<Peer>,
    /// Servers that are not there, with the reason.
    pub absent: BTreeMap<String, String>,
    pub generator: PathBuf,
    pub quick: bool,
    pub rounds: usize,
    /// Workloads that would begin after this are left out.
    pub time_max: Duration,
    /// Where the results go.
    pub out: PathBuf,
    /// Where servers write.
    pub scratch: PathBuf,
}

/// A campaign under way.
pub struct Campaign {
    pub orders: Orders,
    pub cores: Vec<usize>,
    /// One core for the server and one for the load.
    pub layout: Layout,
    pub spare_core: Option<usize>,
    pub journal: Journal,
    pub allowance: Allowance,
    begun: Instant,
}

impl Campaign {
    /// Asks every server for its version and writes the first record. Servers that do not start are absent.
    pub fn begin(mut orders: Orders) -> Result<Campaign, String> {
        fs::create_dir_all(&orders.scratch).map_err(|error| format!("{}: {error}", orders.scratch.display()))?;
        let journal = Journal::create(&orders.out)?;
        let cores = machine::allowed_cores();
        let (layout, spare_core) = Layout::one_each(&cores);
        let mut versions = BTreeMap::new();
        let generator = machine::version_of(&orders.generator);
        let word = |line: String| line.rsplit(' ').next().unwrap_or_default().to_owned();
        versions.insert("pinyon-bench".to_owned(), generator.map_or_else(|| "unknown".to_owned(), word));
        let asked = std::mem::take(&mut orders.peers);
        for peer in asked {
            let launch = Launch {
                cores: layout.server.clone(),
                threads: 1,
                extra: Vec::new(),
                folder: orders.scratch.join(format!("version-{}", peer.kind.name())),
                spare_core: None,
                alone: false,
            };
            match Server::start(&peer, &launch, START_MAX).and_then(|server| server.version()) {
                Ok(version) => {
                    versions.insert(peer.kind.name().to_owned(), version);
                    orders.peers.push(peer);
                }
                Err(error) => {
                    said(&format!("{}: {error}", peer.kind.name()));
                    orders.absent.insert(peer.kind.name().to_owned(), first_line(&error));
                }
            }
        }
        let begin = Begin {
            date: machine::today(),
            mode: if orders.quick { "quick" } else { "full" }.to_owned(),
            rounds: orders.rounds,
            machine: Machine::here(&orders.scratch),
            versions,
            absent: orders.absent.clone(),
        };
        let allowance = Allowance::new(orders.time_max / 8);
        let mut campaign = Campaign { orders, cores, layout, spare_core, journal, allowance, begun: Instant::now() };
        campaign.journal.add(Record::Begin(begin))?;
        Ok(campaign)
    }

    /// Runs all workloads and writes the last record.
    pub fn run(&mut self, workloads: &[Workload]) -> Result<(), String> {
        for (at, workload) in workloads.iter().enumerate() {
            let seconds = self.begun.elapsed().as_secs();
            said(&format!("[{seconds:4} s, {} of {}] {}", at + 1, workloads.len(), workload.title));
            if self.begun.elapsed() > self.orders.time_max {
                self.describe(workload, &workload.runs(self.orders.quick).1, None)?;
                for peer in self.orders.peers.clone() {
                    self.leave_out(workload, peer.kind, "the time for this run was up")?;
                }
                continue;
            }
            match workload.kind {
                Kind::Closed | Kind::Open => closed::run(self, workload)?,
                Kind::Snapshot | Kind::Expire => timeline::run(self, workload)?,
                Kind::Memory => memory::run(self, workload)?,
                Kind::RecoveryLog | Kind::RecoverySnapshot => recovery::run(self, workload)?,
                Kind::Scaling => scaling::run(self, workload)?,
            }
        }
        let finish = Finish { seconds: self.begun.elapsed().as_secs_f64(), repeated: self.allowance.repeated };
        self.journal.add(Record::Finish(finish))?;
        // What is left there are logs of servers; the folder may be in use by nobody else.
        let _ = fs::remove_dir_all(&self.orders.scratch);
        Ok(())
    }

    /// Writes what a workload is, with the options that are really used.
    pub fn describe(&mut self, workload: &Workload, options: &Options, note: Option<String>) -> Result<(), String> {
        let (prepare, _) = workload.runs(self.orders.quick);
        self.journal.add(Record::Workload(WorkloadRecord {
            name: workload.name.clone(),
            title: workload.title.clone(),
            about: note.map_or_else(|| workload.about.clone(), |note| format!("{} {note}", workload.about)),
            kind: workload.kind.name().to_owned(),
            options: options.text(),
            prepare: prepare.iter().map(Options::text).collect(),
            value_bytes: workload.value_bytes,
            elements: workload.elements,
            reasons: workload.reasons.clone(),
        }))
    }

    /// Writes why a server has no row.
    pub fn leave_out(&mut self, workload: &Workload, server: PeerKind, reason: &str) -> Result<(), String> {
        said(&format!("    {}: left out: {reason}", server.name()));
        self.journal.add(Record::LeftOut(LeftOut {
            workload: workload.name.clone(),
            server: server.name().to_owned(),
            reason: first_line(reason),
        }))
    }

    /// How a server is started for a workload, on one core.
    pub fn launch(&self, workload: &Workload, kind: PeerKind) -> Launch {
        Launch {
            cores: self.layout.server.clone(),
            threads: 1,
            extra: workload.arguments_for(kind),
            folder: self.orders.scratch.join(format!("{}-{}", workload.name, kind.name())),
            spare_core: self.spare_core,
            alone: !self.layout.shared(),
        }
    }

    /// pinyon-bench on the load's core.
    pub fn generator(&self) -> Generator {
        Generator {
            binary: self.orders.generator.clone(),
            cores: self.layout.generator.clone(),
            folder: self.orders.scratch.join("generator"),
        }
    }

    /// Starts a fresh server for a workload, if it can take part; else says why not.
    pub fn start(&self, workload: &Workload, peer: &Peer, launch: &Launch) -> Result<Server, String> {
        if let Some(reason) = workload.leaves_out(peer.kind) {
            return Err(reason.to_owned());
        }
        if workload.needs_durable {
            recovery::check_durable(peer, launch)?;
        }
        let _ = fs::remove_dir_all(&launch.folder);
        let server = Server::start(peer, launch, START_MAX)?;
        let unknown = server.unknown_commands(&workload.needs)?;
        if !unknown.is_empty() {
            return Err(format!("{} does not know {} yet", peer.kind.name(), unknown.join(", ")));
        }
        Ok(server)
    }

    /// Starts all servers that can take part, and writes why the others cannot.
    pub fn start_all(&mut self, workload: &Workload) -> Result<Vec<Server>, String> {
        let mut servers = Vec::new();
        for peer in self.orders.peers.clone() {
            match self.start(workload, &peer, &self.launch(workload, peer.kind)) {
                Ok(server) => servers.push(server),
                Err(reason) => self.leave_out(workload, peer.kind, &reason)?,
            }
        }
        Ok(servers)
    }

    /// Carries out the preparing runs; the options of the measured one may say `memcached yes` by now.
    pub fn prepare(&self, workload: &Workload, server: &Server) -> Result<(), String> {
        let generator = self.generator();
        for options in workload.runs(self.orders.quick).0 {
            let options = spoken(server.kind, options);
            let load = generator.run(&options, server.port, server.pid(), longest(&options))?;
            if load.errors > 0 {
                return Err(format!("while preparing: {} errors ({})", load.errors, load.error_texts.join("; ")));
            }
        }
        Ok(())
    }

    /// Prepares all servers; those for which it fails are gone from the list and left out.
    pub fn prepare_all(&mut self, workload: &Workload, servers: &mut Vec<Server>) -> Result<(), String> {
        let mut ready = Vec::new();
        for server in std::mem::take(servers) {
            match self.prepare(workload, &server) {
                Ok(()) => ready.push(server),
                Err(reason) => self.leave_out(workload, server.kind, &reason)?,
            }
        }
        *servers = ready;
        Ok(())
    }
}

/// Options for a server: memcached's own protocol where it is memcached.
pub fn spoken(kind: PeerKind, mut options: Options) -> Options {
    if kind == PeerKind::Memcached {
        options.set("memcached", "yes");
    }
    options
}

/// Progress, to stderr.
pub fn said(line: &str) {
    eprintln!("{line}");
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
