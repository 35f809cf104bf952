//! The harness of scripts/bench-peers as a whole: the report out of canned records, and a campaign with a stand-in for the
//! load generator against real servers. Figures are never judged here, only what becomes of them.

#[path = "peers/canned.rs"]
mod canned;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinyon_bench::peers::record::{self, Record};
use pinyon_bench::peers::report::{self, losses, plots};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn the_page_has_ratios_promises_losses_and_reasons() {
    let records = canned::records();
    let page = report::page(&records, &plots(&records));
    for piece in [
        "# Pinyon beside its peers, 2026-01-02 (full run)",
        "Some Processor, 2 cores, 8 GiB, a virtual machine; Some System, Linux 6.1",
        "valkey 9.1.2",
        // Throughput and CPU of Pinyon over valkey's, and over those of redis, whose rounds were all disturbed.
        "| GET, unpipelined | 150 k/s, 4.00 µs | 1.50× / 0.50× | 3.00× / 0.25× † |",
        "| Memory: 8-byte strings | 40.0 B | 0.50× | 2.00× |",
        "| GET, unpipelined: CPU per operation, unpipelined | 4.00 µs | 8.00 µs | 0.50× | 0.80× | yes |",
        "| Open loop: GET: open-loop p99.9 at 70 % of valkey's peak | 900 µs | 1.00 ms | 0.90× | 0.70× | **no** |",
        "| Memory: 8-byte strings | redis | bytes per key | 40.0 | 20.0 | 2.00× | it packs bits |",
        "- **pinyon**: pinyon does not know ZADD yet (Leaderboard).",
        "- **dragonfly** altogether: no path to its binary was given.",
        "the server's cores (server 100 %, generator 99 %)",
        "- pinyon, round 1: save begins at 1.0 s, save ends (ok) at 2.5 s",
        "2 of 14 rounds had steal time or other load; 1 were repeated",
        "![Memory per key](plots/memory-per-key.svg)",
        "valkey-server-9 --port PORT --save \"\"",
    ] {
        assert!(page.contains(piece), "the page lacks {piece:?}:\n{page}");
    }
    let all = report::Results::all(&records);
    let losses = losses(&all);
    let named: Vec<(&str, &str)> = losses.iter().map(|loss| (loss.peer.as_str(), loss.what)).collect();
    assert_eq!(named, [("redis", "bytes per key")]);
}

#[test]
fn the_section_for_the_readme_says_what_is_lost_and_what_is_missing() {
    let section = report::section(&canned::records());
    for piece in [
        "| GET, unpipelined | 150 k/s | 4.00 µs | 1.50×, CPU 0.50× | 3.00×, CPU 0.25× | – |",
        "| Memory: 8-byte strings | 40.0 B/key | 0.50× | 2.00× | – |",
        "- Memory: 8-byte strings: bytes per key 40.0 to redis's 20.0 (2.00 times worse); it packs bits.",
        "**Not measured of Pinyon**: Leaderboard (pinyon does not know ZADD yet).",
    ] {
        assert!(section.contains(piece), "the section lacks {piece:?}:\n{section}");
    }
}

#[test]
fn plots_are_well_formed_and_show_every_server() {
    let plots = plots(&canned::records());
    let files: Vec<&str> = plots.iter().map(|plot| plot.file.as_str()).collect();
    assert_eq!(
        files,
        [
            "cpu-per-operation.svg",
            "throughput.svg",
            "memory-per-key.svg",
            "latency-open-get-p1.svg",
            "over-time-snapshot.svg",
            "cores-cores-get.svg"
        ]
    );
    for plot in &plots {
        well_formed(&plot.svg).unwrap_or_else(|error| panic!("{}: {error}\n{}", plot.file, plot.svg));
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"), "{}", plot.file);
        for word in ["pinyon", "valkey", "prefers-color-scheme: dark"] {
            assert!(plot.svg.contains(word), "{} does not show {word}", plot.file);
        }
    }
    let folder = folder("plots");
    report::write(&folder, &canned::records()).expect("written");
    assert!(folder.join("report.md").exists() && folder.join("plots/memory-per-key.svg").exists());
}

