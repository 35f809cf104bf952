//! Commands on sorted sets of places.

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[];
