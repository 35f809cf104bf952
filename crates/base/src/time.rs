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

    /// Seconds, rounded to the nearest. For times after 1970, as Redis tells them.
    #[inline]
    pub fn nearest_second(self) -> i64 {
        self.0 / 1000 + i64::from(self.0 % 1000 >= 500)
    }

    /// This point plus `ms`, staying at the ends of the range instead of wrapping.
    #[inline]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_second_of_the_last_moment() {
        assert_eq!(Millis(1499).nearest_second(), 1);
        assert_eq!(Millis(1500).nearest_second(), 2);
        assert_eq!(Millis(i64::MAX).nearest_second(), 9_223_372_036_854_776);
    }
}
