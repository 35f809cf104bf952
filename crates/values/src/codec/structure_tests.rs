//! Every structure into parts and bytes and back, in pieces of any size.

use pinyon_base::Millis;
use proptest::prelude::*;

use super::tests::any_value;
use super::*;
use crate::Collection;
use crate::hash::HashLimits;
use crate::list::{ListLimits, NodeLimit};
use crate::set::SetLimits;
use crate::stream::BlockLimits;
use crate::zset::ZSetLimits;

fn any_limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(Limits::default()),
        Just(Limits {
            list: ListLimits { node: NodeLimit::of(3), compress: true },
            set: SetLimits { intset_entries: 0, listpack_entries: 0, listpack_value: 0, seed: 7 },
            hash: HashLimits { entries: 0, value: 0, seed: 8 },
            zset: ZSetLimits { entries: 0, value: 0, seed: 9 },
            stream: BlockLimits { entries: 3, bytes: 0 },
        }),
    ]
}

fn any_collection() -> impl Strategy<Value = Value> {
    any_value().prop_filter("no string", |value| value.kind() != Kind::String)
}

fn built(value: &Value, limits: Limits) -> Collection {
    let mut builder = Builder::new(limits);
    value.parts(&mut |part| builder.put(part).expect("a well-formed value"));
    builder.finish().expect("whole")
}

/// What a collection gives away, `budget` elements at a time.
fn saved(collection: &Collection, budget: usize) -> Value {
    let (mut saving, mut collector) = (Saving::default(), Collector::default());
    let mut elements = 0;
    loop {
        let before = elements;
        let is_done = saving.some(collection, budget, &mut |part| {
            elements += usize::from(matches!(
                part,
                Part::Item(_) | Part::Member { .. } | Part::Entry { .. } | Part::Pending { .. } | Part::Owned(_)
            ));
            collector.put(part).expect("parts of a value");
        });
        // Tables are visited by buckets, and packed ones whole.
        let is_bounded = !matches!(collection, Collection::Set(_) | Collection::Hash(_));
        assert!(!is_bounded || elements - before <= budget, "{} elements", elements - before);
        if is_done {
            break;
        }
    }
    unsigned_zeros(collector.take().expect("whole"))
}

/// In order, with zeros as zeros without a sign: a small sorted set does not keep it.
fn unsigned_zeros(mut value: Value) -> Value {
    if let Value::SortedSet(members) = &mut value {
        members.iter_mut().for_each(|(_, score)| *score += 0.0);
    }
    value.sort();
    value
}

/// As a stream has it: its first name is known from its entries, and a time below 0 means never.
fn as_kept(mut value: Value) -> Value {
    if let Value::Stream(stream) = &mut value {
        stream.state.first_id = Some(stream.entries.first().map_or(StreamId::MIN, |(id, _)| *id));
        for consumer in stream.groups.iter_mut().flat_map(|group| &mut group.consumers) {
            consumer.active_at = consumer.active_at.map(|at| at.max(Millis(-1)));
        }
    }
    unsigned_zeros(value)
}

proptest! {
    #[test]
    fn out_of_parts_and_into_parts(value in any_collection(), limits in any_limits(), budget in 1usize..50) {
        let collection = built(&value, limits);
        prop_assert_eq!(collection.len(), value.len() as u64);
        prop_assert_eq!(kind_of(&collection), value.kind());
        prop_assert_eq!(saved(&collection, budget), as_kept(value));
    }

    #[test]
    fn into_bytes_and_out_of_bytes(value in any_collection(), limits in any_limits(), compress: bool) {
        let collection = built(&value, limits);
        let settings = Settings { version: VERSION_7_4, compress };
        let mut encoder = Encoder::new(shape_of(&collection), settings);
        let mut payload = vec![encoder.number()];
        Saving::all(&collection, &mut |part| encoder.put(part, &mut payload));
        dump::seal(&encoder, settings.version, &mut payload);

        let mut builder = Builder::new(limits);
        let opened = dump::Payload::open(&payload).expect("a footer");
        opened.load(&mut |part| builder.put(part)).expect("what was saved");
        let restored = builder.finish().expect("whole");
        prop_assert_eq!(restored.encoding(), collection.encoding());
        prop_assert_eq!(saved(&restored, usize::MAX), as_kept(value));
    }
}

