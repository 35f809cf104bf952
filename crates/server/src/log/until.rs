//! What a reply waits for under `appendfsync always`: that nobody can lose any more what it tells.

use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::Lsn;
use pinyon_runtime::{ConnId, CoreId};

use super::{LogMail, ShardLog, Writers};
use crate::core::{Core, Io, Mail};
use crate::exec::Exec;
use crate::session::SessionFlags;

/// See the file's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Until {
    #[default]
    Now,
    /// This record of a shard is stable, and with it all before.
    Stable(u16, Lsn),
    /// All that a transaction of this core has written and seen is.
    Transaction(u64),
}

/// What a shard has logged of a transaction whose last step it has run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Logged {
    /// Its part, or the record that what it has read waits for; 0 for none.
    pub lsn: Lsn,
    /// It is its part.
    pub wrote: bool,
}

/// A transaction of this core, until all its shards have said where its parts are.
pub(crate) struct Placing {
    transaction: u64,
    writers: usize,
    awaited: usize,
    parts: Vec<(ShardId, Lsn)>,
    reads: Vec<(ShardId, Lsn)>,
}

/// The transactions of this core that replies may wait for.
#[derive(Default)]
pub(crate) struct Placings(Vec<Placing>);

impl Placings {
    pub(crate) fn begin(&mut self, transaction: u64, members: usize, writers: &Writers) {
        let writers = writers.as_ref().map_or(0, |writers| writers.len());
        self.0.push(Placing { transaction, writers, awaited: members, parts: Vec::new(), reads: Vec::new() });
    }

    fn find(&self, transaction: u64) -> Option<&Placing> {
        self.0.iter().find(|placing| placing.transaction == transaction)
    }

    /// Takes in what a shard says; gives the parts' places when they are all known and there are several.
    fn logged(&mut self, transaction: u64, shard: u16, logged: Logged) -> Option<Vec<(ShardId, Lsn)>> {
        let placing = self.0.iter_mut().find(|placing| placing.transaction == transaction)?;
        placing.awaited -= 1;
        if logged.lsn > Lsn(0) {
            let to = if logged.wrote { &mut placing.parts } else { &mut placing.reads };
            to.push((ShardId(shard), logged.lsn));
        }
        (placing.awaited == 0 && placing.writers > 1).then(|| placing.parts.clone())
    }

    /// Forgets those that nobody has to wait for.
    fn tidy(&mut self, log: &ShardLog) {
        self.0.retain(|placing| placing.awaited > 0 || (log.log.is_always() && !placing.is_stable(log)));
    }
}

impl Placing {
    /// All that its shards have logged and read is.
    fn is_stable(&self, log: &ShardLog) -> bool {
        let stable = |(shard, lsn): &(ShardId, Lsn)| *lsn <= log.durable.stable_on(*shard);
        self.awaited == 0 && self.parts.iter().chain(&self.reads).all(stable)
    }
}

/// Whether what a reply waits for has happened, as far as this core knows.
#[inline]
pub(crate) fn is_over(exec: &Exec, placings: &Placings, until: Until) -> bool {
    match (until, &exec.log) {
        (Until::Now, _) | (_, None) => true,
        (Until::Stable(shard, lsn), Some(log)) => lsn <= log.durable.stable_on(ShardId(shard)),
        (Until::Transaction(number), Some(log)) => {
            !exec.holds || placings.find(number).is_none_or(|placing| placing.is_stable(log))
        }
    }
}

impl Exec {
    /// What the reply of the command that has just run waits for.
    #[inline]
    pub(crate) fn until(&self) -> Until {
        match self.until {
            Lsn(0) => Until::Now,
            lsn => Until::Stable(self.core.0, lsn),
        }
    }

    /// The last record of the log.
    #[inline]
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.log.as_ref().map_or(Lsn(0), |log| log.log.last_lsn())
    }

    /// Works out what the reply of a command waits for that has just run: `before` is the last record before it. `key`: the
    /// hash of its only key; none: it may have read any.
    pub(crate) fn hold(&mut self, before: Lsn, key: Option<u64>) {
        let Some(log) = &self.log else { return };
        let last = log.log.last_lsn();
        self.until = match key {
            _ if last > before => last,
            Some(hash) => log.durable.unstable(hash).unwrap_or_default(),
            None => log.durable.unstable_any().unwrap_or_default(),
        };
    }

    /// Whether a command would have to wait that reads this key now; none: any.
    #[inline]
    pub(crate) fn is_unstable(&self, key: Option<u64>) -> bool {
        let Some(log) = &self.log else { return false };
        key.map_or_else(|| log.durable.unstable_any(), |hash| log.durable.unstable(hash)).is_some()
    }
}

