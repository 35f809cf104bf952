//! maxmemory under each policy: memory stays below the limit, and the right keys go.

use pinyon_testkit::{Client, Server};

use super::{connect, eventually, info, info_number, say, start};

const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
/// Bytes of a value, and the room that the limit leaves for data.
const VALUE_BYTES: usize = 1000;
const ROOM_BYTES: i64 = 8 << 20;

/// A server that may take `ROOM_BYTES` more than it does now.
fn limited(policy: &str) -> (Server, Client) {
    let server = start(&["--maxmemory-policy", policy, "--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    // What the first commands allocate once and for all should not count.
    say(&mut client, "DEBUG POPULATE 100");
    say(&mut client, "FLUSHALL SYNC");
    let limit = info_number(&mut client, "memory", "used_memory") + ROOM_BYTES;
    assert_eq!(say(&mut client, &format!("CONFIG SET maxmemory {limit}")), "OK");
    (server, client)
}

/// Writes `count` values and gives the replies that are not OK.
fn write(client: &mut Client, prefix: &str, count: usize, options: &[&str]) -> Vec<String> {
    let value = "x".repeat(VALUE_BYTES);
    let mut refused = Vec::new();
    for begin in (0..count).step_by(100) {
        let keys: Vec<String> = (begin..count.min(begin + 100)).map(|number| format!("{prefix}:{number}")).collect();
        let commands: Vec<Vec<&str>> = keys.iter().map(|key| [&["SET", key, &value], options].concat()).collect();
        let replies = client.pipeline(&commands).expect("replies");
        refused.extend(replies.iter().map(super::short).filter(|reply| reply != "OK"));
    }
    refused
}

fn is_below_limit(client: &mut Client) -> bool {
    info_number(client, "memory", "used_memory") <= info_number(client, "memory", "maxmemory")
}

#[test]
fn noeviction_refuses_writes() {
    let (_server, mut client) = limited("noeviction");
    let refused = write(&mut client, "k", 20_000, &[]);
    assert!(refused.len() > 5_000 && refused.iter().all(|reply| reply == OUT_OF_MEMORY), "{}", refused.len());
    // The last write may have ended above the limit.
    let used = info_number(&mut client, "memory", "used_memory");
    assert!(used <= info_number(&mut client, "memory", "maxmemory") + 100_000, "{used}");
    assert_eq!(info_number(&mut client, "stats", "evicted_keys"), 0);
    assert_eq!(info(&mut client, "errorstats", "errorstat_OOM"), format!("count={}", refused.len()));
    // Reads and deletions go on, and make room again.
    let full = say(&mut client, "DBSIZE");
    assert_eq!(say(&mut client, "STRLEN k:0"), VALUE_BYTES.to_string());
    assert_eq!(say(&mut client, "MSET a 1 b 2 c 3 d 4"), OUT_OF_MEMORY);
    for target in 0..12 {
        // To keys of the same shard and of others.
        assert_eq!(say(&mut client, &format!("COPY k:0 copy:{target}")), OUT_OF_MEMORY, "{target}");
    }
    assert_eq!(say(&mut client, "DBSIZE"), full, "none of the parts was stored");
    assert_eq!(say(&mut client, "FLUSHALL SYNC"), "OK");
    eventually("there is room", || say(&mut client, "SET a 1") == "OK");
    assert_eq!(say(&mut client, "CONFIG SET maxmemory 0"), "OK");
    assert!(write(&mut client, "more", 20_000, &[]).is_empty());
}

/// Every policy that may evict any key keeps memory below the limit and takes all writes.
#[test]
fn allkeys_policies() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let (_server, mut client) = limited(policy);
        let refused = write(&mut client, "k", 20_000, &[]);
        assert!(refused.is_empty(), "{policy}: {} refused", refused.len());
        eventually("memory is below the limit", || is_below_limit(&mut client));
        let mut left = 0;
        eventually("every key is there or evicted", || {
            left = say(&mut client, "DBSIZE").parse().expect("a number");
            left + info_number(&mut client, "stats", "evicted_keys") == 20_000
        });
        assert!((4_000..9_000).contains(&left), "{policy}: {left} keys fill the room");
    }
}

/// Policies for volatile keys leave the others alone, and refuse writes when only those are left.
#[test]
fn volatile_policies() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let (_server, mut client) = limited(policy);
        assert!(write(&mut client, "stays", 2_000, &[]).is_empty(), "{policy}");
        let refused = write(&mut client, "goes", 15_000, &["EX", "10000"]);
        assert!(refused.is_empty(), "{policy}: {} refused", refused.len());
        eventually("memory is below the limit", || is_below_limit(&mut client));
        assert!(info_number(&mut client, "stats", "evicted_keys") > 5_000, "{policy}");
        let stays = "KEYS stays:*";
        assert_eq!(say(&mut client, stays).split(' ').count(), 2_000, "{policy}");
        assert_eq!(say(&mut client, "FLUSHALL SYNC"), "OK");
        let refused = write(&mut client, "persistent", 20_000, &[]);
        assert!(
            refused.iter().all(|reply| reply == OUT_OF_MEMORY) && refused.len() > 5_000,
            "{policy}: {}",
            refused.len()
        );
    }
}

