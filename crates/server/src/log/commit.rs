//! A turn's writes to the log and what comes of them: operations of the ring, segments, progress, failures.
//!
//! Nothing here waits. Segments are made by the core's storage executor; a write that finds no room is tried again by and by. A write or
//! sync that fails otherwise ends the log: from then on all cores refuse writes, and reads go on.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use pinyon_durability::disk::Trouble as DiskTrouble;
use pinyon_durability::segment::SegmentMaker;
use pinyon_durability::{DiskError, LogState, OpKind, std_disk};
use pinyon_runtime::storage::{Answer, Class, Files};
use pinyon_runtime::{CoreId, FileDone, files as ring_files};

use super::shard_log::{UnderWay, What};
use super::{Errand, LogMail, Trouble};
use crate::config::lists::os_words;
use crate::core::{Core, Io, Mail};

/// What failed for lack of room is tried again after this long.
const RETRY_US: u64 = 500_000;

const NO_ROOM: &str = "No space left on device";

/// Which cores' logs cannot be written, and why.
#[derive(Default)]
pub(crate) struct Troubles(Vec<(u16, Trouble)>);

impl Troubles {
    fn set(&mut self, core: u16, trouble: Option<Trouble>) {
        self.0.retain(|(other, _)| *other != core);
        self.0.extend(trouble.map(|trouble| (core, trouble)));
    }

    /// The one that counts: one that stays before one that passes.
    pub(crate) fn worst(&self) -> Option<&Trouble> {
        self.0.iter().map(|(_, trouble)| trouble).min_by_key(|trouble| trouble.passes)
    }
}

/// A segment that was made, or why not; the maker comes back with it.
type Made = (SegmentMaker, Result<OwnedFd, DiskError>);

impl Core {
    /// The turn's commit: what was appended goes its way.
    #[inline]
    pub(crate) fn commit_log(&mut self, io: &mut Io) {
        if self.exec.log.is_none() {
            return;
        }
        self.exec.log_changes(None);
        self.pump_log(io);
    }

    fn pump_log(&mut self, io: &mut Io) {
        let Some(log) = &mut self.exec.log else { return };
        if log.retry_at_us != 0 && io.now_us() >= log.retry_at_us {
            log.retry_at_us = 0;
            log.log.try_again();
        }
        let durable_epoch = log.durable.durable_epoch();
        log.log.commit(io.now_ms() as u64, durable_epoch);
        while let Some(op) = log.log.next_op() {
            let Some(file) = log.file(op.segment).cloned() else {
                unreachable!("segments that operations name are open");
            };
            let segment = op.segment;
            match op.kind {
                OpKind::Write { frame, offset, sync, buffer } => {
                    let what = What::Write { frame, offset, sync };
                    let token = log.under_way.insert(UnderWay { segment, what });
                    io.write_file(&file, offset, buffer, sync, u64::from(token));
                }
                OpKind::Sync => {
                    let token = log.under_way.insert(UnderWay { segment, what: What::Sync });
                    log.syncs += 1;
                    io.sync_file(&file, u64::from(token));
                }
            }
        }
        if !log.told_write && log.log.has_unsealed() {
            log.told_write = true;
            self.tell_first(io);
        }
        self.make_segment(io);
        self.note_log_state(io);
        self.look_at_stopped(io);
    }

    fn tell_first(&mut self, io: &mut Io) {
        match self.id {
            CoreId(0) => self.epochs.wrote(io.now_us()),
            _ => io.mail(CoreId(0), Mail::Log(Box::new(LogMail::Wrote))),
        }
    }

    /// Has the storage executor make the next segment, if one is wanted.
    fn make_segment(&mut self, io: &mut Io) {
        let Some(log) = &mut self.exec.log else { return };
        let over = log.stopped_at.is_some_and(|seal| log.log.durable().lsn >= seal);
        if log.retry_at_us != 0 || log.maker.is_none() || over {
            return;
        }
        let Some(number) = log.log.wants_segment() else { return };
        let Some(mut maker) = log.maker.take() else { return };
        let (disk, header, fault) = (log.disk, log.header(number), log.segment_fault);
        let always = log.log.is_always();
        let make = move |files: &Files| {
            // The core's own thread, which has the same cpu, comes first.
            files.set_class(Class::Nice);
            let fill = |spare: &str| {
                let path = disk.path(spare);
                // Who waits for every write pays beforehand for what the file system would have to note.
                let filled = if always {
                    ring_files::fill_direct(&path, header.bytes)
                } else {
                    ring_files::reserve(&path, header.bytes)
                };
                filled.map_err(|error| failed("fill", spare, error))
            };
            let path = header.name().path();
            let made = match fault {
                Some(number) => Err(failed("make", &path, std::io::Error::from_raw_os_error(number))),
                None => maker.prepare_with(disk, &header, fill).and_then(|()| open(disk, &path)),
            };
            (maker, made)
        };
        self.help(io, make, move |core, io, made| core.segment_made(io, number, made));
    }

