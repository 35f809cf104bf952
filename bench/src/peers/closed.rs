//! Closed and open loops: every server prepared, then rounds in alternation.

use super::alternate::alternate;
use super::campaign::{Campaign, said, spoken};
use super::disturbance::{Disturbance, Sample};
use super::generator::{Generator, longest};
use super::machine::Layout;
use super::record::{Load, Record, Round};
use super::server::{PeerKind, Server};
use super::workload::{Kind, Options, Workload};

/// A server that takes its turns, and what pinyon-bench is told to do to it.
pub struct Contender {
    pub server: Server,
    pub options: Options,
    /// Scaling: "hops" or "core ports".
    pub variant: &'static str,
}

/// Starts and prepares all servers and measures them.
pub fn run(campaign: &mut Campaign, workload: &Workload) -> Result<(), String> {
    let mut servers = campaign.start_all(workload)?;
    campaign.prepare_all(workload, &mut servers)?;
    let mut options = workload.runs(campaign.orders.quick).1;
    let note = match workload.kind {
        Kind::Open => at_peak_share(campaign, workload, &servers, &mut options),
        _ => None,
    };
    campaign.describe(workload, &options, note)?;
    let contender = |server: Server| Contender { options: spoken(server.kind, options.clone()), server, variant: "" };
    let contenders: Vec<Contender> = servers.into_iter().map(contender).collect();
    let layout = campaign.layout.clone();
    rounds(campaign, workload, &contenders, &layout)
}

/// Measures the contenders in alternation and writes a record for every round.
pub fn rounds(
    campaign: &mut Campaign,
    workload: &Workload,
    contenders: &[Contender],
    layout: &Layout,
) -> Result<(), String> {
    let count = workload.rounds.filter(|_| !campaign.orders.quick).unwrap_or(campaign.orders.rounds);
    let generator = Generator { cores: layout.generator.clone(), ..campaign.generator() };
    let mut allowance = campaign.allowance;
    let mut broken = None;
    let failed = alternate(contenders.len(), count, &mut allowance, |index, number| {
        let mut round = measure(&generator, &contenders[index], layout)?;
        (round.workload, round.round) = (workload.name.clone(), number);
        if workload.kind != Kind::Open {
            // Only open loops have a plot of it.
            round.load.histogram.clear();
        }
        tell(&round);
        let quiet = round.disturbance.is_quiet();
        let all_failed = round.load.errors >= round.load.ops;
        let texts = round.load.error_texts.join("; ");
        if let Err(error) = campaign.journal.add(Record::Round(Box::new(round))) {
            broken = Some(error);
        }
        if all_failed { Err(format!("every reply was an error: {texts}")) } else { Ok(quiet) }
    });
    campaign.allowance = allowance;
    if let Some(error) = broken {
        return Err(error);
    }
    for (index, reason) in failed {
        campaign.leave_out(workload, contenders[index].server.kind, &reason)?;
    }
    Ok(())
}

/// One run of pinyon-bench with the disturbance meanwhile; a record that lacks only the workload and the number.
fn measure(generator: &Generator, contender: &Contender, layout: &Layout) -> Result<Round, String> {
    let (server, options) = (&contender.server, &contender.options);
    let cores = layout.all();
    let before = Sample::take(&cores, server.pid());
    let load = generator.run(options, server.port, server.pid(), longest(options))?;
    let after = Sample::take(&cores, server.pid());
    let disturbance = Disturbance::between(&before, &after, cores.len(), layout.shared());
    Ok(Round { variant: contender.variant.to_owned(), ..round_of(server, layout, load, disturbance) })
}

/// A record of a load without workload, number and variant.
pub fn round_of(server: &Server, layout: &Layout, load: Load, disturbance: Disturbance) -> Round {
    let disturbance = Disturbance { lagging: load.lagging as f64 / load.ops.max(1) as f64, ..disturbance };
    Round {
        server: server.kind.name().to_owned(),
        server_cores: layout.server.len(),
        generator_cores: layout.generator.len(),
        shared_cores: layout.shared(),
        command_line: server.command_line.clone(),
        disturbance,
        load,
        ..Round::default()
    }
}

/// A line of progress.
pub fn tell(round: &Round) {
    let complaints = round.disturbance.complaints();
    let disturbed =
        if complaints.is_empty() { String::new() } else { format!("  disturbed: {}", complaints.join(", ")) };
    let load = &round.load;
    said(&format!(
        "    {:<10} {:>10.0} ops/s  {:>7.3} µs CPU/op  p99.9 {:>9.0} µs  {}{disturbed}",
        round.server,
        load.ops_per_s,
        load.cpu_us(),
        load.p999_us,
        round.variant
    ));
}

/// Sets the rate to a share of what valkey (or the first server there is) does in the closed loop; says so in words.
fn at_peak_share(
    campaign: &Campaign,
    workload: &Workload,
    servers: &[Server],
    options: &mut Options,
) -> Option<String> {
    let share = workload.peak_share?;
    let server = servers.iter().find(|server| server.kind == PeerKind::Valkey).or(servers.first())?;
    let mut closed = options.clone();
    closed.remove("rate");
    closed.set("duration", if campaign.orders.quick { 1 } else { 2 });
    let mut peaks: Vec<f64> = Vec::new();
    for _ in 0..3 {
        let load = campaign.generator().run(&closed, server.port, server.pid(), longest(&closed)).ok()?;
        peaks.push(load.ops_per_s);
    }
    peaks.sort_by(f64::total_cmp);
    let rate = (share * peaks[1]).round();
    options.set("rate", rate);
    let (name, percent) = (server.kind.name(), share * 100.0);
    Some(format!(
        "The rate is {percent:.0} % of {name}'s peak in the closed loop, {rate:.0} of {:.0} a second.",
        peaks[1]
    ))
}
