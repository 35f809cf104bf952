//! The storage executor: a second thread per core, on the same cpu, for all work on files that is bulky or may block.
//!
//! A *job* is a closure that runs there, with [`Files`] at hand. What it answers comes home as mail of the core to itself. Jobs
//! begin in the order in which they were handed over. One that answers at once ([`Answer::now`]) keeps the next one waiting, so
//! it should be a rename rather than a gigabyte; what takes long is made of the operations of [`Files`], which overlap with
//! each other and with the jobs behind them. A big piece of work (a snapshot) is many jobs, whose state travels to and fro.
//!
//! ```text
//! core loop ── Io::store ──▶ queue of jobs ──▶ storage executor ──▶ files
//!     ▲            └──── a byte on a socketpair ────▲   │
//!     └── on_mail ◀── queue of answers ◀── eventfd ─────┘
//! ```
//!
//! What it is not: it knows no log, no snapshot and no manifest, and never touches a shard. Every job is answered exactly once,
//! unless the core leaves its loop before. An idle executor sleeps in its ring.

mod executor;
mod files;
mod pending;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rtrb::{Consumer, Producer, RingBuffer};

pub use files::{Class, Files, StreamId};
pub use pending::{Answer, Pending};

/// Jobs on their way or under way, per core. The executor's hang-freedom depends on it: see `executor`.
const JOBS_MAX: usize = 64;

/// What the kernel must let the process lock for an executor; less is refused by glommio.
pub const STORAGE_MEMLOCK_BYTES: u64 = 512 * 1024;

type Job<M> = Box<dyn FnOnce(&Files) -> Answer<M> + Send>;

/// The core loop's side.
pub(crate) struct Storage<M> {
    jobs: Producer<Job<M>>,
    answers: Consumer<M>,
    /// What does not fit into the queue yet.
    waiting: VecDeque<Job<M>>,
    /// Jobs in the queue, or begun and not answered.
    in_flight: usize,
    bell: Option<UnixStream>,
    /// Rung by the executor when there are answers.
    event: OwnedFd,
    lost: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<M: Send + 'static> Storage<M> {
    /// Starts the executor's thread, on `cpu` if one is given.
    ///
    /// # Errors
    /// What the system refused, or glommio.
    pub fn start(name: String, cpu: Option<usize>) -> io::Result<Storage<M>> {
        let (jobs, jobs_there) = RingBuffer::new(JOBS_MAX);
        let (answers_there, answers) = RingBuffer::new(JOBS_MAX);
        let (bell, bell_there) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        bell_there.set_nonblocking(true)?;
        let event = event_fd()?;
        let lost = Arc::new(AtomicBool::new(false));
        let seat = executor::Seat {
            jobs: jobs_there,
            answers: answers_there,
            bell: bell_there,
            event: event.try_clone()?,
            lost: Arc::clone(&lost),
            cpu,
        };
        let (started, outcome) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name).spawn(move || executor::run(seat, &started))?;
        // A thread that ends without a word has panicked.
        outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the storage executor panicked")))?;
        Ok(Storage {
            jobs,
            answers,
            waiting: VecDeque::new(),
            in_flight: 0,
            bell: Some(bell),
            event,
            lost,
            thread: Some(thread),
        })
    }

    /// The eventfd that the core's ring must poll.
    pub fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Keeps a job for the next [`Storage::flush`].
    pub fn submit(&mut self, job: Job<M>) {
        self.waiting.push_back(job);
    }

    /// Hands over the jobs that fit, with one ring of the bell. Those that do not fit go when answers have come.
    #[inline]
    pub fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let before = self.in_flight;
        while self.in_flight < JOBS_MAX
            && let Some(job) = self.waiting.pop_front()
        {
            if let Err(rtrb::PushError::Full(job)) = self.jobs.push(job) {
                self.waiting.push_front(job);
                break;
            }
            self.in_flight += 1;
        }
        if self.in_flight > before
            && let Some(mut bell) = self.bell.as_ref()
        {
            match bell.write(&[1]) {
                // A full socket holds rings that were not heard yet.
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => self.lost.store(true, Ordering::Release),
            }
        }
    }

    /// The answers that are there, after the eventfd was rung.
    ///
    /// # Errors
    /// The executor is gone: jobs will not be answered any more.
    pub fn take(&mut self, mut deliver: impl FnMut(M)) -> io::Result<()> {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is writable for its length; the descriptor does not block.
        unsafe { libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        while let Ok(answer) = self.answers.pop() {
            self.in_flight -= 1;
            deliver(answer);
        }
        if self.lost.load(Ordering::Acquire) {
            return Err(io::Error::other("the storage executor has ended"));
        }
        Ok(())
    }
}

impl<M> Drop for Storage<M> {
    /// Waits for the jobs that were handed over.
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the storage executor panicked");
        }
    }
}

fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: plain call; the result is checked.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests;
