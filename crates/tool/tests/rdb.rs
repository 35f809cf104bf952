//! dump.rdb of a real redis-server into a store and out of it again, into another redis-server: the same dataset.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use pinyon_testkit::{Client, Program, Server, ServerOptions};

fn redis(options: ServerOptions) -> Server {
    let options = options.args(["--enable-debug-command", "yes", "--appendonly", "no"]);
    options.start().unwrap_or_else(|error| panic!("{error}"))
}

fn pinyon(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon")).args(args).output().expect("the tool runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn fill(client: &mut Client) {
    let mut say = |line: String| {
        let reply = client.line(&line).expect("a reply");
        assert!(!reply.is_error(), "{line:.100}: {reply}");
    };
    for db in [0, 1, 15] {
        say(format!("SELECT {db}"));
        say("SET int 12345".to_owned());
        say(format!("SET long {}", "abc".repeat(30_000)));
        say("SET volatile soon EX 100000".to_owned());
        for (size, long) in [(5, 5), (700, 5), (30, 9000)] {
            let text = |i: usize| format!("{i}{}", "y".repeat(long));
            for i in 0..size {
                say(format!("RPUSH list:{size}:{long} {} {i}", text(i)));
                say(format!("SADD set:{size}:{long} {}", text(i)));
                say(format!("SADD ints:{size}:{long} {}", i * 70_000));
                say(format!("HSET hash:{size}:{long} f{i} {}", text(i)));
                say(format!("ZADD zset:{size}:{long} {}.5 {}", i % 9, text(i)));
                say(format!("XADD stream:{size}:{long} {}-1 a {}", i + 1, text(i)));
            }
            say(format!("XGROUP CREATE stream:{size}:{long} group 2-1"));
            say(format!("XREADGROUP GROUP group me COUNT 3 STREAMS stream:{size}:{long} >"));
        }
    }
}

#[test]
fn a_dataset_of_redis_goes_into_a_store_and_back() {
    let folder = std::env::temp_dir().join(format!("pinyon-rdb-{}", std::process::id()));
    let path = |name: &str| folder.join(name).to_str().expect("a path in UTF-8").to_owned();
    fs::create_dir_all(path("redis")).expect("a folder");
    let server = redis(ServerOptions::new(Program::Redis));
    let mut client = server.client().expect("a connection");
    fill(&mut client);
    client.line("SAVE").expect("a reply");
    let digest = client.line("DEBUG DIGEST").expect("a reply").to_string();
    let file = server.folder().join("dump.rdb");
    let (fine, said) = pinyon(&["rdb-import", file.to_str().expect("a path in UTF-8"), &path("dir")]);
    assert!(fine, "{said}");
    let (fine, said) = pinyon(&["check", &path("dir")]);
    assert!(fine, "{said}");
    let (fine, said) = pinyon(&["rdb-export", &path("dir"), &path("redis/dump.rdb")]);
    assert!(fine && said.contains("63 keys"), "{said}");
    let other = redis(ServerOptions::new(Program::Redis).log_in(PathBuf::from(path("redis"))));
    let mut client = other.client().expect("a connection");
    assert_eq!(client.line("DEBUG DIGEST").expect("a reply").to_string(), digest);
    client.line("SELECT 15").expect("a reply");
    assert_eq!(client.line("XLEN stream:700:5").expect("a reply").as_int(), Some(700));
    assert_eq!(client.line("XPENDING stream:700:5 group").expect("a reply").as_array().map(<[_]>::len), Some(4));
    let left = client.line("TTL volatile").expect("a reply").as_int().expect("seconds");
    assert!((90_000..=100_000).contains(&left), "{left}");
    // What is no RDB file, or a broken one, makes no store.
    let mut bytes = fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path("broken.rdb"), bytes).expect("written");
    let (fine, said) = pinyon(&["rdb-import", &path("broken.rdb"), &path("other")]);
    assert!(!fine && said.contains("broken.rdb"), "{said}");
    assert!(!folder.join("other/appendonlydir/manifest").exists());
    drop(fs::remove_dir_all(&folder));
}
