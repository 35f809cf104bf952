//! MONITOR, SLOWLOG and LATENCY over the cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinyon_testkit::Client;

use super::{connect, eventually, info, say, short, start};

/// What a MONITOR connection sees next, without the time.
fn seen(monitor: &mut Client) -> String {
    let line = short(&monitor.receive().expect("a line"));
    let (time, rest) = line.split_once(' ').expect("a time");
    let (seconds, micros) = time.split_once('.').expect("seconds and microseconds");
    assert!(seconds.parse::<u64>().is_ok_and(|s| s > 1_600_000_000) && micros.len() == 6, "{line}");
    rest.to_owned()
}

#[test]
fn monitor_sees_the_commands_of_all_cores() {
    let server = start(&[]);
    let mut monitors: Vec<Client> = (0..2).map(|_| connect(&server)).collect();
    for monitor in &mut monitors {
        assert_eq!(say(monitor, "MONITOR"), "OK");
    }
    // One connection after the other, so that the order is known.
    let mut wanted = Vec::new();
    for number in 0..9 {
        let mut client = connect(&server);
        assert_eq!(say(&mut client, &format!("SET key:{number} \"a\\x00\\n\\\"b\"")), "OK");
        assert_eq!(say(&mut client, "SELECT 9"), "OK");
        assert_eq!(say(&mut client, "MGET a b c"), "[nil nil nil]");
        let line = say(&mut client, "CLIENT INFO");
        let address = line.split(' ').find_map(|word| word.strip_prefix("addr=")).expect("an address").to_owned();
        wanted.push(format!("[0 {address}] \"SET\" \"key:{number}\" \"a\\x00\\n\\\"b\""));
        // Shown when it is done: already in its database.
        wanted.push(format!("[9 {address}] \"SELECT\" \"9\""));
        wanted.push(format!("[9 {address}] \"MGET\" \"a\" \"b\" \"c\""));
        wanted.push(format!("[9 {address}] \"CLIENT\" \"INFO\""));
        for monitor in &mut monitors {
            for line in &wanted[wanted.len() - 4..] {
                assert_eq!(&seen(monitor), line);
            }
        }
    }
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "CLIENT LIST").matches(" flags=O ").count(), 2);
    for monitor in &mut monitors {
        monitor.send(&["RESET"]).expect("sent");
        let mut reply = String::new();
        while reply != "RESET" {
            reply = short(&monitor.receive().expect("a line"));
        }
        assert_eq!(say(monitor, "GET nokey"), "nil");
    }
    assert!(!say(&mut client, "CLIENT LIST").contains(" flags=O "));
}

/// Passwords are not shown.
#[test]
fn monitor_hides_secrets() {
    let server = start(&["--requirepass", "secret"]);
    let mut monitor = connect(&server);
    assert_eq!(say(&mut monitor, "AUTH secret"), "OK");
    assert_eq!(say(&mut monitor, "MONITOR"), "OK");
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "AUTH secret"), "OK");
    assert_eq!(say(&mut client, "ECHO hello"), "hello");
    assert!(say(&mut client, "HELLO 2 AUTH default secret SETNAME me").starts_with("[server redis"));
    assert!(seen(&mut monitor).ends_with("] \"AUTH\" \"(redacted)\""));
    assert!(seen(&mut monitor).ends_with("] \"ECHO\" \"hello\""));
    assert!(
        seen(&mut monitor).ends_with("] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\"")
    );
    // What operators do is not shown at all, but may be slow.
    assert_eq!(say(&mut client, "CONFIG SET slowlog-log-slower-than 0"), "OK");
    assert_eq!(say(&mut client, "CONFIG SET requirepass other"), "OK");
    assert_eq!(say(&mut client, "ECHO seen"), "seen");
    assert!(seen(&mut monitor).ends_with("] \"ECHO\" \"seen\""));
    assert!(say(&mut client, "SLOWLOG GET").contains("[CONFIG SET requirepass (redacted)]"));
}

