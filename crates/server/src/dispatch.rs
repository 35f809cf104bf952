//! From bytes to commands to the place where they run. This is the one place that decides: known command, arity,
//! authentication, pauses, and which core owns the keys.
//!
//! ```text
//! take_input ─▶ run_input: parse a pipeline ─▶ prefetch its buckets, then its entries ─▶ dispatch one by one
//!                                                            ┌─ this shard: exec.run
//! dispatch ─▶ gates ─▶ by the row's handler ─────────────────┼─ another shard: the open batch of that core (hop.rs)
//!                                                            ├─ several shards: tx/
//!                                                            └─ the server's own: commands/
//! ```

use pinyon_base::{shard_of, slot_of};
use pinyon_engine::CommandError;
use pinyon_engine::command::keys_of::KeyPlan;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Command, Flags, Handler, ServerCommand, Spread};
use pinyon_resp::{Args, Limits, Parse, Parser, ProtocolError, Span, Writer};
use pinyon_runtime::ConnId;

use crate::commands::{self, Call, transaction};
use crate::core::{Core, Io};
use crate::exec::Run;
use crate::hop::Origin;
use crate::log::{Until, is_over};
use crate::nodes;
use crate::resolve::{is_listening, may_while_listening, only_listens, resolve, unknown_command};
use crate::session::SessionFlags;
use crate::settings::Gates;
use crate::slots::Slots;
use crate::tx::long::Asker;

/// A command of the pipeline at hand, parsed and not yet run.
#[derive(Clone, Copy)]
pub struct Parsed {
    /// Where its bytes start and end in the input.
    start: u32,
    end: u32,
    spans_start: u32,
    spans_end: u32,
    /// None: no such command.
    pub(crate) id: Option<CommandId>,
    /// The core that owns its first key; this one for a command without keys.
    pub(crate) owner: u16,
    /// The hash of its first key.
    pub(crate) hash: u64,
}

/// Commands parsed ahead of execution, so that their buckets can be prefetched together.
const PARSE_AHEAD: usize = 32;
/// Commands that one connection may run in one turn.
const COMMANDS_PER_TURN: u32 = 512;
/// Arguments, up to which their places are parsed into memory that is kept: that of a longer command is given back.
const SPANS_KEPT_MAX: usize = 16 << 10;
/// What became of a piece of input.
pub enum Progress {
    /// All complete commands ran; at least `need` bytes belong to the one that is not complete.
    Starved { need: usize },
    /// The session may not run further now (budget, promise, pause, close).
    Stopped,
}

impl Core {
    /// Runs the complete commands at the front of `data`, within the session's budget. Gives the bytes used up.
    pub(crate) fn run_input(&mut self, io: &mut Io, conn: ConnId, data: &[u8]) -> (usize, Progress) {
        let mut parsed = std::mem::take(&mut self.parsed);
        let mut spans = std::mem::take(&mut self.spans);
        self.running = Some(conn);
        let result = self.run_pipelines(io, conn, data, &mut parsed, &mut spans);
        self.running = None;
        self.parsed = parsed;
        if spans.capacity() <= SPANS_KEPT_MAX {
            self.spans = spans;
        }
        if self.sessions.get(conn).is_some_and(|session| session.slots.is_some()) {
            io.hold(conn);
        }
        self.check_output(io, conn);
        result
    }

