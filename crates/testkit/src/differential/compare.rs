//! Decides whether two replies to the same call are as good as the same.

use super::allowed::How;
use super::generate::is_newer;
use super::times::RELATIVE_END_MS;
use crate::Value;

/// What a side answered to one call.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Value {
        value: Value,
        bytes: Vec<u8>,
    },
    /// The connection was closed instead.
    Closed,
}

impl Reply {
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Value { value, .. } if value.is_error())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Reply::Value { value, .. } if value.is_null())
    }

    /// Whether it is an error, or holds one as the replies of a transaction do.
    pub fn has_error(&self) -> bool {
        let Reply::Value { value, .. } = self else { return false };
        value.is_error() || value.as_array().is_some_and(|values| values.iter().any(Value::is_error))
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 800;
        match self {
            Reply::Closed => write!(f, "(closed the connection)"),
            Reply::Value { value, bytes } => {
                let shown: String = value.to_string().chars().take(SHOWN).collect();
                let raw = &bytes[..bytes.len().min(SHOWN)];
                write!(f, "{shown}\n    bytes: {}", raw.escape_ascii())
            }
        }
    }
}

/// Whether `a` of the oracle and `b` of the other side agree. Err says in which way they don't.
pub(super) fn compare(how: How, full_name: &str, a: &Reply, b: &Reply) -> Result<(), String> {
    let (Reply::Value { value: a_value, bytes: a_bytes }, Reply::Value { value: b_value, bytes: b_bytes }) = (a, b)
    else {
        let both_closed = matches!((a, b), (Reply::Closed, Reply::Closed));
        return ensure(both_closed, "one closed the connection");
    };
    if a_bytes == b_bytes {
        return Ok(());
    }
    if a.is_error() || b.is_error() {
        return Err("an error that is not the same".to_string());
    }
    values(how, full_name, a_value, b_value)
}

/// Whether all that differs is that the oracle could not read numbers to sort by. Redis 7.0 does not clear errno before it
/// reads them: after a call that left ERANGE there, any number is wrong.
pub(super) fn is_stale_errno(full_name: &str, a: &Reply, b: &Reply) -> bool {
    let (Reply::Value { value: a, .. }, Reply::Value { value: b, .. }) = (a, b) else { return false };
    let stale = |a: &Value, b: &Value| {
        matches!(a, Value::Error(text) if text == "ERR One or more scores can't be converted into double")
            && !b.is_error()
    };
    match (full_name, a.as_array(), b.as_array()) {
        ("sort" | "sort_ro", ..) => stale(a, b),
        ("exec", Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || stale(a, b)),
        _ => false,
    }
}

/// Whether all that differs is the sign of scores of 0. A small sorted set keeps none, here and in Redis; a large one does, and
/// Redis's SORT makes a large one of a small one (see "object|encoding" in `allowed.rs`).
pub(super) fn is_sign_of_zero(full_name: &str, a: &Reply, b: &Reply) -> bool {
    let (Reply::Value { value: a, .. }, Reply::Value { value: b, .. }) = (a, b) else { return false };
    let scores = full_name.starts_with('z') || full_name.starts_with("bz") || full_name == "exec";
    scores && without_sign_of_zero(a) == without_sign_of_zero(b)
}

/// The same reply with every -0 as 0.
pub(super) fn without_sign_of_zero(value: &Value) -> Value {
    let all = |values: &[Value]| values.iter().map(without_sign_of_zero).collect();
    match value {
        Value::Bulk(text) if text == b"-0" => Value::Bulk(b"0".to_vec()),
        Value::Double(text) if text == "-0" => Value::Double("0".to_string()),
        Value::Array(values) => Value::Array(all(values)),
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(name, value)| (name.clone(), without_sign_of_zero(value))).collect())
        }
        other => other.clone(),
    }
}

fn ensure(agree: bool, why: &str) -> Result<(), String> {
    if agree { Ok(()) } else { Err(why.to_string()) }
}

