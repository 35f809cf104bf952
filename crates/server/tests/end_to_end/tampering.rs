//! Files of a store that somebody cut, swapped, lost, damaged or took from elsewhere: the server does not start, least of all empty,
//! and says which file it is and what to do. With the files as they were, it starts with everything.

use std::fs;
use std::path::{Path, PathBuf};

use pinyon_testkit::{Random, Server};

use super::durability::{Store, kill, terminate};
use super::{connect, options, say};

const SNAPSHOT: &str = "snapshot-1/shard-0.snap";
const OTHER_SNAPSHOT: &str = "snapshot-1/shard-1.snap";
const FIRST: &str = "log-1-0-2";
const SECOND: &str = "log-1-0-3";

/// Two shards; a snapshot, and behind it at least two segments of each log, left as a kill leaves them.
fn filled() -> Store {
    let store = Store::new();
    let server = store.open(2, &["--appendfsync", "always", "--save", ""]);
    let mut client = connect(&server);
    let value = |number: u64| -> String {
        (0..4000).map(|i| format!("{:08x}", (number + i).wrapping_mul(0x9e37_79b9) as u32)).collect()
    };
    for number in 0..30 {
        assert_eq!(say(&mut client, &format!("SET saved:{number} {}", value(number))), "OK");
    }
    assert_eq!(say(&mut client, "SAVE"), "OK");
    for number in 0..90 {
        assert_eq!(say(&mut client, &format!("SET logged:{number} {}", value(1000 + number))), "OK");
    }
    kill(server);
    for name in [FIRST, SECOND, SNAPSHOT, OTHER_SNAPSHOT] {
        assert!(file(&store, name).exists(), "{name}: {:?}", store.segments());
    }
    store
}

