//! `pinyon check`: reads all of a store as a start would, and more: nothing stops at the first thing that is wrong.

use std::path::Path;

use pinyon_durability::cut::Rule;
use pinyon_durability::history::Scans;
use pinyon_durability::recovery::{Options, Plan};
use pinyon_durability::{Manifest, StdDisk};

use crate::error::ToolError;
use crate::progress::size;
use crate::{store, when};

/// Whether everything is in order; what is found goes to standard output.
pub fn check(dir: &Path) -> Result<bool, ToolError> {
    let folder = store::folder_of(dir)?;
    let disk = StdDisk::new(&folder);
    println!("{}", folder.display());
    let opened = match store::open(&disk) {
        Ok(opened) => opened,
        Err(error) => {
            println!("DAMAGED  {error}");
            return Ok(false);
        }
    };
    let manifest = opened.manifest().clone();
    println!(
        "store {}: manifest {}, {} runs of {} so far",
        manifest.server,
        manifest.generation,
        manifest.runs.len(),
        manifest.last_run.0
    );
    let mut wrong: Vec<String> = store::verify_snapshot(&disk, &manifest).iter().map(ToString::to_string).collect();
    tell_snapshot(&manifest);
    let scans = store::scan(&disk, &opened)?;
    tell_segments(&scans);
    wrong.extend(scans.values().filter_map(|scan| scan.as_ref().err()).map(ToString::to_string));
    match opened.plan(&disk, scans, Options::default()) {
        Ok(plan) if wrong.is_empty() => tell_plan(&plan),
        Ok(_) => println!("a start would be refused"),
        Err(error) => {
            println!("a start would be refused: {error}");
            let text = error.to_string();
            if !wrong.contains(&text) {
                wrong.push(text);
            }
        }
    }
    wrong.iter().for_each(|wrong| println!("DAMAGED  {wrong}"));
    println!("{}", if wrong.is_empty() { "in order" } else { "not in order" });
    Ok(wrong.is_empty())
}

fn tell_snapshot(manifest: &Manifest) {
    if let Some(snapshot) = &manifest.snapshot {
        let bytes = snapshot.files.iter().map(|file| file.bytes).sum();
        let entries: u64 = snapshot.files.iter().map(|file| file.entries).sum();
        println!(
            "snapshot {} of {}, epoch {}: {entries} entries in {} files, {}",
            snapshot.id.0,
            when::write(snapshot.time),
            snapshot.epoch.0,
            snapshot.files.len(),
            size(bytes)
        );
    }
}

fn tell_segments(scans: &Scans) {
    let fine = || scans.values().filter_map(|scan| scan.as_ref().ok());
    let frames: u64 = fine().map(|scan| scan.frames()).sum();
    let bytes = fine().map(|scan| scan.end).sum();
    println!("logs: {} segments, {frames} frames, {} in use", scans.len(), size(bytes));
}

fn tell_plan(plan: &Plan) {
    println!("a start would restore:");
    if let Some(snapshot) = &plan.manifest.snapshot {
        println!("  the snapshot {}", snapshot.id.0);
    }
    for run in &plan.runs {
        for log in &run.logs {
            let records = (log.end.0 + 1).saturating_sub(log.start.lsn.0);
            println!(
                "  run {}, shard {}: {records} records, lsn {} to {}",
                run.run.0, log.shard.0, log.start.lsn.0, log.end.0
            );
        }
    }
    let Some(cut) = &plan.report.cut else { return };
    let rule = match cut.rule {
        Rule::Epoch => "the last epoch that is on all shards",
        Rule::StablePrefix => "what was acknowledged, behind the last epoch that is on all shards",
    };
    println!("cut at epoch {}: {rule}", cut.epoch.0);
    for (shard, dropped) in plan.report.dropped.iter().enumerate().filter(|(_, dropped)| **dropped > 0) {
        println!("  shard {shard}: {dropped} records behind the cut are left out");
    }
    plan.report.torn.iter().for_each(|torn| println!("  {torn}"));
}
