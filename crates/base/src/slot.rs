//! Which of the 16,384 hash slots a key belongs to, and which shard owns a slot.
//!
//! The slot is CRC16 (XMODEM: polynomial 0x1021, initial value 0, not reflected) of the key's hash tag, or of the whole
//! key, modulo 16,384: the same as Redis Cluster's, so that clients may compute it too.

/// Number of hash slots.
pub const SLOT_COUNT: u16 = 16384;

/// One of the hash slots, below [`SLOT_COUNT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// The part of the keyspace that one core owns, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A database as SELECT counts them, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbIndex(pub u16);

const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[k][b]` is the CRC of byte `b` followed by `k` zero bytes, so that eight bytes can be looked up independently.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ POLYNOMIAL } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[zeros - 1][byte];
            tables[zeros][byte] = (shorter << 8) ^ tables[0][(shorter >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let (eights, rest) = bytes.as_chunks::<8>();
    for b in eights {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(b[0] ^ high)]
            ^ TABLES[6][usize::from(b[1] ^ low)]
            ^ TABLES[5][usize::from(b[2])]
            ^ TABLES[4][usize::from(b[3])]
            ^ TABLES[3][usize::from(b[4])]
            ^ TABLES[2][usize::from(b[5])]
            ^ TABLES[1][usize::from(b[6])]
            ^ TABLES[0][usize::from(b[7])];
    }
    for b in rest {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ b)];
    }
    crc
}

/// Position of the first `byte`, eight bytes a step: keys are short, and a call into a general search costs more than it.
#[inline]
fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let wanted = ONES * u64::from(byte);
    let (eights, rest) = bytes.as_chunks::<8>();
    for (i, b) in eights.iter().enumerate() {
        let difference = u64::from_le_bytes(*b) ^ wanted;
        // The lowest bit set marks the first zero byte of `difference` exactly; only bits above it may mislead.
        let zero = difference.wrapping_sub(ONES) & !difference & (ONES << 7);
        if zero != 0 {
            return Some(i * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|b| *b == byte)?;
    Some(eights.len() * 8 + at)
}

/// The part of the key that decides its slot: what is between the first `{` and the next `}` when that is not empty,
/// else the whole key.
#[inline]
fn hashed_part(key: &[u8]) -> &[u8] {
    if let Some(open) = find(key, b'{') {
        let tag = &key[open + 1..];
        if let Some(length) = find(tag, b'}')
            && length > 0
        {
            return &tag[..length];
        }
    }
    key
}

/// The slot of `key`, by its hash tag where it has one.
#[inline]
pub fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(hashed_part(key)) % SLOT_COUNT)
}

/// The shard that owns `slot` of `shards` (at least 1): contiguous ranges of nearly equal length.
#[inline]
pub fn shard_of(slot: Slot, shards: u16) -> ShardId {
    ShardId((u32::from(slot.0) * u32::from(shards) / u32::from(SLOT_COUNT)) as u16)
}

/// The slots of a shard of `shards`: from, to (inclusive). There are at most as many shards as slots.
pub fn slots_of(shard: ShardId, shards: u16) -> (Slot, Slot) {
    let first = |shard: u32| (shard * u32::from(SLOT_COUNT)).div_ceil(u32::from(shards)) as u16;
    let number = u32::from(shard.0);
    (Slot(first(number)), Slot(first(number + 1) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As redis-server 7.0.15's CLUSTER KEYSLOT answers.
    #[test]
    fn slots_are_those_of_redis_cluster() {
        for (key, slot) in [
            ("foo", 12182),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("", 0),
            ("key:000000001234", 16382),
            ("{", 4092),
            ("}{a}", 15495),
            ("abcdefghijklmnopqrstuvwxyz", 9132),
            ("a{b", 13340),
            ("12345678{tag}x", 8338),
            ("aaaaaaaaaaaaaaa}{t}", 15891),
        ] {
            assert_eq!(slot_of(key.as_bytes()), Slot(slot), "{key:?}");
        }
    }

    #[test]
    fn shards_own_contiguous_ranges_of_nearly_equal_length() {
        for shards in [1, 2, 3, 5, 7, 64, 1000] {
            let mut owned = vec![0u32; usize::from(shards)];
            let mut last = ShardId(0);
            for slot in 0..SLOT_COUNT {
                let shard = shard_of(Slot(slot), shards);
                assert!(shard >= last && shard.0 < shards);
                owned[usize::from(shard.0)] += 1;
                last = shard;
            }
            for shard in (0..shards).map(ShardId) {
                let (first, last) = slots_of(shard, shards);
                assert_eq!(u32::from(last.0 - first.0) + 1, owned[usize::from(shard.0)]);
                assert_eq!((shard_of(first, shards), shard_of(last, shards)), (shard, shard));
            }
            let (least, most) = (owned.iter().min(), owned.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{shards}: {owned:?}");
        }
    }

    fn crc16_bit_by_bit(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(
                crc ^ u16::from(*byte) << 8,
                |crc, _| {
                    if crc & 0x8000 != 0 { crc << 1 ^ POLYNOMIAL } else { crc << 1 }
                },
            )
        })
    }

    proptest! {
        #[test]
        fn eight_bytes_a_step_is_bit_by_bit(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(crc16(&bytes), crc16_bit_by_bit(&bytes));
        }

        #[test]
        fn find_finds_the_first(bytes in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'z'), Just(b'|'), any::<u8>()], 0..40)) {
            prop_assert_eq!(find(&bytes, b'{'), bytes.iter().position(|b| *b == b'{'));
        }
    }
}
