//! What concerns connections as such: who is let in, MONITOR's audience, CLIENT PAUSE, output limits, idle timeouts.

use pinyon_base::text::write_quoted;
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::row::Flags;
use pinyon_resp::Args;
use pinyon_runtime::{ConnId, CoreId, PeerInfo, clock};
use std::sync::Arc;

use crate::core::{Core, Io, Mail};
use crate::secrets::{REDACTED, secret_args};
use crate::session::SessionFlags;
use crate::settings::Gates;

/// The connections of this core in MONITOR mode, and the cores that have any.
#[derive(Default)]
pub struct Monitors {
    own: Vec<ConnId>,
    /// Connections in MONITOR mode per core; kept by the broadcast of `set_monitors`.
    pub per_core: Vec<u32>,
}

impl Monitors {
    pub fn add(&mut self, conn: ConnId) {
        if !self.own.contains(&conn) {
            self.own.push(conn);
        }
    }

    pub fn remove(&mut self, conn: ConnId) {
        self.own.retain(|&own| own != conn);
    }

    pub fn own_len(&self) -> u32 {
        self.own.len() as u32
    }

    /// Writes a line to this core's monitors.
    pub fn show(&self, io: &mut Io, line: &[u8]) {
        for &conn in &self.own {
            if let Some(out) = io.output(conn) {
                out.bytes_mut().extend_from_slice(line);
            }
        }
    }
}

/// CLIENT PAUSE.
#[derive(Default)]
pub struct Pause {
    /// Unix time in ms at which it ends; 0 = none.
    pub until_ms: i64,
    /// Only commands that write.
    pub writes_only: bool,
    /// Sessions with a command that waits for the end.
    postponed: Vec<ConnId>,
}

impl Pause {
    /// Whether a command with these flags must wait.
    pub fn holds(&self, flags: Flags, now_ms: i64) -> bool {
        if now_ms >= self.until_ms {
            return false;
        }
        !self.writes_only || flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE)
    }

    pub fn postponed(&mut self, conn: ConnId) {
        self.postponed.push(conn);
    }
}

/// What a connection over the limit, and one from elsewhere in protected mode, is told.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED: &[u8] = b"-DENIED Pinyon is running in protected mode because protected mode is enabled and no password is set. In this mode connections are only accepted from the loopback interface. To let others connect, do one of these: 1) CONFIG SET requirepass <password> from the loopback interface; 2) CONFIG SET protected-mode no from the loopback interface, if the server can't be reached from the internet; 3) start it with protected-mode no.\r\n";

