//! The state of one client connection: what HELLO, SELECT, AUTH and CLIENT set, the bytes not yet parsed, and the order in
//! which its replies leave.
//!
//! An idle session holds no buffers: the pending input and the reply slots are given back when they are empty.

use pinyon_base::DbIndex;
use pinyon_engine::command::registry::CommandId;
use pinyon_resp::{Parser, Proto, Span};
use pinyon_runtime::{ConnId, PeerInfo, PeerKind};

use crate::hop::{Origin, RequestHead};
use crate::migration::Affinity;
use crate::pubsub::Subscriptions;
use crate::slots::Slots;
use crate::tx::Caller;
use crate::tx::Watching;
use crate::tx::queued::Multi;

bitflags::bitflags! {
    /// What is special about a session. The dispatcher's fast path wants none of `SLOW_PATH` set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SessionFlags: u32 {
        /// May run commands: no password is set, or AUTH succeeded.
        const AUTHENTICATED = 1;
        /// CLIENT REPLY OFF.
        const REPLY_OFF = 1 << 1;
        /// CLIENT REPLY SKIP was called: the next command is silent.
        const REPLY_SKIP_NEXT = 1 << 2;
        /// This command is silent.
        const REPLY_SKIP = 1 << 3;
        const MONITOR = 1 << 4;
        const NO_EVICT = 1 << 5;
        /// CLIENT NO-TOUCH on: reads leave the access word alone.
        const NO_TOUCH = 1 << 6;
        /// Waits for other cores before its next command may run.
        const BLOCKED = 1 << 7;
        /// Closes once its output has left; takes no further commands.
        const CLOSING = 1 << 8;
        /// Is in the list of sessions with input left over from an earlier turn.
        const READY = 1 << 9;
        /// Postponed by CLIENT PAUSE.
        const PAUSED = 1 << 10;
        /// Receiving is paused: too much input is waiting.
        const THROTTLED = 1 << 11;
        /// Arrived on a unix socket.
        const UNIX = 1 << 12;
        /// Killed: no longer counted among the clients.
        const KILLED = 1 << 13;
        /// The client has shut down its side: it will send no more.
        const EOF = 1 << 14;
        /// Came in by the port of this core, where other cores' keys are refused.
        const CORE_PORT = 1 << 15;
        /// READONLY of a cluster.
        const READONLY = 1 << 16;
        /// Since MULTI, until EXEC or DISCARD.
        const MULTI = 1 << 17;
        /// A command since MULTI was refused: EXEC will be.
        const ABORTED = 1 << 18;
        /// A watched key has changed.
        const DIRTY = 1 << 19;
        /// Its next command waits until all replies are home.
        const DRAINING = 1 << 20;
        /// Is in the list of sessions whose replies wait for the log.
        const HELD = 1 << 21;
        /// Listens to a channel or a pattern.
        const SUBSCRIBER = 1 << 22;
        /// The same in RESP2, where it may do little else.
        const ONLY_LISTENS = 1 << 23;
        /// Any of these sends commands down the slow path.
        const SLOW_PATH = Self::REPLY_OFF.bits() | Self::REPLY_SKIP_NEXT.bits() | Self::REPLY_SKIP.bits()
            | Self::MONITOR.bits() | Self::MULTI.bits() | Self::ONLY_LISTENS.bits();
    }
}

/// One connection's state.
pub struct Session {
    pub conn: ConnId,
    /// The server-wide client id of CLIENT ID.
    pub id: u64,
    pub db: DbIndex,
    pub proto: Proto,
    pub flags: SessionFlags,
    pub parser: Parser,
    /// The arguments of a command of which only a part has come.
    pub partial: Vec<Span>,
    /// The turn that `turn_commands` counts for, and the commands run in it.
    turn: u64,
    pub turn_commands: u32,
    /// Input received and not yet executed, from `pending_start` on.
    pub pending: Vec<u8>,
    pub pending_start: usize,
    /// Replies that wait for other cores, in order. None while none are outstanding.
    pub slots: Option<Box<Slots>>,
    /// The core that its commands wait for (`pipeline-order strict`).
    pub hop_owner: u16,
    /// What is queued since MULTI.
    pub multi: Option<Box<Multi>>,
    /// The number of commands of the EXEC under way.
    pub executing: Option<usize>,
    pub watching: Option<Box<Watching>>,
    /// What it listens to.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// Its PUBLISHes to which other cores have yet to answer.
    pub publishing: u32,
    /// The command that waits for keys, or is tried: its number on this core.
    pub waiting: Option<u64>,
    /// Counts the times that it stopped watching.
    pub watch_epoch: u32,
    /// Unix time of the connection and of its last command, in ms.
    pub created_ms: i64,
    pub last_active_ms: i64,
    /// Since when the output has been above the soft limit, in monotonic µs; 0 = it is not.
    pub soft_limit_since_us: u64,
    pub last_command: Option<CommandId>,
    pub commands: u64,
    pub input_bytes: u64,
    /// Where its commands go, and when it last came from another core (Unix time in ms).
    pub affinity: Affinity,
    pub moved_ms: i64,
    pub details: Box<Details>,
}

