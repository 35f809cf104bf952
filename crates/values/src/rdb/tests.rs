//! Files written and read again, cut and damaged anywhere; a file of redis-server 7.0.15, and records that only others write.

use pinyon_base::Millis;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::codec::tests::{any_packing, any_value};
use crate::codec::{Collector, Crc64, DecodeError, Settings, Value};

/// What a file says, in a form to compare.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    /// All but keys.
    notes: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq)]
struct Key {
    db: u64,
    key: Vec<u8>,
    expires: Option<Millis>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
    value: Value,
}

/// Reads a file that comes `cut` bytes at a time.
fn read(bytes: &[u8], cut: usize) -> Result<Contents, RdbError> {
    let mut reader = Reader::default();
    let (mut contents, mut collector, mut db) = (Contents::default(), Collector::default(), 0);
    for piece in bytes.chunks(cut) {
        reader.feed(piece, &mut |record| {
            match record {
                Record::Database(number) => db = number,
                Record::Entry(Entry { key, expires, idle_seconds, frequency, .. }) => {
                    let value = Value::String(Vec::new());
                    contents.keys.push(Key { db, key: key.to_vec(), expires, idle_seconds, frequency, value });
                }
                Record::Part(part) => collector.put(part)?,
                Record::Complete { elements } => {
                    let mut value = collector.take().expect("whole");
                    assert!(elements == 0 || elements == value.len() as u64);
                    value.sort();
                    contents.keys.last_mut().expect("its key").value = value;
                }
                Record::Aux { name, value } => {
                    contents.notes.push(format!("{}={}", name.escape_ascii(), value.escape_ascii()));
                }
                Record::Library(code) => contents.notes.push(format!("library {}", code.escape_ascii())),
                other => contents.notes.push(format!("{other:?}")),
            }
            Ok(())
        })?;
    }
    reader.finish()?;
    Ok(contents)
}

