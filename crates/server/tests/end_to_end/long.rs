//! Commands on big values, which are carried out in pieces: what comes behind them stays behind them, and others get on.

use std::time::Duration;

use pinyon_testkit::{Client, Value};

use super::{PATIENCE, connect, say, short, start};

fn fill(client: &mut Client, command: &str, key: &str, count: usize) {
    for first in (0..count).step_by(1000) {
        let mut words = vec![command.to_owned(), key.to_owned()];
        words.extend((first..first + 1000).map(|i| format!("e{i}")));
        client.call(&words).unwrap_or_else(|error| panic!("{command} {key}: {error}"));
    }
}

fn elements(value: &Value) -> usize {
    value.as_array().map_or(0, |items| items.len())
}

/// Keys of every shard, so that the commands come from the connection's own core and from others.
#[test]
fn a_pipeline_keeps_its_order() {
    let server = start(&["--appendonly", "no"]);
    let mut client = connect(&server);
    for tag in ["{a}", "{b}", "{c}", "{d}", "{e}"] {
        fill(&mut client, "SADD", &format!("{tag}s"), 5000);
        fill(&mut client, "RPUSH", &format!("{tag}l"), 5000);
        say(&mut client, &format!("SET {tag}text v"));
        say(&mut client, &format!("SET {tag}bits {}", "U".repeat(300_000)));
        // Big, and done in one piece: the first thing that the key's core sends back.
        assert_eq!(say(&mut client, &format!("BITCOUNT {tag}bits 0 9")), "40");
        let lines = [
            "BITCOUNT @bits 0 9",
            "SUNIONSTORE @u @s",
            "SCARD @u",
            "SADD @s new",
            "SMEMBERS @s",
            "LRANGE @l 0 -1",
            "RPUSH @l more",
            "LLEN @l",
            "SDIFF @s @u",
            "SINTERSTORE @u @u @s",
            "GET @text",
            "SUNION @s @text",
            "ZUNIONSTORE @z 2 @s @u",
            "ZCARD @z",
            "ZUNION 1 @z",
            "DEL @u @z",
            "SUNION @s @u",
        ];
        let commands: Vec<Vec<String>> =
            lines.iter().map(|line| line.replace('@', tag).split(' ').map(str::to_owned).collect()).collect();
        let replies = client.pipeline(&commands).unwrap_or_else(|error| panic!("{tag}: {error}"));
        let seen: Vec<String> = replies
            .iter()
            .map(|reply| if elements(reply) > 1 { format!("{} elements", elements(reply)) } else { short(reply) })
            .collect();
        let expected = [
            "40",
            "5000",
            "5000",
            "1",
            "5001 elements",
            "5000 elements",
            "5001",
            "5001",
            "[new]",
            "5000",
            "v",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
            "5001",
            "5001",
            "5001 elements",
            "2",
            "5001 elements",
        ];
        assert_eq!(seen, expected, "{tag}");
    }
}

/// While a big union is made others are answered; who would change its source waits. A client that the machine lets wait may not
/// see it: then it tries again. If the union were made at one go, three GETs at most would be answered, however often it tries.
#[test]
fn others_get_on() {
    let server = start(&["--appendonly", "no"]);
    let (mut one, mut other, mut writer) = (connect(&server), connect(&server), connect(&server));
    fill(&mut one, "SADD", "{a}s", 400_000);
    say(&mut one, "SET {a}text v");
    writer.set_timeout(PATIENCE).expect("a timeout");
    for attempt in 0.. {
        assert!(attempt < 50, "others have to wait until a big union has been made");
        let answered = union_meanwhile(&mut one, &mut other, &mut writer);
        assert_eq!(say(&mut one, "SCARD {a}s"), "400001");
        assert_eq!(say(&mut one, "SREM {a}s late"), "1");
        if answered > 4 {
            break;
        }
    }
}

/// Makes the union; gives how many GETs were answered before its reply was here.
fn union_meanwhile(one: &mut Client, other: &mut Client, writer: &mut Client) -> usize {
    one.send(&["SUNIONSTORE", "{a}u", "{a}s"]).expect("it is sent");
    let (mut answered, mut reply, mut writes) = (0, None, false);
    while reply.is_none() {
        assert_eq!(say(other, "GET {a}text"), "v");
        answered += 1;
        if answered == 3 {
            // The union has begun by now, or is over.
            writer.send(&["SADD", "{a}s", "late"]).expect("it is sent");
            writes = true;
        }
        reply = one.receive_within(Duration::from_millis(1)).expect("a reply");
    }
    if !writes {
        writer.send(&["SADD", "{a}s", "late"]).expect("it is sent");
    }
    assert_eq!(reply.as_ref().map(short).as_deref(), Some("400000"));
    assert_eq!(writer.receive().map(|reply| short(&reply)).expect("a reply"), "1");
    assert_eq!(say(one, "SCARD {a}u"), "400000");
    answered
}
