//! Bytes into operations. Any bytes are read without a panic; they reserve no memory.

use pinyon_base::{DbIndex, Millis};

use super::write::{COMMAND, DB_FOLLOWS, DEADLINE, DELETE, FLUSH, FLUSH_ALL, SWAP, TEXT, VALUE};

/// Why a record cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("the record ends inside an operation")]
    Short,
    #[error("a number in the record makes no sense")]
    Number,
    #[error("operation {0} is not known: written by a newer version?")]
    Operation(u8),
    #[error("database {0}: there are not so many; raise `databases`")]
    Database(u64),
    #[error("the command '{0}' is not known, or has no such arguments")]
    Command(String),
    #[error("the command '{command}' failed: {error}")]
    Failed { command: String, error: String },
    #[error("a value cannot be read: {0}")]
    Value(String),
}

/// What one operation says. Arguments of a command are left where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Delete {
        key: &'a [u8],
    },
    Text {
        key: &'a [u8],
        deadline: Option<Millis>,
        text: &'a [u8],
    },
    Deadline {
        key: &'a [u8],
        deadline: Option<Millis>,
    },
    Value {
        key: &'a [u8],
        deadline: Option<Millis>,
        encoding: u8,
        encoded: &'a [u8],
    },
    /// So many arguments follow: [`Reader::bytes`].
    Command {
        count: u64,
    },
    Flush,
    FlushAll,
    Swap {
        with: DbIndex,
    },
}

/// A record, from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Reader<'a> {
        Reader { whole: record, at: 0 }
    }

    /// Of the byte to be read next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.whole.len()
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.whole[self.at..]
    }

    /// Passes over so many bytes, at most the rest.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.whole.len());
    }

    /// Exactly so many bytes.
    pub(crate) fn exactly<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let bytes = *self.rest().first_chunk().ok_or(Damaged::Short)?;
        self.at += N;
        Ok(bytes)
    }

    /// A head: what is in its low bits, and the database.
    pub(crate) fn head(&mut self) -> Result<(u8, DbIndex), Damaged> {
        let head = self.byte()?;
        let db = match head >> 4 {
            DB_FOLLOWS => self.db()?,
            db => DbIndex(u16::from(db)),
        };
        Ok((head & 0x0F, db))
    }

    /// The next operation with its database; `None` at the end.
    pub(crate) fn op(&mut self) -> Result<Option<(DbIndex, Op<'a>)>, Damaged> {
        if self.is_at_end() {
            return Ok(None);
        }
        let (op, db) = self.head()?;
        let op = match op {
            DELETE => Op::Delete { key: self.bytes()? },
            TEXT => Op::Text { key: self.bytes()?, deadline: self.deadline()?, text: self.bytes()? },
            DEADLINE => Op::Deadline { key: self.bytes()?, deadline: self.deadline()? },
            VALUE => {
                let (key, deadline) = (self.bytes()?, self.deadline()?);
                let (encoding, encoded) = self.bytes()?.split_first().ok_or(Damaged::Short)?;
                Op::Value { key, deadline, encoding: *encoding, encoded }
            }
            COMMAND => Op::Command { count: self.varint()? },
            FLUSH => Op::Flush,
            FLUSH_ALL => Op::FlushAll,
            SWAP => Op::Swap { with: self.db()? },
            other => return Err(Damaged::Operation(other)),
        };
        Ok(Some((db, op)))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = usize::try_from(self.varint()?).map_err(|_| Damaged::Number)?;
        let end = self.at.checked_add(len).ok_or(Damaged::Number)?;
        let bytes = self.whole.get(self.at..end).ok_or(Damaged::Short)?;
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(Damaged::Number);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged::Number)
    }

    pub(crate) fn deadline(&mut self) -> Result<Option<Millis>, Damaged> {
        match self.varint()? {
            0 => Ok(None),
            at => i64::try_from(at - 1).map(|at| Some(Millis(at))).map_err(|_| Damaged::Number),
        }
    }

    fn db(&mut self) -> Result<DbIndex, Damaged> {
        let db = self.varint()?;
        u16::try_from(db).map(DbIndex).map_err(|_| Damaged::Database(db))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let byte = *self.whole.get(self.at).ok_or(Damaged::Short)?;
        self.at += 1;
        Ok(byte)
    }
}
