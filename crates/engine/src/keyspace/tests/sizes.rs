//! Keys and values of every size class, at the boundaries between representations, and what changing them does.

use std::sync::Arc;

use pinyon_base::{Blob, Millis};

use super::{DB, NOW, SCALE, get, put, remove, shard};
use crate::keyspace::{INLINE_VALUE_MAX, NewValue, Shard, Ttl, ValueRef};

fn text(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

const VALUE_LENS: [usize; 22] =
    [0, 1, 7, 8, 9, 20, 44, 45, 126, 127, 128, 129, 255, 490, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 1 << 20];

#[test]
fn every_size_of_key_and_value() {
    for key_len in [0, 1, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 127, 128, 129, 4095, 4096, 4097, 65_536, 1 << 20] {
        let mut shard = shard();
        for (seed, value_len) in VALUE_LENS.into_iter().enumerate() {
            let key = text(key_len, seed as u8);
            let value = text(value_len, 100 + seed as u8);
            put(&mut shard, DB, &key, &value);
            assert_eq!(get(&mut shard, DB, &key), Some(value), "{key_len} {value_len}");
        }
        shard.tables[0].check();
    }
}

/// Every value after every other one under the same key, with and without a deadline, which comes, stays and goes.
#[test]
fn every_change_of_size() {
    let key = b"the key";
    let mut shard = shard();
    let values: Vec<Vec<u8>> = VALUE_LENS.iter().filter(|len| **len <= 70_000).map(|len| text(*len, 5)).collect();
    let numbers = [0, 1, -1, 127, 128, -128, 255, 65_536, i64::MAX, i64::MIN].map(|v: i64| v.to_string().into_bytes());
    let all: Vec<&Vec<u8>> = values.iter().chain(&numbers).collect();
    let deadlines = [None, Some(Millis(NOW.0 + 1)), Some(Millis(1 << 48)), Some(Millis(i64::MAX))];
    for (i, first) in all.iter().enumerate() {
        for second in all.iter().skip(i % SCALE.max(2)).step_by(SCALE) {
            for before in deadlines {
                for after in deadlines {
                    put_until(&mut shard, key, first, before);
                    put_until(&mut shard, key, second, after);
                    expect(&mut shard, key, second, after);
                    let mut ks = shard.keyspace(DB, false);
                    ks.put(ks.key_of(key), NewValue::Text(first), Ttl::Keep);
                    assert!(ks.set_deadline(ks.key_of(key), before));
                    expect(&mut shard, key, first, before);
                }
            }
        }
    }
    shard.tables[0].check();
    assert!(remove(&mut shard, DB, key));
    shard.tables[0].check();
}

fn put_until(shard: &mut Shard, key: &[u8], value: &[u8], deadline: Option<Millis>) {
    let mut ks = shard.keyspace(DB, false);
    ks.put(ks.key_of(key), NewValue::Text(value), deadline.map_or(Ttl::Clear, Ttl::At));
}

fn expect(shard: &mut Shard, key: &[u8], value: &[u8], deadline: Option<Millis>) {
    assert_eq!(get(shard, DB, key).as_deref(), Some(value));
    let mut ks = shard.keyspace(DB, false);
    assert_eq!(ks.deadline(ks.key_of(key)), Some(deadline));
}

#[test]
fn encodings_as_redis_names_them() {
    let mut shard = shard();
    let mut ks = shard.keyspace(DB, false);
    let key = ks.key_of(b"k");
    let long = text(45, 0);
    let huge = text(INLINE_VALUE_MAX + 1, 0);
    for (value, encoding) in [
        (NewValue::Text(b"12"), "int"),
        (NewValue::Text(b"-9223372036854775808"), "int"),
        (NewValue::Text(b"012"), "embstr"),
        (NewValue::Text(b"9223372036854775808"), "embstr"),
        (NewValue::Text(b""), "embstr"),
        (NewValue::Text(&long[..44]), "embstr"),
        (NewValue::Text(&long), "raw"),
        (NewValue::Text(&huge), "raw"),
        (NewValue::Plain(b"12"), "embstr"),
        (NewValue::Raw(b"12"), "raw"),
        (NewValue::Int(12), "int"),
        (NewValue::Blob(Blob::new(huge.clone())), "raw"),
    ] {
        ks.put(key, value.clone(), Ttl::Clear);
        assert_eq!(ks.read(key).map(|value| value.encoding()), Some(encoding), "{value:?}");
    }
    ks.put(key, NewValue::Int(-7), Ttl::Clear);
    assert_eq!(ks.append(key, b"x"), 3);
    assert_eq!(ks.read(key).map(|value| (value.to_vec(), value.encoding())), Some((b"-7x".to_vec(), "raw")));
    assert_eq!(ks.read(key).and_then(|value| value.parse_i64()), None);
    ks.put(key, NewValue::Plain(b"12"), Ttl::Clear);
    assert_eq!(ks.read(key).and_then(|value| value.parse_i64()), Some(12));
}

/// A long value changes where it is unless a reply still carries it; then the reply keeps what it had.
#[test]
fn replies_keep_the_value_they_carry() {
    let mut shard = shard();
    let mut ks = shard.keyspace(DB, false);
    let key = ks.key_of(b"k");
    ks.put(key, NewValue::Text(&text(10_000, 0)), Ttl::Clear);
    let Some(ValueRef::Blob(blob)) = ks.read(key) else { panic!("longer than what is stored inline") };
    let carried = blob.clone();
    assert_eq!(ks.append(key, b"more"), 10_004);
    assert_eq!(*carried, text(10_000, 0));
    assert_eq!(ks.set_range(key, 0, b"other"), 10_004);
    let Some(ValueRef::Blob(blob)) = ks.read(key) else { panic!("still long") };
    assert_eq!((Arc::strong_count(blob), Arc::strong_count(&carried)), (1, 1));
    assert_eq!((&blob[..6], &blob[10_000..]), (&[b'o', b't', b'h', b'e', b'r', text(6, 0)[5]][..], &b"more"[..]));
    let address = blob.as_ptr();
    ks.append(key, b"!");
    let Some(ValueRef::Blob(blob)) = ks.read(key) else { panic!("still long") };
    assert_eq!(blob.as_ptr(), address, "there was room");
}

#[test]
fn appending_byte_by_byte_crosses_all_representations() {
    let mut shard = shard();
    let mut ks = shard.keyspace(DB, false);
    let key = ks.key_of(b"log");
    let whole = text(9000 / SCALE, 3);
    for (i, byte) in whole.iter().enumerate() {
        assert_eq!(ks.append(key, &[*byte]), i + 1);
    }
    assert_eq!(get(&mut shard, DB, b"log"), Some(whole));
    shard.tables[0].check();
}

#[test]
fn a_range_beyond_the_end_is_padded() {
    let mut shard = shard();
    let mut ks = shard.keyspace(DB, false);
    for (before, offset) in [("", 5), ("ab", 5), ("123", 1), ("abcdefgh", 4000), ("x", 5000), ("y", 100_000)] {
        let key = ks.key_of(before.as_bytes());
        if !before.is_empty() {
            ks.put(key, NewValue::Text(before.as_bytes()), Ttl::Clear);
        }
        let mut expected = before.as_bytes().to_vec();
        expected.resize(expected.len().max(offset + 3), 0);
        expected[offset..offset + 3].copy_from_slice(b"RNG");
        assert_eq!(ks.set_range(key, offset, b"RNG"), expected.len());
        assert_eq!(ks.read(key).map(|value| value.to_vec()), Some(expected));
    }
}
