//! Intsets: small sets of integers only.
//!
//! ```text
//!  width of an integer  4, lowest first: 2, 4 or 8
//!  integers             4, lowest first
//!  the integers, ascending, each lowest byte first
//! ```

use super::DecodeError;

const HEAD_BYTES: usize = 8;

/// Hands the integers to `each`, ascending.
pub fn read(bytes: &[u8], mut each: impl FnMut(i64) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let damaged = DecodeError::Intset;
    let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(damaged("too short"))?;
    let [a, b, c, d, e, f, g, h] = *head;
    let (width, count) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize);
    if ![2, 4, 8].contains(&width) {
        return Err(damaged("its integers have a width that there is not"));
    }
    if width.checked_mul(count) != Some(body.len()) {
        return Err(damaged("its length is not the one that it says"));
    }
    let mut last = None;
    for bytes in body.chunks_exact(width) {
        let value = match *bytes {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("of eight bytes")),
        };
        if last.is_some_and(|last| last >= value) {
            return Err(damaged("its integers do not ascend"));
        }
        last = Some(value);
        each(value)?;
    }
    Ok(())
}

/// Makes an intset; integers come in any order, none twice.
#[derive(Clone, Debug, Default)]
pub struct IntsetBuilder {
    values: Vec<i64>,
}

impl IntsetBuilder {
    pub fn push(&mut self, value: i64) {
        self.values.push(value);
    }

    /// The whole intset, as narrow as its integers allow.
    pub fn finish(mut self) -> Vec<u8> {
        self.values.sort_unstable();
        let fits = |low: i64, high: i64| self.values.iter().all(|value| (low..=high).contains(value));
        let width: usize = if fits(i64::from(i16::MIN), i64::from(i16::MAX)) {
            2
        } else if fits(i64::from(i32::MIN), i64::from(i32::MAX)) {
            4
        } else {
            8
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.values.len() * width);
        bytes.extend_from_slice(&(width as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.values.len() as u32).to_le_bytes());
        for value in &self.values {
            bytes.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(values: &[i64]) -> Vec<u8> {
        let mut builder = IntsetBuilder::default();
        values.iter().for_each(|value| builder.push(*value));
        builder.finish()
    }

    fn integers(bytes: &[u8]) -> Result<Vec<i64>, DecodeError> {
        let mut values = Vec::new();
        read(bytes, |value| {
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// The values of `SADD si 1 2` and `SADD s16 1 70000`, out of DUMP of redis-server 7.0.15.
    #[test]
    fn is_byte_for_byte_that_of_redis() {
        assert_eq!(build(&[2, 1]), b"\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00");
        assert_eq!(build(&[1, 70_000]), b"\x04\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00p\x11\x01\x00");
    }

    #[test]
    fn damage_is_refused() {
        for bytes in [
            &b""[..],
            b"\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00",
            b"\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00",
            b"\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00",
            b"\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x01\x00",
            b"\x08\x00\x00\x00\xff\xff\xff\xff",
        ] {
            assert!(integers(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(values in proptest::collection::btree_set(
            prop_oneof![any::<i64>(), -100i64..100, any::<i32>().prop_map(i64::from)], 0..50)) {
            let values: Vec<i64> = values.into_iter().collect();
            prop_assert_eq!(integers(&build(&values)), Ok(values));
        }

        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>) {
            let _ = integers(&bytes);
        }
    }
}
