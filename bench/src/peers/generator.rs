//! One run of pinyon-bench: the workload file written for it, the process on its cores, and the JSON lines it leaves.
//!
//! What is read is what is needed; lines and fields that are not known are left alone, so that pinyon-bench may say more.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::record::{Load, Second};
use super::server::pinned;
use super::workload::Options;

/// pinyon-bench, the cores it runs on, and a folder for its files.
#[derive(Clone, Debug)]
pub struct Generator {
    pub binary: PathBuf,
    pub cores: Vec<usize>,
    pub folder: PathBuf,
}

/// A run under way. Dropped before its end, it is killed.
pub struct Running {
    child: Child,
    json: PathBuf,
    deadline: Instant,
}

impl Generator {
    /// Starts a run against the server on `port` whose process is `pid`. `longest` is how long it may take in all.
    pub fn start(&self, options: &Options, port: u16, pid: u32, longest: Duration) -> Result<Running, String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(told)?;
        let mut all = options.clone();
        all.set("host", "127.0.0.1");
        all.set("port", port);
        let (workload, json) = (self.folder.join("workload.txt"), self.folder.join("out.jsonl"));
        fs::write(&workload, all.text()).map_err(told)?;
        let _ = fs::remove_file(&json);
        let said = fs::File::create(self.folder.join("said.txt")).map_err(told)?;
        let also = said.try_clone().map_err(told)?;
        let child = pinned(&self.cores, &self.binary)
            .arg("--workload")
            .arg(&workload)
            .arg("--json")
            .arg(&json)
            .args(["--quiet", "--server-pid", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(also)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        Ok(Running { child, json, deadline: Instant::now() + longest })
    }

    /// Starts a run and waits for its end.
    pub fn run(&self, options: &Options, port: u16, pid: u32, longest: Duration) -> Result<Load, String> {
        self.start(options, port, pid, longest)?.finish()
    }
}

impl Running {
    /// Whether it is still under way.
    pub fn goes_on(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end. An error has the last lines that pinyon-bench said.
    pub fn finish(mut self) -> Result<Load, String> {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() > self.deadline => {
                    return Err("pinyon-bench did not come to its end".to_owned());
                }
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(format!("pinyon-bench: {error}")),
            }
        };
        let said = fs::read_to_string(self.json.with_file_name("said.txt")).unwrap_or_default();
        let tail =
            || said.trim().lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" / ");
        if !status.success() {
            return Err(format!("pinyon-bench ended with {status}: {}", tail()));
        }
        load_of(&fs::read_to_string(&self.json).unwrap_or_default()).map_err(|error| format!("{error}: {}", tail()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a run may take: its duration and warm-up, or its requests at a pace that any server keeps, and a minute.
pub fn longest(options: &Options) -> Duration {
    let timed = options.number("duration").unwrap_or(0.0) + options.number("warmup").unwrap_or(0.0);
    let counted = options.number("requests").unwrap_or(0.0) / 20_000.0;
    Duration::from_secs_f64(timed + counted + 60.0)
}

/// The JSON lines of a run as one record.
pub fn load_of(text: &str) -> Result<Load, String> {
    let mut series = Vec::new();
    let mut load: Option<Load> = None;
    for (at, line) in text.lines().enumerate() {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("pinyon-bench's line {}: {error}", at + 1))?;
        match value.get("type").and_then(Value::as_str) {
            Some("second") => series.push(from::<Second>(&value)?),
            Some("end") => load = Some(end(value)?),
            _ => {}
        }
    }
    let mut load = load.ok_or("pinyon-bench wrote no line of type \"end\"")?;
    load.series = series;
    if load.ops == 0 { Err("pinyon-bench measured nothing".to_owned()) } else { Ok(load) }
}

fn from<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("pinyon-bench's {}: {error}", value["type"]))
}

fn end(mut value: Value) -> Result<Load, String> {
    // Nanoseconds become microseconds; a histogram in another form than pairs is left out.
    let per_us = if value["histogram_unit"] == "ns" { 1000.0 } else { 1.0 };
    let fields = value.as_object_mut().ok_or("pinyon-bench's end is no object")?;
    fields.retain(|_, value| !value.is_null());
    let pairs = fields.remove("histogram");
    let pairs: Vec<(f64, u64)> = pairs.and_then(|pairs| serde_json::from_value(pairs).ok()).unwrap_or_default();
    let mut load: Load = from(&value)?;
    load.histogram = thinned(pairs.into_iter().map(|(latency, count)| (latency / per_us, count)));
    Ok(load)
}

/// Latencies that lie within two percent of each other as one, the highest of them: enough for a plot, and small enough to be
/// kept with the results.
fn thinned(pairs: impl Iterator<Item = (f64, u64)>) -> Vec<(f64, u64)> {
    let mut thin: Vec<(f64, u64)> = Vec::new();
    let mut begun = 0.0;
    for (latency, count) in pairs {
        match thin.last_mut() {
            Some(last) if latency <= begun * 1.02 => *last = (latency, last.1 + count),
            _ => {
                thin.push((latency, count));
                begun = latency;
            }
        }
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one_record() {
        let text = concat!(
            "{\"type\":\"start\",\"connections\":50}\n",
            "{\"type\":\"second\",\"t\":1,\"ops\":100,\"errors\":0,\"p50_us\":10.5,\"p99_us\":20,\"p999_us\":30,\"max_us\":40}\n",
            "{\"type\":\"command\",\"name\":\"GET\",\"p50_us\":10}\n",
            "{\"type\":\"end\",\"ops\":100,\"errors\":1,\"seconds\":1.0,\"ops_per_s\":100.0,\"p50_us\":10,\"p99_us\":20,",
            "\"p999_us\":30,\"max_us\":40,\"histogram\":[[10000,99],[40000,1]],\"histogram_unit\":\"ns\",\"server_cpu_s\":0.5,\"new\":{}}\n"
        );
        let load = load_of(text).expect("a record");
        assert_eq!((load.ops, load.errors, load.series.len()), (100, 1, 1));
        assert_eq!(load.histogram, [(10.0, 99), (40.0, 1)]);
        assert!((load.cpu_us() - 5000.0).abs() < 1e-9);
    }

    #[test]
    fn latencies_close_to_each_other_become_one() {
        let pairs = [(100.0, 1), (101.0, 2), (102.0, 3), (103.0, 4), (200.0, 5)];
        assert_eq!(thinned(pairs.into_iter()), [(102.0, 6), (103.0, 4), (200.0, 5)]);
    }

    #[test]
    fn nothing_measured_is_an_error() {
        for (text, error) in [
            ("{\"type\":\"start\"}\n", "no line of type"),
            ("{\"type\":\"end\",\"ops\":0}\n", "measured nothing"),
            ("{\"type\":\"end\",\"ops\":3", "line 1"),
        ] {
            assert!(load_of(text).is_err_and(|said| said.contains(error)), "{text}");
        }
    }
}