#[test]
fn slowlog() {
    let server = start(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "20"]);
    let mut clients: Vec<Client> = (0..6).map(|_| connect(&server)).collect();
    assert_eq!(say(&mut clients[0], "CLIENT SETNAME who"), "OK");
    assert_eq!(say(&mut clients[0], "SLOWLOG RESET"), "OK");
    // Keys of all shards: entries are kept where the connection is.
    for number in 0..6 {
        assert_eq!(say(&mut clients[0], &format!("SET slow:{number} v")), "OK");
    }
    eventually("all are recorded", || {
        let text = say(&mut clients[1], "SLOWLOG GET -1");
        (0..6).all(|number| text.contains(&format!("[SET slow:{number} v]")))
    });
    let entries = clients[1].line("SLOWLOG GET 20").expect("a reply");
    let entries = entries.as_array().expect("an array");
    let ids: Vec<i64> = entries.iter().map(|e| e.as_array().expect("an entry")[0].as_int().expect("an id")).collect();
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {ids:?}");
    let set = entries
        .iter()
        .map(|e| e.as_array().expect("an entry"))
        .find(|e| short(&e[3]).starts_with("[SET "))
        .expect("a SET");
    assert_eq!(set.len(), 6);
    assert!(short(&set[4]).starts_with("127.0.0.1:") && short(&set[5]) == "who", "{set:?}");

    for (number, client) in clients.iter_mut().enumerate() {
        for _ in 0..10 {
            assert_eq!(say(client, &format!("GET slow:{number}")), "v");
        }
    }
    assert_eq!(say(&mut clients[0], "SLOWLOG LEN"), "20", "the limit is one for all cores");
    assert_eq!(say(&mut clients[0], "SLOWLOG GET 5").matches("127.0.0.1:").count(), 5);
    let long = format!("ECHO {}", "x".repeat(200));
    say(&mut clients[2], &long);
    eventually("long arguments are cut", || say(&mut clients[2], "SLOWLOG GET -1").contains("... (72 more bytes)"));
    assert_eq!(say(&mut clients[0], "CONFIG SET slowlog-log-slower-than -1"), "OK");
    assert_eq!(say(&mut clients[0], "SLOWLOG RESET"), "OK");
    assert_eq!(say(&mut clients[1], "GET a"), "nil");
    assert_eq!(say(&mut clients[0], "SLOWLOG LEN"), "0");
    assert!(say(&mut clients[0], "SLOWLOG GET -2").starts_with("-ERR count should be greater than or equal to -1"));
}

#[test]
fn debug_sleep_is_slow() {
    let server = start(&["--enable-debug-command", "yes", "--latency-monitor-threshold", "10"]);
    let mut client = connect(&server);
    let begin = Instant::now();
    assert_eq!(say(&mut client, "DEBUG SLEEP 0.05"), "OK");
    assert!(begin.elapsed().as_millis() >= 50);
    assert_eq!(say(&mut client, "SLOWLOG LEN"), "1");
    assert!(say(&mut client, "SLOWLOG GET").contains("[DEBUG SLEEP 0.05]"));
    let latest = say(&mut client, "LATENCY LATEST");
    assert!(latest.starts_with("[[command "), "{latest}");
    let history = say(&mut client, "LATENCY HISTORY command");
    let ms: u64 =
        history.trim_matches(['[', ']']).split(' ').nth(1).and_then(|ms| ms.parse().ok()).expect("milliseconds");
    assert!((50..2_000).contains(&ms), "{history}");
    assert!(say(&mut client, "LATENCY GRAPH command").starts_with("command - high "));
    assert_eq!(say(&mut client, "LATENCY RESET"), "1");
    assert_eq!(say(&mut client, "LATENCY LATEST"), "[]");
}

/// It stops every core, not only that of the connection.
#[test]
fn debug_sleep_stops_all_cores() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut sleeper = connect(&server);
    let mut others: Vec<Client> = (0..6).map(|_| connect(&server)).collect();
    let awake = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waits: Vec<_> = others
            .iter_mut()
            .map(|client| {
                let awake = &awake;
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    while !awake.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        assert_eq!(say(client, "PING"), "PONG");
                        longest = longest.max(begin.elapsed());
                    }
                    longest
                })
            })
            .collect();
        assert_eq!(say(&mut sleeper, "DEBUG SLEEP 0.3"), "OK");
        awake.store(true, Ordering::Relaxed);
        for wait in waits {
            let longest = wait.join().expect("no panic");
            assert!(longest >= Duration::from_millis(200), "{longest:?}");
        }
    });
}

#[test]
fn histograms_count_every_call() {
    let server = start(&[]);
    let mut clients: Vec<Client> = (0..6).map(|_| connect(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for key in 0..10 {
            assert_eq!(say(client, &format!("SET h:{number}:{key} v")), "OK");
        }
    }
    let text = say(&mut clients[0], "LATENCY HISTOGRAM set");
    assert!(text.starts_with("[set [calls 60 histogram_usec ["), "{text}");
    let line = info(&mut clients[1], "commandstats", "cmdstat_set");
    assert!(line.starts_with("calls=60,") && line.ends_with(",rejected_calls=0,failed_calls=0"), "{line}");
    let line = info(&mut clients[2], "latencystats", "latency_percentiles_usec_set");
    assert!(line.starts_with("p50=") && line.contains(",p99=") && line.contains(",p99.9="), "{line}");
    assert_eq!(say(&mut clients[0], "CONFIG RESETSTAT"), "OK");
    assert!(!say(&mut clients[0], "INFO commandstats").contains("cmdstat_set"));
}
