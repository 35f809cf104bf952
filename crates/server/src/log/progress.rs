//! How far loading is, for INFO and the log: counters that all cores add to, once per slice of work.
//!
//! Bytes are those of the files, each counted once. A file may be read by several cores; its share is theirs together.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// See the file's head.
#[derive(Default)]
pub struct Progress {
    /// Bytes of all files, and of those that are read as a whole: the snapshot's, or what is imported.
    bytes: AtomicU64,
    whole_bytes: AtomicU64,
    /// Bytes to be read of the latter, over all cores, and those that have been.
    to_read: AtomicU64,
    read: AtomicU64,
    /// Records of the logs to be walked, over all cores, and those that have been.
    records: AtomicU64,
    walked: AtomicU64,
    /// Unix ms; 0: nothing is being loaded.
    since_ms: AtomicI64,
    /// Keys of the snapshot, and keys left out because they had expired.
    keys: AtomicU64,
    expired: AtomicU64,
}

impl Progress {
    /// Begins, or begins with the next kind of files.
    pub fn begin(&self, bytes: u64, whole_bytes: u64, now_ms: i64) {
        for (counter, value) in [(&self.bytes, bytes), (&self.whole_bytes, whole_bytes)] {
            counter.store(value, Ordering::Relaxed);
        }
        for counter in [&self.to_read, &self.read, &self.records, &self.walked] {
            counter.store(0, Ordering::Relaxed);
        }
        // The start of an import is that of what follows, too.
        let _ = self.since_ms.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn expect_read(&self, bytes: u64) {
        self.to_read.store(bytes, Ordering::Relaxed);
    }

    pub fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
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

    pub fn loaded_bytes(&self) -> u64 {
        let whole = self.whole_bytes.load(Ordering::Relaxed);
        let logs = self.bytes().saturating_sub(whole);
        (whole as f64 * share(&self.read, &self.to_read) + logs as f64 * share(&self.walked, &self.records)) as u64
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        let bytes = self.bytes();
        if bytes == 0 { 0.0 } else { self.loaded_bytes() as f64 / bytes as f64 }
    }

    pub fn note_keys(&self, keys: u64) {
        self.keys.store(keys, Ordering::Relaxed);
    }

    pub fn note_expired(&self, expired: u64) {
        self.expired.store(expired, Ordering::Relaxed);
    }

    /// Keys that the last load took from a snapshot, and those that it left out because they had expired.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys.load(Ordering::Relaxed), self.expired.load(Ordering::Relaxed))
    }
}

fn share(done: &AtomicU64, all: &AtomicU64) -> f64 {
    let all = all.load(Ordering::Relaxed);
    if all == 0 { 0.0 } else { (done.load(Ordering::Relaxed) as f64 / all as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_all_files() {
        let progress = Progress::default();
        assert_eq!((progress.since_ms(), progress.share()), (None, 0.0));
        // 600 bytes of a snapshot, which two cores read, and 400 of logs, with 10 records for all cores.
        progress.begin(1000, 600, 77);
        progress.expect_read(1200);
        progress.read(300);
        assert_eq!((progress.since_ms(), progress.loaded_bytes(), progress.share()), (Some(77), 150, 0.15));
        progress.read(900);
        progress.expect(10);
        progress.walked(5);
        assert_eq!((progress.loaded_bytes(), progress.records()), (800, 5));
        progress.walked(5);
        assert_eq!(progress.share(), 1.0);
        // What follows an import begins anew, but for its start.
        progress.begin(50, 50, 99);
        assert_eq!((progress.since_ms(), progress.bytes(), progress.share()), (Some(77), 50, 0.0));
        progress.end();
        assert_eq!(progress.since_ms(), None);
    }
}
