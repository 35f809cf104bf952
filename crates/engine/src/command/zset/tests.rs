//! The sorted set commands, as redis-server 7.0.15 answers them.

use pinyon_resp::Proto;

use crate::Effect;
use crate::command::trial::Trial;

const SYNTAX: &str = "-ERR syntax error";
const NOT_FLOAT: &str = "-ERR value is not a valid float";

#[test]
fn adding() {
    let mut t = Trial::new();
    t.expect(&[
        ("zadd z 1 a 2 b", ":2"),
        ("zadd z 3 a 2 b", ":0"),
        ("zadd z ch 4 a 2 b 1 c", ":2"),
        ("zadd z nx 9 a 9 d", ":1"),
        ("zscore z a", "$1 4"),
        ("zadd z xx 5 a 9 e", ":0"),
        ("zscore z a", "$1 5"),
        ("zadd z gt ch 4 a", ":0"),
        ("zadd z lt ch 4 a", ":1"),
        ("zadd z incr 1.5 a", "$3 5.5"),
        ("zadd z nx incr 1 a", "$-1"),
        ("zadd none xx 1 a", ":0"),
        ("exists none", ":0"),
        ("zincrby z 1.1 b", "$18 3.1000000000000001"),
        ("zadd z nx xx 1 a", "-ERR XX and NX options at the same time are not compatible"),
        ("zadd z nx gt 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("zadd z incr 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("zadd z nan a", NOT_FLOAT),
        ("zadd z 1 a x b", NOT_FLOAT),
        ("zadd z 1 a 2", SYNTAX),
        ("zadd z nx ch", SYNTAX),
        ("zincrby z nx b", SYNTAX),
        ("zadd z inf b", ":0"),
        ("zincrby z -inf b", "-ERR resulting score is not a number (NaN)"),
        ("zscore z b", "$3 inf"),
        ("zadd zero -0 a", ":1"),
        ("zscore zero a", "$1 0"),
    ]);
    t.run("zadd z 7 x 7 y");
    assert_eq!(t.effect(), Effect::AsSent { changes: 2 });
    t.run("zadd z 7 x 8 y");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    t.run("zadd z 7 x");
    assert_eq!(t.effect(), Effect::None);
}

#[test]
fn scores_and_ranks() {
    let mut t = Trial::new();
    t.run("zadd z 1 a 2 b 3 c");
    t.expect(&[
        ("zcard z", ":3"),
        ("zmscore z a x c", "*3 $1 1 $-1 $1 3"),
        ("zmscore none a", "*1 $-1"),
        ("zrank z c", ":2"),
        ("zrevrank z c", ":0"),
        ("zrank z x", "$-1"),
        ("zrank z b withscore", "*2 :1 $1 2"),
        ("zrevrank z a withscore", "*2 :2 $1 1"),
        ("zrank z x withscore", "*-1"),
        ("zrank z b foo", "-ERR wrong number of arguments for 'zrank' command"),
    ]);
    t.proto = Proto::Resp3;
    t.expect(&[("zscore z a", ",1"), ("zscore z x", "_"), ("zrank z x", "_"), ("zrank z b withscore", "*2 :1 ,2")]);
}

#[test]
fn ranges_of_ranks() {
    let mut t = Trial::new();
    t.run("zadd z 1 a 2 b 3 c 4 d");
    t.expect(&[
        ("zrange z 0 -1", "*4 $1 a $1 b $1 c $1 d"),
        ("zrange z 1 2 withscores", "*4 $1 b $1 2 $1 c $1 3"),
        ("zrange z -2 100", "*2 $1 c $1 d"),
        ("zrange z 2 1", "*0"),
        ("zrange z 4 9", "*0"),
        ("zrange z -9 -9", "*0"),
        ("zrange z 0 1 rev", "*2 $1 d $1 c"),
        ("zrevrange z 1 1 withscores", "*2 $1 c $1 3"),
        ("zrange none 0 -1", "*0"),
        ("zrange z a 1", "-ERR value is not an integer or out of range"),
        ("zrange z 0 1 foo", SYNTAX),
        ("zrevrange z 0 1 rev", SYNTAX),
        (
            "zrange z 0 1 limit 0 1",
            "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ),
        ("zrange z 0 1 bylex withscores", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX"),
    ]);
    t.proto = Proto::Resp3;
    t.expect(&[("zrange z 0 1 withscores", "*2 *2 $1 a ,1 *2 $1 b ,2")]);
}

#[test]
fn ranges_of_scores() {
    let mut t = Trial::new();
    t.run("zadd z 1 a 2 b 2 c 3 d inf e");
    t.expect(&[
        ("zrangebyscore z -inf +inf", "*5 $1 a $1 b $1 c $1 d $1 e"),
        ("zrangebyscore z (1 (3", "*2 $1 b $1 c"),
        ("zrangebyscore z 2 3 limit 1 1", "*1 $1 c"),
        ("zrangebyscore z 2 3 limit 1 -1", "*2 $1 c $1 d"),
        ("zrangebyscore z 2 3 limit -1 5", "*0"),
        ("zrangebyscore z 2 3 limit 9 5", "*0"),
        ("zrangebyscore z 2 3 limit 0 0", "*0"),
        ("zrevrangebyscore z 3 2 limit 0 2", "*2 $1 d $1 c"),
        ("zrange z (3 2 byscore rev withscores", "*4 $1 c $1 2 $1 b $1 2"),
        ("zrange z 2 (3 byscore", "*2 $1 b $1 c"),
        ("zrangebyscore z ( 1", "*1 $1 a"),
        ("zrangebyscore z \" 1\" 1", "*1 $1 a"),
        ("zrangebyscore z \"1 \" 1", "-ERR min or max is not a float"),
        ("zrangebyscore z nan 1", "-ERR min or max is not a float"),
        ("zrangebyscore z 3 1e400", "*2 $1 d $1 e"),
        ("zcount z (1 3", ":3"),
        ("zcount z 5 1", ":0"),
        ("zcount z x 1", "-ERR min or max is not a float"),
        ("zremrangebyscore z 2 2", ":2"),
        ("zremrangebyscore z (3 inf", ":1"),
        ("zcard z", ":2"),
    ]);
}

#[test]
fn ranges_of_members() {
    let mut t = Trial::new();
    t.run("zadd z 0 a 0 b 0 c 0 d");
    for encoding in ["listpack", "skiplist"] {
        t.expect(&[
            ("zrangebylex z - +", "*4 $1 a $1 b $1 c $1 d"),
            ("zrangebylex z [b (d", "*2 $1 b $1 c"),
            ("zrangebylex z [b + limit 1 1", "*1 $1 c"),
            ("zrevrangebylex z + [c", "*2 $1 d $1 c"),
            ("zrange z (d - bylex rev", "*3 $1 c $1 b $1 a"),
            ("zrangebylex z + -", "*0"),
            ("zrangebylex z (b (b", "*0"),
            ("zlexcount z - (c", ":2"),
            ("zlexcount z [bb +", ":2"),
            ("zrangebylex z b c", "-ERR min or max not valid string range item"),
            ("zrangebylex z -x +", "-ERR min or max not valid string range item"),
        ]);
        assert_eq!(t.encoding("z"), encoding);
        // A long member, behind all others, makes it the large form.
        let long = format!("{:z<100}", "z");
        t.run(&format!("zadd z 0 {long}"));
        t.run(&format!("zrem z {long}"));
    }
    t.expect(&[("zremrangebylex z (a [c", ":2"), ("zremrangebylex z - +", ":2"), ("exists z", ":0")]);
}

#[test]
fn taken_out() {
    let mut t = Trial::new();
    t.run("zadd z 1 a 2 b 3 c 4 d 5 e 6 f 7 g");
    t.expect(&[
        ("zrem z a x", ":1"),
        ("zremrangebyrank z 0 0", ":1"),
        ("zremrangebyrank z 5 1", ":0"),
        ("zpopmin z", "*2 $1 c $1 3"),
        ("zpopmax z 2", "*4 $1 g $1 7 $1 f $1 6"),
        ("zpopmin z 0", "*0"),
        ("zpopmin z -1", "-ERR value is out of range, must be positive"),
        ("zpopmin z x", "-ERR value is out of range, must be positive"),
        ("zpopmin z 1 1", SYNTAX),
        ("zpopmin none", "*0"),
        ("zmpop 2 none z max count 5", "*2 $1 z *2 *2 $1 e $1 5 *2 $1 d $1 4"),
        ("exists z", ":0"),
        ("zmpop 1 z min", "*-1"),
        ("zmpop 0 z min", "-ERR numkeys should be greater than 0"),
        ("zmpop 3 z min", SYNTAX),
        ("zmpop 1 z foo", SYNTAX),
        ("zmpop 1 z min count 0", "-ERR count should be greater than 0"),
        ("zmpop 1 z min count 1 count 1", SYNTAX),
        ("zmpop 1 z min count x y", "-ERR count should be greater than 0"),
    ]);
    t.run("zadd z 1 a 2 b 3 c 4 d");
    t.expect(&[
        // Within MULTI nobody waits.
        ("bzpopmin none z 0", "*3 $1 z $1 a $1 1"),
        ("bzpopmax z 0", "*3 $1 z $1 d $1 4"),
        ("bzmpop 0 1 z max count 9", "*2 $1 z *2 *2 $1 c $1 3 *2 $1 b $1 2"),
        ("bzpopmin z 0", "*-1"),
        ("bzpopmin z -1", "-ERR timeout is negative"),
        ("bzpopmin z x", "-ERR timeout is not a float or out of range"),
        ("bzmpop x 1 z foo", SYNTAX),
    ]);
    t.proto = Proto::Resp3;
    t.run("zadd z 1 a 2 b");
    t.expect(&[("zpopmin z", "*2 $1 a ,1"), ("zpopmin z 1", "*1 *2 $1 b ,2")]);
}

#[test]
fn algebra() {
    let mut t = Trial::new();
    t.run("zadd a 1 x 2 y 3 z");
    t.run("zadd b 10 y 20 z 30 w");
    t.run("sadd s x y");
    t.run("set str v");
    t.expect(&[
        ("zunion 2 a b withscores", "*8 $1 x $1 1 $1 y $2 12 $1 z $2 23 $1 w $2 30"),
        ("zunion 2 a s weights 1 10 withscores", "*6 $1 z $1 3 $1 x $2 11 $1 y $2 12"),
        ("zinter 2 a b aggregate max withscores", "*4 $1 y $2 10 $1 z $2 20"),
        ("zinter 2 a b aggregate min withscores", "*4 $1 y $1 2 $1 z $1 3"),
        ("zdiff 2 a b withscores", "*2 $1 x $1 1"),
        ("zdiff 2 a a", "*0"),
        ("zintercard 2 a b", ":2"),
        ("zintercard 2 a b limit 1", ":1"),
        ("zinter 2 a none", "*0"),
        ("zunion 1 str foo", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("zunion 0 a", "-ERR at least 1 input key is needed for 'zunion' command"),
        ("zintercard 0 a", "-ERR at least 1 input key is needed for 'zintercard' command"),
        ("zunion x a", "-ERR value is not an integer or out of range"),
        ("zunion 2 a", SYNTAX),
        ("zunion 1 a weights", SYNTAX),
        ("zunion 1 a weights x", "-ERR weight value is not a float"),
        ("zdiff 1 a weights 1", SYNTAX),
        ("zintercard 1 a limit -1", "-ERR LIMIT can't be negative"),
        ("zunionstore d 2 a b weights 2 1", ":4"),
        ("zrange d 0 -1 withscores", "*8 $1 x $1 2 $1 y $2 14 $1 z $2 26 $1 w $2 30"),
        ("zunionstore d 1 a withscores", SYNTAX),
        ("zdiffstore d 2 a b", ":1"),
        ("zinterstore d 2 d none", ":0"),
        ("exists d", ":0"),
        ("zrangestore d a 1 2", ":2"),
        ("zrange d 0 -1 withscores", "*4 $1 y $1 2 $1 z $1 3"),
        ("zrangestore d a 3 1 byscore rev limit 0 1", ":1"),
        ("zrange d 0 -1", "*1 $1 z"),
        ("zrangestore d a 9 10", ":0"),
        ("exists d", ":0"),
        ("zrangestore d a 0 1 withscores", SYNTAX),
    ]);
    t.run("zadd i inf m");
    t.run("zadd j -inf m");
    t.expect(&[
        ("zunion 2 i j withscores", "*2 $1 m $1 0"),
        ("zunion 1 i weights 0 withscores", "*2 $1 m $1 0"),
        ("zinter 2 i j withscores", "*2 $1 m $1 0"),
        // Only in the small form a zero loses its sign.
        ("zadd zero 0 m", ":1"),
        ("zunion 1 zero weights -1 withscores", "*2 $1 m $2 -0"),
        ("zunionstore zero 1 zero weights -1", ":1"),
        ("zscore zero m", "$1 0"),
    ]);
}

#[test]
fn by_chance_and_in_steps() {
    let mut t = Trial::new();
    t.expect(&[
        ("zrandmember none", "$-1"),
        ("zrandmember none -2147483648", "*0"),
        ("zrandmember none 1", "*0"),
        ("zrandmember none 1 foo", SYNTAX),
        ("zrandmember none 9223372036854775807 withscores", "-ERR value is out of range"),
        ("zscan none 0", "*2 $1 0 *0"),
    ]);
    t.run("zadd z 1 a 2.5 b");
    t.expect(&[("zrandmember z -2147483648", "-ERR value is out of range")]);
    assert!(t.run("zrandmember z -9 withscores").starts_with("*18 "));
    t.expect(&[("zscan z 0", "*2 $1 0 *4 $1 a $1 1 $1 b $3 2.5"), ("zscan z 0 match b", "*2 $1 0 *2 $1 b $3 2.5")]);
    for i in 0..1000 {
        t.run(&format!("zadd big {i} m{i}"));
    }
    for (count, expected) in [(5, 5), (600, 600), (5000, 1000)] {
        let reply = t.run(&format!("zrandmember big {count}"));
        let mut members: Vec<&str> = reply.split(' ').filter(|word| word.starts_with('m')).collect();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), expected);
    }
}
