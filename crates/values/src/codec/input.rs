//! Reading from the front of bytes of which more may come: integers, lengths, strings.
//!
//! ```text
//!  00LLLLLL                       length, 6 bits
//!  01LLLLLL LLLLLLLL              14 bits
//!  10000000 then 4 bytes          32 bits, highest byte first
//!  10000001 then 8 bytes          64 bits, highest byte first
//!  110000EE                       no length: the string is kept as
//!                                 E=0,1,2: an integer of 1, 2, 4 bytes, lowest first
//!                                 E=3: LZF: its compressed length, its length, the compressed bytes
//! ```
//!
//! A string is a length and that many bytes, or one of those. Nothing is taken before all of it is there: who gets
//! [`Stop::Need`] drops the `Input` and begins again at the same place with more bytes.

use pinyon_base::write_i64;

use super::{DecodeError, lzf};
use crate::Item;

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At least this many bytes are needed, counted from where the `Input` began.
    Need(usize),
    Bad(DecodeError),
}

impl<E: Into<DecodeError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Bad(error.into())
    }
}

#[derive(Clone)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What leads a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringHead {
    Raw(u64),
    Int(i64),
    Lzf { stored: u64, len: u64 },
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(len).ok_or(DecodeError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Need(end))?;
        self.at = end;
        Ok(taken)
    }

    fn take_u64(&mut self, len: u64) -> Result<&'a [u8], Stop> {
        self.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?)
    }

    /// What is there, up to `len` bytes.
    pub fn take_some(&mut self, len: u64) -> &'a [u8] {
        let left = self.rest();
        let taken = &left[..left.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        self.at += taken.len();
        taken
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        Ok(self.take(N)?.try_into().expect("as many as were asked for"))
    }

    pub fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A plain length.
    pub fn length(&mut self) -> Result<u64, Stop> {
        match self.length_or_encoding()? {
            Ok(length) => Ok(length),
            Err(encoding) => Err(DecodeError::Length(0xC0 | encoding).into()),
        }
    }

    /// A length, or the number of a string's encoding as the inner error.
    fn length_or_encoding(&mut self) -> Result<Result<u64, u8>, Stop> {
        let first = self.byte()?;
        let low = first & 0x3F;
        Ok(Ok(match (first >> 6, first) {
            (0, _) => u64::from(low),
            (1, _) => u64::from(low) << 8 | u64::from(self.byte()?),
            (2, 0x80) => u64::from(u32::from_be_bytes(self.array()?)),
            (2, 0x81) => u64::from_be_bytes(self.array()?),
            (2, other) => return Err(DecodeError::Length(other).into()),
            _ => return Ok(Err(low)),
        }))
    }

    pub fn string_head(&mut self) -> Result<StringHead, Stop> {
        Ok(match self.length_or_encoding()? {
            Ok(len) => StringHead::Raw(len),
            Err(0) => StringHead::Int(i64::from(i8::from_le_bytes(self.array()?))),
            Err(1) => StringHead::Int(i64::from(i16::from_le_bytes(self.array()?))),
            Err(2) => StringHead::Int(i64::from(i32::from_le_bytes(self.array()?))),
            Err(3) => StringHead::Lzf { stored: self.length()?, len: self.length()? },
            Err(other) => return Err(DecodeError::StringEncoding(u64::from(other)).into()),
        })
    }

    /// A string as an element. What is not there as it is goes into `scratch`.
    pub fn item<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<Item<'s>, Stop>
    where
        'a: 's,
    {
        Ok(match self.string_head()? {
            StringHead::Raw(len) => Item::of(self.take_u64(len)?),
            StringHead::Int(value) => Item::Int(value),
            StringHead::Lzf { stored, len } => Item::of(self.decompressed(stored, len, scratch)?),
        })
    }

    /// A string as bytes: a key, a name, a packed collection.
    pub fn text<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Stop>
    where
        'a: 's,
    {
        Ok(match self.string_head()? {
            StringHead::Raw(len) => self.take_u64(len)?,
            StringHead::Int(value) => {
                scratch.clear();
                scratch.extend_from_slice(write_i64(&mut [0; 20], value));
                scratch
            }
            StringHead::Lzf { stored, len } => self.decompressed(stored, len, scratch)?,
        })
    }

    fn decompressed<'s>(&mut self, stored: u64, len: u64, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Stop> {
        let packed = self.take_u64(stored)?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Lzf)?;
        lzf::decompress(packed, len, scratch).ok_or(DecodeError::Lzf)?;
        Ok(scratch)
    }

    /// A score as sorted sets had it at first: a byte that says how many characters follow, or which of the three values
    /// that have no digits it is.
    pub fn score_text(&mut self) -> Result<f64, Stop> {
        Ok(match self.byte()? {
            253 => return Err(DecodeError::Score.into()),
            254 => f64::INFINITY,
            255 => f64::NEG_INFINITY,
            len => pinyon_base::parse_f64(self.take(usize::from(len))?).ok_or(DecodeError::Score)?,
        })
    }

    /// A score in its eight bytes, lowest first.
    pub fn score(&mut self) -> Result<f64, Stop> {
        let score = f64::from_le_bytes(self.array()?);
        if score.is_nan() { Err(DecodeError::Score.into()) } else { Ok(score) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: &[u8]) -> Result<Vec<u8>, Stop> {
        Input::new(bytes).item(&mut Vec::new()).map(|item| item.to_vec())
    }

    /// Strings as redis-server 7.0.15 dumps them.
    #[test]
    fn strings() {
        for (bytes, text) in [
            (&b"\x05hello"[..], &b"hello"[..]),
            (b"\xc0d", b"100"),
            (b"\xc0\xff", b"-1"),
            (b"\xc1\xe8\x03", b"1000"),
            (b"\xc2\xa0\x86\x01\x00", b"100000"),
            (b"\x0b10000000000", b"10000000000"),
            (b"\xc3\t2\x01aa\xe0%\x00\x01aa", &[b'a'; 50]),
            (b"\x40\x01a", b"a"),
            (b"\x80\x00\x00\x00\x01a", b"a"),
            (b"\x81\x00\x00\x00\x00\x00\x00\x00\x01a", b"a"),
            (b"\x00", b""),
        ] {
            assert_eq!(item(bytes).expect("well formed"), text);
            for cut in 0..bytes.len() {
                let Err(Stop::Need(need)) = item(&bytes[..cut]) else { panic!("{bytes:?} cut at {cut}") };
                assert!(need > cut && need <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_no_string() {
        let bad = |bytes: &[u8]| match item(bytes) {
            Err(Stop::Bad(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(bad(b"\x82\x00\x00\x00\x01a"), DecodeError::Length(0x82));
        assert_eq!(bad(b"\xc4\x00"), DecodeError::StringEncoding(4));
        assert_eq!(bad(b"\xc3\t3\x01aa\xe0%\x00\x01aa"), DecodeError::Lzf);
        assert_eq!(bad(b"\x81\xff\xff\xff\xff\xff\xff\xff\xffa"), DecodeError::Truncated);
        assert_eq!(bad(b"\xc3\xc0\x05aa"), DecodeError::Length(0xC0));
    }
}
