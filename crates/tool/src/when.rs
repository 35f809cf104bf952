//! Moments: Unix milliseconds as people write them (RFC 3339, in UTC), both ways.

use std::str::FromStr;

/// Up to where a store is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Epoch(u64),
    /// Unix milliseconds.
    Time(u64),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Until::Epoch).map_err(|_| "too large for an epoch".to_owned());
        }
        read(text).map(Until::Time).ok_or_else(|| "neither a number nor a time like 2026-11-29T21:00:00Z".to_owned())
    }
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Until::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Until::Time(time) => f.write_str(&write(*time)),
        }
    }
}

/// Days since 1970-01-01 of a day in the Gregorian calendar, and back.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_of(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (2..=12).rev().find(|month| days_of(year, *month, 1) <= days).unwrap_or(1);
    (year, month, days - days_of(year, month, 1) + 1)
}

pub fn write(unix_ms: u64) -> String {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = date_of(days as i64);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn read(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok())?
    };
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = time.split(':');
    let (hour, minute, second) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let digits = fraction.len();
    let millis = number(fraction, digits).filter(|_| (1..=9).contains(&digits))? * 1000 / 10_i64.pow(digits as u32);
    let days = days_of(year, month, day);
    let fits = parts.next().is_none() && clock.next().is_none() && hour < 24 && minute < 60 && second < 60;
    let is_day = date_of(days) == (year, month, day);
    (fits && is_day)
        .then(|| u64::try_from(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (1_796_000_400_001, "2026-11-30T01:00:00.001Z"),
        ] {
            assert_eq!(write(ms), text);
            assert_eq!(read(text), Some(ms));
        }
        for days in 0..60_000 {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!("17".parse(), Ok(Until::Epoch(17)));
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(Until::Time(1500)));
        for strange in [
            "",
            "-1",
            "2023-02-30T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01",
            "2023-1-1T0:0:0Z",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(strange.parse::<Until>().is_err() || strange.is_empty(), "{strange}");
        }
    }
}
