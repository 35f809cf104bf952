//! DEBUG OBJECT and what else describes the value of one key.

use pinyon_engine::CommandError;
use pinyon_engine::keyspace::ValueRef;
use pinyon_values::codec::{Encoder, Saving, Settings, shape_of};

use crate::commands::Call;
use crate::core::{Core, Io};
use crate::gather::Ticket;

/// How a key and its value are kept.
struct Described {
    address: u64,
    encoding: &'static str,
    serialized_bytes: usize,
    idle_seconds: u64,
}

pub(super) fn object(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let db = super::selected(core, call);
    let key = call.args.get(2).to_vec();
    let owner = core.owner(&key);
    let ticket = core.promise(call.conn);
    let look = move |core: &mut Core, io: &mut Io, key: Vec<u8>| -> Option<Described> {
        core.exec.start(io.now_ms());
        let mut ks = core.exec.shard.keyspace(db, true);
        let key = ks.key_of(&key);
        let idle_seconds = ks.idle_seconds(key)?;
        let value = ks.peek(key)?;
        Some(Described {
            // The entry may move at any time: what stays the same for as long as the key is there is its hash.
            address: (key.hash & 0x0fff_ffff_fff0) | 0x7000_0000_0000,
            encoding: value.encoding(),
            serialized_bytes: serialized_bytes(&value),
            idle_seconds,
        })
    };
    core.send_once(io, owner, key, look, move |core, io, found| answer_object(core, io, ticket, found));
}

fn answer_object(core: &mut Core, io: &mut Io, ticket: Ticket, found: Option<Described>) {
    let Some(kept) = found else { return core.fail(io, ticket, &CommandError::NoSuchKey) };
    let lru = (io.now_ms() / 1000 - kept.idle_seconds as i64) & 0xff_ffff;
    let text = format!(
        "Value at:0x{:x} refcount:1 encoding:{} serializedlength:{} lru:{lru} lru_seconds_idle:{}",
        kept.address, kept.encoding, kept.serialized_bytes, kept.idle_seconds
    );
    core.fulfil(io, ticket, |out| out.simple(&text));
}

/// Length of the value as RDB files hold it, uncompressed.
fn serialized_bytes(value: &ValueRef<'_>) -> usize {
    if let ValueRef::Int(number) = value {
        let width = [(1, i64::from(i8::MIN), i64::from(i8::MAX)), (2, i64::from(i16::MIN), i64::from(i16::MAX))]
            .into_iter()
            .chain([(4, i64::from(i32::MIN), i64::from(i32::MAX))])
            .find(|(_, low, high)| (low..=high).contains(&number));
        if let Some((width, ..)) = width {
            return 1 + width;
        }
    }
    if let ValueRef::Collection(collection) = value {
        let mut encoder = Encoder::new(shape_of(*collection), Settings { compress: false, ..Settings::default() });
        let (mut piece, mut bytes) = (Vec::new(), 0);
        Saving::all(*collection, &mut |part| {
            encoder.put(part, &mut piece);
            bytes += piece.len();
            piece.clear();
        });
        return bytes;
    }
    let length = value.len();
    let head = match length {
        0..64 => 1,
        64..16_384 => 2,
        _ => 5,
    };
    head + length
}

/// `DEBUG LISTPACK key`: Redis prints the structure; here there is nothing to see but that it is packed.
pub(super) fn listpack(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    with_encoding(core, io, call, |core, io, ticket, encoding| match encoding {
        "listpack" => core.fulfil(io, ticket, |out| out.simple("Listpack structure printed on stdout")),
        _ => core.fail(io, ticket, &CommandError::text("ERR Not a listpack encoded object.")),
    });
}

/// `DEBUG HTSTATS-KEY key`.
pub(super) fn htstats_key(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    const NO_TABLE: CommandError =
        CommandError::text("ERR The value stored at the specified key is not represented using an hash table");
    with_encoding(core, io, call, |core, io, ticket, encoding| match encoding {
        "hashtable" | "skiplist" => {
            let text = format!("[Value]\n encoding: {encoding}\n");
            core.fulfil(io, ticket, |out| out.verbatim("txt", text.as_bytes()));
        }
        _ => core.fail(io, ticket, &NO_TABLE),
    });
}

/// Has `answer` reply to what is known of the key's encoding.
fn with_encoding(core: &mut Core, io: &mut Io, call: &Call<'_>, answer: fn(&mut Core, &mut Io, Ticket, &'static str)) {
    let db = super::selected(core, call);
    let key = call.args.get(2).to_vec();
    let owner = core.owner(&key);
    let ticket = core.promise(call.conn);
    let look = move |core: &mut Core, io: &mut Io, key: Vec<u8>| -> Option<&'static str> {
        core.exec.start(io.now_ms());
        let mut ks = core.exec.shard.keyspace(db, true);
        let key = ks.key_of(&key);
        ks.peek(key).map(|value| value.encoding())
    };
    core.send_once(io, owner, key, look, move |core, io, found| match found {
        Some(encoding) => answer(core, io, ticket, encoding),
        None => core.fail(io, ticket, &CommandError::NoSuchKey),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths that redis-server 7.0.15 gives.
    #[test]
    fn lengths_in_rdb_files() {
        for (number, bytes) in [(1, 2), (-128, 2), (128, 3), (12345, 3), (40_000, 5), (100_000_000_000, 13)] {
            assert_eq!(serialized_bytes(&ValueRef::Int(number)), bytes, "{number}");
        }
        for (length, bytes) in [(0, 1), (63, 64), (64, 66), (16_383, 16_385), (16_384, 16_389)] {
            assert_eq!(serialized_bytes(&ValueRef::Bytes(&vec![b'x'; length])), bytes, "{length}");
        }
    }
}
