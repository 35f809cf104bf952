//! IDs of stream entries.

/// Milliseconds, and a number that tells entries of one millisecond apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The next higher ID; `None` after the last.
    pub fn next(self) -> Option<StreamId> {
        match self {
            StreamId { ms: u64::MAX, seq: u64::MAX } => None,
            StreamId { ms, seq: u64::MAX } => Some(StreamId { ms: ms + 1, seq: 0 }),
            StreamId { ms, seq } => Some(StreamId { ms, seq: seq + 1 }),
        }
    }

    /// The next lower ID; `None` before the first.
    pub fn previous(self) -> Option<StreamId> {
        match self {
            StreamId { ms: 0, seq: 0 } => None,
            StreamId { ms, seq: 0 } => Some(StreamId { ms: ms - 1, seq: u64::MAX }),
            StreamId { ms, seq } => Some(StreamId { ms, seq: seq - 1 }),
        }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let id = |ms, seq| StreamId { ms, seq };
        for (low, high) in [(id(0, 0), id(0, 1)), (id(4, u64::MAX), id(5, 0)), (id(7, 8), id(7, 9))] {
            assert_eq!((low.next(), high.previous()), (Some(high), Some(low)));
        }
        assert_eq!((StreamId::MIN.previous(), StreamId::MAX.next()), (None, None));
        assert_eq!(id(12, 3).to_string(), "12-3");
    }
}
