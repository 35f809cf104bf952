//! The CRC-64 that ends DUMP payloads and RDB files: Jones' polynomial, reflected, starting at 0.

use crc::{CRC_64_REDIS, Crc, Table};

/// Sixteen bytes a step.
static TABLE: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc64(u64);

impl Crc64 {
    /// The checksum of all these bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        TABLE.checksum(bytes)
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        // The register is reflected already, the starting value is reflected on its way in.
        let mut digest = TABLE.digest_with_initial(self.0.reverse_bits());
        digest.update(bytes);
        self.0 = digest.finalize();
    }

    /// The checksum of all bytes so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc64;

    /// The value that the catalogue of checksums gives for this text, and the footer of a payload of redis-server 7.0.15.
    #[test]
    fn is_that_of_redis() {
        assert_eq!(Crc64::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(Crc64::of(b"\x00\x05hello\n\x00").to_le_bytes(), *b"cr\xdfve4 \n");
    }

    #[test]
    fn pieces_give_the_same() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
        for step in [1, 3, 16, 17, 999] {
            let mut crc = Crc64::default();
            bytes.chunks(step).for_each(|piece| crc.update(piece));
            assert_eq!(crc.value(), Crc64::of(&bytes), "{step}");
        }
    }
}
