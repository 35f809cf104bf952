//! The operations on files that overlap: streams to new files, files filled with zeros, reads. All by O_DIRECT where the file
//! system has it, so that they leave the page cache to others and no burst of dirty pages meets the log's syncs.
//!
//! What is quick or rare (rename, remove, sync a folder, install a manifest) a job does by the standard library.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Poll, Waker};

use glommio::io::{DmaBuffer, DmaFile};

use super::pending::Pending;

/// Bytes of one write or read.
const CHUNK_BYTES: usize = 1 << 20;
/// Writes of a stream in flight, and those that wait behind them before [`Files::append`] is held.
const WRITES_MAX: usize = 4;
/// What O_DIRECT wants offsets and lengths to be multiples of, on any device.
const ALIGN_BYTES: u64 = 4096;

/// A file being written from its begin to its end. Drawn by whoever writes it; of one core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamId(pub u64);

/// How the kernel treats the executor's thread beside the core loop, which has the same cpu.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Like every thread: for work that clients wait for, as at the start.
    Normal,
    /// Nice 19: some percent of the cpu, also beside a core loop that never sleeps.
    Nice,
    /// SCHED_IDLE: what the core loop leaves over.
    Idle,
}

/// What a job has at hand.
#[derive(Clone, Default)]
pub struct Files {
    streams: Rc<RefCell<HashMap<StreamId, Rc<Stream>>>>,
}

impl Files {
    /// Changes the thread's class from this job on; whether the kernel let it. Without privileges there is no way back to a
    /// higher one.
    pub fn set_class(&self, class: Class) -> bool {
        let (policy, nice) = match class {
            Class::Normal => (libc::SCHED_OTHER, 0),
            Class::Nice => (libc::SCHED_OTHER, 19),
            Class::Idle => (libc::SCHED_IDLE, 19),
        };
        let param = libc::sched_param { sched_priority: 0 };
        // SAFETY: `param` is readable; 0 is the calling thread.
        let policy_set = unsafe { libc::sched_setscheduler(0, policy, &param) } == 0;
        // SAFETY: plain call; 0 is the calling thread.
        let nice_set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == 0;
        policy_set && nice_set
    }

    /// Makes a new file, or empties the one that is there, and opens a stream to it under an id that is not in use.
    pub fn create(&self, stream: StreamId, path: impl Into<PathBuf>) -> Pending<io::Result<()>> {
        let (streams, path) = (Rc::clone(&self.streams), path.into());
        Pending::new(async move {
            let file = DmaFile::create(&path).await?;
            let before = streams.borrow_mut().insert(stream, Rc::new(Stream::new(file)));
            debug_assert!(before.is_none(), "{stream:?} is in use");
            Ok(())
        })
    }

    /// Writes behind what was written before. What it gives is there once the stream has room for more; an error, of this
    /// write or an earlier one, stays with the stream.
    pub fn append(&self, stream: StreamId, bytes: &[u8]) -> Pending<io::Result<()>> {
        let stream = match self.find(stream) {
            Ok(stream) => stream,
            Err(error) => return Pending::ready(Err(error)),
        };
        stream.append(bytes);
        Pending::new(async move { stream.room(WRITES_MAX).await })
    }

    /// Writes what is left, makes the file durable and closes it: its length. The id is free again. The name in the folder is
    /// the caller's to sync.
    pub fn finish(&self, stream: StreamId) -> Pending<io::Result<u64>> {
        let found = self.find(stream);
        self.streams.borrow_mut().remove(&stream);
        Pending::new(async move {
            let stream = found?;
            let length = stream.flush().await;
            let synced = match length {
                Ok(_) => stream.file.fdatasync().await.map_err(io::Error::from),
                Err(_) => Ok(()),
            };
            close(stream).await;
            synced.and(length)
        })
    }

    /// Closes a stream whose file nobody wants.
    pub fn abandon(&self, stream: StreamId) -> Pending<()> {
        let found = self.streams.borrow_mut().remove(&stream);
        Pending::new(async move {
            if let Some(stream) = found {
                // Buffers belong to the kernel until it has written them.
                drop(stream.room(1).await);
                close(stream).await;
            }
        })
    }

