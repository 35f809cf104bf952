//! The loop of one core: the order of a turn, and when the core sleeps.
//!
//! ```text
//! enter ─▶ reap ─▶ clock ─▶ settle sends ─▶ deliver: kept data, completions, new connections
//!   ▲                                          │
//!   │                                        mail ─▶ closes ─▶ on_turn ─▶ closes
//!   │                                                                       │
//!   └── sleep, spin or go on ◀── sends ◀── wakes of peers ◀── mail ◀── receives
//!             (on_again)
//! ```
//! One `enter` hands over everything the turn queued and is also what sleeps. Where the program has more to do, it does a piece
//! of that then, when replies are on their way. Between `queue_sends` and that `enter` it is never called.

use std::io;
use std::mem;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use io_uring::cqueue;

use crate::app::{App, ConnId, CoreId, Next, PeerKind};
use crate::clock;
use crate::conn::Flags;
use crate::io::Io;
use crate::mesh::{Docked, Inboxes};
use crate::patience::Patience;
use crate::recv::Received;
use crate::ring::{Completion, Op, Tag, Wait};
use crate::signal::SignalFd;

pub(crate) struct CoreLoop<A: App> {
    pub app: A,
    pub io: Io<A::Mail>,
    pub inboxes: Inboxes<A::Mail>,
    /// Core 0's, where signals are taken over.
    pub signals: Option<SignalFd>,
    patience: Patience,
    /// The turn had events: something was received, or mail came.
    busy: bool,
    events: Vec<Completion>,
    /// The core that gets the next connection of the unix socket.
    next_core: usize,
}

/// Completions of which the program sees what they bring before the first of them is delivered.
const AHEAD: usize = 16;

/// What a turn ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// Go on at once.
    None,
    /// Sleep, at most until this monotonic time (µs); spin first if `expecting`.
    Sleep {
        until: Option<u64>,
        expecting: bool,
    },
    Stop,
}

impl<A: App> CoreLoop<A> {
    pub fn new(
        app: A,
        io: Io<A::Mail>,
        inboxes: Inboxes<A::Mail>,
        signals: Option<SignalFd>,
        patience: Patience,
    ) -> CoreLoop<A> {
        CoreLoop { app, io, inboxes, signals, patience, busy: false, events: Vec::with_capacity(1024), next_core: 0 }
    }

    /// Runs until the program says stop (or another core has failed).
    ///
    /// # Errors
    /// The ring is lost.
    pub fn run(&mut self) -> io::Result<()> {
        self.io.read_clock();
        self.app.on_start(&mut self.io);
        self.io.acceptor.arm(&mut self.io.ring);
        self.arm_signals();
        self.arm_event_fd();
        self.arm_storage();
        let mut rest = self.end_turn();
        loop {
            match rest {
                Rest::Stop => return self.stop(),
                Rest::None => {
                    self.poll()?;
                    if self.app.on_again(&mut self.io) {
                        // What has come meanwhile need not wait for the next turn.
                        self.poll()?;
                    }
                }
                Rest::Sleep { until, expecting } => self.sleep(until, expecting)?,
            }
            rest = self.turn()?;
        }
    }

    /// One turn, from what the ring has brought to what it is to do next.
    fn turn(&mut self) -> io::Result<Rest> {
        self.io.stats.turns += 1;
        self.io.waker.woke = false;
        let before = (self.io.stats.recvs, self.io.stats.mails_received);
        self.reap()?;
        // After the events have come, so that no event is older than the turn's time.
        self.io.read_clock();
        self.io.settle_sends();
        self.deliver_files()?;
        self.deliver_kept();
        self.deliver()?;
        self.open_adopted();
        self.take_mail();
        self.bury_doomed();
        self.let_go();
        self.busy = before != (self.io.stats.recvs, self.io.stats.mails_received);
        Ok(self.end_turn())
    }

