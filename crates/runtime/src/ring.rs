//! One core's io_uring: set-up with what the kernel offers, the registered file table, pushing
//! submissions, and the one system call of a turn.
//!
//! Set-up flags: SINGLE_ISSUER and DEFER_TASKRUN (completions are worked out by this thread inside
//! its own `enter`, never by an interrupt of it), TASKRUN_FLAG (so that a polling core sees without
//! a call that there is something to work out), SUBMIT_ALL (a bad entry does not hold up the rest),
//! NO_SQARRAY from 6.6 on. The ring's descriptor is registered, which is remembered by the
//! `Submitter`: so submitter and both queues are split off once and kept.
//!
//! ```text
//! user_data   63     56 55                   32 31                              0
//!            +---------+-----------------------+--------------------------------+
//!            | op      | generation, low 24    | index of connection or listener|
//!            +---------+-----------------------+--------------------------------+
//! ```

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, Probe, SubmissionQueue, Submitter, cqueue, opcode};

pub(crate) type Completion = cqueue::Entry;

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// What a completion belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Op {
    /// Multishot receive of a connection.
    Recv = 1,
    /// Send that was to finish at once: completes only when it did not.
    SendNow = 2,
    /// Send that waits for room in the socket.
    SendWait = 3,
    /// Multishot accept of a listener.
    Accept = 4,
    /// Cancellation: completes only when there was nothing to cancel.
    Cancel = 5,
    /// Another core woke this one.
    Wake = 6,
    /// Waking another core (index) failed.
    WakeFailed = 7,
    /// The eventfd that stands in for messages between rings was read.
    EventFd = 8,
    /// The signalfd was read.
    Signal = 9,
    /// The storage executor has answered jobs.
    Storage = 10,
    /// A write or a sync of a file.
    File = 11,
}

/// The decoded `user_data` of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    pub op: Op,
    pub generation: u32,
    pub index: u32,
}

impl Tag {
    pub const GENERATION_MASK: u32 = 0x00ff_ffff;

    #[inline]
    pub fn new(op: Op, index: u32, generation: u32) -> Tag {
        Tag { op, generation: generation & Self::GENERATION_MASK, index }
    }

    #[inline]
    pub fn pack(self) -> u64 {
        (self.op as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    #[inline]
    pub fn unpack(word: u64) -> Option<Tag> {
        let op = match (word >> 56) as u8 {
            1 => Op::Recv,
            2 => Op::SendNow,
            3 => Op::SendWait,
            4 => Op::Accept,
            5 => Op::Cancel,
            6 => Op::Wake,
            7 => Op::WakeFailed,
            8 => Op::EventFd,
            9 => Op::Signal,
            10 => Op::Storage,
            11 => Op::File,
            _ => return None,
        };
        Some(Tag::new(op, word as u32, (word >> 32) as u32))
    }
}

/// How long `enter` may wait for a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    No,
    Forever,
    AtMost(Duration),
}

pub(crate) struct Ring {
    // The three borrow from `owner`; they go first.
    submitter: ManuallyDrop<Submitter<'static>>,
    sq: ManuallyDrop<SubmissionQueue<'static>>,
    cq: ManuallyDrop<CompletionQueue<'static>>,
    owner: NonNull<IoUring>,
    /// Places in the table of registered files.
    files: u32,
    /// Whether messages can be posted into other rings.
    pub messages: bool,
    enter_flags: u32,
    /// Completions that were taken out of the kernel's way before their turn.
    early: Vec<Completion>,
    /// System calls made by `enter`.
    pub enters: u64,
}

impl Ring {
    /// Sets up a ring with `entries` submissions and eight times as many completions.
    ///
    /// # Errors
    /// What io_uring_setup says, e.g. ENOMEM when the memlock limit is too low.
    pub fn new(entries: u32) -> io::Result<Ring> {
        let entries = entries.clamp(64, 16 * 1024).next_power_of_two();
        let build = |no_sqarray: bool| {
            let mut builder = IoUring::builder();
            builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_taskrun_flag()
                .setup_submit_all()
                .setup_clamp()
                .setup_cqsize(entries * 8);
            if no_sqarray {
                builder.setup_no_sqarray();
            }
            builder.build(entries)
        };
        let (uring, recent) = match build(true) {
            // Before 6.6 the kernel does not know NO_SQARRAY.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (build(false)?, false),
            other => (other?, true),
        };
        let enter_flags =
            if uring.params().is_feature_no_iowait() { ENTER_GETEVENTS | ENTER_NO_IOWAIT } else { ENTER_GETEVENTS };
        let owner = NonNull::from(Box::leak(Box::new(uring)));
        // SAFETY: `owner` was just leaked and is freed by `Drop` only, after the three parts that
        // borrow from it; nothing else ever makes a reference to it.
        let (mut submitter, sq, cq) = unsafe { &mut *owner.as_ptr() }.split();
        let mut probe = Probe::new();
        // Early kernels know messages between rings, but not all of them to rings with DEFER_TASKRUN.
        let messages =
            recent && submitter.register_probe(&mut probe).is_ok() && probe.is_supported(opcode::MsgRingData::CODE);
        if let Err(error) = submitter.register_ring_fd() {
            tracing::debug!(%error, "the ring's descriptor stays unregistered");
        }
        Ok(Ring {
            submitter: ManuallyDrop::new(submitter),
            sq: ManuallyDrop::new(sq),
            cq: ManuallyDrop::new(cq),
            owner,
            files: 0,
            messages,
            enter_flags,
            early: Vec::new(),
            enters: 0,
        })
    }

