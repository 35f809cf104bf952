//! What a run shall do: every option once, as a row that the command line and workload files share.
//!
//! A row has the option's name, the form of its value, what it does, and the function that puts it into [`Settings`]. What
//! depends on several options is checked in [`Settings::check`].

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::load::families;
use crate::load::keys::Distribution;
use crate::load::template::{Shape, Template};
use crate::load::values::Sizes;

/// A command of the mix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MixEntry {
    pub weight: u32,
    pub template: String,
}

/// When requests are due in the open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// At random, independently of each other, as from many clients that know nothing of each other.
    Exponential,
}

/// All settings of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub unix: Option<PathBuf>,
    #[serde(skip)]
    pub user: Option<String>,
    #[serde(skip)]
    pub password: Option<String>,
    pub db: u32,
    pub resp: u8,
    pub cluster: bool,
    pub memcached: bool,
    pub connections: usize,
    pub threads: usize,
    /// The threads' cpus, one after the other; empty for wherever they are allowed.
    pub cpus: Vec<usize>,
    pub pipeline: usize,
    #[serde(rename = "command")]
    pub mix: Vec<MixEntry>,
    /// Each connection sends one command of the mix, dealt out by weight.
    pub apart: bool,
    pub keys: u64,
    #[serde(serialize_with = "as_text")]
    pub distribution: Distribution,
    #[serde(serialize_with = "as_text")]
    pub value_size: Sizes,
    pub fields: u64,
    /// Requests a second over all connections; None for the closed loop.
    pub rate: Option<f64>,
    pub arrivals: Arrivals,
    /// Seconds of the measured interval.
    pub duration: Option<f64>,
    pub requests: Option<u64>,
    pub warmup: f64,
    pub seed: u64,
    pub reconnect_every: u64,
    /// Such connections end with a reset, not in peace.
    pub reset: bool,
    pub subscribers: usize,
    pub channels: Vec<String>,
    pub spin: bool,
    pub server_pid: Option<u32>,
    /// What the run was started for, copied to the records.
    pub label: Option<String>,
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            unix: None,
            user: None,
            password: None,
            db: 0,
            resp: 2,
            cluster: false,
            memcached: false,
            connections: 50,
            threads: 1,
            cpus: Vec::new(),
            pipeline: 1,
            mix: Vec::new(),
            apart: false,
            keys: 100_000,
            distribution: Distribution::Uniform,
            value_size: Sizes::Fixed(64),
            fields: 100,
            rate: None,
            arrivals: Arrivals::Constant,
            duration: None,
            requests: None,
            warmup: 0.0,
            seed: 1,
            reconnect_every: 0,
            reset: false,
            subscribers: 0,
            channels: vec!["news".to_owned()],
            spin: true,
            server_pid: None,
            label: None,
        }
    }
}

