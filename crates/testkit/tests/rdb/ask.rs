//! What a server says of a key's value by its own commands, as the codec's neutral value.

use pinyon_base::{Millis, parse_f64, parse_u64};
use pinyon_testkit::{Client, Value as Reply};
use pinyon_values::codec::whole::{Consumer, Group, Stream};
use pinyon_values::codec::{StreamId, StreamState, Value};

/// Sends a command that must not fail.
#[track_caller]
pub fn ask(client: &mut Client, words: &[&[u8]]) -> Reply {
    let reply = client.call(words).unwrap_or_else(|error| panic!("{}: {error}", words[0].escape_ascii()));
    let shown = || words.iter().map(|word| word[..word.len().min(60)].escape_ascii().to_string()).collect::<Vec<_>>();
    assert!(!reply.is_error(), "{:?}: {reply}", shown());
    reply
}

/// As `ask`, for words that are typed.
#[track_caller]
pub fn say(client: &mut Client, line: &str) -> Reply {
    let reply = client.line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(!reply.is_error(), "{line}: {reply}");
    reply
}

fn texts(reply: &Reply) -> Vec<Vec<u8>> {
    reply.as_array().expect("an array").iter().map(text).collect()
}

fn text(reply: &Reply) -> Vec<u8> {
    reply.as_bytes().expect("a text").to_vec()
}

fn number(reply: &Reply, field: &str) -> i64 {
    reply.field(field).and_then(Reply::as_int).unwrap_or_else(|| panic!("{field} of {reply}"))
}

fn list<'r>(reply: &'r Reply, field: &str) -> &'r [Reply] {
    reply.field(field).and_then(Reply::as_array).unwrap_or_else(|| panic!("{field} of {reply}"))
}

/// The pending entries of a group or a consumer, whose name differs between versions.
fn pending(reply: &Reply) -> &[Reply] {
    let found = ["pel", "pending"].iter().find_map(|name| reply.field(name).and_then(Reply::as_array));
    found.unwrap_or_else(|| panic!("pending entries of {reply}"))
}

fn id(text: &[u8]) -> StreamId {
    let mut halves = text.split(|byte| *byte == b'-').map(|half| parse_u64(half).expect("a number"));
    StreamId { ms: halves.next().expect("ms"), seq: halves.next().expect("seq") }
}

fn id_of(reply: &Reply, field: &str) -> StreamId {
    id(reply.field(field).and_then(Reply::as_bytes).unwrap_or_else(|| panic!("{field} of {reply}")))
}

/// The value at a key; sorted, and with its deadlines of fields if the server knows such.
pub fn value_of(client: &mut Client, key: &[u8]) -> Value {
    let kind = ask(client, &[b"TYPE", key]);
    let mut value = match kind.as_str().expect("a type") {
        "string" => Value::String(text(&ask(client, &[b"GET", key]))),
        "list" => Value::List(texts(&ask(client, &[b"LRANGE", key, b"0", b"-1"]))),
        "set" => Value::Set(texts(&ask(client, &[b"SMEMBERS", key]))),
        "hash" => hash(client, key),
        "zset" => {
            let pairs = texts(&ask(client, &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
            let score = |text: &[u8]| parse_f64(text).expect("a score");
            Value::SortedSet(pairs.chunks(2).map(|pair| (pair[0].clone(), score(&pair[1]))).collect())
        }
        "stream" => Value::Stream(Box::new(stream(client, key))),
        other => panic!("{}: {other}", key.escape_ascii()),
    };
    value.sort();
    value
}

fn hash(client: &mut Client, key: &[u8]) -> Value {
    let pairs = texts(&ask(client, &[b"HGETALL", key]));
    let count = (pairs.len() / 2).to_string();
    let mut words: Vec<&[u8]> = vec![b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
    words.extend(pairs.iter().step_by(2).map(Vec::as_slice));
    // redis-server 7.0 does not have the command, nor any deadline.
    let deadlines = client.call(&words).expect("a reply");
    let fields = pairs.chunks(2).enumerate().map(|(i, pair)| {
        let at = deadlines.as_array().and_then(|all| all[i].as_int()).filter(|at| *at >= 0);
        (pair[0].clone(), pair[1].clone(), at.map(Millis))
    });
    Value::Hash(fields.collect())
}

fn stream(client: &mut Client, key: &[u8]) -> Stream {
    let entries = ask(client, &[b"XRANGE", key, b"-", b"+"]);
    let entries = entries.as_array().expect("entries").iter().map(|entry| {
        let halves = entry.as_array().expect("two halves");
        let fields = texts(&halves[1]);
        (id(&text(&halves[0])), fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    });
    let about = ask(client, &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
    let groups: Vec<Group> = list(&about, "groups").iter().map(group).collect();
    let state = StreamState {
        length: number(&about, "length") as u64,
        last_id: id_of(&about, "last-generated-id"),
        first_id: Some(id_of(&about, "recorded-first-entry-id")),
        max_deleted_id: Some(id_of(&about, "max-deleted-entry-id")),
        entries_added: Some(number(&about, "entries-added") as u64),
        groups: groups.len() as u64,
    };
    Stream { entries: entries.collect(), state, groups }
}

fn group(about: &Reply) -> Group {
    let entries = pending(about).iter().map(|entry| {
        let parts = entry.as_array().expect("four parts");
        let number = |at: usize| parts[at].as_int().expect("a number");
        (id(&text(&parts[0])), Millis(number(2)), number(3) as u64)
    });
    let consumers = list(about, "consumers").iter().map(|about| Consumer {
        name: text(about.field("name").expect("a name")),
        seen_at: Millis(number(about, "seen-time")),
        active_at: about.field("active-time").and_then(Reply::as_int).map(Millis),
        pending: pending(about).iter().map(|entry| id(&text(&entry.as_array().expect("three parts")[0]))).collect(),
    });
    Group {
        name: text(about.field("name").expect("a name")),
        last_id: id_of(about, "last-delivered-id"),
        entries_read: about.field("entries-read").and_then(Reply::as_int).map(|read| read as u64),
        pending: entries.collect(),
        consumers: consumers.collect(),
    }
}
