//! What a length tells: an APPEND whose token nobody saw, and a STRLEN, name the value that they found only by its length.
//!
//! If at the time only one version of that length can have been there, it was that one. A version can have been there from
//! when its writer began until what replaced it was over, or until something that certainly came later was. This needs all
//! versions of a key, so it is not done for keys that values come to by RENAME or COPY.

use std::collections::HashMap;

use super::access::Known;
use super::history::{Key, Token};
use super::infer::{Edge, Facts, Why};
use super::periods::{Period, Window};

/// Finds out what was found by length, and adds its edges.
pub(super) fn pin(facts: &mut Facts, windows: &[Window], periods: &[Vec<Period>]) {
    let gone = gone_by(facts, windows, periods);
    let mut by_length: HashMap<(Key, u32), Vec<u32>> = HashMap::new();
    for (i, version) in facts.versions.iter().enumerate() {
        by_length.entry((version.key, version.length)).or_default().push(i as u32);
    }
    let mut pins = Vec::new();
    for (i, accesses) in facts.accesses.iter().enumerate() {
        for (j, access) in accesses.iter().enumerate() {
            let Known::Length(length) = access.found else { continue };
            if facts.is_target[usize::from(access.key.0)] {
                continue;
            }
            let replaces = access.written;
            let able = |version: &&u32| {
                let found = &facts.versions[**version as usize];
                let from = found.writer.map_or(0, |writer| windows[writer as usize].from);
                found.writer != Some(i as u32)
                    && (!replaces || found.replaced_by.is_empty())
                    && from <= windows[i].to
                    && gone[**version as usize] >= windows[i].from
            };
            let mut able = by_length.get(&(access.key, length)).into_iter().flatten().filter(able);
            if let (Some(version), None) = (able.next(), able.next()) {
                pins.push((i as u32, j, *version));
            }
        }
    }
    let tokens: HashMap<u32, Token> = facts.index.iter().map(|((_, token), version)| (*version, *token)).collect();
    for (transaction, access, version) in pins {
        note(facts, transaction, access, version, tokens[&version]);
    }
}

/// By version: when it was gone at the latest.
fn gone_by(facts: &Facts, windows: &[Window], periods: &[Vec<Period>]) -> Vec<u64> {
    let replaced = |by: Option<&u32>| by.map_or(u64::MAX, |by| windows[*by as usize].to);
    let mut gone: Vec<u64> = facts.versions.iter().map(|version| replaced(version.replaced_by.first())).collect();
    for periods in periods {
        let mut by_begun: Vec<&Period> = periods.iter().collect();
        by_begun.sort_by_key(|period| period.begun);
        // From each place on, the two periods that were over first: the period itself may be one of them.
        let mut first: Vec<[(u64, *const Period); 2]> = vec![[(u64::MAX, std::ptr::null()); 2]; by_begun.len() + 1];
        for (i, period) in by_begun.iter().enumerate().rev() {
            let [a, b] = first[i + 1];
            let this = (period.over, std::ptr::from_ref(*period));
            first[i] = if this.0 < a.0 {
                [this, a]
            } else if this.0 < b.0 {
                [a, this]
            } else {
                [a, b]
            };
        }
        for period in periods {
            let Some(version) = period.open else { continue };
            let after = by_begun.partition_point(|other| other.begun <= period.over);
            let others = first[after].iter().filter(|other| !std::ptr::eq(other.1, period));
            gone[version as usize] = gone[version as usize].min(others.map(|other| other.0).min().unwrap_or(u64::MAX));
        }
    }
    gone
}

/// A transaction is known to have found a version.
fn note(facts: &mut Facts, transaction: u32, access: usize, version: u32, token: Token) {
    let access = &mut facts.accesses[transaction as usize][access];
    let Known::Length(length) = access.found else { return };
    let (key, written) = (access.key, access.written);
    access.found = Known::Value { last: token, length };
    let left = access.left.last().filter(|_| written).and_then(|left| facts.index.get(&(key, left)).copied());
    let found = &mut facts.versions[version as usize];
    let edge = |from, to, why| Edge { from, to, why, key };
    if let Some(writer) = found.writer {
        facts.edges.push(edge(writer, transaction, if written { Why::Ww } else { Why::Wr }));
    }
    facts.edges.extend(found.replaced_by.iter().map(|by| edge(transaction, *by, Why::Rw)));
    if written {
        let found_too = found.readers.iter().chain(&found.replaced_by);
        facts.edges.extend(found_too.map(|reader| edge(*reader, transaction, Why::Rw)));
        found.replaced_by.push(transaction);
    } else {
        found.readers.push(transaction);
    }
    if let Some(left) = left {
        facts.versions[left as usize].before = Some(version);
    }
}
