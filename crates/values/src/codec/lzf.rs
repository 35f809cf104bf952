//! LZF, the compression of strings in the RDB format.
//!
//! The compressed form is a row of pieces, each led by a control byte:
//!
//! ```text
//!  000LLLLL                    L+1 bytes follow as they are (1..=32)
//!  LLLooooo oooooooo           L+2 bytes (3..=8) that stood o+1 bytes before; L is 1..=6
//!  111ooooo LLLLLLLL oooooooo  L+9 bytes (9..=264), the same
//! ```
//!
//! A copy may reach into what it makes itself: a run is a copy from one byte before. How a compressor finds what to copy is
//! its own affair: ours looks only at the last place where the next three bytes stood.

/// Longest row of bytes that one piece holds as they are.
const LITERAL_MAX: usize = 32;
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
/// One piece of three bytes makes 264 at most.
const GROWTH_MAX: usize = COPY_MAX / 3;

/// Shorter inputs are searched by a small table, which costs less to clear than it may miss.
const SHORT_LEN_MAX: usize = 1 << 10;
const PLACES: usize = 1 << 12;
const PLACES_OF_SHORT: usize = 1 << 9;

/// Compresses `input` behind what `out` holds. False, and `out` as it was: that would not make it shorter by at least
/// `gain` bytes.
pub fn compress(input: &[u8], gain: usize, out: &mut Vec<u8>) -> bool {
    if input.len() <= SHORT_LEN_MAX {
        compress_by(&mut [0; PLACES_OF_SHORT], input, gain, out)
    } else {
        compress_by(&mut [0; PLACES], input, gain, out)
    }
}

/// `last_seen`: where three bytes of each hash stood last, plus 1; 0: they have not been seen. A power of two.
fn compress_by(last_seen: &mut [u32], input: &[u8], gain: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let Some(room) = input.len().checked_sub(gain) else {
        return false;
    };
    let shift = u32::BITS - last_seen.len().ilog2();
    let (mut at, mut literal_from) = (0, 0);
    while at + COPY_MIN <= input.len() && at < u32::MAX as usize {
        let slot = &mut last_seen[(hash(&input[at..]) >> shift) as usize];
        let seen = *slot as usize;
        *slot = at as u32 + 1;
        let len = match seen.checked_sub(1) {
            Some(from) if at - from <= DISTANCE_MAX => same_len(input, from, at),
            _ => 0,
        };
        if len < COPY_MIN {
            at += 1;
            continue;
        }
        push_literals(&input[literal_from..at], out);
        push_copy(at + 1 - seen, len, out);
        at += len;
        literal_from = at;
        if out.len() - start > room {
            break;
        }
    }
    push_literals(&input[literal_from..], out);
    let shorter = out.len() - start <= room;
    if !shorter {
        out.truncate(start);
    }
    shorter
}

/// Its highest bits are the good ones.
fn hash(input: &[u8]) -> u32 {
    u32::from_le_bytes([input[0], input[1], input[2], 0]).wrapping_mul(0x9E37_79B1)
}

/// How many bytes from `at` on are the same as from `from` on, as far as one piece reaches.
fn same_len(input: &[u8], from: usize, at: usize) -> usize {
    let end = input.len().min(at + COPY_MAX);
    input[at..end].iter().zip(&input[from..]).take_while(|(a, b)| a == b).count()
}

fn push_literals(literals: &[u8], out: &mut Vec<u8>) {
    for row in literals.chunks(LITERAL_MAX) {
        out.push(row.len() as u8 - 1);
        out.extend_from_slice(row);
    }
}

fn push_copy(distance: usize, len: usize, out: &mut Vec<u8>) {
    let (offset, len) = (distance - 1, len - 2);
    let high = (offset >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | high);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (len - 7) as u8]);
    }
    out.push(offset as u8);
}

/// Replaces what `out` holds by the `len` bytes that `input` was made of. None: it was not made of that many bytes, or is
/// damaged; `out` then holds anything. Never takes more memory than 88 times the input.
pub fn decompress(input: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    if len > input.len().saturating_mul(GROWTH_MAX) {
        return None;
    }
    out.reserve(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        let control = usize::from(control);
        if control < LITERAL_MAX {
            let (row, after) = rest.split_at_checked(control + 1)?;
            out.extend_from_slice(row);
            rest = after;
        } else {
            let mut copied = (control >> 5) + 2;
            if copied == 9 {
                let (&more, after) = rest.split_first()?;
                copied += usize::from(more);
                rest = after;
            }
            let (&low, after) = rest.split_first()?;
            rest = after;
            let distance = ((control & 0x1F) << 8 | usize::from(low)) + 1;
            copy_back(out, distance, copied)?;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(())
}

/// Appends `len` bytes of what stands `distance` bytes before the end, round and round where that is less.
fn copy_back(out: &mut Vec<u8>, distance: usize, len: usize) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    let mut left = len;
    while left > 0 {
        let step = left.min(out.len() - from);
        out.extend_from_within(from..from + step);
        left -= step;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{compress, decompress};
    use proptest::prelude::*;

    fn there_and_back(input: &[u8]) -> Option<usize> {
        let mut packed = b"before".to_vec();
        if !compress(input, 0, &mut packed) {
            assert_eq!(packed, b"before");
            return None;
        }
        let mut out = b"something".to_vec();
        assert_eq!(decompress(&packed[6..], input.len(), &mut out), Some(()));
        assert_eq!(out, input);
        Some(packed.len() - 6)
    }

    /// As redis-server 7.0.15 dumps fifty times `a`, and a list of twenty thousand times `x`.
    #[test]
    fn reads_what_redis_wrote() {
        let mut out = Vec::new();
        assert_eq!(decompress(b"\x01aa\xe0\x25\x00\x01aa", 50, &mut out), Some(()));
        assert_eq!(out, [b'a'; 50]);
        for wrong in [0, 49, 51, usize::MAX] {
            assert_eq!(decompress(b"\x01aa\xe0\x25\x00\x01aa", wrong, &mut out), None);
        }
    }

    #[test]
    fn refuses_what_reaches_too_far() {
        let mut out = Vec::new();
        for damaged in [&b"\x01a"[..], b"\x20\x00", b"\xe0", b"\xe0\x00", b"\x00a\x20\x01"] {
            assert_eq!(decompress(damaged, 3, &mut out), None, "{damaged:?}");
        }
    }

    #[test]
    fn long_runs_and_rows() {
        assert!(there_and_back(&[b'x'; 100_000]).is_some_and(|len| len < 1200));
        let mixed: Vec<u8> = (0..50_000u32).flat_map(|i| [(i % 7) as u8, (i / 300) as u8]).collect();
        assert!(there_and_back(&mixed).is_some_and(|len| len < mixed.len() / 3));
        let noise: Vec<u8> = (0..9000u32).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 13) as u8).collect();
        there_and_back(&noise);
        assert!(!compress(b"abc", 4, &mut Vec::new()), "shorter than what is to be gained");
    }

    proptest! {
        #[test]
        fn round_trip(input in proptest::collection::vec(0u8..4, 0..600)) {
            there_and_back(&input);
        }

        #[test]
        fn any_bytes_are_no_panic(input: Vec<u8>, len in 0usize..3000) {
            decompress(&input, len, &mut Vec::new());
        }
    }
}