fn key() -> impl Strategy<Value = (Vec<u8>, Option<i64>, Option<u64>, Option<u8>)> {
    use proptest::option::of;
    (
        proptest::collection::vec(any::<u8>(), 0..20),
        of(any::<i64>()),
        of(any::<u32>().prop_map(u64::from)),
        of(any::<u8>()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn there_and_back(
        entries in proptest::collection::vec((key(), any_value(), any_packing(), 0u16..3), 0..6),
        compress: bool,
        cut in prop_oneof![1usize..40, Just(1 << 20)],
        at: Index,
        flip in 1u8..,
    ) {
        let settings = Settings { version: 12, compress };
        let mut writer = Writer::new(settings);
        let mut bytes = Vec::new();
        let mut expected = Contents::default();
        expected.notes.push("Version { product: Redis, version: 12 }".into());
        writer.aux("redis-ver", b"7.0.15");
        writer.aux_number("ctime", 12345);
        writer.library(b"#!lua name=l\nreturn 1");
        expected.notes.extend(["redis-ver=7.0.15".into(), "ctime=12345".into(), "library #!lua name=l\\nreturn 1".into()]);
        for ((key, expires, idle_seconds, frequency), value, packing, db) in entries {
            writer.database(db, 1, 2);
            expected.notes.push("Sizes { keys: 1, volatile: 2 }".into());
            let expires = expires.map(Millis);
            let head = EntryHead { key: &key, expires, idle_seconds, frequency };
            prop_assert_eq!(writer.entry(&head, value.shape(&packing)), Ok(()));
            value.parts(&mut |part| writer.part(part));
            expected.keys.push(Key { db: u64::from(db), key, expires, idle_seconds, frequency, value });
            bytes.extend_from_slice(writer.pending());
            writer.clear();
        }
        writer.finish();
        bytes.extend_from_slice(writer.pending());
        expected.notes.push("End(Right)".into());

        let cut = cut.max(bytes.len() / 3000);
        prop_assert_eq!(read(&bytes, cut), Ok(expected));
        let at = at.index(bytes.len());
        let is_cut = matches!(read(&bytes[..at], 1 << 20), Err(RdbError::Truncated { .. } | RdbError::NotRdb));
        prop_assert!(is_cut, "cut at {}", at);
        bytes[at] ^= flip;
        // Eight zero bytes say that there is no checksum: only then may a change be overlooked.
        let may_pass = bytes.ends_with(&[0; 8]);
        prop_assert!(may_pass || read(&bytes, 1 << 20).is_err(), "changed at {}", at);
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = read(&bytes, 7);
        let _ = read(&[&b"REDIS0012"[..], &bytes].concat(), 1000);
        let _ = read(&[&b"VALKEY080"[..], &bytes].concat(), 1000);
    }
}

fn file(version: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = [version.as_bytes(), body, &[lead::END]].concat();
    bytes.extend_from_slice(&Crc64::of(&bytes).to_le_bytes());
    bytes
}

/// The notes and keys of a file with that body.
fn contents(version: &str, body: &[u8]) -> Result<(Vec<String>, Vec<Vec<u8>>), RdbError> {
    let contents = read(&file(version, body), 1000)?;
    let notes = contents.notes[1..contents.notes.len() - 1].to_vec();
    Ok((notes, contents.keys.into_iter().map(|key| key.key).collect()))
}

#[test]
fn records_of_others() {
    let ok = |notes: &[&str], keys: &[&[u8]]| {
        Ok((notes.iter().map(|note| note.to_string()).collect(), keys.iter().map(|key| key.to_vec()).collect()))
    };
    assert_eq!(contents("REDIS0010", b""), ok(&[], &[]));
    assert_eq!(contents("VALKEY080", b"\x00\x01k\x01v"), ok(&[], &[b"k"]));
    assert_eq!(contents("REDIS0012", b"\xf4\x01\x02\x03\x00\x01k\x01v"), ok(&[], &[b"k"]), "sizes of a slot");
    // A module's field of each sort, then a key.
    let module =
        b"\xf7\x81\x80\x00\x00\x00\x00\x00\x00\x00\x02\x02\x01\x01\x03aaaa\x04aaaaaaaa\x05\x03abc\x00\x00\x01k\x01v";
    assert_eq!(contents("REDIS0010", module), ok(&["ModuleSkipped { module: \"gAAAAAAAA\" }"], &[b"k"]));
    let error = |version: &str, body: &[u8]| contents(version, body).expect_err("refused");
    assert_eq!(error("REDIS0010", b"\xf6\x01"), RdbError::PreReleaseFunctions { at: 9 });
    assert_eq!(error("REDIS0010", b"\x07\x01k\x01v"), RdbError::ModuleValue { at: 9 });
    assert_eq!(error("REDIS0010", b"\x08\x01k\x01v"), RdbError::Value { at: 9, error: DecodeError::Type(8) });
    assert_eq!(error("REDIS0013", b""), RdbError::Version(13));
    assert_eq!(error("REDIS0000", b""), RdbError::Version(0));
    assert_eq!(error("REDISabcd", b""), RdbError::NotRdb);
    assert_eq!(error("KEYS00010", b""), RdbError::NotRdb);
}

/// Wherever the file is cut, the error is at the unit that is wrong: here the second node of a list.
#[test]
fn errors_have_the_offset_of_their_unit() {
    let body = b"\x12\x01k\x02\x02\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff\x02\x09\x09\x00\x00\x00\x01\x00\x01\x02\xff";
    let error = DecodeError::Listpack("a length from behind is not the one from the front");
    for cut in [1, 2, 3, 10, 100] {
        let result = read(&file("REDIS0010", body), cut);
        assert_eq!(result, Err(RdbError::Value { at: 24, error }), "{cut} bytes at a time");
    }
}

#[test]
fn deadlines_and_uses_belong_to_the_next_key_only() {
    let body = b"\xfe\x02\xfd\x10\x00\x00\x00\xf8\x40\x64\xf9\x07\x00\x01a\x01v\x00\x01b\x01v\xfc\x10\x00\x00\x00\x00\x00\x00\x00\x00\x01c\x01v";
    let keys = read(&file("REDIS0010", body), 3).expect("well formed").keys;
    let of = |i: usize| (keys[i].db, keys[i].expires, keys[i].idle_seconds, keys[i].frequency);
    assert_eq!(of(0), (2, Some(Millis(16_000)), Some(100), Some(7)));
    assert_eq!(of(1), (2, None, None, None));
    assert_eq!(of(2), (2, Some(Millis(16)), None, None));
}

#[test]
fn checksums_and_ends() {
    let good = file("REDIS0010", b"\x00\x01k\x01v");
    let end = good.len();
    let notes = |bytes: &[u8]| read(bytes, 5).map(|contents| contents.notes.last().cloned().expect("an end"));
    assert_eq!(notes(&good), Ok("End(Right)".into()));
    let mut none = good.clone();
    none[end - 8..].fill(0);
    assert_eq!(notes(&none), Ok("End(Absent)".into()));
    let mut wrong = good.clone();
    wrong[end - 1] ^= 1;
    assert_eq!(notes(&wrong), Err(RdbError::Checksum { at: end as u64 - 8 }));
    assert_eq!(notes(&[&good[..], b"x"].concat()), Err(RdbError::BehindEnd { at: end as u64 }));
    assert_eq!(notes(&good[..end - 1]), Err(RdbError::Truncated { at: end as u64 - 1 }));
    assert_eq!(notes(b"REDIS0004\x00\x01k\x01v\xff"), Ok("End(Absent)".into()), "older files have none");
    assert_eq!(read(b"", 1), Err(RdbError::NotRdb));
}

/// A string that is longer than what came is handed out as it comes, and nothing is kept of it.
#[test]
fn long_strings_are_not_kept() {
    let text = vec![b'x'; 1 << 20];
    let mut body = b"\x00\x01k\x80\x00\x10\x00\x00".to_vec();
    body.extend_from_slice(&text);
    let bytes = file("REDIS0010", &body);
    let (mut reader, mut len, mut pieces) = (Reader::default(), 0, 0);
    for piece in bytes.chunks(10_000) {
        reader
            .feed(piece, &mut |record| {
                if let Record::Part(crate::codec::Part::Piece(piece)) = record {
                    len += piece.len();
                    pieces += 1;
                }
                Ok(())
            })
            .expect("well formed");
        assert!(reader.offset() > 0 && reader.kept_bytes() < 20);
    }
    assert!(reader.is_at_end() && reader.finish().is_ok());
    assert_eq!((len, pieces > 100), (text.len(), true));
}
