//! The codec as a whole: every kind of value there and back, in every form and cut anywhere; damage of every byte; values as
//! real servers dump them, and in forms that no server writes any more.

use pinyon_base::Millis;
use proptest::prelude::*;
use proptest::sample::Index;

use super::dump::{self, Payload, PayloadError};
use super::whole::{Consumer, Group, Stream};
use super::*;

/// Any text of an element.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..12),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => (-300i64..300).prop_map(|n| n.to_string().into_bytes()),
        1 => (0usize..300).prop_map(|len| (0..len).map(|i| b"abcd"[i / 5 % 4]).collect()),
    ]
}

fn texts(max: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::btree_set(text(), 1..max).prop_map(|set| set.into_iter().collect())
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("a number", |score| !score.is_nan()),
        (-1000i32..1000).prop_map(f64::from),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(9_007_199_254_740_993.0),
    ]
}

fn deadline() -> impl Strategy<Value = Option<Millis>> {
    prop_oneof![Just(None), (1i64..1 << 45).prop_map(|at| Some(Millis(at)))]
}

fn id() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        (1u64..50, 0u64..4).prop_map(|(ms, seq)| StreamId { ms, seq }),
        (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| StreamId { ms, seq }),
    ]
}

fn group(name: Vec<u8>) -> impl Strategy<Value = Group> {
    let pending = proptest::collection::btree_map(id(), (0i64..1 << 45, 0u64..1000, 0usize..3), 0..8);
    let consumers = proptest::collection::btree_set(text(), 3);
    let known = proptest::option::of(0u64..1 << 40);
    (id(), known, pending, consumers, 0i64..1 << 45).prop_map(move |(last_id, entries_read, pending, names, seen)| {
        let consumers = names.into_iter().enumerate().map(|(i, name)| Consumer {
            name,
            seen_at: Millis(seen),
            active_at: Some(Millis(seen - i as i64)),
            pending: pending.iter().filter(|(_, (.., owner))| *owner == i).map(|(id, _)| *id).collect(),
        });
        Group {
            name: name.clone(),
            last_id,
            entries_read,
            consumers: consumers.collect(),
            pending: pending.iter().map(|(id, (at, count, _))| (*id, Millis(*at), *count)).collect(),
        }
    })
}

fn stream() -> impl Strategy<Value = Stream> {
    let fields = || proptest::collection::vec((text(), text()), 0..4);
    let usual = vec![(b"field".to_vec(), b"1".to_vec()), (b"2".to_vec(), b"value".to_vec())];
    let entry = prop_oneof![Just(usual), fields()];
    let entries = proptest::collection::btree_map(id(), entry, 0..250);
    let groups = texts(3).prop_flat_map(|names| names.into_iter().map(group).collect::<Vec<_>>());
    (entries, groups, id(), id(), any::<u32>()).prop_map(|(entries, groups, first, deleted, added)| {
        let last_id = entries.keys().next_back().copied().unwrap_or_default();
        let state = StreamState {
            length: entries.len() as u64,
            last_id,
            first_id: Some(first),
            max_deleted_id: Some(deleted),
            entries_added: Some(u64::from(added)),
            groups: groups.len() as u64,
        };
        Stream { entries: entries.into_iter().collect(), state, groups }
    })
}

/// Any value that a key can hold.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let fields = texts(40).prop_flat_map(|fields| {
        let rest = proptest::collection::vec((text(), deadline()), fields.len());
        rest.prop_map(move |rest| {
            fields.iter().cloned().zip(rest).map(|(field, (value, at))| (field, value, at)).collect()
        })
    });
    let plain_fields =
        texts(40).prop_map(|fields| fields.into_iter().map(|field| (field.clone(), field, None)).collect());
    let members = texts(40).prop_flat_map(|members| {
        let scores = proptest::collection::vec(score(), members.len());
        scores.prop_map(move |scores| members.iter().cloned().zip(scores).collect())
    });
    let integers = proptest::collection::btree_set(any::<i64>(), 1..30);
    let mixed = prop_oneof![
        text().prop_map(Value::String),
        (0usize..200_000).prop_map(|len| Value::String((0..len).map(|i| (i * i) as u8).collect())),
        proptest::collection::vec(text(), 1..40).prop_map(Value::List),
        texts(40).prop_map(Value::Set),
        integers.prop_map(|set| Value::Set(set.iter().map(|n| n.to_string().into_bytes()).collect())),
        fields.prop_map(Value::Hash),
        plain_fields.prop_map(Value::Hash),
        members.prop_map(Value::SortedSet),
        stream().prop_map(|stream| Value::Stream(Box::new(stream))),
    ];
    mixed.prop_map(|mut value| {
        value.sort();
        value
    })
}

