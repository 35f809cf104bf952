//! `pinyon-peers`: runs the workloads of `bench/workloads` against Pinyon and its peers and writes the report. It is what
//! `scripts/bench-peers` calls once everything is fetched and built; the work is in the library's `peers`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pinyon_bench::peers::campaign::{Campaign, Orders};
use pinyon_bench::peers::machine;
use pinyon_bench::peers::record::{self, Machine};
use pinyon_bench::peers::report;
use pinyon_bench::peers::server::{Peer, PeerKind};
use pinyon_bench::peers::workload::Workload;

/// Pinyon side by side with Redis, Valkey, Memcached and Dragonfly.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Runs workloads and writes raw.jsonl, report.md and plots.
    Run(Box<Run>),
    /// Makes report.md and plots again from the raw.jsonl of a folder.
    Report {
        results: PathBuf,
        /// Where they go, if not beside raw.jsonl.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Writes the performance section of a README from the results of a full run.
    Readme {
        results: PathBuf,
        #[arg(long, default_value = "README.md")]
        readme: PathBuf,
        /// Takes the results of a quick run, too.
        #[arg(long)]
        allow_quick: bool,
    },
    /// Prints this machine's name for folders of results: processor, cores and today's date.
    Machine,
    /// Lists the workloads.
    List {
        #[arg(long, default_value = "bench/workloads")]
        workloads: PathBuf,
    },
}

#[derive(Args)]
struct Run {
    /// pinyon-server
    #[arg(long)]
    pinyon: Option<PathBuf>,
    #[arg(long)]
    valkey: Option<PathBuf>,
    #[arg(long)]
    redis: Option<PathBuf>,
    #[arg(long)]
    memcached: Option<PathBuf>,
    #[arg(long)]
    dragonfly: Option<PathBuf>,
    /// pinyon-bench; the one beside this program if not given
    #[arg(long)]
    generator: Option<PathBuf>,
    #[arg(long, default_value = "bench/workloads")]
    workloads: PathBuf,
    /// Only these, by the names of their files
    #[arg(long, num_args = 1.., value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Few and short workloads: an impression in some minutes
    #[arg(long)]
    quick: bool,
    /// Rounds per server and workload [default: 3; quick: 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Minutes after which no further workload is begun [default: 55; quick: 4]
    #[arg(long)]
    minutes: Option<f64>,
    #[arg(long)]
    out: PathBuf,
    /// Where the servers write meanwhile; emptied afterwards
    #[arg(long)]
    scratch: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Order::Run(run) => campaign(*run),
        Order::Report { results, out } => record::read(&results).and_then(|records| {
            let beside = if results.is_dir() { results.clone() } else { results.with_file_name("") };
            report::write(&out.unwrap_or(beside), &records)
        }),
        Order::Readme { results, readme, allow_quick } => write_readme(&results, &readme, allow_quick),
        Order::Machine => {
            println!("{}-{}", Machine::here(Path::new(".")).slug(), machine::today());
            Ok(())
        }
        Order::List { workloads } => Workload::read_all(&workloads).map(|all| {
            for one in all {
                println!("{:<22} {}{}", one.name, one.title, if one.quick { "  (quick)" } else { "" });
            }
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinyon-peers: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(run: Run) -> Result<(), String> {
    let workloads = chosen(&run)?;
    let generator = match &run.generator {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("pinyon-bench"),
    };
    let mut absent = BTreeMap::new();
    let mut peers = Vec::new();
    for (kind, path) in [
        (PeerKind::Pinyon, run.pinyon),
        (PeerKind::Valkey, run.valkey),
        (PeerKind::Redis, run.redis),
        (PeerKind::Memcached, run.memcached),
        (PeerKind::Dragonfly, run.dragonfly),
    ] {
        match path {
            Some(binary) => peers.push(Peer { kind, binary: absolute(&binary)? }),
            None if kind == PeerKind::Dragonfly => {
                absent.insert(kind.name().to_owned(), "no path to its binary was given (--dragonfly PATH)".to_owned());
            }
            None => {
                absent.insert(kind.name().to_owned(), "no path to its binary was given".to_owned());
            }
        }
    }
    let minutes = run.minutes.unwrap_or(if run.quick { 4.0 } else { 55.0 });
    fs::create_dir_all(&run.scratch).map_err(|error| format!("{}: {error}", run.scratch.display()))?;
    let orders = Orders {
        peers,
        absent,
        generator: absolute(&generator)?,
        quick: run.quick,
        rounds: run.rounds.unwrap_or(if run.quick { 2 } else { 3 }).max(1),
        time_max: Duration::from_secs_f64(minutes * 60.0),
        out: run.out.clone(),
        scratch: absolute(&run.scratch)?,
    };
    let mut campaign = Campaign::begin(orders)?;
    campaign.run(&workloads)?;
    report::write(&run.out, &campaign.journal.records)?;
    println!("{}", run.out.join("report.md").display());
    Ok(())
}

/// The workloads asked for: those named, else those of a quick run, else all.
fn chosen(run: &Run) -> Result<Vec<Workload>, String> {
    let mut all = Workload::read_all(&run.workloads)?;
    for name in &run.only {
        if !all.iter().any(|one| one.name == *name) {
            let known: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            return Err(format!("no workload {name} ({})", known.join(", ")));
        }
    }
    all.retain(|one| if run.only.is_empty() { one.quick || !run.quick } else { run.only.contains(&one.name) });
    Ok(all)
}

/// The path from the root. Links stay links: some servers go by the name that they are started with.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::metadata(path).map_err(told)?;
    std::path::absolute(path).map_err(told)
}

fn write_readme(results: &Path, readme: &Path, allow_quick: bool) -> Result<(), String> {
    let records = record::read(results)?;
    let quick = records.iter().any(|record| matches!(record, record::Record::Begin(begin) if begin.mode == "quick"));
    if quick && !allow_quick {
        return Err("these are the results of a quick run; README.md has those of full runs".to_owned());
    }
    let told = |error: std::io::Error| format!("{}: {error}", readme.display());
    let text = fs::read_to_string(readme).map_err(told)?;
    let folder = results.display().to_string();
    let folder = folder.trim_end_matches("raw.jsonl").trim_end_matches('/');
    let source = format!("[{folder}]({folder}/report.md)");
    fs::write(readme, report::put_into(&text, &report::section(&records), &source)?).map_err(told)
}
