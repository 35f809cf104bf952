//! The order of periods in the life of a key: where values do not show what came before them.
//!
//! DEL, expiry, FLUSHALL, RENAME and SET start a key anew. A **period** is a chain of versions of which each was found by the
//! write of the next, so that nothing else happened to the key in between; a deletion of what nobody saw is a period of its
//! own, and so is a read that found nothing. Periods of one key do not interleave: if *anything* in one had to be over before
//! *something* in the other could begin, all of the first comes before all of the second.
//!
//! When a transaction "had to be over" follows from real time and from the edges: it cannot have run before what precedes it
//! was invoked, nor after what follows it had completed. So windows become narrower with each edge, narrower windows order
//! more periods, and those give edges. A window that becomes empty is a contradiction: there is a cycle.

use std::collections::{BTreeMap, HashMap};

use super::access::Known;
use super::history::{Key, Transaction};
use super::infer::{Edge, Facts, Why};
use super::lengths;

/// When a transaction can have taken place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    pub from: u64,
    pub to: u64,
}

/// The edges contradict each other, or real time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contradiction;

/// How often windows and periods are gone through in turn.
const ROUNDS: usize = 3;
/// To how many of the nearest periods before and after it a period gets edges; farther ones follow from those, mostly.
const NEAR: usize = 4;

/// Adds the edges between periods to `facts`, and gives each transaction's window.
pub fn order_periods(facts: &mut Facts, committed: &[&Transaction], keys: usize) -> Result<Vec<Window>, Contradiction> {
    let mut windows = narrow(&facts.edges, committed)?;
    let mut between = Vec::new();
    for round in 0.. {
        let periods = periods(facts, &windows, keys);
        if round < ROUNDS {
            lengths::pin(facts, &windows, &periods);
        }
        between.clear();
        periods.iter().for_each(|periods| order(periods, &mut between));
        let certain = facts.edges.len();
        facts.edges.extend_from_slice(&between);
        windows = narrow(&facts.edges, committed)?;
        if round == ROUNDS {
            break;
        }
        facts.edges.truncate(certain);
    }
    Ok(windows)
}

/// Who follows whom: `to[starts[i]..starts[i + 1]]` follow transaction `i`.
#[derive(Debug)]
pub struct Followers {
    starts: Vec<u32>,
    to: Vec<u32>,
    /// How many each transaction follows.
    pub awaited: Vec<u32>,
}

impl Followers {
    pub fn new(edges: &[Edge], count: usize) -> Followers {
        let mut starts = vec![0; count + 1];
        let mut awaited = vec![0; count];
        for edge in edges {
            starts[edge.from as usize + 1] += 1;
            awaited[edge.to as usize] += 1;
        }
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut to = vec![0; edges.len()];
        for edge in edges {
            to[next[edge.from as usize] as usize] = edge.to;
            next[edge.from as usize] += 1;
        }
        Followers { starts, to, awaited }
    }

    /// An order in which everybody comes before those that follow; None where there is a cycle.
    fn topological(&self) -> Option<Vec<u32>> {
        let mut awaited = self.awaited.clone();
        let mut order: Vec<u32> = (0..awaited.len() as u32).filter(|i| awaited[*i as usize] == 0).collect();
        let mut at = 0;
        while let Some(&transaction) = order.get(at) {
            at += 1;
            for &next in self.of(transaction) {
                awaited[next as usize] -= 1;
                if awaited[next as usize] == 0 {
                    order.push(next);
                }
            }
        }
        (order.len() == awaited.len()).then_some(order)
    }

    /// Nothing begins before what it follows, nor ends after what follows it.
    fn narrow(&self, order: &[u32], windows: &mut [Window]) {
        for &transaction in order {
            let from = windows[transaction as usize].from;
            for &next in self.of(transaction) {
                let window = &mut windows[next as usize];
                window.from = window.from.max(from);
            }
        }
        for &transaction in order.iter().rev() {
            let to = self.of(transaction).iter().map(|next| windows[*next as usize].to).min();
            let window = &mut windows[transaction as usize];
            window.to = window.to.min(to.unwrap_or(u64::MAX));
        }
    }

