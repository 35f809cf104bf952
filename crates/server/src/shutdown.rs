//! The end of the server: SHUTDOWN and signals.
//!
//! What was answered is in the logs, so with logs the end is a last cut over them. Without them it takes a snapshot first, if there
//! are save points or it is told to; from that snapshot's cut on nothing is changed, since it would be lost.
//!
//! It waits for snapshots without stopping the server meanwhile, and as long as it waits it can be called off (SHUTDOWN ABORT).

use bitflags::bitflags;
use pinyon_runtime::CoreId;

use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::save::Wish;

bitflags! {
    /// How the server is to end.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EndOptions: u8 {
        /// With a snapshot, also where none is needed.
        const SAVE = 1;
        /// Without one, whatever is lost by that.
        const NOSAVE = 1 << 1;
        /// At once: there are no replicas to wait for.
        const NOW = 1 << 2;
        /// Also when a snapshot cannot be made.
        const FORCE = 1 << 3;
    }
}

const WORDS: [(&str, EndOptions); 4] = [
    ("save", EndOptions::SAVE),
    ("nosave", EndOptions::NOSAVE),
    ("now", EndOptions::NOW),
    ("force", EndOptions::FORCE),
];

impl EndOptions {
    /// The option of this name.
    pub fn option(word: &str) -> Option<EndOptions> {
        WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, option)| *option)
    }

    /// As a directive has them.
    pub fn words(self) -> Vec<&'static str> {
        if self.is_empty() {
            return vec!["default"];
        }
        WORDS.iter().filter(|(_, option)| self.contains(*option)).map(|(name, _)| *name).collect()
    }
}

/// A client that has asked for the end: its core, and its place there.
pub(crate) type Asker = (CoreId, Ticket);

/// An end that waits for a snapshot; the first core's.
pub(crate) struct Ending {
    options: EndOptions,
    /// None: a signal has asked.
    askers: Vec<Option<Asker>>,
    /// Counts the ends that were begun: of one that was called off nothing follows.
    number: u64,
    /// It waits for nothing any more.
    begun: bool,
}

impl Core {
    /// Ends the server, on whichever core.
    pub(crate) fn end_server(&mut self, io: &mut Io, options: EndOptions, asker: Option<Asker>) {
        io.mail(CoreId(0), Mail::Errand(Box::new(move |core, io| core.begin_end(io, options, asker))));
    }

    fn begin_end(&mut self, io: &mut Io, options: EndOptions, asker: Option<Asker>) {
        if self.rebinding {
            // Logs are being started or stopped: what is needed is known when that is over.
            return self.end_server(io, options, asker);
        }
        if let Some(ending) = &mut self.ending {
            ending.askers.push(asker);
            if options.contains(EndOptions::NOSAVE) {
                return self.stop_in_order(io);
            }
            return;
        }
        self.ends += 1;
        self.ending = Some(Ending { options, askers: vec![asker], number: self.ends, begun: false });
        self.go_on_ending(io);
    }

    /// Whether a snapshot must be there before the end.
    fn needs_snapshot(&self, options: EndOptions) -> bool {
        let base = self.saves.base_wanted;
        let unlogged = !self.exec.logs() && !self.config.save.is_empty();
        !self.is_loading()
            && !options.contains(EndOptions::NOSAVE)
            && (options.contains(EndOptions::SAVE) || unlogged || base)
    }

    fn go_on_ending(&mut self, io: &mut Io) {
        let Some(Ending { options, number, .. }) = self.ending else { return };
        if !self.needs_snapshot(options) {
            return self.stop_in_order(io);
        }
        let (logs, before) = (self.exec.logs(), self.shared.saves.since().is_some());
        // Without logs, one that is under way lacks what has changed since its cut.
        if !before {
            let begun = if logs { self.begin_save(io, Wish::Save) } else { self.begin_last_save(io) };
            debug_assert!(begun.is_ok(), "none is under way");
        }
        self.when_saved(move |core, io, is_saved| {
            if core.ending.as_ref().is_none_or(|ending| ending.number != number) {
                return;
            }
            if before && (!logs || is_saved && core.saves.base_wanted) {
                return core.go_on_ending(io);
            }
            if is_saved || options.contains(EndOptions::FORCE) {
                return core.stop_in_order(io);
            }
            tracing::error!("Error trying to save the DB, can't exit.");
            core.call_end_off(io);
        });
    }

    /// The end does not take place: who has asked for it is told.
    fn call_end_off(&mut self, io: &mut Io) {
        const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";
        for asker in self.ending.take().into_iter().flat_map(|ending| ending.askers) {
            match asker {
                Some((home, ticket)) => crate::commands::give(io, home, ticket, Err(FAILED)),
                None => tracing::warn!("A signal asked for the end of the server, but errors came up: see above"),
            }
        }
    }

    /// SHUTDOWN ABORT, on the first core. False: there is nothing to call off.
    pub(crate) fn abort_end(&mut self, io: &mut Io) -> bool {
        // A snapshot that holds writes up goes with it; another one is made all the same.
        if self.ending.as_ref().is_none_or(|ending| ending.begun) {
            return false;
        }
        if !self.exec.logs() {
            self.abort_save(io);
        }
        tracing::warn!("Shutdown manually aborted");
        self.call_end_off(io);
        true
    }

    /// Stops all cores: what is already answered still leaves, and is in the log.
    fn stop_in_order(&mut self, io: &mut Io) {
        if let Some(ending) = &mut self.ending {
            ending.begun = true;
        }
        if self.exec.logs() { self.last_cut(io) } else { self.stop_all(io) }
    }

    /// Stops all cores as they are.
    pub(crate) fn stop_all(&mut self, io: &mut Io) {
        self.gather_all(
            io,
            |core, io| {
                core.stopping = true;
                io.stop_accepting();
            },
            |_, _, _| {},
        );
    }
}

/// What a signal asks for.
pub(crate) fn options_of(core: &Core, signal: i32) -> EndOptions {
    const SIGINT: i32 = 2;
    match signal {
        // Who presses Ctrl-C again does not want to wait.
        SIGINT if core.ending.is_some() => EndOptions::NOSAVE,
        SIGINT => core.config.shutdown_on_sigint,
        _ => core.config.shutdown_on_sigterm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_words_of_redis() {
        for (word, option) in WORDS {
            assert_eq!((EndOptions::option(word), option.words()), (Some(option), vec![word]));
        }
        assert_eq!(EndOptions::option("default"), None);
        assert_eq!(EndOptions::default().words(), ["default"]);
        assert_eq!((EndOptions::NOSAVE | EndOptions::FORCE).words(), ["nosave", "force"]);
    }
}
