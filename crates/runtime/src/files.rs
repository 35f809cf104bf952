//! Writes and syncs of files as operations of the core's own ring: what a log needs, and nothing else about files.
//!
//! The buffer of a write and the descriptor of its file are kept here until the kernel is done with both, so neither can go
//! too early, whatever the program does. What is still under way when the core ends stays allocated for ever: the kernel may
//! be reading it.

use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use io_uring::opcode;
use io_uring::types::Fd;
use pinyon_durability::AlignedBuffer;

use crate::io::Io;
use crate::ring::{Op, Tag};

/// An operation on a file that has ended.
pub struct FileDone {
    /// As given to [`Io::write_file`] or [`Io::sync_file`].
    pub token: u64,
    /// A write that the kernel cut short has failed with `WriteZero`.
    pub result: io::Result<()>,
    /// What was written.
    pub buffer: Option<AlignedBuffer>,
}

/// One operation that the kernel has.
struct UnderWay {
    token: u64,
    buffer: Option<AlignedBuffer>,
    /// Keeps the descriptor open.
    _file: Rc<OwnedFd>,
}

#[derive(Default)]
pub(crate) struct FileOps {
    places: Vec<Option<UnderWay>>,
    free: Vec<u32>,
}

impl FileOps {
    fn insert(&mut self, operation: UnderWay) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(operation);
                place
            }
            None => {
                self.places.push(Some(operation));
                self.places.len() as u32 - 1
            }
        }
    }

    /// What the completion of the operation at `place` means.
    pub fn ended(&mut self, place: u32, result: i32) -> Option<FileDone> {
        let UnderWay { token, buffer, .. } = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        let length = buffer.as_ref().map_or(0, |buffer| buffer.len());
        let result = match usize::try_from(result) {
            Ok(written) if written >= length => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        Some(FileDone { token, result, buffer })
    }
}

impl Drop for FileOps {
    fn drop(&mut self) {
        self.places.drain(..).flatten().for_each(|operation| mem::forget(operation.buffer));
    }
}

impl<M: Send + 'static> Io<M> {
    /// Writes `buffer` at `offset`; ends in [`crate::App::on_file`]. `durable`: as with O_DSYNC.
    pub fn write_file(&mut self, file: &Rc<OwnedFd>, offset: u64, buffer: AlignedBuffer, durable: bool, token: u64) {
        let (address, length) = (buffer.as_ptr(), buffer.len() as u32);
        let place = self.files.insert(UnderWay { token, buffer: Some(buffer), _file: Rc::clone(file) });
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), address, length).offset(offset).rw_flags(flags).build();
        // SAFETY: the buffer's bytes lie on the heap, where `files` keeps them, unmoved and unchanged, until the completion
        // has been reaped, or for ever.
        unsafe { self.ring.push(&entry.user_data(Tag::new(Op::File, place, 0).pack())) };
    }

    /// As fdatasync does; ends in [`crate::App::on_file`].
    pub fn sync_file(&mut self, file: &Rc<OwnedFd>, token: u64) {
        let place = self.files.insert(UnderWay { token, buffer: None, _file: Rc::clone(file) });
        let flags = io_uring::types::FsyncFlags::DATASYNC;
        let entry = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(flags).build();
        // SAFETY: the entry points to nothing.
        unsafe { self.ring.push(&entry.user_data(Tag::new(Op::File, place, 0).pack())) };
    }
}

/// Opens a file that is there for [`Io::write_file`]: past the page cache, where the file system can do that.
///
/// # Errors
/// What the system says.
pub fn open_direct(path: &Path) -> io::Result<OwnedFd> {
    let open = |flags: i32| OpenOptions::new().write(true).custom_flags(flags | libc::O_CLOEXEC).open(path);
    match open(libc::O_DIRECT) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open(0).map(OwnedFd::from),
        file => file.map(OwnedFd::from),
    }
}
