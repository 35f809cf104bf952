//! Entries of a snapshot made of values that are in no keyspace: those of an RDB file.
//!
//! The layout is that of [`super::snapshot`].

use pinyon_base::{DbIndex, Millis};
use pinyon_values::codec::{Packing, Value};

use super::access::{with_frequency, with_idle_seconds};
use super::snapshot::SETTINGS;
use crate::record::write;

/// A key without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignEntry {
    pub db: DbIndex,
    pub key: Vec<u8>,
    pub deadline: Option<Millis>,
    /// Since its last use, or how often it is used, if that is known.
    pub idle_seconds: Option<u64>,
    pub frequency: Option<u8>,
}

/// Appends the entry as a snapshot has it that was made at `now`.
pub fn write_entry(entry: &ForeignEntry, value: &Value, now: Millis, out: &mut Vec<u8>) {
    write::head(0, entry.db, out);
    write::bytes(&entry.key, out);
    write::deadline(entry.deadline, out);
    let access = match entry.frequency {
        Some(frequency) => with_frequency(frequency, now),
        None => with_idle_seconds(entry.idle_seconds.unwrap_or(0), now),
    };
    out.extend_from_slice(&access.to_bytes());
    let mut encoded = Vec::new();
    let encoder = value.encode(&Packing::default(), SETTINGS, &mut encoded);
    out.push(encoder.number());
    out.extend_from_slice(&encoded);
}
