//! `pinyon-bench`: the load generator's command line. Options come from the workload file first and then from the command line;
//! commands given there replace the file's.
#![deny(unsafe_code)]

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use pinyon_bench::load;
use pinyon_bench::load::report::{Reporter, table};
use pinyon_bench::load::settings::{COMMAND, ROWS, Settings};
use pinyon_bench::load::workload::Workload;

const ABOUT: &str = "\
A load generator for servers of the Redis protocol and of memcached's text protocol.

Without --rate in a closed loop: every connection sends its next requests when the last are answered.
With --rate in an open loop: requests are due by a schedule, and latency counts from that moment.
  pinyon-bench --port 6379 --pipeline 16 --command 'SET key:{key} {value}'
  pinyon-bench --family session --rate 50000 --duration 30 --json run.jsonl";

const AFTER: &str = "\
Templates are commands as typed into redis-cli, with {key} {key2}…{key16} {value} {field} {int:A..B} {float:A..B} {seq}
{conn}; {{ and }} are braces. A workload file has one option per line, without the dashes.";

fn command() -> Command {
    let mut command = Command::new("pinyon-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .arg(
            Arg::new("workload")
                .long("workload")
                .value_name("FILE")
                .help("Read options from a file")
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(Arg::new("json").long("json").value_name("FILE").help("Write JSON lines; - is standard output"))
        .arg(Arg::new("quiet").long("quiet").help("Print no table and no progress").action(ArgAction::SetTrue));
    for row in ROWS {
        let arg = Arg::new(row.name).long(row.name).value_name(row.value).help(row.help).allow_hyphen_values(true);
        command = command.arg(match row.name {
            COMMAND => arg.action(ArgAction::Append),
            // Of several the last one counts.
            name => arg.action(ArgAction::Set).overrides_with(name),
        });
    }
    command
}

/// The settings, from the file and the options.
fn settings(matches: &ArgMatches) -> Result<Settings, String> {
    let mut settings = Settings::default();
    if let Some(path) = matches.get_one::<PathBuf>("workload") {
        Workload::read(path).and_then(|workload| workload.apply(&mut settings)).map_err(|error| error.to_string())?;
    }
    if ["command", "family"].iter().any(|name| matches.contains_id(name)) {
        settings.mix.clear();
    }
    for row in ROWS {
        for value in matches.get_many::<String>(row.name).into_iter().flatten() {
            settings.set(row.name, value).map_err(|why| format!("--{why}"))?;
        }
    }
    settings.check()?;
    Ok(settings)
}

fn run(matches: &ArgMatches) -> Result<(), String> {
    let settings = settings(matches)?;
    let is_quiet = matches.get_flag("quiet");
    let json = matches.get_one::<String>("json").map(String::as_str);
    let sink: Option<Box<dyn Write>> = match json {
        None => None,
        Some("-") => Some(Box::new(std::io::stdout())),
        Some(path) => Some(Box::new(File::create(path).map_err(|error| format!("{path}: {error}"))?)),
    };
    let mut reporter = Reporter::new(&settings, sink, !is_quiet && std::io::stderr().is_terminal());
    let outcome = load::run(&settings, &mut reporter).map_err(|error| error.to_string())?;
    reporter.finish(&outcome).map_err(|error| format!("{}: {error}", json.unwrap_or("-")))?;
    if !is_quiet && json != Some("-") {
        print!("{}", table(&settings, &outcome));
    }
    if outcome.total.ops == 0 && outcome.total.pushes == 0 {
        return Err("nothing was measured: not one reply came".to_owned());
    }
    if outcome.total.errors == outcome.total.ops && outcome.total.ops > 0 {
        return Err(format!("every reply was an error: {}", outcome.total.texts.join("; ")));
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("pinyon-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Settings, String> {
        let all = std::iter::once("pinyon-bench").chain(words.iter().copied());
        settings(&command().try_get_matches_from(all).map_err(|error| error.to_string())?)
    }

    #[test]
    fn options_override_the_file() {
        let path = std::env::temp_dir().join(format!("pinyon-bench-{}.txt", std::process::id()));
        std::fs::write(&path, "pipeline 16\ncommand GET a\ncommand SET a b\nkeys 5\n").unwrap();
        let file = path.to_str().unwrap();
        let read = parse(&["--workload", file, "--pipeline", "4"]).unwrap();
        assert_eq!((read.pipeline, read.keys, read.mix.len()), (4, 5, 2));
        let read = parse(&["--workload", file, "--command", "INCR a"]).unwrap();
        assert_eq!(read.mix.iter().map(|entry| entry.template.as_str()).collect::<Vec<_>>(), ["INCR a"]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn mistakes_are_told() {
        assert!(parse(&["--port", "x"]).unwrap_err().starts_with("--port: "));
        assert!(parse(&["--workload", "/no/such"]).unwrap_err().starts_with("/no/such:0: "));
        assert!(parse(&["--pipelin", "1"]).is_err());
        assert!(parse(&["--command", "LPUSH l -1"]).is_ok());
        command().debug_assert();
    }
}
