//! WATCH and UNWATCH: what a connection's core knows of the keys that it watches, which lie on any shards.

use pinyon_base::DbIndex;
use pinyon_engine::transaction::WatcherId;
use pinyon_resp::Args;
use pinyon_runtime::{ConnId, CoreId};

use super::planted::{self, Bug};
use super::unit::{Unit, What};
use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::log::Until;
use crate::session::{Session, SessionFlags};

/// What a connection watches.
#[derive(Debug, Default)]
pub struct Watching {
    shards: Vec<u16>,
    /// The keys named so far, by shard and hash, with repetitions.
    keys: Vec<(u16, u64)>,
    /// Shards that have yet to say that they watch.
    missing: usize,
}

/// What has been watched, for the EXEC that depends on it.
pub(crate) struct Watched {
    pub id: WatcherId,
    pub shards: Vec<u16>,
    pub keys: Vec<(u16, u64)>,
}

impl Watching {
    /// Keys watched, with repetitions.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Session {
    /// How the shards know this connection, until it stops watching.
    fn watcher(&self, core: u16) -> WatcherId {
        WatcherId { client: self.id, core, place: self.conn.index, epoch: self.watch_epoch }
    }

    /// Forgets what it watches; gives where that was.
    pub(crate) fn stop_watching(&mut self, core: u16) -> Option<Watched> {
        self.flags.remove(SessionFlags::DIRTY);
        let Watching { shards, keys, .. } = *self.watching.take()?;
        let id = self.watcher(core);
        self.watch_epoch = self.watch_epoch.wrapping_add(1);
        Some(Watched { id, shards, keys })
    }
}

impl Core {
    /// Watches `args[1..]` for a connection, which waits until all their shards do.
    pub(crate) fn watch(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let watcher = session.watcher(self.id.0);
        let db = session.db;
        let mut shares: Vec<(u16, Vec<usize>)> = Vec::new();
        let mut hashes = Vec::new();
        for at in 1..args.len() {
            let owner = self.owner(args.get(at));
            hashes.push((owner, self.exec.shard.hash(args.get(at))));
            match shares.iter_mut().find(|(shard, _)| *shard == owner) {
                Some((_, positions)) => positions.push(at),
                None => shares.push((owner, vec![at])),
            }
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let watching = session.watching.get_or_insert_default();
        watching.keys.append(&mut hashes);
        watching.missing = shares.len();
        for (shard, _) in &shares {
            if !watching.shards.contains(shard) {
                watching.shards.push(*shard);
            }
        }
        let here = matches!(shares[..], [(shard, _)] if shard == self.id.0);
        if here && !self.is_blocked(self.watch_id(conn), db, args) {
            watch_keys(self, watcher, db, args);
            return self.reply(io, conn, |out| out.ok());
        }
        let ticket = self.promise(conn);
        for (shard, positions) in shares {
            let Some(session) = self.sessions.get(conn) else { return };
            let caller = session.caller(self.watch_id(conn));
            let mut batch = self.spare_batch();
            let words = std::iter::once(args.get(0)).chain(positions.iter().map(|&at| args.get(at)));
            batch.push(caller.part(0, 0), words);
            let unit = Unit {
                ticket,
                batch,
                watcher: Some(watcher),
                watched: Vec::new(),
                what: What::Watch,
                until: Until::Now,
                now: 0,
            };
            self.send_unit(io, shard, Box::new(unit));
        }
    }

    fn watch_id(&self, conn: ConnId) -> pinyon_engine::command::CommandId {
        self.sessions.get(conn).and_then(|session| session.last_command).expect("it has sent WATCH")
    }

    /// One shard watches; the last one lets the connection go on.
    pub(super) fn watched(&mut self, io: &mut Io, ticket: Ticket, watcher: Option<WatcherId>) {
        let Some(session) = self.sessions.get_mut(ticket.conn) else {
            // The connection has gone meanwhile.
            if let Some(watcher) = watcher {
                self.tell_unwatch(io, watcher, (0..self.shards).collect());
            }
            return;
        };
        let Some(watching) = &mut session.watching else { return };
        watching.missing -= 1;
        if watching.missing == 0 {
            self.fulfil(io, ticket, |out| out.ok());
        }
    }

    /// Ends all watching of a connection.
    pub(crate) fn unwatch(&mut self, io: &mut Io, conn: ConnId) {
        let core = self.id.0;
        if let Some(watched) = self.sessions.get_mut(conn).and_then(|session| session.stop_watching(core)) {
            self.tell_unwatch(io, watched.id, watched.shards);
        }
    }

    /// Tells shards that somebody no longer watches.
    pub(crate) fn tell_unwatch(&mut self, io: &mut Io, watcher: WatcherId, shards: Vec<u16>) {
        for shard in shards {
            if shard == self.id.0 {
                self.exec.shard.watches().unwatch(watcher.client);
            } else {
                io.mail(CoreId(shard), Mail::Unwatch { client: watcher.client });
            }
        }
    }

    /// Ends a MULTI without running it, and all watching.
    pub(crate) fn discard(&mut self, io: &mut Io, conn: ConnId) {
        self.unwatch(io, conn);
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.flags.remove(SessionFlags::MULTI | SessionFlags::ABORTED);
        if let Some(multi) = session.multi.take() {
            self.keep_queue(multi);
        }
    }

    /// Tells the cores of watching connections whose keys have changed in this turn.
    pub(crate) fn tell_watchers(&mut self, io: &mut Io) {
        for watcher in self.exec.shard.watches().take_news() {
            if watcher.core == self.id.0 {
                self.note_changed(watcher);
            } else {
                io.mail(CoreId(watcher.core), Mail::Changed(watcher));
            }
        }
    }

    /// Whether a key of this shard has changed since it is watched.
    pub(super) fn has_changed(&mut self, watcher: WatcherId) -> bool {
        !planted::has(Bug::ForgetsWatched) && self.exec.shard.has_changed(watcher)
    }

    /// A key that a connection of this core watches has changed: its EXEC need not ask.
    pub(crate) fn note_changed(&mut self, watcher: WatcherId) {
        if planted::has(Bug::ForgetsWatched) {
            return;
        }
        if let Some(session) = self.sessions.at(watcher.place)
            && session.id == watcher.client
            && session.watch_epoch == watcher.epoch
        {
            session.flags.insert(SessionFlags::DIRTY);
        }
    }
}

/// Watches `args[1..]`, all of this shard.
fn watch_keys(core: &mut Core, watcher: WatcherId, db: DbIndex, args: Args<'_>) {
    args.iter().skip(1).for_each(|key| core.exec.shard.watch(watcher, db, key));
}
