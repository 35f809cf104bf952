//! The sparse encoding: runs of equal registers. It is drawn in the parent.
//!
//! How a run is cut when one of its registers rises, and which runs are joined afterwards, is part of the format: the bytes must
//! come out as Redis's.

use super::{Fault, HEADER_BYTES, REGISTERS};

/// All registers 0.
pub const ALL_ZERO: [u8; 2] = [0x7F, 0xFF];
const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const SHORT_ZERO_MAX: usize = 64;
/// How many runs from the one before the change on are looked at for joining.
const JOIN_RUNS: usize = 5;

/// What became of raising a register.
pub enum Raised {
    Yes,
    WasHigher,
    /// It must be made dense first.
    NoRoom,
}

/// A run of registers.
#[derive(Clone, Copy)]
struct Run {
    /// 0 in runs of zeros.
    value: u8,
    count: usize,
    /// Bytes of the encoding.
    len: usize,
}

impl Run {
    /// The run that is encoded at the beginning of these bytes; `None` when they end in it.
    fn read(bytes: &[u8]) -> Option<Run> {
        let first = *bytes.first()?;
        Some(match first >> 6 {
            0 => Run { value: 0, count: usize::from(first & 0x3F) + 1, len: 1 },
            1 => Run { value: 0, count: (usize::from(first & 0x3F) << 8 | usize::from(*bytes.get(1)?)) + 1, len: 2 },
            _ => Run { value: (first >> 2 & 0x1F) + 1, count: usize::from(first & 3) + 1, len: 1 },
        })
    }
}

fn write(value: u8, count: usize, out: &mut Vec<u8>) {
    match (value, count) {
        (_, 0) => {}
        (0, 1..=SHORT_ZERO_MAX) => out.push((count - 1) as u8),
        (0, _) => out.extend_from_slice(&[0x40 | ((count - 1) >> 8) as u8, (count - 1) as u8]),
        _ => out.push(0x80 | (value - 1) << 2 | (count - 1) as u8),
    }
}

/// Gives each run's first register, length and value.
pub fn runs(registers: &[u8], mut visit: impl FnMut(usize, usize, u8)) -> Result<(), Fault> {
    let (mut at, mut first) = (0, 0);
    while at < registers.len() {
        let run = Run::read(&registers[at..]).ok_or(Fault::Corrupt)?;
        if first + run.count > REGISTERS {
            return Err(Fault::Corrupt);
        }
        visit(first, run.count, run.value);
        at += run.len;
        first += run.count;
    }
    if first == REGISTERS { Ok(()) } else { Err(Fault::Corrupt) }
}

/// The value of a register.
pub fn get(registers: &[u8], register: usize) -> Result<u8, Fault> {
    let (mut at, mut first) = (0, 0);
    loop {
        let run = Run::read(registers.get(at..).unwrap_or(&[])).ok_or(Fault::Corrupt)?;
        if register < first + run.count {
            return Ok(run.value);
        }
        at += run.len;
        first += run.count;
    }
}

/// Raises a register to a value.
pub fn raise(bytes: &mut Vec<u8>, register: usize, value: u8, bytes_max: usize) -> Result<Raised, Fault> {
    if value > VALUE_MAX {
        return Ok(Raised::NoRoom);
    }
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, None);
    let run = loop {
        let run = Run::read(&bytes[at..]).ok_or(Fault::Corrupt)?;
        if register < first + run.count {
            break run;
        }
        before = Some(at);
        at += run.len;
        first += run.count;
    };
    if run.value >= value {
        return Ok(Raised::WasHigher);
    }
    let mut cut = Vec::with_capacity(5);
    write(run.value, register - first, &mut cut);
    write(value, 1, &mut cut);
    write(run.value, first + run.count - 1 - register, &mut cut);
    // A change in place is made also beyond the limit.
    if cut.len() > run.len && bytes.len() + cut.len() - run.len > bytes_max + HEADER_BYTES {
        return Ok(Raised::NoRoom);
    }
    bytes.splice(at..at + run.len, cut);
    join(bytes, before.unwrap_or(HEADER_BYTES));
    Ok(Raised::Yes)
}

/// Joins neighbouring runs of one value.
fn join(bytes: &mut Vec<u8>, from: usize) {
    let mut at = from;
    for _ in 0..JOIN_RUNS {
        let Some(run) = Run::read(&bytes[at..]) else { return };
        let next = Run::read(&bytes[at + run.len..])
            .filter(|next| run.value > 0 && next.value == run.value && run.count + next.count <= VALUE_RUN_MAX);
        match next {
            Some(next) => {
                let mut joined = Vec::with_capacity(1);
                write(run.value, run.count + next.count, &mut joined);
                bytes.splice(at..at + 2, joined);
            }
            None => at += run.len,
        }
    }
}

/// The runs in words. Of a run that misses its second byte, that is 0, as Redis has it.
pub fn describe(registers: &[u8]) -> String {
    let padded = [registers, &[0]].concat();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(run) = (at < registers.len()).then(|| Run::read(&padded[at..])).flatten() {
        words.push(match (run.value, run.len) {
            (0, 1) => format!("z:{}", run.count),
            (0, _) => format!("Z:{}", run.count),
            (value, _) => format!("v:{value},{}", run.count),
        });
        at += run.len;
    }
    words.join(" ")
}
