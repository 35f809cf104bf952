//! The report's page: what was run where, the ratios at a glance, promises and losses, then every workload by itself.

use std::fmt::Write as _;

use crate::peers::record::{Begin, Finish, Record};

use super::plots::Plot;
use super::summary::{Results, Summary};
use super::text::{count, ratio, table, time};
use super::verdict;

/// The whole page in Markdown. `plots` are named by their files in `plots/`.
pub fn page(records: &[Record], plots: &[Plot]) -> String {
    let begin = begin_of(records);
    let all = Results::all(records);
    let mut page = head(&begin, records, &all);
    page.push_str("\n## At a glance\n\n");
    page.push_str(&glance(&all));
    page.push_str("\n## Promises\n\n");
    page.push_str(&verdict::promises_text(&all));
    page.push_str("\n## Where Pinyon is behind\n\n");
    page.push_str(&verdict::losses_text(&all));
    page.push_str("\n## Left out\n\n");
    page.push_str(&left_out(&all, &begin));
    for plot in plots.iter().filter(|plot| plot.workload.is_empty()) {
        let _ = write!(page, "\n## {}\n\n![{}](plots/{})\n", plot.title, plot.title, plot.file);
    }
    page.push_str("\n# Every workload\n");
    for results in &all {
        page.push_str(&workload(results, plots));
    }
    page.push_str("\n# Commands\n\nHow the servers were started, where they differ from workload to workload (FOLDER is a folder of their own):\n\n```\n");
    page.push_str(&commands(&all));
    page.push_str(
        "```\n\nThe options of every run are with the workloads above; the records of all rounds are in raw.jsonl.\n",
    );
    page
}

/// The first record, or an empty one.
pub fn begin_of(records: &[Record]) -> Begin {
    let begin = records.iter().find_map(|record| match record {
        Record::Begin(begin) => Some(begin.clone()),
        _ => None,
    });
    begin.unwrap_or_default()
}

fn head(begin: &Begin, records: &[Record], all: &[Results]) -> String {
    let machine = &begin.machine;
    let mut head = format!("# Pinyon beside its peers, {} ({} run)\n\n", begin.date, begin.mode);
    let _ = writeln!(head, "- **Machine**: {}.", machine.line());
    let settings: Vec<String> = machine.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ = writeln!(head, "- **Host**: {}. Servers write to {}.", settings.join(", "), machine.file_system);
    let versions: Vec<String> = begin.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let _ = writeln!(head, "- **Versions**: {}.", versions.join(", "));
    let _ = writeln!(
        head,
        "- **How**: every server alone on one core, pinyon-bench on another, over TCP on the loopback, nothing written to disk \
         unless the workload says so; rounds in alternation, medians of {} rounds. CPU is the server's own, user and kernel, \
         all threads. Open loops count latency from the intended time of sending; the latencies of closed loops say how long \
         the queue is that they make themselves.",
        begin.rounds
    );
    let rounds: Vec<_> = all.iter().flat_map(|results| &results.rounds).collect();
    let disturbed = rounds.iter().filter(|round| !round.disturbance.is_quiet()).count();
    let finish = records.iter().find_map(|record| match record {
        Record::Finish(finish) => Some(finish.clone()),
        _ => None,
    });
    let Finish { seconds, repeated } = finish.unwrap_or_default();
    let _ = writeln!(
        head,
        "- **Disturbance**: {disturbed} of {} rounds had steal time or other load; {repeated} were repeated. A † marks figures \
         for which no quiet round was had: do not trust them. The run took {:.0} minutes.",
        rounds.len(),
        seconds / 60.0
    );
    if matches!(machine.file_system.as_str(), "tmpfs" | "ramfs") {
        head.push_str("- **The servers' folders are in memory**: figures of durable writes, snapshots and recovery mean nothing here.\n");
    }
    if machine.cores < 2 {
        head.push_str("- **One core only**: servers and the load generator shared it, so that all figures are of both together.\n");
    } else if machine.cores == 2 {
        head.push_str(
            "- **Two cores**: where both serve, the load generator shares them; and children that save (valkey, redis) run on \
             the server's core, since there is no other.\n",
        );
    }
    head
}

/// One line per workload: Pinyon's figure, and its ratio to every peer.
fn glance(all: &[Results]) -> String {
    let mut peers: Vec<String> = Vec::new();
    for name in all.iter().flat_map(|results| servers_of(results).into_iter()) {
        if name != "pinyon" && !peers.contains(&name) {
            peers.push(name);
        }
    }
    let mut rows = Vec::new();
    for results in all.iter().filter(|results| results.workload.kind != "scaling") {
        let mut row = vec![results.workload.title.clone(), ours(results)];
        row.extend(peers.iter().map(|peer| against(results, peer)));
        rows.push(row);
    }
    let heads: Vec<String> = peers.iter().map(|peer| format!("to {peer}")).collect();
    let mut head = vec!["workload", "Pinyon"];
    head.extend(heads.iter().map(String::as_str));
    let table = table(&head, &rows);
    format!(
        "Pinyon's figure divided by the peer's: throughput (more is better) / CPU per operation (less is better) for closed \
         loops; p99.9 / CPU per operation (less is better) for open ones; bytes per key and seconds (less is better).\n\n{table}"
    )
}

