//! Replies asked of redis-server 7.0.15.

use crate::Effect;
use crate::command::trial::Trial;

#[test]
fn groups() {
    Trial::new().expect(&[
        ("xgroup create s g $", "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."),
        ("xgroup create s g $ mkstream", "+OK"),
        ("xgroup create s g $", "-BUSYGROUP Consumer Group name already exists"),
        ("xgroup create s g $ mkstream what", "-ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP."),
        ("xgroup create s h x", "-ERR Invalid stream ID specified as stream command argument"),
        ("xgroup create s h 0 entriesread -2", "-ERR value for ENTRIESREAD must be positive or -1"),
        ("xgroup create s h 0 entriesread x", "-ERR value is not an integer or out of range"),
        ("xgroup create s h 0 entriesread 5", "+OK"),
        ("xgroup setid s h $", "+OK"),
        ("xgroup setid s h 5-5 entriesread 3", "+OK"),
        ("xgroup setid s nogroup 1", "-NOGROUP No such consumer group 'nogroup' for key name 's'"),
        ("xgroup setid nokey h 1", "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."),
        ("xgroup setid s h 5-5 mkstream", "-ERR unknown subcommand or wrong number of arguments for 'setid'. Try XGROUP HELP."),
        ("xgroup createconsumer s h c", ":1"),
        ("xgroup createconsumer s h c", ":0"),
        ("xgroup createconsumer s x c", "-NOGROUP No such consumer group 'x' for key name 's'"),
        ("xgroup delconsumer s h c", ":0"),
        ("xgroup delconsumer s h c", ":0"),
        ("xgroup delconsumer nokey h c", "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."),
        ("xinfo groups s", "*2 *12 $4 name $1 g $9 consumers :0 $7 pending :0 $17 last-delivered-id $3 0-0 $12 entries-read $-1 $3 lag :0 *12 $4 name $1 h $9 consumers :0 $7 pending :0 $17 last-delivered-id $3 5-5 $12 entries-read :3 $3 lag :0"),
        ("xgroup destroy s h", ":1"),
        ("xgroup destroy s h", ":0"),
        ("xgroup destroy nokey h", "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."),
        ("set str x", "+OK"),
        ("xgroup create str g 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("xgroup destroy str g", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("xinfo groups nokey", "-ERR no such key"),
        ("xinfo consumers s nogroup", "-NOGROUP No such consumer group 'nogroup' for key name 's'"),
        ("xinfo consumers nokey g", "-ERR no such key"),
        ("xinfo stream nokey", "-ERR no such key"),
        ("xinfo stream s what", "-ERR unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP."),
        ("xinfo stream s full 5", "-ERR unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP."),
        ("xinfo stream s full count x", "-ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn delivering() {
    Trial::new().expect(&[
        ("xadd s 1-1 a 1", "$3 1-1"),
        ("xadd s 2-1 a 2", "$3 2-1"),
        ("xadd s 3-1 a 3", "$3 3-1"),
        ("xgroup create s g 0", "+OK"),
        ("xreadgroup group g c1 count 2 streams s >", "*1 *2 $1 s *2 *2 $3 1-1 *2 $1 a $1 1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xreadgroup group g c2 streams s >", "*1 *2 $1 s *1 *2 $3 3-1 *2 $1 a $1 3"),
        ("xreadgroup group g c3 streams s >", "*-1"),
        ("xreadgroup group g c1 streams s 0", "*1 *2 $1 s *2 *2 $3 1-1 *2 $1 a $1 1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xreadgroup group g c1 count 1 streams s 1-1", "*1 *2 $1 s *1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xreadgroup group g c4 streams s 0", "*1 *2 $1 s *0"),
        ("xdel s 1-1", ":1"),
        ("xreadgroup group g c1 streams s 0", "*1 *2 $1 s *2 *2 $3 1-1 *-1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xpending s g", "*4 :3 $3 1-1 $3 3-1 *2 *2 $2 c1 $1 2 *2 $2 c2 $1 1"),
        ("xpending s nogroup", "-NOGROUP No such key 's' or consumer group 'nogroup'"),
        ("xpending nokey g", "-NOGROUP No such key 'nokey' or consumer group 'g'"),
        ("xpending s g - +", "-ERR syntax error"),
        ("xpending s g - + x", "-ERR value is not an integer or out of range"),
        ("xpending s g - + 10 nobody", "*0"),
        ("xpending s g idle 99999 - + 10", "*0"),
        ("xpending s g idle 1 - +", "-ERR syntax error"),
        ("xinfo groups s", "*1 *12 $4 name $1 g $9 consumers :3 $7 pending :3 $17 last-delivered-id $3 3-1 $12 entries-read :3 $3 lag :0"),
        ("xack s g 1-1 9-9", ":1"),
        ("xack s g x", "-ERR Invalid stream ID specified as stream command argument"),
        ("xack s nogroup x", ":0"),
        ("xack nokey g 1-1", ":0"),
        ("xack s g 2-1 3-1", ":2"),
        ("xpending s g", "*4 :0 $-1 $-1 *-1"),
        ("xreadgroup group nogroup c streams s >", "-NOGROUP No such key 's' or consumer group 'nogroup' in XREADGROUP with GROUP option"),
        ("xreadgroup group g c streams nokey >", "-NOGROUP No such key 'nokey' or consumer group 'g' in XREADGROUP with GROUP option"),
        ("xreadgroup group g c streams s $", "-ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."),
        ("xreadgroup count 1 noack streams s >", "-ERR Missing GROUP option for XREADGROUP"),
        ("xreadgroup group g c count 1 noack block 5", "-ERR syntax error"),
        ("xreadgroup group g c noack count 1 streams s", "-ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."),
        ("xadd s 4-1 a 4", "$3 4-1"),
        ("xreadgroup group g c noack streams s >", "*1 *2 $1 s *1 *2 $3 4-1 *2 $1 a $1 4"),
        ("xpending s g", "*4 :0 $-1 $-1 *-1"),
        ("xinfo groups s", "*1 *12 $4 name $1 g $9 consumers :4 $7 pending :0 $17 last-delivered-id $3 4-1 $12 entries-read :4 $3 lag :0"),
        ("xgroup setid s g 0", "+OK"),
        ("xreadgroup group g c5 count 1 streams s >", "*1 *2 $1 s *1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xinfo groups s", "*1 *12 $4 name $1 g $9 consumers :5 $7 pending :1 $17 last-delivered-id $3 2-1 $12 entries-read :2 $3 lag :2"),
    ]);
}

#[test]
fn claiming() {
    Trial::new().expect(&[
        ("xadd s 1-1 a 1", "$3 1-1"),
        ("xadd s 2-1 a 2", "$3 2-1"),
        ("xadd s 3-1 a 3", "$3 3-1"),
        ("xgroup create s g 0", "+OK"),
        ("xreadgroup group g c1 streams s >", "*1 *2 $1 s *3 *2 $3 1-1 *2 $1 a $1 1 *2 $3 2-1 *2 $1 a $1 2 *2 $3 3-1 *2 $1 a $1 3"),
        ("xclaim s g c2 0 1-1 2-1 9-9", "*2 *2 $3 1-1 *2 $1 a $1 1 *2 $3 2-1 *2 $1 a $1 2"),
        ("xclaim s g c2 0 1-1 justid", "*1 $3 1-1"),
        ("xclaim s g c3 100000 1-1", "*0"),
        ("xclaim s g c3 0 1-1 retrycount 7 time 5 justid", "*1 $3 1-1"),
        ("xclaim s g c3 0 x", "-ERR Unrecognized XCLAIM option 'x'"),
        ("xclaim s g c3 x 1-1", "-ERR Invalid min-idle-time argument for XCLAIM"),
        ("xclaim s g c3 0 1-1 what", "-ERR Unrecognized XCLAIM option 'what'"),
        ("xclaim s g c3 0 1-1 idle x", "-ERR Invalid IDLE option argument for XCLAIM"),
        ("xclaim s g c3 0 1-1 lastid 9-9", "*1 *2 $3 1-1 *2 $1 a $1 1"),
        ("xclaim s nogroup c3 0 1-1", "-NOGROUP No such key 's' or consumer group 'nogroup'"),
        ("xclaim nokey g c3 0 1-1", "-NOGROUP No such key 'nokey' or consumer group 'g'"),
        ("xdel s 3-1", ":1"),
        ("xclaim s g c3 0 3-1", "*0"),
        ("xgroup create s h 0", "+OK"),
        ("xclaim s h c 0 1-1", "*0"),
        ("xclaim s h c 0 1-1 force justid", "*1 $3 1-1"),
        ("xautoclaim s g c9 0 0 count 1", "*3 $3 2-1 *1 *2 $3 1-1 *2 $1 a $1 1 *0"),
        ("xautoclaim s g c9 0 0 count 1 justid", "*3 $3 2-1 *1 $3 1-1 *0"),
        ("xautoclaim s g c9 0 (1-1", "*3 $3 0-0 *1 *2 $3 2-1 *2 $1 a $1 2 *0"),
        ("xautoclaim s g c9 100000 0", "*3 $3 0-0 *0 *0"),
        ("xdel s 1-1", ":1"),
        ("xautoclaim s g c8 0 - count 5", "*3 $3 0-0 *1 *2 $3 2-1 *2 $1 a $1 2 *1 $3 1-1"),
        ("xautoclaim s g c8 0 - count 0", "-ERR COUNT must be > 0"),
        ("xautoclaim s g c8 x -", "-ERR Invalid min-idle-time argument for XAUTOCLAIM"),
        ("xautoclaim s g c8 0 x", "-ERR Invalid stream ID specified as stream command argument"),
        ("xautoclaim s g c8 0 - what", "-ERR syntax error"),
        ("xautoclaim s nogroup c8 0 -", "-NOGROUP No such key 's' or consumer group 'nogroup'"),
        ("xautoclaim nokey g c8 0 -", "-NOGROUP No such key 'nokey' or consumer group 'g'"),
        ("xinfo groups s", "*2 *12 $4 name $1 g $9 consumers :5 $7 pending :1 $17 last-delivered-id $3 9-9 $12 entries-read :3 $3 lag :0 *12 $4 name $1 h $9 consumers :1 $7 pending :1 $17 last-delivered-id $3 0-0 $12 entries-read $-1 $3 lag $-1"),
    ]);
}

/// What was read is recorded of each stream alone, without waiting.
#[test]
fn deliveries_are_recorded() {
    let mut t = Trial::new();
    for line in ["xadd a 1-1 x y", "xadd b 1-1 x y", "xgroup create a g 0", "xgroup create b g 0"] {
        t.run(line);
    }
    t.run("xreadgroup group g c count 5 block 100 streams a b > >");
    assert_eq!(t.effect(), Effect::Recorded { changes: 2 });
    let expected = ["XREADGROUP GROUP g c COUNT 5 STREAMS a >", "XREADGROUP GROUP g c COUNT 5 STREAMS b >"];
    assert_eq!(t.recorded(), expected);
    assert_eq!(t.run("xreadgroup group g c block 100 streams a b > >"), "*-1");
    assert_eq!(t.effect(), Effect::None);
    t.advance(50);
    t.run("xreadgroup group g c streams a 0");
    assert_eq!(t.recorded(), ["XREADGROUP GROUP g c STREAMS a 0"]);
    t.advance(7);
    assert_eq!(t.run("xpending a g - + 10"), "*1 *4 $3 1-1 $1 c :7 :2");
    assert_eq!(t.run("xpending a g idle 8 - + 10 c"), "*0");
    assert_eq!(t.run("xinfo consumers b g"), "*1 *6 $4 name $1 c $7 pending :1 $4 idle :57");
    t.run("xclaim a g d 8 1-1");
    assert_eq!(t.effect(), Effect::None);
    t.run("xclaim a g d 7 1-1");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
}
