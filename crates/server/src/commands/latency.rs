//! LATENCY: the events of the latency monitor and the execution time histograms, over all cores.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use pinyon_engine::CommandError;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::server::help;
use pinyon_resp::Writer;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::latency::{LatencyEvents, Sample, Series};

/// The events of all cores as one: of each second the worst.
fn merged(parts: Vec<LatencyEvents>) -> BTreeMap<&'static str, Series> {
    let mut all: BTreeMap<&'static str, Series> = BTreeMap::new();
    for (event, series) in parts.into_iter().flat_map(|part| part.series) {
        let sum = all.entry(event).or_default();
        sum.max_ms = sum.max_ms.max(series.max_ms);
        for sample in series.samples {
            match sum.samples.iter_mut().find(|other| other.unix_seconds == sample.unix_seconds) {
                Some(other) => other.ms = other.ms.max(sample.ms),
                None => sum.samples.push_back(sample),
            }
        }
    }
    for series in all.values_mut() {
        series.samples.make_contiguous().sort_unstable_by_key(|sample| sample.unix_seconds);
    }
    all
}

fn with_events(
    core: &mut Core,
    io: &mut Io,
    call: &Call<'_>,
    write: impl FnOnce(&mut Writer<'_>, BTreeMap<&'static str, Series>) + 'static,
) {
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        |core, _| core.latency.clone(),
        move |core, io, parts| core.fulfil(io, ticket, |out| write(out, merged(parts))),
    );
}

pub fn latest(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    with_events(core, io, call, |out, events| {
        out.array(events.len());
        for (event, series) in &events {
            let last = series.samples.back().copied().unwrap_or(Sample { unix_seconds: 0, ms: 0 });
            out.array(4);
            out.bulk_str(event);
            out.int(last.unix_seconds);
            out.int(last.ms as i64);
            out.int(series.max_ms as i64);
        }
    });
    Ok(())
}

pub fn history(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let event = call.args.get(2).to_vec();
    with_events(core, io, call, move |out, events| {
        let series = events.iter().find(|(name, _)| name.as_bytes() == event).map(|(_, series)| series);
        out.array(series.map_or(0, |series| series.samples.len()));
        for sample in series.iter().flat_map(|series| &series.samples) {
            out.array(2);
            out.int(sample.unix_seconds);
            out.int(sample.ms as i64);
        }
    });
    Ok(())
}

pub fn reset(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let events: Vec<Vec<u8>> = call.args.iter().skip(2).map(<[u8]>::to_vec).collect();
    let ticket = core.promise(call.conn);
    let work = move |core: &mut Core, _: &mut Io| -> Vec<&'static str> {
        let chosen = |name: &str| events.is_empty() || events.iter().any(|event| event.as_slice() == name.as_bytes());
        let gone: Vec<&'static str> = core.latency.series.keys().copied().filter(|name| chosen(name)).collect();
        gone.iter().for_each(|name| {
            core.latency.series.remove(name);
        });
        gone
    };
    core.gather_all(io, work, move |core, io, parts| {
        let mut gone: Vec<&str> = parts.into_iter().flatten().collect();
        gone.sort_unstable();
        gone.dedup();
        core.fulfil(io, ticket, |out| out.int(gone.len() as i64));
    });
    Ok(())
}

/// Height of LATENCY GRAPH in lines, and levels that one line shows.
const GRAPH_ROWS: usize = 4;
const GRAPH_LEVELS: [u8; 3] = [b'_', b'o', b'#'];

pub fn graph(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let event = call.args.get(2).to_vec();
    let now = io.now_ms() / 1000;
    with_events(core, io, call, move |out, events| match events.iter().find(|(name, _)| name.as_bytes() == event) {
        Some((name, series)) => out.verbatim("txt", draw(name, series, now).as_bytes()),
        None => CommandError::quoting("ERR No samples available for event '", &event, "'").write(out),
    });
    Ok(())
}

