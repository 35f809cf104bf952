//! Which cores have anybody who listens: the one thing about subscriptions that all cores see.
//!
//! Written when the first subscription of a core comes and when the last one goes, and read by every PUBLISH. It is written
//! before the subscription is confirmed, so a PUBLISH that follows the confirmation finds it.

use std::sync::atomic::{AtomicU32, Ordering};

use pinyon_runtime::CoreId;

use super::Kind;

/// What each core has published.
pub struct Audience(Vec<Ears>);

/// Bits of what somebody listens to, on a cache line of their own.
#[derive(Default)]
#[repr(align(128))]
struct Ears(AtomicU32);

/// Channels and patterns are one: their messages are the same.
const OPEN: u32 = 1;
const SHARD: u32 = 2;

fn bit(kind: Kind) -> u32 {
    match kind {
        Kind::Channel | Kind::Pattern => OPEN,
        Kind::Shard => SHARD,
    }
}

impl Audience {
    pub fn new(cores: u16) -> Audience {
        Audience((0..cores).map(|_| Ears::default()).collect())
    }

    /// `core` has listeners of the one or the other sort, or none.
    pub(super) fn publish(&self, core: CoreId, open: bool, shard: bool) {
        let ears = if open { OPEN } else { 0 } | if shard { SHARD } else { 0 };
        let own = &self.0[usize::from(core.0)].0;
        if own.load(Ordering::Relaxed) != ears {
            own.store(ears, Ordering::SeqCst);
        }
    }

    /// Whether `core` has anybody to whom a message of this kind may go.
    #[inline]
    pub(super) fn listens(&self, core: u16, kind: Kind) -> bool {
        self.0[usize::from(core)].0.load(Ordering::SeqCst) & bit(kind) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_listen_to_the_one_or_the_other() {
        let audience = Audience::new(2);
        assert!(!audience.listens(0, Kind::Channel) && !audience.listens(1, Kind::Shard));
        audience.publish(CoreId(1), true, false);
        assert!(audience.listens(1, Kind::Channel) && audience.listens(1, Kind::Pattern));
        assert!(!audience.listens(1, Kind::Shard) && !audience.listens(0, Kind::Channel));
        audience.publish(CoreId(1), false, true);
        assert!(!audience.listens(1, Kind::Channel) && audience.listens(1, Kind::Shard));
    }
}