    /// The program's last word on the turn, and queueing what the turn has brought about.
    fn end_turn(&mut self) -> Rest {
        let next = self.app.on_turn(&mut self.io);
        self.bury_doomed();
        let io = &mut self.io;
        io.acceptor.retry(&mut io.ring, io.now_us);
        io.buffers.publish();
        io.arm_receives();
        io.post_mail();
        if let Some(storage) = &mut io.storage {
            storage.flush();
        }
        let held_until = io.release_due(if next == Next::Stop { u64::MAX } else { io.now_us });
        let more = io.queue_sends();
        let unfinished =
            more || !io.doomed.is_empty() || !io.resumed.is_empty() || !io.adopted.is_empty() || io.post.own_len() > 0;
        let unfinished = unfinished || io.must_let_go();
        match next {
            _ if io.post.mesh().is_aborted() => Rest::Stop,
            Next::Stop => Rest::Stop,
            Next::Again => Rest::None,
            Next::Sleep { .. } if unfinished => Rest::None,
            Next::Sleep { until, expecting } => {
                let until = [until, io.acceptor.retry_at(), held_until].into_iter().flatten().min();
                Rest::Sleep { until, expecting }
            }
        }
    }

    /// Goes on without sleeping: a system call only if there is something to hand over or to get.
    fn poll(&mut self) -> io::Result<()> {
        let ring = &mut self.io.ring;
        if ring.has_queued() || ring.has_work() {
            ring.enter(Wait::No)?;
        }
        Ok(())
    }

    /// Hands over what is queued and sleeps until something arrives or `until` has come.
    fn sleep(&mut self, until: Option<u64>, expecting: bool) -> io::Result<()> {
        let io = &mut self.io;
        // One who sleeps takes longer to wake up and reply than is worth waiting for.
        if self.patience.wait(io, until, expecting && !io.waker.woke, self.busy)? {
            return Ok(());
        }
        let wait = match until {
            None => Wait::Forever,
            Some(until) => match until.saturating_sub(clock::monotonic_us()) {
                0 => Wait::No,
                left => Wait::AtMost(Duration::from_micros(left)),
            },
        };
        if io.cores > 1 && wait != Wait::No {
            if !io.post.fall_asleep() {
                return io.ring.enter(Wait::No);
            }
            io.stats.sleeps += 1;
            let result = io.ring.enter(wait);
            io.post.awake();
            return result;
        }
        io.stats.sleeps += 1;
        io.ring.enter(wait)
    }