    fn segment_made(&mut self, io: &mut Io, number: u64, made: Made) {
        let Some(log) = &mut self.exec.log else { return };
        let (maker, made) = made;
        log.maker = Some(maker);
        match made {
            Ok(file) => {
                log.files.push_back((number, Rc::new(file)));
                log.log.segment_ready(number);
            }
            Err(error) => {
                tracing::warn!("The log's next segment cannot be made: {error}");
                // Whatever the reason, there is no room before it is gone.
                log.full_words = words_of(error.trouble);
                log.log.segment_failed(true);
                log.retry_at_us = io.now_us() + RETRY_US;
                if self.stopping && log.ends_at.take().is_some() {
                    tracing::error!("The server ends without what the log of shard {} had yet to write", self.id);
                }
            }
        }
    }

    /// An operation on the log has ended.
    pub(crate) fn log_operation_ended(&mut self, io: &mut Io, done: FileDone) {
        let Some(log) = &mut self.exec.log else { return };
        let FileDone { token, result, buffer } = done;
        let Some(op) = log.operation(token, buffer) else { return };
        let result = match log.fault.filter(|_| matches!(op.kind, OpKind::Write { .. })) {
            Some(number) => Err(std::io::Error::from_raw_os_error(number)),
            None => result,
        };
        if let Err(error) = &result {
            log.words = os_words(error);
        }
        let result = result.map_err(|error| match error.kind() {
            // Cut short: for lack of room, most likely. It is made again.
            std::io::ErrorKind::WriteZero => DiskTrouble::Full,
            _ => std_disk::trouble(error),
        });
        if let Err(trouble) = &result {
            let file = log.header(op.segment).name().path();
            let what = if matches!(op.kind, OpKind::Sync) { "synced" } else { "written" };
            tracing::error!("The log's file {file} cannot be {what}: {trouble}");
        }
        if matches!(op.kind, OpKind::Sync) {
            log.syncs -= 1;
        }
        log.log.complete(op, result);
        if log.log.state() == LogState::Full {
            NO_ROOM.clone_into(&mut log.full_words);
            log.retry_at_us = io.now_us() + RETRY_US;
        }
        let oldest = log.log.oldest_segment();
        while log.files.front().is_some_and(|(number, _)| *number < oldest) {
            log.files.pop_front();
        }
        self.advance_log(io);
    }

    /// Tells all cores how far this one's log is, if that is news.
    fn advance_log(&mut self, io: &mut Io) {
        let Some(log) = &mut self.exec.log else { return };
        let Some(progress) = log.durable.advance(log.log.durable()) else { return };
        for other in (0..self.shards).filter(|other| *other != self.id.0) {
            io.mail(CoreId(other), Mail::Log(Box::new(LogMail::Progress(progress.clone()))));
        }
        self.release_waiting(io);
    }

    pub(crate) fn take_log_mail(&mut self, io: &mut Io, from: CoreId, mail: LogMail) {
        match mail {
            LogMail::Wrote => self.epochs.wrote(io.now_us()),
            LogMail::Progress(progress) => {
                if let Some(log) = &mut self.exec.log {
                    log.durable.learn(pinyon_base::ShardId(from.0), progress);
                    self.release_waiting(io);
                }
            }
            LogMail::Placed { transaction, parts } => {
                if let Some(log) = &mut self.exec.log {
                    log.durable.placed(transaction, &parts);
                    self.advance_log(io);
                }
            }
            LogMail::Trouble(trouble) if self.exec.log.is_some() => self.note_trouble(io, from.0, trouble),
            LogMail::Trouble(_) => {}
        }
    }

