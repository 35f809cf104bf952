//! One thread of the generator: its connections on its ring, and the order of a turn.
//!
//! A turn takes in what happened, answers it with new requests, and hands everything over with one system call. The clock is read
//! once a turn. In the closed loop a connection sends its next batch when the last one is answered in full; all replies that
//! arrive together took the time since their batch was sent. In the open loop requests are due by a schedule, each with a
//! latency of its own; those that find no room wait in the schedule itself, which is simply behind then.

mod answers;
mod open_loop;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use crate::load::arrival::Schedule;
use crate::load::connection::{Connection, Role};
use crate::load::control::Handshake;
use crate::load::record::Second;
use crate::load::template::{Source, Template};
use crate::load::wire::{Address, Event, Wire, kernel};

/// How long to look around for replies before sleeping.
const SPIN: Duration = Duration::from_micros(200);
/// The open loop wakes up this much before a request is due, since a sleep may take longer than it should.
const EARLY: Duration = Duration::from_micros(100);
/// How long after the end replies are waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// What a thread is told before it starts.
pub struct Plan {
    pub thread: usize,
    /// Connections that are open and greeted, with the number of their node.
    pub asking: Vec<(OwnedFd, u16)>,
    /// Connections that have subscribed.
    pub listening: Vec<OwnedFd>,
    pub addresses: Vec<Address>,
    /// Who owns which slot; empty without a cluster.
    pub owners: Vec<u16>,
    pub templates: Vec<Template>,
    pub weights: Vec<u32>,
    /// Each connection has a command of its own.
    pub apart: bool,
    pub source: Source,
    pub pipeline: u32,
    pub schedule: Option<Schedule>,
    pub warmup: Duration,
    pub duration: Option<Duration>,
    /// This thread's part of the requests.
    pub quota: Option<u64>,
    pub reconnect_every: u64,
    pub reset: bool,
    pub handshake: Handshake,
    pub memcached: bool,
    pub spin: bool,
    /// The number of its first connection among those of all threads.
    pub first_connection: u32,
}

/// What a thread tells.
pub enum Report {
    /// A full second of the measured interval, from 0.
    Second { number: u64, second: Box<Second> },
    /// The measured interval is over for this thread; replies may still come.
    Ended,
    /// The thread is done.
    Finished(Box<Finished>),
    /// The thread cannot go on.
    Failed(String),
}

/// The end of a thread.
pub struct Finished {
    /// The last second, which need not be full, and its number.
    pub number: u64,
    pub second: Box<Second>,
    /// Replies that came after the end.
    pub drained: Box<Second>,
    /// Requests that were not answered at all; their latencies up to the moment of giving up are among the drained.
    pub unanswered: u64,
    /// When the measured interval began and ended, in nanoseconds of the run's clock.
    pub begin_ns: u64,
    pub end_ns: u64,
    /// CPU time and bytes within the measured interval.
    pub cpu_ns: u64,
    /// CPU time that went into looking for replies while there were none.
    pub spun_ns: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Connections that are still open.
    pub open: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Warmup,
    Measured,
    Draining,
}

/// Readings at the beginning of the measured interval.
#[derive(Clone, Copy, Default)]
struct Meter {
    cpu_ns: u64,
    spun_ns: u64,
    sent: u64,
    received: u64,
}

pub struct Worker {
    plan: Plan,
    wire: Wire,
    connections: Vec<Connection>,
    epoch: Instant,
    /// The time of this turn.
    now_ns: u64,
    phase: Phase,
    begin_ns: u64,
    end_ns: Option<u64>,
    /// When the phase or the second ends.
    boundary_ns: u64,
    number: u64,
    second: Box<Second>,
    finished: Option<Finished>,
    meter: Meter,
    total_weight: u64,
    /// Requests that may still be sent.
    quota: u64,
    /// All connections' requests under way.
    outstanding: u64,
    dirty: Vec<u32>,
    /// Connections with room (open loop), the one to be used next in front.
    free: VecDeque<u32>,
    /// A request that was due found no room.
    is_starved: bool,
    reports: Sender<Report>,
    spares: Receiver<Box<Second>>,
}

