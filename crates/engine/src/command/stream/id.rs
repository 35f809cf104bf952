//! IDs of entries as clients write them.

use pinyon_base::{parse_i64, skip_spaces};
use pinyon_resp::Writer;
use pinyon_values::stream::StreamId;

use crate::{CommandError, until_nul};

const INVALID: CommandError = CommandError::text("ERR Invalid stream ID specified as stream command argument");
/// Longer texts are no IDs.
const TEXT_MAX: usize = 127;

/// The sequence number of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seq {
    Given(u64),
    /// `ms-*`: the next one.
    Next,
}

/// Reads `ms`, whose sequence number is then `missing`, or `ms-seq`.
pub fn parse_strict(text: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match parts(text, missing, false)? {
        (ms, Seq::Given(seq)) => Ok(StreamId { ms, seq }),
        (_, Seq::Next) => Err(INVALID),
    }
}

/// As [`parse_strict`]; `-` and `+` are the lowest and the highest ID.
pub fn parse(text: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse_strict(text, missing),
    }
}

/// As [`parse_strict`], and `ms-*`.
pub fn parse_new(text: &[u8]) -> Result<(u64, Seq), CommandError> {
    parts(text, 0, true)
}

fn parts(text: &[u8], missing: u64, may_be_next: bool) -> Result<(u64, Seq), CommandError> {
    if text.len() > TEXT_MAX {
        return Err(INVALID);
    }
    let text = until_nul(text);
    let Some(dash) = text.iter().position(|&byte| byte == b'-') else {
        return Ok((parse_u64_leniently(text).ok_or(INVALID)?, Seq::Given(missing)));
    };
    let ms = parse_u64_leniently(&text[..dash]).ok_or(INVALID)?;
    match &text[dash + 1..] {
        b"*" if may_be_next => Ok((ms, Seq::Next)),
        seq => Ok((ms, Seq::Given(parse_u64_leniently(seq).ok_or(INVALID)?))),
    }
}

/// A number as C's `strtoull` takes it: spaces and a sign before it, zeros at its beginning.
fn parse_u64_leniently(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let digits = skip_spaces(text);
    let (is_negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

/// The lower end of a range; `(` before it excludes it.
pub fn parse_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            parse_strict(rest, 0)?.next().ok_or(CommandError::text("ERR invalid start ID for the interval"))
        }
        _ => parse(text, 0),
    }
}

/// The upper end of a range; `(` before it excludes it.
pub fn parse_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            parse_strict(rest, u64::MAX)?.previous().ok_or(CommandError::text("ERR invalid end ID for the interval"))
        }
        _ => parse(text, u64::MAX),
    }
}

/// The text of an ID.
pub struct IdText {
    bytes: [u8; 41],
    begin: usize,
}

impl IdText {
    pub fn of(id: StreamId) -> IdText {
        let mut text = IdText { bytes: [0; 41], begin: 41 };
        text.prepend(id.seq);
        text.begin -= 1;
        text.bytes[text.begin] = b'-';
        text.prepend(id.ms);
        text
    }

    fn prepend(&mut self, mut number: u64) {
        loop {
            self.begin -= 1;
            self.bytes[self.begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return;
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }
}

/// Replies an ID.
pub fn write(out: &mut Writer<'_>, id: StreamId) {
    out.bulk(IdText::of(id).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (ms, seq) in [(0, 0), (1, 9), (10, 100), (u64::MAX, u64::MAX), (1_700_000_000_000, 7)] {
            let id = StreamId { ms, seq };
            assert_eq!(IdText::of(id).as_bytes(), id.to_string().as_bytes());
            assert_eq!(parse(id.to_string().as_bytes(), 5), Ok(id));
        }
    }

    #[test]
    fn what_clients_write() {
        let id = |ms, seq| Ok(StreamId { ms, seq });
        assert_eq!(parse_strict(b"5", 7), id(5, 7));
        assert_eq!(parse_strict(b"5-0", 7), id(5, 0));
        assert_eq!(parse_strict(b"\x0b4", 7), id(4, 7));
        assert_eq!(parse_strict(b"007-+3", 0), id(7, 3));
        assert_eq!((parse(b"-", 1), parse(b"+", 1)), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        assert_eq!(parse_new(b"9-*"), Ok((9, Seq::Next)));
        assert_eq!(parse_start(b"(5-18446744073709551615"), id(6, 0));
        assert_eq!(parse_end(b"(5-0"), id(4, u64::MAX));
        for wrong in ["", "-", "+", "x", "5-", "-5", "5-x", "5-*", "5--5", "18446744073709551616", "1-2-3"] {
            assert!(parse_strict(wrong.as_bytes(), 0).is_err(), "{wrong}");
        }
        assert!(parse_start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(parse_end(b"(0-0").is_err() && parse_start(b"(-").is_err());
    }
}
