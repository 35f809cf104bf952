//! The cuts that end epochs: transactions over all shards, asked for by the clock, by WAITAOF, by a change of policy and by the
//! end of the server. The first core makes them, one after the other.
//!
//! So every transaction lies wholly before or behind a cut, and all shards number their epochs alike.

use pinyon_durability::Epoch;
use pinyon_durability::pace::Pace;
use pinyon_engine::transaction::{Access, Intents};
use pinyon_runtime::CoreId;

use super::Errand;
use crate::config::Fsync;
use crate::core::{Core, Io, Mail};
use crate::tx::{Outcomes, Script, Step, once};

/// The first core's, which counts time and cuts.
#[derive(Default)]
pub(crate) struct Epochs {
    pace: Pace,
    /// A cut is being made.
    cutting: bool,
    /// Those who ask for one that is made durable at once.
    askers: Vec<Asker>,
    /// How the records since the last cut are written.
    always: bool,
}

impl Epochs {
    /// Something was logged since the last cut.
    pub(super) fn wrote(&mut self, now_us: u64) {
        self.pace.wrote(now_us / 1000);
    }

    pub(super) fn start(&mut self, always: bool) {
        self.always = always;
    }

    /// When the next cut may be due, in monotonic µs.
    pub(super) fn wake_at_us(&self, policy: Fsync) -> Option<u64> {
        if self.cutting {
            return None;
        }
        self.pace.next(policy == Fsync::Everysec).map(|at_ms| at_ms * 1000)
    }
}

/// Who asks for a cut: a core, and what is done there when the epoch that it ends is known.
struct Asker {
    core: CoreId,
    then: Then,
}

type Then = Box<dyn FnOnce(&mut Core, &mut Io, Epoch) + Send>;

/// Ends an epoch on all shards.
struct Cutting {
    shards: u16,
    sync: bool,
    always: bool,
    /// The server ends with it.
    last: bool,
    askers: Vec<Asker>,
    begun: bool,
}

impl Script for Cutting {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        if !std::mem::replace(&mut self.begun, true) {
            let Cutting { sync, always, last, .. } = *self;
            let seal = |shard| (shard, once(move |core: &mut Core, _: &mut Io| core.seal(sync, always, last)));
            return Step::Run { parts: (0..self.shards).map(seal).collect(), last: true };
        }
        let epoch = outcomes.into_iter().find_map(|(_, sealed)| sealed.worked::<Option<Epoch>>());
        core.cut_made(io, epoch, std::mem::take(&mut self.askers));
        Step::Done
    }

    fn logs(&self) -> bool {
        false
    }
}

impl Core {
    /// Makes the cut that is due, on the first core.
    pub(crate) fn tend_epochs(&mut self, io: &mut Io) {
        if self.id.0 != 0 || !self.exec.logs() || self.epochs.cutting || self.stopping || self.is_loading() {
            return;
        }
        let (now_ms, fsync) = (io.now_us() / 1000, self.policy());
        let due = self.epochs.pace.due(now_ms, fsync == Fsync::Everysec);
        let always = fsync == Fsync::Always;
        let changes = always != self.epochs.always;
        if due.seal || changes || !self.epochs.askers.is_empty() {
            self.cut(io, due.sync || changes || !self.epochs.askers.is_empty(), false);
        }
    }

    /// When the log is forced to disk now, on the first core. Nothing is promised of what is logged before its base is there;
    /// and `no-appendfsync-on-rewrite` leaves the disk to a snapshot.
    pub(super) fn policy(&self) -> Fsync {
        let saving = self.shared.saves.since().is_some();
        match self.settings.fsync {
            _ if saving && self.config.no_appendfsync_on_rewrite => Fsync::No,
            Fsync::Always if self.saves.base_wanted => Fsync::Everysec,
            fsync => fsync,
        }
    }

    fn cut(&mut self, io: &mut Io, sync: bool, last: bool) {
        let always = self.policy() == Fsync::Always;
        let epochs = &mut self.epochs;
        epochs.cutting = true;
        let askers = std::mem::take(&mut epochs.askers);
        epochs.always = always;
        epochs.pace.sealed(io.now_us() / 1000, sync);
        let wants = (0..self.shards).map(|shard| (shard, Intents::whole(Access::Write))).collect();
        let shards = self.shards;
        self.begin_transaction(io, wants, Box::new(Cutting { shards, sync, always, last, askers, begun: false }));
    }

    /// This shard's part of a cut: the epoch that has ended.
    fn seal(&mut self, sync: bool, always: bool, last: bool) -> Option<Epoch> {
        self.stopping |= last;
        self.exec.log_changes(None);
        let log = self.exec.log.as_mut().filter(|log| !log.is_stopped())?;
        let epoch = log.log.epoch();
        let was_always = log.log.is_always();
        let seal = log.log.seal(always, false);
        if last {
            log.ends_at = Some(seal);
        }
        if sync {
            log.delayed_syncs += u64::from(log.syncs > 0);
            log.log.want_sync();
        }
        if always && !was_always {
            log.durable.always_after(epoch);
        }
        log.told_write = false;
        let holds = always && !self.exec.failed;
        self.exec.set_holds(holds);
        Some(epoch)
    }

    fn cut_made(&mut self, io: &mut Io, epoch: Option<Epoch>, askers: Vec<Asker>) {
        self.epochs.cutting = false;
        self.answer_askers(io, askers, epoch.unwrap_or_default());
        self.tend_epochs(io);
    }

    fn answer_askers(&mut self, io: &mut Io, askers: Vec<Asker>, epoch: Epoch) {
        for Asker { core, then } in askers {
            io.mail(core, Mail::Errand(Box::new(move |core, io| then(core, io, epoch))));
        }
    }

    /// There are no logs any more: who has asked for a cut is told that nothing is to be waited for.
    pub(super) fn dismiss_askers(&mut self, io: &mut Io) {
        let askers = std::mem::take(&mut self.epochs.askers);
        self.answer_askers(io, askers, Epoch(0));
    }

    /// `appendfsync` was changed to or from always, and no cut has been made since.
    pub(crate) fn has_new_policy(&self) -> bool {
        self.exec.log.is_some() && (self.settings.fsync == Fsync::Always) != self.exec.holds
    }

    /// Asks for a cut that comes after all that has happened so far, and is made durable at once. Without logs there is none,
    /// and `then` is called with epoch 0.
    pub(crate) fn ask_for_cut(&mut self, io: &mut Io, then: impl FnOnce(&mut Core, &mut Io, Epoch) + Send + 'static) {
        let asker = Asker { core: self.id, then: Box::new(then) };
        let ask: Errand = Box::new(move |core, io| {
            core.epochs.askers.push(asker);
            if !core.exec.logs() {
                core.dismiss_askers(io);
            }
        });
        io.mail(CoreId(0), Mail::Errand(ask));
    }

    /// Ends the server with a last cut, on the first core: all that was answered is in the log when the cores stop.
    pub(crate) fn last_cut(&mut self, io: &mut Io) {
        self.epochs.cutting = true;
        self.cut(io, true, true);
    }

    /// Whether the log still has to write what belongs to the last cut.
    pub(crate) fn log_is_ending(&self) -> bool {
        self.exec.log.as_ref().is_some_and(|log| {
            let writes = log.log.state() == pinyon_durability::LogState::Writing;
            writes && log.ends_at.is_some_and(|lsn| log.log.durable().lsn < lsn)
        })
    }
}
