//! The manifest: what belongs to the store. Text, as FORMAT.md lists it; replaced as a whole or not at all.

use std::fmt::Write as _;

use pinyon_base::ShardId;

use crate::bytes::crc64;
use crate::disk::{Disk, DiskError, read_file};
use crate::error::RecoveryError;
use crate::ids::{Epoch, Lsn, RunId, ServerId, SnapshotId};
use crate::log::LogStart;
use crate::names::{self, MANIFEST, MANIFEST_NEW, SegmentName};

pub const VERSION: u32 = 1;
const FIRST_WORD: &str = "pinyon-manifest";
const CRC_LINE_BYTES: usize = "crc64 0123456789abcdef\n".len();

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub server: ServerId,
    /// Counts the manifests of this store.
    pub generation: u64,
    /// The last run there was; runs without records are not named, but their numbers are not used again.
    pub last_run: RunId,
    pub snapshot: Option<SnapshotRef>,
    /// In the order in which they are replayed; only the last may be open.
    pub runs: Vec<RunRef>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRef {
    pub id: SnapshotId,
    /// It holds this epoch and all before it.
    pub epoch: Epoch,
    /// Unix milliseconds of its cut.
    pub time: u64,
    /// One per shard.
    pub files: Vec<SnapshotFileRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFileRef {
    pub bytes: u64,
    pub entries: u64,
    pub crc: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRef {
    pub run: RunId,
    /// The logs hold what came after this epoch.
    pub base_epoch: Epoch,
    /// One per shard.
    pub logs: Vec<LogRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRef {
    pub start: LogStart,
    /// The segment in which it ends, and its last record; none while the run is open.
    pub end: Option<(u64, Lsn)>,
}

impl RunRef {
    pub fn is_open(&self) -> bool {
        self.logs.iter().any(|log| log.end.is_none())
    }

    /// Its logs have ended: by shard, the last segment and record.
    pub fn end(&mut self, ends: &[(u64, Lsn)]) {
        for (log, end) in self.logs.iter_mut().zip(ends) {
            log.end = Some(*end);
        }
    }

    /// Whether `name`, which is of this run, holds something of it.
    pub fn names(&self, name: SegmentName) -> bool {
        self.logs.get(usize::from(name.shard.0)).is_some_and(|log| {
            name.segment >= log.start.segment && log.end.is_none_or(|(last, _)| name.segment <= last)
        })
    }
}

impl Manifest {
    /// Of a store that is empty.
    pub fn fresh(server: ServerId) -> Manifest {
        Manifest { server, generation: 1, last_run: RunId(0), snapshot: None, runs: Vec::new() }
    }

    pub fn write(&self) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap_or_default();
        line(format_args!("{FIRST_WORD} {VERSION}"));
        line(format_args!("server {}", self.server));
        line(format_args!("generation {}", self.generation));
        line(format_args!("last-run {}", self.last_run.0));
        if let Some(SnapshotRef { id, epoch, time, files }) = &self.snapshot {
            line(format_args!("snapshot {} epoch {} time {time} shards {}", id.0, epoch.0, files.len()));
            for (shard, SnapshotFileRef { bytes, entries, crc }) in files.iter().enumerate() {
                line(format_args!("file {shard} bytes {bytes} entries {entries} crc {crc:016x}"));
            }
        }
        for run in &self.runs {
            let state = if run.is_open() { "open" } else { "closed" };
            let (number, shards, base) = (run.run.0, run.logs.len(), run.base_epoch.0);
            line(format_args!("run {number} shards {shards} base-epoch {base} {state}"));
            for (shard, LogRef { start, end }) in run.logs.iter().enumerate() {
                let begin = format!("log {shard} segment {} frame {} lsn {}", start.segment, start.frame, start.lsn.0);
                match end {
                    None => line(format_args!("{begin}")),
                    Some((segment, lsn)) => line(format_args!("{begin} end-segment {segment} end-lsn {}", lsn.0)),
                }
            }
        }
        let crc = crc64(text.as_bytes());
        writeln!(text, "crc64 {crc:016x}").unwrap_or_default();
        text
    }

    pub fn read(bytes: &[u8]) -> Result<Manifest, RecoveryError> {
        let damaged = |offset, why| RecoveryError::ManifestDamaged { offset, why };
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = std::str::from_utf8(first).map_err(|_| damaged(0, "not a manifest"))?;
        let version = first.strip_prefix(FIRST_WORD).and_then(|rest| names::number::<u32>(rest.strip_prefix(' ')?));
        let version = version.ok_or_else(|| damaged(0, "not a manifest"))?;
        if version > VERSION {
            return Err(RecoveryError::FromTheFuture { file: MANIFEST.to_owned(), version, newest: VERSION });
        }
        let body = bytes.len().checked_sub(CRC_LINE_BYTES).ok_or_else(|| damaged(bytes.len(), "it ends early"))?;
        let (body, last) = bytes.split_at(body);
        if last != format!("crc64 {:016x}\n", crc64(body)).as_bytes() {
            return Err(damaged(body.len(), "its CRC does not match"));
        }
        let text = std::str::from_utf8(body).map_err(|error| damaged(error.valid_up_to(), "not text"))?;
        let mut reader = Reader { rest: text, offset: 0 };
        reader.manifest().ok_or_else(|| damaged(reader.offset, "a line that is not understood"))
    }

    /// The manifest of the store, if there is one.
    pub fn load(disk: &dyn Disk) -> Result<Option<Manifest>, RecoveryError> {
        match disk.length(MANIFEST)? {
            None => Ok(None),
            Some(_) => Manifest::read(&read_file(disk, MANIFEST)?).map(Some),
        }
    }

    /// Puts this one in the place of the one there is. When it returns, this is the one; after an error, either may be.
    pub fn install(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        disk.create(MANIFEST_NEW)?;
        disk.write(MANIFEST_NEW, 0, self.write().as_bytes())?;
        disk.sync(MANIFEST_NEW)?;
        disk.rename(MANIFEST_NEW, MANIFEST)?;
        disk.sync_folder("")
    }

    /// The manifest that follows this one when a snapshot is complete: `starts` says for each shard of the open run where
    /// its log went on after the snapshot's cut.
    pub fn with_snapshot(&self, snapshot: SnapshotRef, starts: Option<&[LogStart]>) -> Manifest {
        let run = starts.map(|starts| RunRef {
            run: self.last_run,
            base_epoch: snapshot.epoch,
            logs: starts.iter().map(|start| LogRef { start: *start, end: None }).collect(),
        });
        self.with_snapshot_and_run(snapshot, run)
    }

    /// As [`Manifest::with_snapshot`], with the run whose logs go on from the snapshot's cut, which need not be open any more.
    pub fn with_snapshot_and_run(&self, snapshot: SnapshotRef, run: Option<RunRef>) -> Manifest {
        let generation = self.generation + 1;
        Manifest { generation, snapshot: Some(snapshot), runs: run.into_iter().collect(), ..self.clone() }
    }

    /// The manifest that follows when the logs of the last run have ended in order: by shard, the last segment and record.
    pub fn with_ends(&self, ends: &[(u64, Lsn)]) -> Manifest {
        let mut manifest = Manifest { generation: self.generation + 1, ..self.clone() };
        if let Some(run) = manifest.runs.last_mut().filter(|run| run.run == self.last_run && run.is_open()) {
            run.end(ends);
        }
        manifest
    }
}

/// The lines of a manifest, from the front. `None` where they are not as they must be.
struct Reader<'a> {
    rest: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    /// The words of the next line, which begins with `word` and has so many words behind it.
    fn line<const N: usize>(&mut self, word: &str) -> Option<[&'a str; N]> {
        let (line, rest) = self.rest.split_once('\n')?;
        let mut words = line.split(' ');
        let fits = words.next() == Some(word);
        let words: Vec<&str> = words.collect();
        let words = fits.then(|| words.try_into().ok())??;
        self.offset += line.len() + 1;
        self.rest = rest;
        Some(words)
    }

    fn next_is(&self, word: &str) -> bool {
        self.rest.split([' ', '\n']).next() == Some(word)
    }

    fn manifest(&mut self) -> Option<Manifest> {
        let [_version] = self.line(FIRST_WORD)?;
        let [server] = self.line("server")?;
        let [generation] = self.line("generation")?;
        let [last_run] = self.line("last-run")?;
        let snapshot = if self.next_is("snapshot") { Some(self.snapshot()?) } else { None };
        let mut runs = Vec::new();
        while self.next_is("run") {
            runs.push(self.run()?);
        }
        let ascending = runs.is_sorted_by(|a: &RunRef, b| a.run < b.run && !a.is_open());
        let last_run = RunId(names::number(last_run)?);
        let known = runs.last().is_none_or(|run| run.run <= last_run);
        (self.rest.is_empty() && ascending && known).then_some(Manifest {
            server: ServerId(hex(server)?),
            generation: names::number(generation)?,
            last_run,
            snapshot,
            runs,
        })
    }

    fn snapshot(&mut self) -> Option<SnapshotRef> {
        let [id, "epoch", epoch, "time", time, "shards", shards] = self.line("snapshot")? else { return None };
        let mut files = Vec::new();
        for expected in 0..names::number::<u16>(shards)? {
            let [shard, "bytes", bytes, "entries", entries, "crc", crc] = self.line("file")? else { return None };
            (names::number::<u16>(shard)? == expected).then_some(())?;
            files.push(SnapshotFileRef {
                bytes: names::number(bytes)?,
                entries: names::number(entries)?,
                crc: hex(crc)?,
            });
        }
        let (id, epoch) = (SnapshotId(names::number(id)?), Epoch(names::number(epoch)?));
        Some(SnapshotRef { id, epoch, time: names::number(time)?, files })
    }

    fn run(&mut self) -> Option<RunRef> {
        let [run, "shards", shards, "base-epoch", base_epoch, state] = self.line("run")? else { return None };
        let mut logs = Vec::new();
        for expected in 0..names::number::<u16>(shards)? {
            logs.push(self.log(ShardId(expected), state)?);
        }
        Some(RunRef { run: RunId(names::number(run)?), base_epoch: Epoch(names::number(base_epoch)?), logs })
    }

    fn log(&mut self, expected: ShardId, state: &str) -> Option<LogRef> {
        let (words, end) = match state {
            "open" => (self.line::<7>("log")?, None),
            "closed" => {
                let [shard, a, segment, b, frame, c, lsn, "end-segment", last, "end-lsn", end] = self.line("log")?
                else {
                    return None;
                };
                ([shard, a, segment, b, frame, c, lsn], Some((names::number(last)?, Lsn(names::number(end)?))))
            }
            _ => return None,
        };
        let [shard, "segment", segment, "frame", frame, "lsn", lsn] = words else { return None };
        (names::number::<u16>(shard)? == expected.0).then_some(())?;
        let start =
            LogStart { segment: names::number(segment)?, frame: names::number(frame)?, lsn: Lsn(names::number(lsn)?) };
        (start.frame > 0 && start.lsn.0 > 0).then_some(LogRef { start, end })
    }
}

fn hex(text: &str) -> Option<u64> {
    let value = u64::from_str_radix(text, 16).ok()?;
    (format!("{value:016x}") == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        let start = LogStart { segment: 3, frame: 40, lsn: Lsn(1000) };
        let closed = LogRef { start, end: Some((5, Lsn(1900))) };
        Manifest {
            server: ServerId(0xfeed),
            generation: 12,
            last_run: RunId(9),
            snapshot: Some(SnapshotRef {
                id: SnapshotId(4),
                epoch: Epoch(812),
                time: 1_700_000_000_000,
                files: vec![SnapshotFileRef { bytes: 4096, entries: 17, crc: 0xabc }; 3],
            }),
            runs: vec![
                RunRef { run: RunId(7), base_epoch: Epoch(812), logs: vec![closed; 2] },
                RunRef {
                    run: RunId(8),
                    base_epoch: Epoch(990),
                    logs: vec![LogRef { start: LogStart::FRESH, end: None }],
                },
            ],
        }
    }

    #[test]
    fn a_manifest_comes_back() {
        for manifest in [manifest(), Manifest::fresh(ServerId(1))] {
            assert_eq!(Manifest::read(manifest.write().as_bytes()).expect("in order"), manifest);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let text = manifest().write().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::read(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..text.len() {
            assert!(Manifest::read(&text[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_manifest_of_the_future_is_told_from_a_damaged_one() {
        let text = manifest().write().replace("pinyon-manifest 1", "pinyon-manifest 2");
        assert!(matches!(Manifest::read(text.as_bytes()), Err(RecoveryError::FromTheFuture { version: 2, .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(lines in "(pinyon-manifest 1\n)?([a-z0-9 -]{0,30}\n){0,6}") {
            let _ = Manifest::read(lines.as_bytes());
            let whole = format!("{lines}crc64 {:016x}\n", crc64(lines.as_bytes()));
            let _ = Manifest::read(whole.as_bytes());
        }
    }
}
