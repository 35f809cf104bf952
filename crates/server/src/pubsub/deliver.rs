//! From what is published to those who listen: on this core, and by way of the others.

use std::sync::Arc;

use pinyon_base::{Blob, glob_match};
use pinyon_resp::{Output, Proto, Writer};
use pinyon_runtime::{ConnId, CoreId};

use super::{BLOB_BYTES_MIN, KINDS, Kept, Kind, Message, Publication, PubsubMail, Text, listeners};
use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::log::{Until, is_over};
use crate::session::{Session, SessionFlags};

impl Core {
    /// Has a connection listen to `name`; gives the number that the confirmation carries.
    pub(crate) fn subscribe(&mut self, conn: ConnId, kind: Kind, name: &[u8]) -> usize {
        listeners::subscribe(&mut self.pubsub.listeners[kind as usize], &mut self.sessions, kind, conn, name);
        self.after_subscription(conn, kind)
    }

    /// Has a connection listen to `name` no longer; gives the number that the confirmation carries.
    pub(crate) fn unsubscribe(&mut self, conn: ConnId, kind: Kind, name: &[u8]) -> usize {
        listeners::unsubscribe(&mut self.pubsub.listeners[kind as usize], &mut self.sessions, kind, conn, name);
        self.after_subscription(conn, kind)
    }

    /// Has a connection listen to nothing any more (RESET, or it has gone).
    pub(crate) fn unsubscribe_all(&mut self, conn: ConnId) {
        for kind in KINDS {
            let own = self.sessions.get(conn).and_then(|session| session.subscriptions.as_ref());
            for name in own.map_or_else(Vec::new, |own| own.names(kind)) {
                self.unsubscribe(conn, kind, &name);
            }
        }
        if let Some(session) = self.sessions.get_mut(conn) {
            session.subscriptions = None;
        }
    }

    /// Brings up to date what others see of it: the session's flags, and that this core has listeners.
    fn after_subscription(&mut self, conn: ConnId, kind: Kind) -> usize {
        let captured = self.tx.capture.as_ref().is_some_and(|capture| capture.conn == conn);
        let mut shown = 0;
        if let Some(session) = self.sessions.get_mut(conn)
            && let Some(own) = &mut session.subscriptions
        {
            own.confirming |= captured;
            shown = own.shown(kind);
            session.mark_subscriber();
        }
        let has = |kind: Kind| !self.pubsub.listeners(kind).is_empty();
        let (open, shard) = (has(Kind::Channel) || has(Kind::Pattern), has(Kind::Shard));
        self.pubsub.is_heard = open || shard;
        self.shared.audience.publish(self.id, open, shard);
        shown
    }

    /// Carries out a PUBLISH: its reply is the number of those who get the message, on all cores.
    pub(crate) fn publish(&mut self, io: &mut Io, conn: ConnId, kind: Kind, channel: &[u8], text: &[u8]) {
        // What has happened before comes before.
        self.publish_events(io);
        let blob: Blob;
        let text = match text.len() {
            BLOB_BYTES_MIN.. => {
                blob = Blob::new(text.to_vec());
                Text::Blob(&blob)
            }
            _ => Text::Bytes(text),
        };
        let message = Message { kind, channel, text };
        let here = self.deliver_message(io, message, Until::Now);
        if !self.others_listen(kind) {
            return self.reply(io, conn, |out| out.int(here as i64));
        }
        // What the connection has sent to other cores before the message gets there before it.
        self.flush_hops(io);
        let ticket = self.await_receivers(conn);
        let publication = self.pubsub.publications.insert(Publication { ticket, missing: 0, receivers: here });
        let message = Arc::new(Kept::new(message));
        let targets = (0..self.shards).filter(|&core| core != self.id.0 && self.shared.audience.listens(core, kind));
        let mut missing = 0;
        for core in targets {
            let message = message.clone();
            io.mail(CoreId(core), Mail::Pubsub(Box::new(PubsubMail::Deliver { message, publication })));
            missing += 1;
        }
        self.pubsub.publications.get_mut(publication).missing = missing;
        self.expecting += 1;
        if missing == 0 {
            // The last listener elsewhere has gone between the two looks.
            self.published(io, publication);
        }
    }

