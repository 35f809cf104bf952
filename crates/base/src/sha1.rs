//! SHA-1, for DEBUG DIGEST, whose value must be the one that Redis gives. Not for anything that has to withstand an
//! attacker.

/// Bytes of a digest.
pub const SHA1_BYTES: usize = 20;
const BLOCK_BYTES: usize = 64;

/// The SHA-1 of the concatenated `parts`.
pub fn sha1(parts: &[&[u8]]) -> [u8; SHA1_BYTES] {
    let mut state = State([0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]);
    let mut block = [0; BLOCK_BYTES];
    let mut filled = 0;
    let mut total = 0u64;
    for part in parts {
        total += part.len() as u64;
        let mut rest = *part;
        while filled + rest.len() >= BLOCK_BYTES {
            let (head, tail) = rest.split_at(BLOCK_BYTES - filled);
            block[filled..].copy_from_slice(head);
            state.absorb(&block);
            (filled, rest) = (0, tail);
        }
        block[filled..filled + rest.len()].copy_from_slice(rest);
        filled += rest.len();
    }
    // The end: a one bit, zeros, and the length in bits as the last 8 bytes of a block.
    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    if filled + 1 > BLOCK_BYTES - 8 {
        state.absorb(&block);
        block.fill(0);
    }
    block[BLOCK_BYTES - 8..].copy_from_slice(&(total * 8).to_be_bytes());
    state.absorb(&block);
    state.bytes()
}

struct State([u32; 5]);

impl State {
    fn absorb(&mut self, block: &[u8; BLOCK_BYTES]) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..80 {
            words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = self.0;
        for (i, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match i / 20 {
                0 => (d ^ (b & (c ^ d)), 0x5A82_7999),
                1 => (b ^ c ^ d, 0x6ED9_EBA1),
                2 => ((b & c) | (d & (b | c)), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, part) in self.0.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }

    fn bytes(&self) -> [u8; SHA1_BYTES] {
        let mut bytes = [0; SHA1_BYTES];
        for (out, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(parts: &[&[u8]]) -> String {
        sha1(parts).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The examples of FIPS 180, and lengths around the ends of blocks (asked of sha1sum).
    #[test]
    fn known_digests() {
        assert_eq!(hex(&[]), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(&[b"abc"]), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(&[two_blocks]), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(hex(&[&[b'a'; 1_000_000]]), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        for (length, digest) in [
            (55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
            (56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
            (63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5"),
            (64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
            (65, "11655326c708d70319be2610e8a57d9a5b959d3b"),
        ] {
            assert_eq!(hex(&[&vec![b'a'; length]]), digest, "{length}");
        }
    }

    #[test]
    fn parts_are_one_text() {
        let text: Vec<u8> = (0..300u16).map(|i| (i % 251) as u8).collect();
        for cut in 0..text.len() {
            assert_eq!(sha1(&[&text[..cut], &text[cut..]]), sha1(&[&text]), "{cut}");
        }
    }
}