/// What only CLIENT INFO, CLIENT LIST and MONITOR look at.
pub struct Details {
    pub peer: PeerInfo,
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_version: Vec<u8>,
    /// The user of the last AUTH.
    pub user: &'static str,
}

impl Session {
    /// A session just accepted, in database 0 and RESP2.
    pub fn new(conn: ConnId, id: u64, peer: PeerInfo, now_ms: i64, authenticated: bool) -> Session {
        let mut flags = SessionFlags::empty();
        flags.set(SessionFlags::AUTHENTICATED, authenticated);
        flags.set(SessionFlags::UNIX, peer.kind == PeerKind::Unix);
        flags.set(SessionFlags::CORE_PORT, peer.own_port);
        Session {
            conn,
            id,
            db: DbIndex(0),
            proto: Proto::Resp2,
            flags,
            parser: Parser::default(),
            partial: Vec::new(),
            turn: 0,
            turn_commands: 0,
            pending: Vec::new(),
            pending_start: 0,
            slots: None,
            hop_owner: 0,
            multi: None,
            executing: None,
            watching: None,
            subscriptions: None,
            publishing: 0,
            waiting: None,
            watch_epoch: 0,
            created_ms: now_ms,
            last_active_ms: now_ms,
            soft_limit_since_us: 0,
            last_command: None,
            commands: 0,
            input_bytes: 0,
            affinity: Affinity::default(),
            moved_ms: 0,
            details: Box::new(Details {
                peer,
                name: Vec::new(),
                lib_name: Vec::new(),
                lib_version: Vec::new(),
                user: "default",
            }),
        }
    }

    /// Back to the state of a new connection (RESET).
    pub fn reset(&mut self, authenticated: bool) {
        self.db = DbIndex(0);
        self.proto = Proto::Resp2;
        self.flags.set(SessionFlags::AUTHENTICATED, authenticated);
        self.flags.remove(SessionFlags::SLOW_PATH | SessionFlags::NO_EVICT | SessionFlags::NO_TOUCH);
        self.flags.remove(SessionFlags::READONLY);
        self.details.name.clear();
    }

    /// Renews the budget when a new turn has begun.
    #[inline]
    pub fn new_turn(&mut self, turn: u64) {
        if self.turn != turn {
            self.turn = turn;
            self.turn_commands = 0;
        }
    }

    /// What every command does before it runs.
    pub fn begin_command(&mut self, id: Option<CommandId>) {
        self.commands += 1;
        self.last_command = id;
        if self.flags.contains(SessionFlags::REPLY_SKIP_NEXT) {
            self.flags.remove(SessionFlags::REPLY_SKIP_NEXT);
            self.flags.insert(SessionFlags::REPLY_SKIP);
        }
    }

    /// Whether CLIENT REPLY keeps the replies from this client.
    pub fn is_silent(&self) -> bool {
        self.flags.intersects(SessionFlags::REPLY_OFF | SessionFlags::REPLY_SKIP)
    }

    /// What another core needs to know to run a command of this session.
    #[inline]
    pub fn head(&self, origin: Origin, command: CommandId, hash: u64) -> RequestHead {
        let no_touch = self.is_touchless();
        RequestHead { origin, command, db: self.db, proto: self.proto, no_touch, hash, client: self.id }
    }

    /// CLIENT NO-TOUCH.
    #[inline]
    pub fn is_touchless(&self) -> bool {
        self.flags.contains(SessionFlags::NO_TOUCH)
    }

    /// Commands queued since MULTI, or of the EXEC under way. None: neither.
    pub fn queued(&self) -> Option<usize> {
        self.multi.as_ref().map(|multi| multi.commands.len()).or(self.executing)
    }

    /// What a transaction needs to know of the session whose command `command` it runs.
    pub(crate) fn caller(&self, command: CommandId) -> Caller {
        Caller { head: self.head(Origin::Whole { item: 0 }, command, 0), proto: self.proto }
    }

    /// Bytes of input waiting.
    pub fn pending_len(&self) -> usize {
        self.pending.len() - self.pending_start
    }

    /// Whether its commands may run now.
    pub fn may_run(&self) -> bool {
        let waits = SessionFlags::BLOCKED | SessionFlags::PAUSED | SessionFlags::DRAINING;
        !self.flags.intersects(waits | SessionFlags::CLOSING)
    }

    /// Resident memory of this session without its output, in bytes (CLIENT LIST's tot-mem, maxmemory-clients).
    pub fn memory(&self) -> usize {
        size_of::<Session>()
            + size_of::<Details>()
            + self.pending.capacity()
            + self.partial.capacity() * size_of::<Span>()
            + self.details.name.capacity()
            + self.slots.as_ref().map_or(0, |slots| slots.memory())
            + self.multi.as_ref().map_or(0, |multi| multi.memory())
            + self.subscriptions.as_ref().map_or(0, |own| own.memory())
    }
}
