//! Writing an RDB file. What is written gathers in [`Writer::pending`]; the caller takes it from there as often as it likes, so
//! that a file of any size takes little memory.
//!
//! By default it is a file of redis-server 7.0. Where a value needs more (fields with deadlines), the version to write must
//! allow it: the head of the file says one version for all.

use pinyon_base::{Millis, write_i64};

use super::lead;
use crate::Item;
use crate::codec::{Crc64, Encoder, Part, Settings, Shape, write_item, write_length, write_text};

/// What stands before a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryHead<'a> {
    pub key: &'a [u8],
    pub expires: Option<Millis>,
    /// Seconds since the last use, where uses are kept as times.
    pub idle_seconds: Option<u64>,
    /// The counter of uses, where they are counted.
    pub frequency: Option<u8>,
}

/// A value cannot be written in this version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value needs RDB version {needed}, this file has version {written}")]
pub struct TooNew {
    pub needed: u16,
    pub written: u16,
}

/// Writes one file.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    pending: Vec<u8>,
    crc: Crc64,
    value: Option<Encoder>,
}

impl Writer {
    /// Begins a file. Its version must be one of Redis's.
    pub fn new(settings: Settings) -> Writer {
        let pending = format!("REDIS{:04}", settings.version).into_bytes();
        Writer { settings, pending, crc: Crc64::default(), value: None }
    }

    /// What has been written and not been taken yet.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// The caller has taken all that was pending.
    pub fn clear(&mut self) {
        self.crc.update(&self.pending);
        self.pending.clear();
    }

    /// Something about the file: `redis-ver`, `ctime`. Readers ignore what they do not know.
    pub fn aux(&mut self, name: &str, value: &[u8]) {
        self.pending.push(lead::AUX);
        write_text(name.as_bytes(), false, &mut self.pending);
        write_item(Item::of(value), false, &mut self.pending);
    }

    /// An aux field whose value is a number.
    pub fn aux_number(&mut self, name: &str, value: i64) {
        self.aux(name, write_i64(&mut [0; 20], value));
    }

    /// The source of a library of functions. Libraries come before the keys.
    pub fn library(&mut self, source: &[u8]) {
        self.pending.push(lead::LIBRARY);
        write_text(source, self.settings.compress, &mut self.pending);
    }

    /// The keys that follow are in this database, which has so many keys, and so many with a deadline.
    pub fn database(&mut self, number: u16, keys: u64, volatile: u64) {
        self.pending.push(lead::DATABASE);
        write_length(u64::from(number), &mut self.pending);
        self.pending.push(lead::SIZES);
        write_length(keys, &mut self.pending);
        write_length(volatile, &mut self.pending);
    }

    /// Begins a key; the parts of its value follow.
    pub fn entry(&mut self, head: &EntryHead<'_>, shape: Shape) -> Result<(), TooNew> {
        let encoder = Encoder::new(shape, self.settings);
        if encoder.version() > self.settings.version {
            return Err(TooNew { needed: encoder.version(), written: self.settings.version });
        }
        let out = &mut self.pending;
        if let Some(at) = head.expires {
            out.push(lead::DEADLINE_MS);
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        if let Some(idle) = head.idle_seconds {
            out.push(lead::IDLE);
            write_length(idle, out);
        }
        if let Some(frequency) = head.frequency {
            out.extend_from_slice(&[lead::FREQUENCY, frequency]);
        }
        out.push(encoder.number());
        write_item(Item::of(head.key), self.settings.compress, out);
        self.value = Some(encoder);
        Ok(())
    }

    /// The next part of the key's value. It must fit the shape that was said.
    pub fn part(&mut self, part: Part<'_>) {
        self.value.as_mut().expect("a part follows its key").put(part, &mut self.pending);
    }

    /// Ends the file. What is pending now is the last of it.
    pub fn finish(&mut self) {
        self.pending.push(lead::END);
        let mut crc = self.crc;
        crc.update(&self.pending);
        self.pending.extend_from_slice(&crc.value().to_le_bytes());
    }
}
