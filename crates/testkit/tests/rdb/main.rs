//! The codec of values against the servers whose format it is: what they save and dump is read and compared with what they
//! say themselves, and what is written here is loaded by them.
//!
//! `PINYON_SEED` repeats a run. A server that is missing fails these tests: scripts/oracles fetches it.

mod ask;
mod dataset;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ask::{ask, say, value_of};
use pinyon_base::Millis;
use pinyon_testkit::{Client, Program, Random, Server, ServerOptions, Value as Reply};
use pinyon_values::codec::dump::{Payload, seal};
use pinyon_values::codec::{Collector, Crc64, Packing, Settings, Value};
use pinyon_values::rdb::{Entry, EntryHead, Reader, Record, Writer};

const PROGRAMS: [Program; 3] = [Program::Redis, Program::Redis8, Program::Valkey];
/// Redis and Valkey differ about elements of exactly 16,383 bytes in listpacks.
const PACKED: Packing = Packing { elements_max: 10_000, bytes_max: 16_000 };
const PLAIN: Packing = Packing { elements_max: 0, bytes_max: 0 };

fn start(program: Program, words: &[&str]) -> (Server, Client) {
    let options = ServerOptions::new(program).args(["--enable-debug-command", "yes"]).args(words.iter().copied());
    let server = options.start().unwrap_or_else(|error| panic!("{error}"));
    let client = server.client().expect("a connection");
    (server, client)
}

fn random() -> Random {
    let seed = std::env::var("PINYON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("PINYON_SEED={seed}");
    Random::new(seed)
}

/// Everything that a file says, by database and key.
#[derive(Debug, Default, PartialEq)]
struct Dataset {
    keys: BTreeMap<(u64, Vec<u8>), Key>,
    libraries: Vec<Vec<u8>>,
    /// The numbers of all encodings that were met.
    encodings: BTreeSet<u8>,
    aux: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, PartialEq)]
struct Key {
    expires: Option<Millis>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
    value: Value,
}

/// Reads a file, some bytes at a time.
fn read(bytes: &[u8], step: usize) -> Dataset {
    let (mut reader, mut collector, mut db) = (Reader::default(), Collector::default(), 0);
    let (mut dataset, mut name) = (Dataset::default(), Vec::new());
    for piece in bytes.chunks(step) {
        let mut sink = |record: Record<'_>| {
            match record {
                Record::Database(number) => db = number,
                Record::Aux { name, value } => {
                    dataset.aux.insert(String::from_utf8_lossy(name).into_owned(), value.to_vec());
                }
                Record::Library(source) => dataset.libraries.push(source.to_vec()),
                Record::Entry(Entry { key, encoding, expires, idle_seconds, frequency }) => {
                    dataset.encodings.insert(encoding.number());
                    name = key.to_vec();
                    let value = Value::String(Vec::new());
                    let entry = Key { expires, idle_seconds, frequency, value };
                    assert!(dataset.keys.insert((db, name.clone()), entry).is_none(), "a key twice");
                }
                Record::Part(part) => collector.put(part)?,
                Record::Complete { .. } => {
                    let mut value = collector.take().expect("whole");
                    value.sort();
                    dataset.keys.get_mut(&(db, name.clone())).expect("its key").value = value;
                }
                _ => {}
            }
            Ok(())
        };
        reader.feed(piece, &mut sink).unwrap_or_else(|error| panic!("{error}"));
    }
    reader.finish().unwrap_or_else(|error| panic!("{error}"));
    dataset
}

/// A file of this dataset.
fn write(dataset: &Dataset, packing: &Packing, settings: Settings) -> Vec<u8> {
    let mut writer = Writer::new(settings);
    dataset.aux.iter().for_each(|(name, value)| writer.aux(name, value));
    dataset.libraries.iter().for_each(|source| writer.library(source));
    let mut last = None;
    for ((db, key), entry) in &dataset.keys {
        if last != Some(*db) {
            let keys = || dataset.keys.iter().filter(|((other, _), _)| other == db);
            let volatile = keys().filter(|(_, entry)| entry.expires.is_some()).count();
            writer.database(*db as u16, keys().count() as u64, volatile as u64);
            last = Some(*db);
        }
        let Key { expires, idle_seconds, frequency, value } = entry;
        let head = EntryHead { key, expires: *expires, idle_seconds: *idle_seconds, frequency: *frequency };
        writer.entry(&head, value.shape(packing)).unwrap_or_else(|error| panic!("{error}"));
        value.parts(&mut |part| writer.part(part));
    }
    writer.finish();
    writer.pending().to_vec()
}