    fn run_pipelines(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        data: &[u8],
        parsed: &mut Vec<Parsed>,
        spans: &mut Vec<Span>,
    ) -> (usize, Progress) {
        let mut at = 0;
        let mut resumed = true;
        loop {
            let Some(session) = self.sessions.get_mut(conn) else { return (at, Progress::Stopped) };
            if !session.may_run() || session.turn_commands >= COMMANDS_PER_TURN {
                return (at, Progress::Stopped);
            }
            let authenticated = session.flags.contains(SessionFlags::AUTHENTICATED);
            let limits = self.settings.limits(authenticated);
            let ahead = if authenticated { PARSE_AHEAD } else { 1 };
            spans.clear();
            if resumed {
                spans.append(&mut session.partial);
                if session.partial.capacity() > SPANS_KEPT_MAX {
                    session.partial = Vec::new();
                }
                resumed = false;
            }
            let mut parser = std::mem::take(&mut session.parser);
            let (end, stop) = parse_ahead(&mut parser, data, at, &limits, ahead, parsed, spans);
            session.turn_commands += parsed.len() as u32;
            if parsed.is_empty() {
                return match stop {
                    Stop::Incomplete { need } => {
                        session.parser = parser;
                        session.partial.append(spans);
                        (end, Progress::Starved { need })
                    }
                    Stop::Inline { consumed, args } => {
                        session.turn_commands += 1;
                        if self.run_inline(io, conn, &args).is_some() {
                            return (end, Progress::Stopped);
                        }
                        at = end + consumed;
                        continue;
                    }
                    Stop::Error(error) => {
                        self.protocol_error(io, conn, &error);
                        (data.len(), Progress::Stopped)
                    }
                    Stop::Full => continue,
                };
            }
            if let Stop::Incomplete { .. } = stop {
                // The rest is parsed again after this pipeline has run: its partial spans would be in the way.
                parser = Parser::default();
            }
            session.parser = if matches!(stop, Stop::Error(_)) { Parser::default() } else { parser };
            self.look_up(conn, data, parsed, spans);
            match self.run_parsed(io, conn, data, parsed, spans) {
                Some(stopped_at) => return (stopped_at, Progress::Stopped),
                None => at = parsed.last().map_or(end, |last| last.end as usize),
            }
        }
    }

    /// Finds the rows and owners of a pipeline's commands and prefetches what its local ones will touch.
    fn look_up(&mut self, conn: ConnId, data: &[u8], parsed: &mut [Parsed], spans: &[Span]) {
        let registry = registry();
        let Some(session) = self.sessions.get(conn) else { return };
        let db = session.db;
        let prefetch = parsed.len() > 1;
        // Pipelines are mostly of one command.
        let (mut last_name, mut last_id) = (&b""[..], None);
        for command in parsed.iter_mut() {
            let args = arguments(data, spans, command);
            let name = args.get(0);
            if !name.iter().eq(last_name) {
                last_name = name;
                last_id = match &self.settings.renames {
                    None => registry.find(name),
                    Some(renames) => renames.find(name),
                };
            }
            command.id = last_id;
            let Some(id) = command.id else { continue };
            let position = usize::from(first_key(&registry.entry(id).keys));
            if position == 0 || position >= args.len() {
                continue;
            }
            let key = args.get(position);
            command.hash = self.exec.shard.hash(key);
            command.owner = if self.shards == 1 { 0 } else { shard_of(slot_of(key), self.shards).0 };
            if prefetch && command.owner == self.id.0 {
                self.exec.shard.prefetch_bucket(db, command.hash);
            }
        }
        if prefetch {
            for command in parsed.iter().filter(|command| command.owner == self.id.0 && command.hash != 0) {
                self.exec.shard.prefetch_entry(db, command.hash);
            }
        }
    }

    /// Runs a pipeline's commands in order. Gives the place in the input where it had to stop, if it had to.
    fn run_parsed(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        data: &[u8],
        parsed: &[Parsed],
        spans: &[Span],
    ) -> Option<usize> {
        self.exec.start(io.now_ms());
        let (mut done, mut may_be_plain) = (0, true);
        for (index, command) in parsed.iter().enumerate() {
            if may_be_plain && index >= done {
                done = index + self.run_plain(io, conn, data, &parsed[index..], spans);
            }
            if index < done {
                continue;
            }
            // Behind one that goes to another core, replies have to wait.
            may_be_plain &= command.owner == self.id.0 || command.owner == NO_KEY;
            let args = arguments(data, spans, command);
            if self.run_fast(io, conn, command, args) {
                continue;
            }
            match self.dispatch(io, conn, command, args) {
                Outcome::Done => {}
                Outcome::Postponed => {
                    return Some(command.start as usize);
                }
            }
            let may_run = self.sessions.get(conn).is_some_and(|session| session.may_run());
            if !may_run && index + 1 < parsed.len() {
                return Some(command.end as usize);
            }
        }
        None
    }

