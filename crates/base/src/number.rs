//! Numbers as Redis reads and prints them.
//!
//! Integers are strict: exactly one text per number, so that a value can be stored as an integer and printed back
//! unchanged. Doubles are what C's `strtod` accepts (hexadecimal forms and infinities too) and `%.17g` prints.

use crate::binary;

/// A signed decimal integer: no spaces, no `+`, no leading zeros, no `-0`, nothing after it. None when it is not one or
/// does not fit.
#[inline]
pub fn parse_i64(b: &[u8]) -> Option<i64> {
    match b {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            if magnitude == 0 || magnitude > i64::MIN.unsigned_abs() {
                return None;
            }
            Some((magnitude as i64).wrapping_neg())
        }
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// An unsigned decimal integer, as strict as [`parse_i64`].
#[inline]
pub fn parse_u64(b: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 20;
    let (first, rest) = b.split_first()?;
    let first = first.wrapping_sub(b'0');
    if first > 9 || b.len() > DIGITS_MAX || (first == 0 && !rest.is_empty()) {
        return None;
    }
    let mut value = u64::from(first);
    // Nineteen digits cannot overflow; only the twentieth has to be watched.
    let (safe, last) = rest.split_at(rest.len().min(DIGITS_MAX - 2));
    for c in safe {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for c in last {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

const fn digit_pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
}

static PAIRS: [[u8; 2]; 100] = digit_pairs();

/// Writes the decimal text of `v` into the end of `buf` and returns it.
#[inline]
pub fn write_i64(buf: &mut [u8; 20], v: i64) -> &[u8] {
    let mut at = buf.len();
    let mut rest = v.unsigned_abs();
    while rest >= 100 {
        at -= 2;
        [buf[at], buf[at + 1]] = PAIRS[(rest % 100) as usize];
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        [buf[at], buf[at + 1]] = PAIRS[rest as usize];
    } else {
        at -= 1;
        buf[at] = b'0' + rest as u8;
    }
    if v < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}

/// A double as commands accept them: decimal or hexadecimal, `inf` and `infinity` in any case. None for an empty text,
/// spaces, trailing bytes, NaN, and for finite texts that overflow or vanish to zero.
pub fn parse_f64(b: &[u8]) -> Option<f64> {
    const PRECISION: u32 = 53;
    const EXPONENT_MIN: i64 = -1074;
    if let Some((negative, exact)) = binary::parse_hex(b) {
        let (mantissa, exponent) = exact?.round(PRECISION, EXPONENT_MIN);
        let value = scale(mantissa, exponent);
        if value.is_infinite() || (mantissa == 0 && !exact?.is_zero()) {
            return None;
        }
        return Some(if negative { -value } else { value });
    }
    let value: f64 = std::str::from_utf8(b).ok()?.parse().ok()?;
    let digits = b.split(|c| matches!(c, b'e' | b'E')).next()?;
    let spelled = digits.iter().any(u8::is_ascii_alphabetic);
    if value.is_nan() || (value.is_infinite() && !spelled) {
        return None;
    }
    if value == 0.0 && digits.iter().any(|c| matches!(c, b'1'..=b'9')) {
        return None;
    }
    Some(value)
}

/// What follows the spaces at the beginning, which are those of C's `isspace`.
pub fn skip_spaces(b: &[u8]) -> &[u8] {
    let spaces = b.iter().take_while(|c| matches!(c, b' ' | b'\t'..=b'\r')).count();
    &b[spaces..]
}

/// A double as bounds of ranges of scores are read, which is how C's `strtod` reads a whole text: spaces before it count for
/// nothing, an empty text is zero, and what overflows is infinite. None for NaN.
pub fn strtod(b: &[u8]) -> Option<f64> {
    const PRECISION: u32 = 53;
    const EXPONENT_MIN: i64 = -1074;
    if b.is_empty() {
        return Some(0.0);
    }
    let b = skip_spaces(b);
    if let Some((negative, exact)) = binary::parse_hex(b) {
        let (mantissa, exponent) = exact?.round(PRECISION, EXPONENT_MIN);
        let value = scale(mantissa, exponent);
        return Some(if negative { -value } else { value });
    }
    let value: f64 = std::str::from_utf8(b).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// `mantissa * 2^exponent` where that is exact: the mantissa has at most 53 bits and the exponent is at least -1074.
fn scale(mantissa: u64, exponent: i64) -> f64 {
    let bits = i64::from(64 - mantissa.leading_zeros());
    if mantissa == 0 {
        0.0
    } else if bits + exponent > 1024 {
        f64::INFINITY
    } else if bits + exponent < -1021 {
        // Subnormal: the mantissa counts units of 2^-1074.
        f64::from_bits(mantissa << (exponent + 1074))
    } else {
        let mantissa = mantissa << (53 - bits);
        let biased = (bits + exponent + 1022) as u64;
        f64::from_bits((biased << 52) | (mantissa & ((1 << 52) - 1)))
    }
}

/// Appends a double as replies carry it: 17 significant digits as C's `%.17g` prints them; `inf`, `-inf`, `nan`.
pub fn format_f64(v: f64, out: &mut Vec<u8>) {
    const DIGITS: usize = 17;
    if v.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if v.is_infinite() {
        return out.extend_from_slice(if v > 0.0 { b"inf" } else { b"-inf" });
    }
    if v == v.trunc() && v.abs() < 1e15 && (v != 0.0 || v.is_sign_positive()) {
        return out.extend_from_slice(write_i64(&mut [0; 20], v as i64));
    }
    if v.is_sign_negative() {
        out.push(b'-');
    }
    let text = format!("{:.*e}", DIGITS - 1, v.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let significant = digits.iter().rposition(|d| *d != b'0').map_or(1, |i| i + 1);
    let digits = &digits[..significant];
    if exponent < -4 || exponent >= DIGITS as i32 {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(write_i64(&mut [0; 20], i64::from(exponent.abs())));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}
