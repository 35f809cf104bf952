//! Directives whose value is several words or a text of a form of its own: how each is read and printed.
//!
//! The readers return the canonical words; the typed forms that the server works with (`BindAddress`, `OutputLimits`)
//! are made from those.

use std::path::{Path, PathBuf};

use super::value::{ListKind, ValueError, bare_or_quoted, parse_memory, print_memory};
use pinyon_base::{parse_f64, parse_i64};

/// Addresses that `bind` takes at most.
const BIND_MAX: usize = 16;
const HOSTNAME_BYTES_MAX: usize = 255;
/// Bounds of /proc/PID/oom_score_adj, doubled as Redis has them.
const OOM_SCORE_MAX: i64 = 2000;

// ------------------------------------------------------------------------------------------------------------- bind

pub const BIND: ListKind = ListKind {
    shape: "addresses; * = all IPv4, ::* = all IPv6, -ADDRESS = skip it if it is missing",
    read: read_bind,
    lines: one_line,
};

/// One word of `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// As written: an address, a name, `*` or `::*`.
    pub name: String,
    /// Whether the start goes on when this machine lacks the address (written with a `-` before it).
    pub optional: bool,
}

impl BindAddress {
    pub(super) fn from_word(word: &str) -> BindAddress {
        let name = word.strip_prefix('-').unwrap_or(word).to_owned();
        BindAddress { name, optional: word.starts_with('-') }
    }

    pub(super) fn to_word(&self) -> String {
        format!("{}{}", if self.optional { "-" } else { "" }, self.name)
    }

    /// What to look up: `*` and `::*` are the addresses that stand for all of IPv4 and of IPv6.
    pub fn host(&self) -> &str {
        match self.name.as_str() {
            "*" => "0.0.0.0",
            "::*" => "::",
            other => other,
        }
    }
}

fn read_bind(words: &[&str], _before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    let words: Vec<String> = words.iter().filter(|word| !word.is_empty()).map(|word| (*word).to_owned()).collect();
    if words.len() > BIND_MAX {
        return Err(ValueError::Refused("Too many bind addresses specified."));
    }
    Ok(words)
}

// ------------------------------------------------------------------------------------------------------------- save

pub const SAVE: ListKind =
    ListKind { shape: "pairs of seconds and changes; \"\" = never", read: read_save, lines: |words| chunked(words, 2) };

fn read_save(words: &[&str], before: &[String], repeated: bool) -> Result<Vec<String>, ValueError> {
    const INVALID: ValueError = ValueError::Refused("Invalid save parameters");
    if matches!(words, [] | [""]) {
        return Ok(Vec::new());
    }
    // Redis takes `--save "900 1"` for two words.
    let words = if let [one] = words { one.split_whitespace().collect() } else { words.to_vec() };
    let mut points = if repeated { before.to_vec() } else { Vec::new() };
    for pair in words.chunks(2) {
        let [seconds, changes] = pair else { return Err(INVALID) };
        let seconds = parse_i64(seconds.as_bytes()).filter(|n| *n >= 1).ok_or(INVALID)?;
        let changes = parse_i64(changes.as_bytes()).filter(|n| (0..=i64::from(i32::MAX)).contains(n)).ok_or(INVALID)?;
        points.extend([seconds.to_string(), changes.to_string()]);
    }
    Ok(points)
}

// --------------------------------------------------------------------------------------- client-output-buffer-limit

pub const OUTPUT_LIMITS: ListKind = ListKind {
    shape: "<normal|replica|pubsub> <hard bytes> <soft bytes> <soft seconds> ...; 0 = no limit",
    read: read_output_limits,
    lines: output_limit_lines,
};

/// When a client that does not read its replies is disconnected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At once when more bytes than this are waiting; 0 = never.
    pub hard_bytes: u64,
    /// When more bytes than this were waiting for `soft_seconds` on end; 0 = never.
    pub soft_bytes: u64,
    pub soft_seconds: u32,
}

/// The limits of the three classes of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl OutputLimits {
    pub(super) fn from_words(words: &[String]) -> OutputLimits {
        let limit = |at: usize| {
            let number = |i: usize| words.get(at + i).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            OutputLimit { hard_bytes: number(1), soft_bytes: number(2), soft_seconds: number(3) as u32 }
        };
        OutputLimits { normal: limit(0), replica: limit(4), pubsub: limit(8) }
    }

    pub(super) fn to_words(self) -> Vec<String> {
        let mut words = Vec::with_capacity(12);
        for (class, limit) in CLASSES.iter().zip([self.normal, self.replica, self.pubsub]) {
            words.push((*class).to_owned());
            words.extend([limit.hard_bytes.to_string(), limit.soft_bytes.to_string(), limit.soft_seconds.to_string()]);
        }
        words
    }
}

