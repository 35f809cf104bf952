//! Bitmaps, HyperLogLogs, SORT and streams with keys on one, two and three shards: what is replied does not depend on where
//! keys lie.

use pinyon_testkit::{Client, Server};

use super::{connect, eventually, info_number, options, say, short};

#[track_caller]
fn on_all_shards(test: impl Fn(&Server)) {
    for shards in [1, 2, 3] {
        test(&options().shards(shards).start().unwrap_or_else(|error| panic!("{error}")));
    }
}

#[track_caller]
fn expect(client: &mut Client, dialogue: &[(&str, &str)]) {
    for (line, wanted) in dialogue {
        assert_eq!(say(client, line), *wanted, "{line}");
    }
}

/// Sends a command that waits, and sees to it that it does.
#[track_caller]
fn wait(client: &mut Client, line: &str, observer: &mut Client) {
    client.send(&line.split(' ').collect::<Vec<_>>()).expect("sent");
    eventually("it waits", || info_number(observer, "clients", "blocked_clients") == 1);
}

#[track_caller]
fn reply(client: &mut Client) -> String {
    short(&client.receive().expect("a reply"))
}

#[test]
fn strings_are_combined() {
    on_all_shards(|server| {
        let mut client = connect(server);
        expect(
            &mut client,
            &[
                ("MSET a abc b abd c zz", "OK"),
                ("BITOP AND d a b c", "3"),
                ("BITCOUNT d", "5"),
                ("BITOP XOR e a b", "3"),
                ("GET e", "\0\0\u{7}"),
                ("BITOP NOT f a", "3"),
                ("BITOP NOT f a b", "-ERR BITOP NOT must be called with a single source key."),
                ("BITOP OR e nokey none", "0"),
                ("EXISTS e", "0"),
                ("HSET hash f v", "1"),
                ("BITOP OR e a b hash", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
                ("PFADD p1 a b c", "1"),
                ("PFADD p2 c d", "1"),
                ("PFADD p3 e", "1"),
                ("PFCOUNT p1 p2 p3 none", "5"),
                ("PFMERGE p4 p1 p2", "OK"),
                ("PFMERGE p3 p4", "OK"),
                ("PFCOUNT p3", "5"),
                ("PFMERGE new", "OK"),
                ("PFCOUNT new", "0"),
                ("PFCOUNT p1 a", "-WRONGTYPE Key is not a valid HyperLogLog string value."),
                ("PFSELFTEST", "OK"),
            ],
        );
    });
}

#[test]
fn keys_that_sort_names_may_be_anywhere() {
    on_all_shards(|server| {
        let mut client = connect(server);
        expect(
            &mut client,
            &[
                ("RPUSH l 1 2 3 4", "4"),
                ("MSET w1 40 w2 30 w3 20 w4 10", "OK"),
                ("HSET h1 n one", "1"),
                ("HSET h3 n three", "1"),
                ("SORT l BY w*", "[4 3 2 1]"),
                ("SORT l BY w* DESC LIMIT 1 2 GET # GET h*->n GET w*", "[2 nil 30 3 three 20]"),
                ("SORT l BY w* GET h*->n STORE d", "4"),
                ("LRANGE d 0 -1", "[ three  one]"),
                ("SORT l DESC STORE e", "4"),
                ("LRANGE e 0 -1", "[4 3 2 1]"),
                ("SORT_RO l BY w* GET none*", "[nil nil nil nil]"),
                ("SORT l BY h*->n", "-ERR One or more scores can't be converted into double"),
                ("SORT none STORE d", "0"),
                ("EXISTS d", "0"),
                ("SORT w1 BY w*", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
                ("MULTI", "OK"),
                ("SET w4 99", "QUEUED"),
                ("SORT l BY w* STORE d", "QUEUED"),
                ("BITOP OR o w1 w2", "QUEUED"),
                ("LRANGE d 0 -1", "QUEUED"),
                ("EXEC", "[OK 4 2 [3 2 1 4]]"),
            ],
        );
    });
}

#[test]
fn streams_are_read_together() {
    on_all_shards(|server| {
        let mut client = connect(server);
        let group = "XREADGROUP GROUP g c COUNT 1 STREAMS a b c > > >";
        expect(
            &mut client,
            &[
                ("XADD a 1-1 x 1", "1-1"),
                ("XADD b 2-1 x 2", "2-1"),
                ("XADD c 3-1 x 3", "3-1"),
                ("XREAD STREAMS a b c 0 2 3-1", "[[a [[1-1 [x 1]]]] [b [[2-1 [x 2]]]]]"),
                ("XREAD STREAMS a b c $ $ $", "nil"),
                ("XGROUP CREATE a g 0", "OK"),
                ("XGROUP CREATE b g $", "OK"),
                (group, "-NOGROUP No such key 'c' or consumer group 'g' in XREADGROUP with GROUP option"),
                ("XPENDING a g", "[0 nil nil nil]"),
                ("XGROUP CREATE c g 0", "OK"),
                (group, "[[a [[1-1 [x 1]]]] [c [[3-1 [x 3]]]]]"),
                (group, "nil"),
                ("XPENDING c g", "[1 3-1 3-1 [[c 1]]]"),
                ("XREADGROUP GROUP g c STREAMS a b c 0 0 0", "[[a [[1-1 [x 1]]]] [b []] [c [[3-1 [x 3]]]]]"),
            ],
        );
    });
}

#[test]
fn readers_wait_for_entries() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        wait(&mut client, "XREAD BLOCK 0 STREAMS a b c $ $ $", &mut other);
        assert_eq!(say(&mut other, "XADD b 1-1 x y"), "1-1");
        assert_eq!(reply(&mut client), "[[b [[1-1 [x y]]]]]");
        assert_eq!(say(&mut client, "XREAD BLOCK 5 STREAMS b 1-1"), "nil");
        assert_eq!(say(&mut other, "XGROUP CREATE b g 1-1"), "OK");
        let waits = "XREADGROUP GROUP g c BLOCK 0 STREAMS b >";
        wait(&mut client, waits, &mut other);
        assert_eq!(say(&mut other, "XADD b 2-1 x y"), "2-1");
        assert_eq!(reply(&mut client), "[[b [[2-1 [x y]]]]]");
        assert_eq!(say(&mut other, "XPENDING b g"), "[1 2-1 2-1 [[c 1]]]");
        wait(&mut client, waits, &mut other);
        assert_eq!(say(&mut other, "XGROUP DESTROY b g"), "1");
        assert!(reply(&mut client).starts_with("-NOGROUP "));
        assert_eq!(say(&mut other, "XGROUP CREATE b g $"), "OK");
        wait(&mut client, waits, &mut other);
        assert_eq!(say(&mut other, "DEL b"), "1");
        assert_eq!(reply(&mut client), "-UNBLOCKED the stream key no longer exists");
    });
}
