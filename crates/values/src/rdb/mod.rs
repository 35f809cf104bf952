//! RDB files, as Redis and Valkey keep a whole dataset: read from any version that is known, written as redis-server 7.0
//! writes them.
//!
//! ```text
//!  "REDIS" and 4 digits, or "VALKEY" and 3: the version
//!  then, each led by one byte:
//!    FA name value          about the file
//!    FE number              the database of the keys that follow
//!    FB keys volatile       how many keys it has, and how many of them have a deadline (FA to FB: strings and lengths)
//!    F4 slot keys volatile  the same of a slot; only for who reserves room
//!    F5 code                a library of functions
//!    F7 …                   what a module keeps beside the keys
//!    FD, FC                 the deadline of the next key: 4 bytes of seconds, 8 of milliseconds, lowest first
//!    F8, F9                 how long it was not used, in seconds, as a length; how often it is used, 1 byte
//!    any lower number       the encoding of a value: the key, a string, and the value follow
//!    FF                     the end; from version 5 on a CRC-64 of all before, lowest byte first (0: none was made)
//! ```
//!
//! Neither side opens a file: bytes come in and go out in pieces of any size.

mod read;
mod write;

pub use read::{Checksum, Entry, Product, RdbError, Reader, Record};
pub use write::{EntryHead, TooNew, Writer};

/// What leads a record.
mod lead {
    pub const SLOT_INFO: u8 = 0xF4;
    pub const LIBRARY: u8 = 0xF5;
    pub const LIBRARY_PRE_RELEASE: u8 = 0xF6;
    pub const MODULE: u8 = 0xF7;
    pub const IDLE: u8 = 0xF8;
    pub const FREQUENCY: u8 = 0xF9;
    pub const AUX: u8 = 0xFA;
    pub const SIZES: u8 = 0xFB;
    pub const DEADLINE_MS: u8 = 0xFC;
    pub const DEADLINE_S: u8 = 0xFD;
    pub const DATABASE: u8 = 0xFE;
    pub const END: u8 = 0xFF;
}

#[cfg(test)]
mod tests;
