//! How far long work is, on a terminal; nothing where standard error is none.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

pub struct Progress {
    what: &'static str,
    whole: u64,
    done: u64,
    begun: Instant,
    shown: Option<Instant>,
    on: bool,
}

impl Progress {
    /// `whole` bytes are to be worked on.
    pub fn new(what: &'static str, whole: u64) -> Progress {
        Progress { what, whole, done: 0, begun: Instant::now(), shown: None, on: stderr().is_terminal() }
    }

    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let due = self.shown.map_or(self.begun, |shown| shown).elapsed() >= EVERY;
        if self.on && due {
            self.shown = Some(Instant::now());
            let rate = self.done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
            let left = self.whole.saturating_sub(self.done) as f64 / rate.max(1.0);
            let percent = self.done * 100 / self.whole.max(1);
            eprint!(
                "\r{} {percent} % of {}, {}/s, {left:.0} s left \x1b[K",
                self.what,
                size(self.whole),
                size(rate as u64)
            );
            drop(stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