    /// Runs one command, whatever it is.
    fn dispatch(&mut self, io: &mut Io, conn: ConnId, command: &Parsed, args: Args<'_>) -> Outcome {
        let Some(session) = self.sessions.get_mut(conn) else { return Outcome::Done };
        let Some(id) = command.id else {
            session.begin_command(None);
            self.refuse(io, conn, None, &unknown_command(args));
            self.end_command(conn);
            return Outcome::Done;
        };
        let (id, row) = match resolve(id, args) {
            Ok(found) => found,
            Err(error) => {
                // What has no row is not counted under its container.
                let counted = (args.len() == 1).then_some(id);
                session.begin_command(counted);
                self.refuse(io, conn, counted, &error);
                self.end_command(conn);
                return Outcome::Done;
            }
        };
        let queues = session.flags.contains(SessionFlags::MULTI) && !is_transactional(row);
        let flags = match &session.multi {
            Some(multi) if !queues => row.flags | multi.flags,
            _ => row.flags,
        };
        // Replies that are here and wait for the log keep their order by themselves, but for messages.
        let awaits = session.slots.as_ref().is_some_and(|slots| slots.is_awaiting() || is_listening(row));
        if !queues && awaits && self.must_drain(conn, id, row, command, args) {
            return Outcome::Postponed;
        }
        // What is wrong with it is said at once.
        if self.pause.holds(flags, io.now_ms()) && self.gate(conn, id, row, args).is_ok() {
            let Some(session) = self.sessions.get_mut(conn) else { return Outcome::Done };
            session.flags.insert(SessionFlags::PAUSED);
            self.pause.postponed(conn);
            return Outcome::Postponed;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return Outcome::Done };
        session.begin_command(Some(id));
        match self.gate(conn, id, row, args) {
            Ok(()) if queues => self.enqueue(io, conn, id, row, args),
            Ok(()) => self.carry_out(io, conn, id, row, command, args),
            Err(error) => self.refuse(io, conn, Some(id), &error),
        }
        self.end_command(conn);
        Outcome::Done
    }

    /// Whether a command has to wait for the replies that are still to come, all of them: one over several shards always,
    /// others where the order over shards is strict. If so, the session waits.
    #[cold]
    fn must_drain(&mut self, conn: ConnId, id: CommandId, row: &Command, command: &Parsed, args: Args<'_>) -> bool {
        let strict = self.gates.contains(Gates::STRICT);
        let owner = match row.handler {
            // An error is made here.
            _ if !registry().entry(id).arity_ok(args.len()) => Some(self.id.0),
            Handler::Spread(Spread::Tries, _) => None,
            Handler::Spread(..) => self.single_owner(id, args),
            Handler::Server(ServerCommand::Publish | ServerCommand::Spublish) => {
                // Their messages leave in order without that.
                let session = self.sessions.get(conn);
                let others = |slots: &Slots, publishing: u32| slots.awaited() > publishing;
                let waits = session.is_some_and(|s| s.slots.as_ref().is_some_and(|slots| others(slots, s.publishing)));
                if waits { None } else { Some(session.map_or(0, |session| session.hop_owner)) }
            }
            _ if is_listening(row) => None,
            Handler::Server(server) if is_ordered(server) => None,
            Handler::Server(_) => Some(self.id.0),
            _ if command.owner == NO_KEY => Some(self.id.0),
            _ => Some(command.owner),
        };
        let Some(session) = self.sessions.get_mut(conn) else { return false };
        let waits = owner.is_none_or(|owner| strict && owner != session.hop_owner);
        session.flags.set(SessionFlags::DRAINING, waits);
        waits
    }

