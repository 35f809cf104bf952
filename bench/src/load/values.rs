//! How long values are, and what is in them.
//!
//! Contents are cut out of a pool of printable random bytes, at a random place each, so that neighbouring values differ and
//! nothing compresses them to nothing; cutting costs a copy and no more.

use std::fmt;
use std::str::FromStr;

use crate::load::random::Random;

/// The longest value: what Redis takes by default.
pub const LENGTH_MAX: usize = 512 * 1024 * 1024;

/// The distribution of lengths, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    Fixed(usize),
    /// Evenly between two, both included.
    Range(usize, usize),
    /// Lengths with their weights, which are above 0.
    Weighted(Vec<(usize, u32)>),
}

impl Sizes {
    pub fn max(&self) -> usize {
        match self {
            Sizes::Fixed(size) => *size,
            Sizes::Range(_, max) => *max,
            Sizes::Weighted(sizes) => sizes.iter().map(|&(size, _)| size).max().unwrap_or(0),
        }
    }

    #[inline]
    pub fn draw(&self, random: &mut Random) -> usize {
        match self {
            Sizes::Fixed(size) => *size,
            Sizes::Range(min, max) => min + random.below((max - min) as u64 + 1) as usize,
            Sizes::Weighted(sizes) => {
                let total: u64 = sizes.iter().map(|&(_, weight)| u64::from(weight)).sum();
                let mut left = random.below(total);
                for &(size, weight) in sizes {
                    match left.checked_sub(u64::from(weight)) {
                        Some(rest) => left = rest,
                        None => return size,
                    }
                }
                0
            }
        }
    }
}

/// "64", "1k", "2m": bytes.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix(['k', 'm']) {
        Some(digits) if lower.ends_with('k') => (digits, 1024),
        Some(digits) => (digits, 1024 * 1024),
        None => (lower.as_str(), 1),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|&size| size <= LENGTH_MAX).ok_or_else(|| format!("{text:?} is no length up to 512m"))
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        if let Some((min, max)) = text.split_once("..") {
            let (min, max) = (parse_size(min)?, parse_size(max)?);
            return if min <= max {
                Ok(Sizes::Range(min, max))
            } else {
                Err(format!("{text:?} ends before it begins"))
            };
        }
        if !text.contains(':') {
            return Ok(Sizes::Fixed(parse_size(text)?));
        }
        let pair = |pair: &str| {
            let (size, weight) = pair.split_once(':').ok_or_else(|| format!("{pair:?} is no LENGTH:WEIGHT"))?;
            let weight = weight.parse().ok().filter(|&weight| weight > 0);
            Ok((parse_size(size)?, weight.ok_or_else(|| format!("{pair:?}: the weight is no number above 0"))?))
        };
        text.split(',').map(pair).collect::<Result<_, String>>().map(Sizes::Weighted)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::Fixed(size) => write!(f, "{size}"),
            Sizes::Range(min, max) => write!(f, "{min}..{max}"),
            Sizes::Weighted(sizes) => {
                for (i, (size, weight)) in sizes.iter().enumerate() {
                    write!(f, "{}{size}:{weight}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// What values are cut out of.
#[derive(Clone, Debug)]
pub struct Contents {
    pool: Vec<u8>,
    /// Places where a value may begin.
    starts: u64,
}

impl Contents {
    /// Enough places for values to differ.
    const STARTS: usize = 4096;

    /// For values of at most `length_max` bytes.
    pub fn new(length_max: usize, random: &mut Random) -> Contents {
        const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
        let mut pool = vec![0; length_max + Contents::STARTS];
        for chunk in pool.chunks_mut(8) {
            let word = random.next().to_le_bytes();
            for (byte, bits) in chunk.iter_mut().zip(word) {
                *byte = LETTERS[usize::from(bits & 63)];
            }
        }
        Contents { pool, starts: Contents::STARTS as u64 }
    }

    /// A value of `length` bytes.
    ///
    /// # Panics
    /// The length is above the pool's.
    #[inline]
    pub fn cut(&self, length: usize, random: &mut Random) -> &[u8] {
        let start = random.below(self.starts) as usize;
        &self.pool[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_their_weights() {
        let mut random = Random::new(3);
        let sizes: Sizes = "64:90,1k:9,65536:1".parse().unwrap();
        assert_eq!(sizes, Sizes::Weighted(vec![(64, 90), (1024, 9), (65536, 1)]));
        assert_eq!(sizes.max(), 65536);
        let draws: Vec<usize> = (0..100_000).map(|_| sizes.draw(&mut random)).collect();
        for (size, share) in [(64, 0.9), (1024, 0.09), (65536, 0.01)] {
            let measured = draws.iter().filter(|&&draw| draw == size).count() as f64 / 1e5;
            assert!((measured - share).abs() < 0.006, "{size}: {measured}");
        }
        let range: Sizes = "3..6".parse().unwrap();
        let mut counts = [0; 7];
        for _ in 0..40_000 {
            counts[range.draw(&mut random)] += 1;
        }
        assert_eq!(counts[..3], [0; 3]);
        assert!(counts[3..].iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn sizes_are_read_and_printed() {
        for text in ["0", "64", "1..1024", "64:90,1024:9"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        assert_eq!("1k..2M".parse(), Ok(Sizes::Range(1024, 2 * 1024 * 1024)));
        for text in ["", "x", "-1", "5..4", "64:0", "64:", "64:1,", "513m", "18446744073709551615m", "1..2..3"] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }

    #[test]
    fn contents_are_printable_and_differ() {
        let mut random = Random::new(9);
        let contents = Contents::new(100, &mut random);
        let (a, b) = (contents.cut(100, &mut random).to_vec(), contents.cut(100, &mut random).to_vec());
        assert!(a.iter().chain(&b).all(u8::is_ascii_graphic));
        assert_ne!(a, b);
        assert!(contents.cut(0, &mut random).is_empty());
    }
}
