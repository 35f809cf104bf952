//! `pinyon restore`: a store out of a backup, up to its end or to a moment before.

use std::path::Path;

use pinyon_base::ShardId;
use pinyon_durability::history::Scans;
use pinyon_durability::recovery::Options;
use pinyon_durability::{Found, Manifest, StdDisk, names, recovery};

use crate::backup::{Target, segments_of};
use crate::copy::{copy, is_empty, make_folder, sync_folder};
use crate::cut::{self, Cut};
use crate::error::ToolError;
use crate::progress::Progress;
use crate::when::{self, Until};

/// Makes the store `folder`.
pub fn restore(target: &Path, folder: &Path, until: Option<Until>) -> Result<(), ToolError> {
    if !target.join("files").is_dir() {
        return Err(ToolError::NoBackup(target.to_path_buf()));
    }
    if !is_empty(folder) {
        return Err(ToolError::NotEmpty(folder.to_path_buf()));
    }
    let target = Target::open(target)?;
    let cut = choose(&target, until)?;
    make_folder(folder)?;
    let (from, to) = (target.files(), StdDisk::new(folder));
    let mut files: Vec<String> = segments_of(&from, &cut.manifest)?.into_iter().map(|name| name.path()).collect();
    if let Some(snapshot) = &cut.manifest.snapshot {
        make_folder(&to.path(&names::snapshot_folder(snapshot.id)))?;
        files.extend((0..snapshot.files.len()).map(|shard| names::snapshot_file(snapshot.id, ShardId(shard as u16))));
    }
    let lengths = files.iter().map(|file| std::fs::metadata(from.path(file)).map_or(0, |metadata| metadata.len()));
    let mut progress = Progress::new("copying:", lengths.sum());
    for file in &files {
        copy(&from.path(file), &to.path(file), &mut progress)?;
    }
    drop(progress);
    if let Some(snapshot) = &cut.manifest.snapshot {
        sync_folder(&to.path(&names::snapshot_folder(snapshot.id)))?;
    }
    sync_folder(folder)?;
    // Last: without it, it is no store.
    cut.manifest.install(&to)?;
    let time = cut.time.map(|time| format!(", {}", when::write(time))).unwrap_or_default();
    println!("{}: epoch {}{time}", folder.display(), cut.epoch.0);
    Ok(())
}

/// The newest backup that has the moment, cut there.
fn choose(target: &Target, until: Option<Until>) -> Result<Cut, ToolError> {
    let mut held = Vec::new();
    let mut newest = true;
    for (number, manifest) in target.backups().collect::<Vec<_>>().into_iter().rev() {
        let scans = target.scan(manifest)?;
        let span = cut::span(manifest, &scans);
        held.push(format!("backup {number}: {span}"));
        let is_beyond = match until {
            Some(Until::Epoch(epoch)) => epoch > span.last.0,
            Some(Until::Time(time)) if newest && span.last_time.is_some_and(|last| time > last) => {
                eprintln!("pinyon: the newest backup ends before {}: {span}", when::write(time));
                false
            }
            _ => false,
        };
        newest = false;
        let found = if is_beyond { None } else { cut::at(manifest, &scans, until) };
        if let Some(cut) = found {
            judge(&target.files(), &cut.manifest, scans)?;
            return Ok(cut);
        }
    }
    match until {
        Some(until) if !held.is_empty() => Err(ToolError::NotHeld { wanted: until.to_string(), held }),
        _ => Err(ToolError::NoBackup(target.files().folder().to_path_buf())),
    }
}

/// Whether a start would accept the files with this manifest.
pub fn judge(files: &StdDisk, manifest: &Manifest, scans: Scans) -> Result<(), ToolError> {
    let trial = files.folder().with_file_name("trial");
    drop(std::fs::remove_dir_all(&trial));
    make_folder(&trial)?;
    let judged = (|| {
        let disk = StdDisk::new(&trial);
        manifest.install(&disk)?;
        // The plan goes by the scans; segments need not lie beside the manifest.
        match recovery::find(&disk)? {
            Found::Store(store) => Ok(store.plan(files, scans, Options::default()).map(drop)?),
            Found::Nothing => Err(ToolError::CopyNotWhole("its manifest is lost".to_owned())),
        }
    })();
    drop(std::fs::remove_dir_all(&trial));
    judged
}
