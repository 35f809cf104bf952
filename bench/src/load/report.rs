//! What a run says: a table for people, JSON lines for programs, one line of progress on a terminal.
//!
//! JSON lines, one object each, told apart by `type`: `start` (settings and target), `second` (one per second of the measured
//! interval), `command` (one per command of the mix), `end` (everything together, with the whole histogram). Latencies are in
//! microseconds throughout.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::load::record::{Percentiles, Second, pairs, us};
use crate::load::settings::Settings;
use crate::load::{Outcome, Target, Watch};

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Start {
        generator: &'static str,
        version: &'static str,
        target: &'a Target,
        settings: &'a Settings,
    },
    Second {
        /// Seconds from the beginning at which it ended.
        t: u64,
        ops: u64,
        errors: u64,
        #[serde(flatten)]
        latency: Percentiles,
        #[serde(skip_serializing_if = "is_zero")]
        pushes: u64,
        #[serde(skip_serializing_if = "is_zero")]
        connects: u64,
        lag_max_us: f64,
    },
    Command {
        name: &'a str,
        template: &'a str,
        ops: u64,
        #[serde(flatten)]
        latency: Percentiles,
    },
    End(Box<End<'a>>),
}

#[derive(Serialize)]
struct End<'a> {
    target: &'a Target,
    label: Option<&'a str>,
    ops: u64,
    errors: u64,
    seconds: f64,
    ops_per_s: f64,
    #[serde(flatten)]
    latency: Percentiles,
    /// Replies that said that there is nothing.
    nulls: u64,
    moved: u64,
    pushes: u64,
    connects: u64,
    lost: u64,
    /// Requests answered after the end of the interval (their latencies count), and never (counted with the time waited).
    drained: u64,
    unanswered: u64,
    /// How late the generator itself sent at worst, and how many requests it sent more than a millisecond late.
    lag_max_us: f64,
    lagging: u64,
    client_cpu_s: f64,
    client_spin_s: f64,
    server_cpu_s: Option<f64>,
    server_user_s: Option<f64>,
    server_resident_bytes: Option<u64>,
    begin_unix_us: u64,
    end_unix_us: u64,
    sent_bytes: u64,
    received_bytes: u64,
    error_texts: &'a [String],
    histogram_unit: &'static str,
    /// (microseconds, count), ascending.
    histogram: Vec<(f64, u64)>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes JSON lines and progress while the run goes on.
pub struct Reporter<'a> {
    settings: &'a Settings,
    json: Option<Box<dyn Write + 'a>>,
    /// The first error of writing: the run goes on, and it is told at the end.
    json_error: Option<io::Error>,
    progress: bool,
}

