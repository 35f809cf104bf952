//! Against what redis-server 7.0.15 did with the same elements (`tests/samples/hyperloglog.tsv`), and on damaged bytes.

use super::*;
use proptest::prelude::*;

const SPARSE_MAX: usize = 3000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines: first element, number of elements, count, length of the string, then its bytes in hexadecimal if they are few, or a sum
/// over them. The elements are the decimal texts of successive numbers.
#[test]
fn bytes_and_counts_are_those_of_redis() {
    let samples = include_str!("../../tests/samples/hyperloglog.tsv");
    let mut lines = 0;
    for line in samples.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| columns[index].parse::<u64>().expect("a number");
        let (from, elements) = (number(0), number(1));
        let mut bytes = new();
        for element in from..from + elements {
            add(&mut bytes, element.to_string().as_bytes(), SPARSE_MAX).expect("sound");
        }
        assert_eq!(cached_count(&bytes).is_none(), elements > 0);
        let counted = count(&bytes).expect("sound");
        cache_count(&mut bytes, counted);
        assert_eq!((counted, bytes.len() as u64), (number(2), number(3)), "{from} and {elements} of them");
        assert_eq!(cached_count(&bytes), Some(counted));
        let shown = if bytes.len() < 400 { hex(&bytes) } else { checksum(&bytes).to_string() };
        assert_eq!(shown, columns[4], "{from} and {elements} of them");
        lines += 1;
    }
    assert!(lines > 20);
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| (sum * 31 + u64::from(byte)) % 1_000_000_007)
}

#[test]
fn merging_is_adding_both() {
    let mut both = new();
    let mut parts = [new(), new()];
    for element in 0..5000u32 {
        let text = element.to_string();
        add(&mut both, text.as_bytes(), SPARSE_MAX).expect("sound");
        let part = usize::from(element.is_multiple_of(100));
        add(&mut parts[part], text.as_bytes(), SPARSE_MAX).expect("sound");
    }
    assert_eq!((encoding(&parts[0]), encoding(&parts[1])), ("dense", "sparse"));
    let mut registers = Registers::default();
    for part in &parts {
        registers.merge(part).expect("sound");
    }
    assert_eq!(registers.count(), count(&both).expect("sound"));
    let mut merged = new();
    registers.write_into(&mut merged, true, SPARSE_MAX).expect("sound");
    assert_eq!(merged[HEADER_BYTES..], both[HEADER_BYTES..]);
}

#[test]
fn the_self_test_passes() {
    for seed in [0, 1, 77_777] {
        assert_eq!(self_test(seed), Ok(()));
    }
}

#[test]
fn what_is_none() {
    assert_eq!(check(&new()), Ok(()));
    for bytes in [&b""[..], b"HYLL", b"HYLLL0000000000000", b"hyll\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"] {
        assert_eq!(check(bytes), Err(Fault::NotOne));
    }
    let mut short = new();
    short.pop();
    assert_eq!((check(&short), count(&short)), (Ok(()), Err(Fault::Corrupt)));
    assert_eq!(describe(&new()), Some("Z:16384".to_owned()));
    short = new();
    short.push(0x6F);
    assert_eq!(describe(&short).as_deref(), Some("Z:16384 Z:12033"));
}

proptest! {
    /// Damage makes errors or other counts, never a panic.
    #[test]
    fn any_bytes(tail in proptest::collection::vec(any::<u8>(), 0..60), element: u64, dense: bool) {
        let mut bytes = new();
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&tail);
        if dense {
            bytes[4] = DENSE;
            bytes.resize(DENSE_BYTES, 0xA5);
        }
        if check(&bytes).is_ok() {
            let _ = count(&bytes);
            let _ = describe(&bytes);
            let _ = add(&mut bytes.clone(), &element.to_le_bytes(), 100);
            let _ = to_dense(&mut bytes);
        }
    }

    /// Sparse and dense have the same registers.
    #[test]
    fn dense_is_sparse(elements in proptest::collection::vec(any::<u32>(), 0..300)) {
        let (mut sparse, mut dense) = (new(), new());
        to_dense(&mut dense).expect("sound");
        for element in elements {
            let expected = raises(&sparse, &element.to_le_bytes());
            prop_assert_eq!(raises(&dense, &element.to_le_bytes()), expected);
            let raised = add(&mut sparse, &element.to_le_bytes(), 1 << 20);
            prop_assert_eq!(raised, expected);
            prop_assert_eq!(raised, add(&mut dense, &element.to_le_bytes(), 0));
        }
        prop_assert_eq!(count(&sparse), count(&dense));
        to_dense(&mut sparse).expect("sound");
        prop_assert_eq!(sparse, dense);
    }
}
