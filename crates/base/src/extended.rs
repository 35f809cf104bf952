//! The 80-bit extended floating point of x86, in software: what INCRBYFLOAT computes with.
//!
//! Redis adds with C's `long double` and prints `%.17Lf`; to reply the same bytes on every machine, the format is done
//! here by integers: sign, 64-bit mantissa and exponent, rounded to nearest, ties to even.
//!
//! ```text
//! value = (-1)^negative * mantissa * 2^exponent      normal:    mantissa >= 2^63
//!                                                    subnormal: exponent == EXPONENT_MIN
//! ```

use std::cmp::Ordering;

use crate::binary::{self, Exact};
use crate::number::write_i64;

/// Bits of the mantissa.
const PRECISION: u32 = 64;
/// Exponent of the last bit of the smallest numbers.
const EXPONENT_MIN: i64 = -16445;
/// Exponent of the last bit of the largest numbers.
const EXPONENT_MAX: i64 = 16320;
/// Redis reads texts of less than 5 KiB as numbers.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Fraction digits printed, before trailing zeros go.
const FRACTION_DIGITS: usize = 17;

/// An extended-precision number, infinity or NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nan,
    Infinite { negative: bool },
    Finite { negative: bool, mantissa: u64, exponent: i64 },
}

impl Extended {
    /// Reads what `strtold` reads and INCRBYFLOAT accepts: decimal or hexadecimal numbers and infinities. None for an
    /// empty or too long text, spaces, trailing bytes, NaN, and finite texts that overflow or vanish to zero.
    pub fn parse(b: &[u8]) -> Option<Self> {
        if b.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, exact) = match binary::parse_hex(b) {
            Some((negative, exact)) => (negative, exact?),
            None => {
                let (negative, unsigned) = binary::sign(b);
                if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
                    return Some(Extended(Kind::Infinite { negative }));
                }
                (negative, decimal(unsigned)?)
            }
        };
        let value = rounded(negative, exact);
        let vanished = value.is_zero() && !exact.is_zero();
        (value.is_finite() && !vanished).then_some(value)
    }

    /// The sum, rounded. Infinities of opposite signs give NaN.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // The one operation there is; `+` would suggest the others.
    pub fn add(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Kind::Nan, _) | (_, Kind::Nan) => Extended(Kind::Nan),
            (Kind::Infinite { negative: a }, Kind::Infinite { negative: b }) if a != b => Extended(Kind::Nan),
            (Kind::Infinite { .. }, _) => self,
            (_, Kind::Infinite { .. }) => other,
            (
                Kind::Finite { negative: a_negative, mantissa: a, exponent: a_exponent },
                Kind::Finite { negative: b_negative, mantissa: b, exponent: b_exponent },
            ) => {
                if a == 0 || (b != 0 && a_exponent < b_exponent) {
                    if b == 0 {
                        // Two zeros: negative only when both are.
                        return finite(a_negative && b_negative, 0, EXPONENT_MIN);
                    }
                    return add_smaller(b_negative, b, b_exponent, a_negative, a, a_exponent);
                }
                add_smaller(a_negative, a, a_exponent, b_negative, b, b_exponent)
            }
        }
    }

    /// Neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        matches!(self.0, Kind::Finite { .. })
    }

    fn is_zero(self) -> bool {
        matches!(self.0, Kind::Finite { mantissa: 0, .. })
    }

    /// The decimal text with up to 17 fraction digits, trailing zeros removed, as INCRBYFLOAT replies. Never in
    /// scientific notation; a negative number that rounds to zero prints `0`.
    pub fn format(self) -> String {
        let (negative, mantissa, exponent) = match self.0 {
            Kind::Nan => return "nan".to_string(),
            Kind::Infinite { negative: false } => return "inf".to_string(),
            Kind::Infinite { negative: true } => return "-inf".to_string(),
            Kind::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
        };
        let mut text = if exponent >= 0 {
            let mut big = Big::from(u128::from(mantissa));
            big.shift_left(exponent as usize);
            big.decimal()
        } else {
            fixed_point(mantissa, exponent)
        };
        if negative && text != "0" {
            text.insert(0, '-');
        }
        text
    }
}

fn finite(negative: bool, mantissa: u64, exponent: i64) -> Extended {
    Extended(Kind::Finite { negative, mantissa, exponent })
}