fn values(how: How, full_name: &str, a: &Value, b: &Value) -> Result<(), String> {
    match how {
        How::Exact => ensure(false, "the bytes are not the same"),
        How::Unordered => ensure(kind(a) == kind(b) && sorted(a) == sorted(b), "the elements are not the same"),
        How::Within(apart) => ensure(near(a, b, apart, i64::MAX), "the numbers are too far apart"),
        How::Deadline(apart) => {
            let end = if matches!(full_name, "expiretime" | "hexpiretime") {
                RELATIVE_END_MS / 1000
            } else {
                RELATIVE_END_MS
            };
            ensure(near(a, b, apart, end), "the points in time are not the same")
        }
        How::Shape => ensure(same_shape(a, b), "the replies are nested differently"),
        How::Kind => ensure(kind(a) == kind(b), "the kinds are not the same"),
        How::ClientLines => client_lines(a, b),
        How::Hello => hello(a, b),
        How::Docs => ensure(without_sentences(a) == without_sentences(b), "more than sentences differ"),
        How::Info => info(a, b),
        How::CommandInfo => ensure(without_notes(a) == without_notes(b), "more than order and notes differ"),
        How::Encoding => ensure(
            a.as_str().zip(b.as_str()).is_some_and(|(a, b)| is_sorted_set_form(a) && is_sorted_set_form(b)),
            "the encodings are not the same",
        ),
        // What the side did with the keys was compared already.
        // The keys themselves were asked about already.
        How::KindOfKey if a.is_null() != b.is_null() => Ok(()),
        How::KindOfKey | How::Counted => ensure(kind(a) == kind(b), "the kinds are not the same"),
        How::Swept | How::Member => ensure(same_shape_of_keys(a, b), "the kinds are not the same"),
        How::NotSent => ensure(false, "was not to be sent"),
    }
}

/// Whether a sorted set may have this encoding; hashes have the first one, too.
fn is_sorted_set_form(encoding: &str) -> bool {
    matches!(encoding, "listpack" | "skiplist")
}

/// What is in an array, or the pairs of a map, in an order of their own. None: it is neither.
fn sorted(value: &Value) -> Option<Vec<String>> {
    let mut items: Vec<String> = match value {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| format!("{name} {value}")).collect(),
        other => other.as_array()?.iter().map(Value::to_string).collect(),
    };
    items.sort_unstable();
    Some(items)
}

/// Two integers at most `apart` from each other when both lie between 0 and `end`; others are to be the same. Or as many of
/// them.
fn near(a: &Value, b: &Value, apart: i64, end: i64) -> bool {
    if let (Some(a), Some(b)) = (a.as_array(), b.as_array()) {
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, apart, end));
    }
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => a == b || (a >= 0 && b >= 0 && a < end && b < end && a.abs_diff(b) <= apart as u64),
        _ => false,
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Simple(_) => 0,
        Value::Error(_) => 1,
        Value::Int(_) => 2,
        Value::Bulk(_) => 3,
        Value::Null => 4,
        Value::NullArray => 5,
        Value::Array(_) => 6,
        Value::Map(_) => 7,
        Value::Set(_) => 8,
        Value::Push(_) => 9,
        Value::Double(_) => 10,
        Value::Bool(_) => 11,
        Value::BigNumber(_) => 12,
        Value::Verbatim { .. } => 13,
    }
}

fn same_shape(a: &Value, b: &Value) -> bool {
    let inside = match (a, b) {
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(&a.0, &b.0) && same_shape(&a.1, &b.1))
        }
        _ => match (a.as_array(), b.as_array()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b)),
            (a, b) => a.is_none() && b.is_none(),
        },
    };
    inside && kind(a) == kind(b)
}

/// A key; or a cursor and keys, whose number differs from call to call.
fn same_shape_of_keys(a: &Value, b: &Value) -> bool {
    match (a.as_array(), b.as_array()) {
        (Some([a_cursor, a_keys]), Some([b_cursor, b_keys])) => {
            kind(a) == kind(b) && kind(a_cursor) == kind(b_cursor) && kind(a_keys) == kind(b_keys)
        }
        (None, None) => kind(a) == kind(b),
        _ => false,
    }
}

