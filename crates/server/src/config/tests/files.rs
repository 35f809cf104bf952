//! Whole files: reading them, rewriting them, and `config/pinyon.conf`.

use std::path::Path;

use super::super::directives::{self, SECTIONS};
use super::super::load::{Fault, fatal_text};
use super::super::rewrite::rewritten;
use super::super::*;
use super::{Folder, fault, get, load_text, set};

#[test]
fn files_are_read() {
    let text = "# a comment\n  PORT 7000 \n\nmaxmemory\t100mb\nrequirepass \"a b\\x21\"\nsave 900 1\nsave 300 10\nsave 60 5 30 2\nappendfilename x.aof\n\
                rename-command FLUSHALL \"\"\nrename-command get Fetch\nclient-output-buffer-limit normal 1mb 2mb 3\r\n";
    let loaded = load_text(text).unwrap();
    let config = &loaded.config;
    assert_eq!((config.port, config.maxmemory, config.requirepass.as_str()), (7000, 100 << 20, "a b!"));
    assert_eq!(get(config, "save"), "900 1 300 10 60 5 30 2");
    assert_eq!(config.renamed_commands, [("flushall".into(), "".into()), ("get".into(), "Fetch".into())]);
    assert_eq!(
        config.client_output_buffer_limit.normal,
        OutputLimit { hard_bytes: 1 << 20, soft_bytes: 2 << 20, soft_seconds: 3 }
    );
    assert_eq!(config.client_output_buffer_limit.pubsub.soft_seconds, 60);
    assert_eq!((loaded.directives, loaded.without_effect.len()), (10, 1));
}

#[test]
fn later_sources_win() {
    let folder = Folder::new("sources");
    let file = folder.write("main.conf", "port 1\ntimeout 1\nmaxclients 1\nsave 900 1\n");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let options = Options {
        file: Some(file.clone()),
        stdin: Some("timeout 2\nmaxclients 2".to_owned()),
        directives: vec![("maxclients".into(), words(&["3"])), ("save".into(), words(&["100", "100"]))],
    };
    let loaded = load(&options).unwrap();
    let config = &loaded.config;
    assert_eq!((config.port, config.timeout, config.maxclients), (1, 2, 3));
    assert_eq!(get(config, "save"), "900 1 100 100");
    assert_eq!(loaded.file, Some(file));
}

#[test]
fn includes_are_read_in_place() {
    let folder = Folder::new("include");
    folder.write("b.inc", "port 2\ntimeout 2");
    folder.write("a.inc", "port 1");
    folder.write(".c.inc", "port 3");
    let at = folder.0.display();
    let main = folder.write("main.conf", &format!("include {at}/*.inc\ntimeout 5\ninclude {at}/none*.inc\n"));
    let config = load(&Options { file: Some(main.clone()), ..Options::default() }).unwrap().config;
    assert_eq!((config.port, config.timeout), (2, 5));

    let missing = folder.write("missing.conf", &format!("port 1\ninclude {at}/nosuch.inc\n"));
    let problems = load(&Options { file: Some(missing.clone()), ..Options::default() }).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        format!("{}:2: can't open config file '{at}/nosuch.inc': No such file or directory", missing.display())
    );

    std::fs::write(&main, format!("include {}\n", main.display())).unwrap();
    let problems = load(&Options { file: Some(main), ..Options::default() }).unwrap_err();
    assert_eq!(problems[0].fault, Fault::IncludeDepth);
}

