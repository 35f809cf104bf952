//! Work on several cores at once with one answer: CONFIG SET, INFO, KEYS, CLIENT LIST and their like.
//!
//! A gather sends a piece of work to each target core, collects the results, and then runs `done` on the core that asked.
//! It is for what is rare; commands on keys travel in batches (hop.rs).

use std::any::Any;

use pinyon_engine::command::registry::CommandId;
use pinyon_resp::{Output, Proto, Writer};
use pinyon_runtime::{ConnId, CoreId};

use crate::core::{Core, Io, Mail};
use crate::log::Until;
use crate::session::SessionFlags;

/// A piece of work for another core, and its result on the way back.
pub type Work = Box<dyn FnOnce(&mut Core, &mut Io) -> Box<dyn Any + Send> + Send>;
type Done = Box<dyn FnOnce(&mut Core, &mut Io, Vec<Box<dyn Any + Send>>)>;

/// Results still to come.
pub struct Gather {
    missing: usize,
    results: Vec<Option<Box<dyn Any + Send>>>,
    done: Done,
}

/// A promised reply: its place among the replies of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub conn: ConnId,
    pub seq: u32,
    /// CLIENT REPLY OFF or SKIP: keep the order, say nothing.
    pub(crate) silent: bool,
    /// What was asked.
    pub(crate) command: Option<CommandId>,
    /// The reply goes to the transaction kept under this number: the command runs inside an EXEC.
    pub(crate) captured: Option<u32>,
}

impl Core {
    /// Runs `work` on every core, then `done` here with the results in the order of the cores.
    pub fn gather_all<T, W, D>(&mut self, io: &mut Io, work: W, done: D)
    where
        T: Send + 'static,
        W: Fn(&mut Core, &mut Io) -> T + Clone + Send + 'static,
        D: FnOnce(&mut Core, &mut Io, Vec<T>) + 'static,
    {
        let targets: Vec<u16> = (0..self.shards).collect();
        self.gather(io, &targets, work, done);
    }

    /// Runs `work` on the cores `targets`, then `done` here with the results in that order.
    pub fn gather<T, W, D>(&mut self, io: &mut Io, targets: &[u16], work: W, done: D)
    where
        T: Send + 'static,
        W: Fn(&mut Core, &mut Io) -> T + Clone + Send + 'static,
        D: FnOnce(&mut Core, &mut Io, Vec<T>) + 'static,
    {
        self.flush_hops(io);
        let id = self.open_gather(targets.len(), done);
        for (part, &target) in targets.iter().enumerate() {
            if target == self.id.0 {
                let result = work(self, io);
                self.gathered(io, id, part as u32, Box::new(result));
            } else {
                let work = work.clone();
                let work: Work = Box::new(move |core, io| Box::new(work(core, io)));
                self.expecting += 1;
                io.mail(CoreId(target), Mail::Work { gather: id, part: part as u32, work });
            }
        }
    }

