//! What INFO and LASTSAVE tell of snapshots: counters that all cores may read.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// See the file's head.
pub(crate) struct SaveStatus {
    /// Unix ms since when one is being made; 0: none is.
    since_ms: AtomicI64,
    /// It is what BGREWRITEAOF asked for.
    is_rewrite: AtomicBool,
    /// Another one follows it.
    scheduled: AtomicBool,
    rewrite_scheduled: AtomicBool,
    /// Unix ms of the last cut that was saved, or of the start.
    last_ms: AtomicI64,
    last_failed: AtomicBool,
    /// How long the last one took, in seconds; -1: there was none.
    last_seconds: AtomicI64,
    saves: AtomicU64,
    /// Begun because BGREWRITEAOF asked, or the logs had grown.
    rewrites: AtomicU64,
    /// Entries that have been saved of the one under way, and that there are.
    entries: AtomicU64,
    entries_all: AtomicU64,
    /// Bytes of the last one's files, and of the logs since then that were there at the start.
    bytes: AtomicU64,
    logs_before: AtomicU64,
}

impl SaveStatus {
    pub fn new(now_ms: i64) -> SaveStatus {
        SaveStatus {
            since_ms: AtomicI64::new(0),
            is_rewrite: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            rewrite_scheduled: AtomicBool::new(false),
            last_ms: AtomicI64::new(now_ms),
            last_failed: AtomicBool::new(false),
            last_seconds: AtomicI64::new(-1),
            saves: AtomicU64::new(0),
            rewrites: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            entries_all: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            logs_before: AtomicU64::new(0),
        }
    }

    /// What was found at the start: bytes of the snapshot, and of the logs behind it.
    pub fn found(&self, bytes: u64, logs: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.logs_before.store(logs, Ordering::Relaxed);
    }

    pub fn begin(&self, now_ms: i64, is_rewrite: bool) {
        self.entries.store(0, Ordering::Relaxed);
        self.entries_all.store(0, Ordering::Relaxed);
        self.is_rewrite.store(is_rewrite, Ordering::Relaxed);
        self.rewrites.fetch_add(u64::from(is_rewrite), Ordering::Relaxed);
        self.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// `bytes`: of its files; None: it has failed.
    pub fn end(&self, now_ms: i64, bytes: Option<u64>) {
        let since = self.since_ms.swap(0, Ordering::Relaxed);
        self.last_seconds.store((now_ms - since).max(0) / 1000, Ordering::Relaxed);
        self.last_failed.store(bytes.is_none(), Ordering::Relaxed);
        if let Some(bytes) = bytes {
            self.last_ms.store(since, Ordering::Relaxed);
            self.saves.fetch_add(1, Ordering::Relaxed);
            self.found(bytes, 0);
        }
    }

    /// The one under way has come to nothing because nobody wanted it any more.
    pub fn give_up(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    pub fn rewrites(&self) -> u64 {
        self.rewrites.load(Ordering::Relaxed)
    }

    pub fn schedule(&self, save: bool, rewrite: bool) {
        self.scheduled.store(save, Ordering::Relaxed);
        self.rewrite_scheduled.store(rewrite, Ordering::Relaxed);
    }

    /// A shard has so many entries to save.
    pub fn expect(&self, entries: u64) {
        self.entries_all.fetch_add(entries, Ordering::Relaxed);
    }

    pub fn saved(&self, entries: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    /// Unix ms since when one is being made, and whether BGREWRITEAOF asked for it.
    pub fn since(&self) -> Option<(i64, bool)> {
        let since = self.since_ms.load(Ordering::Relaxed);
        (since != 0).then(|| (since, self.is_rewrite.load(Ordering::Relaxed)))
    }

    pub fn is_rewrite_scheduled(&self) -> bool {
        self.rewrite_scheduled.load(Ordering::Relaxed)
    }

    pub fn last_ms(&self) -> i64 {
        self.last_ms.load(Ordering::Relaxed)
    }

    pub fn has_failed(&self) -> bool {
        self.last_failed.load(Ordering::Relaxed)
    }

    pub fn last_seconds(&self) -> i64 {
        self.last_seconds.load(Ordering::Relaxed)
    }

    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn logs_before(&self) -> u64 {
        self.logs_before.load(Ordering::Relaxed)
    }

    /// Entries saved, and all, of the one under way.
    pub fn progress(&self) -> (u64, u64) {
        (self.entries.load(Ordering::Relaxed), self.entries_all.load(Ordering::Relaxed))
    }
}