    pub(super) fn others_listen(&self, kind: Kind) -> bool {
        (0..self.shards).any(|core| core != self.id.0 && self.shared.audience.listens(core, kind))
    }

    /// A place for the reply of a PUBLISH. The connection's next commands need not wait for it.
    fn await_receivers(&mut self, conn: ConnId) -> Ticket {
        let captured = self.tx.capture.as_ref().is_some_and(|capture| capture.conn == conn);
        let Some(session) = self.sessions.get_mut(conn).filter(|_| !captured) else { return self.promise(conn) };
        session.publishing += 1;
        let (silent, command) = (session.is_silent(), session.last_command);
        let seq = session.slots.get_or_insert_with(|| self.slots_pool.pop().unwrap_or_default()).reserve();
        Ticket { conn, seq, silent, command, captured: None }
    }

    /// All cores have answered.
    fn published(&mut self, io: &mut Io, publication: u32) {
        self.expecting -= 1;
        let Publication { ticket, receivers, .. } = self.pubsub.publications.remove(publication);
        if ticket.captured.is_some() {
            return self.fulfil(io, ticket, |out| out.int(receivers as i64));
        }
        let Some(session) = self.sessions.get_mut(ticket.conn) else { return };
        session.publishing -= 1;
        let mut reply = Output::default();
        if !ticket.silent {
            Writer { out: &mut reply, proto: session.proto }.int(receivers as i64);
        }
        self.fill_slot(io, ticket.conn, ticket.seq, &mut reply, Until::Now);
    }

    pub(crate) fn take_pubsub_mail(&mut self, io: &mut Io, from: CoreId, mail: PubsubMail) {
        match mail {
            PubsubMail::Deliver { message, publication } => {
                let receivers = self.deliver_message(io, message.message(), Until::Now);
                io.mail(from, Mail::Pubsub(Box::new(PubsubMail::Delivered { publication, receivers })));
            }
            PubsubMail::Delivered { publication, receivers } => {
                let waiting = self.pubsub.publications.get_mut(publication);
                waiting.receivers += receivers;
                waiting.missing -= 1;
                if waiting.missing == 0 {
                    self.published(io, publication);
                }
            }
            PubsubMail::Events { messages, until } => {
                for kept in messages.iter() {
                    self.deliver_message(io, kept.message(), until);
                }
            }
        }
    }

    /// Gives a message to all of this core who listen. Gives how often it was received.
    pub(super) fn deliver_message(&mut self, io: &mut Io, message: Message<'_>, until: Until) -> u64 {
        let Message { kind, channel, text } = message;
        let mut receivers = 0;
        if let Some(number) = self.pubsub.listeners(kind).find(channel) {
            let word = if kind == Kind::Shard { "smessage" } else { "message" };
            self.frame(3, word, None, channel, text);
            receivers += self.show_frame(io, kind, number, until);
        }
        if kind == Kind::Channel && !self.pubsub.listeners(Kind::Pattern).is_empty() {
            for number in 0..self.pubsub.listeners(Kind::Pattern).end() {
                let name = self.pubsub.listeners(Kind::Pattern).name(number);
                let Some(pattern) = name.filter(|pattern| glob_match(pattern, channel, false)).cloned() else {
                    continue;
                };
                self.frame(4, "pmessage", Some(&pattern), channel, text);
                receivers += self.show_frame(io, Kind::Pattern, number, until);
            }
        }
        receivers
    }

    /// Makes the message as it is sent in RESP3; in RESP2 its first byte is another.
    fn frame(&mut self, words: usize, word: &str, pattern: Option<&[u8]>, channel: &[u8], text: Text<'_>) {
        let frame = &mut self.pubsub.frame;
        frame.clear();
        let mut out = Writer { out: frame, proto: Proto::Resp3 };
        out.push(words);
        out.bulk_str(word);
        if let Some(pattern) = pattern {
            out.bulk(pattern);
        }
        out.bulk(channel);
        match text {
            Text::Bytes(bytes) => out.bulk(bytes),
            Text::Blob(blob) => out.bulk_blob(blob),
        }
    }