    pub fn fd(&self) -> RawFd {
        // SAFETY: `owner` lives until `Drop`, and only shared references to it exist.
        unsafe { self.owner.as_ref() }.as_raw_fd()
    }

    pub fn submitter(&self) -> &Submitter<'static> {
        &self.submitter
    }

    /// Makes an empty table of registered files with up to `places` places; where the kernel grants
    /// none, every connection uses its plain descriptor.
    pub fn register_file_table(&mut self, places: u32) {
        let mut places = places.min(1 << 20);
        while places >= 16 {
            match self.submitter.register_files_sparse(places) {
                Ok(()) => {
                    self.files = places;
                    return;
                }
                Err(error) => tracing::debug!(%error, places, "no table of registered files of this size"),
            }
            places /= 4;
        }
    }

    /// Puts a descriptor into the file table; whether it has a place there now.
    pub fn register_file(&self, place: u32, fd: RawFd) -> bool {
        place < self.files && self.submitter.register_files_update(place, &[fd]).is_ok()
    }

    /// Takes a descriptor out of the file table.
    pub fn unregister_file(&self, place: u32) {
        if let Err(error) = self.submitter.register_files_update(place, &[-1]) {
            tracing::warn!(%error, place, "cannot take a closed connection out of the file table");
        }
    }

    /// Queues a submission; hands the queue to the kernel first when it is full.
    ///
    /// # Safety
    /// What the entry points to must stay valid until its completion has been reaped, or until the
    /// next `enter` returned for entries that cannot outlive their submission.
    #[inline]
    pub unsafe fn push(&mut self, entry: &Entry) {
        // SAFETY: as the caller promises.
        while unsafe { self.sq.push(entry) }.is_err() {
            self.make_room();
        }
    }

    /// Hands over what is queued, without waiting.
    ///
    /// # Panics
    /// The ring is lost.
    #[cold]
    fn make_room(&mut self) {
        self.sq.sync();
        let queued = self.sq.len() as u32;
        self.enters += 1;
        // SAFETY: no argument is passed.
        let result = unsafe { self.submitter.enter::<libc::sigset_t>(queued, 0, 0, None) };
        self.sq.sync();
        match result.map_err(|error| error.raw_os_error().unwrap_or(0)) {
            Ok(_) | Err(libc::EINTR) => {}
            Err(libc::EAGAIN | libc::EBUSY) => self.give_way(),
            Err(errno) => panic!("the ring is lost: {}", io::Error::from_raw_os_error(errno)),
        }
    }

    /// The kernel lacks memory, or room for completions: take those that are there out of its way.
    fn give_way(&mut self) {
        self.cq.sync();
        let before = self.early.len();
        self.early.extend(&mut *self.cq);
        self.cq.sync();
        if self.early.len() == before {
            std::thread::yield_now();
        }
    }

    /// Queues a poll of a descriptor that is rung; completes once.
    pub fn push_poll(&mut self, fd: RawFd, op: Op) {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        // SAFETY: the entry points to nothing.
        unsafe { self.push(&entry.user_data(Tag::new(op, 0, 0).pack())) };
    }

    /// Queues the cancellation of whatever carries `tag`.
    pub fn push_cancel(&mut self, tag: Tag) {
        let entry = opcode::AsyncCancel::new(tag.pack())
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(Tag::new(Op::Cancel, tag.index, tag.generation).pack());
        // SAFETY: a cancellation points to nothing.
        unsafe { self.push(&entry) };
    }

    /// Queues a message into another ring that wakes its core.
    pub fn push_wake(&mut self, ring_fd: RawFd, core: u32) {
        let entry = opcode::MsgRingData::new(Fd(ring_fd), 0, Tag::new(Op::Wake, 0, 0).pack(), None)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(Tag::new(Op::WakeFailed, core, 0).pack());
        // SAFETY: the message carries its data by value.
        unsafe { self.push(&entry) };
    }

