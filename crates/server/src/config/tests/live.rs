//! CONFIG GET and CONFIG SET, with the answers of redis-server 7.0.15.

use super::super::directive::Mutability;
use super::super::*;
use super::{get, row, set};

/// As redis-server 7.0.15 answers.
#[test]
fn set_errors_are_redis_texts() {
    let config = Config { enable_protected_configs: Allow::Yes, ..Config::default() };
    for (name, value, reason) in [
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        ("lazyfree-lazy-expire", "", "argument must be 'yes' or 'no'"),
        ("hz", "010", "argument couldn't be parsed into an integer"),
        ("hz", "99999999999999999999", "argument couldn't be parsed into an integer"),
        ("maxmemory-samples", "0", "argument must be between 1 and 2147483647 inclusive"),
        ("slowlog-log-slower-than", "-2", "argument must be between -1 and 9223372036854775807 inclusive"),
        ("maxclients", "-9223372036854775807", "argument must be between 1 and 4294967295 inclusive"),
        ("port", "65536", "argument must be between 0 and 65535 inclusive"),
        ("maxmemory", "1t", "argument must be a memory value"),
        ("client-query-buffer-limit", "1023", "argument must be between 1048576 and 9223372036854775807 inclusive"),
        ("maxmemory-clients", "05%", "argument must be a memory or percent value"),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("appendfsync", "never", "argument(s) must be one of the following: everysec, always, no"),
        ("loglevel", "loud", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"),
        ("save", "900", "Invalid save parameters"),
        ("save", "900 1 ", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        ("client-output-buffer-limit", "normal 0 0", "Wrong number of arguments in buffer limit configuration."),
        ("client-output-buffer-limit", "master 0 0 0", "Invalid client class specified in buffer limit configuration."),
        (
            "client-output-buffer-limit",
            "normal 1 1 -1",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        ("notify-keyspace-events", "KEQ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("latency-tracking-info-percentiles", "50 a", "Invalid latency-tracking-info-percentiles parameters"),
        (
            "latency-tracking-info-percentiles",
            "101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        ("oom-score-adj-values", "-2001 0 0", "Invalid oom-score-adj-values, elements must be between -2000 and 2000."),
        ("shutdown-on-sigterm", "save nosave", "shutdown options SAVE and NOSAVE can't be used simultaneously"),
        ("shutdown-on-sigterm", "", "argument(s) must be one of the following: default, save, nosave, now, force"),
        ("dbfilename", "a/b", "dbfilename can't be a path, just a filename"),
        ("dir", "/nonexistent", "No such file or directory"),
        ("dir", "/etc/passwd", "Not a directory"),
        ("cluster-announce-hostname", "a_b", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
        ("proc-title-template", "{x}", "template format is invalid or contains unknown variables"),
        ("daemonize", "yes", "can't set immutable config"),
        ("databases", "16", "can't set immutable config"),
        ("bind", "a a a a a a a a a a a a a a a a a", "Too many bind addresses specified."),
    ] {
        let full = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        assert_eq!(set(&config, &[(name, value)]), Err(full), "{name} {value}");
    }
}

#[test]
fn set_names_the_argument_that_is_wrong() {
    let config = Config::default();
    let failed = |name: &str, reason: &str| Err(set_failed(name, reason));
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'".to_owned();
    assert_eq!(set(&config, &[("maxmemory", "zz"), ("nosuch", "1")]), Err(unknown));
    // Names and duplicates are looked at before any value is.
    assert_eq!(set(&config, &[("maxmemory", "zz"), ("maxmemory", "1")]), failed("maxmemory", "duplicate parameter"));
    assert_eq!(set(&config, &[("maxmemory", "1"), ("MAXMEMORY", "1")]), failed("MAXMEMORY", "duplicate parameter"));
    assert_eq!(
        set(&config, &[("daemonize", "no"), ("nosuch", "1")]),
        failed("daemonize", "can't set immutable config")
    );
    // A name is spelled as the row spells it, and an alias stays one.
    assert_eq!(set(&config, &[("MaxMemory", "zz")]), failed("maxmemory", "argument must be a memory value"));
    let reason = "argument couldn't be parsed into an integer";
    assert_eq!(set(&config, &[("hash-max-ZIPLIST-entries", "zz")]), failed("hash-max-ziplist-entries", reason));
}

#[test]
fn set_is_all_or_nothing() {
    let config = Config::default();
    let pairs = [("maxmemory", "10000001"), ("maxmemory-clients", "200%"), ("client-query-buffer-limit", "invalid")];
    let text = "ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - \
                percentage argument must be less or equal to 100";
    assert_eq!(set(&config, &pairs), Err(text.to_owned()));
    let new = set(&config, &[("maxmemory", "10mb"), ("repl-backlog-size", "10000002"), ("save", "3000 5")]).unwrap();
    assert_eq!((new.maxmemory, config.maxmemory), (10 << 20, 0));
    assert_eq!((get(&new, "repl-backlog-size"), get(&new, "save")), ("10000002".into(), "3000 5".into()));
    let names: Vec<&str> = config.changed(&new).map(|row| row.name).collect();
    assert_eq!(names, ["maxmemory", "save", "repl-backlog-size"]);
}

#[test]
fn set_everything_to_what_it_is() {
    let config = Config::default();
    let mut new = config.clone();
    for (name, value) in config_get(&config, &[b"*"]) {
        let immutable = row(&name).mutability != Mutability::Live && !row(&name).own;
        match set(&new, &[(&name, &value)]) {
            Ok(changed) => new = changed,
            Err(e) => assert!(immutable, "{name} {value:?}: {e}"),
        }
    }
    assert_eq!(new, config);
}

#[test]
fn own_directives_that_are_fixed_refuse_another_value_only() {
    let config = Config::default();
    assert_eq!(set(&config, &[("shards", "0"), ("pin", "YES")]), Ok(config.clone()));
    assert_eq!(set(&config, &[("shards", "3")]), Err(set_failed("shards", "can't set immutable config")));
}

#[test]
fn protected_directives_ask_who_is_there() {
    let try_set = |allow, local| {
        let config = Config { enable_protected_configs: allow, ..Config::default() };
        config_set(&config, &[(b"dbfilename", b"other.rdb")], local)
    };
    assert_eq!(try_set(Allow::No, true), Err(set_failed("dbfilename", "can't set protected config")));
    assert_eq!(try_set(Allow::Local, false), Err(set_failed("dbfilename", "can't set protected config")));
    assert!(try_set(Allow::Local, true).is_ok() && try_set(Allow::Yes, false).is_ok());
}

#[test]
fn values_are_printed_as_redis_prints_them() {
    let mut config = Config::default();
    for (name, value, printed) in [
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "KExg", "gxKE"),
        ("notify-keyspace-events", "KEmn", "nKEm"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "0%", "0"),
        ("hz", "600", "500"),
        ("hz", "0", "1"),
        ("loglevel", "WARNING", "warning"),
        ("latency-tracking-info-percentiles", "5e1 99.9999999 12.3456789 1e-5", "50 100 12.345679 0.00001"),
        ("latency-tracking-info-percentiles", "", ""),
        ("shutdown-on-sigint", "default now nosave", "nosave now"),
        (
            "client-output-buffer-limit",
            "replica 1mb 2kb 3",
            "normal 0 0 0 slave 1048576 2048 3 pubsub 33554432 8388608 60",
        ),
        ("save", "", ""),
        ("maxmemory", "99999999999999999999", "18446744073709551615"),
    ] {
        config = set(&config, &[(name, value)]).unwrap();
        assert_eq!(get(&config, name), printed, "{name} {value}");
    }
}

#[test]
fn get_takes_patterns() {
    let config = Config::default();
    let names = |patterns: &[&[u8]]| -> Vec<String> {
        config_get(&config, patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[b"*of"]), ["replicaof", "slaveof"]);
    assert_eq!(names(&[b"maxmemory", b"MAXMEMORY-S*", b"[m]axmemory"]), ["maxmemory", "maxmemory-samples"]);
    assert_eq!(names(&[b"HZ", b"hz", b"nosuch"]), ["HZ"]);
    assert!(!names(&[b"*"]).contains(&"key-load-delay".to_owned()));
    assert_eq!(names(&[b"key-load-delay"]), ["key-load-delay"]);
}

/// 7.0.15's CONFIG GET * has 192 names; ours has all of them.
#[test]
fn get_knows_names_of_redis() {
    let config = Config::default();
    let names = config_get(&config, &[b"*"]).len();
    assert!(names >= 192, "{names}");
    for (name, value) in
        [("bind", "* -::*"), ("save", "3600 1 300 100 60 10000"), ("unixsocketperm", "0"), ("replicaof", "")]
    {
        assert_eq!(get(&config, name), value);
    }
}

#[test]
fn unavailable_things_are_refused() {
    let config = Config::default();
    assert_eq!(set(&config, &[("tls-port", "0")]), Ok(config.clone()));
    assert_eq!(set(&config, &[("tls-port", "1")]), Err(set_failed("tls-port", "this version has no TLS")));
    assert!(set(&config, &[("activedefrag", "yes")]).is_err());
    assert!(set(&config, &[("appendonly", "yes")]).is_ok());
}
