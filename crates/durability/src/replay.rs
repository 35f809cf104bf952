//! The records of one log, up to where recovery cut it, in order.

use pinyon_base::ShardId;

use crate::disk::Disk;
use crate::error::RecoveryError;
use crate::frame::Look;
use crate::ids::{Lsn, RunId, ServerId};
use crate::names::SegmentName;
use crate::record::{Assembler, Record};
use crate::recovery::PlannedLog;
use crate::scan::SegmentBytes;

/// A walk over the records of one log. Logs of one run may be walked at once, runs one after the other.
pub struct Replay<'a, D> {
    disk: &'a D,
    server: ServerId,
    run: RunId,
    shard: ShardId,
    end: Lsn,
    segment: u64,
    bytes: Option<SegmentBytes>,
    offset: u64,
    records: Assembler,
    frame: u64,
}

impl<'a, D: Disk> Replay<'a, D> {
    pub fn new(disk: &'a D, server: ServerId, run: RunId, log: &PlannedLog) -> Replay<'a, D> {
        Replay {
            disk,
            server,
            run,
            shard: log.shard,
            end: log.end,
            segment: log.start.segment,
            bytes: None,
            offset: 0,
            records: Assembler::new(log.start.lsn),
            frame: log.start.frame,
        }
    }

    /// The next record; `None` behind the last.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, RecoveryError> {
        loop {
            if self.records.next_lsn() > self.end {
                return Ok(None);
            }
            if self.records.is_ready().map_err(|error| self.malformed(error.why))? {
                let (file, offset) = (self.name().path(), self.offset);
                return self.records.next_record().map_err(|error| RecoveryError::Malformed {
                    file,
                    offset,
                    why: error.why,
                });
            }
            self.next_frame()?;
        }
    }

    fn name(&self) -> SegmentName {
        SegmentName { run: self.run, shard: self.shard, segment: self.segment }
    }

    fn malformed(&self, why: &'static str) -> RecoveryError {
        RecoveryError::Malformed { file: self.name().path(), offset: self.offset, why }
    }

    /// Takes the next frame's records in, from the next segment if this one has no more.
    fn next_frame(&mut self) -> Result<(), RecoveryError> {
        if self.bytes.is_none() {
            let bytes = SegmentBytes::read(self.disk, self.name(), self.server)?;
            self.offset = u64::from(bytes.header.align);
            self.bytes = Some(bytes);
        }
        let Some(segment) = &self.bytes else { return Ok(()) };
        let why = match segment.look(self.offset) {
            Look::Frame(header) if header.number == self.frame => {
                let payload = header.payload(segment.frame(self.offset, &header));
                let payload = payload.ok_or_else(|| self.malformed("it cannot be unpacked"))?;
                if let Err(error) = self.records.push(&header, &payload) {
                    return Err(self.malformed(error.why));
                }
                self.offset += header.extent(segment.header.align);
                self.frame += 1;
                return Ok(());
            }
            Look::Frame(_) => "a frame follows that does not belong here",
            Look::Broken(why) => why,
            Look::Nothing => "the log ends",
        };
        if self.offset == u64::from(segment.header.align) {
            // Not even the first: it was there when the segment was scanned.
            let (file, offset, shard, lsn) = (self.name().path(), self.offset, self.shard, self.records.next_lsn());
            let evidence = "it was there when the log was scanned".to_owned();
            return Err(RecoveryError::LogDamaged { file, offset, why, shard, lsn, evidence });
        }
        self.segment += 1;
        self.bytes = None;
        Ok(())
    }
}
