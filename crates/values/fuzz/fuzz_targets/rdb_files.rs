//! The reader of RDB files on any bytes: it must not panic, must keep no more than what came, and must find the same however
//! the bytes are cut into pieces. What it finds must come back from a file that is written of it.
//!
//! The first byte says how the file is cut and whether a head is put before the rest, so that most inputs get past it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyon_values::codec::{Collector, Packing, Settings, VERSION_7_4, Value};
use pinyon_values::rdb::{Entry, EntryHead, RdbError, Reader, Record, Writer};

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let head: &[u8] = match choice >> 6 {
        0 => b"",
        1 => b"REDIS0010",
        2 => b"REDIS0012",
        _ => b"VALKEY080",
    };
    let bytes = [head, rest].concat();
    let (whole, error) = read(&bytes, bytes.len().max(1));
    let (cut, cut_error) = read(&bytes, usize::from(choice & 63) + 1);
    assert_eq!(format!("{whole:?} {error:?}"), format!("{cut:?} {cut_error:?}"));

    let mut writer = Writer::new(Settings { version: VERSION_7_4, compress: true });
    for (key, value) in &whole {
        let head = EntryHead { key, ..EntryHead::default() };
        writer.entry(&head, value.shape(&Packing::default())).expect("the newest version");
        value.parts(&mut |part| writer.part(part));
    }
    writer.finish();
    let (again, error) = read(writer.pending(), 1 << 20);
    assert_eq!(error, None);
    assert_eq!(again.len(), whole.len());
    for (again, whole) in again.iter().zip(&whole) {
        // What versions before the newest do not have of a stream is there now.
        assert!(matches!(whole.1, Value::Stream(_)) || format!("{again:?}") == format!("{whole:?}"));
    }
});

/// The keys of a file, each with its value in order; and what was wrong with it.
fn read(bytes: &[u8], step: usize) -> (Vec<(Vec<u8>, Value)>, Option<RdbError>) {
    let (mut keys, mut key, mut collector) = (Vec::new(), Vec::new(), Collector::default());
    let mut reader = Reader::default();
    for piece in bytes.chunks(step) {
        let fed = reader.feed(piece, &mut |record| {
            match record {
                Record::Entry(Entry { key: name, .. }) => key = name.to_vec(),
                Record::Part(part) => collector.put(part)?,
                Record::Complete { .. } => {
                    let mut value = collector.take().expect("whole");
                    value.sort();
                    keys.push((std::mem::take(&mut key), value));
                }
                _ => {}
            }
            Ok(())
        });
        assert!(reader.kept_bytes() <= bytes.len());
        if let Err(error) = fed {
            return (keys, Some(error));
        }
    }
    (keys, reader.finish().err())
}
