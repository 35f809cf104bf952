//! Queues between the cores and the waking of sleeping ones.
//!
//! Each ordered pair of cores has one bounded single-producer single-consumer queue. What a turn
//! mails is staged in order and moved into the queues once, at the end of the turn (or when much
//! has gathered); what does not fit stays staged, in order, until the peer has made room.
//!
//! **Bell.** Each core has one cache line (`Bell`) that its peers write and it reads: a bit per peer
//! that has put something into its queue, and whether the core is asleep.
//!
//! ```text
//! sender                                     receiver, before sleeping
//!   push to the queue                          asleep.store(true)      (SeqCst)
//!   rung.fetch_or(my bit)     (SeqCst)         rung.load() == 0 ?      (SeqCst)
//!   asleep.load()             (SeqCst)           yes: sleep in the ring until a completion arrives
//!   if so and asleep.swap(false): wake           no:  asleep.store(false), take the mail
//! ```
//! All four accesses are SeqCst, so in their one order either the sender's `fetch_or` comes before
//! the receiver's `load` (it sees the bit and does not sleep), or the receiver's `store` comes
//! before the sender's `load` (it sees the sleeper and wakes it). The `swap` makes one of several
//! senders wake. A wake that arrives late, at a core that is awake again, costs it one idle turn.
//! The receiver clears its bits (`swap(0)`, acquiring) before it looks into those queues, so a push
//! that comes after the look rings again.
//!
//! **Full queues** mirror this: the sender sets its bit in the receiver's `starved` set (SeqCst) and
//! tries once more; the receiver, after taking mail, passes a SeqCst fence and rings back whom it
//! finds there. Either the retry sees the room or the receiver sees the bit. No core ever polls or
//! blocks for room, so two cores that wait for each other keep taking mail and cannot lock up.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtrb::{Consumer, Producer, RingBuffer, chunks::ChunkError};

use crate::CORES_MAX;
use crate::app::{CoreId, PeerInfo};
use crate::migrate::Luggage;

const WORDS: usize = CORES_MAX / 64;

/// One bit per core.
struct CoreSet([AtomicU64; WORDS]);

impl CoreSet {
    fn new() -> CoreSet {
        CoreSet([const { AtomicU64::new(0) }; WORDS])
    }

    #[inline]
    fn insert(&self, core: usize) {
        self.0[core / 64].fetch_or(1 << (core % 64), Ordering::SeqCst);
    }

    #[inline]
    fn is_empty(&self, words: usize) -> bool {
        self.0[..words].iter().all(|word| word.load(Ordering::SeqCst) == 0)
    }