    /// Hands all queued submissions to the kernel, works out what is due, and waits for one
    /// completion when `wait` says so. Returns with all submissions taken by the kernel.
    ///
    /// # Errors
    /// Only what means that the ring is lost.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        // Nobody sleeps over completions that were taken early.
        let mut wait = if self.early.is_empty() { wait } else { Wait::No };
        loop {
            self.sq.sync();
            let queued = self.sq.len() as u32;
            self.enters += 1;
            let result = match wait {
                // SAFETY: no argument is passed.
                Wait::No => unsafe { self.submitter.enter::<libc::sigset_t>(queued, 0, self.enter_flags, None) },
                // SAFETY: no argument is passed.
                Wait::Forever => unsafe { self.submitter.enter::<libc::sigset_t>(queued, 1, self.enter_flags, None) },
                Wait::AtMost(duration) => {
                    let time = Timespec::from(duration);
                    let args = SubmitArgs::new().timespec(&time);
                    // SAFETY: with EXT_ARG the argument is a `SubmitArgs`; it and the time it
                    // points to outlive the call.
                    unsafe { self.submitter.enter(queued, 1, self.enter_flags | ENTER_EXT_ARG, Some(&args)) }
                }
            };
            self.sq.sync();
            self.cq.sync();
            match result.map_err(|error| error.raw_os_error().unwrap_or(0)) {
                Ok(_) | Err(libc::EINTR | libc::ETIME) => {}
                Err(libc::EAGAIN | libc::EBUSY) => self.give_way(),
                Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
            if self.sq.is_empty() {
                return Ok(());
            }
            wait = Wait::No;
        }
    }

    /// Moves all completions into `events`. Whether the kernel holds more that did not fit.
    #[inline]
    pub fn reap(&mut self, events: &mut Vec<Completion>) -> bool {
        if !self.early.is_empty() {
            events.append(&mut self.early);
        }
        events.extend(&mut *self.cq);
        self.cq.sync();
        self.sq.cq_overflow()
    }

    /// Whether an `enter` without waiting would bring something.
    #[inline]
    pub fn has_work(&mut self) -> bool {
        self.has_completions() || self.sq.taskrun()
    }

    /// Whether completions wait to be reaped.
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        self.cq.sync();
        !self.cq.is_empty() || !self.early.is_empty()
    }

    /// Ends everything the kernel still does for this ring, so that nothing refers to memory of
    /// connections any more.
    pub fn cancel_all(&mut self) {
        let limit = Timespec::from(Duration::from_secs(1));
        match self.submitter.register_sync_cancel(Some(limit), CancelBuilder::any()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => tracing::debug!(%error, "cancelling what is in flight"),
        }
        if let Err(error) = self.enter(Wait::No) {
            tracing::debug!(%error, "cancelling what is in flight");
        }
    }

    /// Whether submissions are queued.
    #[inline]
    pub fn has_queued(&self) -> bool {
        !self.sq.is_empty()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Err(error) = self.submitter.unregister_ring_fd() {
            tracing::trace!(%error, "the ring's descriptor was not registered");
        }
        // SAFETY: each part is dropped once, here, before the ring it borrows from; `owner` came
        // from a leaked box and nothing refers to it any more.
        unsafe {
            ManuallyDrop::drop(&mut self.cq);
            ManuallyDrop::drop(&mut self.sq);
            ManuallyDrop::drop(&mut self.submitter);
            drop(Box::from_raw(self.owner.as_ptr()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_packing() {
        for op in [
            Op::Recv,
            Op::SendNow,
            Op::SendWait,
            Op::Accept,
            Op::Cancel,
            Op::Wake,
            Op::WakeFailed,
            Op::EventFd,
            Op::Signal,
            Op::Storage,
            Op::File,
        ] {
            let tag = Tag::new(op, 0xdead_beef, 0x00ab_cdef);
            assert_eq!(Tag::unpack(tag.pack()), Some(tag));
        }
        assert_eq!(Tag::unpack(0), None);
        assert_eq!(Tag::new(Op::Recv, 1, 0xff00_0001).generation, 1);
    }

    #[test]
    fn waiting_ends_with_its_time() {
        let mut ring = Ring::new(8).unwrap();
        let begin = std::time::Instant::now();
        ring.enter(Wait::AtMost(Duration::from_millis(20))).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(19), "{:?}", begin.elapsed());
        assert!(!ring.has_work());
    }

    #[test]
    fn more_submissions_than_entries() {
        let mut ring = Ring::new(64).unwrap();
        for i in 0..1_000 {
            let entry = opcode::Nop::new().build().user_data(Tag::new(Op::Cancel, i, 0).pack());
            // SAFETY: a nop points to nothing.
            unsafe { ring.push(&entry) };
        }
        ring.enter(Wait::No).unwrap();
        let mut events = Vec::new();
        while ring.reap(&mut events) {
            ring.enter(Wait::No).unwrap();
        }
        assert_eq!(events.len(), 1_000);
    }
}
