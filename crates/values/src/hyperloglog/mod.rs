//! HyperLogLogs in the bytes of a string, exactly as Redis has them: PFADD leaves the bytes that Redis would leave, and PFCOUNT
//! finds its number.
//!
//! ```text
//!  "HYLL" │ encoding, 1 byte │ 3 zeros │ cached count, 8 bytes; highest bit: out of date │ registers
//!
//!  dense   (0)  16,384 registers of 6 bits, lowest bits first: 12,288 bytes
//!  sparse  (1)  00llllll             that many + 1 registers of 0
//!               01llllll llllllll    the same with a longer number, high bits first
//!               1vvvvvll             l + 1 registers of value v + 1
//! ```
//!
//! An element's hash (MurmurHash64A) chooses a register by its low 14 bits; the register keeps the highest position of the lowest
//! set bit in the others. The count is Ertl's estimate from how many registers have each value.

mod murmur;
mod self_test;
mod sparse;

pub use self_test::self_test;

/// Registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << REGISTER_BITS;
const REGISTER_BITS: u32 = 14;
/// Bits of the hash that a register looks at: its value is at most one more.
const VALUE_BITS: usize = 64 - REGISTER_BITS as usize;
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const HASH_SEED: u64 = 0xadc8_3b19;

/// Why bytes are no HyperLogLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The string does not look like one.
    NotOne,
    /// It looks like one, but its registers are not encoded as they should be.
    Corrupt,
}

/// An empty HyperLogLog.
pub fn new() -> Vec<u8> {
    let mut bytes = b"HYLL".to_vec();
    bytes.extend_from_slice(&[SPARSE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&sparse::ALL_ZERO);
    bytes
}

/// Whether a string is a HyperLogLog, by all that can be seen without decoding its registers.
pub fn check(bytes: &[u8]) -> Result<(), Fault> {
    let is_one = bytes.len() >= HEADER_BYTES
        && bytes.starts_with(b"HYLL")
        && bytes[4] <= SPARSE
        && (bytes[4] == SPARSE || bytes.len() == DENSE_BYTES);
    if is_one { Ok(()) } else { Err(Fault::NotOne) }
}

/// "dense" or "sparse", of bytes that were checked.
pub fn encoding(bytes: &[u8]) -> &'static str {
    if bytes[4] == DENSE { "dense" } else { "sparse" }
}

/// The register and the value that an element stands for.
fn place_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur::hash(element, HASH_SEED);
    let rest = hash >> REGISTER_BITS | 1 << VALUE_BITS;
    ((hash % REGISTERS as u64) as usize, rest.trailing_zeros() as u8 + 1)
}

/// Where the noted count lies.
pub const CACHED_COUNT: std::ops::Range<usize> = 8..16;

/// Whether adding the element would change a register. The bytes were checked.
pub fn raises(bytes: &[u8], element: &[u8]) -> Result<bool, Fault> {
    let (register, value) = place_of(element);
    let registers = &bytes[HEADER_BYTES..];
    let old = if bytes[4] == DENSE { dense_get(registers, register) } else { sparse::get(registers, register)? };
    Ok(old < value)
}

/// Adds an element; true when a register has changed. `sparse_bytes_max` is `hll-sparse-max-bytes`. The bytes were checked.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_bytes_max: usize) -> Result<bool, Fault> {
    let (register, value) = place_of(element);
    let changed = raise(bytes, register, value, sparse_bytes_max)?;
    if changed {
        outdate(bytes);
    }
    Ok(changed)
}

/// Raises a register to a value; false when it is that high already.
fn raise(bytes: &mut Vec<u8>, register: usize, value: u8, sparse_bytes_max: usize) -> Result<bool, Fault> {
    if bytes[4] == SPARSE {
        match sparse::raise(bytes, register, value, sparse_bytes_max)? {
            sparse::Raised::Yes => return Ok(true),
            sparse::Raised::WasHigher => return Ok(false),
            sparse::Raised::NoRoom => to_dense(bytes)?,
        }
    }
    let registers = &mut bytes[HEADER_BYTES..];
    let raises = dense_get(registers, register) < value;
    if raises {
        dense_set(registers, register, value);
    }
    Ok(raises)
}