    /// Empties the set and calls `each` for what was in it.
    #[inline]
    fn take(&self, words: usize, mut each: impl FnMut(usize)) {
        for (place, word) in self.0[..words].iter().enumerate() {
            // Looking first keeps the line shared while there is nothing.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                each(place * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

/// What the peers of one core write.
///
/// ```text
/// line 0:  rung 7 x 8 B | asleep | docked | -
/// line 1:  starved 7 x 8 B | connections | -
/// ```
/// Aligned to two lines: the cpu fetches them in pairs.
#[repr(C, align(128))]
struct Bell {
    rung: CoreSet,
    asleep: AtomicBool,
    /// Whether connections were put into the core's dock.
    docked: AtomicBool,
    line_0_rest: [u8; 6],
    /// Peers whose queue to this core is full.
    starved: CoreSet,
    /// Connections of this core, those on their way to it included. Not part of the bell; looked at
    /// when a connection is accepted.
    connections: AtomicU32,
}

const _: () = assert!(size_of::<Bell>() == 128);

/// What all cores share.
pub(crate) struct Mesh {
    bells: Box<[Bell]>,
    /// Connections accepted elsewhere, on their way to a core.
    docks: Box<[Mutex<Vec<Docked>>]>,
    /// By which descriptor a core is woken: its ring's, or its eventfd's.
    wake_fds: Box<[AtomicI32]>,
    by_event: AtomicBool,
    /// A core has failed: all leave their loops.
    abort: AtomicBool,
}

pub(crate) struct Docked {
    pub fd: OwnedFd,
    pub peer: PeerInfo,
    /// It is among its core's `connections` already.
    pub counted: bool,
    /// Of one that another core had: `None` for new ones.
    pub luggage: Option<Luggage>,
}

impl Mesh {
    pub fn new(cores: usize) -> Mesh {
        let bell = || Bell {
            rung: CoreSet::new(),
            asleep: AtomicBool::new(false),
            docked: AtomicBool::new(false),
            line_0_rest: [0; 6],
            starved: CoreSet::new(),
            connections: AtomicU32::new(0),
        };
        Mesh {
            bells: (0..cores).map(|_| bell()).collect(),
            docks: (0..cores).map(|_| Mutex::new(Vec::new())).collect(),
            wake_fds: (0..cores).map(|_| AtomicI32::new(-1)).collect(),
            by_event: AtomicBool::new(false),
            abort: AtomicBool::new(false),
        }
    }

    pub fn cores(&self) -> usize {
        self.bells.len()
    }

    pub fn set_wake_fd(&self, core: CoreId, fd: RawFd) {
        self.wake_fds[usize::from(core.0)].store(fd, Ordering::Release);
    }

    pub fn wake_fd(&self, core: usize) -> RawFd {
        self.wake_fds[core].load(Ordering::Acquire)
    }

    /// Rings `to`'s bell for `from`. Whether `to` sleeps and it falls to the caller to wake it.
    #[inline]
    #[must_use]
    fn ring(&self, from: usize, to: usize) -> bool {
        let bell = &self.bells[to];
        bell.rung.insert(from);
        interleave();
        bell.asleep.load(Ordering::SeqCst) && bell.asleep.swap(false, Ordering::SeqCst)
    }

    /// Has all cores leave their loops. Whoever says so also wakes them.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::SeqCst);
    }

    #[inline]
    pub fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }

    /// Cores are woken by eventfds, not by messages between rings.
    pub fn set_wakes_by_event(&self) {
        self.by_event.store(true, Ordering::Relaxed);
    }

    pub fn wakes_by_event(&self) -> bool {
        self.by_event.load(Ordering::Relaxed)
    }

    /// Counts a connection of `core`, or one on its way to it.
    pub fn count_connection(&self, core: usize) {
        self.bells[core].connections.fetch_add(1, Ordering::Relaxed);
    }

    pub fn uncount_connection(&self, core: usize) {
        self.bells[core].connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of a core, those on their way to it included.
    pub fn connections(&self, core: usize) -> usize {
        self.bells[core].connections.load(Ordering::Relaxed) as usize
    }

    /// The core that a connection accepted by `me` should live on: `me`, unless it has clearly more
    /// connections than another. The kernel's hash spreads many connections well and few badly.
    pub fn place_connection(&self, me: usize) -> usize {
        let load = |core: usize| self.bells[core].connections.load(Ordering::Relaxed);
        let others = (1..self.cores()).map(|step| (me + step) % self.cores());
        match others.min_by_key(|&core| load(core)) {
            Some(other) if load(me) > load(other) + load(other) / 8 => other,
            _ => me,
        }
    }

    fn dock(&self, core: usize) -> MutexGuard<'_, Vec<Docked>> {
        // A panic elsewhere leaves a plain list behind.
        self.docks[core].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queue to one peer, with what did not fit yet.
struct Outbox<M> {
    queue: Producer<M>,
    staged: VecDeque<M>,
    /// On the list of boxes to flush.
    listed: bool,
}

/// One core's end of the mesh: the sending half. (The receiving queues are apart, see `Inboxes`:
/// the program may mail while its mail is being delivered.)
pub(crate) struct Post<M> {
    mesh: Arc<Mesh>,
    me: usize,
    words: usize,
    /// By peer; the own place is `None`.
    boxes: Vec<Option<Outbox<M>>>,
    /// Peers with staged mail.
    staged: Vec<u16>,
    /// Mail to this core itself.
    own: VecDeque<M>,
    pub sent: u64,
}

pub(crate) struct Inboxes<M> {
    mesh: Arc<Mesh>,
    me: usize,
    words: usize,
    queues: Vec<Option<Consumer<M>>>,
    pub received: u64,
    /// Peers that slept waiting for room which `take` has made: the caller wakes them.
    pub to_wake: Vec<usize>,
}

/// Staged messages per peer that are not left waiting for the end of the turn.
const STAGED_MAX: usize = 256;

/// Makes the ends of all cores, with room for `capacity` messages between each ordered pair.
pub(crate) fn connect<M>(mesh: &Arc<Mesh>, capacity: usize) -> Vec<(Post<M>, Inboxes<M>)> {
    let cores = mesh.cores();
    let words = cores.div_ceil(64);
    let mut outs: Vec<Vec<Option<Outbox<M>>>> = (0..cores).map(|_| Vec::with_capacity(cores)).collect();
    let mut ins: Vec<Vec<Option<Consumer<M>>>> = (0..cores).map(|_| Vec::with_capacity(cores)).collect();
    for (from, out) in outs.iter_mut().enumerate() {
        for (to, inn) in ins.iter_mut().enumerate() {
            if from == to {
                out.push(None);
                inn.push(None);
            } else {
                let (producer, consumer) = RingBuffer::new(capacity.max(1));
                out.push(Some(Outbox { queue: producer, staged: VecDeque::new(), listed: false }));
                inn.push(Some(consumer));
            }
        }
    }
    let ends = outs.into_iter().zip(ins).enumerate();
    ends.map(|(me, (boxes, queues))| {
        let post = Post {
            mesh: Arc::clone(mesh),
            me,
            words,
            boxes,
            staged: Vec::with_capacity(cores),
            own: VecDeque::new(),
            sent: 0,
        };
        (post, Inboxes { mesh: Arc::clone(mesh), me, words, queues, received: 0, to_wake: Vec::new() })
    })
    .collect()
}

/// Nothing; in the tests a pause of random length at the points where the order of two cores'
/// accesses matters, so that they meet there in all orders.
#[inline(always)]
fn interleave() {
    #[cfg(test)]
    tests::pause();
}

impl<M> Post<M> {
    /// Stages a message. Calls `wake` for a sleeping peer that must be woken now because much has
    /// gathered for it.
    ///
    /// # Panics
    /// There is no core `to`.
    #[inline]
    pub fn send(&mut self, to: CoreId, mail: M, wake: impl FnMut(usize)) {
        let to = usize::from(to.0);
        self.sent += 1;
        if to == self.me {
            self.own.push_back(mail);
            return;
        }
        let Some(outbox) = self.boxes[to].as_mut() else { unreachable!("only the own place is empty") };
        outbox.staged.push_back(mail);
        if !outbox.listed {
            outbox.listed = true;
            self.staged.push(to as u16);
        }
        if outbox.staged.len() == STAGED_MAX {
            self.flush_to(to, wake);
        }
    }

    /// Moves staged mail into the queues and calls `wake` for each peer that must be woken.
    #[inline]
    pub fn flush(&mut self, mut wake: impl FnMut(usize)) {
        if self.staged.is_empty() {
            return;
        }
        let mut kept = 0;
        for place in 0..self.staged.len() {
            let to = self.staged[place];
            if self.flush_to(usize::from(to), &mut wake) {
                if let Some(outbox) = &mut self.boxes[usize::from(to)] {
                    outbox.listed = false;
                }
            } else {
                self.staged[kept] = to;
                kept += 1;
            }
        }
        self.staged.truncate(kept);
    }

    /// Whether nothing is left staged.
    fn flush_to(&mut self, to: usize, mut wake: impl FnMut(usize)) -> bool {
        let Some(outbox) = self.boxes[to].as_mut() else { return true };
        if outbox.staged.is_empty() {
            return true;
        }
        let mut moved = outbox.fill();
        if !outbox.staged.is_empty() {
            interleave();
            self.mesh.bells[to].starved.insert(self.me);
            interleave();
            moved += outbox.fill();
        }
        let done = outbox.staged.is_empty();
        // The peer is rung also when nothing moved: a full queue means that it has mail.
        if (moved > 0 || !done) && self.mesh.ring(self.me, to) {
            wake(to);
        }
        done
    }

    /// Puts a connection into another core's dock.
    pub fn dock(&mut self, to: CoreId, docked: Docked, mut wake: impl FnMut(usize)) {
        let to = usize::from(to.0);
        self.mesh.count_connection(to);
        self.mesh.dock(to).push(docked);
        self.mesh.bells[to].docked.store(true, Ordering::Release);
        if self.mesh.ring(self.me, to) {
            wake(to);
        }
    }

    /// The next message to this core itself.
    #[inline]
    pub fn take_own(&mut self) -> Option<M> {
        self.own.pop_front()
    }

    /// Messages to this core itself that wait.
    #[inline]
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Says that this core is about to sleep. `false`: somebody has rung, stay awake.
    #[inline]
    #[must_use]
    pub fn fall_asleep(&self) -> bool {
        let bell = &self.mesh.bells[self.me];
        interleave();
        bell.asleep.store(true, Ordering::SeqCst);
        interleave();
        if bell.rung.is_empty(self.words) && !self.mesh.abort.load(Ordering::SeqCst) {
            return true;
        }
        bell.asleep.store(false, Ordering::Relaxed);
        false
    }

    #[inline]
    pub fn awake(&self) {
        self.mesh.bells[self.me].asleep.store(false, Ordering::Relaxed);
    }

    /// Whether somebody has rung since the last `Inboxes::take`.
    #[inline]
    pub fn is_rung(&self) -> bool {
        self.mesh.bells[self.me].rung.0[..self.words].iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }
}

impl<M> Outbox<M> {
    /// Moves what fits; the number of messages moved.
    #[inline]
    fn fill(&mut self) -> usize {
        let wanted = self.staged.len();
        let chunk = match self.queue.write_chunk_uninit(wanted) {
            Ok(chunk) => chunk,
            Err(ChunkError::TooFewSlots(0)) => return 0,
            Err(ChunkError::TooFewSlots(slots)) => match self.queue.write_chunk_uninit(slots) {
                Ok(chunk) => chunk,
                Err(ChunkError::TooFewSlots(_)) => return 0,
            },
        };
        let slots = chunk.len();
        chunk.fill_from_iter(self.staged.drain(..slots))
    }
}

impl<M> Inboxes<M> {
    /// Delivers what lies in the queues of all who have rung.
    #[inline]
    pub fn take(&mut self, mut deliver: impl FnMut(CoreId, M)) {
        let Inboxes { mesh, me, words, queues, received, to_wake } = self;
        let bell = &mesh.bells[*me];
        let mut took = false;
        bell.rung.take(*words, |from| {
            let Some(queue) = queues[from].as_mut() else { return };
            interleave();
            // What is there now; what comes later rings again.
            let Ok(chunk) = queue.read_chunk(queue.slots()) else { return };
            *received += chunk.len() as u64;
            took = took || !chunk.is_empty();
            for mail in chunk {
                deliver(CoreId(from as u16), mail);
            }
        });
        if took {
            interleave();
            fence(Ordering::SeqCst);
            bell.starved.take(*words, |peer| {
                if mesh.ring(*me, peer) {
                    to_wake.push(peer);
                }
            });
        }
    }

    /// Connections that other cores have put into this core's dock.
    #[inline]
    pub fn take_docked(&mut self) -> Vec<Docked> {
        let bell = &self.mesh.bells[self.me];
        if !bell.docked.load(Ordering::Relaxed) {
            return Vec::new();
        }
        bell.docked.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.mesh.dock(self.me))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::{self, Thread};
    use std::time::{Duration, Instant};

    use super::*;

    pub fn pause() {
        thread_local! {
            static DICE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        DICE.with(|dice| {
            let mut word = dice.get();
            if word == 0 {
                word = &raw const word as u64 | 1;
            }
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            dice.set(word);
            match word % 16 {
                0 => thread::yield_now(),
                1 => (0..word >> 16 & 0x3ff).for_each(|_| std::hint::spin_loop()),
                _ => {}
            }
        });
    }

    /// Sleeping is parking here, and a wake-up unparks: the protocol alone, without rings.
    ///
    /// Each thread sends a number of messages at random moments to random others, sleeps whenever
    /// it has nothing to do, and expects all that was sent to it. A lost wake-up leaves a thread
    /// parked with mail in its queue.
    fn stress(cores: usize, capacity: usize, messages: u64) {
        let mesh = Arc::new(Mesh::new(cores));
        let handles: Arc<Mutex<Vec<Option<Thread>>>> = Arc::new(Mutex::new(vec![None; cores]));
        let all_known = Arc::new(Barrier::new(cores));
        let received = Arc::new(AtomicU64::new(0));
        let total = messages * cores as u64;
        let threads: Vec<_> = connect::<u64>(&mesh, capacity)
            .into_iter()
            .enumerate()
            .map(|(me, (mut post, mut inboxes))| {
                let (handles, all_known, received) =
                    (Arc::clone(&handles), Arc::clone(&all_known), Arc::clone(&received));
                thread::spawn(move || {
                    handles.lock().unwrap()[me] = Some(thread::current());
                    all_known.wait();
                    let peers = handles.lock().unwrap().clone();
                    let wake = |core: usize| peers[core].as_ref().unwrap().unpark();
                    let mut dice = 0x1234_5678_9abc_def1u64 + me as u64;
                    let mut random = move || {
                        dice ^= dice << 13;
                        dice ^= dice >> 7;
                        dice ^= dice << 17;
                        dice
                    };
                    let mut to_send = messages;
                    let mut next_from = vec![0u64; cores];
                    let mut next_to = vec![0u64; cores];
                    while received.load(Ordering::Relaxed) < total {
                        let mut got = 0;
                        inboxes.take(|from, number| {
                            let expected = &mut next_from[usize::from(from.0)];
                            assert_eq!(number, *expected);
                            *expected += 1;
                            got += 1;
                        });
                        for peer in inboxes.to_wake.drain(..) {
                            wake(peer);
                        }
                        if got > 0 && received.fetch_add(got, Ordering::Relaxed) + got == total {
                            (0..cores).for_each(wake);
                        }
                        for _ in 0..(random() % 8).min(to_send) {
                            let to = (me + 1 + (random() % (cores as u64 - 1)) as usize) % cores;
                            post.send(CoreId(to as u16), next_to[to], wake);
                            next_to[to] += 1;
                            to_send -= 1;
                        }
                        post.flush(wake);
                        // Whoever waits for room relies on being rung, like whoever waits for mail.
                        let waits = to_send == 0 || !post.staged.is_empty();
                        if (waits || random() % 4 == 0) && post.fall_asleep() {
                            let begin = Instant::now();
                            if received.load(Ordering::Relaxed) < total && waits {
                                thread::park_timeout(Duration::from_secs(20));
                            } else {
                                thread::park_timeout(Duration::from_micros(50));
                            }
                            post.awake();
                            let slept = begin.elapsed();
                            let waits = post.is_rung() || !post.staged.is_empty();
                            assert!(slept < Duration::from_secs(15) || !waits, "core {me} slept over its mail");
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(received.load(Ordering::Relaxed), total);
    }

    #[test]
    fn no_wake_up_is_lost() {
        stress(2, 1024, 200_000);
        stress(3, 1024, 200_000);
        stress(5, 1024, 40_000);
    }

    #[test]
    fn no_wake_up_is_lost_when_queues_are_full() {
        stress(2, 1, 50_000);
        stress(3, 2, 50_000);
        stress(4, 3, 20_000);
    }

    #[test]
    fn connections_go_where_there_are_clearly_fewer() {
        let mesh = Mesh::new(4);
        assert_eq!(mesh.place_connection(2), 2, "all are empty");
        mesh.count_connection(2);
        assert_eq!(mesh.place_connection(2), 3);
        for core in 0..4 {
            (0..100).for_each(|_| mesh.count_connection(core));
        }
        assert_eq!(mesh.place_connection(2), 2, "one of a hundred does not matter");
        (0..20).for_each(|_| mesh.count_connection(2));
        (0..20).for_each(|_| mesh.uncount_connection(1));
        assert_eq!(mesh.place_connection(2), 1);
        assert_eq!(mesh.place_connection(1), 1);
    }
}