    /// Queues a command of a MULTI. While memory is short nothing is queued.
    fn enqueue(&mut self, io: &mut Io, conn: ConnId, id: CommandId, row: &'static Command, args: Args<'_>) {
        if self.exec.maxmemory != 0 && !self.exec.has_room(args.bytes.len() as u64) {
            return self.refuse(io, conn, Some(id), &CommandError::OutOfMemory);
        }
        // What will not run need not be kept.
        let hopeless = SessionFlags::ABORTED | SessionFlags::DIRTY;
        let queue = self.sessions.get_mut(conn).filter(|session| !session.flags.intersects(hopeless));
        if let Some(mut multi) = queue.and_then(|session| session.multi.take()) {
            self.queue(&mut multi, id, row, args);
            if let Some(session) = self.sessions.get_mut(conn) {
                session.multi = Some(multi);
            }
        }
        self.reply(io, conn, |out| out.simple("QUEUED"));
    }

    /// Whether the command may run at all.
    fn gate(&mut self, conn: ConnId, id: CommandId, row: &Command, args: Args<'_>) -> Result<(), CommandError> {
        if !registry().entry(id).arity_ok(args.len()) {
            return Err(CommandError::WrongArity(registry().full_name(id).into()));
        }
        let authenticated = self.sessions.get(conn).is_some_and(|s| s.flags.contains(SessionFlags::AUTHENTICATED));
        if !authenticated && !row.flags.contains(Flags::NO_AUTH) {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        if self.gates.contains(Gates::LOADING) && !row.flags.contains(Flags::LOADING) {
            return Err(CommandError::text("LOADING Redis is loading the dataset in memory"));
        }
        let Some(session) = self.sessions.get(conn) else { return Ok(()) };
        let mut flags = row.flags;
        if session.flags.contains(SessionFlags::MULTI) {
            if row.flags.contains(Flags::NO_MULTI) {
                return Err(CommandError::text("ERR Command not allowed inside a transaction"));
            }
            let queued = session.multi.as_ref().map_or((Flags::empty(), 0), |multi| (multi.flags, multi.bytes_len()));
            let runs = matches!(row.handler, Handler::Server(ServerCommand::Exec));
            let writes = queued.0.contains(Flags::DENYOOM) && self.exec.maxmemory != 0;
            if runs {
                flags |= queued.0;
            }
            if runs && writes && !self.exec.has_room(queued.1 as u64) {
                return Err(CommandError::OutOfMemory);
            }
        }
        // PING is refused, too, so that whoever watches over the server learns of it.
        let is_told = flags.contains(Flags::WRITE) || matches!(row.handler, Handler::Server(ServerCommand::Ping));
        if is_told && let Some(refusal) = &self.exec.refusal {
            return Err(CommandError::Other(refusal.clone().into()));
        }
        self.redirect(conn, id, args)?;
        let listens = session.flags.contains(SessionFlags::ONLY_LISTENS);
        if listens && !is_listening(row) && !may_while_listening(row) { Err(only_listens(id)) } else { Ok(()) }
    }

    fn carry_out(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        row: &'static Command,
        command: &Parsed,
        args: Args<'_>,
    ) {
        self.exec.start(io.now_ms());
        let ns = match row.handler {
            _ if self.leaves_node(conn, row, args) => {
                self.fail_call(io, conn, id, &nodes::other_database(row));
                self.exec.finish(id)
            }
            Handler::Shard(handler) => {
                // A subcommand's key was not looked up with its container.
                let (owner, hash) = match usize::from(first_key(&registry().entry(id).keys)) {
                    position if position > 0 && position < args.len() => {
                        let key = args.get(position);
                        (self.owner(key), self.exec.shard.hash(key))
                    }
                    _ => (self.id.0, command.hash),
                };
                self.run_or_hop(io, conn, id, row, handler, owner, hash, args)
            }
            Handler::Spread(Spread::Tries, handler) => self.run_tries(io, conn, id, row, handler, command.hash, args),
            Handler::Spread(spread, handler) => match self.single_owner(id, args) {
                Some(owner) => self.run_or_hop(io, conn, id, row, handler, owner, command.hash, args),
                None => {
                    if let Err(error) = self.exec.admits(row.flags, args) {
                        return self.refuse(io, conn, Some(id), &error);
                    }
                    self.run_spread(io, conn, id, spread, args);
                    self.exec.finish(id)
                }
            },
            Handler::Server(server) => {
                let call = Call { conn, id, args };
                if let Err(error) = commands::run(self, io, server, &call) {
                    self.fail_call(io, conn, id, &error);
                }
                self.exec.finish(id)
            }
            Handler::Container => unreachable!("resolve gives the subcommand or an error"),
        };
        if ns >= self.exec.watch_ns && !row.flags.contains(Flags::SKIP_SLOWLOG) {
            self.was_slow(io, conn, id, args, ns);
        }
        // An EXEC that is still under way is shown after its commands.
        if self.sessions.get(conn).is_none_or(|session| session.executing.is_none()) {
            self.show_to_monitors(io, conn, id, row, args);
        }
    }

    /// Shows a command to the monitors, if there are any.
    #[inline]
    pub(crate) fn show_to_monitors(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        row: &'static Command,
        args: Args<'_>,
    ) {
        let shown = !row.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN);
        if shown && self.gates.contains(Gates::MONITORS) {
            self.feed_monitors(io, conn, id, args);
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run_or_hop(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        id: CommandId,
        row: &'static Command,
        handler: pinyon_engine::command::row::KeyHandler,
        owner: u16,
        hash: u64,
        args: Args<'_>,
    ) -> u64 {
        let Some(session) = self.sessions.get_mut(conn) else { return 0 };
        let silent = session.is_silent();
        if owner != self.id.0 {
            let slots = session.slots.get_or_insert_with(|| self.slots_pool.pop().unwrap_or_default());
            let seq = slots.reserve();
            let origin = if silent { Origin::Quiet { conn, seq } } else { Origin::Slot { conn, seq } };
            session.hop_owner = owner;
            let head = session.head(origin, id, hash);
            self.hop(io, owner, head, args.iter());
            return 0;
        }
        let db = session.db;
        if self.gates.contains(Gates::INTENTS) && self.is_blocked(id, db, args) {
            self.wait_here(conn, id, hash, args);
            return 0;
        }
        if self.may_be_in_pieces(row, db) && self.run_if_long(io, conn, id, args) {
            return 0;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return 0 };
        let no_touch = session.is_touchless();
        let run = Run {
            command: id,
            flags: row.flags,
            handler,
            db: session.db,
            proto: session.proto,
            no_touch,
            key_at: first_key(&registry().entry(id).keys),
            hash,
            counts: true,
        };
        let mut reply = std::mem::take(&mut self.scratch);
        let ns = self.exec.run(run, args, &mut reply);
        let until = if self.exec.holds { self.exec.until() } else { Until::Now };
        self.deliver_until(io, conn, &mut reply, until);
        self.scratch = reply;
        self.after_command(io);
        ns
    }

    /// Carries a command out in pieces if its values are that big; the session waits. False: they are not.
    #[cold]
    fn run_if_long(&mut self, io: &mut Io, conn: ConnId, id: CommandId, args: Args<'_>) -> bool {
        let Some(caller) = self.sessions.get(conn).map(|session| session.caller(id)) else { return false };
        let Some(pieces) = self.pieces_of(id, caller.head.db, args) else { return false };
        let ticket = self.promise(conn);
        self.run_in_pieces(io, Asker::Own(ticket), caller, pieces, args);
        true
    }

    /// A transaction holds what a command touches: the session waits for its turn.
    #[cold]
    fn wait_here(&mut self, conn: ConnId, id: CommandId, hash: u64, args: Args<'_>) {
        let ticket = self.promise(conn);
        let Some(session) = self.sessions.get(conn) else { return };
        let head = session.head(Origin::Slot { conn, seq: ticket.seq }, id, hash);
        let mut batch = self.spare_batch();
        batch.push(head, args.iter());
        self.defer_own(ticket, batch);
    }

    /// Writes a reply of `conn`, behind those that it still waits for. Silent when CLIENT REPLY says so.
    pub fn reply(&mut self, io: &mut Io, conn: ConnId, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(session) = self.sessions.get(conn) else { return };
        let proto = session.proto;
        let mut reply = std::mem::take(&mut self.scratch);
        write(&mut Writer { out: &mut reply, proto });
        self.deliver(io, conn, &mut reply);
        self.scratch = reply;
    }

    pub(crate) fn deliver(&mut self, io: &mut Io, conn: ConnId, reply: &mut pinyon_resp::Output) {
        self.deliver_until(io, conn, reply, Until::Now);
    }

    /// Puts a reply where it belongs; it leaves when what it waits for has happened.
    pub(crate) fn deliver_until(&mut self, io: &mut Io, conn: ConnId, reply: &mut pinyon_resp::Output, until: Until) {
        self.deliver_several(io, conn, reply, 1, until);
    }

    /// As `deliver_until`, for the replies to `count` commands that leave together.
    pub(crate) fn deliver_several(
        &mut self,
        io: &mut Io,
        conn: ConnId,
        reply: &mut pinyon_resp::Output,
        count: u32,
        until: Until,
    ) {
        let Some(session) = self.sessions.get_mut(conn) else {
            reply.clear();
            return;
        };
        if session.is_silent() {
            reply.clear();
            return;
        }
        if let Some(capture) = self.tx.capture.as_mut().filter(|capture| capture.conn == conn) {
            return capture.output.append(reply);
        }
        let held = !is_over(&self.exec, &self.tx.placings, until);
        if held && session.slots.is_none() {
            session.slots = Some(self.slots_pool.pop().unwrap_or_default());
        }
        match &mut session.slots {
            Some(slots) => slots.push(reply, count, until),
            None => match io.output(conn) {
                Some(out) => out.append(reply),
                None => reply.clear(),
            },
        }
        if held {
            self.hold_reply(io, conn);
        }
    }

    /// Answers with an error before execution, and counts it.
    #[cold]
    fn refuse(&mut self, io: &mut Io, conn: ConnId, id: Option<CommandId>, error: &CommandError) {
        if let Some(id) = id {
            self.exec.stats.commands[id.index()].rejected += 1;
        }
        let is_exec = id.is_some_and(|id| matches!(registry().row(id).handler, Handler::Server(ServerCommand::Exec)));
        if is_exec {
            let aborted = transaction::aborted(error);
            self.discard(io, conn);
            self.exec.stats.error(aborted.code());
            return self.reply(io, conn, |out| aborted.write(out));
        }
        if let Some(session) = self.sessions.get_mut(conn)
            && session.flags.contains(SessionFlags::MULTI)
        {
            session.flags.insert(SessionFlags::ABORTED);
        }
        self.exec.stats.error(error.code());
        self.reply(io, conn, |out| error.write(out));
    }

    /// Answers with an error of the command itself, and counts it.
    pub(crate) fn fail_call(&mut self, io: &mut Io, conn: ConnId, id: CommandId, error: &CommandError) {
        self.exec.stats.failed(Some(id), error.code());
        self.reply(io, conn, |out| error.write(out));
    }

    fn end_command(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.flags.remove(SessionFlags::REPLY_SKIP);
        }
    }

    /// Runs a command sent as a line. Some: it must be run again later.
    #[cold]
    fn run_inline(&mut self, io: &mut Io, conn: ConnId, args: &[Vec<u8>]) -> Option<usize> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for arg in args {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        let mut parsed = [Parsed::new(0, bytes.len(), 0, spans.len())];
        self.look_up(conn, &bytes, &mut parsed, &spans);
        self.run_parsed(io, conn, &bytes, &parsed, &spans)
    }

    #[cold]
    fn protocol_error(&mut self, io: &mut Io, conn: ConnId, error: &ProtocolError) {
        self.exec.stats.protocol_errors += 1;
        self.exec.stats.error("ERR");
        self.reply(io, conn, |out| out.protocol_error(error));
        self.close_after_output(io, conn);
    }
}

/// Whether a command runs at once inside a MULTI instead of being queued.
fn is_transactional(row: &Command) -> bool {
    use ServerCommand::{Discard, Exec, Multi, Quit, Reset, Watch};
    matches!(row.handler, Handler::Server(Exec | Discard | Multi | Watch | Quit | Reset))
}

/// Whether a command of the server's own takes its place in the order of all shards.
fn is_ordered(server: ServerCommand) -> bool {
    use ServerCommand::{Dbsize, Exec, Flushall, Flushdb, Keys, Randomkey, Swapdb, Waitaof, Watch};
    matches!(server, Dbsize | Exec | Flushall | Flushdb | Keys | Randomkey | Swapdb | Waitaof | Watch)
}

/// What became of one command.
enum Outcome {
    Done,
    /// Must be run again later, from its first byte (CLIENT PAUSE).
    Postponed,
}

/// Why parsing ahead ended.
enum Stop {
    /// Enough for now.
    Full,
    Incomplete {
        need: usize,
    },
    Inline {
        consumed: usize,
        args: Vec<Vec<u8>>,
    },
    Error(ProtocolError),
}

/// Parses up to `ahead` commands from `data[at..]`. Gives where the unparsed rest starts.
fn parse_ahead(
    parser: &mut Parser,
    data: &[u8],
    mut at: usize,
    limits: &Limits,
    ahead: usize,
    parsed: &mut Vec<Parsed>,
    spans: &mut Vec<Span>,
) -> (usize, Stop) {
    parsed.clear();
    let mut spans_start = 0;
    while parsed.len() < ahead {
        if at == data.len() {
            return (at, Stop::Incomplete { need: 0 });
        }
        match parser.parse(&data[at..], limits, spans) {
            Ok(Parse::Command { consumed }) => {
                parsed.push(Parsed::new(at, at + consumed, spans_start, spans.len()));
                spans_start = spans.len();
                at += consumed;
            }
            Ok(Parse::Nothing { consumed }) => at += consumed,
            Ok(Parse::Inline { consumed, args }) => return (at, Stop::Inline { consumed, args }),
            Ok(Parse::Incomplete { need }) => return (at, Stop::Incomplete { need }),
            Err(error) => return (at, Stop::Error(error)),
        }
    }
    (at, Stop::Full)
}

impl Parsed {
    fn new(start: usize, end: usize, spans_start: usize, spans_end: usize) -> Parsed {
        Parsed {
            start: start as u32,
            end: end as u32,
            spans_start: spans_start as u32,
            spans_end: spans_end as u32,
            id: None,
            owner: NO_KEY,
            hash: 0,
        }
    }
}

/// The owner of a command without a key.
pub(crate) const NO_KEY: u16 = u16::MAX;

#[inline(always)]
pub(crate) fn arguments<'a>(data: &'a [u8], spans: &'a [Span], command: &Parsed) -> Args<'a> {
    Args {
        bytes: &data[command.start as usize..command.end as usize],
        spans: &spans[command.spans_start as usize..command.spans_end as usize],
    }
}

/// The position of the first key, where it does not depend on the arguments; else 0.
#[inline]
pub fn first_key(plan: &KeyPlan) -> u16 {
    match *plan {
        KeyPlan::One(first) | KeyPlan::Range { first, .. } => first,
        KeyPlan::None | KeyPlan::Specs => 0,
    }
}
