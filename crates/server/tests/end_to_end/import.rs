//! A dump.rdb of a real redis-server, where Pinyon is started for the first time.

use std::fs;
use std::path::PathBuf;

use super::durability::{Store, kill, terminate};
use super::{connect, exchange, info_number, say};

const LOGGED: &[&str] = &["--save", "", "--enable-debug-command", "yes"];
const BARE: &[&str] = &["--appendonly", "no", "--save", "", "--enable-debug-command", "yes"];

/// What redis-server saves of keys of every kind, and its DEBUG DIGEST.
fn dump() -> (Vec<u8>, String) {
    let server = exchange::redis();
    let mut redis = connect(&server);
    exchange::fill(&mut redis);
    for line in ["SET volatile soon EX 1000", "SET gone soon PX 1", "SELECT 9", "SET elsewhere 1", "SELECT 0"] {
        assert_eq!(say(&mut redis, line), "OK");
    }
    super::eventually("it expires", || say(&mut redis, "EXISTS gone") == "0");
    assert_eq!(say(&mut redis, "SAVE"), "OK");
    (fs::read(server.folder().join("dump.rdb")).expect("saved"), say(&mut redis, "DEBUG DIGEST"))
}

fn names(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_dump_is_imported_once_and_is_durable() {
    let (bytes, theirs) = dump();
    for (words, shards) in [(LOGGED, 3), (BARE, 2)] {
        let store = Store::new();
        let path = store.0.join("of-redis.rdb");
        fs::write(&path, &bytes).expect("written");
        let words = [words, &["--dbfilename", "of-redis.rdb"]].concat();
        let server = store.open(shards, &words);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "DEBUG DIGEST"), theirs, "{words:?}");
        let keys = say(&mut client, "DBSIZE").parse::<i64>().expect("a number") + 1;
        assert!(server.log().contains(&format!("of-redis.rdb: {keys} keys")), "{}", server.log());
        assert_eq!(info_number(&mut client, "persistence", "rdb_last_load_keys_loaded"), keys);
        // What follows is kept like anything else, and the dump is not read again.
        assert_eq!(say(&mut client, "DEL elsewhere int"), "1");
        let kept = if words.contains(&"no") { "SAVE" } else { "WAITAOF 1 0 0" };
        assert!(["OK", "[1 0]"].contains(&say(&mut client, kept).as_str()));
        let ours = say(&mut client, "DEBUG DIGEST");
        kill(server);
        fs::write(&path, &bytes).expect("written");
        let server = store.open(shards - 1, &words);
        assert_eq!(say(&mut connect(&server), "DEBUG DIGEST"), ours, "{words:?}");
        assert!(server.log().contains("is newer than the data in"), "{}", server.log());
        terminate(server);
    }
}

#[test]
fn a_damaged_dump_refuses_the_start_and_leaves_nothing() {
    let (bytes, theirs) = dump();
    let store = Store::new();
    let path = store.0.join("dump.rdb");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (what, bad) in
        [("cut", &bytes[..bytes.len() / 3]), ("flipped", &flipped), ("empty", &[]), ("foreign", b"no dump")]
    {
        fs::write(&path, bad).expect("written");
        for words in [LOGGED, BARE] {
            let refused = store.try_open(2, words).expect_err(what);
            assert!(refused.contains("Can't import") && refused.contains("dump.rdb"), "{what}: {refused}");
            let left = names(store.0.join("appendonlydir"));
            assert_eq!(left, ["lock"], "{what}");
        }
    }
    // As a server leaves it that is killed amid the import.
    fs::create_dir(store.0.join("appendonlydir/snapshot-1")).expect("a folder");
    fs::write(store.0.join("appendonlydir/snapshot-1/shard-0.snap"), "half").expect("written");
    let refused = store.try_open(2, LOGGED).expect_err("a store without its manifest");
    assert!(refused.contains("manifest"), "{refused}");
    fs::write(store.0.join("appendonlydir/importing"), "").expect("written");
    fs::write(&path, &bytes).expect("written");
    let server = store.open(3, LOGGED);
    assert_eq!(say(&mut connect(&server), "DEBUG DIGEST"), theirs);
    terminate(server);
}

#[test]
fn an_append_only_file_of_redis_is_not_passed_over() {
    let store = Store::new();
    fs::create_dir(store.0.join("appendonlydir")).expect("a folder");
    let manifest = store.0.join("appendonlydir/appendonly.aof.manifest");
    fs::write(&manifest, "file appendonly.aof.1.base.rdb seq 1 type b\n").expect("written");
    let refused = store.try_open(2, LOGGED).expect_err("what it holds would be missing");
    assert!(refused.contains("appendonly.aof.manifest is an append-only file of Redis"), "{refused}");
    // Redis does not look at it then, either.
    terminate(store.open(2, BARE));
}
