//! Bugs on purpose, one for each rule that makes a transaction one moment, so that the checker can be seen to find them.
//!
//! They are in no build but one with the feature `planted`, where the environment variable `PINYON_PLANTED` names the one that
//! the server has: `scripts/check --planted`. Without the feature nothing of it is left.

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A command on one shard does not wait for a transaction that holds its key.
    PassesHeld,
    /// A transaction with one other shard runs its part there though somebody is in the way.
    TriesHeld,
    /// A transaction begins when the first of its shards has granted.
    BeginsUngranted,
    /// The keys are free again after the first step.
    LetsGoEarly,
    /// An EXEC does not ask whether a watched key has changed.
    ForgetsWatched,
    /// An EXEC does not hold the keys that it watches.
    LeavesWatched,
}

/// As the environment variable names them.
#[cfg(feature = "planted")]
const NAMES: [(&str, Bug); 6] = [
    ("passes-held", Bug::PassesHeld),
    ("tries-held", Bug::TriesHeld),
    ("begins-ungranted", Bug::BeginsUngranted),
    ("lets-go-early", Bug::LetsGoEarly),
    ("forgets-watched", Bug::ForgetsWatched),
    ("leaves-watched", Bug::LeavesWatched),
];

/// Whether this server has the bug.
#[cfg(feature = "planted")]
pub(crate) fn has(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| {
        let name = std::env::var("PINYON_PLANTED").ok()?;
        let named = NAMES.iter().find(|(known, _)| *known == name);
        Some(named.unwrap_or_else(|| panic!("PINYON_PLANTED={name}: there is no such bug")).1)
    });
    *planted == Some(bug)
}

/// Whether this server has the bug: it has none.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