/// Classes that are not named keep what they had.
fn read_output_limits(words: &[&str], before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    const INVALID: ValueError =
        ValueError::Refused("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    let mut limits = OutputLimits::from_words(before);
    if !words.len().is_multiple_of(4) {
        return Err(ValueError::Refused("Wrong number of arguments in buffer limit configuration."));
    }
    for limit in words.chunks(4) {
        let &[class, hard, soft, seconds] = limit else { return Err(INVALID) };
        let place = if class.eq_ignore_ascii_case("normal") {
            &mut limits.normal
        } else if class.eq_ignore_ascii_case("slave") || class.eq_ignore_ascii_case("replica") {
            &mut limits.replica
        } else if class.eq_ignore_ascii_case("pubsub") {
            &mut limits.pubsub
        } else {
            return Err(ValueError::Refused("Invalid client class specified in buffer limit configuration."));
        };
        *place = OutputLimit {
            hard_bytes: parse_memory(hard).ok_or(INVALID)?,
            soft_bytes: parse_memory(soft).ok_or(INVALID)?,
            soft_seconds: seconds.parse().ok().filter(|n| *n <= i32::MAX as u32).ok_or(INVALID)?,
        };
    }
    Ok(limits.to_words())
}

fn output_limit_lines(words: &[String]) -> Vec<String> {
    let limits = OutputLimits::from_words(words);
    let line = |(class, limit): (&str, OutputLimit)| {
        let bytes = |n: u64| print_memory(i128::from(n));
        format!("{class} {} {} {}", bytes(limit.hard_bytes), bytes(limit.soft_bytes), limit.soft_seconds)
    };
    [("normal", limits.normal), ("replica", limits.replica), ("pubsub", limits.pubsub)].map(line).to_vec()
}

// ------------------------------------------------------------------------------------------------------ other lists

pub const PERCENTILES: ListKind =
    ListKind { shape: "percentiles, 0 to 100 each", read: read_percentiles, lines: one_line };

fn read_percentiles(words: &[&str], _before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    if matches!(words, [] | [""]) {
        return Ok(Vec::new());
    }
    let read = |word: &&str| {
        let number = parse_f64(word.as_bytes())
            .ok_or(ValueError::Refused("Invalid latency-tracking-info-percentiles parameters"))?;
        if !(0.0..=100.0).contains(&number) {
            return Err(ValueError::Refused(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ));
        }
        Ok(print_percentile(number))
    };
    words.iter().map(read).collect()
}

/// To a millionth, without trailing zeros: `99.9`.
pub(super) fn print_percentile(percentile: f64) -> String {
    let text = format!("{:.6}", percentile.abs());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub const OOM_SCORES: ListKind =
    ListKind { shape: "three numbers, -2000 to 2000", read: read_oom_scores, lines: one_line };

fn read_oom_scores(words: &[&str], _before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    if words.len() != 3 {
        return Err(ValueError::WrongNumber);
    }
    let read = |word: &&str| {
        let number = parse_i64(word.as_bytes()).filter(|n| (-OOM_SCORE_MAX..=OOM_SCORE_MAX).contains(n));
        let number = number
            .ok_or(ValueError::Refused("Invalid oom-score-adj-values, elements must be between -2000 and 2000."))?;
        Ok(number.to_string())
    };
    words.iter().map(read).collect()
}

const SHUTDOWN_WORDS: &[&str] = &["default", "save", "nosave", "now", "force"];

pub const SHUTDOWN: ListKind =
    ListKind { shape: "default, or some of save or nosave, now, force", read: read_shutdown, lines: one_line };

fn read_shutdown(words: &[&str], _before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    let mut given = [false; SHUTDOWN_WORDS.len()];
    for word in words {
        let at = SHUTDOWN_WORDS.iter().position(|name| name.eq_ignore_ascii_case(word));
        given[at.ok_or(ValueError::NotOneOf(SHUTDOWN_WORDS))?] = true;
    }
    if words.is_empty() {
        return Err(ValueError::NotOneOf(SHUTDOWN_WORDS));
    }
    if given[1] && given[2] {
        return Err(ValueError::Refused("shutdown options SAVE and NOSAVE can't be used simultaneously"));
    }
    let plain = given[1..].iter().all(|given| !given);
    let keep = |(_, given): &(&&str, bool)| *given;
    let words = SHUTDOWN_WORDS.iter().zip(given).skip(usize::from(!plain)).filter(keep);
    Ok(words.map(|(name, _)| (*name).to_owned()).collect())
}

pub const REPLICAOF: ListKind = ListKind { shape: "<host> <port>", read: read_replicaof, lines: one_line };

fn read_replicaof(words: &[&str], _before: &[String], _repeated: bool) -> Result<Vec<String>, ValueError> {
    match words {
        [] | [""] => Ok(Vec::new()),
        [host, port] if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") => Ok(Vec::new()),
        [host, port] => match port.parse::<u16>() {
            Ok(_) => Ok(vec![(*host).to_owned(), (*port).to_owned()]),
            Err(_) => Err(ValueError::Refused("Invalid master port")),
        },
        _ => Err(ValueError::WrongNumber),
    }
}

fn one_line(words: &[String]) -> Vec<String> {
    chunked(words, words.len())
}

fn chunked(words: &[String], words_per_line: usize) -> Vec<String> {
    let line = |words: &[String]| words.iter().map(|word| bare_or_quoted(word)).collect::<Vec<_>>().join(" ");
    words.chunks(words_per_line.max(1)).map(line).collect()
}

// ---------------------------------------------------------------------------------------- texts of a form of their own

/// The classes of keyspace events in the order that CONFIG GET prints them. `A` stands for all of the first ten.
const EVENTS: &[u8] = b"g$lshzxetdnKEm";
const EVENTS_OF_A: usize = 10;

/// `notify-keyspace-events`: `KEA` becomes `AKE`.
pub fn check_keyspace_events(text: &str) -> Result<String, ValueError> {
    let mut on = [false; EVENTS.len()];
    for letter in text.bytes() {
        match EVENTS.iter().position(|known| *known == letter) {
            Some(at) => on[at] = true,
            None if letter == b'A' => on[..EVENTS_OF_A].fill(true),
            None => return Err(ValueError::Refused("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
        }
    }
    let all = on[..EVENTS_OF_A].iter().all(|on| *on);
    let mut out = String::from(if all { "A" } else { "" });
    // Redis 7.0 leaves `n` out when `A` is there; both are printed here, so that what is read back is what was set.
    for (letter, on) in EVENTS.iter().zip(on).skip(if all { EVENTS_OF_A } else { 0 }) {
        if on {
            out.push(char::from(*letter));
        }
    }
    Ok(out)
}

pub fn check_dbfilename(text: &str) -> Result<String, ValueError> {
    file_name(text, "dbfilename can't be a path, just a filename")
}

pub fn check_appendfilename(text: &str) -> Result<String, ValueError> {
    if text.is_empty() {
        return Err(ValueError::Refused("appendfilename can't be empty"));
    }
    file_name(text, "appendfilename can't be a path, just a filename")
}

pub fn check_appenddirname(text: &str) -> Result<String, ValueError> {
    if text.is_empty() {
        return Err(ValueError::Refused("appenddirname can't be empty"));
    }
    file_name(text, "appenddirname can't be a path, just a dirname")
}

fn file_name(text: &str, refusal: &'static str) -> Result<String, ValueError> {
    if text.contains(['/', '\\']) { Err(ValueError::Refused(refusal)) } else { Ok(text.to_owned()) }
}

pub fn check_hostname(text: &str) -> Result<String, ValueError> {
    if text.len() > HOSTNAME_BYTES_MAX {
        return Err(ValueError::Refused("Hostnames must be less than 256 characters"));
    }
    if !text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.')) {
        return Err(ValueError::Refused("Hostnames may only contain alphanumeric characters, hyphens or dots"));
    }
    Ok(text.to_owned())
}

/// `dir`: the folder must exist. The absolute path, links resolved.
pub fn check_dir(text: &str) -> Result<String, ValueError> {
    let path: PathBuf = Path::new(text).canonicalize().map_err(|e| ValueError::Path(os_words(&e)))?;
    if !path.is_dir() {
        return Err(ValueError::Path("Not a directory".to_owned()));
    }
    path.into_os_string().into_string().map_err(|_| ValueError::NotUtf8)
}

/// The text of an operating system's error without Rust's "(os error 2)" behind it.
pub fn os_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// `proc-title-template`: text with `{variables}`.
pub fn check_title_template(text: &str) -> Result<String, ValueError> {
    const VARIABLES: &[&str] =
        &["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    const INVALID: ValueError = ValueError::Refused("template format is invalid or contains unknown variables");
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (name, after) = rest[start + 1..].split_once('}').ok_or(INVALID)?;
        if !VARIABLES.contains(&name) {
            return Err(INVALID);
        }
        rest = after;
    }
    if text.is_empty() { Err(INVALID) } else { Ok(text.to_owned()) }
}
