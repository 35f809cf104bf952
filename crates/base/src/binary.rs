//! Binary fractions before rounding, shared by the 64-bit and the 80-bit floating point of this crate, and C's
//! hexadecimal notation for them.

/// A non-negative number `mantissa * 2^exponent`, plus something smaller than the mantissa's last bit when `more`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    pub mantissa: u128,
    pub exponent: i64,
    pub more: bool,
}

impl Exact {
    pub fn is_zero(self) -> bool {
        self.mantissa == 0 && !self.more
    }

    /// Rounds to the nearest number with at most `precision` (up to 64) bits whose last bit is not below
    /// `2^exponent_min`, ties to even. Returns mantissa and exponent. Wants more than `precision` bits in the mantissa when
    /// `more` is set, or a mantissa that is dropped whole.
    pub fn round(self, precision: u32, exponent_min: i64) -> (u64, i64) {
        let bits = 128 - self.mantissa.leading_zeros();
        let spare = i64::from(bits) - i64::from(precision);
        let drop = spare.max(exponent_min - self.exponent).max(0);
        if drop > 128 {
            return (0, exponent_min);
        }
        let exponent = self.exponent + drop;
        if drop == 0 {
            return (self.mantissa as u64, exponent);
        }
        let kept = self.mantissa.checked_shr(drop as u32).unwrap_or(0);
        let half = 1u128 << (drop - 1);
        let dropped = self.mantissa & (half | (half - 1));
        let up = dropped > half || (dropped == half && (self.more || kept & 1 == 1));
        let kept = kept + u128::from(up);
        if kept >> precision != 0 { ((kept >> 1) as u64, exponent + 1) } else { (kept as u64, exponent) }
    }
}

/// Reads `[+-]0x<hex>[.<hex>][p<exponent>]`. The outer None: not hexadecimal at all; the inner None: malformed.
pub(crate) fn parse_hex(b: &[u8]) -> Option<(bool, Option<Exact>)> {
    let (negative, b) = sign(b);
    match b {
        [b'0', b'x' | b'X', digits @ ..] => Some((negative, hex_digits(digits))),
        _ => None,
    }
}

/// Splits an optional sign off.
pub(crate) fn sign(b: &[u8]) -> (bool, &[u8]) {
    match b {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, b),
    }
}

fn hex_digits(b: &[u8]) -> Option<Exact> {
    let mut exact = Exact { mantissa: 0, exponent: 0, more: false };
    let mut seen = false;
    let mut fraction = false;
    let mut at = 0;
    while let Some(&c) = b.get(at) {
        if c == b'.' && !fraction {
            fraction = true;
        } else if let Some(digit) = (c as char).to_digit(16) {
            seen = true;
            if exact.mantissa >> 124 == 0 {
                exact.mantissa = exact.mantissa << 4 | u128::from(digit);
                exact.exponent -= if fraction { 4 } else { 0 };
            } else {
                exact.more |= digit != 0;
                exact.exponent += if fraction { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if !seen {
        return None;
    }
    if at < b.len() {
        if !matches!(b[at], b'p' | b'P') {
            return None;
        }
        exact.exponent += exponent(&b[at + 1..])?;
    }
    Some(exact)
}

/// A signed decimal exponent; beyond a million it makes no difference any more.
pub(crate) fn exponent(b: &[u8]) -> Option<i64> {
    const FAR: i64 = 1_000_000;
    let (negative, digits) = sign(b);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for c in digits {
        let digit = (*c as char).to_digit(10)?;
        value = (value * 10 + i64::from(digit)).min(FAR);
    }
    Some(if negative { -value } else { value })
}