    /// Makes a file of `bytes` bytes, a multiple of 4 KiB: `head` at its begin, zeros behind; durable but for its name.
    pub fn fill(&self, path: impl Into<PathBuf>, bytes: u64, head: Vec<u8>) -> Pending<io::Result<()>> {
        let path = path.into();
        Pending::new(async move {
            if !bytes.is_multiple_of(ALIGN_BYTES) || head.len() as u64 > bytes {
                return Err(io::Error::new(
                    ErrorKind::InvalidInput,
                    "not a multiple of 4 KiB, or shorter than its head",
                ));
            }
            let file = DmaFile::create(&path).await?;
            // One extent if the file system can; its refusal shows in the writes.
            drop(file.pre_allocate(bytes, false).await);
            let filled = fill(&file, bytes, &head).await;
            let synced = match filled {
                Ok(()) => file.fdatasync().await.map_err(io::Error::from),
                Err(error) => Err(error),
            };
            drop(file.close().await);
            synced
        })
    }

    /// Overwrites `bytes`, a multiple of 4 KiB long, at the begin of a file that is there, and makes them durable.
    pub fn write_head(&self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> Pending<io::Result<()>> {
        let path = path.into();
        Pending::new(async move {
            let mut options = glommio::io::OpenOptions::new();
            let file = options.write(true).dma_open(&path).await?;
            let mut buffer = file.alloc_dma_buffer(bytes.len());
            buffer.as_bytes_mut().copy_from_slice(&bytes);
            let written = write(&file, buffer, 0).await;
            let synced = match written {
                Ok(()) => file.fdatasync().await.map_err(io::Error::from),
                Err(error) => Err(error),
            };
            drop(file.close().await);
            synced
        })
    }

    /// Reads a range of a file; [`ErrorKind::UnexpectedEof`] if the file ends before it does.
    pub fn read(&self, path: impl Into<PathBuf>, offset: u64, bytes: usize) -> Pending<io::Result<Vec<u8>>> {
        let path = path.into();
        Pending::new(async move {
            let file = DmaFile::open(&path).await?;
            let read = read(&file, offset, bytes).await;
            drop(file.close().await);
            read
        })
    }

    fn find(&self, stream: StreamId) -> io::Result<Rc<Stream>> {
        let found = self.streams.borrow().get(&stream).map(Rc::clone);
        found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "this stream is not open"))
    }

    /// Closes what is still open.
    pub(super) async fn close(&self) {
        let streams: Vec<StreamId> = self.streams.borrow().keys().copied().collect();
        for stream in streams {
            self.abandon(stream).wait().await;
        }
    }
}

async fn close(stream: Rc<Stream>) {
    if let Ok(stream) = Rc::try_unwrap(stream) {
        drop(stream.file.close().await);
    }
}

/// Writes a whole buffer; a kernel that takes only a part of it has no room for the rest.
async fn write(file: &DmaFile, buffer: DmaBuffer, at: u64) -> io::Result<()> {
    let bytes = buffer.len();
    match file.write_at(buffer, at).await? {
        written if written == bytes => Ok(()),
        _ => Err(io::Error::from(ErrorKind::StorageFull)),
    }
}

async fn fill(file: &DmaFile, bytes: u64, head: &[u8]) -> io::Result<()> {
    let mut at = 0;
    let zeros = Rc::new(zeroed(file, CHUNK_BYTES));
    while at < bytes {
        let length = (bytes - at).min(CHUNK_BYTES as u64) as usize;
        if at < head.len() as u64 || length < CHUNK_BYTES {
            let mut buffer = zeroed(file, length);
            let rest = head.get(at as usize..).unwrap_or_default();
            let part = &rest[..rest.len().min(length)];
            buffer.as_bytes_mut()[..part.len()].copy_from_slice(part);
            write(file, buffer, at).await?;
        } else if file.write_rc_at(Rc::clone(&zeros), at).await? != length {
            return Err(io::Error::from(ErrorKind::StorageFull));
        }
        at += length as u64;
    }
    Ok(())
}

