//! Writes and syncs of files as operations of the core's own ring: what a log needs, and nothing else about files.
//!
//! The buffer of a write and the descriptor of its file are kept here until the kernel is done with both, so neither can go
//! too early, whatever the program does. What is still under way when the core ends stays allocated for ever: the kernel may
//! be reading it.

use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
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

    /// The kernel has none.
    pub fn is_idle(&self) -> bool {
        self.places.len() == self.free.len()
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

/// Opens a file that is there for [`Io::write_file`]: past the page cache, where the file system can do that. What the cache
/// still holds of it, it gives up, unless it is not yet on the disk: a write past pages in the cache cannot be made without
/// waiting, and the kernel would hand it to a thread of its own.
///
/// # Errors
/// What the system says.
pub fn open_direct(path: &Path) -> io::Result<OwnedFd> {
    let open = |flags: i32| OpenOptions::new().write(true).custom_flags(flags | libc::O_CLOEXEC).open(path);
    match open(libc::O_DIRECT) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open(0).map(OwnedFd::from),
        Err(error) => Err(error),
        Ok(file) => {
            // SAFETY: plain call on a descriptor that is open.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            Ok(file.into())
        }
    }
}

/// Makes a file of `bytes` zeros, or empties the one that is there, by reserving its blocks: nothing is written, but the file
/// system notes at each first write that the block is in use now. Where it cannot reserve, as [`fill_direct`].
///
/// # Errors
/// What the system says.
pub fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(libc::O_CLOEXEC).open(path)?;
    let length = libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: plain call on an open file.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => fill_direct(path, bytes),
        _ => Err(error),
    }
}

/// Makes a file of `bytes` zeros, or empties the one that is there: past the page cache, where the file system can do that, so
/// that it costs the cpu nearly nothing. It blocks; what it writes is not yet durable.
///
/// # Errors
/// What the system says.
pub fn fill_direct(path: &Path, bytes: u64) -> io::Result<()> {
    const PIECE: u64 = 1 << 20;
    const ALIGN: u32 = 4096;
    let open = |flags: i32| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(flags | libc::O_CLOEXEC).open(path)
    };
    let file = match open(if bytes.is_multiple_of(u64::from(ALIGN)) { libc::O_DIRECT } else { 0 }) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => open(0)?,
        file => file?,
    };
    let zeros = AlignedBuffer::new(PIECE.min(bytes) as usize, ALIGN);
    for at in (0..bytes).step_by(PIECE as usize) {
        file.write_all_at(&zeros[..PIECE.min(bytes - at) as usize], at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_filled_to_its_length() {
        let path = std::env::temp_dir().join(format!("pinyon-fill-{}", std::process::id()));
        for bytes in [3 << 20, 4096, 5 << 10, (1 << 20) + 512] {
            fill_direct(&path, bytes).expect("filled");
            let found = std::fs::read(&path).expect("it is there");
            assert!(found.len() as u64 == bytes && found.iter().all(|byte| *byte == 0), "{bytes}");
            std::fs::write(&path, b"what was there").expect("written");
            reserve(&path, bytes).expect("reserved");
            assert!(std::fs::read(&path).expect("it is there") == found, "{bytes}");
        }
        assert!(reserve(Path::new("/nowhere/at/all"), 4096).is_err());
        std::fs::remove_file(&path).expect("it is ours");
        assert!(fill_direct(Path::new("/nowhere/at/all"), 4096).is_err());
    }
}