/// One option.
pub struct Row {
    pub name: &'static str,
    /// The form of its value, for the help text.
    pub value: &'static str,
    pub help: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn row(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
) -> Row {
    Row { name, value, help, set }
}

/// The option that may come several times.
pub const COMMAND: &str = "command";

/// All options, in the order of the help text.
pub const ROWS: &[Row] = &[
    row("host", "HOST", "Name or address of the server [127.0.0.1]", |s, v| put(&mut s.host, Ok(v.to_owned()))),
    row("port", "PORT", "Its port [6379]", |s, v| put(&mut s.port, number(v, 1, 65535))),
    row("unix", "PATH", "Its unix socket, instead of host and port", |s, v| put(&mut s.unix, Ok(Some(v.into())))),
    row("user", "NAME", "User to authenticate as", |s, v| put(&mut s.user, Ok(Some(v.to_owned())))),
    row("password", "PASSWORD", "Password to authenticate with", |s, v| put(&mut s.password, Ok(Some(v.to_owned())))),
    row("db", "NUMBER", "Database to SELECT [0]", |s, v| put(&mut s.db, number(v, 0, 1 << 30))),
    row("resp", "2|3", "Version of the protocol [2]", |s, v| put(&mut s.resp, number(v, 2, 3))),
    row("cluster", "yes|no", "Ask CLUSTER SLOTS, connect to all its nodes, send each key to its node [no]", |s, v| {
        put(&mut s.cluster, flag(v))
    }),
    row("memcached", "yes|no", "Speak memcached's text protocol [no]", |s, v| put(&mut s.memcached, flag(v))),
    row("connections", "N", "Connections, over all threads and nodes [50]", |s, v| {
        put(&mut s.connections, number(v, 1, 1_000_000))
    }),
    row("threads", "N", "Threads, each with a ring of its own [1]", |s, v| put(&mut s.threads, number(v, 1, 1024))),
    row("cpus", "LIST", "Pin the threads to these cpus: 1 or 2,3 or 4-7 [not pinned]", |s, v| {
        put(&mut s.cpus, cpus(v))
    }),
    row("pipeline", "N", "Requests under way on a connection at most [1]", |s, v| {
        put(&mut s.pipeline, number(v, 1, 1_000_000))
    }),
    row(COMMAND, "[WEIGHT] TEMPLATE", "A command of the mix; may come several times [1 GET key:{key}]", |s, v| {
        s.mix.push(mix_entry(v)?);
        Ok(())
    }),
    row(
        "apart",
        "yes|no",
        "A connection sends one command of the mix only; they are dealt out by weight [no]",
        |s, v| put(&mut s.apart, flag(v)),
    ),
    row("family", "NAME", families::HELP, |s, v| {
        s.mix.extend(families::mix(v)?);
        Ok(())
    }),
    row("keys", "N", "Keys to choose from [100000]", |s, v| put(&mut s.keys, number(v, 1, 1 << 53))),
    row("distribution", "NAME", "uniform, zipf [EXPONENT], hot KEYS [SHARE] or sequential [uniform]", |s, v| {
        put(&mut s.distribution, v.parse())
    }),
    row("value-size", "SIZES", "Bytes of a {value}: 64, 64..1024 or 64:90,1k:9,1m:1 with weights [64]", |s, v| {
        put(&mut s.value_size, v.parse())
    }),
    row("fields", "N", "{field} is a number below this [100]", |s, v| put(&mut s.fields, number(v, 1, 1 << 53))),
    row(
        "rate",
        "N",
        "Requests a second, over all: the open loop. Latency counts from the moment a request is due",
        |s, v| put(&mut s.rate, positive(v).map(Some)),
    ),
    row("arrivals", "NAME", "When they are due: constant or exponential [constant]", |s, v| {
        let arrivals = match v {
            "constant" => Ok(Arrivals::Constant),
            "exponential" => Ok(Arrivals::Exponential),
            _ => Err(format!("{v:?} is neither constant nor exponential")),
        };
        put(&mut s.arrivals, arrivals)
    }),
    row("duration", "SECONDS", "Length of the measured interval [10, or until the requests are done]", |s, v| {
        put(&mut s.duration, positive(v).map(Some))
    }),
    row("requests", "N", "End after so many requests", |s, v| put(&mut s.requests, number(v, 1, u64::MAX).map(Some))),
    row("warmup", "SECONDS", "Run this long before the measured interval [0]", |s, v| {
        let seconds = if v == "0" { Ok(0.0) } else { positive(v) };
        put(&mut s.warmup, seconds)
    }),
    row("seed", "N", "Repeats the choice of keys, values and commands [1]", |s, v| {
        put(&mut s.seed, number(v, 0, u64::MAX))
    }),
    row("reconnect-every", "N", "Close a connection after so many replies and open a new one [0: never]", |s, v| {
        put(&mut s.reconnect_every, number(v, 0, u64::MAX))
    }),
    row(
        "reset",
        "yes|no",
        "Such connections end with a reset, which leaves no port waiting for a minute [no]",
        |s, v| put(&mut s.reset, flag(v)),
    ),
    row("subscribers", "N", "Further connections that SUBSCRIBE, and whose messages are counted [0]", |s, v| {
        put(&mut s.subscribers, number(v, 0, 1_000_000))
    }),
    row("channels", "NAMES", "What each of them subscribes to [news]", |s, v| {
        s.channels = v.split_whitespace().map(str::to_owned).collect();
        if s.channels.is_empty() { Err("no channel is named".to_owned()) } else { Ok(()) }
    }),
    row(
        "spin",
        "yes|no",
        "Look for replies without sleeping: exact times, and no wake-up that the server pays for [yes]",
        |s, v| put(&mut s.spin, flag(v)),
    ),
    row("server-pid", "PID", "Report the CPU time and memory of this process, too", |s, v| {
        put(&mut s.server_pid, number(v, 1, u32::MAX).map(Some))
    }),
    row("label", "TEXT", "Copied to the records", |s, v| put(&mut s.label, Ok(Some(v.to_owned())))),
];

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

/// A whole number, perhaps with `_` between its digits.
fn number<N: TryFrom<u64> + PartialOrd + std::fmt::Display>(text: &str, min: N, max: N) -> Result<N, String> {
    let plain = text.replace('_', "");
    let found = plain.parse::<u64>().ok().and_then(|number| N::try_from(number).ok());
    found
        .filter(|number| (&min..=&max).contains(&number))
        .ok_or_else(|| format!("{text:?} is no whole number from {min} to {max}"))
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.replace('_', "").parse::<f64>().ok();
    number.filter(|n| *n > 0.0 && n.is_finite()).ok_or_else(|| format!("{text:?} is no number above 0"))
}

fn cpus(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(number(first, 0, 8191)?..=number(last, 0, 8191)?);
    }
    if cpus.is_empty() { Err(format!("{text:?} names no cpu")) } else { Ok(cpus) }
}

