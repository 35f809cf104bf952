//! How fast RDB files are written and read: `cargo run --release -p pinyon-values --example rdb_speed [KEYS]`.
//!
//! The file has KEYS strings of 64 bytes that do not compress, or as many fields in hashes of ten; it stays in memory, and what
//! is read goes nowhere or into the structures.

use std::hint::black_box;
use std::time::Instant;

use pinyon_values::Item;
use pinyon_values::codec::{Builder, Crc64, Kind, Limits, Part, Settings, Shape};
use pinyon_values::rdb::{EntryHead, Reader, Record, Writer};

fn main() {
    let keys = std::env::args().nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000u64);
    let file = timed("write strings", keys, || {
        write(keys, |writer, key, text| {
            writer.entry(&EntryHead { key, ..EntryHead::default() }, Shape::String).expect("a string");
            writer.part(Part::String(Item::of(text)));
        })
    });
    timed("checksum", keys, || Crc64::of(black_box(&file)));
    timed("read strings", keys, || read(&file, false));
    let file = timed("write hashes", keys / 10, || {
        write(keys / 10, |writer, key, text| {
            let shape = Shape::Hash { fields: 10, packed: true, first_deadline: None };
            writer.entry(&EntryHead { key, ..EntryHead::default() }, shape).expect("a hash");
            writer.part(Part::Begin { kind: Kind::Hash, about: 10 });
            for (i, value) in text.chunks(6).take(10).enumerate() {
                writer.part(Part::Field { field: Item::Int(i as i64), value: Item::of(value), expires: None });
            }
            writer.part(Part::End);
        })
    });
    timed("read hashes", keys / 10, || read(&file, false));
    timed("load hashes", keys / 10, || read(&file, true));
}

fn timed<T>(what: &str, keys: u64, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = black_box(run());
    let ns = begun.elapsed().as_nanos() as u64 / keys.max(1);
    println!("{what:14} {ns:6} ns per key");
    result
}

fn write(keys: u64, mut entry: impl FnMut(&mut Writer, &[u8], &[u8])) -> Vec<u8> {
    let mut writer = Writer::new(Settings::default());
    let (mut file, mut text, mut state) = (Vec::new(), [0; 64], 1u64);
    writer.database(0, keys, 0);
    for key in 0..keys {
        for word in text.chunks_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&(state ^ state >> 29).to_le_bytes());
        }
        entry(&mut writer, format!("key:{key:08}").as_bytes(), &text);
        if writer.pending().len() > 1 << 20 {
            file.extend_from_slice(writer.pending());
            writer.clear();
        }
    }
    writer.finish();
    file.extend_from_slice(writer.pending());
    file
}

/// Reads a file in pieces of 64 KiB; says how many parts it has.
fn read(file: &[u8], builds: bool) -> usize {
    let (mut reader, mut parts, mut builder) = (Reader::default(), 0, None);
    for piece in file.chunks(64 << 10) {
        let fed = reader.feed(piece, &mut |record| {
            match record {
                Record::Entry(_) if builds => builder = Some(Builder::new(Limits::default())),
                Record::Part(part) => {
                    parts += 1;
                    if let Some(builder) = &mut builder {
                        builder.put(part)?;
                    }
                }
                Record::Complete { .. } => drop(black_box(builder.take().and_then(Builder::finish))),
                _ => {}
            }
            Ok(())
        });
        fed.expect("what was written");
    }
    reader.finish().expect("whole");
    parts
}
