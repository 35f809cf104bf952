//! Operations into bytes. The layout is drawn in the module's head.

use pinyon_base::{DbIndex, Millis};
use pinyon_values::CollectionRef;
use pinyon_values::codec::{Encoder, Saving, Settings, shape_of};

pub(crate) const DELETE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const DEADLINE: u8 = 2;
pub(crate) const VALUE: u8 = 3;
pub(crate) const COMMAND: u8 = 4;
pub(crate) const FLUSH: u8 = 5;
pub(crate) const FLUSH_ALL: u8 = 6;
pub(crate) const SWAP: u8 = 7;

/// In the head: the database follows.
pub(crate) const DB_FOLLOWS: u8 = 15;

#[inline]
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn head(op: u8, db: DbIndex, out: &mut Vec<u8>) {
    if db.0 < u16::from(DB_FOLLOWS) {
        out.push(op | (db.0 as u8) << 4);
    } else {
        out.push(op | DB_FOLLOWS << 4);
        varint(u64::from(db.0), out);
    }
}

#[inline]
pub(crate) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn deadline(at: Option<Millis>, out: &mut Vec<u8>) {
    // What is due before 1970 is due at any time.
    varint(at.map_or(0, |at| at.0.max(0) as u64 + 1), out);
}

#[inline]
pub(crate) fn delete(db: DbIndex, key: &[u8], out: &mut Vec<u8>) {
    head(DELETE, db, out);
    bytes(key, out);
}

#[inline]
pub(crate) fn text(db: DbIndex, key: &[u8], at: Option<Millis>, text: &[u8], out: &mut Vec<u8>) {
    head(TEXT, db, out);
    bytes(key, out);
    deadline(at, out);
    bytes(text, out);
}

/// A collection, as RDB encodes it.
pub(crate) fn value(db: DbIndex, key: &[u8], at: Option<Millis>, collection: CollectionRef<'_>, out: &mut Vec<u8>) {
    head(VALUE, db, out);
    bytes(key, out);
    deadline(at, out);
    let settings = Settings { compress: false, ..Settings::default() };
    let mut encoder = Encoder::new(shape_of(collection), settings);
    let mut encoded = vec![encoder.number()];
    Saving::all(collection, &mut |part| encoder.put(part, &mut encoded));
    bytes(&encoded, out);
}

/// A command: its arguments follow as [`bytes`], `count` of them.
pub(crate) fn command(db: DbIndex, count: usize, out: &mut Vec<u8>) {
    head(COMMAND, db, out);
    varint(count as u64, out);
}

/// Bytes of a number that is not known yet.
const OPEN_BYTES: usize = 5;

/// A command whose arguments are not counted yet; where their number is, for [`count_one_more`].
pub(crate) fn open_command(db: DbIndex, out: &mut Vec<u8>) -> usize {
    head(COMMAND, db, out);
    let at = out.len();
    out.extend_from_slice(&[0x80; OPEN_BYTES - 1]);
    out.push(0);
    at
}

/// One more argument has been appended to the command.
pub(crate) fn count_one_more(at: usize, out: &mut [u8]) {
    for byte in &mut out[at..at + OPEN_BYTES] {
        let bits = (*byte & 0x7F) + 1;
        *byte = *byte & 0x80 | bits & 0x7F;
        if bits < 0x80 {
            return;
        }
    }
}
