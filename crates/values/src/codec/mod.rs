//! The one codec: values as DUMP payloads, RDB files and snapshot blocks hold them.
//!
//! It stands between bytes and data structures and knows neither files nor structures: bytes come in pieces of any size,
//! values come and go in parts ([`Part`]). What is read is never trusted: damaged bytes are an error, take no more memory
//! than a multiple of their length, and never panic.

mod checksum;
mod decode;
mod decode_stream;
pub mod dump;
mod encode;
mod encode_stream;
mod encoding;
mod error;
mod input;
mod intset;
mod listpack;
mod load;
mod lzf;
mod output;
mod part;
mod save;
mod value;
mod ziplist;

pub use checksum::Crc64;
pub use decode::{Decoder, PIECE_MIN, Step};
pub use encode::{Encoder, SetForm, Settings, Shape};
pub use encoding::{Encoding, StreamForm, VERSION_7_0, VERSION_7_4, VERSION_VALKEY, is_known_version};
pub use error::{DecodeError, Refused};
pub(crate) use input::{Input, Stop};
pub use load::{Builder, Limits};
pub(crate) use output::{write_item, write_length, write_text};
pub use part::{Consumer, Group, Kind, Part, Sink, StreamId, StreamState};
pub use save::{Saving, kind_of, shape_of};
pub use value::{Collector, Packing, Value};

/// The pieces of a [`Value`] that is a stream.
pub mod whole {
    pub use super::value::{Consumer, Group, Pairs, Stream};
}

#[cfg(test)]
mod structure_tests;
#[cfg(test)]
pub(crate) mod tests;