    /// Tells all cores when this one's log cannot be written any more, or can again.
    fn note_log_state(&mut self, io: &mut Io) {
        let Some(log) = &mut self.exec.log else { return };
        let trouble = match log.log.state() {
            LogState::Writing => None,
            LogState::Full => Some(Trouble { words: log.full_words.clone(), passes: true }),
            LogState::Poisoned => Some(Trouble { words: log.words.clone(), passes: false }),
        };
        if trouble == log.trouble {
            return;
        }
        match &trouble {
            None => tracing::warn!("The log of shard {} can be written again", self.id),
            Some(Trouble { words, passes: true }) => {
                tracing::error!(
                    "The log of shard {} has no room ({words}): writes are refused until there is",
                    self.id
                );
            }
            Some(Trouble { words, .. }) => tracing::error!(
                "The log of shard {} has failed ({words}): writes are refused until the server is started again; reads go on",
                self.id
            ),
        }
        log.trouble = trouble.clone();
        for other in (0..self.shards).filter(|other| *other != self.id.0) {
            io.mail(CoreId(other), Mail::Log(Box::new(LogMail::Trouble(trouble.clone()))));
        }
        self.note_trouble(io, self.id.0, trouble);
    }

    /// Forgets what was wrong with logs that are no more.
    pub(super) fn forget_troubles(&mut self) {
        self.troubles = Troubles::default();
        self.exec.failed = false;
        self.update_refusal();
    }

    fn note_trouble(&mut self, io: &mut Io, core: u16, trouble: Option<Trouble>) {
        self.troubles.set(core, trouble);
        let worst = self.troubles.worst();
        self.exec.failed = worst.is_some_and(|trouble| !trouble.passes);
        self.update_refusal();
        if self.exec.failed {
            // Reads go on, and nothing becomes durable that could be waited for.
            self.exec.set_holds(false);
            self.fail_waiting(io);
        }
        self.look_at_seals(io);
    }

    /// Works out whether writes are refused, and with which words.
    pub(crate) fn update_refusal(&mut self) {
        const NOT_SAVED: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to \
            disk. Commands that may modify the data set are disabled, because this instance is configured to report \
            errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis \
            logs for details about the RDB error.";
        let log =
            self.troubles.worst().map(|trouble| format!("MISCONF Errors writing to the AOF file: {}", trouble.words));
        let not_saved = self.save_has_failed && self.config.stop_writes_on_bgsave_error && !self.config.save.is_empty();
        self.exec.refusal = log.or_else(|| not_saved.then(|| NOT_SAVED.to_owned()));
        self.exec.look_at_limits();
    }

    /// When the log has to be looked at again, in monotonic µs.
    pub(crate) fn log_wake_at_us(&self) -> Option<u64> {
        let cuts = self.epochs.wake_at_us(self.policy()).filter(|_| self.exec.logs());
        self.log_retry_at_us().into_iter().chain(cuts).chain(self.waits_wake_at_us()).min()
    }

    /// When what failed for lack of room is tried again, in monotonic µs.
    pub(crate) fn log_retry_at_us(&self) -> Option<u64> {
        self.exec.log.as_ref().map(|log| log.retry_at_us).filter(|at| *at != 0)
    }

    /// Has this core's storage executor do `job`, which may block, then `then` here.
    pub(crate) fn help<T: Send + 'static>(
        &mut self,
        io: &mut Io,
        job: impl FnOnce(&Files) -> T + Send + 'static,
        then: impl FnOnce(&mut Core, &mut Io, T) + Send + 'static,
    ) {
        io.store(move |files| {
            let result = job(files);
            Answer::now(Mail::Errand(Box::new(move |core: &mut Core, io: &mut Io| then(core, io, result)) as Errand))
        });
    }
}

/// The system's words for what was wrong.
fn words_of(trouble: DiskTrouble) -> String {
    match trouble {
        DiskTrouble::Full => NO_ROOM.to_owned(),
        DiskTrouble::ReadOnly => "Read-only file system".to_owned(),
        DiskTrouble::Io(error) => os_words(&error),
        other => other.to_string(),
    }
}

/// A segment's file, for the ring.
pub(super) fn open(disk: &std_disk::StdDisk, path: &str) -> Result<OwnedFd, DiskError> {
    ring_files::open_direct(&disk.path(path)).map_err(|error| failed("open", path, error))
}

fn failed(operation: &'static str, path: &str, error: std::io::Error) -> DiskError {
    DiskError { operation, path: path.to_owned(), trouble: std_disk::trouble(error) }
}