pub(crate) fn any_packing() -> impl Strategy<Value = Packing> {
    prop_oneof![
        Just(Packing { elements_max: 0, bytes_max: 0 }),
        Just(Packing { elements_max: 1000, bytes_max: 1000 }),
        Just(Packing::default()),
    ]
}

/// Decodes with the bytes coming `cut` at a time.
fn decode_cut(encoding: Encoding, bytes: &[u8], cut: usize) -> Result<Option<Value>, DecodeError> {
    let (mut decoder, mut collector) = (Decoder::new(encoding), Collector::default());
    let (mut from, mut to, mut need) = (0, 0, 1);
    while to < bytes.len() {
        to = (to + cut).min(bytes.len());
        if to - from < need {
            continue;
        }
        let step = decoder.step(&bytes[from..to], &mut |part| collector.put(part))?;
        from += step.consumed;
        if step.need == 0 {
            return Ok(collector.take());
        }
        assert!(step.need > to - from, "needs more than there is");
        need = step.need;
    }
    Ok(None)
}

/// A value as it comes back: what a version of the format does not have is not there.
fn as_written(mut value: Value, version: u16) -> Value {
    if version < 11
        && let Value::Stream(stream) = &mut value
    {
        stream.groups.iter_mut().flat_map(|group| &mut group.consumers).for_each(|consumer| consumer.active_at = None);
    }
    value
}

proptest! {
    #[test]
    fn there_and_back(
        value in any_value(),
        packing in any_packing(),
        version in prop_oneof![Just(10u16), Just(11), Just(12)],
        compress: bool,
        cut in prop_oneof![1usize..40, Just(100_000)],
    ) {
        let settings = Settings { version, compress };
        let mut bytes = Vec::new();
        let encoder = value.encode(&packing, settings, &mut bytes);
        let encoding = Encoding::of(encoder.number(), encoder.version()).expect("a known one");
        prop_assert_eq!(encoding.kind(), value.kind());
        let cut = cut.max(bytes.len() / 2000);
        let mut decoded = decode_cut(encoding, &bytes, cut).expect("what was encoded").expect("all of it");
        decoded.sort();
        prop_assert_eq!(decoded, as_written(value, version));
    }

    /// Cut anywhere it is not whole; changed anywhere it is refused, or another value, but never a panic.
    #[test]
    fn damage(value in any_value(), packing in any_packing(), at: Index, flip in 1u8.., version in 10u16..13) {
        let mut bytes = Vec::new();
        let encoder = value.encode(&packing, Settings { version, compress: true }, &mut bytes);
        let encoding = Encoding::of(encoder.number(), encoder.version()).expect("a known one");
        let at = at.index(bytes.len());
        prop_assert_eq!(decode_cut(encoding, &bytes[..at], usize::MAX >> 1), Ok(None));
        bytes[at] ^= flip;
        let _ = decode_cut(encoding, &bytes, usize::MAX >> 1);
    }

    #[test]
    fn any_bytes(number in 0u8..30, version in prop_oneof![10u16..13, Just(80)], bytes: Vec<u8>) {
        if let Ok(encoding) = Encoding::of(number, version) {
            let _ = decode_cut(encoding, &bytes, usize::MAX >> 1);
        }
    }

    #[test]
    fn payloads(value in any_value(), packing in any_packing(), version in 10u16..13) {
        let payload = dumped(&value, &packing, version);
        prop_assert_eq!(load(&payload).expect("what was dumped"), as_written(value, version));
    }
}

fn dumped(value: &Value, packing: &Packing, version: u16) -> Vec<u8> {
    let settings = Settings { version, compress: true };
    let mut body = Vec::new();
    let encoder = value.encode(packing, settings, &mut body);
    let mut payload = vec![encoder.number()];
    payload.extend_from_slice(&body);
    dump::seal(&encoder, version, &mut payload);
    payload
}

fn load(payload: &[u8]) -> Result<Value, PayloadError> {
    let mut collector = Collector::default();
    Payload::open(payload)?.load(&mut |part| collector.put(part))?;
    let mut value = collector.take().expect("whole");
    value.sort();
    Ok(value)
}

/// Every byte of one value of each kind: cut there, and each of its bits changed.
#[test]
fn every_byte_and_bit() {
    let settings = Settings { version: 12, compress: true };
    for (name, value) in examples() {
        for elements_max in [0, 1000] {
            let mut bytes = Vec::new();
            let encoder = value.encode(&Packing { elements_max, bytes_max: 100 }, settings, &mut bytes);
            let encoding = Encoding::of(encoder.number(), encoder.version()).expect("a known one");
            for at in 0..bytes.len() {
                assert_eq!(decode_cut(encoding, &bytes[..at], usize::MAX >> 1), Ok(None), "{name} cut at {at}");
                for bit in 0..8 {
                    bytes[at] ^= 1 << bit;
                    let _ = decode_cut(encoding, &bytes, usize::MAX >> 1);
                    bytes[at] ^= 1 << bit;
                }
            }
        }
    }
}

