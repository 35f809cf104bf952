//! Parses requests out of a receive buffer, one command at a time, borrowing.
//!
//! ```text
//! *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n      a command as clients send it
//!        |---|       |-|       |--|            its spans
//! SET k "v v"\r\n                               the same inline, as typed into telnet: unquoted, so copied
//! ```
//!
//! The parser keeps only positions, never bytes: an incomplete command is parsed on where it stopped when the caller
//! comes back with more bytes behind the same ones. It allocates nothing but the growth of the caller's span vector, which
//! follows the bytes received and never the counts claimed. As in Redis, the two bytes that end a line or an argument are
//! skipped, not checked, and a NUL byte hides the line end behind it.

use pinyon_base::{parse_i64, split_args};

use crate::{ProtocolError, Span};

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest argument in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Longest inline command, and longest line with a count or length, in bytes.
    pub inline_bytes_max: usize,
    /// Most arguments in a command.
    pub multibulk_max: i64,
    /// Whether the client may send commands at all; else it gets 10 arguments of 16,384 bytes to authenticate with.
    pub authenticated: bool,
}

impl Default for Limits {
    /// Redis's defaults, authenticated.
    fn default() -> Self {
        Limits {
            bulk_bytes_max: 512 * 1024 * 1024,
            inline_bytes_max: 64 * 1024,
            multibulk_max: i64::from(i32::MAX),
            authenticated: true,
        }
    }
}

const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: u64 = 16384;

/// What [`Parser::parse`] found at the start of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse {
    /// A command of `consumed` bytes; its spans were appended.
    Command { consumed: usize },
    /// A command typed as a line, unquoted; no spans were appended.
    Inline { consumed: usize, args: Vec<Vec<u8>> },
    /// `consumed` bytes that ask for nothing: an empty line, or a count of zero or less.
    Nothing { consumed: usize },
    /// The command does not end here: it has at least `need` bytes in all. The number is the client's claim, bounded by
    /// the limits only: a hint for reading on, not a size to allocate at once.
    Incomplete { need: usize },
}

/// The state of a command that has not arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parser {
    /// Bytes of the command parsed so far.
    parsed: u32,
    /// Bytes behind them that were searched for a line end in vain.
    searched: u32,
    /// Arguments to come; 0: the command's first line has not been parsed.
    args_left: u32,
    /// Length of the argument that begins at `parsed`, or [`NO_BULK`]: its length line is to come.
    bulk: u32,
}

const _: () = assert!(size_of::<Parser>() <= 32);

const NO_BULK: u32 = u32::MAX;
/// Bytes of "\r\n".
const LINE_END: usize = 2;
/// Spans count in 32 bits.
const COMMAND_BYTES_MAX: usize = u32::MAX as usize;

impl Default for Parser {
    #[inline]
    fn default() -> Self {
        Parser { parsed: 0, searched: 0, args_left: 0, bulk: NO_BULK }
    }
}

impl Parser {
    /// In the middle of a command, of which some bytes have been parsed.
    #[inline]
    pub fn is_mid_command(&self) -> bool {
        *self != Parser::default()
    }

    /// Parses one command from `input`, whose first byte is the command's first. Its spans are appended to `spans`.
    ///
    /// After `Incomplete`, call again with the same bytes and more behind them, and with the same `spans`: the spans of the
    /// arguments parsed so far stay at its end. After an error, the connection is of no more use.
    #[inline]
    pub fn parse(&mut self, input: &[u8], limits: &Limits, spans: &mut Vec<Span>) -> Result<Parse, ProtocolError> {
        let mut at = self.parsed as usize;
        let mut args_left = self.args_left;
        if args_left == 0 {
            let (count, next) = match quick_length(input, 0, b'*') {
                Some((count, next)) => (i64::from(count), next),
                None => match input.first() {
                    Some(b'*') => match self.count_line(input, limits)? {
                        Some(line) => line,
                        None => return Ok(incomplete_line(input)),
                    },
                    _ => return self.inline(input, limits),
                },
            };
            check_count(count, limits)?;
            if count <= 0 {
                *self = Parser::default();
                return Ok(Parse::Nothing { consumed: next });
            }
            args_left = count as u32;
            at = next;
        }
        let mut bulk = self.bulk;
        loop {
            if bulk == NO_BULK {
                let (length, next) = match quick_length(input, at, b'$') {
                    Some(quick) => quick,
                    None => {
                        if self.parsed != at as u32 {
                            *self = Parser { parsed: at as u32, args_left, ..Parser::default() };
                        }
                        match self.bulk_line(input, limits)? {
                            Some(line) => line,
                            None => return Ok(incomplete_line(input)),
                        }
                    }
                };
                check_length(u64::from(length), limits)?;
                bulk = length;
                at = next;
            }
            let end = at + bulk as usize + LINE_END;
            if end > COMMAND_BYTES_MAX {
                return Err(ProtocolError::InvalidBulkLength);
            }
            if end > input.len() {
                *self = Parser { parsed: at as u32, searched: 0, args_left, bulk };
                return Ok(Parse::Incomplete { need: end });
            }
            spans.push(Span { start: at as u32, len: bulk });
            at = end;
            bulk = NO_BULK;
            args_left -= 1;
            if args_left == 0 {
                *self = Parser::default();
                return Ok(Parse::Command { consumed: at });
            }
        }
    }
}

