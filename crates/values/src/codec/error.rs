//! Why bytes are not the value that they claim to be.

/// What is wrong with encoded bytes. Where they came from (a file and its offset, a client's payload) is said by whoever
/// read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the byte {0:#04x} begins no length")]
    Length(u8),
    #[error("strings have no encoding {0}")]
    StringEncoding(u64),
    #[error("no type of value has the number {0}")]
    Type(u8),
    #[error("values of modules cannot be read")]
    Module,
    #[error("a compressed string is damaged")]
    Lzf,
    #[error("listpack: {0}")]
    Listpack(&'static str),
    #[error("ziplist: {0}")]
    Ziplist(&'static str),
    #[error("zipmap: {0}")]
    Zipmap(&'static str),
    #[error("intset: {0}")]
    Intset(&'static str),
    #[error("quicklist: no node is kept as {0}")]
    Container(u64),
    #[error("a field without a value, or a member without a score")]
    Odd,
    #[error("a score is no number")]
    Score,
    #[error("a deadline is out of range")]
    Deadline,
    #[error("stream: {0}")]
    Stream(&'static str),
    /// What the receiver of the parts said.
    #[error("{0}")]
    Refused(&'static str),
    /// The value ends before it is complete.
    #[error("the end is missing")]
    Truncated,
    /// A collection without elements where there cannot be one.
    #[error("a collection without elements")]
    Empty,
}

/// How the receiver of a value's parts says that they make no value (a member twice, a group without its stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl From<Refused> for DecodeError {
    fn from(refused: Refused) -> DecodeError {
        DecodeError::Refused(refused.0)
    }
}
