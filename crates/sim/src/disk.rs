//! A disk that loses what a disk may lose.
//!
//! On a **power cut**, of what was written since the last sync of its file, any subset of the 512-byte sectors stays, a
//! sector may be torn in the middle, and a file that grew has any length between the synced and the last one. Of what was done
//! to the names of a folder since its last sync, any subset stays in its order (a rename without its source is left out).
//! Writes that were submitted and have not ended are as any that are not synced. A **kill** keeps all that was written, and of what
//! was submitted any subset of sectors. The system survives both because it calls nothing durable before the sync that
//! says so, checks what it reads, and changes what counts by one rename.
//!
//! A **full disk** refuses to let files grow until there is room. An **I/O error** of a write may have written anything; one
//! of a sync leaves any subset unwritten for good, whatever later syncs say. The system survives it because it never syncs
//! such a file again. A **read error** comes once. **Flipped bits** come to files at rest; they have to be noticed.
//!
//! The fuse counts operations of the bulk face and cuts the power in the middle of one.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use pinyon_durability::{Disk, DiskError, Trouble};

use crate::rng::Rng;

const SECTOR: usize = 512;

/// A write that is not durable.
#[derive(Clone)]
struct Pending {
    id: u64,
    offset: usize,
    bytes: Vec<u8>,
    /// It has ended; a sync begun now covers it.
    ended: bool,
    /// Syncs that cover it and have not ended.
    covered_by: Option<u64>,
}

#[derive(Clone, Default)]
struct Inode {
    /// What is there after a power cut, at least.
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Copy, PartialEq)]
enum Entry {
    File(usize),
    Folder,
}

#[derive(Clone)]
enum NameOp {
    Put(String, Entry),
    Remove(String),
    /// Of this entry: a file that had the name before does not go in its place.
    Rename(String, String, Entry),
}

#[derive(Clone, Default)]
struct Folder {
    synced: BTreeMap<String, Entry>,
    now: BTreeMap<String, Entry>,
    ops: Vec<NameOp>,
}

#[derive(Clone)]
struct State {
    rng: Rng,
    inodes: Vec<Inode>,
    folders: BTreeMap<String, Folder>,
    next_id: u64,
    off: bool,
    fuse: Option<u64>,
    /// Bytes that files may have together.
    room: u64,
    /// Reads until one fails.
    read_error_in: Option<u64>,
}

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    PowerCut,
    Kill,
}

/// The disk; its clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<State>>);

/// A write or a sync that was submitted.
#[derive(Clone, Copy, Debug)]
pub struct Submitted {
    inode: usize,
    id: u64,
}