/// `9 GET key:{key}`: a weight, where the first word is a number, and a template.
fn mix_entry(text: &str) -> Result<MixEntry, String> {
    let text = text.trim();
    let (weight, template) = match text.split_once(char::is_whitespace) {
        Some((first, rest)) if first.bytes().all(|byte| byte.is_ascii_digit()) => (number(first, 1, 1_000_000)?, rest),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => (1, ""),
        _ => (1, text),
    };
    if template.trim().is_empty() {
        return Err("a command needs a name".to_owned());
    }
    Ok(MixEntry { weight, template: template.trim().to_owned() })
}

impl Settings {
    /// Sets one option from its text.
    ///
    /// # Errors
    /// There is no such option, or the value is wrong; a sentence says which.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| match nearest(name) {
            Some(near) => format!("no option {name:?}; is {near:?} meant?"),
            None => format!("no option {name:?}"),
        })?;
        (row.set)(self, value).map_err(|why| format!("{name}: {why}"))
    }

    /// Puts in what was left open, and checks what depends on several options.
    ///
    /// # Errors
    /// What does not go together.
    pub fn check(&mut self) -> Result<(), String> {
        if self.mix.is_empty() {
            self.mix.push(MixEntry { weight: 1, template: "GET key:{key}".to_owned() });
        }
        if self.duration.is_none() && self.requests.is_none() {
            self.duration = Some(10.0);
        }
        // Each thread has something to do.
        self.threads = self.threads.min(self.connections);
        if self.memcached && (self.cluster || self.subscribers > 0 || self.password.is_some() || self.resp == 3) {
            return Err("memcached has no cluster, subscribers, password or RESP3".to_owned());
        }
        if self.cluster && self.unix.is_some() {
            return Err("the nodes of a cluster have ports, no unix sockets".to_owned());
        }
        if self.cluster && self.db != 0 {
            return Err("a cluster has database 0 only".to_owned());
        }
        if self.reconnect_every > 0 && !self.reconnect_every.is_multiple_of(self.pipeline as u64) && self.rate.is_none()
        {
            return Err("reconnect-every: in the closed loop, a multiple of the pipeline's length".to_owned());
        }
        for template in self.templates()? {
            if self.cluster && !template.can_be_routed() {
                return Err(format!(
                    "{}: what is random in its first key must be {{key}}s alone in a cluster",
                    template.name()
                ));
            }
        }
        Ok(())
    }

    /// The commands of the mix, compiled.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn templates(&self) -> Result<Vec<Template>, String> {
        let shape =
            Shape { keys: self.keys, fields: self.fields, sizes: self.value_size.clone(), memcached: self.memcached };
        self.mix.iter().map(|entry| Template::compile(&entry.template, &shape)).collect()
    }
}

