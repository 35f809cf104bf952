//! What a server holds after some calls, read out so that it can be compared with another's: what no reply showed.

use std::collections::BTreeMap;
use std::io;

use super::compare::{comparable_info, without_sign_of_zero};
use super::generate::Era;
use super::times::RELATIVE_END_MS;
use crate::{Client, Value};

/// Databases looked at: all that a server has by default.
const DATABASES: u16 = 16;

/// Everything that is compared, as lines by name ("db 0 key \"a\"").
pub(super) type State = BTreeMap<String, String>;

/// Reads all databases and, when the oracle is Redis 7.0, some counters and the encodings: Valkey 9 counts and encodes by
/// rules of its own. Asks every server the same, so that counters of calls stay comparable.
pub(super) fn read(client: &mut Client, era: Era) -> io::Result<State> {
    let mut state = State::new();
    if era == Era::Redis70 {
        let info = client.call(&["INFO", "everything"])?;
        let info = info.as_str().unwrap_or_default().to_string();
        for line in comparable_info(&info).into_iter().chain(call_counts(&info)) {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            state.insert(format!("INFO {name}"), value.to_string());
        }
    }
    for db in 0..DATABASES {
        client.call(&["SELECT", &db.to_string()])?;
        // Not DBSIZE: it counts keys that are due until they are found, and when that is differs.
        let keys = client.call(&["KEYS", "*"])?;
        let mut keys: Vec<Vec<u8>> =
            keys.as_array().unwrap_or_default().iter().filter_map(|key| key.as_bytes().map(<[u8]>::to_vec)).collect();
        keys.sort_unstable();
        for key in keys {
            let mut questions: Vec<Vec<&[u8]>> =
                vec![vec![b"TYPE", &key], vec![b"GET", &key], vec![b"STRLEN", &key], vec![b"PEXPIRETIME", &key]];
            if era == Era::Redis70 {
                questions.push(vec![b"OBJECT", b"ENCODING", &key]);
            }
            let mut answers = client.pipeline(&questions)?;
            if answers[0].as_str() == Some("zset") {
                // Either form: see "object|encoding" in `allowed.rs`.
                answers.truncate(4);
            }
            let mut shown: Vec<String> = answers.iter().map(show).collect();
            shown.extend(elements(client, answers[0].as_str().unwrap_or_default(), &key)?);
            state.insert(format!("db {db} key \"{}\"", key.escape_ascii()), shown.join(", "));
        }
    }
    client.call(&["SELECT", "0"])?;
    Ok(state)
}

/// What a collection holds. What has no order is sorted.
fn elements(client: &mut Client, key_type: &str, key: &[u8]) -> io::Result<Option<String>> {
    let question: &[&[u8]] = match key_type {
        "hash" => &[b"HGETALL", key],
        "list" => &[b"LRANGE", key, b"0", b"-1"],
        "set" => &[b"SMEMBERS", key],
        "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        "stream" => &[b"XRANGE", key, b"-", b"+"],
        _ => return Ok(None),
    };
    let answer = client.call(question)?;
    let items = answer.as_array().unwrap_or_default();
    let mut shown: Vec<String> = match key_type {
        "hash" => items.chunks(2).map(|pair| pair.iter().map(Value::to_string).collect::<Vec<_>>().join("=")).collect(),
        "zset" => items.iter().map(|item| without_sign_of_zero(item).to_string()).collect(),
        _ => items.iter().map(Value::to_string).collect(),
    };
    if matches!(key_type, "hash" | "set") {
        shown.sort_unstable();
    }
    Ok(Some(shown.join(" ")))
}

/// Points in time from relative deadlines differ by when the call arrived: here it is enough that there is one.
fn show(value: &Value) -> String {
    match value {
        Value::Int(ms) if (RELATIVE_END_MS / 2..RELATIVE_END_MS).contains(ms) => "relative deadline".to_string(),
        other => other.to_string(),
    }
}

/// How often each command was called, refused and failed, and each kind of error replied.
fn call_counts(info: &str) -> impl Iterator<Item = String> {
    // A sweep takes as many calls as the table wants, and the state itself is read by these.
    const NOT_COUNTED: &[&str] = &["cmdstat_scan", "cmdstat_exists"];
    info.lines().filter_map(|line| {
        let (name, fields) = line.split_once(':')?;
        if name.starts_with("errorstat_") || name == "total_error_replies" {
            return Some(line.to_string());
        }
        if !name.starts_with("cmdstat_") || NOT_COUNTED.contains(&name) {
            return None;
        }
        let counts: Vec<&str> = fields.split(',').filter(|field| !field.starts_with("usec")).collect();
        Some(format!("{name}:{}", counts.join(",")))
    })
}

/// What differs, at most `most` lines of it; None when nothing does.
pub(super) fn difference(oracle: &State, subject: &State, most: usize) -> Option<String> {
    let mut lines = Vec::new();
    for name in oracle.keys().chain(subject.keys().filter(|name| !oracle.contains_key(*name))) {
        let (a, b) = (oracle.get(name), subject.get(name));
        if a != b {
            let show =
                |side: Option<&String>| side.map_or("(not there)".to_string(), |text| text.chars().take(300).collect());
            lines.push(format!("  {name}\n    oracle:  {}\n    subject: {}", show(a), show(b)));
        }
    }
    let more = lines.len().saturating_sub(most);
    lines.truncate(most);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
