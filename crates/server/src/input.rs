//! What becomes of received bytes: run at once, kept until the rest of a command has come, or kept for a later turn when
//! the connection has used up its budget or waits for other cores.

use pinyon_base::{shard_of, slot_of};
use pinyon_resp::second_argument;
use pinyon_runtime::ConnId;

use crate::core::{Core, Io};
use crate::dispatch::Progress;
use crate::session::SessionFlags;

/// Receiving stops while this much input waits, in bytes, and goes on when it has been run.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// What arrives in this many bytes is probably one command: pipelines fetch their keys by themselves.
const SINGLE_BYTES_MAX: usize = 512;

/// At the start of a big argument: how much room is made ahead of its arrival.
const RESERVE_BYTES: usize = 1 << 20;

impl Core {
    /// Fetches the keys that single commands of several connections are about, all at once, before the first of them runs.
    #[inline]
    pub(crate) fn fetch_ahead<'a>(&mut self, arrivals: impl Iterator<Item = (ConnId, &'a [u8])>) {
        self.ahead.clear();
        for (conn, data) in arrivals {
            if data.len() <= SINGLE_BYTES_MAX
                && let Some(session) = self.sessions.get(conn)
                && let Some(key) = second_argument(data)
                && (self.shards == 1 || shard_of(slot_of(key), self.shards).0 == self.id.0)
            {
                let hash = self.exec.shard.hash(key);
                self.exec.shard.prefetch_bucket(session.db, hash);
                self.ahead.push((session.db, hash));
            }
        }
        for &(db, hash) in &self.ahead {
            self.exec.shard.prefetch_entry(db, hash);
        }
    }

    /// Takes bytes received for `conn` and runs what may run.
    pub fn take_input(&mut self, io: &mut Io, conn: ConnId, data: &[u8]) {
        let now_ms = io.now_ms();
        let turn = self.turn;
        if self.stopping {
            return;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.input_bytes += data.len() as u64;
        session.last_active_ms = now_ms;
        session.new_turn(turn);
        if session.pending_len() > 0 || !session.may_run() {
            let waiting = session.flags.contains(SessionFlags::READY) || !session.may_run();
            session.pending.extend_from_slice(data);
            if waiting {
                self.throttle(io, conn);
            } else {
                self.run_pending(io, conn);
            }
            return;
        }
        let (consumed, progress) = self.run_input(io, conn, data);
        self.keep_rest(io, conn, &data[consumed..], progress);
    }

    /// Takes up the sessions that had input left over.
    pub(crate) fn run_ready(&mut self, io: &mut Io) {
        let turn = self.turn;
        for conn in std::mem::take(&mut self.ready) {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.flags.remove(SessionFlags::READY);
                session.new_turn(turn);
                if session.may_run() {
                    self.run_pending(io, conn);
                    self.finish_eof(io, conn);
                }
            }
        }
    }

    /// Runs what waits in the session's own buffer.
    fn run_pending(&mut self, io: &mut Io, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let buffer = std::mem::take(&mut session.pending);
        let start = std::mem::take(&mut session.pending_start);
        let (consumed, progress) = self.run_input(io, conn, &buffer[start..]);
        let Some(session) = self.sessions.get_mut(conn) else { return };
        debug_assert!(session.pending.is_empty(), "input arrives between turns of a session only");
        let at = start + consumed;
        if at < buffer.len() && !session.flags.contains(SessionFlags::CLOSING) {
            session.pending = buffer;
            session.pending_start = at;
            if at >= session.pending.len() / 2 {
                session.pending.drain(..at);
                session.pending_start = 0;
            }
            self.after_rest(io, conn, progress);
        } else {
            self.unthrottle(io, conn);
        }
    }

    fn keep_rest(&mut self, io: &mut Io, conn: ConnId, rest: &[u8], progress: Progress) {
        if rest.is_empty() {
            return;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.flags.contains(SessionFlags::CLOSING) {
            return;
        }
        session.pending.extend_from_slice(rest);
        self.after_rest(io, conn, progress);
    }

    /// What follows when input is left over: more must come, or it runs in a later turn.
    fn after_rest(&mut self, io: &mut Io, conn: ConnId, progress: Progress) {
        let limit = self.settings.query_buffer_max;
        let Some(session) = self.sessions.get_mut(conn) else { return };
        match progress {
            Progress::Starved { need } => {
                // Room for what was announced, but no more at once than has already come: a length is only a claim.
                let room = need.saturating_sub(session.pending_len()).min(session.pending_len().max(RESERVE_BYTES));
                session.pending.reserve(room);
                self.unthrottle(io, conn);
            }
            Progress::Stopped => {
                if session.may_run() {
                    self.mark_ready(conn);
                }
                self.throttle(io, conn);
            }
        }
        let Some(session) = self.sessions.get(conn) else { return };
        if session.pending_len() > limit {
            self.exec.stats.query_buffer_disconnections += 1;
            tracing::warn!("Closing client {} that reached max query buffer length", session.id);
            self.kill(io, conn);
        }
    }

    /// Stops receiving while much input waits; the kernel's buffers then slow the sender down.
    fn throttle(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && session.pending_len() > PENDING_BYTES_MAX
            && !session.flags.contains(SessionFlags::THROTTLED)
        {
            session.flags.insert(SessionFlags::THROTTLED);
            io.pause(conn);
        }
    }

    fn unthrottle(&mut self, io: &mut Io, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && session.flags.contains(SessionFlags::THROTTLED)
        {
            session.flags.remove(SessionFlags::THROTTLED);
            io.resume(conn);
        }
    }
}
