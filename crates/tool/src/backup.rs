//! `pinyon backup`: a consistent copy of a store, of a running server too; what an earlier backup has is not copied again.
//!
//! ```text
//! TARGET/files/            log-… and snapshot-…, by the names that they have in the store
//! TARGET/backup-<n>/       manifest: what of them belongs to the n-th backup, cut at one epoch
//! ```
//!
//! A running server is asked to seal an epoch, then its files are copied while it goes on. What is copied of the log's end may
//! be torn; so the backup is cut at an epoch that is whole in the copies of all shards, not before the one asked for. If the
//! server replaced its manifest meanwhile, files may have been recycled under the copy, and it is made again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pinyon_base::ShardId;
use pinyon_durability::history::Scans;
use pinyon_durability::manifest::SnapshotFileRef;
use pinyon_durability::names::{self, Named, SegmentName};
use pinyon_durability::recovery::Options;
use pinyon_durability::scan::scan_segment;
use pinyon_durability::{Disk, Manifest, StdDisk};

use crate::copy::{copy, make_folder, sync_folder};
use crate::cut::{self, Cut};
use crate::error::{ToolError, at};
use crate::progress::{Progress, size};
use crate::server::Server;
use crate::{store, when};

/// Attempts while the server replaces its manifest.
const TRIES: usize = 5;

