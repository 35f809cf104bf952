//! The HyperLogLog commands: strings that estimate how many different elements were added to them.
//!
//! `add` is PFADD, `count` PFCOUNT and PFMERGE, `debug` PFDEBUG; PFSELFTEST is the server's. How the bytes are laid out is not
//! known here but in `pinyon_values::hyperloglog`.

pub mod add;
pub mod count;
pub mod debug;

#[cfg(test)]
mod tests;

use pinyon_values::hyperloglog::{self, Fault};

use super::row::Command;
use super::string::string;
use crate::CommandError;
use crate::keyspace::{Key, Keyspace, NewValue, Ttl, ValueRef};

/// The rows of this group.
pub const COMMANDS: &[Command] = &[add::PFADD, count::PFCOUNT, debug::PFDEBUG, count::PFMERGE, debug::PFSELFTEST];

/// What is wrong with the bytes.
pub fn fault(fault: Fault) -> CommandError {
    CommandError::text(match fault {
        Fault::NotOne => "WRONGTYPE Key is not a valid HyperLogLog string value.",
        Fault::Corrupt => "INVALIDOBJ Corrupted HLL object detected",
    })
}

/// Checks that a value is a HyperLogLog.
fn checked(value: ValueRef<'_>) -> Result<ValueRef<'_>, CommandError> {
    let value = string(value)?;
    hyperloglog::check(value.as_bytes(&mut [0; 20])).map_err(fault)?;
    Ok(value)
}

/// Stores the bytes of a HyperLogLog; one that was there keeps its deadline.
fn store(ks: &mut Keyspace<'_>, key: Key<'_>, bytes: Vec<u8>) {
    if bytes.len() > crate::keyspace::INLINE_VALUE_MAX {
        ks.put(key, NewValue::Blob(pinyon_base::Blob::new(bytes)), Ttl::Keep);
    } else {
        ks.put(key, NewValue::Raw(&bytes), Ttl::Keep);
    }
}
