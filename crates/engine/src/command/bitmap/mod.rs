//! Commands on strings as bits.

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[];