/// The samples as columns of text, newest to the right, their ages below.
fn draw(name: &str, series: &Series, now: i64) -> String {
    let samples: Vec<Sample> = series.samples.iter().copied().collect();
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max_ms);
    text.push_str(&"-".repeat(80));
    text.push('\n');
    let steps = (GRAPH_ROWS * GRAPH_LEVELS.len()) as u64;
    let level = |ms: u64| ((ms - low) * (steps - 1) / (high - low).max(1)) as usize;
    for row in (0..GRAPH_ROWS).rev() {
        let line: Vec<u8> = samples
            .iter()
            .map(|sample| match level(sample.ms) / GRAPH_LEVELS.len() {
                at if at == row => GRAPH_LEVELS[level(sample.ms) % GRAPH_LEVELS.len()],
                at if at > row => b'|',
                _ => b' ',
            })
            .collect();
        text.push_str(String::from_utf8_lossy(&line).trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<Vec<u8>> = samples.iter().map(|sample| age(now - sample.unix_seconds).into_bytes()).collect();
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        let line: Vec<u8> = ages.iter().map(|age| age.get(row).copied().unwrap_or(b' ')).collect();
        text.push_str(String::from_utf8_lossy(&line).trim_end());
        text.push('\n');
    }
    text
}

fn age(seconds: i64) -> String {
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m", s / 60),
        s if s < 86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

pub fn doctor(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let threshold = core.settings.latency_threshold_ms;
    with_events(core, io, call, move |out, events| out.verbatim("txt", diagnosis(threshold, &events).as_bytes()));
    Ok(())
}

fn diagnosis(threshold_ms: u64, events: &BTreeMap<&'static str, Series>) -> String {
    if threshold_ms == 0 {
        return "The latency monitor is off. Turn it on with CONFIG SET latency-monitor-threshold <milliseconds>: \
                events at least that long are then recorded.\n"
            .to_owned();
    }
    if events.is_empty() {
        return format!(
            "No event took {threshold_ms} ms or longer since the latency monitor was turned on or reset.\n"
        );
    }
    let mut text = String::new();
    for (event, series) in events {
        let sum: u64 = series.samples.iter().map(|sample| sample.ms).sum();
        let mean = sum / series.samples.len().max(1) as u64;
        text.push_str(&format!(
            "{event}: {} seconds with a latency spike, {mean} ms on average, {} ms at worst.\n",
            series.samples.len(),
            series.max_ms
        ));
    }
    text.push_str(
        "Look with SLOWLOG GET at which commands these were, and with INFO cpu at whether the cores are shared.\n",
    );
    text
}

/// Histograms of some commands, merged over cores.
type Histograms = BTreeMap<CommandId, (u64, Histogram<u64>)>;

pub fn histogram(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let wanted: Vec<CommandId> = match call.args.len() {
        2 => registry().all().collect(),
        _ => call.args.iter().skip(2).flat_map(with_subcommands).collect(),
    };
    let ticket = core.promise(call.conn);
    let work = move |core: &mut Core, _: &mut Io| -> Histograms {
        let stats = &core.exec.stats.commands;
        let known = wanted.iter().filter_map(|&id| {
            let stats = &stats[usize::from(id.0)];
            stats.times.as_ref().map(|times| (id, (stats.calls, times.histogram())))
        });
        known.collect()
    };
    core.gather_all(io, work, move |core, io, parts| {
        let mut all = Histograms::new();
        for (id, (calls, histogram)) in parts.into_iter().flatten() {
            match all.get_mut(&id) {
                None => {
                    all.insert(id, (calls, histogram));
                }
                Some((sum, merged)) => {
                    *sum += calls;
                    // Same bounds everywhere: nothing can be out of range.
                    merged.add(&histogram).ok();
                }
            }
        }
        core.fulfil(io, ticket, |out| write_histograms(out, &all));
    });
    Ok(())
}

/// A command and, when it is a container, its subcommands.
fn with_subcommands(name: &[u8]) -> Vec<CommandId> {
    match registry().find_full(name) {
        None => Vec::new(),
        Some(id) => std::iter::once(id).chain(registry().subcommands(id)).collect(),
    }
}

/// The first step of the logarithmic buckets, in ns, as in Redis.
const FIRST_STEP_NS: u64 = 1024;

fn write_histograms(out: &mut Writer<'_>, all: &Histograms) {
    out.map(all.len());
    for (id, (calls, histogram)) in all {
        out.bulk_str(registry().full_name(*id));
        out.map(2);
        out.bulk_str("calls");
        out.int(*calls as i64);
        out.bulk_str("histogram_usec");
        let mut steps = Vec::new();
        let mut total = 0;
        for step in histogram.iter_log(FIRST_STEP_NS, 2.0) {
            if step.count_since_last_iteration() > 0 {
                total += step.count_since_last_iteration();
                steps.push((histogram.highest_equivalent(step.value_iterated_to()) / 1000, total));
            }
        }
        out.map(steps.len());
        for (micros, count) in steps {
            out.int(micros as i64);
            out.int(count as i64);
        }
    }
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::LATENCY);
    Ok(())
}