/// All keys that a server holds are those of the dataset, and hold the same.
#[track_caller]
fn assert_holds(client: &mut Client, dataset: &Dataset) {
    let mut found = 0;
    for db in 0..16 {
        say(client, &format!("SELECT {db}"));
        found += say(client, "DBSIZE").as_int().expect("a number");
    }
    assert_eq!(found, dataset.keys.len() as i64, "number of keys");
    for ((db, key), entry) in &dataset.keys {
        say(client, &format!("SELECT {db}"));
        let expires = ask(client, &[b"PEXPIRETIME", key]).as_int().filter(|at| *at >= 0).map(Millis);
        assert_eq!(entry.expires, expires, "{}", key.escape_ascii());
        assert_eq!(entry.value, value_of(client, key), "{}", key.escape_ascii());
    }
    say(client, "SELECT 0");
}

fn saved(server: &Server, client: &mut Client) -> Vec<u8> {
    say(client, "SAVE");
    fs::read(server.folder().join("dump.rdb")).expect("the file")
}

/// Has a server load a file instead of what it holds.
fn load(server: &Server, client: &mut Client, bytes: &[u8]) {
    fs::write(server.folder().join("dump.rdb"), bytes).expect("room");
    say(client, "FUNCTION FLUSH");
    say(client, "DEBUG RELOAD NOSAVE");
}

fn digest(client: &mut Client) -> String {
    say(client, "DEBUG DIGEST").as_str().expect("a digest").to_string()
}

/// The encodings that a server saves.
fn encodings(program: Program) -> &'static [u8] {
    match program {
        Program::Redis8 => &[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 24, 25],
        Program::Valkey => &[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 22],
        _ => &[0, 2, 4, 5, 11, 16, 17, 18, 19],
    }
}

#[test]
fn what_servers_save_is_what_they_say() {
    for program in PROGRAMS {
        let (server, mut client) = start(program, &["--maxmemory-policy", "allkeys-lru"]);
        dataset::fill(&mut client, &mut random(), program != Program::Redis);
        let bytes = saved(&server, &mut client);
        let dataset = read(&bytes, 100_000);
        assert_holds(&mut client, &dataset);
        // Keys with a small number share one object, which was used who knows when.
        for (key, entry) in dataset.keys.iter().filter(|((_, key), _)| !key.starts_with(b"number:")) {
            assert!(
                entry.idle_seconds.is_some_and(|idle| idle < 1000),
                "{program:?} {key:?}: {:?}",
                entry.idle_seconds
            );
        }
        assert_eq!(dataset.libraries.len(), 1);
        assert_eq!(dataset.encodings.iter().copied().collect::<Vec<u8>>(), encodings(program), "{program:?}");
        assert!(dataset.aux.contains_key("ctime"));
        for step in [1, 1000] {
            assert!(read(&bytes, step) == dataset, "{program:?}: {step} bytes at a time");
        }
        // Uncompressed and with counters of uses.
        say(&mut client, "CONFIG SET rdbcompression no maxmemory-policy allkeys-lfu");
        let dataset = read(&saved(&server, &mut client), 1 << 20);
        assert_holds(&mut client, &dataset);
        assert!(dataset.keys.values().all(|key| key.frequency.is_some()));
    }
}

