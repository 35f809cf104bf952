//! Pinyon against the servers whose behaviour it promises, call by call and byte by byte.
//!
//! `PINYON_SEED` repeats a run, `PINYON_DIFF_CALLS` sets its length (20,000), and `PINYON_DIFF_MAX` lets it go on until so
//! many commands have differed (1). What may differ, and why, is in the testkit's `differential/allowed.rs`. A missing oracle fails these tests: scripts/oracles fetches it.

use std::collections::{BTreeMap, BTreeSet};

use pinyon_testkit::differential::{Differential, Era, Options, calls_from_env};
use pinyon_testkit::{Address, Client, Program, Random, Server, ServerOptions, Value};

const SHARDS: u16 = 3;

fn start(options: ServerOptions) -> Server {
    options.start().unwrap_or_else(|error| panic!("{error}"))
}

fn compare(oracle: Program, era: Era) {
    let oracle = start(ServerOptions::new(oracle));
    let mut options = ServerOptions::new(Program::Pinyon).shards(SHARDS);
    if era == Era::Redis70 {
        // It has no packed sets yet, and OBJECT ENCODING tells.
        options = options.args(["--set-max-listpack-entries", "0"]);
    }
    let pinyon = start(options);
    let address = pinyon.address();
    compare_at(&oracle, pinyon, &address, era);
}

/// Compares what is answered at the one address of Pinyon.
fn compare_at(oracle: &Server, mut pinyon: Server, address: &Address, era: Era) {
    let options = Options::from_env(era);
    let differential = Differential::new(&oracle.address(), address, options).expect("connections to both servers");
    if let Err(differences) = differential.run(calls_from_env()) {
        let log = if pinyon.is_running() { String::new() } else { format!("\nPinyon ended:\n{}", pinyon.log()) };
        panic!("{differences}{log}");
    }
}

#[test]
fn replies_are_those_of_redis() {
    compare(Program::Redis, Era::Redis70);
}

#[test]
fn newer_commands_reply_as_valkey_does() {
    compare(Program::Valkey, Era::Valkey9);
}

/// Bytes that look like requests often enough to be answered, up to what one read of a server takes.
fn noise(random: &mut Random) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"*",
        b"$",
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"*2\r\n$4\r\nECHO\r\n",
        b"$3\r\nabc\r\n",
        b"$3\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n",
        b"*01\r\n",
        b"$-1\r\n",
        b"$x\r\n",
        b"-1\r\n",
        b"2147483648\r\n",
        b"\"",
        b"'",
        b" ",
        b"\\x41",
        b"\0",
        b"ECHO \"a\\x41\\n\" \r\n",
        b"ECHO 'it\\'s'\r\n",
        b"ECHO \"open\r\n",
        b"nosuch a b\r\n",
        b"+OK\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*1\r\n$1\r\n*\r\n",
        b"SET n 1\r\n",
        b"INCR n\r\n",
        b"GET n\r\n",
        b"\xff\xfe",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.below(20) {
        match random.below(8) {
            0 => bytes.extend(random.between(-3, 30).to_string().into_bytes()),
            1 => {
                let length = random.below(6);
                bytes.extend(random.bytes(length));
            }
            _ => bytes.extend_from_slice(random.pick(PIECES)),
        }
    }
    bytes
}

#[test]
fn any_bytes_are_answered_as_redis_answers_them() {
    const STREAMS: usize = 3_000;
    let redis = start(ServerOptions::new(Program::Redis));
    let pinyon = start(ServerOptions::new(Program::Pinyon).shards(SHARDS));
    let seed = Options::from_env(Era::Redis70).seed;
    let mut random = Random::new(seed);
    // Letters can come together to the name of a command that only Redis has.
    let names = |server: &Server| -> BTreeSet<Vec<u8>> {
        let reply = server.client().expect("a connection").call(&["COMMAND", "LIST"]).expect("the names");
        reply.as_array().expect("names").iter().map(|name| name.as_bytes().expect("a name").to_vec()).collect()
    };
    let missing: Vec<Vec<u8>> = names(&redis).difference(&names(&pinyon)).cloned().collect();
    for number in 0..STREAMS {
        let bytes = noise(&mut random);
        let lower = bytes.to_ascii_lowercase();
        if missing.iter().any(|name| lower.windows(name.len()).any(|word| word == &name[..])) {
            continue;
        }
        let answer = |server: &Server| {
            let mut client = server.client().expect("a connection");
            client.send_raw(&bytes).expect("room for the bytes");
            // The server is to answer all that came before the end, as it does to `printf 'PING\r\n' | nc`.
            client.finish_sending().expect("half closed");
            client.receive_to_end().expect("an end").escape_ascii().to_string()
        };
        let (redis, pinyon) = (answer(&redis), answer(&pinyon));
        assert_eq!(pinyon, redis, "stream {number} of PINYON_SEED={seed}: {}", bytes.escape_ascii());
    }
}

/// The events of a run of commands, by key: on several shards there is an order for each key, and none for all.
fn events_by_key(server: &Server, address: &Address, lines: &[&str]) -> BTreeMap<String, Vec<String>> {
    const SENTINELS: usize = 64;
    let mut client = Client::connect(address).expect("a connection");
    let mut listener = Client::connect(address).expect("a connection");
    client.line("CONFIG SET notify-keyspace-events EAmn").expect("an answer");
    listener.line("PSUBSCRIBE __keyevent@*").expect("a confirmation");
    let sentinels: Vec<String> = (0..SENTINELS).map(|number| format!("SADD sentinel:{number} x")).collect();
    for line in lines.iter().copied().chain(sentinels.iter().map(String::as_str)) {
        client.line(line).unwrap_or_else(|error| panic!("{line}: {error}\n{}", server.log()));
    }
    let (mut events, mut ended) = (BTreeMap::<String, Vec<String>>::new(), 0);
    while ended < SENTINELS {
        let message = listener.receive().expect("a message");
        let words: Vec<String> = message.as_array().expect("an array").iter().map(text_of).collect();
        let (channel, key) = (&words[2], &words[3]);
        match key.strip_prefix("sentinel:") {
            Some(_) if channel.ends_with(":sadd") => ended += 1,
            Some(_) => {}
            None => events.entry(key.clone()).or_default().push(channel.clone()),
        }
    }
    events
}

fn text_of(value: &Value) -> String {
    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
}

#[test]
fn keyspace_events_are_those_of_redis() {
    let samples = include_str!("../../engine/tests/samples/events.tsv");
    let lines: Vec<&str> =
        samples.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').next()).collect();
    let oracle = start(ServerOptions::new(Program::Redis));
    let pinyon = start(ServerOptions::new(Program::Pinyon).shards(SHARDS));
    let expected = events_by_key(&oracle, &oracle.address(), &lines);
    let found = events_by_key(&pinyon, &pinyon.address(), &lines);
    for (key, events) in &expected {
        assert_eq!(found.get(key), Some(events), "{key}");
    }
    assert_eq!(found.len(), expected.len());
}