fn examples() -> Vec<(&'static str, Value)> {
    let b = |text: &str| text.as_bytes().to_vec();
    let id = |ms, seq| StreamId { ms, seq };
    let consumer = Consumer { name: b("c"), seen_at: Millis(7), active_at: Some(Millis(6)), pending: vec![id(1, 1)] };
    let group = Group {
        name: b("g"),
        last_id: id(1, 1),
        entries_read: Some(1),
        pending: vec![(id(1, 1), Millis(5), 2)],
        consumers: vec![consumer],
    };
    let state = StreamState { length: 3, last_id: id(9, 9), groups: 1, ..StreamState::default() };
    let entries = vec![
        (id(1, 1), vec![(b("a"), b("1")), (b("b"), b("2"))]),
        (id(2, 0), vec![(b("a"), b("3")), (b("b"), b("x"))]),
        (id(2, 5), vec![(b("q"), b("x"))]),
    ];
    vec![
        ("string", Value::String(vec![b'a'; 60])),
        ("list", Value::List(vec![b("a"), b("1"), b("-70000"), vec![b'x'; 30]])),
        ("set", Value::Set(vec![b("a"), b("b"), b("1")])),
        ("integers", Value::Set(vec![b("1"), b("2"), b("70000")])),
        ("hash", Value::Hash(vec![(b("f"), b("v"), None), (b("g"), b("12"), None)])),
        ("deadlines", Value::Hash(vec![(b("f"), b("v"), Some(Millis(2_000_000_000_123))), (b("g"), b("12"), None)])),
        ("sorted set", Value::SortedSet(vec![(b("n"), f64::NEG_INFINITY), (b("a"), 1.5), (b("b"), 2.0)])),
        ("stream", Value::Stream(Box::new(Stream { entries, state, groups: vec![group] }))),
    ]
}

/// DUMP of redis-server 7.0.15, redis-server 8.0.6 and valkey-server 9.1.2.
#[test]
fn hashes_with_deadlines_as_servers_dump_them() {
    let b = |text: &str| text.as_bytes().to_vec();
    let at = |ms: i64| Some(Millis(2_000_000_000_000 + ms));
    let small = Value::Hash(vec![(b("f"), b("v"), at(123)), (b("g"), b("12"), None)]);
    let large =
        Value::Hash(vec![(b("f"), vec![b'v'; 100], at(123)), (b("g"), b("12"), None), (b("k"), b("a"), at(777))]);
    let redis_small = b"\x19{ J\xa9\xd1\x01\x00\x00\x1e\x1e\x00\x00\x00\x06\x00\x81f\x02\x81v\x02\xf4{ J\xa9\xd1\x01\
        \x00\x00\t\x81g\x02\x0c\x01\x00\x01\xff\x0c\x00&t\x85>%\xbb\xf6\xc4";
    let redis_large =
        b"\x18{ J\xa9\xd1\x01\x00\x00\x03\x00\x01g\xc0\x0c\x01\x01f\xc3\t@d\x01vv\xe0W\x00\x01vvB\x8f\x01k\
        \x01a\x0c\x00\xea{\xaf\x04\r\xda\xc1`";
    let valkey_small =
        b"\x16\x02\x01f\x01v{ J\xa9\xd1\x01\x00\x00\x01g\xc0\x0c\xff\xff\xff\xff\xff\xff\xff\xffP\x000\xda/\xe0\xf6\xb0\n<";
    let valkey_large =
        b"\x16\x03\x01f\xc3\t@d\x01vv\xe0W\x00\x01vv{ J\xa9\xd1\x01\x00\x00\x01g\xc0\x0c\xff\xff\xff\xff\xff\
        \xff\xff\xff\x01k\x01a\t#J\xa9\xd1\x01\x00\x00P\x00\x1b\xaf\xc3\x074j\xc8&";
    assert_eq!(load(redis_small), Ok(small.clone()));
    assert_eq!(load(redis_large), Ok(large.clone()));
    assert_eq!(load(valkey_small), Ok(small));
    assert_eq!(load(valkey_large), Ok(large));
}

