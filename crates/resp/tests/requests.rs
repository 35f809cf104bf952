//! The request parser: what Redis answers to the same bytes, and that it makes no difference how they are cut into pieces.
//! The table's expectations were observed on a socket of redis-server 7.0.15.

use pinyon_resp::{Args, Limits, Parse, Parser, ProtocolError, Span};
use proptest::prelude::*;

/// What a stream of bytes asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Command(Vec<Vec<u8>>),
    Nothing,
    Error(ProtocolError),
}

/// Parses `stream` as it would arrive in pieces that end at `cuts` (ascending); the last piece ends the stream.
fn parse(stream: &[u8], cuts: impl IntoIterator<Item = usize>, limits: &Limits) -> Vec<Event> {
    let mut events = Vec::new();
    let mut parser = Parser::default();
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    for end in cuts.into_iter().chain([stream.len()]) {
        while at < end {
            let input = &stream[at..end];
            let consumed = match parser.parse(input, limits, &mut spans) {
                Ok(Parse::Command { consumed }) => {
                    let args = Args { bytes: input, spans: &spans };
                    events.push(Event::Command(args.iter().map(<[u8]>::to_vec).collect()));
                    spans.clear();
                    consumed
                }
                Ok(Parse::Inline { consumed, args }) => {
                    events.push(Event::Command(args));
                    consumed
                }
                Ok(Parse::Nothing { consumed }) => {
                    events.push(Event::Nothing);
                    consumed
                }
                Ok(Parse::Incomplete { need }) => {
                    assert!(need > input.len(), "all that is needed is there");
                    break;
                }
                Err(error) => {
                    events.push(Event::Error(error));
                    return events;
                }
            };
            assert!(!parser.is_mid_command() && spans.is_empty());
            assert!((1..=input.len()).contains(&consumed));
            at += consumed;
        }
        assert!(spans.len() <= end - at, "spans must not outgrow the bytes");
    }
    events
}

fn whole(stream: &[u8]) -> Vec<Event> {
    parse(stream, [], &Limits::default())
}

fn command(args: &[&str]) -> Event {
    Event::Command(args.iter().map(|arg| arg.as_bytes().to_vec()).collect())
}

fn error(stream: &[u8]) -> String {
    match whole(stream).pop() {
        Some(Event::Error(error)) => error.message().into_owned(),
        other => panic!("{} gave {other:?}", stream[..stream.len().min(60)].escape_ascii()),
    }
}