fn servers_of(results: &Results) -> Vec<String> {
    let summaries = results.summaries.iter().map(|one| one.server.clone());
    let memory = results.memory.iter().map(|one| one.server.clone());
    summaries.chain(memory).chain(results.recovery.iter().map(|one| one.server.clone())).collect()
}

fn paced(results: &Results) -> bool {
    matches!(results.workload.kind.as_str(), "open" | "snapshot" | "expire")
}

fn ours(results: &Results) -> String {
    if let Some(one) = results.of("pinyon") {
        let first =
            if paced(results) { format!("p99.9 {}", time(one.p999_us)) } else { format!("{}/s", count(one.ops_per_s)) };
        return format!("{first}, {}{}", time(one.cpu_us), if one.disturbed { " †" } else { "" });
    }
    if let Some(one) = results.memory.iter().find(|one| one.server == "pinyon") {
        return format!("{:.1} B", one.per_key());
    }
    if let Some(one) = results.recovery.iter().find(|one| one.server == "pinyon") {
        return format!("{:.2} s", one.seconds);
    }
    "left out".to_owned()
}

fn against(results: &Results, peer: &str) -> String {
    if let (Some(a), Some(b)) = (results.of("pinyon"), results.of(peer)) {
        let first = if paced(results) { ratio(a.p999_us, b.p999_us) } else { ratio(a.ops_per_s, b.ops_per_s) };
        return format!("{first} / {}{}", ratio(a.cpu_us, b.cpu_us), if b.disturbed { " †" } else { "" });
    }
    let memory = |name: &str| results.memory.iter().find(|one| one.server == name);
    if let (Some(a), Some(b)) = (memory("pinyon"), memory(peer)) {
        return ratio(a.per_key(), b.per_key());
    }
    let recovery = |name: &str| results.recovery.iter().find(|one| one.server == name);
    if let (Some(a), Some(b)) = (recovery("pinyon"), recovery(peer)) {
        return ratio(a.seconds, b.seconds);
    }
    "–".to_owned()
}

fn left_out(all: &[Results], begin: &Begin) -> String {
    let mut lines: Vec<String> =
        begin.absent.iter().map(|(name, reason)| format!("- **{name}** altogether: {reason}.\n")).collect();
    // The same reason over several workloads is one line.
    let mut reasons: Vec<(String, String, Vec<String>)> = Vec::new();
    for (results, one) in all.iter().flat_map(|results| results.left_out.iter().map(move |one| (results, one))) {
        let title = results.workload.title.clone();
        match reasons.iter_mut().find(|(server, reason, _)| *server == one.server && *reason == one.reason) {
            Some((_, _, titles)) if titles.contains(&title) => {}
            Some((_, _, titles)) => titles.push(title),
            None => reasons.push((one.server.clone(), one.reason.clone(), vec![title])),
        }
    }
    let told = |(server, reason, titles): &(String, String, Vec<String>)| {
        format!("- **{server}**: {reason} ({}).\n", titles.join("; "))
    };
    lines.extend(reasons.iter().map(told));
    if lines.is_empty() { "Nobody.\n".to_owned() } else { lines.concat() }
}

fn workload(results: &Results, plots: &[Plot]) -> String {
    let one = &results.workload;
    let mut text = format!("\n## {}\n\n{}\n\n", one.title, one.about);
    let settings: Vec<String> = one.options.lines().map(str::to_owned).collect();
    let _ = write!(
        text,
        "`{}` · {}\n\n",
        one.name,
        settings.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ")
    );
    if !results.summaries.is_empty() {
        text.push_str(&summaries(results));
    }
    if !results.memory.is_empty() {
        text.push_str(&memory(results));
    }
    if !results.recovery.is_empty() {
        text.push_str(&recovery(results));
    }
    for left_out in &results.left_out {
        let _ = write!(text, "\n{} left out: {}.\n", left_out.server, left_out.reason);
    }
    for plot in plots.iter().filter(|plot| plot.workload == one.name) {
        let _ = write!(text, "\n![{}](plots/{})\n", plot.title, plot.file);
    }
    text
}

