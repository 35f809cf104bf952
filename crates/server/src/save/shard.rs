//! One core's part of a snapshot: the walk over its shard, in slices, and the file that the storage executor writes of it.
//!
//! The walk waits while [`AHEAD_BYTES_MAX`] are not yet taken, so the disk sets its pace; what changes save first comes on top.
//! One batch is with the executor at a time.

use pinyon_base::ShardId;
use pinyon_durability::manifest::SnapshotFileRef;
use pinyon_durability::snapshot::SnapshotHeader;
use pinyon_durability::{DiskError, Epoch, LogStart, LogState, RunId, ServerId, SnapshotId};
use pinyon_engine::keyspace::Batch;
use pinyon_runtime::CoreId;
use pinyon_runtime::storage::{Class, Files};

use super::control;
use super::draft::{Draft, Written};
use crate::core::{Core, Io, Mail};
use crate::log::Errand;

/// Bytes that are walked in a slice, about.
const SLICE_BYTES: usize = 24 << 10;
/// A batch is handed over from this size on.
const BATCH_BYTES: usize = 256 << 10;
/// No further than this does the walk go ahead of the disk.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// What a shard says of the cut.
pub(super) struct Cut {
    /// With a log: its run, and the epoch that has ended.
    pub logged: Option<(RunId, Epoch)>,
}

/// A core's snapshot under way.
pub(crate) struct Saving {
    id: SnapshotId,
    /// Not before the cut is known to be made everywhere; and away while the executor has it.
    file: Option<Box<Draft>>,
    epoch: Epoch,
    /// Changes at the cut, and bytes of the log before it.
    dirty: u64,
    log_bytes: u64,
    /// Entries that status was told of.
    told: u64,
    /// The log goes on behind it, and this says where.
    logged: bool,
    start: Option<LogStart>,
    done: Option<SnapshotFileRef>,
    given_up: bool,
    /// What [`Shard::bigs_saved`](pinyon_engine::keyspace::Shard::bigs_saved) said last.
    bigs: Option<u64>,
    /// Before this it does not walk on, in monotonic µs (`rdb-key-save-delay`).
    walk_at_us: u64,
}

impl Core {
    /// The cut, on this shard. None: it is not done with the last snapshot.
    pub(super) fn cut_shard(&mut self, id: SnapshotId) -> Option<Cut> {
        self.exec.log_changes(None);
        // The walk of one that was given up may not have ended.
        if self.exec.shard.is_saving() {
            return None;
        }
        let logged = self.exec.log.as_mut().filter(|log| !log.is_stopped()).map(|log| {
            let (run, epoch) = (log.run(), log.log.epoch());
            let always = log.log.is_always();
            log.log.seal(always, true);
            log.log.want_sync();
            log.told_write = false;
            (run, epoch)
        });
        self.exec.shard.begin_snapshot();
        self.look_at_holds();
        self.shared.saves.expect(self.exec.shard.snapshot_progress().1);
        self.saving = Some(Saving {
            id,
            file: None,
            epoch: logged.map_or(Epoch(0), |(_, epoch)| epoch),
            dirty: self.exec.stats.dirty,
            log_bytes: 0,
            told: 0,
            logged: logged.is_some(),
            start: None,
            done: None,
            given_up: false,
            bigs: Some(0),
            walk_at_us: 0,
        });
        Some(Cut { logged })
    }

    /// All shards have been cut at the end of `epoch`: the file may begin.
    pub(super) fn begin_file(&mut self, server: ServerId, epoch: Epoch) {
        let (shards, disk) = (self.shards, self.disk());
        let Some(saving) = &mut self.saving else { return };
        let shard = ShardId(self.id.0);
        let header = SnapshotHeader { server, id: saving.id, epoch, shard, shards };
        let path = control::path(saving.id, self.id.0);
        saving.file = Some(Box::new(Draft::new(header, disk, path, &self.config)));
    }

    /// The turn's slice of the snapshot. True: there is more that can be done now.
    pub(crate) fn save_slice(&mut self, io: &mut Io) -> bool {
        self.look_at_save_points(io);
        let Some(before) = self.saving.as_ref().map(|saving| saving.bigs) else { return false };
        let more = self.save_some(io);
        let bigs = self.exec.shard.bigs_saved();
        if bigs != before {
            if let Some(saving) = &mut self.saving {
                saving.bigs = bigs;
            }
            self.saved_for_others(io);
        }
        more
    }