pub fn backup(source: &str, target: &Path, password: Option<&str>) -> Result<(), ToolError> {
    let target = Target::open(target)?;
    if Path::new(source).is_dir() {
        let disk = StdDisk::new(store::folder_of(Path::new(source))?);
        let folder = disk.folder().to_path_buf();
        let Some(_lock) = disk.lock()? else { return Err(ToolError::InUse(folder)) };
        let opened = store::open(&disk)?;
        let scans = store::scan(&disk, &opened)?;
        let span = cut::span(opened.manifest(), &scans);
        let plan = opened.plan(&disk, scans, Options::default())?;
        let cut = cut::as_planned(&plan, &span);
        let copied = target.copy_files(&disk, &cut.manifest)?;
        return target.install(&cut, copied);
    }
    let mut server = Server::connect(source, password)?;
    let disk = StdDisk::new(server.folder()?);
    for _ in 0..TRIES {
        server.seal()?;
        let Some(manifest) = Manifest::load(&disk)? else {
            return Err(ToolError::NoStore(disk.folder().to_path_buf()));
        };
        let copied = match target.copy_files(&disk, &manifest) {
            // Freed while it was copied.
            Err(ToolError::File(_, error)) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if Manifest::load(&disk)?.is_some_and(|now| now.generation == manifest.generation) {
            let cut = target.cut(&manifest)?;
            return target.install(&cut, copied);
        }
    }
    Err(ToolError::Restless)
}

/// The folder of the backups.
pub struct Target {
    folder: PathBuf,
    /// By number.
    backups: BTreeMap<u64, Manifest>,
}

impl Target {
    pub fn open(folder: &Path) -> Result<Target, ToolError> {
        make_folder(&folder.join("files"))?;
        let mut backups = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let name = entry.map_err(at(folder))?.file_name().to_string_lossy().into_owned();
            let Some(number) = name.strip_prefix("backup-").and_then(names::number::<u64>) else { continue };
            if let Some(manifest) = Manifest::load(&StdDisk::new(folder.join(&name)))? {
                backups.insert(number, manifest);
            }
        }
        Ok(Target { folder: folder.to_path_buf(), backups })
    }

    pub fn backups(&self) -> impl Iterator<Item = (&u64, &Manifest)> {
        self.backups.iter()
    }

    pub fn files(&self) -> StdDisk {
        StdDisk::new(self.folder.join("files"))
    }

    /// Copies what the manifest names and is not there yet; how many bytes.
    fn copy_files(&self, from: &StdDisk, manifest: &Manifest) -> Result<u64, ToolError> {
        if let Some((_, of)) = self.backups.first_key_value()
            && of.server != manifest.server
        {
            let folder = self.folder.display().to_string();
            return Err(ToolError::OfAnotherStore(folder, of.server.to_string(), manifest.server.to_string()));
        }
        let to = self.files();
        let mut files = Vec::new();
        if let Some(snapshot) = &manifest.snapshot {
            make_folder(&to.path(&names::snapshot_folder(snapshot.id)))?;
            for (shard, file) in snapshot.files.iter().enumerate() {
                let path = names::snapshot_file(snapshot.id, ShardId(shard as u16));
                if !is_same_snapshot(&to.path(&path), file) {
                    files.push(path);
                }
            }
        }
        for name in segments_of(from, manifest)? {
            if !(self.is_sealed(name) && to.path(&name.path()).exists()) {
                files.push(name.path());
            }
        }
        let lengths = files.iter().map(|file| from.length(file).map(Option::unwrap_or_default));
        let bytes = lengths.sum::<Result<u64, _>>()?;
        let mut progress = Progress::new("copying:", bytes);
        for file in &files {
            copy(&from.path(file), &to.path(file), &mut progress)?;
        }
        if let Some(snapshot) = &manifest.snapshot {
            sync_folder(&to.path(&names::snapshot_folder(snapshot.id)))?;
        }
        sync_folder(to.folder())?;
        Ok(bytes)
    }

    /// An earlier backup goes beyond this segment, so its copy has all that was ever written to it.
    fn is_sealed(&self, name: SegmentName) -> bool {
        self.backups.values().flat_map(|manifest| &manifest.runs).filter(|run| run.run == name.run).any(|run| {
            let log = run.logs.get(usize::from(name.shard.0));
            log.and_then(|log| log.end).is_some_and(|(last, _)| name.segment < last)
        })
    }

    /// Cuts what was copied at the last epoch that is whole on all shards.
    fn cut(&self, manifest: &Manifest) -> Result<Cut, ToolError> {
        let scans = self.scan(manifest)?;
        cut::at(manifest, &scans, None).ok_or_else(|| ToolError::CopyNotWhole("no epoch is whole".to_owned()))
    }

    /// Scans the segments that the manifest names.
    pub fn scan(&self, manifest: &Manifest) -> Result<Scans, ToolError> {
        let files = self.files();
        let segments = segments_of(&files, manifest)?;
        let lengths = segments.iter().map(|name| files.length(&name.path()).map(Option::unwrap_or_default));
        let mut progress = Progress::new("verifying:", lengths.sum::<Result<u64, _>>()?);
        let mut scans = Scans::new();
        for name in segments {
            scans.insert(name, scan_segment(&files, name, manifest.server));
            progress.add(files.length(&name.path())?.unwrap_or_default());
        }
        Ok(scans)
    }

    /// Verifies the copy, and makes it a backup.
    fn install(&self, cut: &Cut, copied: u64) -> Result<(), ToolError> {
        let scans = self.scan(&cut.manifest)?;
        if let Some(error) = store::verify_snapshot(&self.files(), &cut.manifest).into_iter().next() {
            return Err(ToolError::CopyNotWhole(error.to_string()));
        }
        crate::restore::judge(&self.files(), &cut.manifest, scans)?;
        let number = self.backups.last_key_value().map_or(1, |(last, _)| last + 1);
        let folder = self.folder.join(format!("backup-{number}"));
        make_folder(&folder)?;
        cut.manifest.install(&StdDisk::new(&folder))?;
        sync_folder(&self.folder)?;
        let time = cut.time.map(|time| format!(", {}", when::write(time))).unwrap_or_default();
        println!("backup {number}: epoch {}{time}, {} copied", cut.epoch.0, size(copied));
        Ok(())
    }
}

/// The segments in a folder that the manifest names.
pub fn segments_of(disk: &StdDisk, manifest: &Manifest) -> Result<Vec<SegmentName>, ToolError> {
    let names = disk.list("")?;
    let named = names.iter().filter_map(|name| names::read(name)).filter_map(|named| match named {
        Named::Segment(name) => Some(name),
        _ => None,
    });
    let known = |name: &SegmentName| manifest.runs.iter().any(|run| run.run == name.run && run.names(*name));
    let mut segments: Vec<SegmentName> = named.filter(known).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// A copy is there, and ends with the CRC that covers all of it.
fn is_same_snapshot(path: &Path, file: &SnapshotFileRef) -> bool {
    let last = || {
        let mut copy = File::open(path).ok()?;
        (copy.metadata().ok()?.len() == file.bytes).then_some(())?;
        let mut crc = [0; 8];
        copy.seek(SeekFrom::End(-8)).ok()?;
        copy.read_exact(&mut crc).ok()?;
        Some(u64::from_le_bytes(crc))
    };
    last() == Some(file.crc)
}
