//! Clients that wait for an epoch to be durable on all shards (WAITAOF).

use pinyon_durability::Epoch;
use pinyon_engine::CommandError;
use pinyon_runtime::ConnId;

use super::ShardLog;
use crate::core::{Core, Io};
use crate::gather::Ticket;

/// The reply to who waits for a log that is not there.
pub(crate) const NO_LOG: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AofWait {
    pub ticket: Ticket,
    /// What it waits for; not known yet at first.
    pub epoch: Option<Epoch>,
    /// It waits for replicas, too, of which there are none.
    pub replicas: bool,
    /// It waits for this server.
    pub local: bool,
    /// Monotonic µs; 0: for ever.
    pub until_us: u64,
}

/// Those of one core, by number.
#[derive(Default)]
pub(crate) struct AofWaits {
    next: u64,
    waits: Vec<(u64, AofWait)>,
}

impl Core {
    /// Keeps a client that waits for an epoch which will be told by [`Core::epoch_known`].
    pub(crate) fn wait_for_epoch(&mut self, wait: AofWait) -> u64 {
        self.aof_waits.next += 1;
        self.aof_waits.waits.push((self.aof_waits.next, wait));
        self.aof_waits.next
    }

    pub(crate) fn epoch_known(&mut self, io: &mut Io, id: u64, epoch: Epoch) {
        if let Some((_, wait)) = self.aof_waits.waits.iter_mut().find(|(other, _)| *other == id) {
            wait.epoch = Some(epoch);
        }
        self.release_epochs(io);
    }

    /// Answers those whose epoch is durable, or whose time is up.
    pub(crate) fn release_epochs(&mut self, io: &mut Io) {
        if self.aof_waits.waits.is_empty() {
            return;
        }
        let log = self.exec.log.as_ref().filter(|log| log.counts);
        let durable = log.map(|log| log.durable.durable_epoch());
        let now_us = io.now_us();
        let mut answers = Vec::new();
        let sessions = &self.sessions;
        self.aof_waits.waits.retain(|(_, wait)| {
            let done = wait.epoch.is_some_and(|epoch| durable.is_some_and(|durable| epoch <= durable));
            let over = (done || !wait.local) && !wait.replicas;
            let late = wait.until_us != 0 && now_us >= wait.until_us;
            if over || late {
                answers.push((wait.ticket, done));
            }
            !over && !late && sessions.get(wait.ticket.conn).is_some()
        });
        for (ticket, done) in answers {
            self.fulfil(io, ticket, |out| {
                out.array(2);
                out.int(i64::from(done));
                out.int(0);
            });
        }
    }

    /// There is no log any more whose epochs could be waited for.
    pub(super) fn fail_epoch_waits(&mut self, io: &mut Io) {
        let (over, others) = self.aof_waits.waits.drain(..).partition(|(_, wait)| wait.local);
        self.aof_waits.waits = others;
        let over: Vec<(u64, AofWait)> = over;
        for (_, wait) in over {
            self.fail(io, wait.ticket, &CommandError::text(NO_LOG));
        }
    }

    /// When the next of them has waited long enough, in monotonic µs.
    pub(super) fn waits_wake_at_us(&self) -> Option<u64> {
        self.aof_waits.waits.iter().map(|(_, wait)| wait.until_us).filter(|until| *until != 0).min()
    }

    /// Whether all that this shard has logged is on the disk.
    pub(crate) fn is_log_durable(&self) -> bool {
        let is_durable = |log: &ShardLog| log.counts && log.log.durable().lsn == log.log.last_lsn();
        self.shards == 1
            && self.exec.shard.journal().is_empty()
            && self.exec.log.as_ref().is_some_and(|log| is_durable(log))
    }

    /// Whether a command of this connection runs within an EXEC, where nobody waits.
    pub(crate) fn is_captured(&self, conn: ConnId) -> bool {
        self.tx.capture.as_ref().is_some_and(|capture| capture.conn == conn)
    }
}