/// Into the server itself, and what has no deadlines of fields into redis-server 7.0.15 too.
#[test]
fn what_is_written_is_loaded_by_servers() {
    let (oldest, mut oldest_client) = start(Program::Redis, &[]);
    for program in PROGRAMS {
        let (server, mut client) = start(program, &[]);
        dataset::fill(&mut client, &mut random(), program == Program::Redis8);
        let before = digest(&mut client);
        let mut dataset = read(&saved(&server, &mut client), 1 << 20);
        for packing in [PACKED, PLAIN, Packing::default()] {
            for compress in [false, true] {
                let version = if program == Program::Redis8 { 12 } else { 10 };
                load(&server, &mut client, &write(&dataset, &packing, Settings { version, compress }));
                assert_eq!(digest(&mut client), before, "{program:?} {packing:?}");
                let mut expected = read(&saved(&server, &mut client), 1 << 20);
                expected.aux = dataset.aux.clone();
                expected.encodings = dataset.encodings.clone();
                without_active_times(&mut expected);
                without_active_times(&mut dataset);
                assert!(expected == dataset, "{program:?} {packing:?}: {}", difference(&expected, &dataset));
            }
        }
        dataset.keys.retain(|_, key| !has_deadlines(&key.value));
        load(&oldest, &mut oldest_client, &write(&dataset, &Packing::default(), Settings::default()));
        assert_holds(&mut oldest_client, &dataset);
        assert_eq!(read(&saved(&oldest, &mut oldest_client), 1 << 20).libraries, dataset.libraries);
    }
}

fn difference(a: &Dataset, b: &Dataset) -> String {
    let keys = a.keys.iter().filter(|(key, entry)| b.keys.get(*key) != Some(*entry));
    let shown = |(key, entry): (&(u64, Vec<u8>), &Key)| format!("{key:?}: {entry:?} and {:?}", b.keys.get(key));
    keys.map(shown).collect::<String>().chars().take(3000).collect()
}

/// Version 10 does not have them.
fn without_active_times(dataset: &mut Dataset) {
    for key in dataset.keys.values_mut() {
        if let Value::Stream(stream) = &mut key.value {
            stream.groups.iter_mut().flat_map(|group| &mut group.consumers).for_each(|one| one.active_at = None);
        }
    }
}

fn has_deadlines(value: &Value) -> bool {
    matches!(value, Value::Hash(fields) if fields.iter().any(|(.., at)| at.is_some()))
}

fn opened(payload: &[u8]) -> Value {
    let mut collector = Collector::default();
    let opened = Payload::open(payload).unwrap_or_else(|error| panic!("{error}"));
    opened.load(&mut |part| collector.put(part)).unwrap_or_else(|error| panic!("{error}"));
    let mut value = collector.take().expect("whole");
    value.sort();
    value
}

fn payload(value: &Value, packing: &Packing, settings: Settings) -> Vec<u8> {
    let mut body = Vec::new();
    let encoder = value.encode(packing, settings, &mut body);
    let mut payload = [&[encoder.number()][..], &body].concat();
    seal(&encoder, settings.version, &mut payload);
    payload
}

#[test]
fn payloads_go_both_ways() {
    for program in PROGRAMS {
        let (_server, mut client) = start(program, &[]);
        dataset::fill(&mut client, &mut random(), program != Program::Redis);
        let keys = say(&mut client, "KEYS *");
        for key in keys.as_array().expect("keys").iter().map(|key| key.as_bytes().expect("a key")) {
            let value = value_of(&mut client, key);
            let dumped = ask(&mut client, &[b"DUMP", key]);
            assert_eq!(opened(dumped.as_bytes().expect("a payload")), value, "{}", key.escape_ascii());
            // Valkey 9 knows deadlines of fields only in its own form, which is not written here.
            if program == Program::Valkey && has_deadlines(&value) {
                continue;
            }
            for packing in [PACKED, PLAIN] {
                let made = payload(&value, &packing, Settings::default());
                ask(&mut client, &[b"RESTORE", b"restored", b"0", &made, b"REPLACE"]);
                let (mut restored, mut value) = (value_of(&mut client, b"restored"), value.clone());
                inactive(&mut restored);
                inactive(&mut value);
                assert_eq!(restored, value, "{program:?} {}", key.escape_ascii());
            }
        }
    }
}