/// `id=3 addr=127.0.0.1:5 … name=x` line by line, in the order of the numbers (Redis rotates its list): the same names in
/// the same order; of the values those of the session.
fn client_lines(a: &Value, b: &Value) -> Result<(), String> {
    const SAME: &[&str] = &["name", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp"];
    /// Came with Redis 7.2.
    const NEWER: &[&str] = &["lib-name", "lib-ver"];
    let fields = |value: &Value| -> Vec<Vec<(String, String)>> {
        let text = String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned();
        let field = |field: &str| {
            let (name, content) = field.split_once('=').unwrap_or((field, ""));
            let content = if SAME.contains(&name) { content } else { "" };
            (name.to_string(), content.to_string())
        };
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_by_key(|line| {
            let id = line.split(' ').find_map(|field| field.strip_prefix("id="));
            id.and_then(|id| id.parse::<u64>().ok())
        });
        let is_old = |(name, _): &(String, String)| !NEWER.contains(&name.as_str());
        lines.into_iter().map(|line| line.split(' ').map(field).filter(is_old).collect()).collect()
    };
    ensure(kind(a) == kind(b), "the kinds are not the same")?;
    let (a, b) = (fields(a), fields(b));
    let only = |these: &[Vec<(String, String)>], those: &[Vec<(String, String)>]| {
        let line = |fields: &Vec<(String, String)>| {
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        these.iter().filter(|fields| !those.contains(fields)).map(line).collect::<Vec<_>>().join(" / ")
    };
    ensure(a == b, &format!("sessions differ: {} instead of {}", only(&b, &a), only(&a, &b)))
}

fn hello(a: &Value, b: &Value) -> Result<(), String> {
    const SAME: &[&str] = &["proto", "mode", "role", "modules"];
    let names = |value: &Value| -> Option<Vec<Vec<u8>>> {
        Some(match value {
            Value::Map(pairs) => pairs.iter().map(|(key, _)| key.as_bytes().unwrap_or_default().to_vec()).collect(),
            _ => value.as_array()?.iter().step_by(2).map(|key| key.as_bytes().unwrap_or_default().to_vec()).collect(),
        })
    };
    ensure(kind(a) == kind(b) && names(a) == names(b), "the fields are not the same")?;
    ensure(SAME.iter().all(|name| a.field(name) == b.field(name)), "fields of the session differ")
}

/// COMMAND DOCS without what is written by people (summaries, complexities, what changed when), without arguments that are
/// newer than the oracle, and without the order that hash tables give.
fn without_sentences(value: &Value) -> Value {
    const SENTENCES: &[&str] = &["summary", "complexity", "history"];
    let is = |key: &Value, names: &[&str]| key.as_str().is_some_and(|key| names.contains(&key));
    match value {
        Value::Map(pairs) => {
            let mut kept: Vec<(Value, Value)> = pairs
                .iter()
                .filter(|(key, _)| !is(key, SENTENCES))
                .map(|(key, value)| match value {
                    // RESP2 has all maps as flat arrays; this one cannot be told by its keys.
                    Value::Array(items) if is(key, &["subcommands"]) => {
                        (key.clone(), without_sentences(&map_of(items)))
                    }
                    _ => (key.clone(), without_sentences(value)),
                })
                .collect();
            kept.sort_by_key(|(key, _)| key.to_string());
            Value::Map(kept)
        }
        Value::Array(items) if items.iter().step_by(2).any(|key| is(key, &["summary", "name"])) => {
            without_sentences(&map_of(items))
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(without_sentences).filter(|item| !is_newer_argument(item)).collect())
        }
        other => other.clone(),
    }
}

fn map_of(items: &[Value]) -> Value {
    Value::Map(items.as_chunks::<2>().0.iter().map(|[key, value]| (key.clone(), value.clone())).collect())
}

/// An argument of a command that the oracle has without it.
fn is_newer_argument(value: &Value) -> bool {
    let since = value.field("since").and_then(Value::as_str).unwrap_or_default();
    value.field("type").is_some() && is_newer(since)
}

/// COMMAND INFO without the notes on keys, and with the subcommands of each command sorted: Redis has them in a hash table.
fn without_notes(value: &Value) -> Value {
    const SUBCOMMANDS: usize = 9;
    let is_note = |key: Option<&Value>| key.and_then(Value::as_str) == Some("notes");
    match value {
        Value::Map(pairs) => {
            let kept = pairs.iter().filter(|(key, _)| !is_note(Some(key)));
            Value::Map(kept.map(|(key, value)| (key.clone(), without_notes(value))).collect())
        }
        Value::Array(items) if is_note(items.first()) => Value::Array(items[2..].iter().map(without_notes).collect()),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(without_notes).collect();
            if let Some(Value::Array(subcommands)) = items.get_mut(SUBCOMMANDS) {
                subcommands.sort_by_key(Value::to_string);
            }
            Value::Array(items)
        }
        Value::Set(items) => Value::Set(items.iter().map(without_notes).collect()),
        other => other.clone(),
    }
}