impl<'a> Reporter<'a> {
    /// `progress` shows a line on standard error that is overwritten each second.
    pub fn new(settings: &'a Settings, json: Option<Box<dyn Write + 'a>>, progress: bool) -> Reporter<'a> {
        Reporter { settings, json, json_error: None, progress }
    }

    fn line(&mut self, line: &Line<'_>) {
        let Some(json) = &mut self.json else { return };
        let written = serde_json::to_string(line).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            json.write_all(text.as_bytes())?;
            json.flush()
        });
        if let Err(error) = written {
            self.json_error.get_or_insert(error);
        }
    }

    /// Writes what is known at the end.
    ///
    /// # Errors
    /// The records could not be written.
    pub fn finish(mut self, outcome: &Outcome) -> io::Result<()> {
        if self.progress {
            eprint!("\r\x1b[K");
        }
        for (number, name) in outcome.names.iter().enumerate() {
            let mut latencies = outcome.total.latencies[number].clone();
            add(&mut latencies, &outcome.drained.latencies[number]);
            let template = self.settings.mix.get(number).map_or("", |entry| entry.template.as_str());
            let ops = latencies.len();
            self.line(&Line::Command { name, template, ops, latency: Percentiles::of(&latencies) });
        }
        let all = all(outcome);
        let total = &outcome.total;
        self.line(&Line::End(Box::new(End {
            target: &outcome.target,
            label: self.settings.label.as_deref(),
            ops: total.ops,
            errors: total.errors + outcome.drained.errors,
            seconds: outcome.seconds,
            ops_per_s: outcome.ops_per_s(),
            latency: Percentiles::of(&all),
            nulls: total.nulls,
            moved: total.moved,
            pushes: total.pushes,
            connects: total.connects,
            lost: total.lost,
            drained: outcome.drained.ops - outcome.unanswered,
            unanswered: outcome.unanswered,
            lag_max_us: us(total.lag_max_ns),
            lagging: total.lagging,
            client_cpu_s: outcome.client_cpu_s,
            client_spin_s: outcome.client_spin_s,
            server_cpu_s: outcome.server.map(|usage| usage.cpu_s),
            server_user_s: outcome.server.map(|usage| usage.user_s),
            server_resident_bytes: outcome.server.map(|usage| usage.resident_bytes),
            begin_unix_us: outcome.begin_unix_us,
            end_unix_us: outcome.end_unix_us,
            sent_bytes: outcome.sent_bytes,
            received_bytes: outcome.received_bytes,
            error_texts: &total.texts,
            histogram_unit: "us",
            histogram: pairs(&all),
        })));
        match self.json_error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Watch for Reporter<'_> {
    fn begins(&mut self, target: &Target) {
        let settings = self.settings;
        let (generator, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        self.line(&Line::Start { generator, version, target, settings });
    }

    fn second(&mut self, number: u64, second: &Second) {
        let latency = Percentiles::of(&second.all());
        if self.progress {
            let p = latency;
            eprint!(
                "\r{:>5} s  {:>12} ops/s  p50 {:>9.1} µs  p99 {:>9.1} µs  max {:>10.1} µs  {} errors\x1b[K",
                number + 1,
                grouped(second.ops),
                p.p50_us,
                p.p99_us,
                p.max_us,
                second.errors
            );
        }
        self.line(&Line::Second {
            t: number + 1,
            ops: second.ops,
            errors: second.errors,
            latency,
            pushes: second.pushes,
            connects: second.connects,
            lag_max_us: us(second.lag_max_ns),
        });
    }
}

impl Outcome {
    pub fn ops_per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.total.ops as f64 / self.seconds } else { 0.0 }
    }
}

fn add(to: &mut hdrhistogram::Histogram<u64>, from: &hdrhistogram::Histogram<u64>) {
    if let Err(error) = to.add(from) {
        unreachable!("histograms of the same bounds: {error}");
    }
}

/// The latencies of all requests, those that were answered after the end too.
fn all(outcome: &Outcome) -> hdrhistogram::Histogram<u64> {
    let mut all = outcome.total.all();
    add(&mut all, &outcome.drained.all());
    all
}

/// The table for people.
pub fn table(settings: &Settings, outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut text, settings, outcome);
    text
}

