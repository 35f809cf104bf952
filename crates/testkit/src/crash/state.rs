//! What a client's keys hold, as the client expects it and as the server shows it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Client, Value};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(Vec<u8>),
    List(VecDeque<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Sorted(BTreeMap<Vec<u8>, i64>),
    /// So many of its members are gone, it is not known which.
    SetWithout(BTreeSet<Vec<u8>>, usize),
    /// A hash whose fields may have deadlines, Unix milliseconds.
    Fading(BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>),
    Stream(Stream),
}

/// A stream with one group, `g`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// IDs and values.
    pub entries: VecDeque<(StreamId, Vec<u8>)>,
    pub group: Option<Group>,
}

pub(super) type StreamId = (u64, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub delivered: StreamId,
    pub pending: BTreeSet<StreamId>,
}

impl Content {
    /// Whether it may be what is left of `expected`, which nobody has changed. `between`: when it was looked at.
    fn fits(&self, expected: &Content, between: (i64, i64)) -> bool {
        match (self, expected) {
            (Content::Set(seen), Content::SetWithout(set, gone)) => {
                seen.len() + gone == set.len() && seen.is_subset(set)
            }
            (Content::Fading(seen), Content::Fading(fields)) => {
                let may_be = |(field, (value, deadline)): (&Vec<u8>, &(Vec<u8>, Option<i64>))| match seen.get(field) {
                    Some(found) => *found == (value.clone(), *deadline) && deadline.is_none_or(|at| at > between.0),
                    None => deadline.is_some_and(|at| at <= between.1),
                };
                fields.iter().all(may_be) && seen.keys().all(|field| fields.contains_key(field))
            }
            _ => self == expected,
        }
    }

    /// Whether nothing may be left of it by then.
    fn may_be_gone(&self, by: i64) -> bool {
        match self {
            Content::Fading(fields) => fields.values().all(|(_, deadline)| deadline.is_some_and(|at| at <= by)),
            _ => false,
        }
    }
}

/// A value and when it goes: Unix milliseconds, known up to the time that the command took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub content: Content,
    pub deadline: Option<(i64, i64)>,
}

/// What a client believes that its keys hold.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub entries: BTreeMap<String, Entry>,
}

/// What a key was found to hold.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub entry: Option<(Content, Option<i64>)>,
    /// Before and after it was looked at.
    pub between: (i64, i64),
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}

impl Seen {
    /// Whether that may be what is left of the entry.
    pub fn fits(&self, expected: Option<&Entry>) -> bool {
        let Some(expected) = expected else { return self.entry.is_none() };
        match (&self.entry, expected.deadline) {
            (None, None) => expected.content.may_be_gone(self.between.1),
            (None, Some((earliest, _))) => earliest <= self.between.1,
            (Some((content, None)), None) => content.fits(&expected.content, self.between),
            (Some((content, Some(at))), Some((earliest, latest))) => {
                content.fits(&expected.content, self.between)
                    && (earliest..=latest).contains(at)
                    && *at > self.between.0
            }
            _ => false,
        }
    }

    /// The entry as it is known now.
    pub fn known(&self) -> Option<Entry> {
        let (content, deadline) = self.entry.clone()?;
        Some(Entry { content, deadline: deadline.map(|at| (at, at)) })
    }
}

/// Looks at a key, whose name says of which kind it is.
pub(super) fn look(client: &mut Client, key: &str) -> Result<Seen, String> {
    let before = now();
    match kind_of(key) {
        'f' => return Ok(Seen { entry: look_at_fields(client, key)?, between: (before, now()) }),
        'x' => return Ok(Seen { entry: look_at_stream(client, key)?, between: (before, now()) }),
        _ => {}
    }
    let mut ask = |words: &[&str]| client.call(words).map_err(|error| format!("{words:?}: {error}"));
    let reply = match kind_of(key) {
        'l' => ask(&["LRANGE", key, "0", "-1"])?,
        'h' => ask(&["HGETALL", key])?,
        's' | 'p' => ask(&["SMEMBERS", key])?,
        'z' => ask(&["ZRANGE", key, "0", "-1", "WITHSCORES"])?,
        _ => ask(&["GET", key])?,
    };
    let deadline = ask(&["PEXPIRETIME", key])?.as_int().filter(|at| *at >= 0);
    let content = content(kind_of(key), &reply).ok_or_else(|| format!("{key}: {reply}"))?;
    // It may go between the two questions.
    let gone = deadline.is_none() && content.is_some() && ask(&["EXISTS", key])?.as_int() == Some(0);
    let entry = if gone { None } else { content.map(|content| (content, deadline)) };
    Ok(Seen { entry, between: (before, now()) })
}

