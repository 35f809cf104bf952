//! What DUMP replies and RESTORE takes: one value with a footer.
//!
//! ```text
//!  number of the encoding   1
//!  the value
//!  version of the format    2, lowest first
//!  CRC-64 of all before     8, lowest first
//! ```
//!
//! As in Redis, bytes between the value and the footer are not looked at.

use super::encoding::is_known_version;
use super::{Crc64, DecodeError, Decoder, Encoder, Encoding, Kind, Sink};

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("of an unknown version, or changed on its way")]
    Footer,
    #[error(transparent)]
    Value(#[from] DecodeError),
}

/// Ends a payload that began with `encoder`'s number and holds what it made.
pub fn seal(encoder: &Encoder, settings_version: u16, payload: &mut Vec<u8>) {
    payload.extend_from_slice(&encoder.version().max(settings_version).to_le_bytes());
    payload.extend_from_slice(&Crc64::of(payload).to_le_bytes());
}

/// A payload whose footer is right.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    encoding: Encoding,
    body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Checks the footer and what kind of value it is.
    pub fn open(payload: &'a [u8]) -> Result<Payload<'a>, PayloadError> {
        let (rest, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>().ok_or(PayloadError::Footer)?;
        let (value, version) = rest.split_last_chunk::<VERSION_BYTES>().ok_or(PayloadError::Footer)?;
        let version = u16::from_le_bytes(*version);
        if !is_known_version(version) || Crc64::of(rest) != u64::from_le_bytes(*checksum) {
            return Err(PayloadError::Footer);
        }
        let (number, body) = value.split_first().ok_or(DecodeError::Truncated)?;
        Ok(Payload { encoding: Encoding::of(*number, version)?, body })
    }

    pub fn kind(&self) -> Kind {
        self.encoding.kind()
    }

    /// Hands out the value's parts. After an error, what was handed out is no value.
    pub fn load(&self, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let mut decoder = Decoder::new(self.encoding);
        if decoder.step(self.body, sink)?.need > 0 {
            return Err(DecodeError::Truncated);
        }
        let may_be_empty = matches!(self.kind(), Kind::String | Kind::Stream);
        if decoder.elements() == 0 && !may_be_empty { Err(DecodeError::Empty) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Settings, Shape};
    use super::*;
    use crate::Item;

    fn load(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
        let mut text = Vec::new();
        Payload::open(payload)?.load(&mut |part| {
            let Part::String(item) = part else { panic!("{part:?}") };
            text = item.to_vec();
            Ok(())
        })?;
        Ok(text)
    }

    fn sealed(value: &[u8], version: u16) -> Vec<u8> {
        let mut payload = [value, &version.to_le_bytes()[..]].concat();
        payload.extend_from_slice(&Crc64::of(&payload).to_le_bytes());
        payload
    }

    /// `SET s hello`, `DUMP s` on redis-server 7.0.15.
    #[test]
    fn is_byte_for_byte_that_of_redis() {
        let settings = Settings::default();
        let mut encoder = Encoder::new(Shape::String, settings);
        let mut payload = vec![encoder.number()];
        encoder.put(Part::String(Item::of(b"hello")), &mut payload);
        seal(&encoder, settings.version, &mut payload);
        assert_eq!(payload, b"\x00\x05hello\n\x00cr\xdfve4 \n");
        assert_eq!(load(&payload), Ok(b"hello".to_vec()));
    }

    #[test]
    fn a_footer_that_is_not_right() {
        let payload = sealed(b"\x00\x05hello", 10);
        for at in 0..payload.len() {
            assert_eq!(load(&payload[..at]), Err(PayloadError::Footer), "cut at {at}");
            let mut changed = payload.clone();
            changed[at] ^= 1;
            assert_eq!(load(&changed), Err(PayloadError::Footer), "changed at {at}");
        }
        for (version, known) in [(0, true), (10, true), (12, true), (13, false), (79, false), (80, true), (81, false)] {
            assert_eq!(load(&sealed(b"\x00\x05hello", version)).is_ok(), known, "{version}");
        }
    }

    /// What redis-server 7.0.15 says "Bad data format" to, and what it accepts.
    #[test]
    fn a_value_that_is_none() {
        let error = |value: &[u8]| match load(&sealed(value, 10)) {
            Err(PayloadError::Value(error)) => error,
            other => panic!("{value:?}: {other:?}"),
        };
        assert_eq!(error(b"\x00\x05hell"), DecodeError::Truncated);
        assert_eq!(error(b"\x63\x05hello"), DecodeError::Type(99));
        assert_eq!(error(b"\x07\x05hello"), DecodeError::Module);
        assert_eq!(error(b""), DecodeError::Truncated);
        assert_eq!(load(&sealed(b"\x00\x05hello and more", 10)), Ok(b"hello".to_vec()));
        let empty_list = sealed(b"\x01\x00", 10);
        let loaded = Payload::open(&empty_list).map(|payload| payload.load(&mut |_| Ok(())));
        assert!(matches!(loaded, Ok(Err(DecodeError::Empty))));
    }
}
