//! Which plots a report has, and what is on them.

use crate::peers::plot::{Axis, BarChart, BarGroup, LineChart, Panels, Scale, Series, Span, class_of};
use crate::peers::record::{Memory, Record, Round};

use super::summary::{Results, Summary};
use super::text::{count, time, time_tick};

/// A picture of the report.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its file in `plots/`.
    pub file: String,
    pub title: String,
    /// The workload that it belongs to; empty for one over several.
    pub workload: String,
    pub svg: String,
}

/// All plots for which there are figures.
pub fn plots(records: &[Record]) -> Vec<Plot> {
    let all = Results::all(records);
    let mut plots = Vec::new();
    plots.extend(relative(
        &all,
        "cpu-per-operation",
        "CPU per operation",
        "Server CPU time, user and kernel, times that of valkey; shorter is better",
        &|one| one.cpu_us,
        &time,
    ));
    plots.extend(relative(
        &all,
        "throughput",
        "Throughput on one core",
        "Operations per second, times those of valkey; longer is better",
        &|one| one.ops_per_s,
        &|rate| format!("{}/s", count(rate)),
    ));
    plots.extend(memory(&all));
    for results in &all {
        match results.workload.kind.as_str() {
            "open" => plots.extend(percentiles(results)),
            "snapshot" | "expire" => plots.extend(over_time(results)),
            "scaling" => plots.extend(scaling(results)),
            _ => {}
        }
    }
    plots
}

/// Names and classes of servers in the order in which they appear.
fn servers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
    let mut servers: Vec<(String, usize)> = Vec::new();
    for name in names {
        if !servers.iter().any(|(known, _)| known == name) {
            servers.push((name.to_owned(), class_of(name)));
        }
    }
    servers.sort_by_key(|(_, class)| *class);
    servers
}

/// Bars of all closed loops, as multiples of valkey's figure.
fn relative(
    all: &[Results],
    file: &str,
    title: &str,
    subtitle: &str,
    figure: &dyn Fn(&Summary) -> f64,
    text: &dyn Fn(f64) -> String,
) -> Option<Plot> {
    let closed: Vec<&Results> = all.iter().filter(|results| results.workload.kind == "closed").collect();
    let mut groups = Vec::new();
    for results in &closed {
        let Some(reference) = results.of("valkey").map(figure).filter(|value| *value > 0.0) else { continue };
        let mut bars: Vec<(usize, f64, String)> = results
            .summaries
            .iter()
            .filter(|one| figure(one) > 0.0)
            .map(|one| (class_of(&one.server), figure(one) / reference, text(figure(one))))
            .collect();
        bars.sort_by_key(|(class, ..)| *class);
        groups.push(BarGroup { name: results.workload.title.clone(), bars });
    }
    if groups.is_empty() {
        return None;
    }
    // Bars far beyond the others would leave no room for them; their text has the figure.
    let values = groups.iter().flat_map(|group| group.bars.iter().map(|(_, value, _)| value.min(3.0)));
    let axis = Axis::linear("times valkey", values, |value| format!("{value:.1}"));
    let names = closed.iter().flat_map(|results| results.summaries.iter().map(|one| one.server.as_str()));
    let chart = BarChart {
        title: title.to_owned(),
        subtitle: subtitle.to_owned(),
        axis,
        reference: Some(1.0),
        servers: servers(names),
        groups,
    };
    Some(Plot { file: format!("{file}.svg"), title: title.to_owned(), workload: String::new(), svg: chart.svg() })
}

fn memory(all: &[Results]) -> Option<Plot> {
    let with: Vec<&Results> = all.iter().filter(|results| !results.memory.is_empty()).collect();
    if with.is_empty() {
        return None;
    }
    // Shapes differ by a factor of thirty, so that each has its own measure: valkey's figure, or the first one.
    let group = |results: &&Results| {
        let valkey = results.memory.iter().find(|one| one.server == "valkey").or(results.memory.first());
        let measure = valkey.map_or(1.0, |valkey| valkey.per_key().max(1e-9));
        let bar = |one: &Memory| (class_of(&one.server), one.per_key() / measure, format!("{:.0} B", one.per_key()));
        let mut bars: Vec<_> = results.memory.iter().map(bar).collect();
        bars.sort_by_key(|(class, ..)| *class);
        BarGroup { name: short(&results.workload.title), bars }
    };
    let groups: Vec<BarGroup> = with.iter().map(group).collect();
    let values = groups.iter().flat_map(|group| group.bars.iter().map(|(_, value, _)| *value));
    let chart = BarChart {
        title: "Memory per key".to_owned(),
        subtitle: "Resident bytes per key, key and value included, times those of valkey; shorter is better".to_owned(),
        axis: Axis::linear("times valkey", values, |value| format!("{value:.1}")),
        reference: Some(1.0),
        servers: servers(with.iter().flat_map(|results| results.memory.iter().map(|one| one.server.as_str()))),
        groups,
    };
    let title = "Memory per key".to_owned();
    Some(Plot { file: "memory-per-key.svg".to_owned(), title, workload: String::new(), svg: chart.svg() })
}

/// "Memory: 64-byte strings" without its first word.
fn short(title: &str) -> String {
    title.split_once(": ").map_or(title, |(_, rest)| rest).to_owned()
}

