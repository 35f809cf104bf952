//! How far loading is, for INFO and the log: counters that all cores add to, once per slice of records.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// See the file's head.
#[derive(Default)]
pub struct Progress {
    /// Bytes of the files.
    bytes: AtomicU64,
    /// Records to be walked, over all cores, and those that have been.
    records: AtomicU64,
    walked: AtomicU64,
    /// Unix ms; 0: nothing is being loaded.
    since_ms: AtomicI64,
}

impl Progress {
    pub fn begin(&self, bytes: u64, now_ms: i64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How many records are to be walked.
    pub fn expect(&self, records: u64) {
        self.records.store(records, Ordering::Relaxed);
    }

    pub fn walked(&self, records: u64) {
        self.walked.fetch_add(records, Ordering::Relaxed);
    }

    /// Unix ms since when data are being loaded, while they are.
    pub fn since_ms(&self) -> Option<i64> {
        Some(self.since_ms.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    pub fn end(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    pub fn records(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        let records = self.records.load(Ordering::Relaxed);
        if records == 0 { 0.0 } else { self.records() as f64 / records as f64 }
    }
}
