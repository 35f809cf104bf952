//! The servers that are compared: how each is started with the same settings on the same cores, what is asked of it, and
//! its end. All listen on 127.0.0.1 only and on a free port, and write, if they write, into a folder of their own.
//!
//! A server that this process started dies with it, however that ends (`setpriv --pdeathsig`), and only by the process id
//! that was started is one ever killed.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Reply};
use super::procfs;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    Pinyon,
    Valkey,
    Redis,
    Memcached,
    Dragonfly,
}

impl PeerKind {
    pub const ALL: [PeerKind; 5] =
        [PeerKind::Pinyon, PeerKind::Valkey, PeerKind::Redis, PeerKind::Memcached, PeerKind::Dragonfly];

    /// As files, records and the report spell it.
    pub fn name(self) -> &'static str {
        match self {
            PeerKind::Pinyon => "pinyon",
            PeerKind::Valkey => "valkey",
            PeerKind::Redis => "redis",
            PeerKind::Memcached => "memcached",
            PeerKind::Dragonfly => "dragonfly",
        }
    }

    pub fn named(name: &str) -> Option<PeerKind> {
        PeerKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A server program to be measured.
#[derive(Clone, Debug)]
pub struct Peer {
    pub kind: PeerKind,
    pub binary: PathBuf,
}

/// How one is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The cores it may use.
    pub cores: Vec<usize>,
    /// Threads (shards) that carry out commands or talk to clients.
    pub threads: usize,
    /// More of the command line, from the workload.
    pub extra: Vec<String>,
    /// Where it may write. Kept over restarts, so that recovery finds what was there.
    pub folder: PathBuf,
    /// A core for children that save, where there is one to spare. Others have them on their own cores.
    pub spare_core: Option<usize>,
    /// It has its cores for itself, so that its threads may be pinned one by one.
    pub alone: bool,
}