#[test]
fn faults_in_files() {
    assert_eq!(fault("foo bar"), "Bad directive or wrong number of arguments");
    assert_eq!(fault("maxmemroy 1"), "Bad directive or wrong number of arguments; did you mean 'maxmemory'?");
    assert_eq!(fault("port"), "wrong number of arguments");
    assert_eq!(fault("port 1 2"), "wrong number of arguments");
    assert_eq!(fault("unixsocketperm 999"), "argument couldn't be parsed as an octal number");
    assert_eq!(fault("unixsocketperm 1777"), "argument must be between 0 and 777 inclusive");
    assert_eq!(fault("requirepass \"abc"), "Unbalanced quotes in configuration line");
    assert_eq!(fault("sentinel monitor a"), "sentinel directive while not in sentinel mode");
    assert_eq!(fault("rename-command FLUSHALL"), "Bad directive or wrong number of arguments");
    assert_eq!(fault("appendfilename \"\""), "appendfilename can't be empty");
    assert_eq!(fault("replicaof a b"), "Invalid master port");
    assert_eq!(
        fault("replicaof a 1"),
        "'replicaof' can't be honoured: this version does not replicate. Remove it to start without"
    );
    assert!(fault("user default off").contains("requirepass"));
    assert!(fault("cluster-enabled yes").contains("cluster"));
    assert!(fault("port 0").starts_with("Configured to not listen anywhere"));
    assert!(load_text("port 0\nunixsocket /tmp/x.sock").is_ok());
    assert!(load_text("replicaof no one\ncluster-enabled no\naclfile \"\"\ntls-port 0").is_ok());
}

#[test]
fn all_faults_are_named_with_their_place() {
    let folder = Folder::new("faults");
    let file = folder.write("bad.conf", "port 1\nnosuch 1\n\ntimeout x\nrequirepass \"a\" \"b\"\n");
    let problems = load(&Options { file: Some(file.clone()), ..Options::default() }).unwrap_err();
    let at = file.display();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("{at}:2: nosuch 1: Bad directive or wrong number of arguments"),
            format!("{at}:4: timeout x: argument couldn't be parsed into an integer"),
            format!("{at}:5: requirepass ... ...: wrong number of arguments"),
        ]
    );
    let text = fatal_text(&problems);
    assert!(text.starts_with("\n*** FATAL CONFIG FILE ERROR (Pinyon "), "{text}");
    assert!(text.contains(&format!("Reading the configuration file {at}, at line 4\n>>> 'timeout x'\n")), "{text}");
}

/// The file that Debian's package installs: what distributions ship must be read.
#[test]
fn redis_conf_of_7_0_is_read_with_one_warning() {
    let Ok(text) = std::fs::read_to_string("/etc/redis/redis.conf") else {
        eprintln!("skipped: no /etc/redis/redis.conf here (apt-get install redis-server)");
        return;
    };
    // Its folder exists only where the package is installed and the user may look.
    let text: String = text.lines().filter(|line| !line.starts_with("dir ")).flat_map(|line| [line, "\n"]).collect();
    let loaded = load_text(&text).unwrap_or_else(|problems| panic!("{}", fatal_text(&problems)));
    let warning = loaded.warning().unwrap();
    assert!(warning.starts_with("These directives have no effect:\n"), "{warning}");
    for name in ["daemonize", "appendfilename", "replica-read-only", "oom-score-adj"] {
        assert!(warning.contains(name), "{warning}");
    }
    for name in ["maxclients", "port", "bind", "timeout", "hz"] {
        assert!(!warning.contains(&format!(" {name}")), "{warning}");
    }
    assert_eq!(get(&loaded.config, "bind"), "127.0.0.1 -::1");
}

#[test]
fn near_names_are_suggested() {
    assert_eq!(directives::nearest("maxmemory_policy"), Some("maxmemory-policy"));
    assert_eq!(directives::nearest("prot"), Some("port"));
    assert_eq!(directives::nearest("xyz"), None);
}

// ---------------------------------------------------------------------------------------------------------- rewrite

const OLD: &str = "# comment A\nport 7000\nmaxmemory 100mb\n   maxmemory-policy   allkeys-lru\nsave 900 1\nsave 300 10\n# mid\n\
                   hash-max-ziplist-value 99\ntimeout 0\nclient-output-buffer-limit normal 1mb 1mb 1\nrename-command FLUSHALL \"\"\n";

