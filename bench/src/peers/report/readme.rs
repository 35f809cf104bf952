//! The performance section of README.md, between two markers, out of the records of a full run.

use std::fmt::Write as _;

use crate::peers::record::Record;

use super::pages::begin_of;
use super::summary::Results;
use super::text::{count, ratio, table, time};
use super::verdict;

const BEGIN: &str = "<!-- performance: written by `pinyon-peers readme`; do not edit -->";
const END: &str = "<!-- end of performance -->";

/// The section without its markers: the machine, a line per workload beside valkey, redis and memcached, and what is lost.
pub fn section(records: &[Record]) -> String {
    let begin = begin_of(records);
    let all = Results::all(records);
    let versions =
        |name: &str| begin.versions.get(name).map_or_else(String::new, |version| format!("{name} {version}"));
    let peers: Vec<String> = ["valkey", "redis", "memcached", "dragonfly"]
        .map(versions)
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    let mut text = format!(
        "Measured on {} with {}: {}. One server core, one core for the load. Ratios are Pinyon's figure over the peer's.\n\n",
        begin.date,
        peers.join(", "),
        begin.machine.line()
    );
    text.push_str(&speed(&all));
    text.push_str(&rest(&all));
    text.push_str("\n**What we lose.** ");
    let losses = verdict::losses(&all);
    if losses.is_empty() {
        text.push_str("In this run Pinyon was on no workload more than 5 % behind a peer.\n");
    } else {
        text.push_str("On these Pinyon was more than 5 % behind:\n\n");
        for loss in &losses {
            let reason = loss.reason.clone().unwrap_or_else(|| "no reason known yet".to_owned());
            let _ = writeln!(
                text,
                "- {}: {} {} to {}'s {} ({:.2} times worse); {reason}.",
                loss.title, loss.what, loss.ours, loss.peer, loss.theirs, loss.times
            );
        }
    }
    let missing: Vec<String> = all
        .iter()
        .filter_map(|results| {
            let reason =
                results.left_out.iter().find(|one| one.server == "pinyon" && !one.reason.starts_with("core ports"))?;
            Some(format!("{} ({})", results.workload.title, reason.reason))
        })
        .collect();
    if !missing.is_empty() {
        let _ = write!(text, "\n**Not measured of Pinyon**: {}.\n", missing.join("; "));
    }
    text
}

/// Closed and open loops.
fn speed(all: &[Results]) -> String {
    let mut rows = Vec::new();
    for results in all.iter().filter(|results| matches!(results.workload.kind.as_str(), "closed" | "open")) {
        let Some(ours) = results.of("pinyon") else { continue };
        let open = results.workload.kind == "open";
        let figure = |one: &super::Summary| if open { one.p999_us } else { one.ops_per_s };
        let shown = if open { format!("p99.9 {}", time(ours.p999_us)) } else { format!("{}/s", count(ours.ops_per_s)) };
        let mut row = vec![results.workload.title.clone(), shown, time(ours.cpu_us)];
        for peer in ["valkey", "redis", "memcached"] {
            let theirs = results.of(peer);
            row.push(theirs.map_or("–".to_owned(), |theirs| {
                format!("{}, CPU {}", ratio(figure(ours), figure(theirs)), ratio(ours.cpu_us, theirs.cpu_us))
            }));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return String::new();
    }
    table(&["workload", "Pinyon", "CPU/op", "to valkey", "to redis", "to memcached"], &rows)
}

/// Memory and recovery.
fn rest(all: &[Results]) -> String {
    let mut rows = Vec::new();
    for results in all {
        let memory: Vec<(&str, f64)> = results.memory.iter().map(|one| (one.server.as_str(), one.per_key())).collect();
        let recovery: Vec<(&str, f64)> =
            results.recovery.iter().map(|one| (one.server.as_str(), one.seconds)).collect();
        for (figures, unit) in [(memory, "B/key"), (recovery, "s")] {
            let of = |name: &str| figures.iter().find(|(server, _)| *server == name).map(|(_, figure)| *figure);
            let Some(ours) = of("pinyon") else { continue };
            let mut row = vec![results.workload.title.clone(), format!("{ours:.1} {unit}")];
            row.extend(
                ["valkey", "redis", "memcached"]
                    .map(|peer| of(peer).map_or("–".to_owned(), |theirs| ratio(ours, theirs))),
            );
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["memory and recovery", "Pinyon", "to valkey", "to redis", "to memcached"], &rows))
}

/// A README with the section put between its markers, in place of what was there. `source` is said to be where it is from.
pub fn put_into(readme: &str, section: &str, source: &str) -> Result<String, String> {
    let missing = |marker: &str| format!("README.md has no line `{marker}`");
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    Ok(format!("{before}{BEGIN}\n\n{section}\nAll figures and plots, and how they were had: {source}.\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let put = put_into(&readme, "new\n", "there").expect("put");
        assert!(
            put.starts_with(&format!("a\n{BEGIN}\n\nnew\n\nAll figures"))
                && put.ends_with(&format!("there.\n\n{END}\nb\n")),
            "{put}"
        );
        assert_eq!(put_into(&put, "new\n", "there"), Ok(put.clone()), "putting it again changes nothing");
        assert!(put_into("none", "new", "there").is_err_and(|error| error.contains("no line")));
    }
}
