//! Connections that move to another core (`connection-migration yes`), for one of two reasons:
//!
//! * nearly all their keys live there. Counted where commands hop, so that a connection without hops pays nothing;
//! * this core has been busy for a while with several connections, and that one has not. Asked ten times a second.
//!
//! A connection moves with its session, between two commands, when no reply is outstanding. One in a state that this core
//! knows of elsewhere (a transaction, MONITOR, a pause) stays, and so does one that came in by a core's own port.
//! While it is on its way, some microseconds, CLIENT LIST and CLIENT KILL do not see it.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};

use pinyon_runtime::{ConnId, CoreId, Leave, clock};

use crate::core::{Core, Io};
use crate::session::{Session, SessionFlags};

/// Hops of a session between two looks at where they went.
const HOPS_PER_LOOK: u32 = 256;
/// A session that has moved stays at least this long, in ms.
const STAY_MS: i64 = 1_000;
/// How often a core looks at how busy it is, in µs.
const LOOK_US: u64 = 100_000;
/// Shares of a core's time, in thousandths: from here on it is busy, up to there it has time.
const BUSY: u64 = 900;
const HAS_TIME: u64 = 500;
/// Looks in a row that must find it busy.
const BUSY_LOOKS: u32 = 3;

/// What a session may be that moves; whatever else it is keeps it.
const MOVABLE: SessionFlags = SessionFlags::AUTHENTICATED
    .union(SessionFlags::REPLY_OFF)
    .union(SessionFlags::NO_EVICT)
    .union(SessionFlags::NO_TOUCH)
    .union(SessionFlags::UNIX)
    .union(SessionFlags::READONLY)
    .union(SessionFlags::READY);

/// Where the commands of a session go that do not run on its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// The core that most of them go to, if one has most: by how many it leads.
    core: u16,
    lead: u32,
    hops: u32,
    /// The session's count of commands when this one began.
    since: u64,
}

impl Affinity {
    /// Counts a hop to `core`. True: enough were counted for a look at them.
    #[inline]
    pub fn hop(&mut self, core: u16) -> bool {
        if self.core == core {
            self.lead += 1;
        } else if self.lead == 0 {
            (self.core, self.lead) = (core, 1);
        } else {
            self.lead -= 1;
        }
        self.hops += 1;
        self.hops == HOPS_PER_LOOK
    }

    /// The core on which nearly all of the commands ran, if there is one; begins anew. `commands`: the session's count now.
    fn look(&mut self, commands: u64) -> Option<CoreId> {
        let ran = commands.saturating_sub(self.since);
        let found = (u64::from(self.lead) * 8 >= ran * 7).then_some(CoreId(self.core));
        *self = Affinity { since: commands, ..Affinity::default() };
        found
    }
}

/// How busy each core is, as it said last.
pub struct Busyness(Vec<AtomicU64>);

impl Busyness {
    pub fn new(cores: u16) -> Busyness {
        Busyness((0..cores).map(|_| AtomicU64::new(0)).collect())
    }

    /// `share`: thousandths of the time up to `now_us`.
    fn publish(&self, core: CoreId, share: u64, now_us: u64) {
        self.0[usize::from(core.0)].store(((now_us / LOOK_US) << 10) | share.min(1000), Ordering::Relaxed);
    }

    /// A core that has not said anything for some looks does nothing.
    fn share(&self, core: usize, now_us: u64) -> u64 {
        let said = self.0[core].load(Ordering::Relaxed);
        if now_us / LOOK_US > (said >> 10) + 3 { 0 } else { said & 1023 }
    }

    /// The core that has the most time, if it has enough.
    fn idlest(&self, now_us: u64) -> Option<CoreId> {
        let shares = (0..self.0.len()).map(|core| (self.share(core, now_us), core));
        shares.min().filter(|(share, _)| *share <= HAS_TIME).map(|(_, core)| CoreId(core as u16))
    }
}

/// How busy this core is found to be.
#[derive(Default)]
pub struct LoadWatch {
    next_us: u64,
    cpu_us: u64,
    looked_us: u64,
    busy_looks: u32,
}

impl Core {
    /// Looks at where the commands of a session have gone, and has it follow them.
    #[cold]
    pub(crate) fn follow_keys(&mut self, io: &mut Io, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let Some(to) = session.affinity.look(session.commands) else { return };
        // Else all would move that use the same few keys, and their input and output with them.
        let (here, there) = (io.connections_of(self.id), io.connections_of(to));
        if there <= here + here / 4 + 1 {
            self.move_session(io, conn, to);
        }
    }

    fn move_session(&mut self, io: &mut Io, conn: ConnId, to: CoreId) {
        let Some(session) = self.sessions.get(conn) else { return };
        let settled = io.now_ms() - session.moved_ms < STAY_MS;
        if self.settings.migration && !settled && session.may_move() && to != self.id {
            io.move_to(conn, to);
        }
    }