impl Core {
    /// Why a new connection is turned away, if it is.
    pub(crate) fn refusal(&self, peer: &PeerInfo) -> Option<&'static [u8]> {
        if self.shared.clients() >= self.settings.maxclients {
            return Some(TOO_MANY);
        }
        let guarded = self.settings.protected_mode && self.settings.password.is_none();
        (guarded && !peer.is_loopback()).then_some(PROTECTED)
    }

    /// Shows a command to all monitors of all cores.
    #[cold]
    pub(crate) fn feed_monitors(&mut self, io: &mut Io, conn: ConnId, id: CommandId, args: Args<'_>) {
        let Some(session) = self.sessions.get(conn) else { return };
        let now = clock::unix_us();
        let mut line = format!("+{}.{:06} [{} ", now / 1_000_000, now % 1_000_000, session.db.0).into_bytes();
        line.extend_from_slice(session.details.peer.addr_text().as_bytes());
        line.push(b']');
        let secret = secret_args(id, args);
        for (at, arg) in args.iter().enumerate() {
            line.push(b' ');
            write_quoted(if secret.contains(&at) { REDACTED } else { arg }, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        let line = Arc::new(line);
        for core in 0..self.shards {
            if core == self.id.0 {
                self.monitors.show(io, &line);
            } else if self.monitors.per_core.get(usize::from(core)).is_some_and(|&count| count > 0) {
                io.mail(CoreId(core), Mail::Monitor(line.clone()));
            }
        }
    }

    /// Takes over how many monitors `core` has.
    pub(crate) fn set_monitors(&mut self, core: CoreId, count: u32) {
        self.monitors.per_core.resize(usize::from(self.shards), 0);
        self.monitors.per_core[usize::from(core.0)] = count;
        let any = self.monitors.per_core.iter().any(|&count| count > 0);
        self.gates.set(Gates::MONITORS, any);
    }

    /// Tells all cores how many monitors this one has.
    pub(crate) fn announce_monitors(&mut self, io: &mut Io) {
        let (core, count) = (self.id, self.monitors.own_len());
        self.gather_all(io, move |other, _| other.set_monitors(core, count), |_, _, _| {});
    }

    /// Starts, prolongs or ends (0) a pause on this core.
    pub(crate) fn set_pause(&mut self, until_ms: i64, writes_only: bool) {
        self.pause.until_ms = until_ms;
        self.pause.writes_only = writes_only;
        self.gates.set(Gates::PAUSED, until_ms != 0);
        self.exec.shard.keep_due(until_ms != 0);
        if until_ms == 0 {
            self.resume_postponed();
        }
    }

    /// Lets the postponed sessions go on.
    pub(crate) fn resume_postponed(&mut self) {
        for conn in std::mem::take(&mut self.pause.postponed) {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.flags.remove(SessionFlags::PAUSED);
                self.mark_ready(conn);
            }
        }
    }

    /// Closes a connection whose unread output has passed the limit of its class.
    #[inline]
    pub(crate) fn check_output(&mut self, io: &mut Io, conn: ConnId) {
        if self.settings.output_limited || self.pubsub.has_listeners() {
            self.check_output_limit(io, conn);
        }
    }

    fn check_output_limit(&mut self, io: &mut Io, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.flags.contains(SessionFlags::KILLED) {
            return;
        }
        let listens = session.flags.contains(SessionFlags::SUBSCRIBER);
        let limit = if listens { self.settings.pubsub_output } else { self.settings.normal_output };
        let waiting = session.slots.as_ref().map_or(0, |slots| slots.memory())
            + session.subscriptions.as_ref().map_or(0, |own| own.held_bytes());
        let unsent = (io.unsent(conn) + waiting) as u64;
        let over_hard = limit.hard_bytes != 0 && unsent > limit.hard_bytes;
        let over_soft = limit.soft_bytes != 0 && unsent > limit.soft_bytes;
        if !over_soft {
            session.soft_limit_since_us = 0;
        } else if session.soft_limit_since_us == 0 {
            session.soft_limit_since_us = io.now_us().max(1);
            self.cron.tend_from(io.now_us());
        }
        let too_long =
            over_soft && io.now_us() - session.soft_limit_since_us > u64::from(limit.soft_seconds) * 1_000_000;
        if over_hard || too_long {
            tracing::warn!("Client {} closed: it does not read its output ({unsent} bytes)", session.id);
            self.exec.stats.output_buffer_disconnections += 1;
            self.kill(io, conn);
        }
    }

    /// Looks after sessions once in a while: idle ones are closed when `timeout` says so, soft output limits run out. True:
    /// one is above its soft limit.
    pub(crate) fn tend_sessions(&mut self, io: &mut Io) -> bool {
        let now_ms = io.now_ms();
        let timeout_ms = self.settings.timeout_ms;
        let mut idle = Vec::new();
        let mut watched = Vec::new();
        for session in self.sessions.iter() {
            let patient = SessionFlags::BLOCKED.union(SessionFlags::MONITOR).union(SessionFlags::PAUSED);
            let waits = session.flags.intersects(patient | SessionFlags::SUBSCRIBER);
            if timeout_ms != 0 && !waits && now_ms - session.last_active_ms > timeout_ms {
                idle.push(session.conn);
            } else if session.soft_limit_since_us != 0 {
                watched.push(session.conn);
            }
        }
        for conn in idle {
            self.kill(io, conn);
        }
        let any = !watched.is_empty();
        for conn in watched {
            self.check_output(io, conn);
        }
        any
    }
}
