//! The generator as a program against real servers: what was sent arrived, what was counted happened, and a stall shows.
//!
//! Nothing here depends on how fast the machine is, but for orders of magnitude.

mod support;

use std::process::{Child, Stdio};
use std::time::Duration;

use pinyon_testkit::{Program, Server, ServerOptions, Value};
use serde_json::Value as Json;

use support::{ask, command, end, histogram, number, records, run, start};

/// A run of exactly so many requests fills exactly so many keys, whatever way it takes.
#[test]
fn every_key_is_set_once() {
    for program in [Program::Pinyon, Program::Redis] {
        let server = start(program);
        let mut client = server.client().unwrap();
        let unix = server.unix_address().map(|address| format!("{address:?}"));
        assert!(unix.is_some());
        let path = server.folder().join("s.sock");
        let path = path.to_str().unwrap();
        let ways: [&[&str]; 5] = [
            &["--pipeline", "1"],
            &["--pipeline", "16", "--threads", "3", "--resp", "3"],
            &["--pipeline", "7", "--connections", "3", "--unix", path],
            &["--rate", "1000000", "--pipeline", "4", "--db", "3"],
            &["--reconnect-every", "20", "--connections", "7", "--pipeline", "5", "--spin", "no"],
        ];
        for way in ways {
            let common = [
                "--command",
                "SET k:{key} {value}",
                "--keys",
                "10007",
                "--distribution",
                "sequential",
                "--requests",
                "10007",
                "--value-size",
                "5..9",
            ];
            let lines = run(&server, &[&common[..], way].concat());
            let end = end(&lines);
            assert_eq!((number(end, "ops") + number(end, "drained"), number(end, "errors")), (10007, 0), "{way:?}");
            let db = if way.contains(&"--db") { "3" } else { "0" };
            ask(&mut client, &format!("SELECT {db}"));
            assert_eq!(ask(&mut client, "DBSIZE"), Value::Int(10007), "{way:?}");
            assert!(matches!(ask(&mut client, "STRLEN k:00000"), Value::Int(5..=9)), "{way:?}");
            ask(&mut client, "FLUSHALL");
            let counts: u64 = histogram(end).iter().map(|pair| pair.1).sum();
            assert_eq!(counts, 10007);
            if way.contains(&"--reconnect-every") {
                assert!(number(end, "connects") > 400, "{end}");
            }
        }
    }
}

/// Seconds, commands and the end tell the same story, and the server's own count agrees.
#[test]
fn a_mix_is_counted_as_the_server_counts_it() {
    let server = start(Program::Pinyon);
    let pid = server.pid().to_string();
    let words = [
        "--family",
        "string",
        "--keys",
        "1000",
        "--pipeline",
        "3",
        "--duration",
        "1.5",
        "--warmup",
        "0.2",
        "--server-pid",
        &pid,
        "--distribution",
        "zipf",
        "--label",
        "x y",
    ];
    let lines = run(&server, &words);
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["start", "second", "second", "command", "command", "end"]);
    assert_eq!(lines[0]["settings"]["distribution"], "zipf 0.99");
    assert!(lines[0]["target"]["server"].as_str().unwrap().starts_with("pinyon "), "{}", lines[0]);
    let end = end(&lines);
    assert_eq!(end["label"], "x y");
    assert_eq!(number(&lines[1], "ops") + number(&lines[2], "ops"), number(end, "ops"));
    let (gets, sets) = (number(&lines[3], "ops"), number(&lines[4], "ops"));
    assert_eq!(gets + sets, number(end, "ops") + number(end, "drained"));
    let share = gets as f64 / (gets + sets) as f64;
    assert!((0.85..0.95).contains(&share), "nine in ten are reads, not {share}");
    assert!((1.49..1.6).contains(&end["seconds"].as_f64().unwrap()), "{end}");
    assert!(end["server_cpu_s"].as_f64().unwrap() > 0.0 && end["client_cpu_s"].as_f64().unwrap() > 0.0, "{end}");
    assert!(number(end, "server_resident_bytes") > 1 << 20);
    assert!(number(end, "sent_bytes") > 30 * gets && number(end, "received_bytes") > 5 * gets);
}

/// Kept apart, a connection sends one command only, and as many do as the weights say.
#[test]
fn connections_apart_have_one_command_each() {
    let server = start(Program::Pinyon);
    let commands = ["--command", "3 APPEND log:{conn} a", "--command", "1 APPEND log:{conn} b"];
    let others = ["--apart", "yes", "--connections", "8", "--pipeline", "5", "--requests", "4000", "--threads", "2"];
    run(&server, &[&commands[..], &others].concat());
    let mut client = server.client().unwrap();
    let logs: Vec<String> = (0..8).map(|i| ask(&mut client, &format!("GET log:{i}")).to_string()).collect();
    let of = |letter: char| logs.iter().filter(|log| log.contains(letter)).count();
    assert_eq!((of('a'), of('b')), (6, 2), "{logs:?}");
}

