//! What a run of the harness leaves behind: one JSON object a line in `raw.jsonl`, from which alone the report, its plots
//! and the README's table are made. No host name and no folder of the machine is among them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disturbance::Disturbance;

/// One line of `raw.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    Begin(Begin),
    Workload(WorkloadRecord),
    LeftOut(LeftOut),
    Round(Box<Round>),
    Memory(Memory),
    Recovery(Recovery),
    Finish(Finish),
}

/// The first line: where and with what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Begin {
    /// Year-month-day, UTC.
    pub date: String,
    /// "quick" or "full".
    pub mode: String,
    pub rounds: usize,
    pub machine: Machine,
    /// Version by server, pinyon-bench's among them.
    pub versions: BTreeMap<String, String>,
    /// Servers that were asked for and are not there, with the reason.
    pub absent: BTreeMap<String, String>,
}

/// The machine, in words and numbers that name nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    pub system: String,
    /// It runs under a hypervisor.
    pub guest: bool,
    /// Settings of the host that matter, by name.
    pub settings: BTreeMap<String, String>,
    /// The file system under the servers' folders.
    pub file_system: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkloadRecord {
    pub name: String,
    pub title: String,
    pub about: String,
    pub kind: String,
    /// The options of the measured run, as pinyon-bench reads them.
    pub options: String,
    /// Those of the runs before it.
    #[serde(default)]
    pub prepare: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_bytes: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<f64>,
    /// Why Pinyon is behind a peer, where that is known.
    #[serde(default)]
    pub reasons: BTreeMap<String, String>,
}

/// A server without a row in a workload, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeftOut {
    pub workload: String,
    pub server: String,
    pub reason: String,
}

/// One run of pinyon-bench against one server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    pub workload: String,
    pub server: String,
    /// Scaling: "hops" or "core ports"; empty elsewhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// From 1. A disturbed round's repetition has the same number.
    pub round: usize,
    pub server_cores: usize,
    pub generator_cores: usize,
    /// Server and generator share cores.
    #[serde(default)]
    pub shared_cores: bool,
    pub command_line: String,
    pub disturbance: Disturbance,
    pub load: Load,
    /// Moments within the run, in seconds from the measured interval's begin, with what happened then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<(f64, String)>,
}

/// What pinyon-bench said of a run. Figures that it did not give are zero or empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    pub ops: u64,
    pub errors: u64,
    pub seconds: f64,
    pub ops_per_s: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
    pub server_cpu_s: f64,
    pub client_cpu_s: f64,
    pub begin_unix_us: f64,
    pub end_unix_us: f64,
    /// Replies that say that there is nothing.
    pub nulls: u64,
    /// Requests that pinyon-bench itself sent more than a millisecond after they were due, and the longest delay.
    pub lagging: u64,
    pub lag_max_us: f64,
    /// Resident bytes of the server at the end of the interval.
    pub server_resident_bytes: u64,
    /// Messages that subscribers got.
    #[serde(skip_serializing_if = "is_zero")]
    pub pushes: u64,
    /// How often each latency occurred: (microseconds, count), ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<(f64, u64)>,
    /// One entry per second of the measured interval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Second>,
    /// The first error replies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_texts: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Load {
    /// CPU time of the server per operation, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        if self.ops == 0 { 0.0 } else { self.server_cpu_s * 1e6 / self.ops as f64 }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    pub t: f64,
    pub ops: u64,
    pub errors: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// Resident memory before and after keys were loaded into a fresh server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    pub workload: String,
    pub server: String,
    pub keys: u64,
    pub empty_bytes: u64,
    pub full_bytes: u64,
    /// Mean length of a key.
    pub key_bytes: f64,
    pub loaded_per_s: f64,
    pub command_line: String,
}

impl Memory {
    pub fn per_key(&self) -> f64 {
        self.full_bytes.saturating_sub(self.empty_bytes) as f64 / self.keys.max(1) as f64
    }
}

/// A server started again with what it had.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recovery {
    pub workload: String,
    pub server: String,
    pub round: usize,
    pub keys: u64,
    /// Keys that it had before.
    pub keys_before: u64,
    /// From the start of the process to its first answer to PING.
    pub seconds: f64,
    /// What it read.
    pub file_bytes: u64,
    pub command_line: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Finish {
    pub seconds: f64,
    /// Rounds measured once more since they were disturbed.
    pub repeated: usize,
}

/// The file that records are appended to, each written out at once: a run that is broken off leaves what it had.
pub struct Journal {
    file: File,
    pub records: Vec<Record>,
}

impl Journal {
    /// A new `raw.jsonl` in a folder, which is made if need be.
    pub fn create(folder: &Path) -> Result<Journal, String> {
        let path = folder.join("raw.jsonl");
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(told)?;
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).map_err(told)?;
        Ok(Journal { file, records: Vec::new() })
    }

    pub fn add(&mut self, record: Record) -> Result<(), String> {
        let mut line = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|error| format!("raw.jsonl: {error}"))?;
        self.records.push(record);
        Ok(())
    }
}

/// All records of a folder of results, or of a `raw.jsonl` itself.
pub fn read(path: &Path) -> Result<Vec<Record>, String> {
    let path: PathBuf = if path.is_dir() { path.join("raw.jsonl") } else { path.to_owned() };
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(at, line)| {
        serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), at + 1))
    });
    parsed.collect()
}