    fn show_frame(&mut self, io: &mut Io, kind: Kind, number: u32, until: Until) -> u64 {
        let frame = std::mem::take(&mut self.pubsub.frame);
        // Nothing that follows subscribes: those who are closed go when the turn ends.
        let conns = self.pubsub.listeners[kind as usize].lend(number);
        let mut receivers = 0;
        for &conn in &conns {
            receivers += u64::from(self.push_message(io, conn, &frame, until));
        }
        self.pubsub.listeners[kind as usize].give_back(number, conns);
        self.pubsub.frame = frame;
        receivers
    }

    /// Writes a message to one who listens. False: he is about to go.
    fn push_message(&mut self, io: &mut Io, conn: ConnId, frame: &Output, until: Until) -> bool {
        let is_over = is_over(&self.exec, &self.tx.placings, until);
        let Some(session) = self.sessions.get_mut(conn) else { return false };
        if session.flags.contains(SessionFlags::KILLED) {
            return false;
        }
        let proto = session.proto;
        if !is_over || session.holds_messages() {
            let mut output = Output::default();
            copy(frame, proto, &mut output);
            if let Some(own) = &mut session.subscriptions {
                own.held_bytes += output.len();
                own.held.push_back((output, until));
            }
            if !is_over {
                self.hold_reply(io, conn);
            }
        } else {
            let Some(out) = io.push_output(conn) else { return false };
            copy(frame, proto, out);
        }
        self.check_output(io, conn);
        true
    }

    /// Sends the messages that have waited and need not any more.
    pub(crate) fn release_messages(&mut self, io: &mut Io, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.subscriptions.is_none() || session.executing.is_some() || session.is_confirming() {
            return;
        }
        let (Some(own), Some(out)) = (&mut session.subscriptions, io.output(conn)) else { return };
        while let Some((message, until)) = own.held.front_mut() {
            if !is_over(&self.exec, &self.tx.placings, *until) {
                return self.note_held(conn);
            }
            own.held_bytes -= message.len();
            out.append(message);
            own.held.pop_front();
        }
    }

    /// The log has failed: what waits for it has not happened.
    pub(crate) fn drop_held_messages(&mut self, conn: ConnId) {
        let (exec, placings) = (&self.exec, &self.tx.placings);
        if let Some(own) = self.sessions.get_mut(conn).and_then(|session| session.subscriptions.as_mut()) {
            own.held.retain(|(_, until)| is_over(exec, placings, *until));
            own.held_bytes = own.held.iter().map(|(message, _)| message.len()).sum();
        }
    }

    /// Writes a confirmation. CLIENT REPLY does not keep it back.
    pub(crate) fn confirm(&mut self, io: &mut Io, conn: ConnId, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let proto = session.proto;
        if let Some(capture) = self.tx.capture.as_mut().filter(|capture| capture.conn == conn) {
            return write(&mut Writer { out: &mut capture.output, proto });
        }
        if let Some(slots) = &mut session.slots {
            let mut reply = std::mem::take(&mut self.scratch);
            write(&mut Writer { out: &mut reply, proto });
            slots.push(&mut reply, 1, Until::Now);
            self.scratch = reply;
        } else if let Some(out) = io.output(conn) {
            write(&mut Writer { out, proto });
        }
    }
}

fn copy(frame: &Output, proto: Proto, out: &mut Output) {
    let at = out.bytes_mut().len();
    out.extend(frame);
    if proto == Proto::Resp2 {
        out.bytes_mut()[at] = b'*';
    }
}

impl Session {
    /// Sets the flags of one who listens, or no longer does.
    pub(crate) fn mark_subscriber(&mut self) {
        let listens = self.subscriptions.as_ref().is_some_and(|own| !own.is_empty());
        self.flags.set(SessionFlags::SUBSCRIBER, listens);
        self.flags.set(SessionFlags::ONLY_LISTENS, listens && self.proto == Proto::Resp2);
    }

    /// Whether the reply of an EXEC that has subscribed may still be here.
    fn is_confirming(&mut self) -> bool {
        let waits = self.executing.is_some() || self.slots.is_some();
        self.subscriptions.as_mut().is_some_and(|own| {
            own.confirming &= waits;
            own.confirming
        })
    }

    /// Whether a message has to wait although what it tells is durable: those that come while an EXEC is under way follow its
    /// reply.
    fn holds_messages(&mut self) -> bool {
        self.executing.is_some()
            || self.is_confirming()
            || self.subscriptions.as_ref().is_some_and(|own| !own.held.is_empty())
    }
}