impl SimDisk {
    pub fn new(rng: Rng) -> SimDisk {
        let folders = BTreeMap::from([(String::new(), Folder::default())]);
        let state = State {
            rng,
            inodes: Vec::new(),
            folders,
            next_id: 0,
            off: false,
            fuse: None,
            room: u64::MAX,
            read_error_in: None,
        };
        SimDisk(Rc::new(RefCell::new(state)))
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Another disk with the same bytes on it.
    pub fn copy(&self) -> SimDisk {
        SimDisk(Rc::new(RefCell::new(self.state().clone())))
    }

    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Cuts the power after so many operations.
    pub fn set_fuse(&self, operations: Option<u64>) {
        self.state().fuse = operations;
    }

    /// From now on files may grow by so much together.
    pub fn set_room(&self, more: Option<u64>) {
        let mut state = self.state();
        let used = state.used();
        state.room = more.map_or(u64::MAX, |more| used + more);
    }

    pub fn is_full(&self) -> bool {
        let state = self.state();
        state.used() >= state.room
    }

    /// After so many reads one fails.
    pub fn fail_read_in(&self, reads: Option<u64>) {
        self.state().read_error_in = reads;
    }

    // ------------------------------------------------------------------------------------------------- the log's face

    /// A write is on its way: any part of it may be on the disk from now on.
    pub fn submit_write(&self, path: &str, offset: u64, bytes: &[u8]) -> Submitted {
        let mut state = self.state();
        let inode = state.inode(path).expect("a prepared segment");
        let id = state.id();
        let pending = Pending { id, offset: offset as usize, bytes: bytes.to_vec(), ended: false, covered_by: None };
        state.inodes[inode].pending.push(pending);
        Submitted { inode, id }
    }

    /// It has ended; `sync`: and is durable.
    pub fn end_write(&self, write: Submitted, sync: bool) {
        let mut state = self.state();
        let inode = &mut state.inodes[write.inode];
        let at = inode.pending.iter().position(|pending| pending.id == write.id).expect("a write under way");
        let Inode { synced, now, pending } = inode;
        put(now, pending[at].offset, &pending[at].bytes);
        if sync {
            put(synced, pending[at].offset, &pending[at].bytes);
            pending.remove(at);
        } else {
            pending[at].ended = true;
        }
    }

    /// It has ended with an error: any part of it may have been written.
    pub fn fail_write(&self, write: Submitted) {
        let mut state = self.state();
        let mut rng = state.rng.fork();
        let inode = &mut state.inodes[write.inode];
        let at = inode.pending.iter().position(|pending| pending.id == write.id).expect("a write under way");
        let pending = inode.pending.remove(at);
        keep_sectors(&mut inode.synced, &pending, 500, &mut rng.clone());
        keep_sectors(&mut inode.now, &pending, 500, &mut rng);
    }

    /// A sync of a file begins: it covers the writes that have ended.
    pub fn submit_sync(&self, path: &str) -> Submitted {
        let mut state = self.state();
        let inode = state.inode(path).expect("a prepared segment");
        let id = state.id();
        let covered = state.inodes[inode].pending.iter_mut().filter(|pending| pending.ended);
        covered.for_each(|pending| pending.covered_by = Some(id));
        Submitted { inode, id }
    }

    pub fn end_sync(&self, sync: Submitted) {
        let mut state = self.state();
        let Inode { synced, pending, .. } = &mut state.inodes[sync.inode];
        pending.retain(|pending| {
            let covered = pending.covered_by == Some(sync.id);
            if covered {
                put(synced, pending.offset, &pending.bytes);
            }
            !covered
        });
    }

    /// It has ended with an error: of what it covered, some will never be written.
    pub fn fail_sync(&self, sync: Submitted) {
        let mut state = self.state();
        let mut rng = state.rng.fork();
        let kept = |pending: &Pending| pending.covered_by != Some(sync.id) || rng.permille(500);
        state.inodes[sync.inode].pending.retain(kept);
    }

    // ---------------------------------------------------------------------------------------------------- how it ends

    /// What is on the disk afterwards. The machine is on again.
    pub fn crash(&self, how: Crash) {
        let mut state = self.state();
        let state = &mut *state;
        let mut rng = state.rng.fork();
        // A machine's cache is flushed now and then as a whole, so extremes are as likely as mixtures.
        let kept = *rng.pick(&[0, 100, 500, 900, 1000]);
        for inode in &mut state.inodes {
            let grown = inode.now.len();
            let mut after = if how == Crash::Kill { inode.now.clone() } else { inode.synced.clone() };
            let synced = after.len();
            for pending in &inode.pending {
                if how == Crash::PowerCut || !pending.ended {
                    keep_sectors(&mut after, pending, kept, &mut rng);
                }
            }
            if how == Crash::PowerCut && grown > synced {
                let between = synced + rng.index(grown - synced + 1);
                let length = *rng.pick(&[synced, grown, between]);
                after.resize(length, 0);
            }
            *inode = Inode { synced: after.clone(), now: after, pending: Vec::new() };
        }
        for folder in state.folders.values_mut() {
            let ops = std::mem::take(&mut folder.ops);
            if how == Crash::PowerCut {
                folder.now = folder.synced.clone();
                let prefix = rng.permille(400).then(|| rng.index(ops.len() + 1));
                for (i, op) in ops.into_iter().enumerate() {
                    let keep = prefix.map_or_else(|| rng.permille(kept), |prefix| i < prefix);
                    if keep {
                        apply(&mut folder.now, &op);
                    }
                }
            }
            folder.synced = folder.now.clone();
        }
        let root = state.folders[""].now.clone();
        state.folders.retain(|name, _| name.is_empty() || root.get(name) == Some(&Entry::Folder));
        for name in root.iter().filter(|(_, entry)| **entry == Entry::Folder).map(|(name, _)| name) {
            state.folders.entry(name.clone()).or_default();
        }
        (state.off, state.fuse, state.room, state.read_error_in) = (false, None, u64::MAX, None);
    }

    // -------------------------------------------------------------------------------------------------- what breaks it

    /// All files with their lengths.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let mut files = Vec::new();
        for (folder, content) in &state.folders {
            for (name, entry) in &content.now {
                if let Entry::File(inode) = entry {
                    let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                    files.push((path, state.inodes[*inode].now.len() as u64));
                }
            }
        }
        files
    }

