//! The short ways of commands with a key: on this shard, one after the other with nothing asked in between, or one by one;
//! or off to the core that owns the key. What is special in any way goes by `dispatch`.

use pinyon_base::DbIndex;
use pinyon_durability::Lsn;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::row::{Flags, Handler};
use pinyon_resp::{Args, Proto, Span};
use pinyon_runtime::ConnId;

use crate::core::{Core, Io};
use crate::dispatch::{NO_KEY, Parsed, arguments, first_key};
use crate::exec::{Exec, Run};
use crate::hop::Origin;
use crate::log::Until;
use crate::session::SessionFlags;

/// Commands at the front of a pipeline that this core may run one after the other.
#[derive(Clone, Copy)]
struct Front<'a> {
    data: &'a [u8],
    parsed: &'a [Parsed],
    spans: &'a [Span],
    /// This core.
    owner: u16,
    /// Of the session that has sent them.
    db: DbIndex,
    proto: Proto,
    no_touch: bool,
}

impl Core {
    /// The shortest way: commands at the front of a pipeline whose keys are all here, one after the other, where nothing is
    /// special about the session or the server: that is asked once. Gives how many ran.
    #[inline]
    pub(crate) fn run_plain(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        data: &[u8],
        parsed: &[Parsed],
        spans: &[Span],
    ) -> usize {
        let is_plain =
            |command: &Parsed| command.owner == self.id.0 && command.id.is_some_and(|id| registry().entry(id).is_plain);
        if !self.gates.is_empty() || self.exec.is_limited() || !parsed.first().is_some_and(is_plain) {
            return 0;
        }
        let holds = self.exec.holds;
        let Some(session) = self.sessions.get_mut(conn) else { return 0 };
        let special =
            session.flags & (SessionFlags::SLOW_PATH | SessionFlags::AUTHENTICATED) != SessionFlags::AUTHENTICATED;
        if special || (session.slots.is_some() && !holds) || self.exec.shard.has_fading(session.db) {
            return 0;
        }
        let (db, proto, no_touch) = (session.db, session.proto, session.is_touchless());
        let front = Front { data, parsed, spans, owner: self.id.0, db, proto, no_touch };
        let (done, ns) = if holds {
            self.run_front_held(io, conn, front)
        } else {
            let Some(out) = io.output(conn) else { return 0 };
            front.run(&mut self.exec, |exec, run, args| Some(exec.carry_out(run, args, out)))
        };
        let Some(last) = done.checked_sub(1) else { return 0 };
        if let Some(session) = self.sessions.get_mut(conn) {
            session.commands += done as u64;
            session.last_command = parsed[last].id;
        }
        if ns >= self.exec.watch_ns
            && let Some(id) = parsed[last].id
        {
            self.was_slow(io, conn, id, arguments(data, spans, &parsed[last]), ns);
        }
        self.after_command(io);
        done
    }

    /// As `Front::run`, where replies wait for the log: until the last record that one of them tells of is stable, all of
    /// them, for they leave in order and the records of a turn are written together. Ends before the first that may have to
    /// wait, so that those before it need not.
    fn run_front_held(&mut self, io: &mut Io, conn: ConnId, front: Front<'_>) -> (usize, u64) {
        let mut replies = std::mem::take(&mut self.scratch);
        let (mut until, mut count, mut waits) = (Lsn(0), 0, false);
        let ran = front.run(&mut self.exec, |exec, run, args| {
            let before = exec.last_lsn();
            let key = exec.only_key(run.command, run.hash);
            if !waits {
                waits = run.flags.contains(Flags::WRITE) || exec.is_unstable(key);
                if waits && count > 0 {
                    return None;
                }
            }
            let ns = exec.carry_out(run, args, &mut replies);
            exec.hold(before, key);
            until = until.max(exec.until);
            count += 1;
            Some(ns)
        });
        if count > 0 {
            self.exec.until = until;
            let until = self.exec.until();
            self.deliver_several(io, conn, &mut replies, count, until);
        }
        self.scratch = replies;
        ran
    }

