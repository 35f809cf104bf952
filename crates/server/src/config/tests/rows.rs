//! Over all rows: they are well formed, and what is printed reads back.

use proptest::prelude::*;

use super::super::directive::{Directive, Home, Refusal};
use super::super::directives;
use super::super::value::{Kind, Value, parse_memory, print_memory};
use super::super::*;
use super::row;

#[test]
fn names_are_unique_and_well_formed() {
    let mut seen = std::collections::HashSet::new();
    for name in directives::all().flat_map(Directive::names) {
        assert!(seen.insert(name), "{name} is there twice");
        assert!(
            name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_')),
            "{name}"
        );
    }
}

#[test]
fn every_row_is_documented() {
    for row in directives::all() {
        assert!(row.doc.ends_with('.') && row.doc.len() >= 8, "{}: {}", row.name, row.doc);
        let kept = matches!(row.home, Home::Kept(_));
        assert!(kept || row.refusal == Refusal::Never, "{} has an effect and refuses values", row.name);
    }
}

#[test]
fn defaults_read_and_come_back() {
    let config = Config::default();
    for row in directives::all() {
        let value = row.get(&config);
        assert_eq!(row.default_value(), Ok(value.clone()), "{}", row.name);
        assert_reads_back(row, &value);
    }
}

/// What is printed, as an argument and as lines of a file, is the value again.
fn assert_reads_back(row: &Directive, value: &Value) {
    let nothing = Value::Words(Vec::new());
    let printed = row.kind.print(value);
    // `dir` and the like print what they have resolved.
    assert_eq!(row.kind.read_argument(&printed, &nothing).as_ref(), Ok(value), "{} {printed}", row.name);
    let mut read = nothing;
    for (i, line) in row.kind.lines(value).iter().enumerate() {
        let words = load::split_words(line).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        read = row.kind.read_words(&words, &read, i > 0).unwrap();
    }
    assert_eq!(&read, value, "{} in a file: {:?}", row.name, row.kind.lines(value));
}

#[test]
fn fields_hold_what_their_rows_let_through() {
    for row in directives::all() {
        let (Kind::Int(min, max) | Kind::Octal(min, max) | Kind::Memory(min, max)) = row.kind else { continue };
        for number in [min, max] {
            let mut config = Config::default();
            row.set(&mut config, Value::Int(number));
            if row.name != "hz" {
                assert_eq!(row.get(&config), Value::Int(number), "{}", row.name);
            }
        }
    }
    for row in directives::all() {
        let Kind::Choice(names) = row.kind else { continue };
        for name in names {
            let mut config = Config::default();
            row.set(&mut config, Value::Choice(name));
            assert_eq!(row.get(&config), Value::Choice(name), "{}", row.name);
        }
    }
}

fn any_value(kind: Kind) -> BoxedStrategy<Value> {
    let word = "[a-z0-9.:*-]{1,12}";
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int(min, max) => (min..=max.min(i128::from(i64::MAX))).prop_map(Value::Int).boxed(),
        Kind::Octal(min, max) | Kind::Memory(min, max) => (min..=max).prop_map(Value::Int).boxed(),
        Kind::MemoryOrPercent(max) => {
            prop_oneof![any::<u64>().prop_map(|n| Value::Int(n.into())), (1..=max).prop_map(Value::Percent)].boxed()
        }
        Kind::Choice(names) => proptest::sample::select(names).prop_map(Value::Choice).boxed(),
        Kind::Text => any::<String>().prop_map(Value::Text).boxed(),
        Kind::Checked(check) => "[A-Za-z$]{0,8}"
            .prop_filter_map("not accepted", move |text| check(&text).ok())
            .prop_map(Value::Text)
            .boxed(),
        Kind::List(list) => proptest::collection::vec(prop_oneof![word.boxed(), "[0-9]{1,3}".boxed()], 0..9)
            .prop_map(move |words| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                (list.read)(&words, &[], false).map(Value::Words)
            })
            .prop_filter_map("not accepted", Result::ok)
            .boxed(),
    }
}

#[test]
fn values_come_back() {
    // Most words are no value of these lists, so they have tests of their own below.
    let hard =
        ["client-output-buffer-limit", "shutdown-on-sigint", "shutdown-on-sigterm", "oom-score-adj-values", "dir"];
    let rows = directives::all().filter(|row| !hard.contains(&row.name) && row.name != "proc-title-template");
    let settings = ProptestConfig { cases: 64, max_global_rejects: 100_000, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(settings);
    for row in rows {
        let strategy = if row.name == "replicaof" || row.name == "save" {
            proptest::collection::vec(1..60_000u32, 2)
                .prop_map(|n| Value::Words(n.iter().map(u32::to_string).collect()))
                .boxed()
        } else {
            any_value(row.kind)
        };
        runner
            .run(&strategy, |value| {
                assert_reads_back(row, &value);
                Ok(())
            })
            .unwrap_or_else(|e| panic!("{}: {e}", row.name));
    }
}

#[test]
fn lists_come_back() {
    for (name, text) in [
        ("client-output-buffer-limit", "normal 5000 1048576 90 slave 0 0 0 pubsub 1 2 3"),
        ("shutdown-on-sigint", "nosave now force"),
        ("shutdown-on-sigterm", "default"),
        ("oom-score-adj-values", "-2000 0 2000"),
        ("save", "3072 1 2048 1048576"),
        ("bind", "* -::* 10.0.0.1"),
    ] {
        let value = row(name).kind.read_argument(text, &Value::Words(Vec::new())).unwrap();
        assert_eq!(row(name).kind.print(&value), text);
        assert_reads_back(row(name), &value);
    }
}

proptest! {
    #[test]
    fn memory_comes_back(bytes in any::<u64>()) {
        prop_assert_eq!(parse_memory(&print_memory(bytes.into())), Some(bytes));
    }
}

#[test]
fn memory_units() {
    for (text, bytes) in
        [("1b", 1), ("1k", 1000), ("1KB", 1024), ("2m", 2_000_000), ("2mb", 2 << 20), ("3G", 3_000_000_000)]
    {
        assert_eq!(parse_memory(text), Some(bytes), "{text}");
    }
    for text in ["", "kb", "-1", "1.5gb", "1t", " 1", "1 mb", "0x10", "+5", "1bb", "20000000000gb"] {
        assert_eq!(parse_memory(text), None, "{text}");
    }
    assert_eq!(parse_memory("99999999999999999999"), Some(u64::MAX));
    assert_eq!((print_memory(1 << 30), print_memory(1000), print_memory(0)), ("1gb".into(), "1000".into(), "0".into()));
}
