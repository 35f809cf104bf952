//! One thread's io_uring: set-up, pushing submissions, the system call, and taking completions out.
//!
//! SINGLE_ISSUER and DEFER_TASKRUN: the thread itself works out completions inside its own `enter`, and nothing interrupts it
//! while it renders commands. TASKRUN_FLAG: whether there is something to work out can be seen without a call. The ring's
//! descriptor is registered, which the `Submitter` remembers; so the parts are split off once and kept.

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue};

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// How long `enter` may wait for a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    No,
    Forever,
    AtMost(Duration),
}

pub(super) struct Ring {
    // These three borrow from `owner`.
    submitter: ManuallyDrop<Submitter<'static>>,
    sq: ManuallyDrop<SubmissionQueue<'static>>,
    cq: ManuallyDrop<CompletionQueue<'static>>,
    owner: NonNull<IoUring>,
    enter_flags: u32,
}

impl Ring {
    /// A ring with `entries` submissions and room for `completions`.
    ///
    /// # Errors
    /// What io_uring_setup says: no io_uring at all (ENOSYS, EPERM), or a memlock limit that is too low (ENOMEM).
    pub fn new(entries: u32, completions: u32) -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions.max(entries * 2).next_power_of_two());
        let uring = builder.build(entries.next_power_of_two())?;
        let no_iowait = if uring.params().is_feature_no_iowait() { ENTER_NO_IOWAIT } else { 0 };
        let owner = NonNull::from(Box::leak(Box::new(uring)));
        // SAFETY: `owner` was just leaked and is freed by `Drop` alone, after the parts that borrow from it; nothing else
        // makes a reference to it.
        let (mut submitter, sq, cq) = unsafe { &mut *owner.as_ptr() }.split();
        // Without it every call looks the descriptor up: slower, and no less right.
        let _ = submitter.register_ring_fd();
        Ok(Ring {
            submitter: ManuallyDrop::new(submitter),
            sq: ManuallyDrop::new(sq),
            cq: ManuallyDrop::new(cq),
            owner,
            enter_flags: ENTER_GETEVENTS | no_iowait,
        })
    }

    pub fn submitter(&self) -> &Submitter<'static> {
        &self.submitter
    }

    /// Queues a submission, handing the queue to the kernel first when it is full.
    ///
    /// # Errors
    /// The ring is lost.
    ///
    /// # Safety
    /// What the entry points to stays valid and unchanged until the kernel is done with it: until its completion was taken
    /// out, or, for operations that end with their submission, until the next `enter` returned.
    #[inline]
    pub unsafe fn push(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: as the caller promises.
        while unsafe { self.sq.push(entry) }.is_err() {
            self.call(0, 0, None)?;
        }
        Ok(())
    }

    /// Hands over what is queued and works out what is due; waits for one completion when `wait` says so. Seldom, when the kernel
    /// lacks memory, something stays queued.
    ///
    /// # Errors
    /// The ring is lost.
    #[inline]
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        match wait {
            Wait::No => self.call(0, self.enter_flags, None)?,
            Wait::Forever => self.call(1, self.enter_flags, None)?,
            Wait::AtMost(time) => self.call(1, self.enter_flags | ENTER_EXT_ARG, Some(Timespec::from(time)))?,
        }
        self.cq.sync();
        Ok(())
    }

    fn call(&mut self, wanted: u32, flags: u32, time: Option<Timespec>) -> io::Result<()> {
        self.sq.sync();
        let queued = self.sq.len() as u32;
        let result = match &time {
            // SAFETY: no argument is passed.
            None => unsafe { self.submitter.enter::<libc::sigset_t>(queued, wanted, flags, None) },
            Some(time) => {
                let arguments = SubmitArgs::new().timespec(time);
                // SAFETY: with EXT_ARG the argument is a `SubmitArgs`; it and the time it points to outlive the call.
                unsafe { self.submitter.enter(queued, wanted, flags, Some(&arguments)) }
            }
        };
        self.sq.sync();
        match result.map_err(|error| error.raw_os_error().unwrap_or(0)) {
            // EBUSY: there are more completions than fit; the caller takes them out and comes back.
            Ok(_) | Err(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// The next completion, until none is left.
    #[inline]
    pub fn next(&mut self) -> Option<cqueue::Entry> {
        let next = self.cq.next();
        if next.is_none() {
            // Only now does the kernel learn that there is room again.
            self.cq.sync();
            return self.cq.next();
        }
        next
    }

    /// Whether an `enter` without waiting would do something.
    #[inline]
    pub fn has_work(&mut self) -> bool {
        if self.sq.taskrun() || !self.sq.is_empty() {
            return true;
        }
        self.has_completions()
    }

    /// Whether completions are there to be taken.
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        self.cq.sync();
        !self.cq.is_empty()
    }

    /// Whether submissions are queued that the kernel has not taken over.
    pub fn has_queued(&self) -> bool {
        !self.sq.is_empty()
    }

    /// Ends everything that the kernel still does for this ring.
    fn cancel_all(&mut self) {
        let limit = Timespec::from(Duration::from_secs(2));
        // Nothing to cancel is an error, too; and what cannot be cancelled ends with the ring.
        let _ = self.submitter.register_sync_cancel(Some(limit), CancelBuilder::any());
        let _ = self.call(0, self.enter_flags, None);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.cancel_all();
        let _ = self.submitter.unregister_ring_fd();
        // SAFETY: each part is dropped once, before the ring that it borrows from; `owner` came from a leaked box and nothing
        // else refers to it.
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
    use io_uring::opcode;

    #[test]
    fn more_submissions_than_entries_all_complete() {
        let mut ring = Ring::new(4, 8).unwrap();
        for number in 0..100 {
            // SAFETY: a no-op points to nothing.
            unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) }.unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            ring.enter(Wait::Forever).unwrap();
            while let Some(completion) = ring.next() {
                seen.push(completion.user_data());
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert!(!ring.has_work());
    }

    #[test]
    fn waiting_ends_with_its_time() {
        let mut ring = Ring::new(4, 8).unwrap();
        let begun = std::time::Instant::now();
        ring.enter(Wait::AtMost(Duration::from_millis(10))).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(9));
    }
}