/// A running server.
pub struct Server {
    pub kind: PeerKind,
    pub port: u16,
    child: Child,
    /// The command line, without folders.
    pub command_line: String,
    /// From its start to its first PONG.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it answers PING, and so has loaded what it had: at most `patience`.
    pub fn start(peer: &Peer, launch: &Launch, patience: Duration) -> Result<Server, String> {
        fs::create_dir_all(&launch.folder).map_err(|error| format!("{}: {error}", launch.folder.display()))?;
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let arguments = arguments(peer.kind, port, launch);
        let log_path = launch.folder.join("log.txt");
        let log = File::create(&log_path).map_err(|error| format!("{}: {error}", log_path.display()))?;
        let also = log.try_clone().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let child = pinned(&launch.cores, &peer.binary)
            .args(&arguments)
            .current_dir(&launch.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(|error| format!("{}: {error}", peer.binary.display()))?;
        let program = peer.binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = launch.folder.display().to_string();
        let command_line = format!("{program} {}", shown(&arguments)).replace(&folder, "FOLDER");
        let mut server = Server { kind: peer.kind, port, child, command_line, ready_after: Duration::ZERO };
        match server.wait_ready(patience) {
            Ok(()) => {
                server.ready_after = begun.elapsed();
                Ok(server)
            }
            Err(error) => {
                let said = fs::read_to_string(&log_path).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(6).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                Err(format!(
                    "{} did not start: {error}\n{}\n{}",
                    peer.kind.name(),
                    server.command_line,
                    tail.join("\n")
                ))
            }
        }
    }

    fn wait_ready(&mut self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if self.answers() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("no answer to PING within {} s", patience.as_secs()));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut client) = Client::connect(self.port, Duration::from_secs(10)) else { return false };
        if self.kind == PeerKind::Memcached {
            return client.memcached_version().is_ok();
        }
        client.call(&["PING"]).is_ok_and(|reply| reply.text() == Some("PONG"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection whose replies may take up to a minute.
    pub fn client(&self) -> Result<Client, String> {
        Client::connect(self.port, Duration::from_secs(60)).map_err(|error| format!("{}: {error}", self.kind.name()))
    }

    /// What it says its version is.
    pub fn version(&self) -> Result<String, String> {
        let mut client = self.client()?;
        if self.kind == PeerKind::Memcached {
            return client.memcached_version().map_err(|error| error.to_string());
        }
        for field in ["pinyon_version", "dragonfly_version", "valkey_version", "redis_version"] {
            if let Some(version) = client.info("server", field).map_err(|error| error.to_string())? {
                return Ok(version);
            }
        }
        Err(format!("{} names no version", self.kind.name()))
    }

    /// Those of the commands that it does not know. One that will not say is taken to know them.
    pub fn unknown_commands(&self, commands: &[String]) -> Result<Vec<String>, String> {
        if self.kind == PeerKind::Memcached || commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = vec!["COMMAND", "INFO"];
        words.extend(commands.iter().map(String::as_str));
        let reply = self.client()?.call(&words).map_err(|error| error.to_string())?;
        Ok(unknown_among(commands, &reply))
    }

    /// Whether it has a directive of that name.
    pub fn has_directive(&self, name: &str) -> bool {
        let asked = self.client().ok().and_then(|mut client| client.call(&["CONFIG", "GET", name]).ok());
        matches!(asked, Some(Reply::Array(found)) if !found.is_empty())
    }

    /// Keys of database 0.
    pub fn keys(&self) -> Result<u64, String> {
        match self.client()?.call(&["DBSIZE"]) {
            Ok(Reply::Integer(keys)) => Ok(keys.max(0) as u64),
            Ok(other) => Err(format!("DBSIZE gave {other:?}")),
            Err(error) => Err(format!("DBSIZE: {error}")),
        }
    }

    /// Resident bytes, once they have stopped moving: those of one moment where that takes too long.
    pub fn settled_bytes(&self, longest: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + longest;
        let mut last = self.resident_bytes()?;
        loop {
            thread::sleep(Duration::from_millis(300));
            let now = self.resident_bytes()?;
            if now.abs_diff(last) < 1 << 18 || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }

    pub fn resident_bytes(&self) -> Result<u64, String> {
        procfs::resident_bytes(self.pid()).ok_or_else(|| format!("{} is gone", self.kind.name()))
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // An error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn unknown_among(commands: &[String], reply: &Reply) -> Vec<String> {
    let Reply::Array(rows) = reply else { return Vec::new() };
    let empty = |row: &Reply| matches!(row, Reply::Null) || matches!(row, Reply::Array(row) if row.is_empty());
    commands.iter().zip(rows).filter(|(_, row)| empty(row)).map(|(name, _)| name.clone()).collect()
}

/// A command that runs a program on some cores, to be killed when this process ends.
pub fn pinned(cores: &[usize], program: &Path) -> Command {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", &list.join(",")]).arg(program);
    command
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The command line: nothing written to disk and nothing in the background, unless the workload asks for it.
fn arguments(kind: PeerKind, port: u16, launch: &Launch) -> Vec<String> {
    let folder = launch.folder.display().to_string();
    let threads = launch.threads.to_string();
    let port = port.to_string();
    let mut words: Vec<String> = Vec::new();
    let mut add = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
    match kind {
        PeerKind::Pinyon => {
            add(&["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", "", "--appendonly", "no"]);
            add(&["--maxclients", "20000", "--shards", &threads, "--pin", if launch.alone { "yes" } else { "no" }]);
        }
        PeerKind::Redis | PeerKind::Valkey => {
            add(&["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", "", "--appendonly", "no"]);
            add(&["--maxclients", "20000", "--auto-aof-rewrite-percentage", "0"]);
            if launch.threads > 1 {
                add(&["--io-threads", &threads]);
            }
            if let Some(core) = launch.spare_core {
                add(&["--bgsave-cpulist", &core.to_string()]);
            }
        }
        PeerKind::Memcached => {
            add(&[
                "-l",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "0",
                "-t",
                &threads,
                "-m",
                "8192",
                "-c",
                "20000",
                "-u",
                "root",
            ]);
        }
        PeerKind::Dragonfly => {
            add(&["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--dbfilename", ""]);
            add(&["--maxclients", "20000", "--proactor_threads", &threads, "--logtostderr"]);
        }
    }
    words.extend(launch.extra.iter().cloned());
    words
}

fn shown(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|word| if word.is_empty() { "\"\"".to_owned() } else { word.clone() });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            cores: vec![0],
            threads: 1,
            extra: vec!["--appendonly".to_owned(), "yes".to_owned()],
            folder: PathBuf::from("here"),
            spare_core: None,
            alone: true,
        }
    }

    #[test]
    fn the_same_settings_for_all_that_have_them() {
        for kind in [PeerKind::Pinyon, PeerKind::Redis, PeerKind::Valkey] {
            let line = shown(&arguments(kind, 7000, &launch()));
            assert!(line.starts_with("--port 7000 --bind 127.0.0.1 --dir here --save \"\" --appendonly no"), "{line}");
            assert!(line.ends_with("--appendonly yes"), "what the workload says comes last: {line}");
        }
        let many = Launch { threads: 4, spare_core: Some(5), ..launch() };
        assert!(shown(&arguments(PeerKind::Valkey, 1, &many)).contains("--io-threads 4 --bgsave-cpulist 5"));
        assert!(shown(&arguments(PeerKind::Pinyon, 1, &many)).contains("--shards 4 --pin yes"));
        assert!(shown(&arguments(PeerKind::Memcached, 1, &many)).contains("-t 4"));
    }

    #[test]
    fn empty_rows_of_command_info_are_unknown_commands() {
        let commands = ["GET", "ZADD", "JUMP"].map(str::to_owned);
        let row = Reply::Array(vec![Reply::Text("get".to_owned())]);
        let reply = Reply::Array(vec![row, Reply::Null, Reply::Array(Vec::new())]);
        assert_eq!(unknown_among(&commands, &reply), ["ZADD", "JUMP"]);
        assert!(unknown_among(&commands, &Reply::Error("ERR unknown command".to_owned())).is_empty());
    }

    #[test]
    fn names_lead_back() {
        for kind in PeerKind::ALL {
            assert_eq!(PeerKind::named(kind.name()), Some(kind));
        }
        assert_eq!(PeerKind::named("sqlite"), None);
    }
}