fn rounded(negative: bool, exact: Exact) -> Extended {
    let (mantissa, exponent) = exact.round(PRECISION, EXPONENT_MIN);
    if mantissa == 0 {
        return finite(negative, 0, EXPONENT_MIN);
    }
    // Normal form: the highest bit set, as far as the exponent allows.
    let shift = i64::from(mantissa.leading_zeros()).min(exponent - EXPONENT_MIN);
    if exponent - shift > EXPONENT_MAX {
        return Extended(Kind::Infinite { negative });
    }
    finite(negative, mantissa << shift, exponent - shift)
}

/// Adds `b` to `a`, whose exponent is not the smaller one (unless `b` is zero).
fn add_smaller(a_negative: bool, a: u64, a_exponent: i64, b_negative: bool, b: u64, b_exponent: i64) -> Extended {
    /// Room below the mantissa of `a`: with 62 bits more than the result keeps, what falls off below only ever decides
    /// between "a little more" and "exactly", so one flag stands for it.
    const ROOM: i64 = 62;
    let big = u128::from(a) << ROOM;
    let distance = if b == 0 { 0 } else { a_exponent - b_exponent };
    let (small, more) = match u32::try_from(distance) {
        Ok(shift @ 0..=127) => {
            let wide = u128::from(b) << ROOM;
            (wide >> shift, wide & ((1u128 << shift) - 1) != 0)
        }
        _ => (0, b != 0),
    };
    let (negative, mantissa) = if a_negative == b_negative {
        (a_negative, big + small)
    } else {
        match big.cmp(&small) {
            // What falls off makes the difference a little less: borrow one unit, of which a part remains.
            Ordering::Greater => (a_negative, big - small - u128::from(more)),
            Ordering::Less => (b_negative, small - big),
            Ordering::Equal => (false, 0),
        }
    };
    rounded(negative, Exact { mantissa, exponent: a_exponent - ROOM, more })
}