#[test]
fn commands_and_empty_requests() {
    assert_eq!(
        whole(b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        [command(&["PING"]), command(&["GET", "k"])]
    );
    assert_eq!(whole(b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"), [command(&["ECHO", ""])]);
    assert_eq!(whole(b"*-10\r\nPING\r\n"), [Event::Nothing, command(&["PING"])]);
    assert_eq!(whole(b"*0\r\nPING\r\n"), [Event::Nothing, command(&["PING"])]);
    assert_eq!(whole(b"*-2147483649\r\n"), [Event::Nothing]);
    assert_eq!(whole(b"\r\n\n\r\nPING\n"), [Event::Nothing, Event::Nothing, Event::Nothing, command(&["PING"])]);
    assert_eq!(
        whole(b"*1\r\n$4\r\nPING\r\n\r\n*1\r\n$4\r\nPING\r\n"),
        [command(&["PING"]), Event::Nothing, command(&["PING"])]
    );
    assert_eq!(whole(b"PING \"a b\" '' \\n\r\n"), [command(&["PING", "a b", "", "\\n"])]);
    assert_eq!(whole(b"+PING\r\n"), [command(&["+PING"])]);
}

#[test]
fn the_ends_of_lines_and_arguments_are_skipped_unseen() {
    assert_eq!(whole(b"*1\rx$4\ryPINGzz"), [command(&["PING"])]);
    assert_eq!(whole(b"*2\r\n$4\r\nECHO\r\n$3\r\na\r\nb\r\n"), [command(&["ECHO", "a\r\n"]), Event::Nothing]);
    // Nothing ends where no CR is, or where a NUL hides it.
    assert_eq!(whole(b"*1xx$4xxPINGxx"), []);
    assert_eq!(whole(b"PING a\0b\r\n"), []);
    assert_eq!(whole(b"*1\0\r\n$4\r\nPING\r\n"), []);
    assert_eq!(whole(b"*1\r\n$4\r\nPING\r"), []);
}

#[test]
fn errors_have_the_texts_of_redis() {
    for (stream, text) in [
        (&b"*1\r\nfoo\r\n"[..], "expected '$', got 'f'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (b"*1\r\n\xff\r\n", "expected '$', got '\u{ff}'"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*9999999999999999999\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*a\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967295\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"PING \"a\r\n", "unbalanced quotes in request"),
        (b"PING 'a'b\r\n", "unbalanced quotes in request"),
        (&[b'A'; 65537], "too big inline request"),
        (&[0; 65537], "too big inline request"),
        (&[b'*'; 65537], "too big mbulk count string"),
        (&[b"*1\r\n$".as_slice(), &[b'1'; 65536]].concat(), "too big bulk count string"),
        (&[b"*1\r\n".as_slice(), &[b'x'; 65537]].concat(), "too big bulk count string"),
    ] {
        assert_eq!(error(stream), format!("Protocol error: {text}"));
    }
}

#[test]
fn the_largest_claims_are_believed_until_the_bytes_come() {
    let mut spans = Vec::new();
    let limits = Limits::default();
    let incomplete = |need| Ok(Parse::Incomplete { need });
    assert_eq!(Parser::default().parse(b"*2147483647\r\n", &limits, &mut spans), incomplete(14));
    assert_eq!(Parser::default().parse(b"*1\r\n$536870912\r\n", &limits, &mut spans), incomplete(16 + 536870912 + 2));
    let line = [&[b'A'; 65536][..], b"\n"].concat();
    assert_eq!(whole(&line), [Event::Command(vec![vec![b'A'; 65536]])]);
    assert_eq!(spans.capacity(), 0, "a claim must not reserve memory");
}

#[test]
fn no_command_outgrows_what_spans_can_count() {
    let limits = Limits { bulk_bytes_max: u64::MAX, ..Limits::default() };
    for (length, fits) in [(4294967270u64, true), (4294967290, false), (u64::MAX >> 1, false)] {
        let result = Parser::default().parse(format!("*1\r\n${length}\r\n").as_bytes(), &limits, &mut Vec::new());
        assert_eq!(result.is_ok(), fits, "{length}: {result:?}");
    }
}

#[test]
fn before_authentication_requests_are_small() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    for (stream, error) in [
        (&b"*10\r\n"[..], None),
        (b"*11\r\n", Some(ProtocolError::UnauthenticatedMultibulkLength)),
        (b"*1\r\n$16384\r\n", None),
        (b"*1\r\n$16385\r\n", Some(ProtocolError::UnauthenticatedBulkLength)),
    ] {
        let events = parse(stream, [], &limits);
        assert_eq!(events, Vec::from_iter(error.map(Event::Error)));
    }
}

#[test]
fn resuming_searches_no_byte_twice() {
    // Quadratic time would take minutes: 64 KiB byte by byte, and a long command of many arguments.
    let line = [&[b'A'; 65535][..], b"\r\n"].concat();
    assert_eq!(parse(&line, 1..line.len(), &Limits::default()).len(), 1);
    let mut many = b"*100001\r\n$4\r\nMSET\r\n".to_vec();
    for i in 0..100_000 {
        many.extend_from_slice(format!("$5\r\n{i:05}\r\n").as_bytes());
    }
    assert_eq!(parse(&many, (1..many.len()).step_by(3), &Limits::default()).len(), 1);
}

/// Arguments of all the lengths that change how a length line is read.
fn arguments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![4 => 0usize..12, 2 => 90usize..110, 1 => 995usize..1005, 1 => 9990usize..10010];
    let argument = length.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    prop::collection::vec(argument, 1..14)
}

fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Bytes that look like requests often enough to get far into the parser.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"*1\r\n$4\r\nPING\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"$3\r\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"'".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"PING ".to_vec()),
        (-3i64..1 << 40).prop_map(|n| n.to_string().into_bytes()),
        (0i64..12).prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn commands_are_parsed_as_encoded(commands in prop::collection::vec(arguments(), 1..4)) {
        let stream: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
        let expected: Vec<Event> = commands.into_iter().map(Event::Command).collect();
        prop_assert_eq!(whole(&stream), expected);
    }

    #[test]
    fn cutting_at_every_byte_changes_nothing(stream in noise()) {
        let limits = Limits::default();
        let expected = whole(&stream);
        prop_assert_eq!(&parse(&stream, 1..stream.len().max(1), &limits), &expected);
        for cut in 1..stream.len() {
            prop_assert_eq!(&parse(&stream, [cut], &limits), &expected, "cut at {}", cut);
        }
    }

    #[test]
    fn cutting_long_commands_changes_nothing(args in arguments(), cuts in prop::collection::btree_set(1usize..30000, 0..20)) {
        let stream = encode(&args);
        let cuts = cuts.into_iter().filter(|cut| *cut < stream.len());
        prop_assert_eq!(parse(&stream, cuts, &Limits::default()), [Event::Command(args)]);
    }

    #[test]
    fn tight_limits_hold_for_any_bytes(stream in noise(), authenticated in any::<bool>(), cut in 1usize..100) {
        let limits = Limits { bulk_bytes_max: 8, inline_bytes_max: 16, multibulk_max: 4, authenticated };
        let events = parse(&stream, [], &limits);
        prop_assert_eq!(&parse(&stream, (1..stream.len()).step_by(cut), &limits), &events);
        for event in events {
            if let Event::Command(args) = event {
                prop_assert!(args.iter().all(|arg| arg.len() <= 16));
            }
        }
    }
}
