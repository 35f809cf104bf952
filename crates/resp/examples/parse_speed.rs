//! Measures the request parser and the reply writer by themselves: nanoseconds per command, best of several rounds.
//!
//! Run: cargo run --release -p pinyon-resp --example parse_speed

use std::hint::black_box;
use std::time::Instant;

use pinyon_resp::{Args, Limits, Output, Parse, Parser, Proto, Writer};

const ROUNDS: usize = 9;
const REPEATS: usize = 20_000;

fn main() {
    let get = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000001234\r\n";
    let set = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000001234\r\n$64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";
    let mset: Vec<u8> = std::iter::once("*21\r\n$4\r\nMSET\r\n".to_string())
        .chain((0..10).map(|i| format!("$7\r\nkey:{i:03}\r\n$8\r\nvalue{i:03}\r\n")))
        .collect::<String>()
        .into_bytes();
    println!("GET 16 deep      {:6.1} ns", parse(&get.repeat(16), 16));
    println!("GET 1 deep       {:6.1} ns", parse(get, 1));
    println!("SET 64 B 16 deep {:6.1} ns", parse(&set.repeat(16), 16));
    println!("MSET of 10       {:6.1} ns", parse(&mset, 1));
    println!("PING inline      {:6.1} ns", parse(b"PING\r\n", 1));
    println!("bulk 3 B         {:6.1} ns", write(|w| w.bulk(black_box(b"abc"))));
    println!("bulk 64 B        {:6.1} ns", write(|w| w.bulk(black_box(&[b'x'; 64]))));
    println!("bulk_int         {:6.1} ns", write(|w| w.bulk_int(black_box(1_234_567))));
    println!("int small        {:6.1} ns", write(|w| w.int(black_box(1))));
    println!("int large        {:6.1} ns", write(|w| w.int(black_box(1_234_567_890_123))));
    println!("null             {:6.1} ns", write(|w| w.null()));
    println!("slot 16 B key    {:6.1} ns", slot());
}

/// Nanoseconds per command for a buffer of `commands`.
fn parse(buffer: &[u8], commands: usize) -> f64 {
    let limits = Limits::default();
    let mut spans = Vec::with_capacity(256);
    let mut argument_bytes = 0;
    best(commands, || {
        let mut parser = Parser::default();
        let mut at = 0;
        spans.clear();
        while at < buffer.len() {
            let first = spans.len();
            match parser.parse(&buffer[at..], &limits, &mut spans) {
                Ok(Parse::Command { consumed }) => {
                    let args = Args { bytes: &buffer[at..], spans: &spans[first..] };
                    argument_bytes += args.get(args.len() - 1).len();
                    at += consumed;
                }
                Ok(Parse::Inline { consumed, .. }) => at += consumed,
                other => unreachable!("{other:?}"),
            }
        }
        black_box(argument_bytes);
    })
}

fn write(mut reply: impl FnMut(&mut Writer<'_>)) -> f64 {
    const REPLIES: usize = 64;
    let mut out = Output::default();
    best(REPLIES, || {
        out.clear();
        let mut writer = Writer { out: &mut out, proto: Proto::Resp2 };
        for _ in 0..REPLIES {
            reply(&mut writer);
        }
        black_box(out.len());
    })
}

fn slot() -> f64 {
    let keys: Vec<String> = (0..64).map(|i| format!("key:{i:012}")).collect();
    best(keys.len(), || {
        for key in &keys {
            black_box(pinyon_base::slot_of(black_box(key.as_bytes())));
        }
    })
}

fn best(per_run: usize, mut run: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..REPEATS {
                run();
            }
            start.elapsed().as_nanos() as f64 / (REPEATS * per_run) as f64
        })
        .fold(f64::INFINITY, f64::min)
}