fn refusal(parts: &[Part<'_>]) -> Option<&'static str> {
    let mut builder = Builder::new(Limits::default());
    let refused = parts.iter().find_map(|part| builder.put(*part).err());
    assert!(refused.is_some() || builder.finish().is_none());
    refused.map(|Refused(why)| why)
}

#[test]
fn what_no_structure_holds() {
    use crate::Item;
    let (a, one) = (Item::of(b"a"), Item::Int(1));
    let begin = |kind| Part::Begin { kind, about: 0 };
    let twice = Some("an element is there twice");
    let misplaced = Some("a part that does not belong here");
    assert_eq!(refusal(&[begin(Kind::Set), Part::Item(a), Part::Item(a)]), twice);
    let field = Part::Field { field: a, value: one, expires: None };
    assert_eq!(refusal(&[begin(Kind::Hash), field, field]), twice);
    let member = Part::Member { member: a, score: 1.0 };
    assert_eq!(refusal(&[begin(Kind::SortedSet), member, Part::Member { member: a, score: 2.0 }]), twice);
    assert_eq!(refusal(&[begin(Kind::SortedSet), field]), misplaced);
    assert_eq!(refusal(&[Part::Item(a)]), misplaced);
    assert_eq!(refusal(&[begin(Kind::List), Part::Item(a)]), None, "not whole");

    let id = |ms| StreamId { ms, seq: 0 };
    let entry = |ms| Part::Entry { id: id(ms), fields: &[(Item::Int(1), Item::Int(2))] };
    let stream = |parts: &[Part<'_>]| refusal(&[&[begin(Kind::Stream)], parts].concat());
    assert_eq!(stream(&[entry(2), entry(2)]), Some("the names of entries do not ascend"));
    assert_eq!(stream(&[entry(0)]), Some("the names of entries do not ascend"));
    let state = Part::StreamState(StreamState { last_id: id(1), ..StreamState::default() });
    assert_eq!(stream(&[entry(2), state]), Some("an entry has a higher name than the last"));
    let group = Part::Group(Group { name: b"g", last_id: id(1), entries_read: None, pending: 1 });
    let pending = Part::Pending { id: id(1), delivered_at: Millis(5), deliveries: 1 };
    let consumer = |name| Part::Consumer(Consumer { name, seen_at: Millis(1), active_at: None, pending: 1 });
    let owned = Part::Owned(id(1));
    assert_eq!(stream(&[state, group, group, Part::End]), Some("a group is there twice"));
    assert_eq!(stream(&[state, group, pending, pending]), Some("pending entries do not ascend"));
    assert_eq!(stream(&[state, group, pending, consumer(b"c"), Part::End]), Some("a pending entry of nobody"));
    assert_eq!(stream(&[state, group, pending, consumer(b"c"), consumer(b"c")]), Some("a consumer is there twice"));
    assert_eq!(
        stream(&[state, group, pending, consumer(b"c"), owned, consumer(b"d"), owned]),
        Some("an entry is pending for two consumers")
    );
    assert_eq!(
        stream(&[state, group, consumer(b"c"), owned]),
        Some("a consumer's pending entry that its group does not have")
    );
    assert_eq!(stream(&[state, owned]), misplaced);
}

/// Streams of before Redis 7.0 say nothing of what groups have read: it is told by their last IDs, as Redis does.
#[test]
fn groups_of_uncounted_streams() {
    use crate::Item;
    let id = |ms| StreamId { ms, seq: 0 };
    for (added, last, read) in [
        (None, 4, Some(0)),
        (None, 5, Some(1)),
        (None, 6, None),
        (None, 7, Some(3)),
        (Some(9), 5, None),
        (Some(1), 4, None),
    ] {
        let mut builder = Builder::new(Limits::default());
        builder.put(Part::Begin { kind: Kind::Stream, about: 0 }).expect("it begins");
        for ms in 5..8 {
            builder.put(Part::Entry { id: id(ms), fields: &[(Item::Int(1), Item::Int(2))] }).expect("an entry");
        }
        let state = StreamState { last_id: id(7), entries_added: added, groups: 1, ..StreamState::default() };
        builder.put(Part::StreamState(state)).expect("the state");
        builder
            .put(Part::Group(Group { name: b"g", last_id: id(last), entries_read: None, pending: 0 }))
            .expect("a group");
        builder.put(Part::End).expect("the end");
        let Some(Collection::Stream(stream)) = builder.finish() else { panic!("it is a stream") };
        assert_eq!(stream.group(b"g").expect("it is there").entries_read, read, "{added:?} {last}");
        // However little sense the counts make.
        stream.entries_up_to(id(4));
    }
}

/// Pieces stay as small as asked for, where a collection is large.
#[test]
fn large_ones_in_pieces() {
    let fields = (0..20_000u32).map(|i| (i.to_string().into_bytes(), b"v".to_vec(), None)).collect();
    let members = (0..20_000u32).map(|i| format!("m{i}").into_bytes()).collect();
    for value in [Value::Hash(fields), Value::Set(members)] {
        let collection = built(&value, Limits::default());
        let (mut saving, mut pieces, mut largest) = (Saving::default(), 0, 0);
        loop {
            let mut parts = 0;
            let is_done = saving.some(&collection, 100, &mut |_| parts += 1);
            (pieces, largest) = (pieces + 1, largest.max(parts));
            if is_done {
                break;
            }
        }
        assert!(pieces > 20 && largest < 1000, "{pieces} pieces, the largest of {largest}");
    }
}
