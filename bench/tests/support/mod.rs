//! What the end-to-end tests of the generator share: servers, runs of the program, and its records.

use std::process::{Command, Output, Stdio};

use pinyon_testkit::{Client, Program, Server, ServerOptions, Value};
use serde_json::Value as Json;

pub fn start(program: Program) -> Server {
    let options = ServerOptions::new(program);
    let options = if program == Program::Pinyon { options.shards(2) } else { options };
    options.unix_socket().start().unwrap_or_else(|error| panic!("{error}"))
}

pub fn command(server: &Server, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinyon-bench"));
    command.args(["--port", &server.port().to_string(), "--json", "-"]).args(words).stdin(Stdio::null());
    command
}

/// The lines of a run that must succeed.
#[track_caller]
pub fn run(server: &Server, words: &[&str]) -> Vec<Json> {
    records(&command(server, words).output().expect("pinyon-bench starts"))
}

#[track_caller]
pub fn records(output: &Output) -> Vec<Json> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

pub fn end(lines: &[Json]) -> &Json {
    lines.last().filter(|line| line["type"] == "end").expect("a line of type end")
}

pub fn number(line: &Json, name: &str) -> u64 {
    line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"))
}

#[track_caller]
pub fn ask(client: &mut Client, line: &str) -> Value {
    client.line(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Latencies in microseconds with their counts.
pub fn histogram(end: &Json) -> Vec<(f64, u64)> {
    let pairs = end["histogram"].as_array().unwrap_or_else(|| panic!("a histogram in {end}"));
    pairs.iter().filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_u64()?))).collect()
}
