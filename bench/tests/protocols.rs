//! The generator against what is more than one server of RESP: memcached, a cluster, subscribers, storms of connections, values
//! that no socket takes at once.

mod support;

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinyon_testkit::{Client, Program, Server, ServerOptions, Value, free_port};
use serde_json::Value as Json;

use support::{ask, command, end, histogram, number, records, run, start};

/// A memcached that ends with the test.
struct Memcached {
    child: Child,
    port: u16,
}

impl Memcached {
    fn start() -> Memcached {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let in_path = std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path).map(|folder| folder.join("memcached")).find(|path| path.is_file())
        });
        let places = [
            std::env::var_os("MEMCACHED").map(PathBuf::from),
            in_path,
            Some(root.join("target/oracles/bin/memcached-sid")),
        ];
        let program = places
            .into_iter()
            .flatten()
            .find(|path| path.is_file())
            .expect("memcached: run scripts/oracles, or set MEMCACHED");
        let port = free_port().unwrap();
        let child = Command::new(program)
            .args(["-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "root", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "memcached does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        Memcached { child, port }
    }

    fn run(&self, words: &[&str]) -> Vec<Json> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinyon-bench"));
        command.args(["--json", "-", "--memcached", "yes", "--port", &self.port.to_string()]).args(words);
        records(&command.output().unwrap())
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // Both fail only when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn memcached_is_spoken() {
    let server = Memcached::start();
    let keys = ["--keys", "5000", "--distribution", "sequential", "--requests", "5000", "--pipeline", "8"];
    let lines = server.run(&[&["--command", "SET k:{key} {value}", "--value-size", "10..2000"][..], &keys].concat());
    assert!(lines[0]["target"]["server"].as_str().unwrap().starts_with("memcached 1."), "{}", lines[0]);
    assert_eq!((number(end(&lines), "ops"), number(end(&lines), "errors")), (5000, 0));
    // All of them are there; of twice as many keys, half.
    let lines = server.run(&[&["--command", "GET k:{key}"][..], &keys].concat());
    assert_eq!((number(end(&lines), "ops"), number(end(&lines), "nulls")), (5000, 0));
    assert!(number(end(&lines), "received_bytes") > 5000 * 900, "{}", end(&lines));
    let lines = server.run(
        &[&keys[..], &["--command", "GET k:{key}", "--keys", "10000", "--requests", "10000", "--rate", "1000000"]]
            .concat(),
    );
    assert_eq!(
        (number(end(&lines), "ops") + number(end(&lines), "drained"), number(end(&lines), "nulls")),
        (10_000, 5_000)
    );
    let lines = server.run(&[
        "--command",
        "INCR nothing",
        "--command",
        "GET k:0001",
        "--command",
        "MGET k:0001 k:x k:0002",
        "--requests",
        "300",
    ]);
    assert_eq!(number(end(&lines), "errors"), 0, "{}", end(&lines));
}

fn cluster_node() -> Server {
    let bus = free_port().unwrap().to_string();
    let words = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-require-full-coverage", "no"];
    ServerOptions::new(Program::Redis).args(words).start().unwrap_or_else(|error| panic!("{error}"))
}

fn text(value: Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Simple(text) | Value::Error(text) => text,
        other => panic!("no text: {other:?}"),
    }
}