    pub fn of(&self, transaction: u32) -> &[u32] {
        let i = transaction as usize;
        &self.to[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}

/// The windows that follow from real time and from the edges.
fn narrow(edges: &[Edge], committed: &[&Transaction]) -> Result<Vec<Window>, Contradiction> {
    let mut windows: Vec<Window> =
        committed.iter().map(|transaction| Window { from: transaction.invoked, to: transaction.completed }).collect();
    let followers = Followers::new(edges, committed.len());
    let order = followers.topological().ok_or(Contradiction)?;
    followers.narrow(&order, &mut windows);
    if windows.iter().any(|window| window.from > window.to) { Err(Contradiction) } else { Ok(windows) }
}

/// When each transaction probably took place: servers tend to carry out what came in one pipeline in one go. Nothing
/// certain; where it leads to nothing, the middle of the window.
pub fn guess(windows: &[Window], edges: &[Edge], committed: &[&Transaction]) -> Vec<u64> {
    const ROUNDS: usize = 4;
    let followers = Followers::new(edges, committed.len());
    let Some(order) = followers.topological() else { return windows.iter().map(|window| window.to).collect() };
    let mut pipelines: BTreeMap<(u32, u64), Vec<u32>> = BTreeMap::new();
    for (i, transaction) in committed.iter().enumerate() {
        pipelines.entry((transaction.client, transaction.invoked)).or_default().push(i as u32);
    }
    let mut guessed = windows.to_vec();
    for _ in 0..ROUNDS {
        for members in pipelines.values().filter(|members| members.len() > 1) {
            let from = members.iter().map(|i| guessed[*i as usize].from).max().unwrap_or(0);
            let to = members.iter().map(|i| guessed[*i as usize].to).min().unwrap_or(0);
            if from <= to {
                members.iter().for_each(|i| guessed[*i as usize] = Window { from, to });
            }
        }
        let before = guessed.clone();
        followers.narrow(&order, &mut guessed);
        for (guessed, before) in guessed.iter_mut().zip(before) {
            if guessed.from > guessed.to {
                *guessed = before;
            }
        }
    }
    guessed.iter().map(|window| window.to).collect()
}

#[derive(Clone, Debug)]
pub(super) struct Period {
    /// The first write; None for what was there before the history.
    head: Option<u32>,
    /// Its last version, where that may have been replaced by somebody unknown.
    pub(super) open: Option<u32>,
    /// What must be over before anything else happens to the key, and whether it wrote.
    tail: Vec<(u32, bool)>,
    /// The earliest moment by which something in it was over.
    pub(super) over: u64,
    /// The latest moment before which something in it could not begin.
    pub(super) begun: u64,
    /// It found nothing and left it so.
    is_nil_read: bool,
    key: Key,
}

/// The periods of each key.
fn periods(facts: &Facts, windows: &[Window], keys: usize) -> Vec<Vec<Period>> {
    let mut periods: Vec<Vec<Period>> = vec![Vec::new(); keys];
    // What a writer left, to follow chains: by writer and key.
    let mut left: HashMap<(u32, Key), u32> = HashMap::new();
    for (i, version) in facts.versions.iter().enumerate() {
        if let Some(writer) = version.writer {
            left.insert((writer, version.key), i as u32);
        }
    }
    for (i, version) in facts.versions.iter().enumerate() {
        if version.before.is_none() {
            periods[usize::from(version.key.0)].push(chain(facts, windows, &left, i as u32));
        }
    }
    for (i, accesses) in facts.accesses.iter().enumerate() {
        for access in accesses {
            let found = access.found.last().is_some_and(|token| facts.index.contains_key(&(access.key, token)));
            let leaves = access.left.last().is_some_and(|token| facts.index.contains_key(&(access.key, token)));
            let is_nil_read = access.found == Known::Nil && !access.written;
            if is_nil_read || access.written && !found && !leaves {
                let window = windows[i];
                periods[usize::from(access.key.0)].push(Period {
                    head: Some(i as u32),
                    open: None,
                    tail: vec![(i as u32, access.written)],
                    over: window.to,
                    begun: window.from,
                    is_nil_read,
                    key: access.key,
                });
            }
        }
    }
    periods
}

/// The period that begins with a version.
fn chain(facts: &Facts, windows: &[Window], left: &HashMap<(u32, Key), u32>, first: u32) -> Period {
    let head = &facts.versions[first as usize];
    let mut period = Period {
        head: head.writer,
        open: None,
        tail: Vec::new(),
        over: u64::MAX,
        begun: 0,
        is_nil_read: false,
        key: head.key,
    };
    let mut at = Some(first);
    let mut links = 0;
    while let Some(version) = at.map(|at| &facts.versions[at as usize]) {
        for transaction in version.writer.iter().chain(&version.readers).chain(version.replaced_by.first()) {
            period.over = period.over.min(windows[*transaction as usize].to);
            period.begun = period.begun.max(windows[*transaction as usize].from);
        }
        period.tail.clear();
        match version.replaced_by.first() {
            Some(next) => period.tail.push((*next, true)),
            None => {
                period.open = at;
                period.tail.extend(version.writer.map(|writer| (writer, true)));
                period.tail.extend(version.readers.iter().map(|reader| (*reader, false)));
            }
        }
        at = version.replaced_by.first().and_then(|next| left.get(&(*next, version.key)).copied());
        links += 1;
        if links > facts.versions.len() {
            break;
        }
    }
    period
}

fn draw(before: &Period, after: &Period, edges: &mut Vec<Edge>) {
    let Some(to) = after.head else { return };
    for &(from, wrote) in before.tail.iter().filter(|tail| tail.0 != to) {
        let why = match (wrote, after.is_nil_read) {
            (true, true) => Why::Wr,
            (true, false) => Why::Ww,
            (false, _) => Why::Rw,
        };
        edges.push(Edge { from, to, why, key: before.key });
    }
}

/// Edges between the periods of one key whose order is certain.
fn order(periods: &[Period], edges: &mut Vec<Edge>) {
    let mut by_over: Vec<&Period> = periods.iter().filter(|period| !period.is_nil_read).collect();
    let mut by_begun = by_over.clone();
    by_over.sort_by_key(|period| period.over);
    by_begun.sort_by_key(|period| period.begun);
    for period in periods {
        // All that were over before something in this one began.
        let before = by_over.partition_point(|other| other.over < period.begun);
        let nearest = by_over[..before].iter().rev().filter(|other| !std::ptr::eq(**other, period)).take(NEAR);
        nearest.for_each(|other| draw(other, period, edges));
        // All of which something began after this one was over.
        let after = by_begun.partition_point(|other| other.begun <= period.over);
        let nearest = by_begun[after..].iter().filter(|other| !std::ptr::eq(**other, period)).take(NEAR);
        nearest.for_each(|other| draw(period, other, edges));
    }
}