    /// The short way of a command with one key and nothing special about it. False: take the long way.
    #[inline]
    pub(crate) fn run_fast(&mut self, io: &mut Io, conn: ConnId, command: &Parsed, args: Args<'_>) -> bool {
        let Some(id) = command.id else { return false };
        let entry = registry().entry(id);
        let Handler::Shard(handler) = entry.row.handler else { return false };
        if !self.gates.is_empty() || !entry.arity_ok(args.len()) || command.owner == NO_KEY {
            return false;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return false };
        if session.flags & (SessionFlags::SLOW_PATH | SessionFlags::AUTHENTICATED) != SessionFlags::AUTHENTICATED {
            return false;
        }
        let db = session.db;
        let is_own = command.owner == self.id.0;
        if is_own && self.may_be_in_pieces(entry.row, db) && self.pieces_of(id, db, args).is_some() {
            return false;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return false };
        let leaves = command.owner != self.id.0 || entry.row.flags.contains(Flags::LEAVES_DB);
        if leaves && session.flags.contains(SessionFlags::CORE_PORT) {
            return false;
        }
        session.commands += 1;
        session.last_command = Some(id);
        let no_touch = session.is_touchless();
        if command.owner != self.id.0 {
            let slots = session.slots.get_or_insert_with(|| self.slots_pool.pop().unwrap_or_default());
            let origin = Origin::Slot { conn, seq: slots.reserve() };
            let head = session.head(origin, id, command.hash);
            let look = session.affinity.hop(command.owner);
            self.hop(io, command.owner, head, args.iter());
            if look {
                self.follow_keys(io, conn);
            }
            return true;
        }
        let run = Run {
            command: id,
            flags: entry.row.flags,
            handler,
            db: session.db,
            proto: session.proto,
            no_touch,
            key_at: first_key(&entry.keys),
            hash: command.hash,
            counts: true,
        };
        let ns = match &mut session.slots {
            _ if self.exec.holds => return self.run_held_back(io, conn, run, args),
            None => match io.output(conn) {
                Some(out) => self.exec.run(run, args, out),
                None => return true,
            },
            Some(slots) => {
                let ns = self.exec.run(run, args, &mut self.scratch);
                slots.push(&mut self.scratch, 1, Until::Now);
                ns
            }
        };
        if ns >= self.exec.watch_ns {
            self.was_slow(io, conn, id, args, ns);
        }
        self.after_command(io);
        true
    }

    /// As the end of `run_fast`, where replies wait for the log.
    fn run_held_back(&mut self, io: &mut Io, conn: ConnId, run: Run, args: Args<'_>) -> bool {
        let mut reply = std::mem::take(&mut self.scratch);
        let ns = self.exec.run(run, args, &mut reply);
        let until = self.exec.until();
        self.deliver_until(io, conn, &mut reply, until);
        self.scratch = reply;
        if ns >= self.exec.watch_ns {
            self.was_slow(io, conn, run.command, args, ns);
        }
        true
    }
}

impl Front<'_> {
    /// Has `each` run the commands and give their execution times (ns), up to the first that is not plain, or for which it
    /// gives none. Gives how many ran, and the time of the last if that one is to be looked at, which also ends it.
    #[inline(always)]
    fn run(&self, exec: &mut Exec, mut each: impl FnMut(&mut Exec, Run, Args<'_>) -> Option<u64>) -> (usize, u64) {
        let Front { db, proto, no_touch, .. } = *self;
        let mut done = 0;
        for command in self.parsed {
            let args = arguments(self.data, self.spans, command);
            let Some(id) = command.id.filter(|_| command.owner == self.owner) else { break };
            let entry = registry().entry(id);
            let Handler::Shard(handler) = entry.row.handler else { break };
            if !entry.is_plain || !entry.arity_ok(args.len()) {
                break;
            }
            let key_at = first_key(&entry.keys);
            let flags = entry.row.flags;
            let run =
                Run { command: id, flags, handler, db, proto, no_touch, key_at, hash: command.hash, counts: true };
            let Some(ns) = each(exec, run, args) else { break };
            done += 1;
            if ns >= exec.watch_ns {
                return (done, ns);
            }
            if exec.waiters.is_urgent {
                break;
            }
        }
        (done, 0)
    }
}
