//! Numbers and globs against what redis-server 7.0.15 answered. The files in `samples` are a fixed part of larger
//! comparisons made by hand (6,000 INCRBYFLOATs, 8,000 ZADD and ZSCORE, 4,000 INCRBYs, 215,000 KEYS matches, no difference).
//!
//! ```text
//! extended.tsv  value <tab> increment <tab> reply of INCRBYFLOAT
//! double.tsv    text <tab> reply of ZSCORE after ZADD with it
//! glob.tsv      pattern in hex <tab> key in hex <tab> whether KEYS found it
//! ```
//! `\0` and `\t` stand for those bytes.

use pinyon_base::{Extended, format_f64, glob_match, parse_f64, parse_i64, parse_u64, write_i64};
use proptest::prelude::*;

const NOT_A_FLOAT: &str = "-ERR value is not a valid float";

fn lines(file: &str) -> impl Iterator<Item = Vec<String>> {
    file.lines().map(|line| line.split('\t').map(|field| field.replace("\\0", "\0").replace("\\t", "\t")).collect())
}

fn increment(value: &str, by: &str) -> String {
    let (Some(value), Some(by)) = (Extended::parse(value.as_bytes()), Extended::parse(by.as_bytes())) else {
        return NOT_A_FLOAT.to_string();
    };
    let sum = value.add(by);
    if sum.is_finite() { sum.format() } else { "-ERR increment would produce NaN or Infinity".to_string() }
}

#[test]
fn extended_computes_as_incrbyfloat() {
    for line in lines(include_str!("samples/extended.tsv")) {
        let [value, by, reply] = &line[..] else { panic!("{line:?}") };
        assert_eq!(&increment(value, by), reply, "{value:?} + {by:?}");
    }
}

#[test]
fn extended_rounds_at_the_edges_of_its_range() {
    let most = "0x1.fffffffffffffffep16383";
    assert_eq!(increment(most, "0x1p16318"), increment(most, "0"));
    assert_eq!(increment(most, "0x1p16319"), "-ERR increment would produce NaN or Infinity");
    assert_eq!(Extended::parse(b"0x1p-16446"), None);
    assert!(Extended::parse(b"0x1p-16445").is_some());
    // A tie, to even; a little more than a tie, up.
    assert_eq!(increment("0x1p64", "1"), "18446744073709551616");
    assert_eq!(increment("0x1p64", "1.0000000000000001"), "18446744073709551618");
    assert_eq!(increment("0x1p64", "3"), "18446744073709551620");
    assert_eq!(increment("-inf", "inf"), "-ERR increment would produce NaN or Infinity");
}

#[test]
fn doubles_are_read_and_printed_as_zadd_and_zscore_do() {
    for line in lines(include_str!("samples/double.tsv")) {
        let [text, reply] = &line[..] else { panic!("{line:?}") };
        let printed = parse_f64(text.as_bytes()).map_or(NOT_A_FLOAT.to_string(), |value| {
            let mut out = Vec::new();
            format_f64(value, &mut out);
            String::from_utf8(out).expect("ASCII")
        });
        assert_eq!(&printed, reply, "{text:?}");
    }
}

#[test]
fn negative_zero_and_infinities_keep_their_signs() {
    for (text, printed) in
        [("-0.0", "-0"), ("-Infinity", "-inf"), ("+inf", "inf"), ("-1e-320", "-9.9998886718268301e-321")]
    {
        let mut out = Vec::new();
        format_f64(parse_f64(text.as_bytes()).expect(text), &mut out);
        assert_eq!(out, printed.as_bytes());
    }
}

#[test]
fn globs_match_as_keys_does() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
    };
    for line in lines(include_str!("samples/glob.tsv")) {
        let [pattern, key, found] = &line[..] else { panic!("{line:?}") };
        let (pattern, key) = (bytes(pattern), bytes(key));
        assert_eq!(
            glob_match(&pattern, &key, false),
            found == "1",
            "{} on {}",
            pattern.escape_ascii(),
            key.escape_ascii()
        );
    }
}

#[test]
fn integers_have_one_text_each() {
    for refused in [
        "",
        "-",
        "-0",
        "+1",
        "01",
        "-01",
        "00",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x10",
        "1\0",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "999999999999999999999",
    ] {
        assert_eq!(parse_i64(refused.as_bytes()), None, "{refused:?}");
    }
    for (text, value) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)] {
        assert_eq!(parse_i64(text.as_bytes()), Some(value));
    }
    assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(parse_u64(b"18446744073709551616"), None);
    assert_eq!(parse_u64(b"-1"), None);
}

proptest! {
    #[test]
    fn integers_print_as_std_prints_them(value in prop_oneof![any::<i64>(), any::<i64>().prop_map(|v| v >> 40), -1000i64..1000]) {
        let mut buffer = [0; 20];
        let text = write_i64(&mut buffer, value);
        prop_assert_eq!(text.escape_ascii().to_string(), value.to_string());
        prop_assert_eq!(parse_i64(text), Some(value));
    }

    #[test]
    fn printed_doubles_read_back_the_same(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let mut text = Vec::new();
        format_f64(value, &mut text);
        prop_assert_eq!(parse_f64(&text).map(f64::to_bits), Some(bits));
    }

    #[test]
    fn integers_add_exactly(a in any::<i32>(), b in any::<i32>()) {
        prop_assert_eq!(increment(&a.to_string(), &b.to_string()), (i64::from(a) + i64::from(b)).to_string());
    }

    #[test]
    fn addition_commutes(a in "[0-9]{1,20}\\.[0-9]{1,20}", b in "-?[0-9]{1,20}e-?[0-9]{1,2}") {
        prop_assert_eq!(increment(&a, &b), increment(&b, &a));
    }

    #[test]
    fn any_bytes_are_a_number_or_refused(text in prop::collection::vec(prop_oneof![Just(b'0'), Just(b'.'), Just(b'e'), Just(b'x'), Just(b'-'), any::<u8>()], 0..30)) {
        let _ = (parse_f64(&text), parse_i64(&text), Extended::parse(&text).map(Extended::format));
    }
}