    /// Flips a bit of a file at rest.
    pub fn flip(&self, path: &str, bit: u64) {
        let mut state = self.state();
        let inode = state.inode(path).expect("a file");
        let inode = &mut state.inodes[inode];
        for bytes in [&mut inode.now, &mut inode.synced] {
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }

    /// Cuts a file at rest off.
    pub fn truncate(&self, path: &str, bytes: u64) {
        let mut state = self.state();
        let inode = state.inode(path).expect("a file");
        let inode = &mut state.inodes[inode];
        inode.now.truncate(bytes as usize);
        inode.synced.truncate(bytes as usize);
    }
}

impl State {
    fn used(&self) -> u64 {
        let entries = self.folders.values().flat_map(|folder| folder.now.values());
        let bytes = entries.map(|entry| match entry {
            Entry::File(inode) => self.inodes[*inode].now.len() as u64,
            Entry::Folder => 0,
        });
        bytes.sum()
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn inode(&self, path: &str) -> Option<usize> {
        let (folder, name) = split(path);
        match self.folders.get(folder)?.now.get(name)? {
            Entry::File(inode) => Some(*inode),
            Entry::Folder => None,
        }
    }

    fn name(&mut self, folder: &str, op: NameOp) {
        let folder = self.folders.get_mut(folder).expect("a folder");
        apply(&mut folder.now, &op);
        folder.ops.push(op);
    }

    /// One operation has begun. `Err` if there is no power; `Ok(true)` if it goes out in the middle of this one.
    fn begin(&mut self, operation: &'static str, path: &str) -> Result<bool, DiskError> {
        if self.off {
            return Err(failed(operation, path, Trouble::Io(io::Error::other("no power"))));
        }
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.off = true;
                return Ok(true);
            }
            *left -= 1;
        }
        Ok(false)
    }

    /// The end of an operation that was begun.
    fn end(&self, operation: &'static str, path: &str) -> Result<(), DiskError> {
        if self.off { Err(failed(operation, path, Trouble::Io(io::Error::other("no power")))) } else { Ok(()) }
    }
}

