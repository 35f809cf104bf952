//! What PFSELFTEST runs: registers keep what they are given, and estimates are as good as they must be.

use super::{DENSE_BYTES, HEADER_BYTES, REGISTERS, add, count, dense_get, dense_set, encoding, new, to_dense};

/// Elements added; after each tenfold the estimate is looked at.
const ELEMENTS: u64 = 100_000;
/// The standard error with that many registers, in parts of 1: 1.04 / √16,384.
const STANDARD_ERROR: f64 = 0.008_125;
/// Errors larger than that many standard errors do not happen.
const ERRORS_MAX: f64 = 6.0;

/// Says what is wrong, if anything is.
pub fn self_test(seed: u64) -> Result<(), String> {
    registers(seed)?;
    let (mut sparse, mut dense) = (new(), new());
    to_dense(&mut dense).map_err(|_| "an empty one cannot be made dense".to_owned())?;
    let mut next = 10;
    for element in 1..=ELEMENTS {
        let text = (seed.wrapping_add(element)).to_le_bytes();
        let raised = [add(&mut sparse, &text, 3000), add(&mut dense, &text, 0)];
        if raised[0].is_err() || raised[0] != raised[1] {
            return Err(format!("element {element}: sparse and dense differ"));
        }
        if element == next {
            next *= 10;
            let counts = [count(&sparse), count(&dense)];
            let Ok(estimate) = counts[0] else { return Err(format!("{element} elements cannot be counted")) };
            let off = (estimate as f64 - element as f64).abs();
            if counts[0] != counts[1] || off > (element as f64 * STANDARD_ERROR * ERRORS_MAX).max(1.0) {
                return Err(format!("{element} elements are counted as {counts:?} ({})", encoding(&sparse)));
            }
        }
    }
    Ok(())
}

/// Every register of the dense encoding keeps its value beside those of its neighbours.
fn registers(seed: u64) -> Result<(), String> {
    let mut bytes = vec![0; DENSE_BYTES - HEADER_BYTES];
    let mut values = vec![0u8; REGISTERS];
    let mut state = seed | 1;
    for round in 0..8 * REGISTERS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (register, value) = ((state >> 33) as usize % REGISTERS, (state >> 20) as u8 & 0x3F);
        values[register] = value;
        dense_set(&mut bytes, register, value);
        if dense_get(&bytes, register) != value {
            return Err(format!("round {round}: register {register} lost its value"));
        }
    }
    match (0..REGISTERS).find(|&register| dense_get(&bytes, register) != values[register]) {
        Some(register) => Err(format!("register {register} was changed with a neighbour")),
        None => Ok(()),
    }
}
