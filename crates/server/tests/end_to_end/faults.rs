//! Disks that are full, and folders that cannot be written to.
//!
//! A disk that is really full needs a file system of its own: a small one in memory, in a mount namespace that only the server is
//! in. Where the system does not let the test have one, it fails: run it as root, or where users may have namespaces.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pinyon_testkit::{Client, Server};

use super::durability::Store;
use super::{connect, eventually, info, options, say, short};

/// A server on a file system of its own.
struct Islander {
    server: Server,
    /// Its folder, as this process sees it.
    folder: PathBuf,
}

/// Whether `unshare` with these options lets one mount something.
fn lets(options: &[&str], folder: &Path) -> bool {
    let mount = Command::new("unshare").args(options).args(["mount", "-t", "tmpfs", "none"]).arg(folder).output();
    mount.is_ok_and(|output| output.status.success())
}

impl Islander {
    fn start(store: &Store, megabytes: usize) -> Islander {
        let island = store.0.join("island");
        fs::create_dir_all(&island).expect("a folder");
        let options_of_unshare = [&["-m"][..], &["-r", "-m"]].into_iter().find(|options| lets(options, &island));
        let unshare = options_of_unshare.expect("unshare -m and mount are allowed, to root or by user namespaces");
        let binary = std::env::var("PINYON_SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pinyon-server").to_owned());
        let script = store.0.join("start");
        let text = format!(
            "#!/bin/sh\nexec unshare {} sh -c 'mount -t tmpfs -o size={megabytes}m none {} && exec \"$0\" \"$@\"' {binary} \"$@\"\n",
            unshare.join(" "),
            island.display(),
        );
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let words = ["--log-segment-size", "1mb", "--save", "100000 1", "--appendfsync", "always"];
        let server = options().exactly(script).shards(1).log_in(&island).args(words).start();
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let folder = PathBuf::from(format!("/proc/{}/root{}", server.pid(), island.display()));
        Islander { server, folder }
    }

    /// Takes all the room that is left.
    fn fill_up(&self) {
        let ballast = fs::File::create(self.folder.join("ballast")).expect("a file");
        let zeros = vec![0; 64 << 10];
        while std::io::Write::write_all(&mut &ballast, &zeros).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.folder.join("ballast")).expect("it is there");
    }
}

const NO_ROOM: &str = "-MISCONF Errors writing to the AOF file: No space left on device";

#[test]
fn a_disk_that_is_really_full_refuses_writes_until_there_is_room() {
    let store = Store::new();
    let island = Islander::start(&store, 8);
    let mut client = connect(&island.server);
    assert_eq!(say(&mut client, "SET first 1"), "OK");
    island.fill_up();
    let text = "x".repeat(100_000);
    let mut writer = connect(&island.server);
    let (written, is_held) = write_until_no_room(&mut writer, &mut client, &text);
    assert!(written < 40, "more than there was room for");
    assert_eq!(say(&mut client, "SET second 1"), NO_ROOM);
    assert_eq!(say(&mut client, "GET first"), "1");
    assert_eq!(info(&mut client, "persistence", "aof_last_write_status"), "err");
    let log = island.server.log();
    assert!(log.contains("has no room (No space left on device): writes are refused until there is"), "{log}");
    island.make_room();
    eventually("writes are taken again", || say(&mut client, "SET first 2") == "OK");
    // What was confirmed late is there, and what was refused is not.
    let last = if is_held { short(&writer.receive().expect("a reply")) } else { NO_ROOM.to_owned() };
    assert!(last == "OK" || last == NO_ROOM, "{last}");
    let length = if last == "OK" { "100002" } else { "0" };
    assert_eq!(say(&mut client, &format!("STRLEN long:{written}")), length);
    assert_eq!(info(&mut client, "persistence", "aof_last_write_status"), "ok");
    assert!(island.server.log().contains("can be written again"), "{}", island.server.log());
}

/// How many were confirmed; and whether the next one was taken before it was known that there is no room: its reply comes when
/// there is.
fn write_until_no_room(writer: &mut Client, client: &mut Client, text: &str) -> (usize, bool) {
    for number in 10..100 {
        writer.send(&["SET", &format!("long:{number}"), &format!("{text}{number}")]).expect("sent");
        loop {
            match writer.receive_within(Duration::from_millis(50)).expect("open").map(|reply| short(&reply)) {
                Some(reply) if reply == "OK" => break,
                Some(reply) => {
                    assert_eq!(reply, NO_ROOM);
                    return (number, false);
                }
                None if info(client, "persistence", "aof_last_write_status") == "err" => return (number, true),
                None => {}
            }
        }
    }
    (100, false)
}

#[test]
fn a_snapshot_that_finds_no_room_leaves_the_store_as_it_was() {
    let store = Store::new();
    let island = Islander::start(&store, 16);
    let mut client = connect(&island.server);
    // Text that does not compress.
    let text: String =
        (0..6000u64).map(|i| format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))).collect();
    for number in 0..20 {
        assert_eq!(say(&mut client, &format!("SET long:{number} {number}{}", &text[number * 1000..])), "OK");
    }
    island.fill_up();
    assert!(say(&mut client, "BGSAVE").starts_with("Background saving started"));
    eventually("it has failed", || info(&mut client, "persistence", "rdb_last_bgsave_status") == "err");
    let log = island.server.log();
    assert!(log.contains("Background saving error") && log.contains("no space left on the device"), "{log}");
    assert!(say(&mut client, "SET a 1").contains("MISCONF"), "writes are refused when a save has failed");
    assert_eq!(say(&mut client, "EXISTS long:0"), "1");
    island.make_room();
    eventually("the log has room", || info(&mut client, "persistence", "aof_last_write_status") == "ok");
    eventually("it saves", || say(&mut client, "SAVE") == "OK");
    assert_eq!(info(&mut client, "persistence", "rdb_last_bgsave_status"), "ok");
    eventually("writes are taken again", || say(&mut client, "SET a 1") == "OK");
    let folders = fs::read_dir(island.folder.join("appendonlydir")).expect("the store");
    let names = folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    assert_eq!(names.filter(|name| name.starts_with("snapshot-")).count(), 1, "nothing is left of the one that failed");
}

/// In /sys nobody makes folders, whoever runs this.
#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let refused = options().log_in("/sys").start_once().err().unwrap_or_else(|| panic!("it starts")).to_string();
    assert!(refused.contains("Can't use the folder /sys/appendonlydir for the data (appenddirname)"), "{refused}");
    let store = Store::new();
    fs::write(store.0.join("appendonlydir"), "a file").expect("written");
    let refused = options().log_in(&store.0).start_once().err().unwrap_or_else(|| panic!("it starts")).to_string();
    assert!(refused.contains("appendonlydir for the data (appenddirname)"), "{refused}");
}
