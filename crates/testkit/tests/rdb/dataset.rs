//! Keys in every encoding that a server has, made by its own commands.

use pinyon_testkit::{Client, Random};

use super::ask::{ask, say};

/// Makes them, in several databases. `field_deadlines`: the server knows such.
pub fn fill(client: &mut Client, random: &mut Random, field_deadlines: bool) {
    strings(client, random);
    lists(client, random);
    sets(client, random);
    hashes(client, random, field_deadlines);
    sorted_sets(client, random);
    streams(client, random);
    say(client, "SELECT 9");
    say(client, "SET elsewhere 1");
    say(client, "PEXPIREAT elsewhere 2000000000123");
    say(client, "SELECT 0");
    ask(client, &[b"FUNCTION", b"LOAD", b"#!lua name=lib\nredis.register_function('f', function() return 1 end)"]);
}

fn word(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| b"abcdefgh"[random.below(8)]).collect()
}

fn strings(client: &mut Client, random: &mut Random) {
    for number in
        ["0", "-1", "127", "128", "-129", "32767", "32768", "2147483647", "2147483648", "9223372036854775807", "007"]
    {
        say(client, &format!("SET number:{number} {number}"));
    }
    say(client, "SET empty \"\"");
    for length in [1, 20, 21, 44, 63, 64, 16_383, 16_384, 300_000] {
        let noise = random.bytes(length);
        ask(client, &[b"SET", format!("noise:{length}").as_bytes(), &noise]);
        let text = word(random, 10).repeat(length / 10 + 1);
        ask(client, &[b"SET", format!("text:{length}").as_bytes(), &text]);
    }
    ask(client, &[b"SET", &random.bytes(300), b"a long key"]);
    say(client, "SET volatile x PXAT 2000000000000");
    say(client, "PFADD hll a b c");
}

fn lists(client: &mut Client, random: &mut Random) {
    say(client, "RPUSH list:small a 1 -300 70000 5000000000 \"\"");
    for i in 0..3000 {
        let item = if i % 3 == 0 { i.to_string().into_bytes() } else { random.bytes(i % 60) };
        ask(client, &[b"RPUSH", b"list:nodes", &item]);
    }
    for length in [62, 63, 64, 127, 4095, 4096, 16_377, 16_378, 16_379, 40_000] {
        ask(client, &[b"RPUSH", b"list:lengths", &word(random, length)]);
    }
    // Elements from here on are nodes of their own.
    say(client, "DEBUG QUICKLIST-PACKED-THRESHOLD 200B");
    for length in [10, 500, 10, 300, 400] {
        ask(client, &[b"RPUSH", b"list:plain", &random.bytes(length)]);
    }
    say(client, "DEBUG QUICKLIST-PACKED-THRESHOLD 0");
}

fn sets(client: &mut Client, random: &mut Random) {
    say(client, "SADD set:16 1 -5 300");
    say(client, "SADD set:32 1 70000");
    say(client, "SADD set:64 1 -5000000000");
    say(client, "SADD set:small a b 1");
    for i in 0..1000 {
        ask(client, &[b"SADD", b"set:large", &random.bytes(i % 90)]);
        say(client, &format!("SADD set:numbers {}", i as i64 * 7 - 300));
    }
}

fn hashes(client: &mut Client, random: &mut Random, field_deadlines: bool) {
    say(client, "HSET hash:small f v 12 -70000 empty \"\"");
    ask(client, &[b"HSET", b"hash:long", b"f", &word(random, 100), b"1", b"2"]);
    for i in 0..1000 {
        ask(client, &[b"HSET", b"hash:large", i.to_string().as_bytes(), &random.bytes(i % 50)]);
    }
    if field_deadlines {
        say(client, "HSET hash:deadlines f v g 12 h x");
        say(client, "HPEXPIREAT hash:deadlines 2000000000123 FIELDS 1 g");
        say(client, "HPEXPIREAT hash:deadlines 2000000000001 FIELDS 1 h");
        for i in 0..600 {
            say(client, &format!("HSET hash:many {i} {}", i * i));
            if i % 2 == 0 {
                say(client, &format!("HPEXPIREAT hash:many {} FIELDS 1 {i}", 2_000_000_000_000i64 + i * 1000));
            }
        }
    }
}

fn sorted_sets(client: &mut Client, random: &mut Random) {
    say(client, "ZADD zset:small 1.5 a 2 b inf c -inf d 0.1 e -0 f 1e300 g 9007199254740993 h 3 7");
    for i in 0..1000 {
        let score = format!("{}.{}", random.between(-1000, 1000), i);
        ask(client, &[b"ZADD", b"zset:large", score.as_bytes(), &random.bytes(1 + i % 70)]);
    }
}

fn streams(client: &mut Client, random: &mut Random) {
    for i in 1..500 {
        let value = random.bytes(i % 40);
        ask(client, &[b"XADD", b"stream", format!("{}-{}", i / 3 + 1, 2 * i).as_bytes(), b"field", &value, b"2", b"x"]);
        if i % 10 == 0 {
            say(client, &format!("XADD stream {}-{} other {i}", i / 3 + 1, 2 * i + 1));
        }
        if i % 7 == 0 {
            say(client, &format!("XDEL stream {}-{}", i / 3 + 1, 2 * i));
        }
    }
    say(client, "XADD stream 18446744073709551615-1 far away");
    say(client, "XGROUP CREATE stream none $");
    say(client, "XGROUP CREATE stream readers 0");
    say(client, "XGROUP CREATE stream unknown 5-1");
    say(client, "XREADGROUP GROUP readers one COUNT 50 STREAMS stream >");
    say(client, "XREADGROUP GROUP readers two COUNT 30 STREAMS stream >");
    say(client, "XREADGROUP GROUP unknown 12 COUNT 3 STREAMS stream >");
    say(client, "XREADGROUP GROUP readers one COUNT 5 STREAMS stream 0");
    say(client, "XGROUP CREATECONSUMER stream readers idle");
    say(client, "XACK stream readers 1-2 1-4");
    say(client, "XADD stream:empty 7-7 a b");
    say(client, "XDEL stream:empty 7-7");
    say(client, "XGROUP CREATE stream:fresh g $ MKSTREAM");
}
