//! One segment, verified: which frames it holds, what they say, and where they end. Segments are scanned each by itself, on
//! as many cores as there are; [`crate::history`] puts them together.

use crate::disk::{Disk, read_file};
use crate::error::RecoveryError;
use crate::frame::{self, FrameHeader, Look, flag};
use crate::ids::{Epoch, LogId, Lsn, ServerId};
use crate::names::SegmentName;
use crate::segment::SegmentHeader;

/// Where an epoch ends in a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub epoch: Epoch,
    /// The seal's own.
    pub lsn: Lsn,
    pub segment: u64,
    /// The frame that it ends.
    pub number: u64,
    /// Unix milliseconds of that frame.
    pub time: u64,
}

/// What a segment was found to hold.
#[derive(Clone, Debug)]
pub struct SegmentScan {
    pub header: SegmentHeader,
    /// The first and the last frame of those that follow one another from its beginning.
    pub first: Option<FrameHeader>,
    pub last: Option<FrameHeader>,
    /// Where they end, and what is wrong there if it is not simply the end.
    pub end: u64,
    pub end_why: Option<&'static str>,
    pub seals: Vec<Sealed>,
    /// Whole frames of this segment behind that end.
    pub beyond: u64,
    /// The highest that any of its frames says.
    pub durable: u64,
    pub durable_epoch: Epoch,
    pub epoch: Epoch,
}

impl SegmentScan {
    fn note(&mut self, header: &FrameHeader) {
        self.durable = self.durable.max(header.durable);
        self.durable_epoch = self.durable_epoch.max(header.durable_epoch);
        self.epoch = self.epoch.max(header.epoch);
    }

    /// Frames that follow one another from its beginning.
    pub fn frames(&self) -> u64 {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) => last.number + 1 - first.number,
            _ => 0,
        }
    }
}

/// A segment's bytes, its header checked.
pub struct SegmentBytes {
    pub header: SegmentHeader,
    pub bytes: Vec<u8>,
}

impl SegmentBytes {
    pub fn read(disk: &dyn Disk, name: SegmentName, server: ServerId) -> Result<SegmentBytes, RecoveryError> {
        let bytes = read_file(disk, &name.path())?;
        let header = SegmentHeader::check(&bytes, name, server)?;
        Ok(SegmentBytes { header, bytes })
    }

    fn log(&self) -> &LogId {
        &self.header.log
    }

    pub fn look(&self, at: u64) -> Look {
        let rest = self.bytes.get(at as usize..).unwrap_or_default();
        frame::look(rest, self.log(), self.header.segment, self.header.align)
    }

    pub fn frame(&self, at: u64, header: &FrameHeader) -> &[u8] {
        &self.bytes[at as usize..(at + header.extent(self.header.align)) as usize]
    }
}

/// Reads a segment of the store `server` and verifies every frame in it.
pub fn scan_segment(disk: &dyn Disk, name: SegmentName, server: ServerId) -> Result<SegmentScan, RecoveryError> {
    let segment = SegmentBytes::read(disk, name, server)?;
    let align = segment.header.align;
    let mut scan = SegmentScan {
        header: segment.header,
        first: None,
        last: None,
        end: u64::from(align),
        end_why: None,
        seals: Vec::new(),
        beyond: 0,
        durable: 0,
        durable_epoch: Epoch(0),
        epoch: Epoch(0),
    };
    loop {
        match segment.look(scan.end) {
            Look::Frame(header) if follows(&header, scan.last.as_ref()) => {
                scan.note(&header);
                if header.has(flag::SEAL) {
                    let (epoch, lsn, number, time) = (header.epoch, header.last_complete(), header.number, header.time);
                    scan.seals.push(Sealed { epoch, lsn, segment: name.segment, number, time });
                }
                scan.first.get_or_insert(header);
                scan.last = Some(header);
                scan.end += header.extent(align);
            }
            Look::Frame(_) => {
                scan.end_why = Some("a frame follows that does not belong here");
                break;
            }
            Look::Broken(why) => {
                scan.end_why = Some(why);
                break;
            }
            Look::Nothing => break,
        }
    }
    let mut at = scan.end;
    while let Some(rest) = segment.bytes.get(at as usize..).filter(|rest| !rest.is_empty()) {
        let Some(header) = frame::find(rest, segment.log(), name.segment, align) else {
            at += u64::from(align);
            continue;
        };
        scan.note(&header);
        scan.beyond += 1;
        at += header.extent(align);
    }
    Ok(scan)
}

fn follows(header: &FrameHeader, last: Option<&FrameHeader>) -> bool {
    last.is_none_or(|last| header.number == last.number + 1 && header.first_lsn == last.next_lsn())
}