fn percentiles(results: &Results) -> Option<Plot> {
    let series: Vec<Series> = results
        .summaries
        .iter()
        .map(|one| Series {
            name: one.name(),
            class: class_of(&one.server),
            points: one.percentiles(5),
            secondary: false,
        })
        .filter(|series| series.points.len() > 1)
        .collect();
    if series.is_empty() {
        return None;
    }
    let furthest = series.iter().flat_map(|one| one.points.iter().map(|(at, _)| *at)).fold(10.0, f64::max);
    let nines = (furthest.log10().ceil() as u32).clamp(2, 5);
    let latencies = series.iter().flat_map(|one| one.points.iter().map(|(_, latency)| *latency));
    let y = Axis::log("latency", latencies, time_tick);
    let x = Axis { label: "percentile".to_owned(), ..Axis::percentiles(nines) };
    let title = format!("Latency: {}", results.workload.title);
    let subtitle = "Counted from the intended time of sending; lower is better".to_owned();
    let chart = LineChart { title: title.clone(), subtitle, x, y, series };
    let file = format!("latency-{}.svg", results.workload.name);
    Some(Plot { file, title, workload: results.workload.name.clone(), svg: chart.svg() })
}

/// One panel per server: p99 of every second as a line, its maximum as a thin one.
fn over_time(results: &Results) -> Option<Plot> {
    let mut rounds: Vec<&Round> = Vec::new();
    for round in results.rounds.iter().filter(|round| !round.load.series.is_empty()) {
        if !rounds.iter().any(|known| known.server == round.server) {
            rounds.push(round);
        }
    }
    if rounds.is_empty() {
        return None;
    }
    let seconds = rounds.iter().flat_map(|round| &round.load.series);
    let y = Axis::log("latency", seconds.clone().flat_map(|second| [second.p99_us, second.max_us]), time_tick);
    let longest = seconds.map(|second| second.t).fold(1.0, f64::max);
    let mut x = Axis::linear("seconds", std::iter::once(longest), |value| format!("{value}"));
    x.max = longest;
    x.ticks.retain(|(at, _)| *at <= longest);
    let panels = rounds
        .iter()
        .map(|round| {
            let class = class_of(&round.server);
            let line = |secondary: bool| Series {
                name: round.server.clone(),
                class,
                points: round
                    .load
                    .series
                    .iter()
                    .map(|one| (one.t - 0.5, if secondary { one.max_us } else { one.p99_us }))
                    .collect(),
                secondary,
            };
            (round.server.clone(), vec![line(true), line(false)], spans(round, longest, class))
        })
        .collect();
    let title = format!("Latency over time: {}", results.workload.title);
    let subtitle = "p99 of each second, and its maximum (thin); what went on meanwhile is shaded".to_owned();
    let chart = Panels { title: title.clone(), subtitle, x, y, panels };
    let file = format!("over-time-{}.svg", results.workload.name);
    Some(Plot { file, title, workload: results.workload.name.clone(), svg: chart.svg() })
}

/// From the first event to the last one.
fn spans(round: &Round, longest: f64, class: usize) -> Vec<Span> {
    let (Some((from, _)), Some((to, what))) = (round.events.first(), round.events.last()) else { return Vec::new() };
    let to = to.min(longest);
    vec![Span { from: *from, to, label: format!("{what} after {:.1} s", (to - from).max(0.0)), class }]
}

fn scaling(results: &Results) -> Option<Plot> {
    let mut names: Vec<(String, String)> = Vec::new();
    for one in &results.summaries {
        let name = (one.server.clone(), one.variant.clone());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let line = |(server, variant): &(String, String)| {
        let of =
            results.summaries.iter().filter(|one| one.server == *server && (one.variant == *variant || one.cores == 1));
        let name = if variant.is_empty() { server.clone() } else { format!("{server}, {variant}") };
        // Core ports are another way of the same server: another class, the same legend.
        let class = if variant == "core ports" { usize::MAX } else { class_of(server) };
        Series { name, class, points: of.map(|one| (one.cores as f64, one.ops_per_s)).collect(), secondary: false }
    };
    let series: Vec<Series> = names.iter().map(line).map(|one| Series { class: one.class.min(5), ..one }).collect();
    let mut steps: Vec<usize> = results.summaries.iter().map(|one| one.cores).collect();
    steps.sort_unstable();
    steps.dedup();
    let most = *steps.last()?;
    if most < 2 {
        return None;
    }
    let ticks = steps.iter().map(|step| (*step as f64, step.to_string())).collect();
    let label = "cores that serve".to_owned();
    let x = Axis { label, scale: Scale::Log, min: 1.0, max: most as f64, ticks };
    let rates = series.iter().flat_map(|one| one.points.iter().map(|(_, rate)| *rate));
    let y = Axis::linear("operations per second", rates, count);
    let shared = results.summaries.iter().any(|one| one.shared_cores);
    let subtitle = if shared {
        "Where all cores serve, the load generator shares them; higher is better"
    } else {
        "The load comes from other cores; higher is better"
    };
    let title = format!("Throughput over cores: {}", results.workload.title);
    let chart = LineChart { title: title.clone(), subtitle: subtitle.to_owned(), x, y, series };
    let file = format!("cores-{}.svg", results.workload.name);
    Some(Plot { file, title, workload: results.workload.name.clone(), svg: chart.svg() })
}
