//! Replies asked of redis-server 7.0.15.

use crate::Effect;
use crate::command::trial::{START, Trial};

#[test]
fn adding() {
    Trial::new().expect(&[
        ("xadd s 1-1 a 1 b 2", "$3 1-1"),
        ("xadd s 1-* c 3", "$3 1-2"),
        ("xadd s 2 d 4", "$3 2-0"),
        ("xadd s 2-0 d 4", "-ERR The ID specified in XADD is equal or smaller than the target stream top item"),
        ("xadd s 1-9 d 4", "-ERR The ID specified in XADD is equal or smaller than the target stream top item"),
        ("xadd s 0-0 d 4", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("xadd new 0-* d 4", "$3 0-1"),
        ("xadd s nomkstream 3-0 a b", "$3 3-0"),
        ("xadd nokey nomkstream 3-0 a b", "$-1"),
        ("exists nokey", ":0"),
        ("xadd s x a b", "-ERR Invalid stream ID specified as stream command argument"),
        ("xadd s - a b", "-ERR Invalid stream ID specified as stream command argument"),
        ("xadd s nomkstream 9-1 a", "-ERR wrong number of arguments for 'xadd' command"),
        ("xadd s maxlen 2 5-0 a b", "$3 5-0"),
        ("xlen s", ":2"),
        ("xadd s maxlen ~ 2 limit 0 6-0 a b", "$3 6-0"),
        ("xadd s maxlen = 1 limit 5 7-0 a b", "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
        (
            "xadd s maxlen 1 minid 4 7-0 a b",
            "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        ),
        ("xadd s maxlen -1 7-0 a b", "-ERR The MAXLEN argument must be >= 0."),
        ("xadd s limit 5 7-0 a b", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        ("xadd s minid 6 7-0 a b", "$3 7-0"),
        ("xrange s - +", "*2 *2 $3 6-0 *2 $1 a $1 b *2 $3 7-0 *2 $1 a $1 b"),
        ("xadd s 18446744073709551615-18446744073709551615 a b", "$41 18446744073709551615-18446744073709551615"),
        ("xadd s * a b", "-ERR The stream has exhausted the last possible ID, unable to add more items"),
        (
            "xadd s 18446744073709551615-* a b",
            "-ERR The stream has exhausted the last possible ID, unable to add more items",
        ),
        ("set str x", "+OK"),
        ("xadd str 1-1 a b", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("xlen str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("xlen nokey", ":0"),
        ("type s", "+stream"),
        ("object encoding s", "$6 stream"),
    ]);
}

#[test]
fn ranges() {
    Trial::new().expect(&[
        ("xadd s 1-1 a 1", "$3 1-1"),
        ("xadd s 1-2 a 2", "$3 1-2"),
        ("xadd s 2-0 b 3 c 4", "$3 2-0"),
        ("xadd s 3-7 a 5", "$3 3-7"),
        ("xrange s - +", "*4 *2 $3 1-1 *2 $1 a $1 1 *2 $3 1-2 *2 $1 a $1 2 *2 $3 2-0 *4 $1 b $1 3 $1 c $1 4 *2 $3 3-7 *2 $1 a $1 5"),
        ("xrange s 1 2", "*3 *2 $3 1-1 *2 $1 a $1 1 *2 $3 1-2 *2 $1 a $1 2 *2 $3 2-0 *4 $1 b $1 3 $1 c $1 4"),
        ("xrange s (1-1 (3-7", "*2 *2 $3 1-2 *2 $1 a $1 2 *2 $3 2-0 *4 $1 b $1 3 $1 c $1 4"),
        ("xrange s 1-2 + count 1", "*1 *2 $3 1-2 *2 $1 a $1 2"),
        ("xrange s - + count 0", "*-1"),
        ("xrange s - + count -1", "*-1"),
        ("xrevrange s + - count 2", "*2 *2 $3 3-7 *2 $1 a $1 5 *2 $3 2-0 *4 $1 b $1 3 $1 c $1 4"),
        ("xrevrange s 2 1", "*3 *2 $3 2-0 *4 $1 b $1 3 $1 c $1 4 *2 $3 1-2 *2 $1 a $1 2 *2 $3 1-1 *2 $1 a $1 1"),
        ("xrange s + -", "*0"),
        ("xrange s (18446744073709551615-18446744073709551615 +", "-ERR invalid start ID for the interval"),
        ("xrange s - (0-0", "-ERR invalid end ID for the interval"),
        ("xrange s (- +", "-ERR Invalid stream ID specified as stream command argument"),
        ("xrange s x +", "-ERR Invalid stream ID specified as stream command argument"),
        ("xrange s - + count", "-ERR syntax error"),
        ("xrange s - + limit 1", "-ERR syntax error"),
        ("xrange s - + count x", "-ERR value is not an integer or out of range"),
        ("xrange nokey - +", "*0"),
        ("xrange nokey - + count 0", "*0"),
        ("xdel s 1-2 9-9 2", ":2"),
        ("xdel s 1-1 x", "-ERR Invalid stream ID specified as stream command argument"),
        ("xdel nokey x", ":0"),
        ("xrange s - +", "*2 *2 $3 1-1 *2 $1 a $1 1 *2 $3 3-7 *2 $1 a $1 5"),
        ("xinfo stream s", "*20 $6 length :2 $15 radix-tree-keys :1 $16 radix-tree-nodes :2 $17 last-generated-id $3 3-7 $20 max-deleted-entry-id $3 2-0 $13 entries-added :4 $23 recorded-first-entry-id $3 1-1 $6 groups :0 $11 first-entry *2 $3 1-1 *2 $1 a $1 1 $10 last-entry *2 $3 3-7 *2 $1 a $1 5"),
        ("xtrim s maxlen 1", ":1"),
        ("xtrim s minid ~ 9", ":1"),
        ("xtrim s minid 9", ":0"),
        ("xtrim s limit 1", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        ("xtrim s maxlen 1 limit 3", "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
        ("xtrim s maxlen x", "-ERR value is not an integer or out of range"),
        ("xtrim s maxlen 1 what", "-ERR syntax error"),
        ("xlen s", ":0"),
        ("xinfo stream s", "*20 $6 length :0 $15 radix-tree-keys :0 $16 radix-tree-nodes :1 $17 last-generated-id $3 3-7 $20 max-deleted-entry-id $3 2-0 $13 entries-added :4 $23 recorded-first-entry-id $3 0-0 $6 groups :0 $11 first-entry $-1 $10 last-entry $-1"),
        ("xtrim nokey maxlen 1", ":0"),
    ]);
}

#[test]
fn last_ids() {
    Trial::new().expect(&[
        ("xsetid nokey 1-1", "-ERR no such key"),
        ("xadd s 5-5 a b", "$3 5-5"),
        ("xsetid s 5-4", "-ERR The ID specified in XSETID is smaller than the target stream top item"),
        ("xsetid s 9-9", "+OK"),
        ("xadd s 9-9 a b", "-ERR The ID specified in XADD is equal or smaller than the target stream top item"),
        ("xsetid s 9-9 entriesadded 0", "-ERR The entries_added specified in XSETID is smaller than the target stream length"),
        ("xsetid s 9-9 entriesadded -1", "-ERR entries_added must be positive"),
        ("xsetid s 9-9 entriesadded 7 maxdeletedid 9-10", "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"),
        ("xsetid s 9-9 entriesadded 7 maxdeletedid 3-3", "+OK"),
        ("xsetid s 3-2", "-ERR The ID specified in XSETID is smaller than the target stream top item"),
        ("xsetid s 9-9 what", "-ERR syntax error"),
        ("xinfo stream s", "*20 $6 length :1 $15 radix-tree-keys :1 $16 radix-tree-nodes :2 $17 last-generated-id $3 9-9 $20 max-deleted-entry-id $3 3-3 $13 entries-added :7 $23 recorded-first-entry-id $3 5-5 $6 groups :0 $11 first-entry *2 $3 5-5 *2 $1 a $1 b $10 last-entry *2 $3 5-5 *2 $1 a $1 b"),
        ("xdel s 5-5", ":1"),
        ("xsetid s 1-1", "+OK"),
        ("xsetid s 10", "+OK"),
        ("xinfo stream s", "*20 $6 length :0 $15 radix-tree-keys :0 $16 radix-tree-nodes :1 $17 last-generated-id $4 10-0 $20 max-deleted-entry-id $3 5-5 $13 entries-added :7 $23 recorded-first-entry-id $3 0-0 $6 groups :0 $11 first-entry $-1 $10 last-entry $-1"),
    ]);
}

#[test]
fn reading() {
    Trial::new().expect(&[
        ("xadd a 1-1 x 1", "$3 1-1"),
        ("xadd a 2-1 x 2", "$3 2-1"),
        ("xadd b 1-5 y 1", "$3 1-5"),
        (
            "xread streams a b 0 0",
            "*2 *2 $1 a *2 *2 $3 1-1 *2 $1 x $1 1 *2 $3 2-1 *2 $1 x $1 2 *2 $1 b *1 *2 $3 1-5 *2 $1 y $1 1",
        ),
        ("xread count 1 streams a b 0 0", "*2 *2 $1 a *1 *2 $3 1-1 *2 $1 x $1 1 *2 $1 b *1 *2 $3 1-5 *2 $1 y $1 1"),
        ("xread streams a b 1-1 1-5", "*1 *2 $1 a *1 *2 $3 2-1 *2 $1 x $1 2"),
        ("xread streams a nokey b 2-1 0 1-5", "*-1"),
        ("xread block 0 streams a 0", "*1 *2 $1 a *2 *2 $3 1-1 *2 $1 x $1 1 *2 $3 2-1 *2 $1 x $1 2"),
        ("xread streams a $", "*-1"),
        (
            "xread streams a >",
            "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        ),
        ("xread count x streams a 0", "-ERR value is not an integer or out of range"),
        ("xread count -5 streams a 0", "*1 *2 $1 a *2 *2 $3 1-1 *2 $1 x $1 1 *2 $3 2-1 *2 $1 x $1 2"),
        ("xread block -1 streams a 0", "-ERR timeout is negative"),
        ("xread block x streams a 0", "-ERR timeout is not an integer or out of range"),
        (
            "xread group g c streams a 0",
            "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
        ),
        ("xread noack streams a 0", "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."),
        ("xread what streams a 0", "-ERR syntax error"),
        ("set s x", "+OK"),
        ("xread streams a s 0 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

/// What a log replays: IDs as they were given, trimming as it came out.
#[test]
fn effects_are_canonical() {
    let mut t = Trial::new();
    t.run("xadd s 1-1 a b");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    t.run("xadd s * a b");
    assert_eq!(
        (t.effect(), t.recorded()),
        (Effect::Recorded { changes: 1 }, &[format!("XADD s {}-0 a b", START.0)][..])
    );
    t.run("xadd s nomkstream maxlen ~ 1 2000000000000-* a b");
    assert_eq!(t.recorded(), ["XADD s MAXLEN = 3 2000000000000-0 a b"]);
    t.run("xadd s minid ~ 5 2000000000001-1 a b");
    assert_eq!(t.recorded(), ["XADD s MINID = 1-1 2000000000001-1 a b"]);
    t.run("xtrim s maxlen ~ 1");
    assert_eq!(t.effect(), Effect::None);
    t.run("xtrim s maxlen 1");
    assert_eq!(t.effect(), Effect::AsSent { changes: 3 });
}

/// An approximate trim takes whole blocks, and no more than its limit.
#[test]
fn approximate_trimming_is_recorded_exactly() {
    let mut t = Trial::new();
    for number in 1..=1000 {
        t.run(&format!("xadd s {number} a b"));
    }
    assert_eq!(t.run("xtrim s maxlen ~ 550 limit 250"), ":200");
    assert_eq!(
        (t.effect(), t.recorded()),
        (Effect::Recorded { changes: 200 }, &["XTRIM s MAXLEN = 800".to_owned()][..])
    );
    assert_eq!(t.run("xtrim s minid ~ 450"), ":200");
    assert_eq!(t.recorded(), ["XTRIM s MINID = 401-0"]);
    assert_eq!(t.run("xlen s"), ":600");
}
