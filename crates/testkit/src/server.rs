//! Servers that live as long as a test: Pinyon, or one of the servers it is compared with.
//!
//! Each gets a free port and a folder of its own under the system's temporary folder, is waited for by PING, and is killed
//! by its process id when dropped. A program that is missing is an error, so that a test fails rather than passing unrun.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::{Address, Client, Value};

/// Which server to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `PINYON_SERVER`, else `target/release/pinyon-server` of this repository.
    Pinyon,
    /// `REDIS_SERVER`, else `redis-server` in the `PATH`; must be 7.0.15.
    Redis,
    /// `REDIS8_SERVER`, else where scripts/oracles puts it; must be 8.
    Redis8,
    /// `VALKEY_SERVER`, else where scripts/oracles puts it; must be 9.
    Valkey,
}

/// Why a server could not be started: which, how it was called, and what it said.
#[derive(Clone, Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    program: Program,
    built_at: Option<PathBuf>,
    exactly: Option<PathBuf>,
    args: Vec<String>,
    shards: Option<u16>,
    unix_socket: bool,
    core_ports: bool,
    dir: Option<PathBuf>,
    may_load: bool,
}

impl ServerOptions {
    pub fn new(program: Program) -> ServerOptions {
        ServerOptions {
            program,
            built_at: None,
            exactly: None,
            args: Vec::new(),
            shards: None,
            unix_socket: false,
            core_ports: false,
            dir: None,
            may_load: false,
        }
    }

    /// Does not wait until it has loaded its data.
    pub fn while_loading(mut self) -> ServerOptions {
        self.may_load = true;
        self
    }

    /// Where Pinyon was built, for tests that must run what was built with them; `PINYON_SERVER` still says otherwise.
    pub fn built_at(mut self, path: impl Into<PathBuf>) -> ServerOptions {
        self.built_at = Some(path.into());
        self
    }

    /// Which binary to start, whatever the environment says.
    pub fn exactly(mut self, path: impl Into<PathBuf>) -> ServerOptions {
        self.exactly = Some(path.into());
        self
    }

    /// Adds words to the command line: a directive and its values.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> ServerOptions {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Pinyon's number of shards, on threads that are not pinned, so that tests may share the machine.
    pub fn shards(mut self, shards: u16) -> ServerOptions {
        self.shards = Some(shards);
        self
    }

    /// Keeps a log in this folder, which stays when the server has gone, so that another can go on with it.
    pub fn log_in(mut self, dir: impl Into<PathBuf>) -> ServerOptions {
        self.dir = Some(dir.into());
        self
    }

    /// Pinyon's cores listen on ports of their own, too.
    pub fn core_ports(mut self) -> ServerOptions {
        self.core_ports = true;
        self
    }

    /// Listens on a socket in the server's folder, too.
    pub fn unix_socket(mut self) -> ServerOptions {
        self.unix_socket = true;
        self
    }

    /// Starts the server and waits until it answers PING.
    pub fn start(&self) -> Result<Server, StartError> {
        /// Between choosing a free port and listening on it, another process may take it.
        const TRIES: usize = 3;
        let mut last = None;
        for _ in 0..TRIES {
            match self.start_once() {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| StartError("not tried".to_string())))
    }

    /// As [`ServerOptions::start`], for a start that is to fail.
    pub fn start_once(&self) -> Result<Server, StartError> {
        let failed = |what: &str, error: io::Error| StartError(format!("{what}: {error}"));
        let binary = match &self.exactly {
            Some(path) => path.clone(),
            None => self.program.binary(self.built_at.as_deref())?,
        };
        let port = free_port().map_err(|error| failed("no free port", error))?;
        let folder = new_folder().map_err(|error| failed("no folder", error))?;
        let log = folder.join("log");
        let output = File::create(&log).map_err(|error| failed("no log file", error))?;
        let errors = output.try_clone().map_err(|error| failed("no log file", error))?;
        let unix = self.unix_socket.then(|| folder.join("s.sock"));
        let mut command = Command::new(&binary);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(self.dir.as_ref().unwrap_or(&folder));
        if self.program != Program::Pinyon {
            command.args(["--save", ""]);
        }
        command.args(["--appendonly", if self.dir.is_some() { "yes" } else { "no" }]);
        if let Some(shards) = self.shards {
            command.args(["--shards", &shards.to_string(), "--pin", "no"]);
        }
        let mut core_ports = None;
        if self.core_ports {
            let first = free_ports(self.shards.unwrap_or(1)).map_err(|error| failed("no free ports", error))?;
            command.args(["--core-ports", "yes", "--core-port-base", &first.to_string()]);
            core_ports = Some(first);
        }
        if let Some(path) = &unix {
            command.arg("--unixsocket").arg(path);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(|error| failed(&format!("{}", binary.display()), error))?;
        let mut server = Server { child, port, core_ports, unix, folder };
        match server.wait_until_ready(self.may_load) {
            Ok(()) => Ok(server),
            Err(why) => Err(StartError(format!("{command:?} {why}; it said:\n{}", server.log_tail()))),
        }
    }
}

impl Program {
    fn binary(self, built_at: Option<&Path>) -> Result<PathBuf, StartError> {
        let root = repository();
        let (variable, fallback) = match self {
            Program::Pinyon => ("PINYON_SERVER", Some(root.join("target/release/pinyon-server"))),
            Program::Redis => ("REDIS_SERVER", in_path("redis-server")),
            Program::Redis8 => ("REDIS8_SERVER", Some(root.join("target/oracles/bin/redis-server-8"))),
            Program::Valkey => ("VALKEY_SERVER", Some(root.join("target/oracles/valkey-oracle/valkey-server"))),
        };
        let fallback = built_at.map(Path::to_path_buf).or(fallback);
        let path = match std::env::var_os(variable) {
            Some(path) => PathBuf::from(path),
            None => fallback.ok_or_else(|| {
                StartError(format!("no redis-server in the PATH: run scripts/oracles, or set {variable}"))
            })?,
        };
        let remedy = match self {
            Program::Pinyon => "cargo build --release",
            Program::Redis => "scripts/oracles",
            Program::Redis8 => "scripts/oracles --peers",
            Program::Valkey => "scripts/oracles --valkey-oracle",
        };
        if !path.is_file() {
            return Err(StartError(format!("{} is missing: {remedy}, or set {variable}", path.display())));
        }
        self.check_version(&path)?;
        Ok(path)
    }

