//! The executor's thread: a glommio executor whose root task listens to the bell.
//!
//! glommio 0.9.0 can park for good with tasks that could run: when its latency ring has an event at the moment at which it
//! begins to run them, it believes that it has nothing to do. So nothing here ever makes such an event:
//! - the preempt timer is an hour, armed anew whenever the executor looks at its rings; no other timer exists;
//! - nothing uses glommio's thread for blocking calls, whose completions are such events; those calls are made directly;
//! - fewer operations are in flight ([`JOBS_MAX`](super::JOBS_MAX) jobs with one each, and the writes of some streams) than
//!   its ring is deep, at which number of completions it would preempt itself.
//!
//! Tasks yield by waiting for an operation. The root task waits for one that ends at once, where it would otherwise keep the
//! completions of others waiting.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use rtrb::{Consumer, Producer};

use super::files::Files;
use super::pending::{Answer, Inner};
use super::{Job, STORAGE_MEMLOCK_BYTES};
use crate::host;
use crate::pin::pin_thread;

/// glommio's registered buffers: its least. Buffers beyond them come from the allocator.
const IO_MEMORY_BYTES: usize = 64 * 1024;
const RING_DEPTH: usize = 512;
const PREEMPT_NEVER: Duration = Duration::from_secs(3600);

/// What the thread is given.
pub(super) struct Seat<M> {
    pub jobs: Consumer<Job<M>>,
    pub answers: Producer<M>,
    pub bell: UnixStream,
    pub event: OwnedFd,
    pub lost: Arc<AtomicBool>,
    pub cpu: Option<usize>,
}

/// Runs jobs until the core hangs up and all of them are answered.
pub(super) fn run<M: Send + 'static>(seat: Seat<M>, started: &SyncSender<io::Result<()>>) {
    let Seat { jobs, answers, bell, event, lost, cpu } = seat;
    let executor = match set_up(cpu) {
        Ok(executor) => executor,
        Err(error) => return drop(started.send(Err(error))),
    };
    let back = Rc::new(Back { answers: Cell::new(Some(answers)), open: Cell::new(0), event, lost });
    let outcome = executor.run(listen(jobs, bell, Rc::clone(&back), started.clone()));
    if let Err(error) = outcome {
        drop(started.try_send(Err(error)));
    }
}

/// # Errors
/// What the system refused; glommio's own limit is told by name.
fn set_up(cpu: Option<usize>) -> io::Result<LocalExecutor> {
    if let Some(limit) = host::memlock_bytes()
        && limit < STORAGE_MEMLOCK_BYTES
    {
        let (limit, needed) = (limit / 1024, STORAGE_MEMLOCK_BYTES / 1024);
        return Err(io::Error::other(format!(
            "it needs {needed} KiB of lockable memory, the limit is {limit} KiB; raise it with: ulimit -l {needed} (or LimitMEMLOCK={needed}K in the systemd unit)"
        )));
    }
    if let Some(cpu) = cpu {
        pin_thread(cpu)?;
    }
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT_NEVER);
    Ok(builder.make()?)
}

/// The root task.
async fn listen<M: 'static>(
    mut jobs: Consumer<Job<M>>,
    bell: UnixStream,
    back: Rc<Back<M>>,
    started: SyncSender<io::Result<()>>,
) -> io::Result<()> {
    let mut rings = bell.try_clone()?;
    // SAFETY: the descriptor is open, and given away here.
    let bell = unsafe { glommio::net::UnixStream::from_raw_fd(bell.into_raw_fd()) };
    let null = BufferedFile::open("/dev/null").await?;
    let files = Files::default();
    drop(started.send(Ok(())));
    let mut connected = true;
    while connected {
        // Not for the byte's sake, which stays: this is how glommio waits.
        connected = bell.peek(&mut [0]).await? > 0;
        // First the rings, then the jobs: a job that comes in between rings again.
        drain(&mut rings);
        for _ in 0..jobs.slots() {
            let Ok(job) = jobs.pop() else { break };
            back.open.set(back.open.get() + 1);
            let Answer(answer) = job(&files);
            match answer {
                Inner::Now(mail) => back.send(mail),
                Inner::Later(future) => {
                    let back = Rc::clone(&back);
                    glommio::spawn_local(async move { back.send(future.await) }).detach();
                }
            }
        }
        if back.open.get() > 0 {
            // A bell that rings again and again would never be waited for.
            null.read_at(0, 1).await?;
        }
    }
    while back.open.get() > 0 {
        null.read_at(0, 1).await?;
    }
    files.close().await;
    null.close().await?;
    Ok(())
}

/// Takes all that has been written into the socket.
fn drain(rings: &mut UnixStream) {
    let mut bytes = [0; 256];
    loop {
        match rings.read(&mut bytes) {
            Ok(count) if count == bytes.len() => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// The way back to the core.
struct Back<M> {
    answers: Cell<Option<Producer<M>>>,
    /// Jobs that have begun and are not answered.
    open: Cell<usize>,
    event: OwnedFd,
    lost: Arc<AtomicBool>,
}

impl<M> Back<M> {
    fn send(&self, mail: M) {
        self.open.set(self.open.get() - 1);
        if let Some(mut answers) = self.answers.take() {
            // There is room: the queue is as long as jobs may be in flight.
            let sent = answers.push(mail).is_ok();
            debug_assert!(sent, "more answers than jobs");
            self.answers.set(Some(answers));
        }
        self.ring();
    }

    fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is readable for its length; the descriptor is open as long as `self` lives.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl<M> Drop for Back<M> {
    /// The thread ends, be it by a panic: whoever still waits for answers must hear of it.
    fn drop(&mut self) {
        self.lost.store(true, Ordering::Release);
        self.ring();
    }
}