fn inactive(value: &mut Value) {
    if let Value::Stream(stream) = value {
        stream.groups.iter_mut().flat_map(|group| &mut group.consumers).for_each(|one| one.active_at = None);
    }
}

/// Encodings that only older servers make, which redis-server 7.0.15 still restores: it sees in them what we see.
#[test]
fn encodings_of_old() {
    let (_server, mut client) = start(Program::Redis, &[]);
    let three = b"\x15\x15\x00\x00\x00\x0f\x00\x00\x00\x03\x00\x00\x01a\x03\xf2\x02\x032.5\xff";
    let four = b"\x18\x18\x00\x00\x00\x12\x00\x00\x00\x04\x00\x00\x01a\x03\xf2\x02\x01b\x03\x032.5\xff";
    let wide = b"\x27\x27\x00\x00\x00\x1c\x00\x00\x00\x05\x00\x00\xfe\x9c\x03\xc0\xe8\x03\x04\xf0\x01\x00\x80\x05\xd0\x00\x00\x00\x40\x06\xe0\x01\x02\x03\x04\x05\x06\x07\x88\xff";
    let pairs = b"\x0e\x02\x01a\x01\x001\x01b\x03\x002.5\xff";
    for (number, bytes) in [
        (1, &b"\x03\x01a\xc0\x01\x032.5"[..]),
        (2, b"\x03\x01a\xc0\x01\x032.5"),
        (3, b"\x03\x01a\x011\x01b\xfe\x01c\x04-2.5"),
        (4, b"\x02\x01a\xc0\x01\x01b\x032.5"),
        (9, pairs),
        (10, three),
        (10, wide),
        (12, four),
        (13, four),
        (14, &[&b"\x02"[..], three, wide].concat()),
    ] {
        let mut payload = [&[number][..], bytes, b"\x09\x00"].concat();
        payload.extend_from_slice(&Crc64::of(&payload).to_le_bytes());
        ask(&mut client, &[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]);
        assert_eq!(opened(&payload), value_of(&mut client, b"k"), "{number}");
    }
}

/// Payloads with a bit changed and the checksum made right again: neither side may fall over. What the server refuses for its
/// form may be accepted here only where it is the server that reads on into the footer.
#[test]
fn damaged_payloads_are_refused_or_mean_the_same() {
    let (mut server, mut client) = start(Program::Redis, &["--sanitize-dump-payload", "yes"]);
    let mut random = random();
    dataset::fill(&mut client, &mut random, false);
    let small: [&[u8]; 8] = [
        b"list:small",
        b"set:16",
        b"set:small",
        b"hash:small",
        b"hash:long",
        b"zset:small",
        b"stream:empty",
        b"number:007",
    ];
    let (mut same, mut refused) = (0, 0);
    for key in small {
        let dumped = ask(&mut client, &[b"DUMP", key]).as_bytes().expect("a payload").to_vec();
        for _ in 0..150 {
            let mut damaged = dumped[..dumped.len() - 8].to_vec();
            let at = random.below(damaged.len() - 2);
            damaged[at] ^= 1 << random.below(8);
            damaged.extend_from_slice(&Crc64::of(&damaged).to_le_bytes());
            let mut collector = Collector::default();
            let ours = Payload::open(&damaged)
                .map_err(|error| error.to_string())
                .and_then(|payload| payload.load(&mut |part| collector.put(part)).map_err(|error| error.to_string()));
            let theirs = client.call(&[b"RESTORE", &b"k"[..], b"0", &damaged, b"REPLACE"]).expect("a reply");
            if ours.is_err() || theirs.is_error() {
                refused += 1;
                continue;
            }
            let mut value = collector.take().expect("whole");
            value.sort();
            assert_eq!(value, value_of(&mut client, b"k"), "{}", damaged.escape_ascii());
            same += 1;
        }
    }
    assert!(server.is_running());
    assert!(same > 50 && refused > 50, "{same} the same, {refused} refused");
    assert!(matches!(say(&mut client, "PING"), Reply::Simple(_)));
}
