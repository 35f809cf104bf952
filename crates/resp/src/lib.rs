//! The Redis protocol without I/O: requests parsed out of receive buffers, replies written into send buffers.
//!
//! [`Parser`] finds the arguments of one command as spans of the caller's buffer and can stop and resume at any byte.
//! [`Writer`] appends replies in RESP2 or RESP3 to an [`Output`]. Nothing here reads sockets or knows a command.
#![forbid(unsafe_code)]

mod args;
mod output;
mod parser;
mod peek;
mod protocol_error;
mod writer;

pub use args::{Args, ArgsIter, Span};
pub use output::Output;
pub use parser::{Limits, Parse, Parser};
pub use peek::second_argument;
pub use protocol_error::ProtocolError;
pub use writer::{Proto, Writer};