    /// Looks ten times a second at how busy this core is, and hands one of its connections to a core that is not.
    #[inline]
    pub(crate) fn watch_load(&mut self, io: &mut Io) {
        if self.settings.migration && io.now_us() >= self.load.next_us && self.shards > 1 {
            self.look_at_load(io);
        }
    }

    #[cold]
    fn look_at_load(&mut self, io: &mut Io) {
        let (now_us, cpu_us) = (io.now_us(), clock::thread_cpu_us());
        let passed_us = (now_us - self.load.looked_us).max(1);
        let share = (cpu_us - self.load.cpu_us) * 1000 / passed_us;
        self.load.next_us = now_us + LOOK_US;
        self.load.looked_us = now_us;
        self.load.cpu_us = cpu_us;
        // The first look after a pause is about the pause.
        let share = if passed_us > 3 * LOOK_US { 0 } else { share };
        self.shared.busyness.publish(self.id, share, now_us);
        self.load.busy_looks = if share >= BUSY { self.load.busy_looks + 1 } else { 0 };
        if self.load.busy_looks < BUSY_LOOKS {
            return;
        }
        let Some(to) = self.shared.busyness.idlest(now_us) else { return };
        let since_ms = io.now_ms() - LOOK_US as i64 / 1000;
        let active = self.sessions.iter().filter(|session| session.last_active_ms >= since_ms);
        let active: Vec<ConnId> = active.map(|session| session.conn).collect();
        if active.len() > 1 {
            self.load.busy_looks = 0;
            let chosen = active[self.random_below(active.len())];
            self.move_session(io, chosen, to);
        }
    }

    /// A connection is about to go: its session goes with it.
    pub(crate) fn let_session_go(&mut self, conn: ConnId) -> Leave {
        let Some(session) = self.sessions.get(conn) else { return Leave::Stay };
        if !session.may_move() {
            return Leave::Stay;
        }
        if session.slots.is_some() {
            return Leave::Wait;
        }
        let Some(mut session) = self.sessions.remove(conn) else { return Leave::Stay };
        session.flags.remove(SessionFlags::READY);
        Leave::Go(session.details.peer.clone(), session)
    }

    /// A connection has come from another core.
    pub(crate) fn take_session_up(&mut self, io: &mut Io, conn: ConnId, luggage: Box<dyn Any + Send>) {
        let Ok(mut session) = luggage.downcast::<Session>() else { unreachable!("sessions travel, nothing else") };
        session.conn = conn;
        session.moved_ms = io.now_ms();
        session.affinity = Affinity { since: session.commands, ..Affinity::default() };
        // The password may have been taken away while it was on its way.
        if self.settings.password.is_none() {
            session.flags.insert(SessionFlags::AUTHENTICATED);
        }
        self.sessions.insert(*session);
        self.cron.wake(&self.settings);
        self.mark_ready(conn);
    }
}

impl Session {
    /// Whether nothing keeps it on its core but replies that are to come.
    fn may_move(&self) -> bool {
        // The shards would tell the core that it watched from.
        MOVABLE.contains(self.flags) && self.watching.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(hops: impl IntoIterator<Item = u16>, local: u64) -> Option<u16> {
        let mut affinity = Affinity::default();
        let mut count = 0;
        for core in hops {
            count += 1;
            assert_eq!(affinity.hop(core), count == HOPS_PER_LOOK);
        }
        affinity.look(u64::from(count) + local).map(|core| core.0)
    }

    #[test]
    fn follows_nearly_all_commands_only() {
        let all = HOPS_PER_LOOK as usize;
        assert_eq!(look(std::iter::repeat_n(3, all), 0), Some(3));
        assert_eq!(look(std::iter::repeat_n(3, all), 30), Some(3));
        assert_eq!(look(std::iter::repeat_n(3, all), 60), None, "many ran here");
        assert_eq!(look((0..all).map(|i| if i % 50 == 0 { 1 } else { 3 }), 0), Some(3));
        assert_eq!(look((0..all).map(|i| (i % 4) as u16), 0), None);
        assert_eq!(look((0..all).map(|i| if i % 4 == 0 { 1 } else { 3 }), 0), None);
    }

    #[test]
    fn a_core_that_says_nothing_has_time() {
        let busyness = Busyness::new(3);
        let now = 50 * LOOK_US;
        for core in 0..3 {
            busyness.publish(CoreId(core), 1000, now);
        }
        assert_eq!(busyness.idlest(now), None);
        busyness.publish(CoreId(1), 400, now);
        busyness.publish(CoreId(2), 300, now);
        assert_eq!(busyness.idlest(now), Some(CoreId(2)));
        busyness.publish(CoreId(2), 990, now);
        assert_eq!(busyness.idlest(now), Some(CoreId(1)));
        let later = now + 4 * LOOK_US;
        busyness.publish(CoreId(0), 1000, later);
        busyness.publish(CoreId(1), 1000, later);
        assert_eq!(busyness.idlest(later), Some(CoreId(2)));
    }
}