/// The option's name that is one or two letters away.
fn nearest(name: &str) -> Option<&'static str> {
    let distances = ROWS.iter().map(|row| (distance(name.as_bytes(), row.name.as_bytes()), row.name));
    distances.min().filter(|&(distance, _)| distance <= 2).map(|(_, name)| name)
}

/// How many letters must change, come or go.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let step = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            row.push(step);
        }
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, value) in options {
            settings.set(name, value)?;
        }
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn options_have_names_of_their_own_and_say_what_they_do() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..i].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(!row.help.is_empty() && !row.value.is_empty());
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.mix, [MixEntry { weight: 1, template: "GET key:{key}".to_owned() }]);
        assert_eq!((settings.duration, settings.requests), (Some(10.0), None));
        let settings = self::settings(&[("requests", "1_000"), ("threads", "4"), ("connections", "3")]).unwrap();
        assert_eq!((settings.duration, settings.requests, settings.threads), (None, Some(1000), 3));
    }

    #[test]
    fn mixes_and_lists() {
        let settings =
            settings(&[("command", "9 GET key:{key}"), ("command", "SET key:{key} {value}"), ("cpus", "1,3-5")])
                .unwrap();
        assert_eq!(settings.mix.iter().map(|entry| entry.weight).collect::<Vec<_>>(), [9, 1]);
        assert_eq!(settings.cpus, [1, 3, 4, 5]);
    }

    #[test]
    fn mistakes_are_named() {
        for (options, complaint) in [
            (&[("pipelin", "1")][..], "pipeline"),
            (&[("nothing-like-it", "1")], "no option"),
            (&[("port", "70000")], "65535"),
            (&[("port", "0")], "from 1"),
            (&[("rate", "0")], "above 0"),
            (&[("rate", "inf")], "above 0"),
            (&[("spin", "maybe")], "yes"),
            (&[("arrivals", "now")], "exponential"),
            (&[("cpus", "x")], "whole number"),
            (&[("command", "5 ")], "name"),
            (&[("command", "GET {kee}")], "{kee}"),
            (&[("family", "x")], "families"),
            (&[("memcached", "yes"), ("cluster", "yes")], "memcached"),
            (&[("memcached", "yes"), ("command", "ZADD a 1 b")], "ZADD"),
            (&[("cluster", "yes"), ("command", "GET {key}{int:1..2}")], "GET"),
            (&[("reconnect-every", "3"), ("pipeline", "2")], "multiple"),
        ] {
            let error = settings(options).unwrap_err();
            assert!(error.contains(complaint), "{options:?}: {error}");
        }
    }

    #[test]
    fn records_show_every_option_but_secrets() {
        let value = serde_json::to_value(settings(&[("password", "geheim")]).unwrap()).unwrap();
        let shown = value.as_object().unwrap();
        assert!(!value.to_string().contains("geheim"));
        for row in ROWS.iter().filter(|row| !["user", "password", "family"].contains(&row.name)) {
            assert!(shown.contains_key(row.name), "{}", row.name);
        }
    }
}