    /// Collects completions. Those of sends are dealt with here: they call nobody, and their
    /// buffers are free for what the turn writes.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            let first = self.events.len();
            let overflow = self.io.ring.reap(&mut self.events);
            for place in first..self.events.len() {
                let event = &self.events[place];
                match Tag::unpack(event.user_data()) {
                    Some(tag) if tag.op == Op::SendNow => self.io.send_now_failed(tag, event.result()),
                    Some(tag) if tag.op == Op::SendWait => self.io.send_waited(tag, event.result()),
                    _ => {}
                }
            }
            if !overflow {
                return Ok(());
            }
            // What did not fit into the completion queue may hold complaints of sends.
            self.io.ring.enter(Wait::No)?;
        }
    }

    /// Operations on files that have ended come first, and what the program writes then leaves at once: who has waited for
    /// a disk can go on while the turn's other events are dealt with.
    fn deliver_files(&mut self) -> io::Result<()> {
        let is_file = |event: &Completion| Tag::unpack(event.user_data()).is_some_and(|tag| tag.op == Op::File);
        if self.io.files.is_idle() || !self.events.iter().any(is_file) {
            return Ok(());
        }
        let CoreLoop { app, io, events, .. } = self;
        events.retain(|event| {
            let Some(tag) = Tag::unpack(event.user_data()).filter(|tag| tag.op == Op::File) else { return true };
            if let Some(done) = io.files.ended(tag.index, event.result()) {
                app.on_file(io, done);
            }
            false
        });
        if self.events.is_empty() || self.io.dirty.is_empty() {
            return Ok(());
        }
        self.io.queue_sends();
        self.io.ring.enter(Wait::No)?;
        self.reap()?;
        self.io.read_clock();
        self.io.settle_sends();
        Ok(())
    }

    fn deliver(&mut self) -> io::Result<()> {
        let mut events = mem::take(&mut self.events);
        for few in events.chunks(AHEAD) {
            if few.len() > 1 {
                self.show_ahead(few);
            }
            self.deliver_few(few)?;
        }
        events.clear();
        self.events = events;
        Ok(())
    }

    /// Shows the program what is about to be delivered to it.
    #[inline]
    fn show_ahead(&mut self, events: &[Completion]) {
        let CoreLoop { app, io, .. } = self;
        let (buffers, conns) = (&io.buffers, &mut io.conns);
        app.on_ahead(events.iter().filter_map(|event| {
            let bid = cqueue::buffer_select(event.flags())?;
            let tag = Tag::unpack(event.user_data()).filter(|tag| tag.op == Op::Recv && event.result() > 0)?;
            let generation = conns.tagged(tag.index, tag.generation)?.generation;
            // SAFETY: the kernel has handed out this buffer with `result` bytes in it, and it is given back by
            // `deliver_received` only, after `on_ahead` has returned.
            Some((ConnId { index: tag.index, generation }, unsafe { buffers.bytes(bid, event.result() as usize) }))
        }));
    }

    fn deliver_few(&mut self, events: &[Completion]) -> io::Result<()> {
        for event in events {
            let Some(tag) = Tag::unpack(event.user_data()) else { continue };
            match tag.op {
                Op::Recv => self.deliver_received(tag, event.result(), event.flags()),
                Op::SendNow | Op::SendWait | Op::Cancel | Op::Wake => {}
                Op::Accept => self.deliver_accepted(tag, event.result(), event.flags()),
                Op::WakeFailed => self.wake_failed(tag, event.result()),
                Op::EventFd => {
                    self.io.waker.drain();
                    self.arm_event_fd();
                }
                Op::Signal => self.deliver_signals(),
                Op::Storage => self.take_answers()?,
                Op::File => {
                    if let Some(done) = self.io.files.ended(tag.index, event.result()) {
                        self.app.on_file(&mut self.io, done);
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn deliver_received(&mut self, tag: Tag, result: i32, flags: u32) {
        let bid = cqueue::buffer_select(flags);
        let bytes = match bid {
            // SAFETY: the kernel has just handed out this buffer with `result` bytes in it; the
            // slice is last used before `give_back` below.
            Some(bid) if result > 0 => Some(unsafe { self.io.buffers.bytes(bid, result as usize) }),
            _ => None,
        };
        let received = self.io.received(tag, result, bytes, cqueue::more(flags));
        if received != Received::Done {
            let conn = self.id(tag.index);
            match (received, bytes) {
                (Received::Data, Some(bytes)) => self.app.on_data(&mut self.io, conn, bytes),
                (Received::Eof, _) => self.app.on_eof(&mut self.io, conn),
                _ => {}
            }
        }
        if let Some(bid) = bid {
            self.io.buffers.give_back(bid);
        }
    }

    fn id(&mut self, index: u32) -> ConnId {
        ConnId { index, generation: self.io.conns.at(index).generation }
    }

    /// Delivers what was kept for connections that were paused and resumed.
    fn deliver_kept(&mut self) {
        for index in mem::take(&mut self.io.resumed) {
            let slot = self.io.conns.at(index);
            if !slot.flags.has(Flags::RESUMED) {
                continue;
            }
            slot.flags.clear(Flags::RESUMED);
            if !slot.flags.has(Flags::LIVE) || slot.flags.has(Flags::PAUSED) {
                continue;
            }
            let kept = slot.kept.take();
            let conn = self.id(index);
            if let Some(bytes) = kept {
                self.app.on_data(&mut self.io, conn, &bytes);
            }
            let slot = self.io.conns.at(index);
            if slot.flags.has(Flags::LIVE) && slot.flags.has(Flags::EOF) && !slot.flags.has(Flags::EOF_TOLD) {
                slot.flags.set(Flags::EOF_TOLD);
                self.app.on_eof(&mut self.io, conn);
            }
        }
    }

    fn deliver_accepted(&mut self, tag: Tag, result: i32, flags: u32) {
        let io = &mut self.io;
        match io.acceptor.accepted(tag.index as usize, result, cqueue::more(flags), io.now_us) {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let (fd, peer) = (accepted.fd, accepted.peer);
                let me = usize::from(io.core.0);
                let to = match peer.kind {
                    PeerKind::Tcp if peer.own_port => me,
                    PeerKind::Tcp => io.post.mesh().place_connection(me),
                    PeerKind::Unix => {
                        // In turn, but for cores that have clearly more than others.
                        let to = io.post.mesh().place_connection(self.next_core);
                        self.next_core = (to + 1) % io.cores;
                        to
                    }
                };
                if to == me {
                    self.open(Docked { fd, peer, counted: false, luggage: None });
                } else {
                    io.hand_over(CoreId(to as u16), fd, peer);
                }
            }
            Err(errno) => {
                io.stats.accept_errors += 1;
                let error = io::Error::from_raw_os_error(errno);
                tracing::warn!(core = io.core.0, %error, "cannot accept a connection");
            }
        }
    }

    /// Connections of other listeners: adopted by the program, or dealt by another core.
    fn open_adopted(&mut self) {
        for docked in self.inboxes.take_docked() {
            self.open(docked);
        }
        // What the program adopts while it is called waits for the next turn.
        for _ in 0..self.io.adopted.len() {
            if let Some(docked) = self.io.adopted.pop_front() {
                self.open(docked);
            }
        }
    }

    fn open(&mut self, docked: Docked) {
        let Docked { fd, mut peer, counted, luggage } = docked;
        let fd = fd.into_raw_fd();
        peer.fd = fd;
        let io = &mut self.io;
        let conn = io.conns.open(fd);
        if io.ring.register_file(conn.index, fd) {
            io.conns.at(conn.index).flags.set(Flags::REGISTERED);
        }
        if !counted {
            io.post.mesh().count_connection(usize::from(io.core.0));
        }
        io.receive_later(conn.index);
        match luggage {
            Some(luggage) => self.welcome(conn, &peer, luggage),
            None => {
                io.stats.accepts += 1;
                self.app.on_open(&mut self.io, conn, &peer);
            }
        }
    }

    fn take_mail(&mut self) {
        let CoreLoop { app, io, inboxes, .. } = self;
        for _ in 0..io.post.own_len() {
            if let Some(mail) = io.post.take_own() {
                let me = io.core;
                io.stats.mails_received += 1;
                app.on_mail(io, me, mail);
            }
        }
        if io.cores > 1 {
            inboxes.take(|from, mail| {
                io.stats.mails_received += 1;
                app.on_mail(io, from, mail);
            });
            for peer in inboxes.to_wake.drain(..) {
                io.waker.wake(&mut io.ring, peer);
            }
        }
    }

    /// Tells the program of closed connections and ends them.
    fn bury_doomed(&mut self) {
        while let Some(index) = self.io.doomed.pop() {
            let conn = self.id(index);
            self.app.on_close(&mut self.io, conn);
            self.io.bury(index);
        }
    }

    fn deliver_signals(&mut self) {
        while let Some(signal) = self.signals.as_ref().and_then(SignalFd::take) {
            self.app.on_signal(&mut self.io, signal);
        }
        self.arm_signals();
    }

    fn arm_signals(&mut self) {
        if let Some(signals) = &self.signals {
            self.io.ring.push_poll(signals.fd(), Op::Signal);
        }
    }

    fn arm_event_fd(&mut self) {
        if let Some(fd) = self.io.waker.event_fd() {
            self.io.ring.push_poll(fd, Op::EventFd);
        }
    }

    fn arm_storage(&mut self) {
        if let Some(storage) = &self.io.storage {
            self.io.ring.push_poll(storage.event_fd(), Op::Storage);
        }
    }

    /// Answers of the storage executor become mail of this core to itself, which this turn still delivers.
    ///
    /// # Errors
    /// The executor is gone.
    fn take_answers(&mut self) -> io::Result<()> {
        let Io { storage, post, core, .. } = &mut self.io;
        if let Some(storage) = storage {
            storage.take(|mail| post.send(*core, mail, |_| ()))?;
        }
        self.arm_storage();
        Ok(())
    }

    /// A message to another ring could not be posted: for want of memory (again then), or because
    /// that core has stopped.
    fn wake_failed(&mut self, tag: Tag, result: i32) {
        let peer = tag.index as usize;
        if matches!(-result, libc::EAGAIN | libc::ENOMEM | libc::EOVERFLOW | libc::EINTR) {
            self.io.waker.wake(&mut self.io.ring, peer);
        } else {
            tracing::debug!(peer, errno = -result, "cannot wake a core");
        }
    }

    /// Sends what can be sent at once, and ends what the kernel does for this core. Connections and
    /// listeners are closed with the core's `Io`.
    fn stop(&mut self) -> io::Result<()> {
        self.io.ring.enter(Wait::No)?;
        self.io.acceptor.remove_all(&mut self.io.ring);
        self.io.ring.cancel_all();
        Ok(())
    }
}

impl<M: Send + 'static> Io<M> {
    /// Moves the turn's mail into the queues and queues the wake-ups it takes.
    #[inline]
    fn post_mail(&mut self) {
        let Io { post, waker, ring, .. } = self;
        post.flush(|peer| waker.wake(ring, peer));
    }
}