/// The letter before the number: `c7:t3` is a text.
pub(super) fn kind_of(key: &str) -> char {
    key.split(':').nth(1).and_then(|rest| rest.chars().next()).unwrap_or('t')
}

/// `None`: not a reply that such a key gives. `Some(None)`: it is not there.
fn content(kind: char, reply: &Value) -> Option<Option<Content>> {
    if reply.is_null() {
        return Some(None);
    }
    if !matches!(kind, 'l' | 'h' | 's' | 'p' | 'z') {
        return Some(Some(Content::Text(reply.as_bytes()?.to_vec())));
    }
    let items = reply.as_array()?;
    let words: Vec<Vec<u8>> = items.iter().map(|item| item.as_bytes().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
    if words.is_empty() {
        return Some(None);
    }
    let pairs = || words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    Some(Some(match kind {
        'l' => Content::List(words.into()),
        'h' => Content::Hash(pairs().collect()),
        's' | 'p' => Content::Set(words.into_iter().collect()),
        _ => {
            let score = |text: Vec<u8>| String::from_utf8(text).ok()?.parse().ok();
            Content::Sorted(pairs().map(|(member, text)| Some((member, score(text)?))).collect::<Option<_>>()?)
        }
    }))
}

/// A value as it is looked at, and its deadline.
type Found = Option<(Content, Option<i64>)>;

/// All fields with their deadlines, at one moment.
fn look_at_fields(client: &mut Client, key: &str) -> Result<Found, String> {
    let failed = |error| format!("{key}: {error}");
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for _ in 0..100 {
        let all = client.call(&["HGETALL", key]).map_err(failed)?;
        let all = content('h', &all).ok_or_else(|| format!("{key}: {all}"))?;
        let Some(Content::Hash(fields)) = all else { return Ok(None) };
        let count = fields.len().to_string();
        let mut ask = words(&["HPEXPIRETIME", key, "FIELDS", &count]);
        ask.extend(fields.keys().cloned());
        let times = client.call(&ask).map_err(failed)?;
        let times: Option<Vec<i64>> = times.as_array().map(|times| times.iter().filter_map(Value::as_int).collect());
        let times = times.filter(|times| times.len() == fields.len()).ok_or_else(|| format!("{key}: no deadlines"))?;
        // -2: it went between the two questions.
        if !times.contains(&-2) {
            let deadlines = times.into_iter().map(|at| (at >= 0).then_some(at));
            let fields = fields.into_iter().zip(deadlines).map(|((field, value), at)| (field, (value, at)));
            return Ok(Some((Content::Fading(fields.collect()), None)));
        }
    }
    Err(format!("{key}: its fields go faster than one can ask"))
}

fn look_at_stream(client: &mut Client, key: &str) -> Result<Found, String> {
    let mut ask = |words: &[&str]| client.call(words).map_err(|error| format!("{words:?}: {error}"));
    if ask(&["EXISTS", key])?.as_int() == Some(0) {
        return Ok(None);
    }
    let wrong = |what: &Value| format!("{key}: {what}");
    let entries = ask(&["XRANGE", key, "-", "+"])?;
    let entry = |entry: &Value| -> Option<(StreamId, Vec<u8>)> {
        let [id, fields] = entry.as_array()? else { return None };
        Some((stream_id(id)?, fields.as_array()?.get(1)?.as_bytes()?.to_vec()))
    };
    let entries: Option<_> = entries.as_array().and_then(|all| all.iter().map(entry).collect());
    let groups = ask(&["XINFO", "GROUPS", key])?;
    let group = match groups.as_array() {
        Some([]) => None,
        Some([group]) => {
            let delivered = group.field("last-delivered-id").and_then(stream_id);
            let pending = ask(&["XPENDING", key, "g", "-", "+", "10000"])?;
            let id = |line: &Value| stream_id(line.as_array()?.first()?);
            let pending: Option<_> = pending.as_array().and_then(|all| all.iter().map(id).collect());
            let (Some(delivered), Some(pending)) = (delivered, pending) else { return Err(wrong(&groups)) };
            Some(Group { delivered, pending })
        }
        _ => return Err(wrong(&groups)),
    };
    let entries = entries.ok_or_else(|| format!("{key}: not entries"))?;
    Ok(Some((Content::Stream(Stream { entries, group }), None)))
}

pub(super) fn stream_id(id: &Value) -> Option<StreamId> {
    let (ms, number) = id.as_str()?.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}