/// The rare paths: line by line, with every check.
impl Parser {
    #[cold]
    fn count_line(&mut self, input: &[u8], limits: &Limits) -> Result<Option<(i64, usize)>, ProtocolError> {
        let Some(end) = self.find_line_end(input, limits, b'\r', ProtocolError::TooBigMultibulkCount)? else {
            return Ok(None);
        };
        let count = parse_i64(&input[1..end]).ok_or(ProtocolError::InvalidMultibulkLength)?;
        Ok(Some((count, end + LINE_END)))
    }

    #[cold]
    fn bulk_line(&mut self, input: &[u8], limits: &Limits) -> Result<Option<(u32, usize)>, ProtocolError> {
        let Some(end) = self.find_line_end(input, limits, b'\r', ProtocolError::TooBigBulkCount)? else {
            return Ok(None);
        };
        let line = &input[self.parsed as usize..end];
        let digits = match line.split_first() {
            Some((b'$', digits)) => digits,
            Some((other, _)) => return Err(ProtocolError::ExpectedBulk(*other)),
            // The line is empty: what stands where the mark should be is the line end.
            None => return Err(ProtocolError::ExpectedBulk(b'\r')),
        };
        let length = parse_i64(digits)
            .and_then(|length| u32::try_from(length).ok())
            .filter(|length| *length != NO_BULK)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        Ok(Some((length, end + LINE_END)))
    }

    fn inline(&mut self, input: &[u8], limits: &Limits) -> Result<Parse, ProtocolError> {
        let Some(end) = self.find_line_end(input, limits, b'\n', ProtocolError::TooBigInline)? else {
            return Ok(incomplete_line(input));
        };
        let consumed = end + 1;
        let line = &input[..end];
        let args = split_args(line.strip_suffix(b"\r").unwrap_or(line)).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(if args.is_empty() { Parse::Nothing { consumed } } else { Parse::Inline { consumed, args } })
    }

    /// Where the line that begins at `parsed` ends, searching only bytes not searched before. A line that ends in CR is
    /// found only when the byte behind it is there, too.
    fn find_line_end(
        &mut self,
        input: &[u8],
        limits: &Limits,
        end: u8,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let line = input.get(self.parsed as usize..).unwrap_or_default();
        let searchable = &line[..line.len().min(limits.inline_bytes_max + 1)];
        let searched = (self.searched as usize).min(searchable.len());
        let found = memchr::memchr2(end, 0, &searchable[searched..]).map(|i| searched + i);
        match found.filter(|at| searchable[*at] == end) {
            Some(at) if end == b'\n' || at + 1 < line.len() => {
                self.searched = 0;
                Ok(Some(self.parsed as usize + at))
            }
            Some(at) => {
                self.searched = at as u32;
                Ok(None)
            }
            None if line.len() > limits.inline_bytes_max => Err(too_big),
            None => {
                self.searched = found.unwrap_or(searchable.len()) as u32;
                Ok(None)
            }
        }
    }
}

fn incomplete_line(input: &[u8]) -> Parse {
    Parse::Incomplete { need: input.len() + 1 }
}

#[inline(always)]
fn check_count(count: i64, limits: &Limits) -> Result<(), ProtocolError> {
    if count > limits.multibulk_max.min(i64::from(i32::MAX)) {
        return Err(ProtocolError::InvalidMultibulkLength);
    }
    if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedMultibulkLength);
    }
    Ok(())
}

#[inline(always)]
fn check_length(length: u64, limits: &Limits) -> Result<(), ProtocolError> {
    if length > limits.bulk_bytes_max {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if length > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    Ok(())
}

/// Reads a line `<mark><number>\r\n` of up to four digits where eight bytes are there to look at: nearly every line of
/// nearly every client. Returns the number and the position behind the line; None means "look closely", not "wrong".
#[inline(always)]
pub(crate) fn quick_length(input: &[u8], at: usize, mark: u8) -> Option<(u32, usize)> {
    let line: &[u8; 8] = input.get(at..)?.first_chunk()?;
    if line[0] != mark {
        return None;
    }
    let mut number = u32::from(line[1].wrapping_sub(b'0'));
    if number > 9 {
        return None;
    }
    if line[2] == b'\r' {
        return Some((number, at + 4));
    }
    for digits in 2..=4 {
        let digit = u32::from(line[digits].wrapping_sub(b'0'));
        // A leading zero makes no number.
        if number == 0 || digit > 9 {
            return None;
        }
        number = number * 10 + digit;
        if line[digits + 1] == b'\r' {
            return Some((number, at + digits + 3));
        }
    }
    None
}