/// Encodings that only files of older servers have, made by hand.
#[test]
fn encodings_of_old() {
    use super::ziplist::making::{ziplist, zipmap};
    use crate::Item;
    let b = |text: &str| text.as_bytes().to_vec();
    let long = vec![b'l'; 300];
    let (a, one, two, far) = (Item::of(b"a"), Item::Int(1), Item::of(b"2.5"), Item::of(&long));
    let as_string = |bytes: &[u8]| {
        let mut out = Vec::new();
        write_text(bytes, true, &mut out);
        out
    };
    let pairs = ziplist(&[a, one, far, two]);
    let one_node = [&[1][..], &as_string(&pairs)].concat();
    let hash = Value::Hash(vec![(b("a"), b("1"), None), (long.clone(), b("2.5"), None)]);
    let members = Value::SortedSet(vec![(b("a"), 1.0), (long.clone(), 2.5)]);
    let list = Value::List(vec![b("a"), b("1"), long.clone(), b("2.5")]);
    let fields: [(&[u8], &[u8]); 2] = [(b"a", b"1"), (&long, b"2.5")];
    for (number, bytes, value) in [
        (10, as_string(&pairs), &list),
        (14, one_node, &list),
        (13, as_string(&pairs), &hash),
        (9, as_string(&zipmap(&fields)), &hash),
        (12, as_string(&pairs), &members),
        (3, [&b"\x02\x01a\x011"[..], &as_string(&long), b"\x032.5"].concat(), &members),
        (
            3,
            b"\x02\x01a\xff\x01b\xfe".to_vec(),
            &Value::SortedSet(vec![(b("a"), f64::NEG_INFINITY), (b("b"), f64::INFINITY)]),
        ),
        (1, [&b"\x04\x01a\xc0\x01"[..], &as_string(&long), b"\x032.5"].concat(), &list),
        (
            18,
            [&b"\x03\x01\x01a\x01\xc0\x01\x02"[..], b"\x0c\x0c\x00\x00\x00\x01\x00\x83", b"2.5\x04\xff"].concat(),
            &Value::List(vec![b("a"), b("1"), b("2.5")]),
        ),
    ] {
        let encoding = Encoding::of(number, 10).expect("a known one");
        for cut in [1, 7, 100_000] {
            let decoded = decode_cut(encoding, &bytes, cut).map(|value| {
                value.map(|mut value| {
                    value.sort();
                    value
                })
            });
            assert_eq!(decoded, Ok(Some(value.clone())), "{number}, {cut} at a time");
        }
    }
    let nan = decode_cut(Encoding::SortedSetText, b"\x01\x01a\xfd", 100);
    assert_eq!(nan, Err(DecodeError::Score));
}

/// The stream of `XADD st 1-1 a 1 b 2`, `XADD st 2-1 a 3 b x`, `XADD st 2-5 q x`, `XDEL st 2-1` with a group that has read one
/// entry, dumped by redis-server 7.0.15: what is deleted is not there.
#[test]
fn a_node_with_deleted_entries() {
    let node = b"\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01>>\x00\x00\x00\x19\x00\x02\x01\x01\
        \x01\x02\x01\x81a\x02\x81b\x02\x00\x01\x02\x01\x00\x01\x00\x01\x01\x01\x02\x01\x05\x01\x03\x01\x01\x01\x00\x01\x03\x01\
        \x81x\x02\x05\x01\x00\x01\x01\x01\x04\x01\x01\x01\x81q\x02\x81x\x02\x06\x01\xff";
    let rest = b"\x02\x02\x05\x01\x01\x02\x01\x03\x00";
    let bytes = [&node[..], rest].concat();
    let value = decode_cut(Encoding::Stream(StreamForm::Counts), &bytes, 1000).expect("well formed").expect("whole");
    let Value::Stream(stream) = value else { panic!("{value:?}") };
    let ids: Vec<(u64, u64)> = stream.entries.iter().map(|(id, _)| (id.ms, id.seq)).collect();
    assert_eq!(ids, [(1, 1), (2, 5)]);
    assert_eq!(stream.entries[1].1, [(b"q".to_vec(), b"x".to_vec())]);
    let state = stream.state;
    assert_eq!((state.last_id, state.first_id), (StreamId { ms: 2, seq: 5 }, Some(StreamId { ms: 1, seq: 1 })));
    assert_eq!((state.max_deleted_id, state.entries_added), (Some(StreamId { ms: 2, seq: 1 }), Some(3)));
}

/// A count of 2⁶³ elements, a string of 2⁶² bytes, compressed ones of any length: all refused, or waited for, without memory.
#[test]
fn claims_reserve_nothing() {
    let huge = b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff";
    for number in [0u8, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 24, 25] {
        let encoding = Encoding::of(number, 12).expect("a known one");
        for bytes in [&huge[..], &[0; 40], &[&huge[..], huge].concat(), &[&[0xC3, 0x01][..], huge, b"a"].concat()] {
            let _ = decode_cut(encoding, bytes, 1000);
        }
    }
}