impl Core {
    /// What a reply waits for that a transaction of this core gives now.
    pub(crate) fn until_of_transaction(&self) -> Until {
        match self.tx.current {
            Some(number) if self.exec.log.is_some() => Until::Transaction(number),
            _ => Until::Now,
        }
    }

    /// What the reply of the last command on this shard waits for.
    pub(crate) fn until_of_last(&self) -> Until {
        if self.exec.holds { self.exec.until() } else { Until::Now }
    }

    /// What somebody waits for who is told of anything that this shard has logged.
    pub(crate) fn until_of_log(&self) -> Until {
        if self.exec.holds { Until::Stable(self.id.0, self.exec.last_lsn()) } else { Until::Now }
    }

    /// What somebody waits for who has read any keys of this shard.
    pub(crate) fn until_of_all(&self) -> Until {
        let log = self.exec.log.as_ref().filter(|_| self.exec.holds);
        let lsn = log.and_then(|log| log.durable.unstable_any());
        lsn.map_or(Until::Now, |lsn| Until::Stable(self.id.0, lsn))
    }

    /// A shard has run its last step of a transaction of this core.
    pub(crate) fn note_logged(&mut self, io: &mut Io, transaction: u64, shard: u16, logged: Logged) {
        let Some(parts) = self.tx.placings.logged(transaction, shard, logged) else {
            return self.release_waiting(io);
        };
        let parts: Arc<[(ShardId, Lsn)]> = parts.into();
        for (shard, _) in parts.iter().filter(|(shard, _)| shard.0 != self.id.0) {
            let placed = LogMail::Placed { transaction, parts: parts.clone() };
            io.mail(CoreId(shard.0), Mail::Log(Box::new(placed)));
        }
        if parts.iter().any(|(shard, _)| shard.0 == self.id.0) {
            self.take_log_mail(io, self.id, LogMail::Placed { transaction, parts });
        }
        self.release_waiting(io);
    }

    /// A reply of `conn` waits for the log.
    pub(crate) fn note_held(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && !session.flags.contains(SessionFlags::HELD)
        {
            session.flags.insert(SessionFlags::HELD);
            self.held.push(conn);
        }
    }

    /// As `note_held`, for a reply that has just come.
    pub(crate) fn hold_reply(&mut self, io: &mut Io, conn: ConnId) {
        self.note_held(conn);
        if self.exec.failed {
            self.fail_waiting(io);
        }
    }

    /// Lets go the replies that have waited for what the log has become.
    pub(crate) fn release_waiting(&mut self, io: &mut Io) {
        for conn in std::mem::take(&mut self.held) {
            let Some(session) = self.sessions.get_mut(conn) else { continue };
            session.flags.remove(SessionFlags::HELD);
            if let (Some(slots), Some(out)) = (&mut session.slots, io.output(conn)) {
                let (exec, placings) = (&self.exec, &self.tx.placings);
                slots.release(|until| is_over(exec, placings, until), out);
                if slots.is_empty() {
                    self.release_slots(io, conn);
                } else {
                    self.note_held(conn);
                }
            }
            self.release_messages(io, conn);
            self.check_output(io, conn);
        }
        if let Some(log) = &self.exec.log {
            self.tx.placings.tidy(log);
        }
        self.release_epochs(io);
        self.look_at_seals(io);
    }

    /// What waits for a log that has failed will not come: the clients are told.
    pub(crate) fn fail_waiting(&mut self, io: &mut Io) {
        let error = format!("-{}\r\n", self.exec.refusal.as_deref().unwrap_or_default());
        for conn in self.held.clone() {
            self.drop_held_messages(conn);
            let (exec, placings) = (&self.exec, &self.tx.placings);
            if let Some(slots) = self.sessions.get_mut(conn).and_then(|session| session.slots.as_mut()) {
                slots.fail_held(|until| is_over(exec, placings, until), error.as_bytes());
            }
        }
        self.release_waiting(io);
    }
}