impl Worker {
    /// Takes the connections over; nothing is sent yet.
    ///
    /// # Errors
    /// The kernel refuses the ring.
    pub fn new(mut plan: Plan, reports: Sender<Report>, spares: Receiver<Box<Second>>) -> io::Result<Worker> {
        let mut wire = Wire::new(plan.asking.len() + plan.listening.len())?;
        let mut connections = Vec::with_capacity(plan.asking.len() + plan.listening.len());
        let mut fds = Vec::with_capacity(connections.capacity());
        for (fd, node) in plan.asking.drain(..) {
            connections.push(Connection::new(Role::Asking, node, plan.memcached));
            fds.push(fd);
        }
        for fd in plan.listening.drain(..) {
            connections.push(Connection::new(Role::Listening, 0, false));
            fds.push(fd);
        }
        if plan.reconnect_every == 0 {
            wire.register(&fds.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>());
        }
        for (place, fd) in fds.into_iter().enumerate() {
            wire.adopt(place as u32, fd)?;
        }
        let total_weight = plan.weights.iter().map(|&weight| u64::from(weight)).sum();
        let second = Box::new(Second::new(plan.templates.len()));
        let quota = plan.quota.unwrap_or(u64::MAX);
        Ok(Worker {
            plan,
            wire,
            connections,
            epoch: Instant::now(),
            now_ns: 0,
            phase: Phase::Warmup,
            begin_ns: 0,
            end_ns: None,
            boundary_ns: 0,
            number: 0,
            second,
            finished: None,
            meter: Meter::default(),
            total_weight,
            quota,
            outstanding: 0,
            dirty: Vec::new(),
            free: VecDeque::new(),
            is_starved: false,
            reports,
            spares,
        })
    }

    /// Runs to the end. `epoch` is the same for all threads.
    ///
    /// # Errors
    /// The ring is lost, or all connections are.
    pub fn run(mut self, epoch: Instant) -> Result<(), String> {
        self.epoch = epoch;
        while Instant::now() < epoch {
            std::hint::spin_loop();
        }
        self.begin_ns = self.plan.warmup.as_nanos() as u64;
        self.end_ns = self.plan.duration.map(|duration| self.begin_ns + duration.as_nanos() as u64);
        self.boundary_ns = self.begin_ns;
        if self.begin_ns > 0 {
            // The quota counts from the measured interval on.
            self.quota = u64::MAX;
        }
        let done = self.turns();
        done.map_err(|error| format!("thread {}: {error}", self.plan.thread))?;
        let finished = self.finished.take().ok_or_else(|| "the measured interval never began".to_owned())?;
        // Nobody listens when another thread has failed.
        let _ = self.reports.send(Report::Finished(Box::new(finished)));
        Ok(())
    }

    fn turns(&mut self) -> io::Result<()> {
        self.read_clock();
        self.pass_boundaries()?;
        self.start()?;
        loop {
            let (wait, spin, until) = self.patience();
            self.wire.turn(wait, spin, until)?;
            self.read_clock();
            if self.now_ns >= self.boundary_ns {
                self.pass_boundaries()?;
            }
            while let Some(event) = self.wire.next_event()? {
                self.handle(event)?;
            }
            if self.plan.schedule.is_some() {
                self.issue()?;
            }
            self.flush_dirty()?;
            if self.is_over() {
                return Ok(());
            }
        }
    }

    fn read_clock(&mut self) {
        self.now_ns = self.epoch.elapsed().as_nanos() as u64;
    }

    /// The first requests of all connections.
    fn start(&mut self) -> io::Result<()> {
        for place in 0..self.connections.len() as u32 {
            if self.connections[place as usize].role == Role::Asking {
                self.ready(place)?;
            }
        }
        Ok(())
    }

    /// A connection has nothing under way: it gets its next batch, or waits for requests that are due.
    fn ready(&mut self, place: u32) -> io::Result<()> {
        if self.plan.schedule.is_some() {
            self.set_free(place);
            Ok(())
        } else {
            self.refill(place)
        }
    }

