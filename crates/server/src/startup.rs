//! What a start does to the process and says to the operator, and what CONFIG SET changes of it later.
//!
//! In order: [`begin`] (folder, log, the warning about directives without effect), then the sockets, then [`PidFile`]
//! and [`announce`].

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pinyon_runtime::host::Advice;

use crate::config::lists::os_words;
use crate::config::value::print_memory;
use crate::config::{Config, Fsync, Loaded, directives};
use crate::logging;

/// Why a start ends before a socket is open.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    #[error("can't change into dir {}: {}", path.display(), os_words(source))]
    Dir { path: PathBuf, source: io::Error },
    #[error("Can't open the log file {}: {}", path.display(), os_words(source))]
    Log { path: PathBuf, source: io::Error },
}

/// Puts the parts of the configuration into force that belong to the process: its folder and its log.
pub fn begin(loaded: &Loaded) -> Result<(), StartupError> {
    let config = &loaded.config;
    let dir = |source| StartupError::Dir { path: config.dir.clone(), source };
    std::env::set_current_dir(&config.dir).map_err(dir)?;
    let log = |source| StartupError::Log { path: config.logfile.clone().unwrap_or_default(), source };
    logging::start(config.loglevel, config.logfile.as_deref()).map_err(log)?;
    logging::log_panics(config.crash_log_enabled);
    if let Some(warning) = loaded.warning() {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Puts what CONFIG SET changed of the process into force. To be called once, not on every core, and before the new
/// configuration is: an error is the full text of the reply, and then nothing has changed.
pub fn take_over(old: &Config, new: &Config) -> Result<(), String> {
    if old.dir != new.dir {
        std::env::set_current_dir(&new.dir).map_err(|e| crate::config::set_failed("dir", &os_words(&e)))?;
    }
    if old.loglevel != new.loglevel {
        logging::set_level(new.loglevel);
    }
    if old.crash_log_enabled != new.crash_log_enabled {
        logging::log_panics(new.crash_log_enabled);
    }
    Ok(())
}

/// A file that holds the process id for as long as this value lives.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file that `pidfile` names. One that cannot be written is reported, and is no reason not to start.
    pub fn create(path: Option<&Path>) -> Option<PidFile> {
        let path = path?;
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => {
                // In full, since CONFIG SET may move the process to another folder.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                Some(PidFile { path })
            }
            Err(e) => {
                tracing::warn!("Can't write the pidfile {}: {}", path.display(), os_words(&e));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may have been removed by hand, and then all is as it should be.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a server that is about to take connections knows about itself.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub config: &'a Config,
    pub config_file: Option<&'a Path>,
    /// How many directives were read.
    pub directives: usize,
    /// The TCP addresses in force.
    pub addresses: &'a [SocketAddr],
    /// One entry per shard: the cpu that it is pinned to.
    pub cpus: &'a [Option<usize>],
    /// The kernel's release.
    pub kernel: &'a str,
    pub advice: &'a [Advice],
}

/// Says it all in the log; before it the logo, on a terminal or when asked for.
pub fn announce(facts: &Facts<'_>) {
    let config = facts.config;
    if config.logfile.is_some() && config.always_show_logo {
        tracing::info!("{LOGO}");
    } else if config.logfile.is_none() && (config.always_show_logo || io::stdout().is_terminal()) {
        println!("{LOGO}");
    }
    for line in facts.lines() {
        tracing::info!("{line}");
    }
    for line in facts.advice_lines() {
        tracing::warn!("{line}");
    }
}

const LOGO: &str = r"
         ^
        /|\
       //|\\
      ///|\\\         Pinyon
     ////|\\\\        in memory, on every core
    /////|\\\\\
         |
";

impl Facts<'_> {
    /// The lines of the start's screen.
    pub fn lines(&self) -> Vec<String> {
        let config = self.config;
        let name = format!(
            "Pinyon {} for {}, process {}, Linux {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::process::id(),
            self.kernel
        );
        let given = match self.directives {
            0 => "all defaults".to_owned(),
            1 => "1 directive given".to_owned(),
            directives => format!("{directives} directives given"),
        };
        let source = self.config_file.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
        let memory = match config.maxmemory {
            0 => "no limit on the data (maxmemory 0)".to_owned(),
            bytes => format!("at most {} of data, then {}", print_memory(i128::from(bytes)), policy(config)),
        };
        vec![
            name,
            format!("Configuration: {source}, {given}"),
            format!("Cores: {}", self.cores()),
            format!("Listening on: {}", self.listening()),
            format!("Memory: {memory}"),
            format!("Data: {}", self.data()),
        ]
    }

    /// A line for each thing of the system that should be changed, with the command that does it.
    pub fn advice_lines(&self) -> Vec<String> {
        let line = |advice: &Advice| {
            format!(
                "{} is {}, should be {}. To change it: {}",
                advice.what, advice.now, advice.should_be, advice.command
            )
        };
        self.advice.iter().map(line).collect()
    }

    /// What becomes of the data when the server ends.
    fn data(&self) -> String {
        let config = self.config;
        let folder = config.dir.join(&config.appenddirname);
        if !config.appendonly {
            let when =
                if config.save.is_empty() { "when they are asked for" } else { "by the save points, and at the end" };
            return format!("snapshots in {} {when}; nothing is logged (appendonly no)", folder.display());
        }
        let synced = match config.appendfsync {
            Fsync::Always => "synced before a write is answered",
            Fsync::Everysec => "synced every second",
            Fsync::No => "synced when the kernel pleases",
        };
        format!("logged in {}, {synced}", folder.display())
    }

    fn cores(&self) -> String {
        let shards = match self.cpus.len() {
            1 => "1 shard".to_owned(),
            shards => format!("{shards} shards, one thread each"),
        };
        let pinned: Vec<usize> = self.cpus.iter().flatten().copied().collect();
        if pinned.is_empty() {
            format!("{shards}, not pinned")
        } else {
            format!("{shards}, pinned to cpu {}", ranges(&pinned))
        }
    }

    /// Also what `systemctl status` shows.
    pub fn listening(&self) -> String {
        let mut places: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
        places.extend(self.config.unixsocket.iter().map(|path| path.display().to_string()));
        places.join(", ")
    }
}

fn policy(config: &Config) -> String {
    let row = directives::find("maxmemory-policy");
    let name = row.map(|row| row.kind.print(&row.get(config))).unwrap_or_default();
    if name == "noeviction" {
        "writes are refused (noeviction)".to_owned()
    } else {
        format!("keys are evicted ({name})")
    }
}

/// `0-3, 6`.
fn ranges(numbers: &[usize]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    let mut out = String::new();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing into a String does not fail.
        let _ = match run {
            [first, .., last] => write!(out, "{comma}{first}-{last}"),
            [one] => write!(out, "{comma}{one}"),
            [] => Ok(()),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(config: &'a Config, cpus: &'a [Option<usize>], advice: &'a [Advice]) -> Facts<'a> {
        Facts { config, config_file: None, directives: 0, addresses: &[], cpus, kernel: "6.18.0", advice }
    }

    #[test]
    fn the_screen_fits() {
        let config = Config { maxmemory: 2 << 30, unixsocket: Some("/run/pinyon.sock".into()), ..Config::default() };
        let addresses = ["127.0.0.1:6379".parse().unwrap(), "[::1]:6379".parse().unwrap()];
        let facts = Facts { addresses: &addresses, ..facts(&config, &[Some(0), Some(1), Some(2), Some(5)], &[]) };
        let lines = facts.lines();
        assert!(lines.len() <= 8);
        assert!(lines[0].starts_with("Pinyon ") && lines[0].ends_with(", Linux 6.18.0"), "{}", lines[0]);
        assert_eq!(
            lines[1..5],
            [
                "Configuration: no file, all defaults",
                "Cores: 4 shards, one thread each, pinned to cpu 0-2, 5",
                "Listening on: 127.0.0.1:6379, [::1]:6379, /run/pinyon.sock",
                "Memory: at most 2gb of data, then writes are refused (noeviction)",
            ]
        );
        assert!(lines[5].contains("appendonlydir, synced every second"), "{}", lines[5]);
    }

    #[test]
    fn advice_comes_with_its_command() {
        let advice = [Advice {
            what: "net.core.somaxconn",
            now: "128".to_owned(),
            should_be: "at least 511".to_owned(),
            command: "sysctl -w net.core.somaxconn=511".to_owned(),
        }];
        let config = Config::default();
        let facts = facts(&config, &[None], &advice);
        assert_eq!(
            facts.advice_lines(),
            ["net.core.somaxconn is 128, should be at least 511. To change it: sysctl -w net.core.somaxconn=511"]
        );
        assert_eq!(facts.lines()[2], "Cores: 1 shard, not pinned");
        assert_eq!(facts.lines()[4], "Memory: no limit on the data (maxmemory 0)");
    }

    #[test]
    fn the_pidfile_goes_with_its_value() {
        let path = std::env::temp_dir().join(format!("pinyon-pidfile-{}", std::process::id()));
        let file = PidFile::create(Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        assert!(PidFile::create(Some(Path::new("/nonexistent/pid"))).is_none());
        assert!(PidFile::create(None).is_none());
    }
}