/// Makes it dense, if it is not (PFDEBUG TODENSE; when it is too long as sparse).
pub fn to_dense(bytes: &mut Vec<u8>) -> Result<(), Fault> {
    if bytes[4] == DENSE {
        return Ok(());
    }
    let mut dense = bytes[..HEADER_BYTES].to_vec();
    dense[4] = DENSE;
    dense.resize(DENSE_BYTES, 0);
    let registers = &mut dense[HEADER_BYTES..];
    sparse::runs(&bytes[HEADER_BYTES..], |first, count, value| {
        if value > 0 {
            (first..first + count).for_each(|register| dense_set(registers, register, value));
        }
    })?;
    *bytes = dense;
    Ok(())
}

fn dense_get(registers: &[u8], register: usize) -> u8 {
    let (byte, bit) = (register * 6 / 8, register * 6 % 8);
    let high = registers.get(byte + 1).copied().unwrap_or(0);
    ((u16::from(high) << 8 | u16::from(registers[byte])) >> bit) as u8 & 0x3F
}

fn dense_set(registers: &mut [u8], register: usize, value: u8) {
    let (byte, bit) = (register * 6 / 8, register * 6 % 8);
    let (mask, value) = (0x3Fu16 << bit, u16::from(value) << bit);
    registers[byte] = registers[byte] & !(mask as u8) | value as u8;
    if bit > 2 {
        registers[byte + 1] = registers[byte + 1] & !((mask >> 8) as u8) | (value >> 8) as u8;
    }
}

/// The count that was noted, if nothing has changed since.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let count = u64::from_le_bytes(bytes[CACHED_COUNT].try_into().expect("eight bytes"));
    (count >> 63 == 0).then_some(count)
}

/// Notes the count.
pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[CACHED_COUNT].copy_from_slice(&(count & u64::MAX >> 1).to_le_bytes());
}

/// Says that the noted count is out of date (PFADD does so, too, when it has made the key).
pub fn outdate(bytes: &mut [u8]) {
    bytes[15] |= 0x80;
}

/// All registers, one byte each: for counting, and for merging several HyperLogLogs.
pub struct Registers {
    values: Box<[u8]>,
}

impl Default for Registers {
    fn default() -> Registers {
        Registers { values: vec![0; REGISTERS].into() }
    }
}

impl Registers {
    /// Raises all registers to those of a HyperLogLog whose bytes were checked.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let registers = &bytes[HEADER_BYTES..];
        if bytes[4] == DENSE {
            for (register, value) in self.values.iter_mut().enumerate() {
                *value = (*value).max(dense_get(registers, register));
            }
            return Ok(());
        }
        let values = &mut self.values;
        sparse::runs(registers, |first, count, value| {
            values[first..first + count].iter_mut().for_each(|one| *one = (*one).max(value));
        })
    }

    /// Raises all registers to those of another.
    pub fn raise_to(&mut self, other: &Registers) {
        self.values.iter_mut().zip(&other.values).for_each(|(one, other)| *one = (*one).max(*other));
    }

    /// The values, by register (PFDEBUG GETREG).
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// How many different elements were added, estimated.
    pub fn count(&self) -> u64 {
        let mut histogram = [0u32; 64];
        for value in &self.values {
            histogram[usize::from(*value)] += 1;
        }
        estimate(&histogram)
    }

    /// Raises the registers of a HyperLogLog to these (PFMERGE); makes it dense first if one of the merged ones was.
    pub fn write_into(&self, bytes: &mut Vec<u8>, dense: bool, sparse_bytes_max: usize) -> Result<(), Fault> {
        if dense {
            to_dense(bytes)?;
        }
        for (register, value) in self.values.iter().enumerate().filter(|(_, value)| **value > 0) {
            raise(bytes, register, *value, sparse_bytes_max)?;
        }
        outdate(bytes);
        Ok(())
    }
}

/// How many different elements were added to a HyperLogLog whose bytes were checked, estimated.
pub fn count(bytes: &[u8]) -> Result<u64, Fault> {
    let mut registers = Registers::default();
    registers.merge(bytes)?;
    Ok(registers.count())
}

/// Ertl's estimate ("New cardinality estimation algorithms for HyperLogLog sketches", 2017) from how many registers have each
/// value. The order of the operations is what makes the numbers Redis's.
fn estimate(histogram: &[u32; 64]) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[VALUE_BITS + 1])) / m);
    for value in (1..=VALUE_BITS).rev() {
        z += f64::from(histogram[value]);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA * m * m / z).round() as u64
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// The sparse encoding in words, as PFDEBUG DECODE tells it; `None` when it is dense.
pub fn describe(bytes: &[u8]) -> Option<String> {
    (bytes[4] == SPARSE).then(|| sparse::describe(&bytes[HEADER_BYTES..]))
}

#[cfg(test)]
mod tests;
