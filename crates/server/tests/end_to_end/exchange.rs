//! DUMP and RESTORE between Pinyon and redis-server 7.0.15, both ways, for every type and encoding.

use pinyon_testkit::{Client, Program, Server, ServerOptions, Value};

use super::{connect, options};

pub(super) fn redis() -> Server {
    let options = ServerOptions::new(Program::Redis).args(["--enable-debug-command", "yes"]);
    options.start().unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a key of every kind, by commands of Redis; their names.
pub(super) fn fill(client: &mut Client) -> Vec<String> {
    let mut words = Vec::new();
    let mut make = |line: String| {
        let key = line.split(' ').nth(1).expect("a key").to_owned();
        assert!(!client.line(&line).expect("a reply").is_error(), "{line:.100}");
        if !words.contains(&key) {
            words.push(key);
        }
    };
    make("SET int 12345".to_owned());
    make("SET negative -9223372036854775808".to_owned());
    make("SET short hello".to_owned());
    make(format!("SET repeated {}", "abc".repeat(30_000)));
    make(format!(
        "SET random {}",
        (0..3000u64).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9))).collect::<String>()
    ));
    for (size, long) in [(5, 5), (600, 5), (40, 9000)] {
        let text = |i: usize| format!("{i}{}", "y".repeat(long));
        for i in 0..size {
            make(format!("RPUSH list:{size}:{long} {} {i}", text(i)));
            make(format!("SADD set:{size}:{long} {}", text(i)));
            make(format!("SADD ints:{size}:{long} {}", i * 70_000));
            make(format!("HSET hash:{size}:{long} f{i} {}", text(i)));
            make(format!("ZADD zset:{size}:{long} {}.5 {}", i % 9, text(i)));
        }
    }
    make("ZADD infinite inf a -inf b 0 c".to_owned());
    for i in 1..300 {
        make(format!("XADD stream {i}-1 a {i} b two"));
    }
    make("XDEL stream 7-1 8-1".to_owned());
    make("XGROUP CREATE stream group 0".to_owned());
    assert!(!client.line("XREADGROUP GROUP group me COUNT 5 STREAMS stream >").expect("a reply").is_error());
    words.retain(|word| word != "CREATE");
    words
}

fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    let reply = client.call(&["DUMP", key]).expect("a reply");
    reply.as_bytes().unwrap_or_else(|| panic!("DUMP {key}: {reply}")).to_vec()
}

fn restore(client: &mut Client, key: &str, payload: &[u8]) {
    let reply = client.call(&[b"RESTORE", key.as_bytes(), b"0", payload, b"REPLACE"]).expect("a reply");
    assert_eq!(reply, Value::Simple("OK".to_owned()), "RESTORE {key}");
}

#[test]
fn every_value_of_redis_goes_there_and_back() {
    let (theirs, ours) = (redis(), options().shards(3).start().unwrap_or_else(|error| panic!("{error}")));
    let (mut redis, mut pinyon) = (connect(&theirs), connect(&ours));
    for key in fill(&mut redis) {
        restore(&mut pinyon, &key, &dump(&mut redis, &key));
        assert_eq!(pinyon.call(&["TYPE", &key]).expect("a reply"), redis.call(&["TYPE", &key]).expect("a reply"));
        let back = format!("{key}:back");
        restore(&mut redis, &back, &dump(&mut pinyon, &key));
        let digests = redis.call(&["DEBUG", "DIGEST-VALUE", &key, &back]).expect("a reply");
        let digests = digests.as_array().expect("two digests");
        assert_eq!(digests[0], digests[1], "{key}");
        let same = |word: &str| redis_pair(&mut redis, word, &key, &back);
        same_stream(same, key == "stream");
    }
}

/// The two replies of Redis to a command on a key and on its copy.
fn redis_pair(redis: &mut Client, word: &str, key: &str, back: &str) -> (String, String) {
    let mut ask = |key: &str| redis.line(&word.replace("KEY", key)).expect("a reply").to_string();
    (ask(key), ask(back))
}

/// What the digest of a stream leaves out: its groups.
fn same_stream(mut same: impl FnMut(&str) -> (String, String), is_stream: bool) {
    if is_stream {
        for word in ["XINFO GROUPS KEY", "XPENDING KEY group", "XLEN KEY"] {
            let (one, other) = same(word);
            assert_eq!(one, other, "{word}");
        }
    }
}

#[test]
fn strings_that_are_not_compressed_are_dumped_byte_for_byte_and_refusals_are_those_of_redis() {
    let (theirs, ours) = (redis(), options().shards(2).start().unwrap_or_else(|error| panic!("{error}")));
    let (mut redis, mut pinyon) = (connect(&theirs), connect(&ours));
    for value in ["0", "-1", "127", "128", "70000", "3000000000", "text", ""] {
        for client in [&mut redis, &mut pinyon] {
            client.call(&["SET", "key", value]).expect("a reply");
        }
        assert_eq!(dump(&mut pinyon, "key"), dump(&mut redis, "key"), "{value}");
    }
    let payload = dump(&mut redis, "key");
    let mut changed = payload.clone();
    changed[5] ^= 1;
    let words: [&[&[u8]]; 10] = [
        &[b"RESTORE", b"key", b"0", &payload],
        &[b"RESTORE", b"new", b"0", &changed],
        &[b"RESTORE", b"new", b"0", b""],
        &[b"RESTORE", b"new", b"-1", &payload],
        &[b"RESTORE", b"new", b"x", &payload],
        &[b"RESTORE", b"new", b"0", &payload, b"FREQ", b"300"],
        &[b"RESTORE", b"new", b"0", &payload, b"IDLETIME"],
        &[b"RESTORE", b"new", b"5000", &payload, b"ABSTTL"],
        &[b"RESTORE", b"new", b"0", &payload, b"REPLACE", b"IDLETIME", b"7"],
        &[b"DUMP", b"nothing"],
    ];
    for call in words {
        assert_eq!(pinyon.call(call).expect("a reply"), redis.call(call).expect("a reply"), "{call:?}");
    }
}

#[test]
fn restore_is_part_of_a_transaction() {
    let ours = options().shards(3).start().unwrap_or_else(|error| panic!("{error}"));
    let mut pinyon = connect(&ours);
    pinyon.line("SET a one").expect("a reply");
    let payload = dump(&mut pinyon, "a");
    pinyon.line("MULTI").expect("a reply");
    for key in ["b", "c", "d"] {
        pinyon.call(&[b"RESTORE", key.as_bytes(), b"0", &payload]).expect("a reply");
    }
    let reply = pinyon.line("EXEC").expect("a reply");
    assert_eq!(reply.as_array().map(<[Value]>::len), Some(3), "{reply}");
    assert_eq!(pinyon.line("MGET b c d").expect("a reply").to_string().matches("one").count(), 3);
}
