//! What INFO tells of the logs.

use pinyon_durability::LogState;

use super::Trouble;
use crate::core::Core;

/// One core's log, as it was when the core was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogPart {
    /// The last record, the last durable one, the last that is stable.
    pub lsn: u64,
    pub durable: u64,
    pub stable: u64,
    pub epoch: u64,
    pub durable_epoch: u64,
    /// Bytes of records that are not yet on their way.
    pub backlog: u64,
    /// Bytes written in this run, and of these since the last snapshot.
    pub written: u64,
    pub grown: u64,
    /// Syncs that were due while another one was under way.
    pub delayed_syncs: u64,
    /// Syncs under way.
    pub syncing: u64,
    pub state: &'static str,
    /// A start finds what is in it.
    pub counts: bool,
}

impl Core {
    /// This core's part; None without a log.
    pub(crate) fn log_part(&self) -> Option<LogPart> {
        let log = self.exec.log.as_ref()?;
        let durable = log.log.durable();
        Some(LogPart {
            lsn: log.log.last_lsn().0,
            durable: durable.lsn.0,
            stable: log.durable.stable().0,
            epoch: log.log.epoch().0,
            durable_epoch: log.durable.durable_epoch().0,
            backlog: log.log.backlog_bytes() as u64,
            written: log.log.bytes_written(),
            grown: log.grown_bytes(),
            delayed_syncs: log.delayed_syncs,
            syncing: log.syncs,
            counts: log.counts,
            state: match log.log.state() {
                LogState::Writing => "ok",
                LogState::Full => "full",
                LogState::Poisoned => "failed",
            },
        })
    }

    /// Why writes are refused on account of a log.
    pub(crate) fn log_trouble(&self) -> Option<&Trouble> {
        self.troubles.worst()
    }
}
