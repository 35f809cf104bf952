//! The list commands on one shard, as redis-server 7.0.15 answers them; and what they say that they have changed.

use crate::Effect;
use crate::command::trial::Trial;

const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const SYNTAX: &str = "-ERR syntax error";
const OUT_OF_RANGE: &str = "-ERR value is out of range, must be positive";

#[test]
fn elements_come_and_go() {
    let mut t = Trial::new();
    t.expect(&[
        ("rpush l a b 3", ":3"),
        ("lpush l x y", ":5"),
        ("lrange l 0 -1", "*5 $1 y $1 x $1 a $1 b $1 3"),
        ("llen l", ":5"),
        ("lpop l", "$1 y"),
        ("rpop l 2", "*2 $1 3 $1 b"),
        ("lpop l 0", "*0"),
        ("lpop l 9", "*2 $1 x $1 a"),
        ("exists l", ":0"),
        ("lpop l", "$-1"),
        ("lpop l 0", "*-1"),
        ("rpop l 5", "*-1"),
        ("lpushx l a", ":0"),
        ("rpushx l a", ":0"),
        ("rpush l a", ":1"),
        ("rpushx l b c", ":3"),
        ("lpushx l d", ":4"),
        ("llen nokey", ":0"),
        ("lpop l -1", OUT_OF_RANGE),
        ("lpop nokey x", OUT_OF_RANGE),
        ("lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
    ]);
    t.run("set s x");
    for call in ["lpush s a", "rpushx s a", "lpop s", "lpop s 0", "llen s", "lrange s 0 1", "lindex s 0", "lset s 0 a"]
    {
        assert_eq!(t.run(call), WRONG_TYPE, "{call}");
    }
}

#[test]
fn elements_are_found() {
    let mut t = Trial::new();
    t.run("rpush l a b c 1 2 3 c c");
    t.expect(&[
        ("lindex l 0", "$1 a"),
        ("lindex l -1", "$1 c"),
        ("lindex l 3", "$1 1"),
        ("lindex l 8", "$-1"),
        ("lindex l -9", "$-1"),
        ("lindex l -9223372036854775808", "$-1"),
        ("lindex l x", NOT_INTEGER),
        ("lindex nokey x", "$-1"),
        ("lrange l 1 2", "*2 $1 b $1 c"),
        ("lrange l -2 100", "*2 $1 c $1 c"),
        ("lrange l 5 2", "*0"),
        ("lrange l 8 9", "*0"),
        ("lrange l -100 0", "*1 $1 a"),
        ("lrange l -9223372036854775808 9223372036854775807", "*8 $1 a $1 b $1 c $1 1 $1 2 $1 3 $1 c $1 c"),
        ("lrange nokey 0 x", NOT_INTEGER),
        ("lrange nokey 0 -1", "*0"),
        ("lpos l c", ":2"),
        ("lpos l c rank 2", ":6"),
        ("lpos l c rank -1", ":7"),
        ("lpos l c rank 4", "$-1"),
        ("lpos l c count 0", "*3 :2 :6 :7"),
        ("lpos l c count 2 rank -1", "*2 :7 :6"),
        ("lpos l c count 0 maxlen 3", "*1 :2"),
        ("lpos l c count 0 maxlen 3 rank -1", "*2 :7 :6"),
        ("lpos l c rank -9223372036854775808", ":7"),
        ("lpos l nope", "$-1"),
        ("lpos l nope count 1", "*0"),
        ("lpos nokey c", "$-1"),
        ("lpos nokey c count 0", "*0"),
        ("lpos l c count -1", "-ERR COUNT can't be negative"),
        ("lpos l c maxlen -1", "-ERR MAXLEN can't be negative"),
        ("lpos l c rank x", NOT_INTEGER),
        ("lpos l c rank", SYNTAX),
        ("lpos l c what 1", SYNTAX),
        (
            "lpos l c rank 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        ),
    ]);
}

#[test]
fn elements_are_changed() {
    let mut t = Trial::new();
    t.run("rpush l a b c a b c a");
    t.expect(&[
        ("lset l 1 B", "+OK"),
        ("lset l -1 Z", "+OK"),
        ("lset l 7 x", "-ERR index out of range"),
        ("lset l x y", NOT_INTEGER),
        ("lset nokey x y", "-ERR no such key"),
        ("linsert l before c 1", ":8"),
        ("linsert l AFTER c 2", ":9"),
        ("lrange l 0 -1", "*9 $1 a $1 B $1 1 $1 c $1 2 $1 a $1 b $1 c $1 Z"),
        ("linsert l after nope x", ":-1"),
        ("linsert nokey after a x", ":0"),
        ("linsert nokey middle a x", SYNTAX),
        ("lrem l 1 a", ":1"),
        ("lrem l -1 c", ":1"),
        ("lrem l 0 c", ":1"),
        ("lrem l 0 c", ":0"),
        ("lrem l -9223372036854775808 nope", ":0"),
        ("lrem nokey x a", NOT_INTEGER),
        ("lrange l 0 -1", "*6 $1 B $1 1 $1 2 $1 a $1 b $1 Z"),
        ("ltrim l 1 -2", "+OK"),
        ("lrange l 0 -1", "*4 $1 1 $1 2 $1 a $1 b"),
        ("ltrim l x 1", NOT_INTEGER),
        ("ltrim nokey 0 1", "+OK"),
        ("ltrim l 5 9", "+OK"),
        ("exists l", ":0"),
    ]);
}

#[test]
fn elements_go_from_list_to_list() {
    let mut t = Trial::new();
    t.run("rpush a 1 2 3");
    t.run("set s x");
    t.expect(&[
        ("lmove a b left right", "$1 1"),
        ("lmove a b RIGHT LEFT", "$1 3"),
        ("rpoplpush a b", "$1 2"),
        ("lrange b 0 -1", "*3 $1 2 $1 3 $1 1"),
        ("exists a", ":0"),
        ("lmove a b left left", "$-1"),
        ("lmove a s left left", "$-1"),
        ("lmove b s left left", WRONG_TYPE),
        ("lmove s b left left", WRONG_TYPE),
        ("lmove a b up left", SYNTAX),
        ("lmove b b left right", "$1 2"),
        ("lrange b 0 -1", "*3 $1 3 $1 1 $1 2"),
        ("rpoplpush b b", "$1 2"),
        ("ltrim b 0 0", "+OK"),
        ("lmove b b left right", "$1 2"),
        ("blmove b c left left 0", "$1 2"),
        ("blmove b c left left 0", "$-1"),
        ("brpoplpush c b 0", "$1 2"),
        ("blmove b s left left 0", WRONG_TYPE),
        ("blmove nokey s left left 0", "$-1"),
        ("blmove b c up left 0", SYNTAX),
        ("blmove b c left left x", "-ERR timeout is not a float or out of range"),
        ("brpoplpush b c -1", "-ERR timeout is negative"),
    ]);
}

#[test]
fn the_first_list_that_is_there() {
    let mut t = Trial::new();
    t.run("rpush a 1 2 3 4 5");
    t.run("set s x");
    t.expect(&[
        ("lmpop 2 nokey a left", "*2 $1 a *1 $1 1"),
        ("lmpop 1 a right count 2", "*2 $1 a *2 $1 5 $1 4"),
        ("blmpop 0 2 nokey a left count 1", "*2 $1 a *1 $1 2"),
        ("blpop nokey a s 0", "*2 $1 a $1 3"),
        ("blpop nokey a 0", "*-1"),
        ("brpop nokey s a 0", WRONG_TYPE),
        ("lmpop 1 a left", "*-1"),
        ("lmpop 1 s left", WRONG_TYPE),
        ("lmpop 0 a left", "-ERR numkeys should be greater than 0"),
        ("lmpop x a left", "-ERR numkeys should be greater than 0"),
        ("lmpop 2 a left", SYNTAX),
        ("lmpop 9 a left", SYNTAX),
        ("lmpop 1 a middle", SYNTAX),
        ("lmpop 1 a left count 0", "-ERR count should be greater than 0"),
        ("lmpop 1 a left count x", "-ERR count should be greater than 0"),
        ("lmpop 1 a left count 1 count 1", SYNTAX),
        ("lmpop 1 a left count", SYNTAX),
        ("blmpop x 0 a left", "-ERR numkeys should be greater than 0"),
        ("blmpop x 1 a left", "-ERR timeout is not a float or out of range"),
        ("blpop a -1", "-ERR timeout is negative"),
    ]);
}

#[test]
fn effects_count_elements() {
    let mut t = Trial::new();
    for (call, changes) in [
        ("rpush l a b c d e f a a", 8),
        ("lpop l", 1),
        ("rpop l 2", 2),
        ("lrem l 0 nope", 0),
        ("lrem l 0 b", 1),
        ("ltrim l 0 -1", 0),
        ("ltrim l 0 1", 2),
        ("lset l 0 x", 1),
        ("linsert l before x y", 1),
        ("lmove l l left right", 1),
        ("lmpop 1 l left count 2", 2),
        ("blpop l 0", 1),
        ("blpop l 0", 0),
        ("lpop l 3", 0),
    ] {
        t.run(call);
        assert_eq!(t.effect().changes(), changes, "{call}");
    }
    t.run("rpush l a");
    t.run("blmove l m left left 0");
    assert_eq!(t.effect(), Effect::Recorded { changes: 1 });
}

/// Elements of all sizes, so that nodes are split and merged, beside a plain sequence.
#[test]
fn long_lists_behave_like_sequences() {
    let seed = 7;
    let mut random = crate::keyspace::Rng::new(seed);
    let (mut t, mut model) = (Trial::new(), std::collections::VecDeque::<String>::new());
    for step in 0..4000 {
        let element = format!("{}{}", "x".repeat(random.below(60) as usize), random.below(50));
        let at = random.below(model.len() as u64 + 1) as usize;
        let call = match random.below(12) {
            0..=2 => {
                model.push_back(element.clone());
                format!("rpush l {element}")
            }
            3..=5 => {
                model.push_front(element.clone());
                format!("lpush l {element}")
            }
            6 => {
                model.pop_front();
                "lpop l".to_owned()
            }
            7 if !model.is_empty() => {
                let count = 1 + random.below(3) as usize;
                model.truncate(model.len().saturating_sub(count));
                format!("rpop l {count}")
            }
            8 if at < model.len() => {
                model[at] = element.clone();
                format!("lset l {at} {element}")
            }
            9 if at < model.len() => {
                let pivot = model[at].clone();
                let first = model.iter().position(|one| *one == pivot).expect("it is there");
                model.insert(first, element.clone());
                format!("linsert l before {pivot} {element}")
            }
            10 if at < model.len() => {
                let one = model[at].clone();
                model.retain(|other| *other != one);
                format!("lrem l 0 {one}")
            }
            _ => "llen l".to_owned(),
        };
        t.run(&call);
        if step % 50 == 0 {
            let wanted: String = model.iter().map(|one| format!(" ${} {one}", one.len())).collect();
            assert_eq!(t.run("lrange l 0 -1"), format!("*{}{wanted}", model.len()), "seed {seed}, step {step}: {call}");
        }
    }
}
