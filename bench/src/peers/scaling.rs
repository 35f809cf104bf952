//! The closed loop over 1, 2, 4 … and all cores: Pinyon with hops and with core ports, the peers with as many threads.
//!
//! Cores that do not serve generate the load. With all of them serving, the generator shares them, so that such figures say
//! less of the server than of the machine; every record says which it is.

use std::fs;

use super::campaign::{Campaign, START_MAX, spoken};
use super::closed::{Contender, rounds};
use super::machine::{Layout, core_steps};
use super::server::{Launch, Peer, PeerKind, Server};
use super::workload::{Options, Workload};

/// The directive that gives every core a port of its own.
const CORE_PORTS: &str = "core-ports";

pub fn run(campaign: &mut Campaign, workload: &Workload) -> Result<(), String> {
    let options = workload.runs(campaign.orders.quick).1;
    campaign.describe(workload, &options, None)?;
    let mut left_out: Vec<(PeerKind, String)> = Vec::new();
    for serving in core_steps(campaign.cores.len()) {
        let layout = Layout::new(&campaign.cores, serving);
        let mut contenders = Vec::new();
        for peer in campaign.orders.peers.clone() {
            match contenders_of(campaign, workload, &peer, &layout, &options) {
                Ok((mut of_peer, missing)) => {
                    contenders.append(&mut of_peer);
                    left_out.extend(missing.map(|reason| (peer.kind, reason)));
                }
                Err(reason) => left_out.push((peer.kind, reason)),
            }
        }
        rounds(campaign, workload, &contenders, &layout)?;
    }
    left_out.dedup();
    for (kind, reason) in left_out {
        campaign.leave_out(workload, kind, &reason)?;
    }
    Ok(())
}

/// The server, prepared; for Pinyon over several cores a second one with core ports, or the reason why there is none.
fn contenders_of(
    campaign: &Campaign,
    workload: &Workload,
    peer: &Peer,
    layout: &Layout,
    options: &Options,
) -> Result<(Vec<Contender>, Option<String>), String> {
    let mut options = spoken(peer.kind, options.clone());
    options.set("threads", layout.generator.len());
    if layout.shared() {
        // A generator that looks for replies all the time would take the servers' cores from them.
        options.set("spin", "no");
    } else {
        let cores: Vec<String> = layout.generator.iter().map(usize::to_string).collect();
        options.set("cpus", cores.join(","));
    }
    let launch = Launch {
        cores: layout.server.clone(),
        threads: layout.server.len(),
        spare_core: None,
        alone: !layout.shared(),
        ..campaign.launch(workload, peer.kind)
    };
    let server = campaign.start(workload, peer, &launch)?;
    campaign.prepare(workload, &server)?;
    let pinyon = peer.kind == PeerKind::Pinyon;
    let knows_core_ports = pinyon && server.has_directive(CORE_PORTS);
    let variant = if pinyon { "hops" } else { "" };
    let mut contenders = vec![Contender { server, options: options.clone(), variant }];
    if !pinyon || layout.server.len() == 1 {
        return Ok((contenders, None));
    }
    if !knows_core_ports {
        return Ok((contenders, Some(format!("core ports: pinyon has no directive {CORE_PORTS} yet"))));
    }
    match with_core_ports(campaign, workload, peer, &launch, options) {
        Ok(contender) => contenders.push(contender),
        Err(reason) => return Ok((contenders, Some(format!("core ports: {reason}")))),
    }
    Ok((contenders, None))
}

fn with_core_ports(
    campaign: &Campaign,
    workload: &Workload,
    peer: &Peer,
    launch: &Launch,
    mut options: Options,
) -> Result<Contender, String> {
    let mut launch = launch.clone();
    launch.folder.set_file_name(format!("{}-core-ports", workload.name));
    launch.extra.extend([format!("--{CORE_PORTS}"), "yes".to_owned()]);
    let _ = fs::remove_dir_all(&launch.folder);
    // The ports after a free one may be taken; then another is tried.
    let started = (0..5).map(|_| Server::start(peer, &launch, START_MAX)).find_map(Result::ok);
    let server = started.ok_or_else(|| format!("pinyon does not start with --{CORE_PORTS} yes"))?;
    campaign.prepare(workload, &server)?;
    options.set("cluster", "yes");
    Ok(Contender { server, options, variant: "core ports" })
}
