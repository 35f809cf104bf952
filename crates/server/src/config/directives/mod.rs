//! All directives: one const row each, in sections by subject.
//!
//! The order here is the order of CONFIG GET, of `--help` and of `config/pinyon.conf`.

mod clients;
mod cluster;
mod collections;
mod general;
mod memory;
mod network;
mod observe;
mod persistence;
mod replication;
mod security;
mod tls;

use super::directive::{Directive, Lacking};

/// Directives of one subject.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    /// A sentence or two for the head of the section in `pinyon.conf`.
    pub intro: &'static str,
    pub rows: &'static [Directive],
}

pub const SECTIONS: &[Section] = &[
    network::SECTION,
    general::SECTION,
    security::SECTION,
    memory::SECTION,
    clients::SECTION,
    observe::SECTION,
    persistence::SECTION,
    replication::SECTION,
    cluster::SECTION,
    tls::SECTION,
    collections::SECTION,
];

/// The greatest values of Redis's integer types, which its error texts name.
const INT: i128 = i32::MAX as i128;
const UINT: i128 = u32::MAX as i128;
const LONG: i128 = i64::MAX as i128;
const ULONG: i128 = u64::MAX as i128;

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    SECTIONS.iter().flat_map(|section| section.rows)
}

/// The row of this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    all().find(|row| row.names().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Names that redis.conf once had and that Redis 7 reads over.
pub const FORGOTTEN: &[(&str, Lacking)] = &[
    ("list-max-ziplist-entries", Lacking::Collections),
    ("list-max-ziplist-value", Lacking::Collections),
    ("lua-replicate-commands", Lacking::Scripts),
];

/// The known name that is most like an unknown one, if one is close enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let shown = all().filter(|row| !row.hidden).flat_map(Directive::names);
    let (distance, nearest) = shown.map(|known| (edit_distance(&name, known), known)).min()?;
    (distance <= 1 + name.len() / 4).then_some(nearest)
}

/// Letters to insert, delete or replace to make one of the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
