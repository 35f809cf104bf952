//! BGSAVE in the simulator: the shards' entries as they were at the cut, written a piece at a time, then a manifest.

use pinyon_base::ShardId;
use pinyon_durability::manifest::{SnapshotFileRef, SnapshotRef};
use pinyon_durability::snapshot::{SnapshotHeader, SnapshotWriter};
use pinyon_durability::{Disk, DiskError, Epoch, LogStart, SnapshotId, names, recovery};

use crate::engine::Engine;
use crate::node::Node;

/// One shard's file while it is written.
struct File {
    entries: std::vec::IntoIter<Vec<u8>>,
    writer: Option<SnapshotWriter>,
    path: String,
    offset: u64,
    done: Option<SnapshotFileRef>,
}

/// A snapshot under way.
pub struct Save<E> {
    id: SnapshotId,
    epoch: Epoch,
    time: u64,
    /// What the shards held when they sealed the epoch.
    cuts: Vec<Option<E>>,
    files: Vec<File>,
    starts: Vec<Option<LogStart>>,
}

impl<E: Engine> Save<E> {
    /// The shard is at the cut now.
    pub fn cut(&mut self, shard: usize, engine: &E) {
        self.cuts[shard] = Some(engine.clone());
    }
}

impl<E: Engine> Node<E> {
    /// Begins a snapshot now and then, or goes on with the one that is under way.
    pub fn save_step(&mut self) {
        if self.save.is_none() {
            self.begin_save();
            return;
        }
        let pieces = 1 + self.rng.below(3);
        for _ in 0..pieces {
            if let Err(error) = self.go_on() {
                self.give_up(&error);
                return;
            }
        }
    }

    fn begin_save(&mut self) {
        if !self.rng.permille(150) {
            return;
        }
        let Some(epoch) = self.begin_boundary(self.policy, self.rng.clone().permille(300), true) else { return };
        self.snapshots += 1;
        let last = self.manifest.snapshot.as_ref().map_or(0, |snapshot| snapshot.id.0);
        let id = SnapshotId(last + self.snapshots);
        let shards = self.cores.len();
        self.save = Some(Save {
            id,
            epoch,
            time: self.now,
            cuts: vec![None; shards],
            files: Vec::new(),
            starts: vec![None; shards],
        });
    }

    fn go_on(&mut self) -> Result<(), DiskError> {
        let Some(save) = &mut self.save else { return Ok(()) };
        if save.cuts.iter().any(Option::is_none) {
            return Ok(());
        }
        if save.files.is_empty() {
            let folder = names::snapshot_folder(save.id);
            self.disk.create_folder(&folder)?;
            for (shard, cut) in save.cuts.iter().enumerate() {
                let shard = ShardId(shard as u16);
                let path = names::snapshot_file(save.id, shard);
                self.disk.create(&path)?;
                let shards = self.shape.shards;
                let header =
                    SnapshotHeader { server: self.manifest.server, id: save.id, epoch: save.epoch, shard, shards };
                let writer = Some(SnapshotWriter::new(header, self.shape.frame_raw_max, self.shape.compress));
                let entries = cut.as_ref().map(E::entries).unwrap_or_default().into_iter();
                save.files.push(File { entries, writer, path, offset: 0, done: None });
            }
        }
        for (start, core) in save.starts.iter_mut().zip(&mut self.cores) {
            if let Some((_, rotated)) = core.log.take_rotation().filter(|(epoch, _)| *epoch == save.epoch) {
                *start = Some(rotated);
            }
        }
        match save.files.iter_mut().find(|file| file.done.is_none()) {
            Some(file) => file.go_on(&self.disk),
            None => self.finish(),
        }
    }

    /// All files are written: the manifest, and then what it frees.
    fn finish(&mut self) -> Result<(), DiskError> {
        let Some(save) = &self.save else { return Ok(()) };
        let starts: Option<Vec<LogStart>> = save.starts.iter().copied().collect();
        let Some(starts) = starts else { return Ok(()) };
        self.disk.sync_folder(&names::snapshot_folder(save.id))?;
        self.disk.sync_folder("")?;
        let files = save.files.iter().filter_map(|file| file.done).collect();
        let snapshot = SnapshotRef { id: save.id, epoch: save.epoch, time: save.time, files };
        let manifest = self.manifest.with_snapshot(snapshot, Some(&starts));
        // From here on its files may be named by a manifest on the disk, whatever the installation says.
        self.save = None;
        manifest.install(&self.disk)?;
        self.manifest = manifest;
        let freed = recovery::free(&self.disk, &self.manifest)?;
        for name in freed {
            let Some(core) = self.cores.get_mut(usize::from(name.shard.0)) else { continue };
            // Operations may still be under way on one of this run: it is freed by the next snapshot.
            if name.run != self.manifest.last_run || name.segment < core.log.oldest_segment() {
                core.maker.recycle(&self.disk, [name], 2)?;
            }
        }
        Ok(())
    }

    /// It failed: the store is as it was, and the files go if they can.
    fn give_up(&mut self, _: &DiskError) {
        let Some(save) = self.save.take() else { return };
        for file in &save.files {
            drop(self.disk.remove(&file.path));
        }
        drop(self.disk.remove_folder(&names::snapshot_folder(save.id)));
    }
}

impl File {
    /// Some entries, and the bytes that come of them.
    fn go_on(&mut self, disk: &impl Disk) -> Result<(), DiskError> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        for entry in self.entries.by_ref().take(4) {
            writer.entry();
            entry.chunks(300).for_each(|piece| writer.piece(piece));
        }
        while let Some(bytes) = writer.take() {
            self.put(disk, &bytes)?;
        }
        if self.entries.len() > 0 {
            self.writer = Some(writer);
            return Ok(());
        }
        let (rest, done) = writer.finish();
        for bytes in rest {
            self.put(disk, &bytes)?;
        }
        disk.sync(&self.path)?;
        self.done = Some(done);
        Ok(())
    }

    fn put(&mut self, disk: &impl Disk, bytes: &[u8]) -> Result<(), DiskError> {
        disk.write(&self.path, self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
