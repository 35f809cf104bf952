//! Points in time as the engine knows them: handed in as values, never read from a clock here.

/// Unix time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// Whole unix seconds, rounded towards minus infinity.
    #[inline]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This point plus `ms`, staying at the ends of the range instead of wrapping.
    #[inline]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}