#[test]
fn rewriting_without_changes_changes_nothing() {
    let mut config = load_text(OLD).unwrap().config;
    config.dir = PathBuf::from("/");
    let old = format!("{OLD}dir /\n");
    assert_eq!(rewritten(&config, &old), old);
}

#[test]
fn rewriting_replaces_in_place_and_appends_the_rest() {
    let old = format!("{OLD}dir /\n");
    let config = load_text(&old).unwrap().config;
    let changes = [
        ("maxmemory", "200000000"),
        ("save", "60 5 30 2 20 1"),
        ("hash-max-listpack-value", "12"),
        ("requirepass", "a\"b"),
        ("client-output-buffer-limit", "pubsub 1mb 2kb 9"),
        ("proto-max-bulk-len", "1048576"),
        ("latency-tracking-info-percentiles", ""),
    ];
    let config = set(&config, &changes).unwrap();
    let new = rewritten(&config, &old);
    let expected = "# comment A\nport 7000\nmaxmemory 200000000\n   maxmemory-policy   allkeys-lru\nsave 60 5\nsave 30 2\nsave 20 1\n\
        # mid\nhash-max-listpack-value 12\ntimeout 0\nclient-output-buffer-limit normal 1mb 1mb 1\n\
        client-output-buffer-limit replica 256mb 64mb 60\nclient-output-buffer-limit pubsub 1mb 2kb 9\n\
        rename-command FLUSHALL \"\"\ndir /\n\n# Generated by CONFIG REWRITE\nrequirepass \"a\\\"b\"\nproto-max-bulk-len 1mb\n\
        latency-tracking-info-percentiles \"\"\n";
    assert_eq!(new, expected);
    assert_eq!(load_text(&new).unwrap().config, config);
    // Once more changes nothing, and what is appended later stands under the same marker.
    assert_eq!(rewritten(&config, &new), new);
    let config = set(&config, &[("save", ""), ("timeout", "5"), ("slowlog-max-len", "7")]).unwrap();
    let third = rewritten(&config, &new);
    assert_eq!(third.matches("# Generated by CONFIG REWRITE").count(), 1);
    assert!(third.contains("save \"\"\n# mid") && third.ends_with("slowlog-max-len 7\n"), "{third}");
    assert_eq!(load_text(&third).unwrap().config, config);
}

#[test]
fn rewriting_writes_the_file() {
    let folder = Folder::new("rewrite");
    let file = folder.write("pinyon.conf", OLD);
    let config = load(&Options { file: Some(file.clone()), ..Options::default() }).unwrap().config;
    let config = set(&config, &[("timeout", "9")]).unwrap();
    config_rewrite(&config, &file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\ntimeout 9\n") && text.contains("\ndir \"/"), "{text}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no other file stays behind");
    let missing = folder.0.join("nosuch/pinyon.conf");
    assert_eq!(config_rewrite(&config, &missing), Err("No such file or directory".to_owned()));
}

// ------------------------------------------------------------------------------------------------------ pinyon.conf

#[test]
fn pinyon_conf_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/pinyon.conf");
    let text = commented::pinyon_conf();
    if std::env::var_os("PINYON_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is stale: PINYON_BLESS=1 cargo test -p pinyon-server pinyon_conf", path.display());
}

#[test]
fn pinyon_conf_shows_every_default() {
    let text = commented::pinyon_conf();
    assert_eq!(load_text(&text).unwrap().directives, 0);
    let uncommented: String = text
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())))
        .flat_map(|line| [line, "\n"])
        .collect();
    let loaded = load_text(&uncommented).unwrap_or_else(|problems| panic!("{}", fatal_text(&problems)));
    assert_eq!(loaded.config, Config::default());
    for row in SECTIONS.iter().flat_map(|section| section.rows).filter(|row| !row.hidden) {
        let line = format!("{} ", row.name);
        assert!(uncommented.lines().any(|text| text.starts_with(&line)), "{}", row.name);
    }
}