fn file(store: &Store, name: &str) -> PathBuf {
    store.0.join("appendonlydir").join(name)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("an entry");
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

fn edit(store: &Store, name: &str, with: impl FnOnce(&mut Vec<u8>)) {
    let path = file(store, name);
    let mut bytes = fs::read(&path).expect("a file of the store");
    with(&mut bytes);
    fs::write(&path, bytes).expect("written");
}

fn swap(store: &Store, one: &str, other: &str) {
    let aside = store.0.join("aside");
    fs::rename(file(store, one), &aside).expect("renamed");
    fs::rename(file(store, other), file(store, one)).expect("renamed");
    fs::rename(aside, file(store, other)).expect("renamed");
}

/// Puts a file of one store in the place of another's.
fn take_from(from: &Store, to: &Store, name: &str) {
    fs::copy(file(from, name), file(to, name)).expect("copied");
}

fn open(store: &Store, words: &[&str]) -> Result<Server, String> {
    let options = options().shards(2).log_in(&store.0).args(["--log-segment-size", "1mb", "--save", ""]);
    options.args(words.iter().copied()).start_once().map_err(|error| error.to_string())
}

/// Changes a copy of the store, and gives what a server says of it. It says the same once more: nothing was changed.
#[track_caller]
fn refused(store: &Store, change: impl FnOnce(&Store)) -> (Store, String) {
    let copy = Store::new();
    copy_folder(&store.0, &copy.0);
    change(&copy);
    let said = open(&copy, &[]).err().unwrap_or_else(|| panic!("it starts"));
    assert!(open(&copy, &[]).is_err_and(|again| again.contains("Can't open the data in")), "{said}");
    (copy, said)
}

#[track_caller]
fn says(said: &str, wanted: &[&str]) {
    assert!(wanted.iter().all(|wanted| said.contains(wanted)), "not {wanted:?}: {said}");
}

const BACKUP: &str = "back from a backup";
const REPAIR: &str = "or start with `log-repair yes`";

#[test]
fn a_log_that_is_not_what_it_was_is_refused() {
    let (store, other) = (filled(), filled());
    let (_, said) = refused(&store, |copy| edit(copy, FIRST, |bytes| bytes.truncate(600_000)));
    says(&said, &["log-1-0-2 has 600000 bytes instead of 1048576", BACKUP, REPAIR]);
    let (_, said) = refused(&store, |copy| fs::remove_file(file(copy, FIRST)).expect("removed"));
    says(&said, &["log-1-0-2 is missing", BACKUP, REPAIR]);
    let (_, said) = refused(&store, |copy| swap(copy, FIRST, SECOND));
    says(&said, &["files were swapped or renamed; give it the name that it had"]);
    let (_, said) = refused(&store, |copy| take_from(&other, copy, FIRST));
    says(&said, &["log-1-0-2 belongs to the store", "put back the file that belongs here"]);
    let (_, said) = refused(&store, |copy| edit(copy, FIRST, |bytes| bytes[8] = 9));
    says(&said, &["log-1-0-2 is in format version 9", "use the program that wrote it, or a newer one"]);
    let server = open(&store, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(say(&mut connect(&server), "DBSIZE"), "120");
}

#[test]
fn a_snapshot_that_is_not_what_it_was_is_refused() {
    let (store, other) = (filled(), filled());
    let (_, said) = refused(&store, |copy| edit(copy, SNAPSHOT, |bytes| bytes.truncate(1000)));
    says(&said, &["snapshot-1/shard-0.snap has 1000 bytes instead of", BACKUP]);
    let (_, said) = refused(&store, |copy| fs::remove_file(file(copy, SNAPSHOT)).expect("removed"));
    says(&said, &["snapshot-1/shard-0.snap is missing", BACKUP]);
    let (_, said) = refused(&store, |copy| swap(copy, SNAPSHOT, OTHER_SNAPSHOT));
    says(&said, &["files were swapped or renamed; give it the name that it had"]);
    let (_, said) = refused(&store, |copy| take_from(&other, copy, SNAPSHOT));
    says(&said, &["shard-0.snap belongs to the store", "put back the file that belongs here"]);
    let (_, said) = refused(&store, |copy| edit(copy, SNAPSHOT, |bytes| bytes[8] = 9));
    says(&said, &["shard-0.snap is in format version 9", "use the program that wrote it, or a newer one"]);
}

#[test]
fn a_manifest_that_is_not_what_it_was_is_refused() {
    let store = filled();
    let (_, said) = refused(&store, |copy| fs::remove_file(file(copy, "manifest")).expect("removed"));
    says(&said, &["there is no manifest, but ", "bring it back from a backup, or move these files away"]);
    let (_, said) = refused(&store, |copy| edit(copy, "manifest", |bytes| bytes.truncate(40)));
    says(&said, &["the manifest is damaged at byte ", BACKUP]);
    let (_, said) = refused(&store, |copy| edit(copy, "manifest", |bytes| *bytes = b"pinyon-manifest 7\n".to_vec()));
    says(&said, &["manifest is in format version 7", "use the program that wrote it"]);
}

#[test]
fn flipped_bits_are_refused_with_file_and_place() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 % 1_000_000_007);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let store = filled();
    let mut flip = |bytes: &mut Vec<u8>, from: usize, to: usize| {
        let (at, bit) = (from + random.below(to - from), random.below(8));
        println!("bit {bit} of byte {at}");
        bytes[at] ^= 1 << bit;
    };
    for _ in 0..3 {
        let (_, said) = refused(&store, |copy| edit(copy, "manifest", |bytes| flip(bytes, 0, bytes.len())));
        assert!(
            said.contains("the manifest is damaged at byte ") || said.contains("manifest is in format version"),
            "{said}"
        );
        let (copy, said) = refused(&store, |copy| edit(copy, SNAPSHOT, |bytes| flip(bytes, 48, bytes.len())));
        says(&said, &["snapshot-1/shard-0.snap is damaged at byte ", BACKUP]);
        let repaired =
            open(&copy, &["--log-repair", "yes"]).err().unwrap_or_else(|| panic!("it starts without the keys"));
        says(&repaired, &["snapshot-1/shard-0.snap is damaged at byte "]);
        // Of the first frame, behind which others say that it had been durable.
        let (copy, said) = refused(&store, |copy| edit(copy, FIRST, |bytes| flip(bytes, 4096, 4096 + 2000)));
        says(&said, &["log-1-0-2 is damaged at byte 4096", "the log of shard 0 is lost from lsn", BACKUP, REPAIR]);
        let server = open(&copy, &["--log-repair", "yes"]).unwrap_or_else(|error| panic!("{error}"));
        says(&server.log(), &["log-repair: went on in spite of this: log-1-0-2 is damaged at byte 4096"]);
        assert_eq!(say(&mut connect(&server), "EXISTS saved:0 saved:7 saved:29"), "3");
        terminate(server);
        // What was gone on without stays gone: the store is whole again.
        terminate(open(&copy, &[]).unwrap_or_else(|error| panic!("{error}")));
    }
}