/// What goes wrong is told, with the server's words, and by the exit status.
#[test]
fn errors_are_counted_and_told() {
    let server = start(Program::Pinyon);
    let lines = run(&server, &["--command", "INCR a", "--command", "INCR b x", "--requests", "1000"]);
    let line = end(&lines);
    let errors = number(line, "errors");
    assert!((400..600).contains(&errors), "{line}");
    assert_eq!(line["error_texts"][0], "ERR wrong number of arguments for 'incr' command");

    let mut client = server.client().unwrap();
    ask(&mut client, "SET a text");
    for (words, complaint) in [
        (&["--command", "INCR a", "--requests", "10"][..], "not an integer"),
        (&["--command", "GET {kee}"], "{kee}"),
        (&["--password", "x"], "AUTH"),
        (&["--port", "1"], "127.0.0.1:1"),
        (&["--cluster", "yes"], "CLUSTER SLOTS"),
    ] {
        let output = command(&server, words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(complaint), "{words:?}: {text}");
    }
}

/// Starts an open-loop run of `seconds` at `rate` and stalls the server within it.
fn stalled(rate: u64, stall: impl FnOnce(&Server)) -> Vec<Json> {
    let options = ServerOptions::new(Program::Pinyon).shards(2).args(["--enable-debug-command", "local"]);
    let server = options.start().unwrap_or_else(|error| panic!("{error}"));
    let seconds = "4";
    let words =
        ["--rate", &rate.to_string(), "--duration", seconds, "--command", "GET key:{key}", "--connections", "10"];
    let child: Child = command(&server, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The stall comes when the load is there, and not before.
    let mut client = server.client().unwrap();
    loop {
        let Value::Bulk(info) = ask(&mut client, "INFO commandstats") else { panic!("INFO") };
        let info = String::from_utf8_lossy(&info).into_owned();
        let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")?.split(',').next());
        if calls.is_some_and(|calls| calls.parse::<u64>().unwrap() > rate / 2) {
            break;
        }
    }
    stall(&server);
    records(&child.wait_with_output().unwrap())
}

/// The bar: 200 ms in which the server does nothing are seen in the percentiles, in the second they fall into, and in the number
/// of requests that waited.
#[test]
fn a_stall_shows_in_the_open_loop() {
    const RATE: u64 = 5_000;
    let stalls: [fn(&Server); 2] = [
        |server| {
            let mut client = server.client().unwrap();
            assert_eq!(ask(&mut client, "DEBUG SLEEP 0.2"), Value::Simple("OK".to_owned()));
        },
        |server| {
            server.signal("STOP").unwrap();
            std::thread::sleep(Duration::from_millis(200));
            server.signal("CONT").unwrap();
        },
    ];
    for stall in stalls {
        let lines = stalled(RATE, stall);
        let end = end(&lines);
        // Nothing is left out: every request that was due is there, one way or the other.
        let histogram = histogram(end);
        let all: u64 = histogram.iter().map(|pair| pair.1).sum();
        assert_eq!(all, 4 * RATE);
        assert_eq!(number(end, "unanswered"), 0);
        for percentile in ["max_us", "p999_us", "p99_us"] {
            let figure = end[percentile].as_f64().unwrap();
            assert!(figure >= 150_000.0, "{percentile}: {figure}");
        }
        // Half of those that were due in the stall waited half of it or longer.
        let waited: u64 = histogram.iter().filter(|pair| pair.0 >= 100_000.0).map(|pair| pair.1).sum();
        assert!(waited >= RATE / 10 * 8 / 10, "{waited} of {all} waited 100 ms");
        let worst = lines.iter().filter(|line| line["type"] == "second").map(|line| line["max_us"].as_f64().unwrap());
        assert!(worst.clone().any(|us| us >= 150_000.0), "a second shows it");
        assert!(end["p50_us"].as_f64().unwrap() < 150_000.0, "most requests did not wait");
    }
}

/// As many requests as the rate says, neither more nor fewer.
#[test]
fn rates_are_kept() {
    let server = start(Program::Pinyon);
    for arrivals in ["constant", "exponential"] {
        let lines = run(&server, &["--rate", "2000", "--arrivals", arrivals, "--duration", "2", "--threads", "2"]);
        let end = end(&lines);
        let all: u64 = histogram(end).iter().map(|pair| pair.1).sum();
        assert!((3_700..4_300).contains(&all), "{arrivals}: {all}");
        assert!(arrivals == "exponential" || all == 4_000, "{all}");
    }
}
