//! BITOP: strings combined bit by bit. Over shards it is the server's `tx`, with `combined` of what was gathered.

use pinyon_base::Blob;
use pinyon_resp::Args;
pub use pinyon_values::bits::Operation;
use pinyon_values::bits::combine;

use crate::command::long::{self, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::command::string::string;
use crate::keyspace::{Events, INLINE_VALUE_MAX, Key, Keyspace, NewValue, Ttl, ValueRef};
use crate::{CommandError, Cx, Effect};

pub(super) const BITOP: Command = Command {
    name: "bitop",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    keys: &[
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Bitmap,
    since: "2.6.0",
    complexity: "O(N) in the length of the longest string.",
    summary: "Combines strings bit by bit, and stores the result under a key.",
    args: &[Arg::new("operation", ArgKind::String), Arg::key("destkey", 0), Arg::key("key", 1).multiple()],
    handler: Handler::Spread(Spread::Bitop, bitop),
    long: Some(Long { is: is_big, work: bitop_in_pieces }),
    ..Command::EMPTY
};

fn is_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    let len = |key| ks.seen_text(ks.key_of(key)).map_or(0, |text| text.len());
    args.len() > FIRST_SOURCE && args.from(FIRST_SOURCE).iter().any(|key| len(key) >= long::BYTES_MIN)
}

fn bitop_in_pieces() -> long::Work {
    let mut sources: Option<Vec<Blob>> = None;
    let mut result = Vec::new();
    Box::new(move |cx, args| {
        let operation = operation(args)?;
        if sources.is_none() {
            sources = Some(read_sources(cx, args)?);
        }
        let texts: Vec<&[u8]> = sources.iter().flatten().map(|source| source.as_slice()).collect();
        let (from, len) = (result.len(), longest(&texts));
        if from == 0 {
            result.reserve_exact(len);
        }
        let until = len.min(from + long::BYTES_PER_PIECE);
        result.resize(until, 0);
        combine_from(operation, &texts, from, &mut result[from..]);
        if until < len {
            return Ok(None);
        }
        cx.out.int(len as i64);
        let key = cx.ks.key(args, DESTINATION);
        Ok(Some(store(&mut cx.ks, key, std::mem::take(&mut result))))
    })
}

/// Where the destination and the first source are among the arguments.
pub const DESTINATION: usize = 2;
pub const FIRST_SOURCE: usize = 3;

/// Reads the operation, which decides on the number of sources.
pub fn operation(args: Args<'_>) -> Result<Operation, CommandError> {
    let named = |name: &str| args.get(1).eq_ignore_ascii_case(name.as_bytes());
    let operation = match () {
        () if named("AND") => Operation::And,
        () if named("OR") => Operation::Or,
        () if named("XOR") => Operation::Xor,
        () if named("NOT") => Operation::Not,
        () => return Err(CommandError::Syntax),
    };
    if operation == Operation::Not && args.len() != FIRST_SOURCE + 1 {
        return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
    }
    Ok(operation)
}

/// The result: as long as the longest source.
pub fn combined(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let mut result = vec![0; longest(sources)];
    combine_from(operation, sources, 0, &mut result);
    result
}

fn longest(sources: &[&[u8]]) -> usize {
    sources.iter().map(|source| source.len()).max().unwrap_or(0)
}

/// The part of the result from a place on.
fn combine_from(operation: Operation, sources: &[&[u8]], from: usize, result: &mut [u8]) {
    // Pieces that stay in the cache while one source after the other is worked in.
    const PIECE_BYTES: usize = 16 << 10;
    for (index, piece) in result.chunks_mut(PIECE_BYTES).enumerate() {
        combine(operation, sources, from + index * PIECE_BYTES, piece);
    }
}

/// A source's bytes; long ones are shared with the keyspace instead of copied. None: there is no such key.
pub fn source(ks: &mut Keyspace<'_>, key: Key<'_>) -> Result<Option<Blob>, CommandError> {
    Ok(match ks.read(key) {
        None => None,
        Some(value) => Some(match string(value)? {
            ValueRef::Blob(blob) => blob.clone(),
            short => Blob::new(short.to_vec()),
        }),
    })
}

/// Stores a result under the destination, which an empty one removes.
pub fn store(ks: &mut Keyspace<'_>, key: Key<'_>, result: Vec<u8>) -> Effect {
    match result.len() {
        0 if ks.remove(key) => {
            ks.notify(Events::GENERIC, "del", key);
            return Effect::AsSent { changes: 1 };
        }
        0 => return Effect::None,
        len if len > INLINE_VALUE_MAX => ks.put(key, NewValue::Blob(Blob::new(result)), Ttl::Clear),
        _ => ks.put(key, NewValue::Raw(&result), Ttl::Clear),
    }
    ks.notify(Events::STRING, "set", key);
    Effect::AsSent { changes: 1 }
}

fn read_sources(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Vec<Blob>, CommandError> {
    let read = |at| {
        let key = cx.ks.key(args, at);
        Ok(source(&mut cx.ks, key)?.unwrap_or_default())
    };
    (FIRST_SOURCE..args.len()).map(read).collect()
}

fn bitop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let operation = operation(args)?;
    let sources = read_sources(cx, args)?;
    let sources: Vec<&[u8]> = sources.iter().map(|source| source.as_slice()).collect();
    let result = combined(operation, &sources);
    cx.out.int(result.len() as i64);
    let key = cx.ks.key(args, DESTINATION);
    Ok(store(&mut cx.ks, key, result))
}
