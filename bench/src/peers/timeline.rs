//! Latency over time: an open loop during which something big happens. Either BGSAVE is called after a third of the run, or
//! millions of keys become due. The moments are kept as events of the round, in seconds of the run's own series.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::campaign::{Campaign, said, spoken};
use super::closed::{round_of, tell};
use super::disturbance::{Disturbance, Sample};
use super::generator::longest;
use super::record::{Record, Round};
use super::server::{Peer, Server};
use super::workload::{Kind, Options, Workload};

/// How often a server is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An expiring run goes on for so long after the last deadline.
const AFTER_DEADLINE_S: f64 = 12.0;

/// Runs the workload on every server in turn, for as many rounds as it says (one, when it says none).
pub fn run(campaign: &mut Campaign, workload: &Workload) -> Result<(), String> {
    let options = workload.runs(campaign.orders.quick).1;
    campaign.describe(workload, &options, None)?;
    let rounds = if campaign.orders.quick { 1 } else { workload.rounds.unwrap_or(1) };
    let mut left_out = Vec::new();
    for number in 1..=rounds {
        for peer in campaign.orders.peers.clone() {
            if left_out.contains(&peer.kind) {
                continue;
            }
            match one(campaign, workload, &peer) {
                Ok(mut round) => {
                    (round.workload, round.round) = (workload.name.clone(), number);
                    tell(&round);
                    for (at, what) in &round.events {
                        said(&format!("      {at:6.2} s  {what}"));
                    }
                    campaign.journal.add(Record::Round(Box::new(round)))?;
                }
                Err(reason) => {
                    campaign.leave_out(workload, peer.kind, &reason)?;
                    left_out.push(peer.kind);
                }
            }
        }
    }
    Ok(())
}

fn one(campaign: &Campaign, workload: &Workload, peer: &Peer) -> Result<Round, String> {
    let server = campaign.start(workload, peer, &campaign.launch(workload, peer.kind))?;
    let mut options = spoken(peer.kind, workload.runs(campaign.orders.quick).1);
    let due = match workload.kind {
        Kind::Expire => Some(prepare_due(campaign, workload, &server, &mut options)?),
        _ => {
            campaign.prepare(workload, &server)?;
            None
        }
    };
    let cores = campaign.layout.all();
    let before = Sample::take(&cores, server.pid());
    let begun = unix_seconds();
    let mut running = campaign.generator().start(&options, server.port, server.pid(), longest(&options))?;
    let moments = match due {
        Some(due) => watch_keys(&server, &mut || running.goes_on(), due)?,
        None => save(&server, &mut || running.goes_on(), &options)?,
    };
    let mut load = running.finish()?;
    let after = Sample::take(&cores, server.pid());
    // A child that saves works for the server. On the server's own core it makes it wait, which is no disturbance.
    load.server_cpu_s += after.children - before.children;
    let shared = campaign.layout.shared() || (workload.kind == Kind::Snapshot && campaign.spare_core.is_none());
    let disturbance = Disturbance::between(&before, &after, cores.len(), shared);
    // The series counts from the end of the warm-up; without the generator's word for it, from what was asked.
    let warmup = options.number("warmup").unwrap_or(0.0);
    let zero = if load.begin_unix_us > 0.0 { load.begin_unix_us / 1e6 } else { begun + warmup };
    let events = moments.into_iter().map(|(at, what)| (at - zero, what)).collect();
    Ok(Round { events, ..round_of(&server, &campaign.layout, load, disturbance) })
}

type Moments = Vec<(f64, String)>;

/// Waits for a third of the run, calls BGSAVE and follows it to its end.
fn save(server: &Server, goes_on: &mut dyn FnMut() -> bool, options: &Options) -> Result<Moments, String> {
    let told = |error: std::io::Error| error.to_string();
    let third = options.number("warmup").unwrap_or(0.0) + options.number("duration").unwrap_or(0.0) / 3.0;
    thread::sleep(Duration::from_secs_f64(third));
    let mut client = server.client()?;
    let mut moments = vec![(unix_seconds(), "save begins".to_owned())];
    let reply = client.call(&["BGSAVE"]).map_err(told)?;
    if reply.text().is_none() {
        return Err(format!("BGSAVE gave {reply:?}"));
    }
    while goes_on() {
        let busy = client.info("persistence", "rdb_bgsave_in_progress").map_err(told)?;
        if busy.as_deref() != Some("1") {
            let status = client.info("persistence", "rdb_last_bgsave_status").map_err(told)?.unwrap_or_default();
            moments.push((unix_seconds(), format!("save ends ({status})")));
            return Ok(moments);
        }
        thread::sleep(LOOK_EVERY);
    }
    moments.push((unix_seconds(), "save still under way".to_owned()));
    Ok(moments)
}

/// When the first and the last of the prepared keys are due, and how many keys stay.
struct Due {
    first: f64,
    last: f64,
    stays: u64,
}

/// Loads the keys with deadlines in the last preparing run, and those that stay before it; makes the measured run long enough.
fn prepare_due(
    campaign: &Campaign,
    workload: &Workload,
    server: &Server,
    options: &mut Options,
) -> Result<Due, String> {
    let (seconds, spread_ms) = workload.deadline.ok_or("no @deadline")?;
    let mut runs = workload.runs(campaign.orders.quick).0;
    let dying = runs.pop().ok_or("no preparing run")?;
    let generator = campaign.generator();
    let (mut stays, mut per_second) = (0, f64::INFINITY);
    for run in runs {
        let load = generator.run(&run, server.port, server.pid(), longest(&run))?;
        stays = server.keys()?;
        per_second = load.ops_per_s;
    }
    // At half the pace of the keys that stay, all others are there in time.
    let loading = 3.0 + 2.0 * dying.number("requests").unwrap_or(0.0) / per_second;
    let first_ms = (unix_seconds() + seconds.max(loading)) * 1000.0;
    let last_ms = first_ms + spread_ms as f64;
    let mut dying = dying;
    dying.replace("{deadline}", &format!("{{int:{first_ms:.0}..{last_ms:.0}}}"));
    let load = generator.run(&dying, server.port, server.pid(), longest(&dying))?;
    if load.errors > 0 {
        return Err(format!("while preparing: {} errors ({})", load.errors, load.error_texts.join("; ")));
    }
    let due = Due { first: first_ms / 1000.0, last: last_ms / 1000.0, stays };
    let ahead = due.first - unix_seconds();
    if ahead < 2.0 {
        return Err(format!("loading the keys took all but {ahead:.1} s of the time until they are due"));
    }
    options.set("duration", (due.last - unix_seconds() + AFTER_DEADLINE_S).ceil());
    Ok(due)
}

/// Looks how many keys there are until those that stay are left.
fn watch_keys(server: &Server, goes_on: &mut dyn FnMut() -> bool, due: Due) -> Result<Moments, String> {
    let mut moments = vec![(due.first, "first key due".to_owned()), (due.last, "last key due".to_owned())];
    while goes_on() {
        if server.keys()? <= due.stays {
            moments.push((unix_seconds(), "all due keys gone".to_owned()));
            return Ok(moments);
        }
        thread::sleep(LOOK_EVERY);
    }
    let left = server.keys()?.saturating_sub(due.stays);
    moments.push((unix_seconds(), format!("{left} due keys still there")));
    Ok(moments)
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