    /// The replies compared with are those of one version.
    fn check_version(self, path: &Path) -> Result<(), StartError> {
        let wanted = match self {
            Program::Pinyon => return Ok(()),
            Program::Redis => " v=7.0.15 ",
            Program::Redis8 => " v=8.",
            Program::Valkey => " v=9.",
        };
        let output = Command::new(path)
            .arg("--version")
            .output()
            .map_err(|error| StartError(format!("{}: {error}", path.display())))?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        if version.contains(wanted) {
            Ok(())
        } else {
            Err(StartError(format!("{} is not the version that is compared with: {version}", path.display())))
        }
    }
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A TCP port of this machine that nobody listens on at the moment.
pub fn free_port() -> io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

/// The first of so many TCP ports in a row that nobody listens on at the moment. They are below those that the kernel gives
/// to connections: of these, ones that have just ended are in the way of every other.
fn free_ports(count: u16) -> io::Result<u16> {
    const TRIES: u32 = 100;
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    for _ in 0..TRIES {
        let number = NUMBER.fetch_add(u32::from(count), Ordering::Relaxed);
        let first = FIRST + std::process::id().wrapping_mul(7919).wrapping_add(number) % PORTS;
        let ports = first..first + u32::from(count);
        let taken = |port: u32| TcpListener::bind(("127.0.0.1", port as u16)).is_err();
        if !ports.into_iter().any(taken) {
            return Ok(first as u16);
        }
    }
    Err(io::Error::other("no free ports in a row"))
}

fn new_folder() -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pinyon-test-{}-{number}", std::process::id()));
    // What an earlier process of the same id left behind.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A running server. Dropping it kills the process and removes its folder, which stays when the test panics.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    /// The first core's own port.
    core_ports: Option<u16>,
    unix: Option<PathBuf>,
    folder: PathBuf,
}

impl Server {
    /// Pinyon with this many shards and nothing else said.
    pub fn pinyon(shards: u16) -> Result<Server, StartError> {
        ServerOptions::new(Program::Pinyon).shards(shards).start()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The server's working folder, with its log in the file `log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn address(&self) -> Address {
        Address::local(self.port)
    }

    /// The address of a core's own port.
    ///
    /// # Panics
    /// Cores have none: it was started without [`ServerOptions::core_ports`].
    pub fn core_address(&self, core: u16) -> Address {
        Address::local(self.core_ports.expect("started with core ports") + core)
    }

    /// Its unix socket, where one was asked for.
    pub fn unix_address(&self) -> Option<Address> {
        self.unix.clone().map(Address::Unix)
    }

    pub fn client(&self) -> io::Result<Client> {
        Client::connect(&self.address())
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log")).map_or(String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Sends a signal by name ("TERM").
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -s {name} failed"))) }
    }

    /// How the process ended, waiting for that at most `limit`; None when it still runs.
    pub fn wait_exit(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the answer to a PING on every address. Err says what went wrong.
    fn wait_until_ready(&mut self, may_load: bool) -> Result<(), String> {
        const LIMIT: Duration = Duration::from_secs(30);
        const BETWEEN_TRIES: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + LIMIT;
        let mut waiting: Vec<Address> = [Some(self.address()), self.unix_address()].into_iter().flatten().collect();
        loop {
            waiting.retain(|address| !answers(address, may_load));
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status}"));
            }
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("does not answer at {waiting:?} after {} s", LIMIT.as_secs()));
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }
}

/// Any reply will do but that it is still loading, unless it may: it may want a password first.
fn answers(address: &Address, may_load: bool) -> bool {
    let reply = Client::connect(address).and_then(|mut client| client.call(&["PING"]));
    match reply {
        Ok(Value::Error(text)) => may_load || !text.starts_with("LOADING"),
        Ok(_) => true,
        Err(_) => false,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's folder stays: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