fn write_table(text: &mut String, settings: &Settings, outcome: &Outcome) -> std::fmt::Result {
    let total = &outcome.total;
    let loop_kind = settings.rate.map_or("closed loop".to_owned(), |rate| format!("{rate} requests/s"));
    writeln!(
        text,
        "{}, {} connections, {} deep, {loop_kind}, {} threads",
        outcome.target.server, settings.connections, settings.pipeline, settings.threads
    )?;
    writeln!(
        text,
        "{} operations in {:.2} s: {} ops/s, {} errors",
        grouped(total.ops),
        outcome.seconds,
        grouped(outcome.ops_per_s() as u64),
        grouped(total.errors)
    )?;
    writeln!(text)?;
    write!(text, "{:<20}{:>13}", "latency, µs", "operations")?;
    for column in ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        write!(text, "{column:>11}")?;
    }
    writeln!(text)?;
    let mut row = |name: &str, histogram: &hdrhistogram::Histogram<u64>| {
        let p = Percentiles::of(histogram);
        write!(text, "{name:<20}{:>13}", grouped(histogram.len()))?;
        for figure in [p.mean_us, p.p50_us, p.p90_us, p.p99_us, p.p999_us, p.p9999_us, p.max_us] {
            write!(text, "{figure:>11.1}")?;
        }
        writeln!(text)
    };
    if outcome.names.len() > 1 {
        for (number, name) in outcome.names.iter().enumerate() {
            let mut latencies = total.latencies[number].clone();
            add(&mut latencies, &outcome.drained.latencies[number]);
            row(name, &latencies)?;
        }
    }
    row("all", &all(outcome))?;
    writeln!(text)?;
    let per_op = |seconds: f64| seconds * 1e6 / total.ops.max(1) as f64;
    let worked = outcome.client_cpu_s - outcome.client_spin_s;
    let spun = outcome.client_spin_s;
    write!(
        text,
        "CPU of the generator {worked:.2} s, {:.3} µs/op, and {spun:.2} s looking for replies",
        per_op(worked)
    )?;
    if let Some(usage) = outcome.server {
        let resident = usage.resident_bytes as f64 / f64::from(1 << 20);
        write!(
            text,
            "; of the server {:.2} s, {:.3} µs/op; {resident:.1} MiB resident",
            usage.cpu_s,
            per_op(usage.cpu_s)
        )?;
    }
    writeln!(text)?;
    for (count, what) in [
        (total.nulls, "replies said that there is nothing"),
        (total.moved, "requests were sent to a node that no longer has their slot"),
        (total.pushes, "messages reached subscribers"),
        (total.connects, "connections were opened anew"),
        (total.lost, "connections were lost"),
        (outcome.unanswered, "requests were never answered: they count with the time waited"),
        (total.lagging, "requests were sent more than 1 ms late by the generator's own fault"),
    ] {
        if count > 0 {
            writeln!(text, "{} {what}", grouped(count))?;
        }
    }
    for error in &total.texts {
        writeln!(text, "error: {error}")?;
    }
    Ok(())
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut total = Second::new(2);
        total.replied(0, 100_000, 990);
        total.replied(1, 200_000_000, 10);
        total.failed("ERR x");
        let mut drained = Second::new(2);
        drained.replied(1, 500_000_000, 1);
        Outcome {
            target: Target { server: "test 1".to_owned(), nodes: 1 },
            names: vec!["GET".to_owned(), "SET".to_owned()],
            total,
            drained,
            unanswered: 0,
            seconds: 2.0,
            begin_unix_us: 5,
            end_unix_us: 2_000_005,
            client_cpu_s: 0.5,
            client_spin_s: 0.1,
            server: None,
            sent_bytes: 1,
            received_bytes: 2,
        }
    }

    #[test]
    fn lines_are_json_with_what_is_promised() {
        let mut settings = Settings::default();
        settings.set("command", "GET a").unwrap();
        settings.set("command", "SET a b").unwrap();
        let mut bytes = Vec::new();
        let outcome = outcome();
        let mut reporter = Reporter::new(&settings, Some(Box::new(&mut bytes)), false);
        reporter.begins(&outcome.target);
        reporter.second(0, &outcome.total);
        reporter.finish(&outcome).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["start", "second", "command", "command", "end"]);
        assert_eq!(lines[0]["settings"]["pipeline"], 1);
        assert_eq!((lines[1]["t"].as_u64(), lines[1]["ops"].as_u64()), (Some(1), Some(1000)));
        assert_eq!(lines[3]["name"], "SET");
        assert_eq!(lines[3]["ops"], 11);
        let end = &lines[4];
        assert_eq!((end["ops"].as_u64(), end["errors"].as_u64()), (Some(1000), Some(1)));
        assert_eq!(end["ops_per_s"], 500.0);
        assert_eq!(end["error_texts"][0], "ERR x");
        let p99 = end["p99_us"].as_f64().unwrap();
        assert!((199_000.0..201_000.0).contains(&p99), "{p99}");
        let counts: u64 = end["histogram"].as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum();
        assert_eq!(counts, 1001);
        for name in ["p50_us", "p90_us", "p999_us", "p9999_us", "max_us", "client_cpu_s", "begin_unix_us", "sent_bytes"]
        {
            assert!(end[name].is_number(), "{name}");
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_command() {
        let text = table(&Settings::default(), &outcome());
        for part in ["500 ops/s", "GET ", "SET ", "all ", "error: ERR x", "p99.99"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((grouped(0), grouped(123)), ("0".to_owned(), "123".to_owned()));
    }
}