    /// Opens a gather of `parts` results.
    pub(crate) fn open_gather<T: Send + 'static>(
        &mut self,
        parts: usize,
        done: impl FnOnce(&mut Core, &mut Io, Vec<T>) + 'static,
    ) -> u32 {
        let done: Done = Box::new(move |core, io, results| {
            let typed = results.into_iter().map(|result| *result.downcast::<T>().expect("work gives its own type"));
            done(core, io, typed.collect());
        });
        self.gathers.insert(Gather { missing: parts, results: (0..parts).map(|_| None).collect(), done })
    }

    /// Runs `work` once, with `input`, on the core `target`, then `then` here with what it gave.
    pub fn send_once<I, T>(
        &mut self,
        io: &mut Io,
        target: u16,
        input: I,
        work: impl FnOnce(&mut Core, &mut Io, I) -> T + Send + 'static,
        then: impl FnOnce(&mut Core, &mut Io, T) + 'static,
    ) where
        I: Send + 'static,
        T: Send + 'static,
    {
        if target == self.id.0 {
            let result = work(self, io, input);
            return then(self, io, result);
        }
        self.flush_hops(io);
        let gather = self.open_gather(1, move |core: &mut Core, io: &mut Io, mut results: Vec<T>| {
            then(core, io, results.pop().expect("one part, one result"));
        });
        let work: Work = Box::new(move |core, io| Box::new(work(core, io, input)));
        self.expecting += 1;
        io.mail(CoreId(target), Mail::Work { gather, part: 0, work });
    }

    /// Takes in the result of part `part`; the last one runs `done`.
    pub fn gathered(&mut self, io: &mut Io, id: u32, part: u32, result: Box<dyn Any + Send>) {
        let gather = self.gathers.get_mut(id);
        gather.results[part as usize] = Some(result);
        gather.missing -= 1;
        if gather.missing == 0 {
            let gather = self.gathers.remove(id);
            let results = gather.results.into_iter().map(|result| result.expect("none is missing")).collect();
            (gather.done)(self, io, results);
        }
    }

    /// Promises a reply to `conn` and holds back its further commands until the promise is kept.
    pub fn promise(&mut self, conn: ConnId) -> Ticket {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Ticket { conn, seq: 0, silent: true, command: None, captured: None };
        };
        if let Some(capture) = self.tx.capture.as_mut().filter(|capture| capture.conn == conn) {
            capture.promised = true;
            return Ticket {
                conn,
                seq: 0,
                silent: session.is_silent(),
                command: session.last_command,
                captured: Some(capture.slot),
            };
        }
        session.flags.insert(SessionFlags::BLOCKED);
        let silent = session.flags.intersects(SessionFlags::REPLY_OFF | SessionFlags::REPLY_SKIP);
        let seq = session.slots.get_or_insert_with(|| self.slots_pool.pop().unwrap_or_default()).reserve();
        Ticket { conn, seq, silent, command: session.last_command, captured: None }
    }

    /// Keeps a promise: writes the reply and lets the connection go on. A connection gone meanwhile is no error.
    pub fn fulfil(&mut self, io: &mut Io, ticket: Ticket, write: impl FnOnce(&mut Writer<'_>)) {
        let proto = self.sessions.get(ticket.conn).map_or(Proto::Resp2, |session| session.proto);
        let mut reply = Output::default();
        write(&mut Writer { out: &mut reply, proto });
        self.fulfil_output(io, ticket, reply);
    }

    /// As `fulfil`; the reply leaves when what it waits for has happened.
    pub(crate) fn fulfil_at(&mut self, io: &mut Io, ticket: Ticket, until: Until, write: impl FnOnce(&mut Writer<'_>)) {
        let proto = self.sessions.get(ticket.conn).map_or(Proto::Resp2, |session| session.proto);
        let mut reply = Output::default();
        write(&mut Writer { out: &mut reply, proto });
        self.fulfil_until(io, ticket, reply, until);
    }

    /// As `fulfil`, with a reply that is there already.
    pub(crate) fn fulfil_output(&mut self, io: &mut Io, ticket: Ticket, reply: Output) {
        let until = self.until_of_transaction();
        self.fulfil_until(io, ticket, reply, until);
    }

    /// As `fulfil_output`; the reply leaves when what it waits for has happened.
    pub(crate) fn fulfil_until(&mut self, io: &mut Io, ticket: Ticket, mut reply: Output, until: Until) {
        if ticket.silent {
            reply.clear();
        }
        if let Some(slot) = ticket.captured {
            if let Some(capture) = self.tx.capture.as_mut().filter(|capture| capture.conn == ticket.conn) {
                // The call that promised it is not over yet.
                capture.promised = false;
                return capture.output.append(&mut reply);
            }
            return self.resume_transaction(io, slot, reply);
        }
        let Some(session) = self.sessions.get_mut(ticket.conn) else { return };
        session.flags.remove(SessionFlags::BLOCKED);
        // First, so that a client that has half closed is not taken for one with nothing left to run.
        self.mark_ready(ticket.conn);
        self.fill_slot(io, ticket.conn, ticket.seq, &mut reply, until);
        self.release_messages(io, ticket.conn);
    }
}
