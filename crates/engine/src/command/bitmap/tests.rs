//! Replies asked of redis-server 7.0.15.

use pinyon_base::DbIndex;

use crate::Effect;
use crate::command::trial::Trial;
use crate::transaction::WatcherId;

const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range";

#[test]
fn single_bits() {
    let mut t = Trial::new();
    t.expect(&[
        ("setbit k 7 1", ":0"),
        ("setbit k 7 1", ":1"),
        ("get k", "$1 \u{1}"),
        ("getbit k 7", ":1"),
        ("getbit k 6", ":0"),
        ("getbit k 100", ":0"),
        ("getbit nokey 0", ":0"),
        ("setbit k 20 0", ":0"),
        ("strlen k", ":3"),
        ("setbit k -1 1", BAD_OFFSET),
        ("setbit k 4294967296 1", BAD_OFFSET),
        ("getbit k x", BAD_OFFSET),
        ("setbit k 1 2", "-ERR bit is not an integer or out of range"),
        ("setbit k 1 x", "-ERR bit is not an integer or out of range"),
    ]);
    t.run("setbit k 20 0");
    assert_eq!(t.effect(), Effect::None);
    t.run("setbit k 20 1");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
}

#[test]
fn a_long_string_is_changed_in_its_place() {
    let mut t = Trial::new();
    t.run("setbit k 80000000 1");
    assert_eq!(t.run("strlen k"), ":10000001");
    let begin = std::time::Instant::now();
    for bit in 0..20_000 {
        t.run(&format!("setbit k {} 1", bit * 4_000));
    }
    // Copies of ten megabytes each would take half a minute.
    assert!(begin.elapsed().as_secs() < 10);
    assert_eq!(t.run("bitcount k"), ":20001");
}

#[test]
fn counting_and_finding() {
    let mut t = Trial::new();
    t.run("set s foobar");
    t.expect(&[
        ("bitcount s", ":26"),
        ("bitcount s 0 0", ":4"),
        ("bitcount s 1 1", ":6"),
        ("bitcount s 0 -5", ":10"),
        ("bitcount s 5 30 BIT", ":17"),
        ("bitcount s 5 30 byte", ":4"),
        ("bitcount s -1 -4", ":0"),
        ("bitcount s 4 1", ":0"),
        ("bitcount nokey", ":0"),
        ("bitcount s 0", "-ERR syntax error"),
        ("bitcount s 0 1 what", "-ERR syntax error"),
        ("bitcount s a b", "-ERR value is not an integer or out of range"),
        ("setrange ones 0 \"\\xff\\xff\\xff\"", ":3"),
        ("bitpos ones 0", ":24"),
        ("bitpos ones 0 1", ":24"),
        ("bitpos ones 0 0 -1", ":-1"),
        ("bitpos ones 0 3", ":-1"),
        ("bitpos ones 1 1", ":8"),
        ("bitpos ones 1 9 20 bit", ":9"),
        ("bitpos nokey 0", ":0"),
        ("bitpos nokey 1", ":-1"),
        ("bitpos s 2", "-ERR The bit argument must be 1 or 0."),
        ("bitpos s 1 0 1 nothing", "-ERR syntax error"),
    ]);
}

#[test]
fn combining() {
    let mut t = Trial::new();
    t.run("set a \"\\xaa\\x00\\xff\\x55\"");
    t.run("set b \"\\xaa\\x00\\xff\"");
    t.run("set d 1 ex 100");
    t.expect(&[
        ("bitop and d a b", ":4"),
        ("bitcount d", ":12"),
        ("bitop or d a b nokey", ":4"),
        ("bitcount d", ":16"),
        ("bitop xor d a b", ":4"),
        ("bitcount d", ":4"),
        ("bitop not d a", ":4"),
        ("bitcount d", ":16"),
        ("bitop not d a b", "-ERR BITOP NOT must be called with a single source key."),
        ("bitop nand d a b", "-ERR syntax error"),
        ("object encoding d", "$3 raw"),
        ("bitop and d nokey", ":0"),
        ("exists d", ":0"),
    ]);
    assert_eq!(t.left("d"), None);
    t.run("bitop and d nokey");
    assert_eq!(t.effect(), Effect::None);
}

#[test]
fn fields() {
    let mut t = Trial::new();
    let bad_type = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    t.expect(&[
        ("bitfield k set u8 0 100 get u8 0 incrby u8 0 200", "*3 :0 :100 :44"),
        ("bitfield k set i8 #1 -1 get i8 8", "*2 :0 :-1"),
        ("bitfield k overflow fail incrby u8 0 250", "*1 $-1"),
        ("bitfield k overflow sat incrby u8 0 250 overflow wrap incrby u8 0 1", "*2 :255 :0"),
        ("bitfield_ro k get u4 0 get i8 8", "*2 :0 :-1"),
        ("bitfield k", "*0"),
        ("bitfield nokey get u8 0", "*1 :0"),
        ("exists nokey", ":0"),
        ("bitfield_ro k set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
        ("bitfield k get u64 0", bad_type),
        ("bitfield k get i65 0", bad_type),
        ("bitfield k get x8 0", bad_type),
        ("bitfield k get u8 -1", BAD_OFFSET),
        ("bitfield k get u8 #9223372036854775807", BAD_OFFSET),
        ("bitfield k overflow what", "-ERR Invalid OVERFLOW type specified"),
        ("bitfield k what u8 0", "-ERR syntax error"),
        ("bitfield k set u8 0", "-ERR syntax error"),
        ("bitfield k set u8 0 x", "-ERR value is not an integer or out of range"),
    ]);
    t.run("bitfield k set u8 0 0");
    assert_eq!(t.effect(), Effect::None);
}

/// As in redis-server 7.0.15: a string that grows for operations that all fail has not changed, for those who watch it.
#[test]
fn growth_alone_spoils_no_watch() {
    let spoils = |setup: &str, command: &str| {
        let mut t = Trial::new();
        t.run(setup);
        let watcher = WatcherId { client: 1, core: 0, place: 0, epoch: 0 };
        t.shard.watch(watcher, DbIndex(0), b"k");
        t.run(command);
        (t.shard.has_changed(watcher), t.run("strlen k"))
    };
    for setup in ["set k abc", "set other abc"] {
        let fails = spoils(setup, "bitfield k overflow fail incrby u8 100 300");
        assert_eq!(fails, (false, ":14".to_owned()), "{setup}");
        let one_works = spoils(setup, "bitfield k overflow fail incrby u8 100 300 set u8 0 0");
        assert_eq!(one_works, (true, ":14".to_owned()), "{setup}");
    }
}