/// Lines of INFO that any server with the same history has: how often keys were found and missed. Not how many there are,
/// which counts keys that are due until they are found.
pub(super) fn comparable_info(text: &str) -> Vec<String> {
    const SAME: &[&str] = &["keyspace_hits", "keyspace_misses", "redis_mode", "role"];
    let same = |line: &&str| line.split_once(':').is_some_and(|(name, _)| SAME.contains(&name));
    text.lines().filter(same).map(str::to_string).collect()
}

fn info(a: &Value, b: &Value) -> Result<(), String> {
    ensure(kind(a) == kind(b), "the kinds are not the same")?;
    let lines = |value: &Value| comparable_info(&String::from_utf8_lossy(value.as_bytes().unwrap_or_default()));
    let (a, b) = (lines(a), lines(b));
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>().join(" ")
    };
    ensure(a == b, &format!("lines differ: {} instead of {}", only(&b, &a), only(&a, &b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: &[u8]) -> Reply {
        let (value, _) = Value::decode(bytes).expect("well formed").expect("whole");
        Reply::Value { value, bytes: bytes.to_vec() }
    }

    fn agree(how: How, name: &str, a: &[u8], b: &[u8]) -> bool {
        compare(how, name, &reply(a), &reply(b)).is_ok()
    }

    #[test]
    fn exactly_the_same_bytes_or_not() {
        assert!(agree(How::Exact, "get", b"$1\r\na\r\n", b"$1\r\na\r\n"));
        assert!(!agree(How::Exact, "get", b"$-1\r\n", b"_\r\n"));
        assert!(!agree(How::Kind, "lolwut", b"-ERR a\r\n", b"-ERR b\r\n"), "errors are always exact");
        assert!(compare(How::Kind, "lolwut", &Reply::Closed, &reply(b"+OK\r\n")).is_err());
        assert!(compare(How::Kind, "lolwut", &Reply::Closed, &Reply::Closed).is_ok());
    }

    #[test]
    fn times_are_near_only_where_they_may_be() {
        assert!(agree(How::Within(10), "ttl", b":100\r\n", b":110\r\n"));
        assert!(!agree(How::Within(10), "ttl", b":100\r\n", b":111\r\n"));
        assert!(!agree(How::Within(10), "ttl", b":-1\r\n", b":-2\r\n"));
        assert!(agree(How::Deadline(10), "pexpiretime", b":2000000000000\r\n", b":2000000000009\r\n"));
        assert!(!agree(How::Deadline(10), "pexpiretime", b":3000000000000\r\n", b":3000000000001\r\n"));
    }

    #[test]
    fn order_of_keys_and_sentences_of_docs_do_not_matter() {
        assert!(agree(How::Unordered, "keys", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n"));
        assert!(!agree(How::Unordered, "keys", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+a\r\n+a\r\n"));
        let docs =
            |summary: &str, since: &str| format!("%2\r\n+summary\r\n+{summary}\r\n+since\r\n+{since}\r\n").into_bytes();
        assert!(agree(How::Docs, "command|docs", &docs("ours", "1.0"), &docs("theirs", "1.0")));
        assert!(!agree(How::Docs, "command|docs", &docs("ours", "1.0"), &docs("ours", "2.0")));
    }

    #[test]
    fn lines_of_clients_agree_on_the_session() {
        let line = |id: u32, name: &str| {
            let text = format!("id={id} name={name} db=1\n");
            format!("${}\r\n{text}\r\n", text.len()).into_bytes()
        };
        assert!(agree(How::ClientLines, "client|list", &line(1, "x"), &line(2, "x")));
        assert!(!agree(How::ClientLines, "client|list", &line(1, "x"), &line(1, "y")));
    }
}