    fn save_some(&mut self, io: &mut Io) -> bool {
        self.note_rotation(io);
        let Some(saving) = &mut self.saving else { return false };
        let shard = &mut self.exec.shard;
        let waits = self.config.rdb_key_save_delay > 0 && io.now_us() < saving.walk_at_us;
        if !waits {
            saving.walk_at_us = 0;
        }
        let may_walk = saving.given_up || shard.saved_bytes() < AHEAD_BYTES_MAX && !waits;
        let more = may_walk && shard.snapshot_slice(SLICE_BYTES);
        let saved = shard.snapshot_progress().0;
        self.shared.saves.saved(saved.saturating_sub(saving.told));
        let delay_us = self.config.rdb_key_save_delay.max(0) as u64 * saved.saturating_sub(saving.told);
        saving.told = saving.told.max(saved);
        if delay_us > 0 {
            saving.walk_at_us = io.now_us() + delay_us;
        }
        if saving.given_up {
            if let Some(file) = saving.file.take() {
                file.abandon(io);
            }
            if !more && shard.take_batch().is_none() {
                self.saving = None;
            }
            return more;
        }
        let is_whole = may_walk && !more;
        if (is_whole || shard.saved_bytes() >= BATCH_BYTES)
            && let Some(file) = saving.file.take()
        {
            match shard.take_batch() {
                Some(batch) => self.write_batch(io, file, Some(batch)),
                None if !shard.is_saving() => self.write_batch(io, file, None),
                None => saving.file = Some(file),
            }
        }
        self.report_file(io);
        more
    }

    /// When the walk goes on that waits, in monotonic µs.
    pub(crate) fn walk_at_us(&self) -> Option<u64> {
        let saving = self.saving.as_ref().filter(|saving| !saving.given_up && saving.walk_at_us != 0)?;
        self.exec.shard.is_saving().then_some(saving.walk_at_us)
    }

    /// Takes note of where the log goes on behind the cut, or that it does not.
    pub(crate) fn note_rotation(&mut self, io: &mut Io) {
        let Some(saving) = self.saving.as_mut().filter(|saving| saving.logged && !saving.given_up) else { return };
        let Some(log) = self.exec.log.as_mut().filter(|_| saving.start.is_none()) else { return };
        let rotation = log.log.take_rotation().filter(|(epoch, _)| *epoch == saving.epoch);
        saving.start = rotation.map(|(_, start)| start);
        saving.log_bytes = log.log.bytes_rotated();
        if saving.start.is_none() && log.log.state() == LogState::Poisoned {
            let id = saving.id;
            let errand: Errand = Box::new(move |core, io| core.save_failed(io, id, "a log has failed"));
            io.mail(CoreId(0), Mail::Errand(errand));
        }
    }

    /// Has the executor write a batch, or the file's end.
    fn write_batch(&mut self, io: &mut Io, file: Box<Draft>, batch: Option<Batch>) {
        let Some(id) = self.saving.as_ref().map(|saving| saving.id) else { return };
        io.store(move |files: &Files| {
            // The core's own thread, which has the same cpu, comes first.
            files.set_class(Class::Nice);
            let written = match &batch {
                Some(batch) => file.write(files, batch),
                None => file.finish(files),
            };
            written.then(move |result| {
                Mail::Errand(Box::new(move |core: &mut Core, io: &mut Io| {
                    batch.into_iter().for_each(|batch| core.exec.shard.give_back(batch));
                    core.batch_written(io, id, result);
                }) as Errand)
            })
        });
    }

    fn batch_written(&mut self, io: &mut Io, id: SnapshotId, result: Result<Written, DiskError>) {
        let wanted = self.saving.as_mut().filter(|saving| saving.id == id && !saving.given_up);
        match (result, wanted) {
            (Ok(Written::Part(file)), Some(saving)) => saving.file = Some(file),
            (Ok(Written::Part(file)), None) => file.abandon(io),
            (Ok(Written::Whole(done)), Some(saving)) => saving.done = Some(done),
            (Ok(Written::Whole(_)), None) => {}
            (Err(error), _) => {
                let why = error.to_string();
                io.mail(CoreId(0), Mail::Errand(Box::new(move |core, io| core.save_failed(io, id, &why))));
            }
        }
    }

    /// Tells the first core when the file is whole and it is known where the log goes on.
    fn report_file(&mut self, io: &mut Io) {
        let Some(saving) = &mut self.saving else { return };
        let Some(done) = saving.done.filter(|_| saving.start.is_some() || !saving.logged) else { return };
        let (id, shard, start) = (saving.id, self.id.0, saving.start);
        saving.done = None;
        let errand: Errand = Box::new(move |core, io| core.shard_saved(io, id, shard, done, start));
        io.mail(CoreId(0), Mail::Errand(errand));
    }

    /// The snapshot is on the disk: what it holds needs no saving.
    pub(super) fn forget_saved_changes(&mut self) {
        if let Some(saving) = self.saving.take() {
            self.exec.stats.dirty = self.exec.stats.dirty.saturating_sub(saving.dirty);
            if let Some(log) = self.exec.log.as_mut().filter(|_| saving.logged) {
                log.saved_bytes = saving.log_bytes;
            }
        }
    }

    /// Nobody wants the snapshot any more. The walk comes to its end without a trace.
    pub(super) fn give_up_save(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.given_up = true;
            self.exec.shard.give_up_snapshot();
        }
    }
}

impl Core {
    /// A snapshot has ended: whether writes are refused from now on (`stop-writes-on-bgsave-error`).
    pub(super) fn note_save(&mut self, failed: bool) {
        self.save_has_failed = failed;
        self.update_refusal();
    }
}