/// Reads unsigned `digits[.digits][e[+-]digits]` exactly enough to be rounded once.
fn decimal(b: &[u8]) -> Option<Exact> {
    let end = b.iter().position(|c| matches!(c, b'e' | b'E')).unwrap_or(b.len());
    let mut point_shift = match b.get(end + 1..) {
        Some(text) => binary::exponent(text)?,
        None => 0,
    };
    let mut digits = Vec::with_capacity(end);
    let mut seen = false;
    let mut fraction = false;
    for &c in &b[..end] {
        match c {
            b'0'..=b'9' => {
                seen = true;
                point_shift -= i64::from(fraction);
                if c != b'0' || !digits.is_empty() {
                    digits.push(c - b'0');
                }
            }
            b'.' if !fraction => fraction = true,
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    while digits.last() == Some(&0) {
        digits.pop();
        point_shift += 1;
    }
    Some(to_binary(&digits, point_shift))
}

/// `digits * 10^power` as a binary fraction of at least 66 bits, the rest in the flag.
fn to_binary(digits: &[u8], power: i64) -> Exact {
    /// Farther out than any extended number: the exact place does not matter there.
    const FAR: i64 = 6000;
    let zero = Exact { mantissa: 0, exponent: 0, more: false };
    if digits.is_empty() {
        return zero;
    }
    let magnitude = digits.len() as i64 + power;
    if magnitude > FAR {
        return Exact { mantissa: 1, exponent: 4 * FAR, ..zero };
    }
    if magnitude < -FAR {
        return Exact { more: true, ..zero };
    }
    let mut numerator = Big::from_digits(digits);
    if power >= 0 {
        numerator.multiply_by_ten_to(power as usize);
        let (mantissa, exponent, more) = numerator.top_bits();
        return Exact { mantissa, exponent, more };
    }
    let mut denominator = Big::from(1);
    denominator.multiply_by_ten_to(power.unsigned_abs() as usize);
    divide(numerator, denominator)
}

/// The quotient to 67 or 68 bits.
fn divide(mut numerator: Big, mut denominator: Big) -> Exact {
    const QUOTIENT_BITS: i64 = 68;
    // Bring both to the same length, so that the quotient lies in (1/2, 2).
    let difference = numerator.bits() as i64 - denominator.bits() as i64;
    if difference >= 0 {
        denominator.shift_left(difference as usize);
    } else {
        numerator.shift_left(difference.unsigned_abs() as usize);
    }
    let mut quotient = 0u128;
    for step in 0..QUOTIENT_BITS {
        if step > 0 {
            numerator.shift_left(1);
        }
        quotient <<= 1;
        if numerator.compare(&denominator) != Ordering::Less {
            numerator.subtract(&denominator);
            quotient |= 1;
        }
    }
    Exact { mantissa: quotient, exponent: difference - (QUOTIENT_BITS - 1), more: !numerator.is_zero() }
}

/// `mantissa * 2^exponent` for a negative exponent, to [`FRACTION_DIGITS`] digits, ties to even.
fn fixed_point(mantissa: u64, exponent: i64) -> String {
    const SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);
    let exact = Exact { mantissa: u128::from(mantissa) * SCALE, exponent, more: false };
    // Below 2^121, so anything shifted out farther than that is less than half a unit.
    let units = match u32::try_from(-exponent) {
        Ok(shift @ 1..=127) => {
            let kept = exact.mantissa >> shift;
            let half = 1u128 << (shift - 1);
            let dropped = exact.mantissa & ((half << 1) - 1);
            kept + u128::from(dropped > half || (dropped == half && kept & 1 == 1))
        }
        _ => 0,
    };
    let whole = units / SCALE;
    let fraction = (units % SCALE) as u64;
    let mut text = whole.to_string();
    if fraction != 0 {
        text.push('.');
        let digits = format!("{fraction:0width$}", width = FRACTION_DIGITS);
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}

/// A natural number of any size: 32-bit limbs, the lowest first, no zero limb at the top.
#[derive(Clone, Debug)]
struct Big(Vec<u32>);

impl Big {
    fn from(value: u128) -> Big {
        let mut big = Big((0..4).map(|i| (value >> (32 * i)) as u32).collect());
        big.trim();
        big
    }

    /// From decimal digits (0 to 9 each), the highest first.
    fn from_digits(digits: &[u8]) -> Big {
        let mut big = Big(Vec::with_capacity(digits.len() / 9 + 1));
        for chunk in digits.chunks(9) {
            let value = chunk.iter().fold(0, |value, d| value * 10 + u32::from(*d));
            big.multiply_add(10u32.pow(chunk.len() as u32), value);
        }
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply_by_ten_to(&mut self, power: usize) {
        const NINE: usize = 9;
        for _ in 0..power / NINE {
            self.multiply_add(10u32.pow(NINE as u32), 0);
        }
        self.multiply_add(10u32.pow((power % NINE) as u32), 0);
    }

    fn shift_left(&mut self, bits: usize) {
        if self.is_zero() || bits == 0 {
            return;
        }
        let within = bits % 32;
        if within > 0 {
            let mut carry = 0;
            for limb in &mut self.0 {
                let wide = u64::from(*limb) << within | carry;
                *limb = wide as u32;
                carry = wide >> 32;
            }
            if carry != 0 {
                self.0.push(carry as u32);
            }
        }
        self.0.splice(0..0, std::iter::repeat_n(0, bits / 32));
    }

    fn compare(&self, other: &Big) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let (difference, first) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = first || second;
        }
        debug_assert!(!borrow, "subtracted a larger number");
        self.trim();
    }

    /// The highest 96 to 127 bits, the exponent of their last one, and whether any bit below is set.
    fn top_bits(&self) -> (u128, i64, bool) {
        let skipped = self.0.len().saturating_sub(4);
        let top = self.0[skipped..].iter().rev().fold(0u128, |top, limb| top << 32 | u128::from(*limb));
        let more = self.0[..skipped].iter().any(|limb| *limb != 0);
        (top, 32 * skipped as i64, more)
    }

    fn decimal(mut self) -> String {
        const CHUNK: u32 = 1_000_000_000;
        let mut chunks = Vec::new();
        while !self.is_zero() {
            let mut rest = 0u64;
            for limb in self.0.iter_mut().rev() {
                let wide = rest << 32 | u64::from(*limb);
                *limb = (wide / u64::from(CHUNK)) as u32;
                rest = wide % u64::from(CHUNK);
            }
            self.trim();
            chunks.push(rest as i64);
        }
        let mut text = String::new();
        for (i, chunk) in chunks.iter().rev().enumerate() {
            let digits = String::from_utf8_lossy(write_i64(&mut [0; 20], *chunk)).into_owned();
            if i > 0 {
                text.extend(std::iter::repeat_n('0', 9 - digits.len()));
            }
            text.push_str(&digits);
        }
        if text.is_empty() { "0".to_string() } else { text }
    }
}
