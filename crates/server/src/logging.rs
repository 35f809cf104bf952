//! The log: one line per event, `2026-01-31T12:34:56.789Z notice message`, to the standard output or to `logfile`.
//!
//! Redis's levels are tracing's: warning is ERROR and WARN, notice INFO, verbose DEBUG, debug TRACE. A log file is
//! opened for every event, so that it can be moved away at any time, as with Redis.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::config::Loglevel;

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts the log of this process. Called once, when the configuration is known.
///
/// # Errors
/// The log file cannot be written.
pub fn start(level: Loglevel, file: Option<&Path>) -> io::Result<()> {
    if let Some(path) = file {
        append(path)?;
    }
    let (filter, handle) = reload::Layer::new(filter_of(level));
    let colour = file.is_none() && io::stdout().is_terminal();
    let sink = Sink { file: file.map(Path::to_owned) };
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).event_format(Lines).with_writer(sink);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        // Only one subscriber can be installed, so the handle is set once, too.
        let _ = LEVEL.set(handle);
    }
    Ok(())
}

/// Puts another `loglevel` into force.
pub fn set_level(level: Loglevel) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, and then nothing is logged any more.
        let _ = handle.modify(|filter| *filter = filter_of(level));
    }
}

fn filter_of(level: Loglevel) -> LevelFilter {
    match level {
        Loglevel::Debug => LevelFilter::TRACE,
        Loglevel::Verbose => LevelFilter::DEBUG,
        Loglevel::Notice => LevelFilter::INFO,
        Loglevel::Warning => LevelFilter::WARN,
        Loglevel::Nothing => LevelFilter::OFF,
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Where lines go.
struct Sink {
    file: Option<PathBuf>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Box<dyn Write> {
        match &self.file {
            None => Box::new(io::stdout()),
            Some(path) => match append(path) {
                Ok(file) => Box::new(file),
                // A folder that vanished is no reason to stop, and there is no better place to say it.
                Err(_) => Box::new(io::stderr()),
            },
        }
    }
}

/// How an event becomes a line.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("warning", 31),
            Level::WARN => ("warning", 33),
            Level::INFO => ("notice ", 32),
            Level::DEBUG => ("verbose", 34),
            Level::TRACE => ("debug  ", 90),
        };
        write!(out, "{} ", Utc::now())?;
        if out.has_ansi_escapes() {
            write!(out, "\x1b[{colour}m{name}\x1b[0m ")?;
        } else {
            write!(out, "{name} ")?;
        }
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// A moment, printed as `2026-01-31T12:34:56.789Z`.
#[derive(Clone, Copy)]
pub struct Utc {
    unix_ms: u64,
}

impl Utc {
    pub fn now() -> Utc {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Utc { unix_ms: since.as_millis() as u64 }
    }

    /// Year, month and day in the Gregorian calendar, counted in years that begin in March, so that leap days end
    /// them.
    fn date(self) -> (u64, u64, u64) {
        const DAYS_TO_MARCH_OF_YEAR_0: u64 = 719_468;
        const DAYS_IN_400_YEARS: u64 = 146_097;
        let days = self.unix_ms / 86_400_000 + DAYS_TO_MARCH_OF_YEAR_0;
        let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
        // The leap days before this one, so that the rest counts years of 365 days.
        let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / (DAYS_IN_400_YEARS - 1);
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March on have 31, 30, 31, 30, 31 days, over and over: 153 in five.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        (year, month, day)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let ms = self.unix_ms % 86_400_000;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

/// Makes failures of threads part of the log, or leaves them to the standard error (`crash-log-enabled`).
pub fn log_panics(enabled: bool) {
    if !enabled {
        drop(std::panic::take_hook());
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let place = panic.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        tracing::error!(
            "CRASH: {message}\n    thread {}, at {place}\n    {}\n{}",
            thread.name().unwrap_or("without a name"),
            crate::cli::version_line(),
            std::backtrace::Backtrace::force_capture()
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Utc { unix_ms }.to_string(), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = Utc { unix_ms: 0 }.date();
        for day in 1..60_000 {
            let date = Utc { unix_ms: day * 86_400_000 }.date();
            let next_day = (date.0, date.1) == (last.0, last.1) && date.2 == last.2 + 1;
            let next_month = date.2 == 1 && (date.0 * 12 + date.1) == (last.0 * 12 + last.1) + 1 && last.2 >= 28;
            assert!(next_day || next_month, "{last:?} {date:?}");
            last = date;
        }
    }

    #[test]
    fn lines_and_levels() {
        let path = std::env::temp_dir().join(format!("pinyon-log-{}", std::process::id()));
        start(Loglevel::Notice, Some(&path)).unwrap();
        tracing::info!(core = 3, "one");
        tracing::debug!("not yet");
        set_level(Loglevel::Debug);
        tracing::trace!("two");
        // Moved away: the next line begins a new file.
        let lines = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        set_level(Loglevel::Warning);
        tracing::info!("not any more");
        tracing::error!("three");
        let new = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let texts: Vec<&str> = lines.lines().chain(new.lines()).map(|line| &line[25..]).collect();
        assert_eq!(texts, ["notice  one core=3", "debug   two", "warning three"]);
        assert!(start(Loglevel::Notice, Some(Path::new("/nonexistent/log"))).is_err());
    }
}
