//! Ports of single cores: what cluster clients are told there, and where they are sent.
//!
//! The replies are those of redis-server 7.0.15 with `cluster-enabled yes`, but for ids and ports.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use pinyon_testkit::{Address, Client, Server, Value};

use super::{SHARDS, connect, eventually, info, options, say, start};

/// A key of each of the three cores: slots 4998, 7365 and 12182.
const KEYS: [&str; 3] = ["key2", "c", "foo"];

fn cluster(words: &[&str]) -> Server {
    let options = options().core_ports().args(words.iter().copied());
    options.start().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn connect_to(server: &Server, core: u16) -> Client {
    Client::connect(&server.core_address(core)).unwrap_or_else(|error| panic!("{error}"))
}

fn port(server: &Server, core: u16) -> u16 {
    match server.core_address(core) {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => unreachable!("cores have TCP ports"),
    }
}

fn slots_of_core(core: usize) -> (u16, u16) {
    [(0, 5461), (5462, 10922), (10923, 16383)][core]
}

#[test]
fn keys_of_other_cores_are_sent_there() {
    let server = cluster(&[]);
    let mut main = connect(&server);
    for (owner, key) in KEYS.into_iter().enumerate() {
        assert_eq!(say(&mut main, &format!("SET {key} {owner}")), "OK", "the main port has all keys");
        let slot = say(&mut main, &format!("CLUSTER KEYSLOT {key}"));
        for core in 0..SHARDS {
            let mut client = connect_to(&server, core);
            let moved = format!("-MOVED {slot} 127.0.0.1:{}", port(&server, owner as u16));
            let wanted = |reply: &str| if usize::from(core) == owner { reply.to_owned() } else { moved.clone() };
            assert_eq!(say(&mut client, &format!("GET {key}")), wanted(&owner.to_string()));
            assert_eq!(say(&mut client, &format!("SET {key} {owner}")), wanted("OK"));
            assert_eq!(say(&mut client, &format!("MGET {key} {{{key}}}x")), wanted(&format!("[{owner} nil]")));
            assert_eq!(say(&mut client, &format!("OBJECT ENCODING {key}")), wanted("int"));
            assert_eq!(say(&mut client, &format!("COPY {key} {{{key}}}y REPLACE")), wanted("1"));
        }
    }
}

#[test]
fn pipelines_keep_their_order_around_redirections() {
    let server = cluster(&[]);
    let mut client = connect_to(&server, 0);
    let commands: Vec<Vec<&str>> = (0..200)
        .flat_map(|i| {
            let key = KEYS[i % 3];
            [vec!["INCR", key], vec!["MGET", key, "nokey"], vec!["PING"]]
        })
        .collect();
    let mut own = 0;
    for (i, reply) in client.pipeline(&commands).expect("replies").into_iter().enumerate() {
        let core = i / 3 % 3;
        match (i % 3, core) {
            (0, 0) => {
                own += 1;
                assert_eq!(reply, Value::Int(own));
            }
            (0, core) => {
                let Value::Error(text) = reply else { panic!("{reply}") };
                assert!(
                    text.starts_with("MOVED ") && text.ends_with(&format!(":{}", port(&server, core as u16))),
                    "{text}"
                );
            }
            (1, _) => assert_eq!(reply, Value::Error("CROSSSLOT Keys in request don't hash to the same slot".into())),
            _ => assert_eq!(reply, Value::Simple("PONG".into())),
        }
    }
    let errors = say(&mut client, "INFO errorstats");
    assert!(errors.contains("errorstat_MOVED:count=133\r\n"), "{errors}");
    assert!(errors.contains("errorstat_CROSSSLOT:count=200\r\n"), "{errors}");
    let stats = say(&mut client, "INFO commandstats");
    assert!(stats.contains("cmdstat_mget:calls=0,usec=0,usec_per_call=0.00,rejected_calls=200"), "{stats}");
}

#[test]
fn errors_in_the_order_of_redis() {
    let server = cluster(&["--requirepass", "secret"]);
    let mut client = connect_to(&server, 0);
    assert_eq!(say(&mut client, "GET foo"), "-NOAUTH Authentication required.");
    assert_eq!(say(&mut client, "AUTH secret"), "OK");
    assert_eq!(say(&mut client, "GET"), "-ERR wrong number of arguments for 'get' command");
    assert!(say(&mut client, "GET foo").starts_with("-MOVED 12182 "));
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(say(&mut client, "MGET a b c"), cross);
    assert_eq!(say(&mut client, "MSET key2 1 key3 2"), cross, "both on this core, in two slots");
    assert_eq!(say(&mut client, "MSET {key2}a 1 {key2}b 2"), "OK");
    assert_eq!(say(&mut client, "MSETNX {key2}a 1 {foo}b 2"), cross);
    assert_eq!(say(&mut client, "SELECT 0"), "OK");
    assert_eq!(say(&mut client, "SELECT 1"), "-ERR SELECT is not allowed in cluster mode");
    assert_eq!(say(&mut client, "SELECT 99"), "-ERR SELECT is not allowed in cluster mode");
    assert_eq!(say(&mut client, "SELECT x"), "-ERR value is not an integer or out of range");
    assert_eq!(say(&mut client, "SWAPDB 0 1"), "-ERR SWAPDB is not allowed in cluster mode");
    assert_eq!(say(&mut client, "MOVE {key2}a 1"), "-ERR MOVE is not allowed in cluster mode");
    assert!(say(&mut client, "MOVE foo 1").starts_with("-MOVED 12182 "));
    let other = "-ERR Copying to another database is not allowed in cluster mode";
    assert_eq!(say(&mut client, "COPY {key2}a {key2}b DB 1"), other);
    assert_eq!(say(&mut client, "COPY {key2}a {key2}b DB 16"), "-ERR DB index is out of range");
    assert_eq!(say(&mut client, "COPY {key2}a {key2}b DB 0 REPLACE"), "1");
}

#[test]
fn every_core_is_a_node() {
    let server = cluster(&[]);
    let mut ids = Vec::new();
    for core in 0..SHARDS {
        ids.push(say(&mut connect_to(&server, core), "CLUSTER MYID"));
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(ids.iter().all(|id| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{ids:?}");
    let mut slots = Vec::new();
    let mut shards = Vec::new();
    for (core, id) in ids.iter().enumerate() {
        let (first, last) = slots_of_core(core);
        let port = port(&server, core as u16);
        slots.push(format!("[{first} {last} [127.0.0.1 {port} {id} []]]"));
        shards.push(format!(
            "[slots [{first} {last}] nodes [[id {id} port {port} ip 127.0.0.1 endpoint 127.0.0.1 role master \
             replication-offset 0 health online]]]"
        ));
    }
    for core in 0..SHARDS {
        let mut client = connect_to(&server, core);
        assert_eq!(say(&mut client, "CLUSTER SLOTS"), format!("[{}]", slots.join(" ")));
        assert_eq!(say(&mut client, "CLUSTER SHARDS"), format!("[{}]", shards.join(" ")));
        let lines = say(&mut client, "CLUSTER NODES");
        assert_eq!(lines.lines().count(), 3);
        for (number, line) in lines.lines().enumerate() {
            let flags = if number == usize::from(core) { "myself,master" } else { "master" };
            let (first, last) = slots_of_core(number);
            let port = port(&server, number as u16);
            assert!(line.starts_with(&format!("{} 127.0.0.1:{port}@0 {flags} - 0 ", ids[number])), "{line}");
            assert!(line.ends_with(&format!(" {} connected {first}-{last}", number + 1)), "{line}");
        }
        let text = say(&mut client, "CLUSTER INFO");
        for field in ["cluster_state:ok", "cluster_slots_assigned:16384", "cluster_known_nodes:3", "cluster_size:3"] {
            assert!(text.contains(&format!("{field}\r\n")), "{text}");
        }
        for id in &ids {
            assert_eq!(say(&mut client, &format!("CLUSTER REPLICAS {id}")), "[]");
            assert_eq!(say(&mut client, &format!("CLUSTER SLAVES {id}")), "[]");
            assert_eq!(say(&mut client, &format!("CLUSTER COUNT-FAILURE-REPORTS {id}")), "0");
        }
        assert_eq!(say(&mut client, "CLUSTER REPLICAS x"), "-ERR Unknown node x");
        assert_eq!(say(&mut client, "CLUSTER COUNT-FAILURE-REPORTS x"), "-ERR Unknown node x");
        assert_eq!(say(&mut client, "CLUSTER LINKS"), "[]");
        assert_eq!(say(&mut client, "CLUSTER ADDSLOTS 1"), "-ERR unknown subcommand 'ADDSLOTS'. Try CLUSTER HELP.");
        assert!(say(&mut client, "CLUSTER HELP").starts_with("[CLUSTER <subcommand>"));
    }
}

#[test]
fn maps_in_resp3() {
    let server = cluster(&["--cluster-announce-hostname", "here.example"]);
    let mut client = connect_to(&server, 1);
    let hello = format!("{}", client.hello3().expect("RESP3"));
    assert!(hello.contains("cluster"), "{hello}");
    let (id, port) = (say(&mut client, "CLUSTER MYID"), port(&server, 1));
    let slots = say(&mut client, "CLUSTER SLOTS");
    let wanted = format!("[5462 10922 [127.0.0.1 {port} {id} {{hostname=here.example}}]]");
    assert!(slots.contains(&wanted), "{slots}");
    let shards = say(&mut client, "CLUSTER SHARDS");
    let wanted = format!(
        "{{slots=[5462 10922] nodes=[{{id={id} port={port} ip=127.0.0.1 endpoint=127.0.0.1 hostname=here.example \
         role=master replication-offset=0 health=online}}]}}"
    );
    assert!(shards.contains(&wanted), "{shards}");
    assert!(say(&mut client, "CLUSTER NODES").contains(&format!(":{port}@0,here.example myself,master - 0 0 2 ")));
}

#[test]
fn announced_endpoints() {
    let server = cluster(&["--cluster-announce-ip", "192.0.2.7", "--cluster-announce-port", "7000"]);
    let mut client = connect_to(&server, 0);
    assert_eq!(say(&mut client, "GET foo"), "-MOVED 12182 192.0.2.7:7002");
    assert!(say(&mut client, "CLUSTER NODES").contains(" 192.0.2.7:7001@0 "));
    let mut set = |words: &str| {
        assert_eq!(say(&mut client, &format!("CONFIG SET {words}")), "OK");
        (say(&mut client, "GET foo"), say(&mut client, "CLUSTER SLOTS"))
    };
    let (moved, slots) = set("cluster-preferred-endpoint-type hostname");
    assert_eq!(moved, "-MOVED 12182 ?:7002");
    assert!(slots.contains("[0 5461 [? 7000 ") && slots.contains("[ip 192.0.2.7]"), "{slots}");
    let (moved, slots) = set("cluster-announce-hostname host.one");
    assert_eq!(moved, "-MOVED 12182 host.one:7002");
    assert!(slots.contains("[0 5461 [host.one 7000 ") && slots.contains("[ip 192.0.2.7]"), "{slots}");
    let (moved, slots) = set("cluster-preferred-endpoint-type unknown-endpoint");
    assert_eq!(moved, "-MOVED 12182 :7002");
    assert!(slots.contains("[0 5461 [nil 7000 ") && slots.contains("[ip 192.0.2.7 hostname host.one]"), "{slots}");
    let (moved, _) = set("cluster-announce-port 0 cluster-announce-ip '' cluster-preferred-endpoint-type ip");
    assert_eq!(moved, format!("-MOVED 12182 127.0.0.1:{}", port(&server, 2)));
}

#[test]
fn a_core_port_speaks_for_one_node() {
    let server = cluster(&[]);
    let mut main = connect(&server);
    for number in 0..600 {
        assert_eq!(say(&mut main, &format!("SET k{number} v")), "OK");
    }
    assert_eq!(say(&mut main, "DBSIZE"), "600");
    assert_eq!(info(&mut main, "server", "redis_mode"), "standalone");
    assert_eq!(info(&mut main, "cluster", "cluster_enabled"), "0");
    let (mut keys, mut scanned) = (BTreeSet::new(), BTreeSet::new());
    let mut sizes = Vec::new();
    for core in 0..SHARDS {
        let mut client = connect_to(&server, core);
        assert_eq!(info(&mut client, "server", "redis_mode"), "cluster");
        assert_eq!(info(&mut client, "cluster", "cluster_enabled"), "1");
        let size: usize = say(&mut client, "DBSIZE").parse().expect("a number");
        assert!(info(&mut client, "keyspace", "db0").starts_with(&format!("keys={size},")));
        let Value::Array(found) = client.line("KEYS *").expect("keys") else { panic!("not an array") };
        assert_eq!(found.len(), size);
        for key in &found {
            let key = String::from_utf8_lossy(key.as_bytes().expect("a key")).into_owned();
            assert_eq!(say(&mut client, &format!("EXISTS {key}")), "1", "KEYS shows this core's own");
            assert!(keys.insert(key), "no key is on two cores");
        }
        let random = say(&mut client, "RANDOMKEY");
        assert_eq!(say(&mut client, &format!("EXISTS {random}")), "1");
        let mut cursor = "0".to_owned();
        loop {
            let Value::Array(page) = client.line(&format!("SCAN {cursor} COUNT 50")).expect("a page") else {
                panic!("not an array")
            };
            cursor = String::from_utf8_lossy(page[0].as_bytes().expect("a cursor")).into_owned();
            for key in page[1].as_array().expect("keys") {
                scanned.insert(String::from_utf8_lossy(key.as_bytes().expect("a key")).into_owned());
            }
            if cursor == "0" {
                break;
            }
        }
        sizes.push(size);
    }
    assert_eq!((keys.len(), &scanned), (600, &keys));
    assert_eq!(say(&mut connect_to(&server, 1), "FLUSHALL"), "OK");
    assert_eq!(say(&mut main, "DBSIZE"), (600 - sizes[1]).to_string(), "FLUSHALL empties the one node");
    assert_eq!(say(&mut connect_to(&server, 2), "FLUSHDB SYNC"), "OK");
    assert_eq!(say(&mut main, "DBSIZE"), sizes[0].to_string());
}

#[test]
fn keys_in_a_slot() {
    let server = cluster(&[]);
    let mut main = connect(&server);
    for number in 0..3000 {
        assert_eq!(say(&mut main, &format!("SET {{foo}}{number} v")), "OK");
        assert_eq!(say(&mut main, &format!("SET other{number} v")), "OK");
    }
    assert_eq!(say(&mut main, "SELECT 1"), "OK");
    assert_eq!(say(&mut main, "SET {foo}elsewhere v"), "OK", "slots are counted in the first database");
    let mut owner = connect_to(&server, 2);
    let mut stranger = connect_to(&server, 0);
    for client in [&mut main, &mut owner] {
        assert_eq!(say(client, "CLUSTER COUNTKEYSINSLOT 12182"), "3000");
        let Value::Array(keys) = client.line("CLUSTER GETKEYSINSLOT 12182 5000").expect("keys") else {
            panic!("not an array")
        };
        let keys: BTreeSet<_> = keys.iter().map(|key| key.as_bytes().expect("a key").to_vec()).collect();
        assert_eq!(keys.len(), 3000);
        assert!(keys.iter().all(|key| key.starts_with(b"{foo}")));
        let Value::Array(keys) = client.line("CLUSTER GETKEYSINSLOT 12182 7").expect("keys") else {
            panic!("not an array")
        };
        assert_eq!(keys.len(), 7);
        assert_eq!(say(client, "CLUSTER GETKEYSINSLOT 12182 0"), "[]");
        assert_eq!(say(client, "CLUSTER COUNTKEYSINSLOT 16384"), "-ERR Invalid slot");
        assert_eq!(say(client, "CLUSTER COUNTKEYSINSLOT -1"), "-ERR Invalid slot");
        assert_eq!(say(client, "CLUSTER COUNTKEYSINSLOT x"), "-ERR value is not an integer or out of range");
        let refused = "-ERR Invalid slot or number of keys";
        assert_eq!(say(client, "CLUSTER GETKEYSINSLOT 16384 1"), refused);
        assert_eq!(say(client, "CLUSTER GETKEYSINSLOT 1 -1"), refused);
        assert_eq!(say(client, "CLUSTER GETKEYSINSLOT 1 x"), "-ERR value is not an integer or out of range");
    }
    assert_eq!(say(&mut stranger, "CLUSTER COUNTKEYSINSLOT 12182"), "0", "another core's slot");
    assert_eq!(say(&mut stranger, "CLUSTER GETKEYSINSLOT 12182 10"), "[]");
}

#[test]
fn the_main_port_tells_the_same() {
    let server = options().core_ports().unix_socket().start().unwrap_or_else(|error| panic!("{error}"));
    let mut core = connect_to(&server, 0);
    let unix = server.unix_address().expect("a unix socket");
    let mut unix = Client::connect(&unix).unwrap_or_else(|error| panic!("{error}"));
    let mut main = connect(&server);
    assert_eq!(info(&mut core, "server", "redis_mode"), "cluster");
    assert_eq!(info(&mut core, "cluster", "cluster_enabled"), "1");
    assert_eq!(info(&mut main, "server", "redis_mode"), "standalone");
    assert_eq!(info(&mut main, "cluster", "cluster_enabled"), "0");
    let slots = say(&mut core, "CLUSTER SLOTS");
    for client in [&mut main, &mut unix] {
        assert_eq!(say(client, "CLUSTER SLOTS"), slots);
        assert_eq!(say(client, "CLUSTER NODES").matches("myself").count(), 1);
        assert_eq!(say(client, "MSET key2 1 c 2 foo 3"), "OK");
        assert_eq!(say(client, "SELECT 1"), "OK");
    }
}

#[test]
fn readonly_and_asking() {
    let server = cluster(&[]);
    let mut client = connect_to(&server, 0);
    let flags = |client: &mut Client| {
        let line = say(client, "CLIENT INFO");
        line.split(' ').find_map(|word| word.strip_prefix("flags=")).map(str::to_owned)
    };
    assert_eq!(say(&mut client, "READONLY"), "OK");
    assert_eq!(flags(&mut client).as_deref(), Some("r"));
    assert_eq!(say(&mut client, "READWRITE"), "OK");
    assert_eq!(flags(&mut client).as_deref(), Some("N"));
    assert_eq!(say(&mut client, "READONLY"), "OK");
    assert_eq!(say(&mut client, "RESET"), "RESET");
    assert_eq!(flags(&mut client).as_deref(), Some("N"));
    assert!(say(&mut client, "GET foo").starts_with("-MOVED"), "RESET does not make it another port");
    assert_eq!(say(&mut client, "ASKING"), "OK");
    assert!(say(&mut client, "GET foo").starts_with("-MOVED"));
}

#[test]
fn without_core_ports_there_is_no_cluster() {
    let server = start(&[]);
    let mut client = connect(&server);
    let disabled = "-ERR This instance has cluster support disabled";
    for command in [
        "CLUSTER INFO",
        "CLUSTER NODES",
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER MYID",
        "CLUSTER LINKS",
        "CLUSTER HELP",
        "CLUSTER KEYSLOT foo",
        "CLUSTER COUNTKEYSINSLOT x",
        "CLUSTER GETKEYSINSLOT x y",
        "CLUSTER REPLICAS x",
        "READONLY",
        "READWRITE",
        "ASKING",
    ] {
        assert_eq!(say(&mut client, command), disabled, "{command}");
    }
    assert_eq!(say(&mut client, "CLUSTER KEYSLOT"), "-ERR wrong number of arguments for 'cluster|keyslot' command");
    assert_eq!(say(&mut client, "CLUSTER nosuch"), "-ERR unknown subcommand 'nosuch'. Try CLUSTER HELP.");
    assert_eq!(say(&mut client, "CLUSTER"), "-ERR wrong number of arguments for 'cluster' command");
}

#[test]
fn core_ports_follow_bind() {
    let server = cluster(&["--protected-mode", "no"]);
    let mut main = connect(&server);
    let elsewhere = |core| {
        let address: SocketAddr = ([127, 0, 0, 2], port(&server, core)).into();
        Client::connect(&Address::Tcp(address))
    };
    assert!(elsewhere(1).is_err());
    let refused = format!("CONFIG SET port {}", port(&server, 1));
    let answer = say(&mut main, &refused);
    assert_eq!(
        answer,
        "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(say(&mut main, "CONFIG SET bind '127.0.0.1 127.0.0.2'"), "OK");
    for core in 0..SHARDS {
        let mut client = elsewhere(core).unwrap_or_else(|error| panic!("{error}"));
        let slots = say(&mut client, "CLUSTER SLOTS");
        assert!(slots.contains(&format!("[127.0.0.2 {} ", port(&server, core))), "{slots}");
        let other = KEYS[(usize::from(core) + 1) % 3];
        assert!(say(&mut client, &format!("GET {other}")).contains(" 127.0.0.2:"), "still a core's own port");
    }
    assert_eq!(say(&mut main, "CONFIG SET bind 127.0.0.1"), "OK");
    eventually("the addresses are given up", || elsewhere(2).is_err());
    assert!(say(&mut connect_to(&server, 2), "GET key2").starts_with("-MOVED"));
}