fn failed(operation: &'static str, path: &str, trouble: Trouble) -> DiskError {
    DiskError { operation, path: path.to_owned(), trouble }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn apply(names: &mut BTreeMap<String, Entry>, op: &NameOp) {
    match op {
        NameOp::Put(name, entry) => drop(names.insert(name.clone(), *entry)),
        NameOp::Remove(name) => drop(names.remove(name)),
        NameOp::Rename(from, to, entry) => {
            if names.get(from) == Some(entry) {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, what: &[u8]) {
    if bytes.len() < offset + what.len() {
        bytes.resize(offset + what.len(), 0);
    }
    bytes[offset..offset + what.len()].copy_from_slice(what);
}

/// Each sector of a write stays in so many of a thousand cases, some of them only up to their middle.
fn keep_sectors(bytes: &mut Vec<u8>, pending: &Pending, permille: u64, rng: &mut Rng) {
    let end = pending.offset + pending.bytes.len();
    let mut at = pending.offset;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if rng.permille(permille) {
            let kept = if rng.permille(30) { at + rng.index(next - at) } else { next };
            put(bytes, at, &pending.bytes[at - pending.offset..kept - pending.offset]);
        }
        at = next;
    }
}

impl Disk for SimDisk {
    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let mut state = self.state();
        state.begin("list", folder)?;
        state.end("list", folder)?;
        let content = state.folders.get(folder).ok_or_else(|| failed("list", folder, Trouble::NotThere))?;
        Ok(content.now.keys().cloned().collect())
    }

    fn length(&self, path: &str) -> Result<Option<u64>, DiskError> {
        let mut state = self.state();
        state.begin("look at", path)?;
        state.end("look at", path)?;
        Ok(state.inode(path).map(|inode| state.inodes[inode].now.len() as u64))
    }

    fn read(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("read", path)?;
        state.end("read", path)?;
        if let Some(left) = &mut state.read_error_in {
            if *left == 0 {
                state.read_error_in = None;
                return Err(failed("read", path, Trouble::Io(io::Error::other("broken"))));
            }
            *left -= 1;
        }
        let inode = state.inode(path).ok_or_else(|| failed("read", path, Trouble::NotThere))?;
        let bytes = state.inodes[inode].now.get(offset as usize..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(bytes.ok_or_else(|| failed("read", path, Trouble::Short))?);
        Ok(())
    }

    fn create(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("create", path)?;
        if state.used() >= state.room {
            return Err(failed("create", path, Trouble::Full));
        }
        // A new inode also where a file was: its old bytes are still there if the new name is lost.
        state.inodes.push(Inode::default());
        let entry = Entry::File(state.inodes.len() - 1);
        let (folder, name) = split(path);
        state.name(folder, NameOp::Put(name.to_owned(), entry));
        state.end("create", path)
    }

    fn write(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.state();
        let cut = state.begin("write", path)?;
        let inode = state.inode(path).ok_or_else(|| failed("write", path, Trouble::NotThere))?;
        let length = state.inodes[inode].now.len();
        let grows = (offset as usize + bytes.len()).saturating_sub(length) as u64;
        let room = state.room.saturating_sub(state.used());
        let fits = if grows > room { bytes.len() - (grows - room) as usize } else { bytes.len() };
        let fits = if cut { state.rng.index(fits + 1) } else { fits };
        let id = state.id();
        let bytes = &bytes[..fits];
        let file = &mut state.inodes[inode];
        put(&mut file.now, offset as usize, bytes);
        let (offset, bytes) = (offset as usize, bytes.to_vec());
        file.pending.push(Pending { id, offset, bytes, ended: true, covered_by: None });
        state.end("write", path)?;
        if grows > room { Err(failed("write", path, Trouble::Full)) } else { Ok(()) }
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("sync", path)?;
        state.end("sync", path)?;
        let inode = state.inode(path).ok_or_else(|| failed("sync", path, Trouble::NotThere))?;
        let file = &mut state.inodes[inode];
        file.synced = file.now.clone();
        file.pending.clear();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("rename", from)?;
        let ((folder, from_name), (_, to_name)) = (split(from), split(to));
        let inode = state.inode(from).ok_or_else(|| failed("rename", from, Trouble::NotThere))?;
        state.name(folder, NameOp::Rename(from_name.to_owned(), to_name.to_owned(), Entry::File(inode)));
        state.end("rename", from)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("remove", path)?;
        if state.inode(path).is_none() {
            return Err(failed("remove", path, Trouble::NotThere));
        }
        let (folder, name) = split(path);
        state.name(folder, NameOp::Remove(name.to_owned()));
        state.end("remove", path)
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("create folder", path)?;
        if !state.folders[""].now.contains_key(path) {
            state.name("", NameOp::Put(path.to_owned(), Entry::Folder));
            state.folders.insert(path.to_owned(), Folder::default());
        }
        state.end("create folder", path)
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("remove folder", path)?;
        if state.folders.get(path).is_none_or(|folder| !folder.now.is_empty()) {
            return Err(failed("remove folder", path, Trouble::Io(io::Error::other("not an empty folder"))));
        }
        state.name("", NameOp::Remove(path.to_owned()));
        // It stays in `folders` until a crash decides whether it is gone, as the names in it do.
        state.end("remove folder", path)
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.begin("sync folder", folder)?;
        state.end("sync folder", folder)?;
        let content = state.folders.get_mut(folder).ok_or_else(|| failed("sync folder", folder, Trouble::NotThere))?;
        content.synced = content.now.clone();
        content.ops.clear();
        Ok(())
    }
}