/// Two nodes that know each other, with half of the slots each.
fn cluster() -> (Vec<Server>, Vec<Client>, Vec<String>) {
    let servers = vec![cluster_node(), cluster_node()];
    let mut clients: Vec<Client> = servers.iter().map(|server| server.client().unwrap()).collect();
    assert_eq!(text(ask(&mut clients[0], "CLUSTER ADDSLOTSRANGE 0 8191")), "OK");
    assert_eq!(text(ask(&mut clients[1], "CLUSTER ADDSLOTSRANGE 8192 16383")), "OK");
    let ports: Vec<String> = servers.iter().map(|server| server.port().to_string()).collect();
    let bus = text(ask(&mut clients[1], "CONFIG GET cluster-port").first_of_pair());
    assert_eq!(text(ask(&mut clients[0], &format!("CLUSTER MEET 127.0.0.1 {} {bus}", ports[1]))), "OK");
    let deadline = Instant::now() + Duration::from_secs(30);
    for client in &mut clients {
        let wanted = ["cluster_state:ok", "cluster_slots_ok:16384"];
        while !wanted.iter().all(|line| text(ask(client, "CLUSTER INFO")).contains(line)) {
            assert!(Instant::now() < deadline, "the nodes do not find each other");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let ids = clients.iter_mut().map(|client| text(ask(client, "CLUSTER MYID"))).collect();
    (servers, clients, ids)
}

trait Pair {
    /// The value of a CONFIG GET of one name.
    fn first_of_pair(self) -> Value;
}

impl Pair for Value {
    fn first_of_pair(self) -> Value {
        match self {
            Value::Array(mut pair) if pair.len() == 2 => pair.remove(1),
            other => panic!("no pair: {other:?}"),
        }
    }
}

/// Every key goes to its node; and when slots move while the load goes on, it follows.
#[test]
fn a_cluster_gets_each_key_at_its_node() {
    let (servers, mut clients, ids) = cluster();
    let keys = ["--cluster", "yes", "--keys", "2000", "--command", "SET k:{key} {value}", "--threads", "2"];
    let lines = run(&servers[0], &[&keys[..], &["--requests", "40000", "--pipeline", "8"]].concat());
    let line = end(&lines);
    assert_eq!((number(line, "ops"), number(line, "errors"), number(line, "moved")), (40_000, 0, 0), "{line}");
    assert_eq!(line["target"]["nodes"], 2);
    let sizes: Vec<Value> = clients.iter_mut().map(|client| ask(client, "DBSIZE")).collect();
    let [Value::Int(a), Value::Int(b)] = sizes[..] else { panic!("{sizes:?}") };
    assert!(a + b == 2000 && a > 800 && b > 800, "{a} and {b} keys");

    for client in &mut clients {
        ask(client, "FLUSHALL");
    }
    let words = ["--cluster", "yes", "--command", "GET k:{key}", "--duration", "2", "--connections", "8"];
    let child = command(&servers[1], &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !text(ask(&mut clients[1], "INFO commandstats")).contains("cmdstat_get:") {}
    for slot in 9000..9200 {
        for client in [1, 0] {
            assert_eq!(text(ask(&mut clients[client], &format!("CLUSTER SETSLOT {slot} NODE {}", ids[0]))), "OK");
        }
    }
    let lines = records(&child.wait_with_output().unwrap());
    let line = end(&lines);
    assert_eq!(number(line, "errors"), 0, "{line}");
    let moved = number(line, "moved");
    assert!(moved > 0 && moved < 200 * 10, "{moved} requests of 200 slots were sent to the wrong node");
}

/// Each message reaches each subscriber.
#[test]
fn subscribers_count_what_is_published() {
    let server = start(Program::Redis);
    for resp in ["2", "3"] {
        let words = [
            "--subscribers",
            "20",
            "--channels",
            "news sport",
            "--command",
            "PUBLISH news {value}",
            "--requests",
            "1000",
            "--connections",
            "4",
            "--resp",
            resp,
        ];
        let lines = run(&server, &words);
        let line = end(&lines);
        // Some of the last may be under way when the publishers are done.
        let (ops, pushes) = (number(line, "ops"), number(line, "pushes"));
        assert!(ops == 1000 && number(line, "errors") == 0 && (19_000..=20_000).contains(&pushes), "{line}");
    }
}

/// Every reply comes on a connection of its own, greeted like the first ones.
#[test]
fn storms_open_a_connection_for_each_batch() {
    let server = start(Program::Redis);
    let mut client = server.client().unwrap();
    let words = [
        "--reconnect-every",
        "1",
        "--connections",
        "20",
        "--command",
        "INCR counter",
        "--db",
        "5",
        "--resp",
        "3",
        "--requests",
        "3000",
    ];
    let lines = run(&server, &words);
    let line = end(&lines);
    assert_eq!((number(line, "ops"), number(line, "errors"), number(line, "lost")), (3000, 0, 0), "{line}");
    assert!((2900..=3000).contains(&number(line, "connects")), "{line}");
    ask(&mut client, "SELECT 5");
    assert_eq!(text(ask(&mut client, "GET counter")), "3000");
    let lines = run(&server, &[&words[..], &["--reset", "yes"]].concat());
    let line = end(&lines);
    assert_eq!((number(line, "ops"), number(line, "errors"), number(line, "lost")), (3000, 0, 0), "{line}");
    assert_eq!(text(ask(&mut client, "GET counter")), "6000");
}

/// Values of a megabyte, in both directions, several under way.
#[test]
fn long_values_pass() {
    for program in [Program::Pinyon, Program::Redis] {
        let server = start(program);
        let common = [
            "--keys",
            "20",
            "--value-size",
            "1m",
            "--distribution",
            "sequential",
            "--pipeline",
            "3",
            "--connections",
            "5",
            "--requests",
            "60",
        ];
        let lines = run(&server, &[&["--command", "SET k{key} {value}"][..], &common].concat());
        assert_eq!((number(end(&lines), "ops"), number(end(&lines), "errors")), (60, 0));
        assert!(number(end(&lines), "sent_bytes") > 60 << 20);
        let lines = run(&server, &[&["--command", "GET k{key}", "--command", "STRLEN k{key}"][..], &common].concat());
        let line = end(&lines);
        assert_eq!((number(line, "ops"), number(line, "errors"), number(line, "nulls")), (60, 0, 0));
        assert!(number(line, "received_bytes") > 10 << 20, "{line}");
    }
}

/// A connection that the server ends is told of, with what was under way on it; the others go on.
#[test]
fn lost_connections_are_counted() {
    let server = start(Program::Redis);
    let mut client = server.client().unwrap();
    let words = ["--command", "GET k:{key}", "--duration", "2", "--connections", "4", "--pipeline", "5"];
    let child = command(&server, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = loop {
        let list = text(ask(&mut client, "CLIENT LIST"));
        let line = list.lines().find(|line| line.contains("cmd=get"));
        if let Some(id) = line.and_then(|line| line.strip_prefix("id=")?.split(' ').next()) {
            break id.to_owned();
        }
    };
    assert_eq!(ask(&mut client, &format!("CLIENT KILL ID {id}")), Value::Int(1));
    let lines = records(&child.wait_with_output().unwrap());
    let line = end(&lines);
    assert_eq!(number(line, "lost"), 1, "{line}");
    assert!((1..=6).contains(&number(line, "errors")), "{line}");
    assert!(line["error_texts"][0].as_str().unwrap().starts_with("a connection was lost"), "{line}");
    assert_eq!(number(&lines[2], "t"), 2, "the run went on to its end");
}

/// A server that hangs up, or that talks nonsense, is an error that is told, not a hang and not a panic.
#[test]
fn servers_that_misbehave_are_told() {
    let says: [(&[u8], &str); 3] =
        [(b"", "closed"), (b"nonsense\r\n", "not a reply"), (b"-ERR max number of clients reached\r\n", "max number")];
    for (says, complaint) in says {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        std::thread::spawn(move || {
            // Open to the end, so that its words arrive before the end does.
            let mut streams = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(says).and_then(|()| stream.shutdown(Shutdown::Write));
                streams.push(stream);
            }
        });
        let output = Command::new(env!("CARGO_BIN_EXE_pinyon-bench"))
            .args(["--port", &port, "--requests", "10"])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(complaint), "{says:?}: {error}");
    }
}

/// Thousands of connections, each of which is used.
#[test]
fn thousands_of_connections() {
    let server = ServerOptions::new(Program::Redis)
        .args(["--maxclients", "4000"])
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let lines = run(&server, &["--connections", "3500", "--requests", "35000", "--command", "INCR c:{conn}"]);
    assert_eq!((number(end(&lines), "ops"), number(end(&lines), "errors")), (35_000, 0));
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "DBSIZE"), Value::Int(3500));
    let all: u64 = histogram(end(&lines)).iter().map(|pair| pair.1).sum();
    assert_eq!(all, 35_000);
}
