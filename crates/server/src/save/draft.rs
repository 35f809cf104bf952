//! A shard's snapshot file while it is written, by the core's storage executor: compressed blocks go past the page cache, several
//! writes of a MiB under way. So packing and the disk overlap, and no burst of dirty pages meets the log's syncs.

use std::io;
use std::path::PathBuf;

use pinyon_durability::manifest::SnapshotFileRef;
use pinyon_durability::snapshot::{SnapshotHeader, SnapshotWriter};
use pinyon_durability::{DiskError, StdDisk, std_disk};
use pinyon_engine::keyspace::{Batch, Piece};
use pinyon_runtime::storage::{Files, Pending, StreamId};

use crate::config::Config;
use crate::core::{Io, Mail};

/// Bytes in a block before compression.
const BLOCK_BYTES: usize = 128 << 10;

/// See the file's head. Whoever wants it no more calls [`Draft::abandon`].
pub(super) struct Draft {
    stream: StreamId,
    /// In the store's folder, for errors.
    name: String,
    path: PathBuf,
    is_open: bool,
    writer: SnapshotWriter,
}

/// How far a file is.
pub(super) enum Written {
    Part(Box<Draft>),
    Whole(SnapshotFileRef),
}

/// What comes of a write; after an error the file is closed.
type Outcome = Pending<Result<Written, DiskError>>;

impl Draft {
    /// `config` says whether its blocks are compressed and have checksums.
    pub fn new(header: SnapshotHeader, disk: &StdDisk, name: String, config: &Config) -> Draft {
        let writer = SnapshotWriter::new(header, BLOCK_BYTES, config.rdbcompression);
        let writer = writer.with_checksums(config.rdbchecksum);
        // A core writes one snapshot at a time.
        let stream = StreamId(header.id.0);
        Draft { stream, path: disk.path(&name), name, is_open: false, writer }
    }

    /// Packs a batch and writes what blocks it fills; there is room for more when it is answered.
    pub fn write(mut self: Box<Draft>, files: &Files, batch: &Batch) -> Outcome {
        let opened = self.open(files);
        let mut blocks = Vec::new();
        batch.pieces(&mut |piece| {
            match piece {
                Piece::Entry => self.writer.entry(),
                Piece::Bytes(bytes) => self.writer.piece(bytes),
            }
            while let Some(block) = self.writer.take() {
                blocks.push(block);
            }
        });
        let (files, stream) = (files.clone(), self.stream);
        let written = opened.and({
            let files = files.clone();
            move |opened| and_append(&files, stream, opened, &blocks)
        });
        ended(files, stream, self.name.clone(), "write", written, move |()| Written::Part(self))
    }

    /// Writes the rest, and makes the file durable but for its name.
    pub fn finish(mut self: Box<Draft>, files: &Files) -> Outcome {
        let opened = self.open(files);
        let Draft { stream, name, writer, .. } = *self;
        let (blocks, done) = writer.finish();
        let files = files.clone();
        let written = opened.and({
            let files = files.clone();
            move |opened| and_append(&files, stream, opened, &blocks)
        });
        let finished = written.and({
            let files = files.clone();
            move |written| match written {
                Ok(()) => files.finish(stream),
                Err(error) => Pending::ready(Err(error)),
            }
        });
        ended(files, stream, name, "sync", finished, move |_| Written::Whole(done))
    }

    /// Nobody wants it any more.
    pub fn abandon(self: Box<Draft>, io: &mut Io) {
        let stream = self.stream;
        io.store(move |files: &Files| files.abandon(stream).then(|()| Mail::Errand(Box::new(|_, _| {}))));
    }

    fn open(&mut self, files: &Files) -> Pending<io::Result<()>> {
        if std::mem::replace(&mut self.is_open, true) {
            return Pending::ready(Ok(()));
        }
        files.create(self.stream, self.path.clone())
    }
}

/// Appends the blocks to a stream that is open.
fn and_append(files: &Files, stream: StreamId, opened: io::Result<()>, blocks: &[Vec<u8>]) -> Pending<io::Result<()>> {
    let failed = opened.is_err();
    let mut last = Pending::ready(opened);
    if !failed {
        for block in blocks {
            last = files.append(stream, block);
        }
    }
    last
}

/// In the end the stream is closed, unless all went well; the error names the file.
fn ended<T: 'static>(
    files: Files,
    stream: StreamId,
    name: String,
    operation: &'static str,
    outcome: Pending<io::Result<T>>,
    then: impl FnOnce(T) -> Written + 'static,
) -> Outcome {
    outcome.and(move |outcome| match outcome {
        Ok(value) => Pending::ready(Ok(then(value))),
        Err(error) => {
            let error = DiskError { operation, path: name, trouble: std_disk::trouble(error) };
            files.abandon(stream).and(|()| Pending::ready(Err(error)))
        }
    })
}