    /// Whether to wait in this turn, how long to look around first, and when to wake up at the latest.
    fn patience(&self) -> (bool, Duration, Option<Instant>) {
        let spin = if self.plan.spin { SPIN } else { Duration::ZERO };
        if !self.dirty.is_empty() {
            // A connection was not ready in this turn; it may be in the next.
            return (false, Duration::ZERO, None);
        }
        if self.phase == Phase::Draining {
            return (true, spin, Some(self.epoch + Duration::from_nanos(self.boundary_ns)));
        }
        match self.next_due() {
            None => (true, spin, None),
            Some(_) if self.is_starved => (true, spin, None),
            Some(due_ns) => {
                let due = self.epoch + Duration::from_nanos(due_ns);
                if !self.plan.spin {
                    (true, Duration::ZERO, Some(due))
                } else if due_ns > self.now_ns + (SPIN + EARLY).as_nanos() as u64 {
                    (true, SPIN, Some(due - EARLY))
                } else {
                    (true, SPIN + EARLY, Some(due))
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------ the closed loop

    /// Sends the next batch of a connection that has nothing under way.
    fn refill(&mut self, place: u32) -> io::Result<()> {
        if self.phase == Phase::Draining {
            return Ok(());
        }
        let count = u64::from(self.plan.pipeline).min(self.quota);
        if count == 0 {
            return Ok(());
        }
        self.quota -= count;
        self.render(place, count as u32);
        self.connections[place as usize].sent_ns = self.now_ns;
        self.flush(place)
    }

    /// Appends `count` requests to what a connection has to say.
    #[inline]
    fn render(&mut self, place: u32, count: u32) {
        let connection = &mut self.connections[place as usize];
        let plan = &mut self.plan;
        let number = plan.first_connection + place;
        for _ in 0..count {
            let command = if plan.templates.len() == 1 {
                0
            } else {
                let draw = if plan.apart {
                    u64::from(number) % self.total_weight
                } else {
                    plan.source.random.below(self.total_weight)
                };
                let command = pick(&plan.weights, draw);
                connection.commands.push_back(command as u16);
                command
            };
            let template = &plan.templates[command];
            if plan.owners.is_empty() {
                template.render(&mut connection.out, &mut plan.source, number);
            } else {
                let (owners, node) = (&plan.owners, connection.node);
                template.render_routed(&mut connection.out, &mut plan.source, number, |slot| {
                    owners[usize::from(slot.0)] == node
                });
            }
        }
        connection.outstanding += count;
        self.outstanding += u64::from(count);
    }

    /// Sends what a connection has to say, now or as soon as it can.
    #[inline]
    fn flush(&mut self, place: u32) -> io::Result<()> {
        let connection = &mut self.connections[place as usize];
        if connection.out.is_empty() {
            return Ok(());
        }
        if self.wire.is_ready(place) {
            return self.wire.send(place, &mut connection.out);
        }
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(place);
        }
        Ok(())
    }

    /// Sends for those that were not ready before. One whose send waits in the kernel is told of by an event.
    fn flush_dirty(&mut self) -> io::Result<()> {
        for place in std::mem::take(&mut self.dirty) {
            self.connections[place as usize].is_dirty = false;
            if self.wire.is_ready(place) {
                self.flush(place)?;
            } else if self.wire.is_open(place) && !self.wire.is_waiting(place) {
                self.connections[place as usize].is_dirty = true;
                self.dirty.push(place);
            }
        }
        Ok(())
    }

    // --------------------------------------------------------------------------------------------------------------- events

    #[inline]
    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Received(received) => self.received(received),
            Event::Sent(place) => self.flush(place),
            Event::Connected(place) => self.connected(place),
            Event::Closed(place, errno) => self.closed(place, errno),
            Event::Tick => Ok(()),
        }
    }

    /// A new connection is there: it greets and goes on.
    fn connected(&mut self, place: u32) -> io::Result<()> {
        self.second.connects += 1;
        let connection = &mut self.connections[place as usize];
        connection.role = Role::Asking;
        connection.greeting = self.plan.handshake.replies;
        connection.out.extend_from_slice(&self.plan.handshake.bytes);
        let begun = connection.sent_ns;
        self.ready(place)?;
        // The first batch counts from when the connection was begun: a client waits for both.
        self.connections[place as usize].sent_ns = begun;
        Ok(())
    }

    /// A connection is gone: in a storm the next one takes its place, else it is lost.
    fn closed(&mut self, place: u32, errno: Option<i32>) -> io::Result<()> {
        let connection = &mut self.connections[place as usize];
        let is_ours = self.plan.reconnect_every > 0
            && connection.outstanding == 0
            && connection.role == Role::Asking
            && connection.answered >= self.plan.reconnect_every;
        self.outstanding -= u64::from(connection.outstanding);
        if !is_ours {
            let why = errno
                .map_or("the server closed it".to_owned(), |errno| io::Error::from_raw_os_error(errno).to_string());
            let second = match &mut self.finished {
                Some(finished) => &mut *finished.drained,
                None => &mut *self.second,
            };
            second.lost += 1;
            second.failed(&format!("a connection was lost: {why}"));
            // What was asked on it waited in vain: that counts as an error, and with the time waited.
            second.errors += write_off(connection, second, self.now_ns);
        }
        let was_listening = connection.role == Role::Listening;
        connection.renew(self.plan.memcached);
        connection.role = Role::Closed;
        connection.sent_ns = self.now_ns;
        let node = connection.node;
        if was_listening || self.plan.reconnect_every == 0 {
            let is_last = self.connections.iter().all(|connection| connection.role != Role::Asking);
            if is_last && self.phase != Phase::Draining {
                let why = format!("all connections were lost; {}", self.second.texts.join("; "));
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, why));
            }
            return Ok(());
        }
        if self.phase == Phase::Draining || self.quota == 0 {
            return Ok(());
        }
        self.wire.connect(place, &self.plan.addresses[usize::from(node)])
    }

    // ----------------------------------------------------------------------------------------------------------------- time

    /// Goes from one phase or second to the next, as many as have passed.
    fn pass_boundaries(&mut self) -> io::Result<()> {
        while self.phase != Phase::Draining && self.now_ns >= self.boundary_ns {
            match self.phase {
                Phase::Warmup => self.begin(),
                _ if self.end_ns.is_some_and(|end| self.boundary_ns >= end) => {
                    self.end(self.boundary_ns);
                    return Ok(());
                }
                _ => self.next_second(),
            }
            let full = self.begin_ns + (self.number + 1) * 1_000_000_000;
            self.boundary_ns = self.end_ns.map_or(full, |end| full.min(end));
        }
        self.wire.tick_in(Duration::from_nanos(self.boundary_ns.saturating_sub(self.now_ns)))
    }

    fn begin(&mut self) {
        self.phase = Phase::Measured;
        self.second.clear();
        self.quota = self.plan.quota.unwrap_or(u64::MAX);
        self.meter = self.read_meter();
    }

    fn read_meter(&self) -> Meter {
        Meter {
            cpu_ns: kernel::thread_cpu_ns(),
            spun_ns: self.wire.spun.as_nanos() as u64,
            sent: self.wire.sent_bytes,
            received: self.wire.received_bytes,
        }
    }

    fn next_second(&mut self) {
        let second = self.fresh_second();
        let number = self.number;
        self.number += 1;
        // Nobody listens when another thread has failed; this one is then ended with the process.
        let _ = self.reports.send(Report::Second { number, second });
    }

    /// Puts an empty second in the place of the one under way.
    fn fresh_second(&mut self) -> Box<Second> {
        let fresh = self.spares.try_recv().unwrap_or_else(|_| Box::new(Second::new(self.plan.templates.len())));
        std::mem::replace(&mut self.second, fresh)
    }

    /// The measured interval is over.
    fn end(&mut self, end_ns: u64) {
        let meter = self.read_meter();
        let second = self.fresh_second();
        self.finished = Some(Finished {
            number: self.number,
            second,
            drained: Box::new(Second::new(self.plan.templates.len())),
            unanswered: 0,
            begin_ns: self.begin_ns,
            end_ns,
            cpu_ns: meter.cpu_ns - self.meter.cpu_ns,
            spun_ns: meter.spun_ns - self.meter.spun_ns,
            sent_bytes: meter.sent - self.meter.sent,
            received_bytes: meter.received - self.meter.received,
            open: self.connections.iter().filter(|connection| connection.role != Role::Closed).count(),
        });
        let _ = self.reports.send(Report::Ended);
        self.phase = Phase::Draining;
        self.boundary_ns = self.now_ns + DRAIN.as_nanos() as u64;
    }

    /// Whether nothing is left to be done or to be waited for.
    fn is_over(&mut self) -> bool {
        if self.phase == Phase::Measured && self.quota == 0 && self.outstanding == 0 {
            self.end(self.now_ns);
        }
        if self.phase != Phase::Draining {
            return false;
        }
        if self.outstanding == 0 && self.next_due().is_none() {
            return true;
        }
        if self.now_ns < self.boundary_ns {
            return false;
        }
        self.give_up();
        true
    }

    /// Puts down what was never answered with the time that it has waited.
    fn give_up(&mut self) {
        let Some(mut finished) = self.finished.take() else { return };
        let now = self.now_ns;
        for connection in &self.connections {
            finished.unanswered += write_off(connection, &mut finished.drained, now);
        }
        while let Some(due) = self.next_due() {
            finished.drained.replied(0, now.saturating_sub(due), 1);
            finished.unanswered += 1;
            self.quota -= 1;
            if let Some(schedule) = &mut self.plan.schedule {
                schedule.advance();
            }
        }
        self.finished = Some(finished);
    }
}

/// Puts down the requests under way on a connection with the time that they have waited, and gives their number.
fn write_off(connection: &Connection, second: &mut Second, now_ns: u64) -> u64 {
    for at in 0..connection.outstanding as usize {
        let command = connection.commands.get(at).copied().map_or(0, usize::from);
        let since = connection.due_ns.get(at).copied().unwrap_or(connection.sent_ns);
        second.replied(command, now_ns.saturating_sub(since), 1);
    }
    u64::from(connection.outstanding)
}

/// The number of the command that `draw`, below the sum of the weights, falls on.
#[inline]
fn pick(weights: &[u32], mut draw: u64) -> usize {
    for (command, &weight) in weights.iter().enumerate() {
        match draw.checked_sub(u64::from(weight)) {
            Some(rest) => draw = rest,
            None => return command,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_picked_by_weight() {
        let weights = [3, 1, 6];
        let picks: Vec<usize> = (0..10).map(|draw| pick(&weights, draw)).collect();
        assert_eq!(picks, [0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
    }
}
