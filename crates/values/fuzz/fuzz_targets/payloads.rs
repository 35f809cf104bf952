//! RESTORE's payloads of any bytes, their checksum made right: decoding must not panic, nor take memory that the payload does
//! not justify, and what comes out must come out again when it is encoded.
//!
//! The first byte chooses the version of the format and how the value is encoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyon_values::codec::dump::{Payload, seal};
use pinyon_values::codec::{Builder, Collector, Crc64, Kind, Limits, Packing, Saving, Settings, VERSION_7_4, Value};

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let version: u16 = [9, 10, 11, 12, 80][usize::from(choice % 5)];
    let mut payload = [body, &version.to_le_bytes()].concat();
    payload.extend_from_slice(&Crc64::of(&payload).to_le_bytes());
    let Some(value) = load(&payload) else {
        return;
    };
    build(&payload, &value);
    let elements_max = if choice & 128 == 0 { 0 } else { usize::MAX };
    let packing = Packing { elements_max, bytes_max: elements_max };
    let settings = Settings { version: VERSION_7_4, compress: choice & 64 == 0 };
    let mut encoded = Vec::new();
    let encoder = value.encode(&packing, settings, &mut encoded);
    let mut again = [&[encoder.number()][..], &encoded].concat();
    seal(&encoder, settings.version, &mut again);
    assert_eq!(newest(value), newest(load(&again).expect("what was encoded")));
});

/// The structure that the payload makes, if it makes one, gives the same value away.
fn build(payload: &[u8], value: &Value) {
    let mut builder = Builder::new(Limits::default());
    let opened = Payload::open(payload).expect("was opened before");
    if opened.kind() == Kind::String || opened.load(&mut |part| builder.put(part)).is_err() {
        return;
    }
    let collection = builder.finish().expect("whole");
    let mut collector = Collector::default();
    Saving::all(&collection, &mut |part| collector.put(part).expect("parts of a value"));
    let saved = collector.take().expect("whole");
    assert_eq!((saved.kind(), saved.len()), (value.kind(), value.len()));
    if !matches!(value, Value::Stream(_)) {
        assert_eq!(format!("{:?}", plain(saved)), format!("{:?}", plain(value.clone())));
    }
}

/// In order; a score of -0 is 0, as small sorted sets have it in Redis, too.
fn plain(mut value: Value) -> Value {
    if let Value::SortedSet(members) = &mut value {
        members.iter_mut().for_each(|(_, score)| *score += 0.0);
    }
    value.sort();
    value
}

/// The value as text, so that a score of -0 is not 0; with what versions before the newest do not have of a stream.
fn newest(mut value: Value) -> String {
    if let Value::Stream(stream) = &mut value {
        let state = &mut stream.state;
        state.first_id.get_or_insert_default();
        state.max_deleted_id.get_or_insert_default();
        state.entries_added.get_or_insert(state.length);
        for consumer in stream.groups.iter_mut().flat_map(|group| &mut group.consumers) {
            consumer.active_at.get_or_insert(consumer.seen_at);
        }
    }
    format!("{value:?}")
}

fn load(payload: &[u8]) -> Option<Value> {
    let mut collector = Collector::default();
    Payload::open(payload).ok()?.load(&mut |part| collector.put(part)).ok()?;
    let mut value = collector.take()?;
    value.sort();
    Some(value)
}
