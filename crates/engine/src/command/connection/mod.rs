//! Rows of the connection commands: what the protocol itself needs, and CLIENT. All are carried out by the server.

mod client;
mod session;

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    client::CLIENT,
    session::AUTH,
    session::ECHO,
    session::HELLO,
    session::PING,
    session::QUIT,
    session::RESET,
    session::SELECT,
];