fn summaries(results: &Results) -> String {
    let reference =
        |one: &Summary| results.summaries.iter().find(|other| other.server == "valkey" && other.cores == one.cores);
    let scaling = results.workload.kind == "scaling";
    let fanout = results.summaries.iter().any(|one| one.pushes_per_s > 0.0);
    let row = |one: &Summary| {
        let valkey = reference(one);
        let mut row = vec![one.name()];
        if scaling {
            row.push(one.cores.to_string());
        }
        row.extend([
            count(one.ops_per_s),
            valkey.map_or("–".to_owned(), |valkey| ratio(one.ops_per_s, valkey.ops_per_s)),
            time(one.cpu_us),
            valkey.map_or("–".to_owned(), |valkey| ratio(one.cpu_us, valkey.cpu_us)),
            time(one.p50_us),
            time(one.p99_us),
            time(one.p999_us),
            time(one.max_us),
            format!("{:.0} %", one.spread * 100.0),
            one.rounds.to_string(),
        ]);
        if fanout {
            row.push(count(one.pushes_per_s));
        }
        if scaling {
            row.push(limit(one));
        }
        row
    };
    let mut head = vec!["server"];
    if scaling {
        head.push("cores");
    }
    head.extend(["ops/s", "of valkey", "CPU/op", "of valkey", "p50", "p99", "p99.9", "max", "spread", "rounds"]);
    if fanout {
        head.push("messages/s");
    }
    if scaling {
        head.push("what limits");
    }
    let mut text = table(&head, &results.summaries.iter().map(row).collect::<Vec<_>>());
    for one in results.summaries.iter().filter(|one| one.errors > 0) {
        let _ = write!(text, "\n{} gave {} error replies: {}\n", one.server, one.errors, one.error_texts.join("; "));
    }
    for one in results.summaries.iter().filter(|one| one.nulls > 0.02) {
        let _ = write!(
            text,
            "\n{} said of {:.0} % of the requests that there is nothing.\n",
            one.server,
            one.nulls * 100.0
        );
    }
    text.push_str(&events(results));
    text
}

/// What happened while a round went on, by server.
fn events(results: &Results) -> String {
    let mut text = String::new();
    for round in results.rounds.iter().filter(|round| !round.events.is_empty()) {
        let events: Vec<String> = round.events.iter().map(|(at, what)| format!("{what} at {at:.1} s")).collect();
        let _ = writeln!(text, "- {}, round {}: {}", round.server, round.round, events.join(", "));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Which of the two ran out of CPU first.
fn limit(one: &Summary) -> String {
    let (server, generator) = (one.server_load * 100.0, one.generator_load * 100.0);
    let loads = format!("server {server:.0} %, generator {generator:.0} %");
    if one.shared_cores {
        return format!("the cores, shared ({loads})");
    }
    // pinyon-bench may look for replies all the time, so that its own CPU time says nothing; but in a closed loop a server
    // that has time to spare waits for nobody else.
    let limit = if one.server_load > 0.93 { "the server's cores" } else { "the generator" };
    format!("{limit} ({loads})")
}

fn memory(results: &Results) -> String {
    let valkey = results.memory.iter().find(|one| one.server == "valkey");
    let workload = &results.workload;
    let row = |one: &crate::peers::record::Memory| {
        let over = workload.value_bytes.map(|value| one.per_key() - one.key_bytes - value);
        let per_element = workload.elements.map(|elements| one.per_key() / elements);
        vec![
            one.server.clone(),
            count(one.keys as f64),
            format!("{:.1}", one.per_key()),
            valkey.map_or("–".to_owned(), |valkey| ratio(one.per_key(), valkey.per_key())),
            over.map_or("–".to_owned(), |over| format!("{over:.1}")),
            per_element.map_or("–".to_owned(), |bytes| format!("{bytes:.1}")),
            format!("{}/s", count(one.loaded_per_s)),
        ]
    };
    let head = ["server", "keys", "bytes per key", "of valkey", "over key and value", "per element", "loaded"];
    table(&head, &results.memory.iter().map(row).collect::<Vec<_>>())
}

fn recovery(results: &Results) -> String {
    let valkey = results.recovery.iter().find(|one| one.server == "valkey");
    let row = |one: &crate::peers::record::Recovery| {
        vec![
            one.server.clone(),
            format!("{:.2} s", one.seconds),
            valkey.map_or("–".to_owned(), |valkey| ratio(one.seconds, valkey.seconds)),
            count(one.keys as f64),
            format!("{}/s", count(one.keys as f64 / one.seconds.max(1e-9))),
            format!("{:.1} MiB", one.file_bytes as f64 / f64::from(1 << 20)),
        ]
    };
    let head = ["server", "until PONG", "of valkey", "keys", "keys read", "on disk"];
    table(&head, &results.recovery.iter().map(row).collect::<Vec<_>>())
}

fn commands(all: &[Results]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for results in all {
        let rounds = results.summaries.iter().map(|one| one.command_line.clone());
        let others = results.memory.iter().map(|one| one.command_line.clone());
        for line in rounds.chain(others).chain(results.recovery.iter().map(|one| one.command_line.clone())) {
            // The port is another one each time.
            let words: Vec<&str> = line.split(' ').collect();
            let port = |at: usize| at > 0 && matches!(words[at - 1], "--port" | "-p");
            let shown: Vec<&str> =
                words.iter().enumerate().map(|(at, word)| if port(at) { "PORT" } else { *word }).collect();
            let shown = shown.join(" ");
            if !lines.contains(&shown) {
                lines.push(shown);
            }
        }
    }
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}
