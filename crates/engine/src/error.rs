//! The errors of commands, with the texts that Redis clients know.

use std::borrow::Cow;

use pinyon_resp::Writer;

/// Why a command was refused or failed. `Display` gives the text of the reply without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    #[error("ERR increment or decrement would overflow")]
    IncrementOverflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR increment would produce NaN or Infinity")]
    IncrementNotFinite,
    #[error("ERR DB index is out of range")]
    DbOutOfRange,
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(Cow<'static, str>),
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// A text that repeats bytes of the client as they came.
    #[error("{before}{}{after}", String::from_utf8_lossy(.quoted))]
    Quoting { before: &'static str, quoted: Vec<u8>, after: &'static str },
    /// Any other text, error code included ("ERR …").
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl CommandError {
    /// An error with a fixed text.
    pub const fn text(text: &'static str) -> Self {
        CommandError::Other(Cow::Borrowed(text))
    }

    /// An error that repeats bytes of the client between two texts; the first begins with the error code. As in Redis, a
    /// NUL byte ends what is repeated.
    pub fn quoting(before: &'static str, quoted: &[u8], after: &'static str) -> Self {
        CommandError::Quoting { before, quoted: until_nul(quoted).to_vec(), after }
    }

    /// Writes the error reply.
    pub fn write(&self, out: &mut Writer<'_>) {
        match self {
            CommandError::Quoting { before, quoted, after } => {
                out.error_bytes(&[before.as_bytes(), quoted, after.as_bytes()].concat());
            }
            other => out.error(&other.to_string()),
        }
    }

    /// The first word of the reply, as `errorstats` counts it.
    pub fn code(&self) -> &str {
        match self {
            CommandError::WrongType => "WRONGTYPE",
            CommandError::OutOfMemory => "OOM",
            CommandError::Quoting { before, quoted, .. } => {
                let text = if before.is_empty() { std::str::from_utf8(quoted).unwrap_or("ERR") } else { before };
                text.split(' ').next().unwrap_or("ERR")
            }
            CommandError::Other(text) => text.split(' ').next().unwrap_or("ERR"),
            _ => "ERR",
        }
    }
}

/// The bytes before the first NUL.
pub fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(text)
}