fn zeroed(file: &DmaFile, bytes: usize) -> DmaBuffer {
    let mut buffer = file.alloc_dma_buffer(bytes);
    buffer.as_bytes_mut().fill(0);
    buffer
}

/// By aligned reads: glommio's `read_at` takes bytes before the range for bytes of it where the file ends.
async fn read(file: &DmaFile, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let end = offset + bytes as u64;
    let mut into = Vec::with_capacity(bytes);
    while into.len() < bytes {
        let at = offset + into.len() as u64;
        let begin = at - at % ALIGN_BYTES;
        let length = (end - begin).next_multiple_of(ALIGN_BYTES).min(CHUNK_BYTES as u64);
        let read = file.read_at_aligned(begin, length as usize).await?;
        let part = read.get((at - begin) as usize..).unwrap_or_default();
        if part.is_empty() {
            return Err(io::Error::from(ErrorKind::UnexpectedEof));
        }
        into.extend_from_slice(&part[..part.len().min(bytes - into.len())]);
    }
    Ok(into)
}

/// A file that grows, by writes of a chunk each, several at a time.
struct Stream {
    file: DmaFile,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The chunk that is being put together.
    chunk: Option<(DmaBuffer, usize)>,
    /// Where it goes.
    at: u64,
    in_flight: usize,
    failed: Option<(ErrorKind, String)>,
    waiting: Vec<Waker>,
}

impl State {
    fn result(&self) -> io::Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

impl Stream {
    fn new(file: DmaFile) -> Stream {
        Stream { file, state: RefCell::default() }
    }

    fn append(self: &Rc<Stream>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut state = self.state.borrow_mut();
            let (mut buffer, filled) =
                state.chunk.take().unwrap_or_else(|| (self.file.alloc_dma_buffer(CHUNK_BYTES), 0));
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - filled));
            buffer.as_bytes_mut()[filled..filled + now.len()].copy_from_slice(now);
            bytes = later;
            let filled = filled + now.len();
            if filled < CHUNK_BYTES {
                state.chunk = Some((buffer, filled));
                continue;
            }
            let at = state.at;
            state.at += CHUNK_BYTES as u64;
            drop(state);
            self.begin_write(buffer, at);
        }
    }

    fn begin_write(self: &Rc<Stream>, buffer: DmaBuffer, at: u64) {
        if self.state.borrow().failed.is_some() {
            return;
        }
        self.state.borrow_mut().in_flight += 1;
        let stream = Rc::clone(self);
        glommio::spawn_local(async move {
            let written = write(&stream.file, buffer, at).await;
            let mut state = stream.state.borrow_mut();
            state.in_flight -= 1;
            if let Err(error) = written {
                state.failed.get_or_insert_with(|| (error.kind(), error.to_string()));
            }
            let waiting = mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        })
        .detach();
    }

    /// Waits until fewer than `limit` writes are in flight.
    async fn room(&self, limit: usize) -> io::Result<()> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.in_flight < limit {
                return Poll::Ready(state.result());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Writes the last chunk, rounded up, and cuts the file to its length.
    async fn flush(self: &Rc<Stream>) -> io::Result<u64> {
        let (last, at) = {
            let mut state = self.state.borrow_mut();
            (state.chunk.take(), state.at)
        };
        let mut length = at;
        if let Some((mut buffer, filled)) = last {
            length += filled as u64;
            let rounded = (filled as u64).next_multiple_of(ALIGN_BYTES) as usize;
            buffer.as_bytes_mut()[filled..rounded].fill(0);
            buffer.trim_to_size(rounded);
            self.begin_write(buffer, at);
        }
        self.room(1).await?;
        if !length.is_multiple_of(ALIGN_BYTES) {
            truncate(&self.file, length)?;
        }
        Ok(length)
    }
}

/// By a plain call: glommio's own goes by its blocking thread (see `executor`).
fn truncate(file: &DmaFile, length: u64) -> io::Result<()> {
    // SAFETY: plain call on a descriptor that is open.
    match unsafe { libc::ftruncate(file.as_raw_fd(), length as libc::off_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
