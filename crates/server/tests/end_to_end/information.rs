//! INFO: its sections and whether its numbers are right over all cores.

use pinyon_testkit::Client;

use super::{SHARDS, call, connect, eventually, info, info_number, say, start};

fn headings(client: &mut Client, line: &str) -> String {
    let text = say(client, line);
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    headings.join(" ")
}

#[test]
fn sections() {
    let server = start(&[]);
    let mut client = connect(&server);
    let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace";
    let all = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster \
               Keyspace Pinyon";
    for (line, wanted) in [
        ("INFO", default),
        ("INFO default", default),
        ("INFO all", all),
        ("INFO everything", all),
        ("INFO Server", "Server"),
        ("INFO keyspace nosuch server", "Server Keyspace"),
        ("INFO pinyon", "Pinyon"),
        ("INFO nosuch", ""),
    ] {
        assert_eq!(headings(&mut client, line), wanted, "{line}");
    }
    let text = say(&mut client, "INFO everything");
    assert!(text.ends_with("\r\n") && !text.ends_with("\r\n\r\n"));
    assert_eq!(text.matches("\r\n\r\n#").count(), 13, "an empty line before each section but the first");
    assert!(text.split("\r\n").all(|line| !line.contains('\n')));
    for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.split_once(':').is_some_and(|(name, _)| !name.is_empty()), "{line}");
    }
}

#[test]
fn numbers_are_sums_over_the_cores() {
    let server = start(&[]);
    let mut clients: Vec<Client> = (0..9).map(|_| connect(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(say(client, &format!("SET k{number} v EX 100")), "OK");
        assert_eq!(say(client, &format!("GET k{number}")), "v");
        assert_eq!(say(client, "GET missing"), "nil");
        assert!(say(client, "NOSUCH").starts_with("-ERR unknown command"));
        assert!(say(client, "INCR k0").starts_with("-ERR value is not an integer"));
    }
    let client = &mut clients[4];
    assert_eq!(info_number(client, "clients", "connected_clients"), 9);
    assert_eq!(info_number(client, "stats", "keyspace_hits"), 9);
    assert_eq!(info_number(client, "stats", "keyspace_misses"), 9);
    assert_eq!(info_number(client, "stats", "total_error_replies"), 18);
    assert_eq!(info(client, "errorstats", "errorstat_ERR"), "count=18");
    assert_eq!(info_number(client, "persistence", "rdb_changes_since_last_save"), 9);
    assert!(info_number(client, "stats", "total_commands_processed") >= 36);
    assert!(info_number(client, "stats", "total_net_input_bytes") > 9 * 100);
    let line = info(client, "commandstats", "cmdstat_incr");
    assert!(line.starts_with("calls=9,") && line.ends_with("rejected_calls=0,failed_calls=9"), "{line}");
    let keyspace = info(client, "keyspace", "db0");
    let ttl = keyspace.strip_prefix("keys=9,expires=9,avg_ttl=");
    let ttl = ttl.and_then(|ttl| ttl.strip_suffix(",keys_with_volatile_items=0"));
    let ttl: i64 = ttl.and_then(|ttl| ttl.parse().ok()).expect("the form");
    assert!((90_000..=100_000).contains(&ttl), "{keyspace}");
    assert_eq!(say(client, "SELECT 7"), "OK");
    assert_eq!(say(client, "MSET a 1 b 2 c 3 d 4"), "OK");
    assert_eq!(say(client, "HSETEX h EX 100 FIELDS 1 f v"), "1");
    assert_eq!(info(client, "keyspace", "db7"), "keys=5,expires=0,avg_ttl=0,keys_with_volatile_items=1");
    assert!(!say(client, "INFO keyspace").contains("db1:"));
    assert_eq!(say(client, "CONFIG RESETSTAT"), "OK");
    assert_eq!(info_number(client, "stats", "keyspace_hits"), 0);
    assert_eq!(info_number(client, "stats", "total_error_replies"), 0);
}

#[test]
fn the_server_knows_itself() {
    let server = start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]);
    let mut client = connect(&server);
    assert_eq!(info(&mut client, "server", "process_id"), server.pid().to_string());
    assert_eq!(info(&mut client, "server", "tcp_port"), server.port().to_string());
    assert_eq!(info(&mut client, "server", "run_id").len(), 40);
    assert_eq!(info(&mut client, "server", "redis_mode"), "standalone");
    assert_eq!(info(&mut client, "server", "arch_bits"), "64");
    assert_eq!(info(&mut client, "memory", "maxmemory_human"), "100.00M");
    assert_eq!(info(&mut client, "memory", "maxmemory_policy"), "allkeys-lfu");
    assert_eq!(info(&mut client, "replication", "role"), "master");
    let version = info(&mut client, "server", "redis_version");
    assert!(say(&mut client, "HELLO 2").contains(&format!("version {version} ")));
    for (section, field) in [
        ("memory", "used_memory"),
        ("memory", "used_memory_rss"),
        ("memory", "used_memory_peak"),
        ("memory", "used_memory_startup"),
        ("memory", "total_system_memory"),
        ("stats", "total_reads_processed"),
    ] {
        assert!(info_number(&mut client, section, field) > 0, "{field}");
    }
    let before = info_number(&mut client, "memory", "used_memory");
    assert_eq!(call(&mut client, &[b"SET", b"large", &vec![b'x'; 10_000_000]]), "OK");
    eventually("memory follows the data", || {
        (9_500_000..12_000_000).contains(&(info_number(&mut client, "memory", "used_memory") - before))
    });
    assert_eq!(say(&mut client, "FLUSHALL SYNC"), "OK");
    eventually("memory is given back", || info_number(&mut client, "memory", "used_memory") < before + 2_000_000);
    assert!(info_number(&mut client, "memory", "used_memory_peak") >= 9_500_000 + before);
}