/// Tags are closed in order, attributes are quoted, and no character stands that XML does not allow there.
fn well_formed(text: &str) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        if rest[..at].contains("& ") {
            return Err(format!("a bare & in {:?}", &rest[..at]));
        }
        let end = rest[at..].find('>').ok_or("a tag without end")? + at;
        let tag = &rest[at + 1..end];
        if tag.matches('"').count() % 2 == 1 || tag.contains('<') {
            return Err(format!("quotes do not match in <{tag}>"));
        }
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            let last = open.pop();
            if last.as_deref() != Some(&name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

#[test]
fn malformed_pictures_are_told() {
    for text in ["<a><b></a></b>", "<a x=\"1></a>", "<a>", "<a>x & y</a>"] {
        assert!(well_formed(text).is_err(), "{text}");
    }
    assert_eq!(well_formed("<a x=\"1\"><b/>t</a>"), Ok(()));
}

#[test]
fn records_survive_their_file() {
    let folder = folder("records");
    let mut journal = record::Journal::create(&folder).expect("a journal");
    for record in canned::records() {
        journal.add(record).expect("added");
    }
    let read = record::read(&folder).expect("read");
    // The last digit of a fraction may differ, what is said of it does not.
    assert_eq!(read.len(), canned::records().len());
    assert_eq!(report::page(&read, &plots(&read)), report::page(&canned::records(), &plots(&canned::records())));
    fs::write(folder.join("raw.jsonl"), "{\"type\":\"begin\"\n").expect("written");
    assert!(record::read(&folder).is_err_and(|error| error.contains("raw.jsonl:1: ")));
}

// --------------------------------------------------------------------------------------------------- a real campaign

fn redis_server() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn path_of(program: &str) -> PathBuf {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh");
    PathBuf::from(String::from_utf8_lossy(&found.stdout).trim())
}

/// Runs pinyon-peers with the stand-in for pinyon-bench, redis-server in the places of redis and of valkey.
fn campaign(name: &str, workloads: &[(&str, &str)]) -> (Output, PathBuf) {
    let folder = folder(name);
    let files = folder.join("workloads");
    fs::create_dir_all(&files).expect("a folder");
    for (file, text) in workloads {
        fs::write(files.join(format!("{file}.txt")), text).expect("written");
    }
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/stand-in-generator");
    let redis = path_of(&redis_server());
    let out = folder.join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon-peers"))
        .arg("run")
        .args(["--workloads".as_ref(), files.as_os_str(), "--out".as_ref(), out.as_os_str()])
        .args(["--scratch".as_ref(), folder.join("scratch").as_os_str()])
        .args(["--generator".as_ref(), generator.as_os_str()])
        .args(["--redis".as_ref(), redis.as_os_str(), "--valkey".as_ref(), redis.as_os_str()])
        .args(["--rounds", "2"])
        .output()
        .expect("pinyon-peers");
    (output, out)
}

#[test]
fn a_campaign_alternates_leaves_out_and_reports() {
    let closed =
        "@title One\n@about a\n@kind closed\n@needs SET\n@prepare command 1 SET a b\nseed 1\ncommand 1 SET a b\n";
    let unknown = "@title Two\n@about b\n@kind closed\n@needs SET FROBNICATE\nseed 1\ncommand 1 FROBNICATE\n";
    let failing = "@title Three\n@about c\n@kind closed\n@needs SET\nseed 1\nlabel fail\ncommand 1 SET a b\n";
    let paced = "@title Four\n@about d\n@kind open\n@peak-share 0.5\n@needs SET\nseed 1\ncommand 1 SET a b\n";
    let lost = "@title Five\n@about e\n@kind closed\n@needs SET\n@needs-durable yes\nseed 1\ncommand 1 SET a b\n";
    let workloads = [("1", closed), ("2", unknown), ("3", failing), ("4", paced), ("5", lost)];
    let (output, out) = campaign("campaign", &workloads);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let records = record::read(&out).expect("records");

    // Without its repetitions, the order of rounds is A B A B, and the stand-in's figures arrive.
    let rounds = records.iter().filter_map(|one| match one {
        Record::Round(round) if round.workload == "1" => Some(round),
        _ => None,
    });
    let mut order: Vec<(usize, &str)> = rounds.clone().map(|round| (round.round, round.server.as_str())).collect();
    order.dedup();
    assert_eq!(order, [(1, "valkey"), (1, "redis"), (2, "valkey"), (2, "redis")], "{said}");
    assert!(rounds.clone().all(|round| round.load.ops_per_s == 1000.0 && round.command_line.contains("--save \"\"")));
    assert!(rounds.clone().all(|round| !round.command_line.contains(&out.display().to_string())));

    let left_out = |name: &str| {
        let of = records.iter().filter_map(|one| match one {
            Record::LeftOut(left_out) if left_out.workload == name => Some(left_out.reason.clone()),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    assert_eq!(left_out("2"), ["valkey does not know FROBNICATE yet", "redis does not know FROBNICATE yet"]);
    assert_eq!(left_out("3").len(), 2, "{said}");
    assert!(left_out("3").iter().all(|reason| reason.contains("no such luck")), "{:?}", left_out("3"));
    assert!(left_out("5").iter().all(|reason| reason.contains("keeps nothing on disk")), "{:?}", left_out("5"));

    // Half of the 1000 a second that the stand-in always has.
    let described = records.iter().find_map(|one| match one {
        Record::Workload(workload) if workload.name == "4" => Some(workload.clone()),
        _ => None,
    });
    let described = described.expect("the open loop");
    assert!(
        described.options.contains("rate 500") && described.about.contains("500 of 1000 a second"),
        "{described:?}"
    );

    let page = fs::read_to_string(out.join("report.md")).expect("the report");
    assert!(page.contains("## One") && page.contains("no path to its binary was given"), "{page}");
    assert!(!out.with_file_name("scratch").exists(), "what servers wrote stays behind");
}

#[test]
fn a_workload_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon-peers"))
        .args(["run", "--workloads"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads"))
        .args(["--out", "nowhere", "--scratch", "nowhere", "--only", "get-p3"])
        .output()
        .expect("pinyon-peers");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("no workload get-p3 (") && said.contains("get-p16"), "{said}");
}
