//! The bitmap commands: strings as rows of bits.
//!
//! One file per noun: single bits (`bit`), counting and finding in ranges (`range`), combining (`operation`), and integers of
//! any width (`field`). Bits are numbered as `pinyon_values::bits` does. A string is changed in its place, however long it is.

pub mod bit;
pub mod field;
pub mod operation;
pub mod range;

#[cfg(test)]
mod tests;

use pinyon_base::parse_i64;

use super::row::Command;
use crate::CommandError;
use crate::keyspace::Keyspace;

/// The rows of this group.
pub const COMMANDS: &[Command] =
    &[range::BITCOUNT, field::BITFIELD, field::BITFIELD_RO, operation::BITOP, range::BITPOS, bit::GETBIT, bit::SETBIT];

const BAD_OFFSET: CommandError = CommandError::text("ERR bit offset is not an integer or out of range");

/// The number of a bit. `#n` is the n-th field of `field_bits` bits, where that is allowed.
fn bit_offset(ks: &Keyspace<'_>, text: &[u8], field_bits: Option<u32>) -> Result<u64, CommandError> {
    let (digits, unit) = match (text.strip_prefix(b"#"), field_bits) {
        (Some(digits), Some(bits)) => (digits, i64::from(bits)),
        _ => (text, 1),
    };
    let offset = parse_i64(digits).and_then(|number| number.checked_mul(unit)).ok_or(BAD_OFFSET)?;
    let offset = u64::try_from(offset).map_err(|_| BAD_OFFSET)?;
    if offset / 8 < ks.string_bytes_max() { Ok(offset) } else { Err(BAD_OFFSET) }
}
