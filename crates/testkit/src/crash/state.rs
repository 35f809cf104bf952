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
            (None, None) => false,
            (None, Some((earliest, _))) => earliest <= self.between.1,
            (Some((content, None)), None) => *content == expected.content,
            (Some((content, Some(at))), Some((earliest, latest))) => {
                *content == expected.content && (earliest..=latest).contains(at) && *at > self.between.0
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
    let mut ask = |words: &[&str]| client.call(words).map_err(|error| format!("{words:?}: {error}"));
    let reply = match kind_of(key) {
        'l' => ask(&["LRANGE", key, "0", "-1"])?,
        'h' => ask(&["HGETALL", key])?,
        's' => ask(&["SMEMBERS", key])?,
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
    if !matches!(kind, 'l' | 'h' | 's' | 'z') {
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
        's' => Content::Set(words.into_iter().collect()),
        _ => {
            let score = |text: Vec<u8>| String::from_utf8(text).ok()?.parse().ok();
            Content::Sorted(pairs().map(|(member, text)| Some((member, score(text)?))).collect::<Option<_>>()?)
        }
    }))
}
