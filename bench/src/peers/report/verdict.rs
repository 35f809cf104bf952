//! What is to be said of the figures: the promises that Pinyon makes, and every workload on which it is behind.

use super::summary::Results;
use super::text::{count, ratio, table, time};

/// More than this share behind a peer is said.
pub const BEHIND: f64 = 0.05;

/// A workload on which Pinyon is behind a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    pub title: String,
    pub peer: String,
    /// "throughput", "CPU per operation", "p99.9", "bytes per key", "seconds to recover".
    pub what: &'static str,
    pub ours: String,
    pub theirs: String,
    /// Times worse.
    pub times: f64,
    /// The named reason, if there is one.
    pub reason: Option<String>,
}

/// All that Pinyon loses by more than `BEHIND`, in the order of the workloads.
pub fn losses(all: &[Results]) -> Vec<Loss> {
    all.iter().flat_map(losses_of).collect()
}

fn losses_of(results: &Results) -> Vec<Loss> {
    let mut losses = Vec::new();
    let workload = &results.workload;
    let mut compare = |peer: &str, at: &str, what: &'static str, times: f64, ours: String, theirs: String| {
        if times > 1.0 + BEHIND {
            let reason = workload.reasons.get(peer).or_else(|| workload.reasons.get("all")).cloned();
            let title = format!("{}{at}", workload.title);
            losses.push(Loss { title, peer: peer.to_owned(), what, ours, theirs, times, reason });
        }
    };
    for peer in results.summaries.iter().filter(|summary| summary.server != "pinyon") {
        // On more cores than one, the better of Pinyon's two ways counts.
        let same = |summary: &&super::Summary| summary.server == "pinyon" && summary.cores == peer.cores;
        let best = results.summaries.iter().filter(same).max_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
        let Some(ours) = best else { continue };
        let at = if workload.kind == "scaling" { format!(", {} cores", peer.cores) } else { String::new() };
        let paced = matches!(workload.kind.as_str(), "open" | "snapshot" | "expire");
        if paced {
            let (a, b) = (ours.p999_us, peer.p999_us);
            compare(&peer.server, &at, "p99.9", a / b.max(1e-9), time(a), time(b));
        } else {
            let (a, b) = (ours.ops_per_s, peer.ops_per_s);
            compare(
                &peer.server,
                &at,
                "throughput",
                b / a.max(1e-9),
                format!("{}/s", count(a)),
                format!("{}/s", count(b)),
            );
        }
        let (a, b) = (ours.cpu_us, peer.cpu_us);
        if a > 0.0 && b > 0.0 {
            compare(&peer.server, &at, "CPU per operation", a / b, time(a), time(b));
        }
    }
    if let Some(ours) = results.memory.iter().find(|memory| memory.server == "pinyon") {
        for peer in results.memory.iter().filter(|memory| memory.server != "pinyon") {
            let (a, b) = (ours.per_key(), peer.per_key());
            compare(&peer.server, "", "bytes per key", a / b.max(1e-9), format!("{a:.1}"), format!("{b:.1}"));
        }
    }
    if let Some(ours) = results.recovery.iter().find(|recovery| recovery.server == "pinyon") {
        for peer in results.recovery.iter().filter(|recovery| recovery.server != "pinyon") {
            let (a, b) = (ours.seconds, peer.seconds);
            compare(&peer.server, "", "seconds to recover", a / b.max(1e-9), time(a * 1e6), time(b * 1e6));
        }
    }
    losses
}

/// The losses as a table, or a sentence that there are none.
pub fn losses_text(all: &[Results]) -> String {
    let losses = losses(all);
    if losses.is_empty() {
        return format!(
            "On no workload that Pinyon took part in is it more than {:.0} % behind a peer.\n",
            BEHIND * 100.0
        );
    }
    let rows: Vec<Vec<String>> = losses
        .iter()
        .map(|loss| {
            let reason = loss.reason.clone().unwrap_or_else(|| "no reason known yet".to_owned());
            let worse = format!("{:.2}×", loss.times);
            vec![
                loss.title.clone(),
                loss.peer.clone(),
                loss.what.to_owned(),
                loss.ours.clone(),
                loss.theirs.clone(),
                worse,
                reason,
            ]
        })
        .collect();
    table(&["workload", "behind", "in", "Pinyon", "peer", "worse by", "why"], &rows)
}

/// A promise about a ratio to valkey.
struct Promise {
    /// File names of workloads; the worst of them counts.
    workloads: &'static [&'static str],
    what: &'static str,
    figure: fn(&super::Summary) -> f64,
    at_most: f64,
}

const PROMISES: &[Promise] = &[
    Promise {
        workloads: &["get-p1", "set-p1"],
        what: "CPU per operation, unpipelined",
        figure: |one| one.cpu_us,
        at_most: 0.8,
    },
    Promise {
        workloads: &["get-p16", "set-p16"],
        what: "CPU per operation, 16 deep",
        figure: |one| one.cpu_us,
        at_most: 0.55,
    },
    Promise {
        workloads: &["get-p64", "set-p64"],
        what: "CPU per operation, 64 deep",
        figure: |one| one.cpu_us,
        at_most: 0.45,
    },
    Promise {
        workloads: &["open-get-p1", "open-get-p16"],
        what: "open-loop p99.9 at 70 % of valkey's peak",
        figure: |one| one.p999_us,
        at_most: 0.7,
    },
];

/// The promises with what was measured, workload by workload.
pub fn promises_text(all: &[Results]) -> String {
    let mut rows = Vec::new();
    for promise in PROMISES {
        for name in promise.workloads {
            let Some(results) = all.iter().find(|results| results.workload.name == *name) else { continue };
            let (Some(ours), Some(theirs)) = (results.of("pinyon"), results.of("valkey")) else { continue };
            let (a, b) = ((promise.figure)(ours), (promise.figure)(theirs));
            if a <= 0.0 || b <= 0.0 {
                continue;
            }
            let mark = if ours.disturbed || theirs.disturbed { " †" } else { "" };
            let kept = format!("{}{mark}", if a / b <= promise.at_most { "yes" } else { "**no**" });
            let title = format!("{}: {}", results.workload.title, promise.what);
            rows.push(vec![title, time(a), time(b), ratio(a, b), format!("{:.2}×", promise.at_most), kept]);
        }
    }
    if rows.is_empty() {
        return "None of the workloads that promises were made for was run on both Pinyon and valkey.\n".to_owned();
    }
    table(&["promise", "Pinyon", "valkey", "ratio", "at most", "kept"], &rows)
}
