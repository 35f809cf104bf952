//! The request parser on any bytes: it must not panic, must hold its limits, must keep no more than what was received,
//! and must find the same commands however the bytes are cut into pieces.
//!
//! The first byte of the input chooses the limits, the second how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinyon_resp::{Args, Limits, Parse, Parser, ProtocolError, Span};

#[derive(Debug, PartialEq)]
enum Event {
    Command(Vec<Vec<u8>>),
    Nothing,
    Error(ProtocolError),
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, stream @ ..] = data else {
        return;
    };
    let limits = Limits {
        bulk_bytes_max: if choice & 1 == 0 { u64::MAX } else { 100 },
        inline_bytes_max: if choice & 2 == 0 { 64 * 1024 } else { 32 },
        multibulk_max: if choice & 4 == 0 { i64::MAX } else { 8 },
        authenticated: choice & 8 == 0,
    };
    let whole = parse(stream, stream.len().max(1), &limits);
    let cut = parse(stream, usize::from(*cut).max(1), &limits);
    assert_eq!(whole, cut);
});

fn parse(stream: &[u8], step: usize, limits: &Limits) -> Vec<Event> {
    let mut events = Vec::new();
    let mut parser = Parser::default();
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    let mut end = 0;
    while end < stream.len() {
        end = (end + step).min(stream.len());
        while at < end {
            let input = &stream[at..end];
            let (consumed, event) = match parser.parse(input, limits, &mut spans) {
                Ok(Parse::Command { consumed }) => {
                    let args = Args { bytes: input, spans: &spans };
                    let args: Vec<_> = args.iter().map(<[u8]>::to_vec).collect();
                    assert!(args.iter().all(|arg| arg.len() as u64 <= limits.bulk_bytes_max));
                    assert!(args.len() as i64 <= limits.multibulk_max);
                    spans.clear();
                    (consumed, Event::Command(args))
                }
                Ok(Parse::Inline { consumed, args }) => {
                    assert!(consumed <= limits.inline_bytes_max + 1);
                    (consumed, Event::Command(args))
                }
                Ok(Parse::Nothing { consumed }) => (consumed, Event::Nothing),
                Ok(Parse::Incomplete { need }) => {
                    assert!(need > input.len());
                    assert!(spans.len() <= input.len());
                    break;
                }
                Err(error) => {
                    events.push(Event::Error(error));
                    return events;
                }
            };
            assert!(!parser.is_mid_command() && (1..=input.len()).contains(&consumed));
            events.push(event);
            at += consumed;
        }
    }
    events
}