#[test]
fn the_section_of_our_own() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut clients: Vec<Client> = (0..12).map(|_| connect(&server)).collect();
    assert_eq!(say(&mut clients[0], "DEBUG POPULATE 10000"), "OK");
    for (number, client) in clients.iter_mut().enumerate() {
        for key in 0..20 {
            assert_ne!(say(client, &format!("GET key:{}", number * 20 + key)), "nil");
        }
    }
    let client = &mut clients[0];
    assert_eq!(info(client, "pinyon", "pinyon_shards"), SHARDS.to_string());
    assert_eq!(info(client, "pinyon", "pinyon_pinned"), "no");
    let load: f64 = info(client, "pinyon", "pinyon_table_load").parse().expect("a number");
    assert!((0.5..=1.0).contains(&load), "{load}");
    let part = |line: &str, name: &str| -> u64 {
        let found = line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in {line}"))
    };
    let lines: Vec<String> = (0..SHARDS).map(|core| info(client, "pinyon", &format!("pinyon_core{core}"))).collect();
    assert_eq!(lines.iter().map(|line| part(line, "keys")).sum::<u64>(), 10_000);
    assert_eq!(lines.iter().map(|line| part(line, "clients")).sum::<u64>(), 12);
    assert!(lines.iter().all(|line| part(line, "keys") > 2_500 && part(line, "turns") > 0), "{lines:?}");
    assert!(lines.iter().map(|line| part(line, "hops")).sum::<u64>() > 0, "{lines:?}");
    let micros: Vec<f64> = ["p50", "p99", "p99_9", "p99_99", "max"]
        .iter()
        .map(|name| info(client, "pinyon", &format!("pinyon_exec_usec_{name}")).parse().expect("a number"))
        .collect();
    assert!(micros[0] > 0.0 && micros.windows(2).all(|pair| pair[0] <= pair[1]), "{micros:?}");
}
