//! `pinyon backup` of a server that runs and is written to, and servers started on what `restore` makes of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinyon_testkit::{Address, Client, Program, Server, ServerOptions, Value};

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pinyon-live-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for this test");
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Runs the tool, which must be content; what it said.
fn pinyon(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon")).args(args).output().expect("the tool runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn open(dir: &Path, shards: u16) -> Server {
    std::fs::create_dir_all(dir).expect("a folder");
    let words = ["--log-segment-size", "1mb", "--save", "", "--enable-debug-command", "yes"];
    let options = ServerOptions::new(Program::Pinyon).shards(shards).log_in(dir).args(words);
    options.start().unwrap_or_else(|error| panic!("{error}"))
}

fn say(client: &mut Client, line: &str) -> String {
    let reply = client.line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    match &reply {
        Value::Int(number) => number.to_string(),
        text => String::from_utf8_lossy(text.as_bytes().unwrap_or_default()).into_owned(),
    }
}

/// Text that does not compress; another one for each number.
fn noise(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..3000).map(letter).collect()
}

/// The number of the last round whose MSET was answered; the next one may have been made.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Writes until it is told to end: in each round the same number to three keys on several shards, and something long.
fn load(address: Address) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let body = move || {
        let mut client = Client::connect(&address).expect("a connection");
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let number = ROUNDS.load(Ordering::Relaxed) + 1;
            let fill = noise(number);
            let lines = [
                vec![
                    "MSET".to_owned(),
                    "left".into(),
                    number.to_string(),
                    "mid".into(),
                    number.to_string(),
                    "right".into(),
                    number.to_string(),
                ],
                vec!["SET".to_owned(), format!("long:{}", number % 700), fill],
                vec!["HSET".to_owned(), "hash".to_owned(), format!("field:{}", number % 3000), number.to_string()],
            ];
            client.pipeline(&lines).expect("replies");
            ROUNDS.store(number, Ordering::Relaxed);
        }
    };
    (stop, thread::spawn(body))
}

/// Waits until there were so many more rounds.
fn rounds(more: u64) {
    let (goal, given_up) = (ROUNDS.load(Ordering::Relaxed) + more, Instant::now() + Duration::from_secs(60));
    while ROUNDS.load(Ordering::Relaxed) < goal {
        assert!(Instant::now() < given_up, "the load stands still");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A backup under load: its epoch, and the rounds that were over before it and begun after it.
fn backup(server: &Server, target: &Path) -> (u64, u64, u64, String) {
    let before = ROUNDS.load(Ordering::Relaxed);
    let said = pinyon(&["backup", &format!("127.0.0.1:{}", server.port()), text(target)]);
    let after = ROUNDS.load(Ordering::Relaxed) + 1;
    let epoch = said.split("epoch ").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    (epoch.unwrap_or_else(|| panic!("no epoch: {said}")), before, after, said)
}

#[test]
fn backups_of_a_server_under_load_are_moments_of_its_history() {
    let folder = Folder::new("load");
    let (dir, target) = (folder.path("dir"), folder.path("backups"));
    let server = open(&dir, 3);
    let mut client = server.client().expect("a connection");
    assert_eq!(say(&mut client, "DEBUG POPULATE 5000 key 200"), "OK");
    let (stop, loading) = load(server.address());
    rounds(1500);
    let first = backup(&server, &target);
    let copies = |name: &str| std::fs::metadata(target.join("files").join(name)).and_then(|file| file.modified()).ok();
    let segment = copies("log-1-0-1").expect("a copy");
    rounds(1500);
    let second = backup(&server, &target);
    assert!(second.3.starts_with("backup 2"), "{}", second.3);
    // What had been full was not copied again.
    assert_eq!(copies("log-1-0-1"), Some(segment), "{}, {}", first.3, second.3);
    // One that begins with a snapshot, which is made while it goes on.
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    rounds(50);
    let third = backup(&server, &target);
    let given_up = Instant::now() + Duration::from_secs(60);
    while !say(&mut client, "INFO persistence").contains("rdb_bgsave_in_progress:0") {
        assert!(Instant::now() < given_up, "the snapshot does not end");
        thread::sleep(Duration::from_millis(5));
    }
    rounds(50);
    let fourth = backup(&server, &target);
    drop(stop);
    loading.join().expect("no error");
    // And one of a server that stands still: equal to it in all.
    assert_eq!(say(&mut client, "DEL key:1 key:2"), "2");
    let digest = say(&mut client, "DEBUG DIGEST");
    let last = backup(&server, &target);
    assert!(last.3.starts_with("backup 5"), "{}", last.3);
    let restored = folder.path("last");
    pinyon(&["restore", text(&target), text(&restored)]);
    let copy = open(&restored, 2);
    let mut reader = copy.client().expect("a connection");
    assert_eq!(say(&mut reader, "DEBUG DIGEST"), digest);
    // It goes on.
    assert_eq!(say(&mut reader, "SET more 1"), "OK");
    drop(copy);
    for (number, (epoch, before, after, said)) in [first, second, third, fourth].into_iter().enumerate() {
        let restored = folder.path(&format!("restored-{number}"));
        pinyon(&["restore", text(&target), text(&restored), "--until", &epoch.to_string()]);
        pinyon(&["check", text(&restored)]);
        let copy = open(&restored, 1 + number as u16);
        let mut reader = copy.client().expect("a connection");
        let found = say(&mut reader, "GET left").parse::<u64>().expect("a number");
        assert!((before..=after).contains(&found), "{said}: {found} is not in {before} to {after}");
        for key in ["mid", "right"] {
            assert_eq!(say(&mut reader, &format!("GET {key}")), found.to_string(), "{said}");
        }
        // A prefix of history: all of the rounds before are there.
        for back in 1..600 {
            let number = found - back;
            let fill = noise(number);
            assert_eq!(say(&mut reader, &format!("GET long:{}", number % 700)), fill, "{said}: round {number}");
        }
        assert_eq!(say(&mut reader, "EXISTS key:1 key:4999"), "2");
    }
}