/// Under LRU what was used lately stays; under volatile-ttl what has longest to live.
#[test]
fn the_right_keys_go() {
    let (_server, mut client) = limited("volatile-ttl");
    assert!(write(&mut client, "short", 3_000, &["EX", "1000"]).is_empty());
    assert!(write(&mut client, "long", 3_000, &["EX", "100000"]).is_empty());
    assert!(write(&mut client, "more", 3_500, &["EX", "200000"]).is_empty());
    eventually("memory is below the limit", || is_below_limit(&mut client));
    let left = |client: &mut Client, prefix: &str| {
        say(client, &format!("KEYS {prefix}:*")).split(' ').filter(|key| !key.is_empty()).count()
    };
    let (short, long) = (left(&mut client, "short"), left(&mut client, "long"));
    assert!(short < 1_500 && long > 2_400, "{short} of the short-lived, {long} of the long-lived");

    let (_server, mut client) = limited("allkeys-lfu");
    assert_eq!(say(&mut client, "CONFIG SET lfu-log-factor 0"), "OK");
    assert!(write(&mut client, "often", 2_000, &[]).is_empty());
    assert!(write(&mut client, "rarely", 3_000, &[]).is_empty());
    // In small pipelines: replies that wait count as memory, too.
    for round in 0..200 {
        let gets: Vec<Vec<String>> =
            (0..100).map(|n| vec!["GET".to_owned(), format!("often:{}", round % 20 * 100 + n)]).collect();
        client.pipeline(&gets).expect("replies");
    }
    assert!(write(&mut client, "new", 6_000, &[]).is_empty());
    eventually("memory is below the limit", || is_below_limit(&mut client));
    let (often, rarely) = (left(&mut client, "often"), left(&mut client, "rarely"));
    assert!(often > 1_900 && rarely < 2_200, "{often} of those used often, {rarely} of those used rarely");
}

/// All writes go to one shard: the old keys of the others make room, too.
#[test]
fn one_shard_gets_all_writes() {
    let (_server, mut client) = limited("allkeys-random");
    assert!(write(&mut client, "spread", 6_000, &[]).is_empty());
    let refused = write(&mut client, "{one}", 20_000, &[]);
    assert!(refused.is_empty(), "{} refused", refused.len());
    eventually("memory is below the limit", || is_below_limit(&mut client));
    let spread = say(&mut client, "KEYS spread:*").split(' ').filter(|key| !key.is_empty()).count();
    let one = say(&mut client, "KEYS {one}:*").split(' ').count();
    assert!(spread < 1_000 && one > 5_000, "{spread} of the old keys, {one} of the new ones");

    // A shard with nothing to evict takes writes as long as another has something.
    assert_eq!(say(&mut client, "FLUSHALL SYNC"), "OK");
    assert_eq!(say(&mut client, "CONFIG SET maxmemory-policy volatile-random"), "OK");
    assert!(write(&mut client, "spread", 6_000, &["EX", "10000"]).is_empty());
    let refused = write(&mut client, "{one}", 5_000, &[]);
    assert!(refused.is_empty(), "{} refused", refused.len());
    eventually("memory is below the limit", || is_below_limit(&mut client));
}

/// A limit set below what is in use is reached without any command.
#[test]
fn a_lower_limit_takes_effect_at_once() {
    let (_server, mut client) = limited("allkeys-lru");
    assert!(write(&mut client, "k", 5_000, &[]).is_empty());
    let lower = info_number(&mut client, "memory", "used_memory") - 2_000_000;
    assert_eq!(say(&mut client, &format!("CONFIG SET maxmemory {lower}")), "OK");
    eventually("keys have gone", || {
        is_below_limit(&mut client) && info_number(&mut client, "stats", "evicted_keys") > 1_000
    });
}

/// What was freed goes back to the system by itself, from every core.
#[test]
fn freed_memory_is_given_back() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    let resident = |client: &mut Client| info_number(client, "memory", "used_memory_rss");
    let before = resident(&mut client);
    assert_eq!(say(&mut client, "DEBUG POPULATE 400000 key 300"), "OK");
    let full = resident(&mut client);
    assert!(full > before + (100 << 20), "{before} bytes, then {full}");
    assert_eq!(say(&mut client, "FLUSHALL"), "OK");
    eventually("the memory is the system's again", || resident(&mut client) < before + (full - before) / 3);
}
