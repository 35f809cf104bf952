//! Counters of a shard and the shape of its tables, as INFO and DEBUG HTSTATS show them.

/// What a shard has counted since it started or since CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys removed because their deadline had passed, on access or by the timer.
    pub expired: u64,
    /// Of these, the ones that an access found before the timer did.
    pub expired_on_access: u64,
    /// Fields of hashes removed because their deadline had passed.
    pub expired_fields: u64,
    /// Keys removed to stay below maxmemory.
    pub evicted: u64,
}

/// The shape of one database's table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TableStats {
    pub segments: usize,
    /// Cache lines of seven slots.
    pub buckets: usize,
    pub slots: usize,
    /// Keys.
    pub len: usize,
    /// Keys per slot, 0 to 1.
    pub load: f64,
    /// Bytes of the directory and the segments, entries not included.
    pub bytes: usize,
}
