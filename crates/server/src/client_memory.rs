//! maxmemory-clients: one limit for the memory of all connections of all cores.
//!
//! While the limit is set, every core adds up ten times a second what its connections take, and publishes the sum and the
//! size of the largest one that may be closed. While the sums of all cores are above the limit, the core with the largest
//! of all closes it. So the largest go first wherever they are, and no core asks another for anything.

use std::sync::atomic::{AtomicU64, Ordering};

use pinyon_runtime::{ConnId, CoreId};

use crate::core::{Core, Io};
use crate::session::SessionFlags;

/// What each core has published.
pub struct ClientMemory {
    cores: Vec<Published>,
}

#[derive(Default)]
struct Published {
    /// Bytes of all connections.
    total: AtomicU64,
    /// Bytes of the largest one that may be closed.
    largest: AtomicU64,
}

impl ClientMemory {
    pub fn new(cores: u16) -> ClientMemory {
        ClientMemory { cores: (0..cores).map(|_| Published::default()).collect() }
    }

    fn publish(&self, core: CoreId, total: u64, largest: u64) {
        let own = &self.cores[usize::from(core.0)];
        own.total.store(total, Ordering::Relaxed);
        own.largest.store(largest, Ordering::Relaxed);
    }

    /// Bytes of all connections of all cores.
    fn total(&self) -> u64 {
        self.cores.iter().map(|core| core.total.load(Ordering::Relaxed)).sum()
    }

    /// Whether `bytes`, on `core`, is the most that any connection takes; of equals the one of the first core is.
    fn is_largest(&self, core: CoreId, bytes: u64) -> bool {
        self.cores.iter().enumerate().all(|(other, published)| {
            let largest = published.largest.load(Ordering::Relaxed);
            largest < bytes || (largest == bytes && other >= usize::from(core.0))
        })
    }
}

impl Core {
    /// Publishes what the connections of this core take, and closes those that it falls to this core to close.
    pub(crate) fn limit_client_memory(&mut self, io: &mut Io) {
        let limit = self.settings.maxmemory_clients;
        if limit == 0 {
            return self.forget_client_memory();
        }
        let shared = self.shared.clone();
        let mut total = 0;
        let mut largest = 0;
        for (bytes, _, evictable) in self.client_sizes(io) {
            total += bytes;
            largest = if evictable { bytes.max(largest) } else { largest };
        }
        shared.client_memory.publish(self.id, total, largest);
        if shared.client_memory.total() <= limit || !shared.client_memory.is_largest(self.id, largest) {
            return;
        }
        let evictable = self.client_sizes(io).filter(|(_, _, evictable)| *evictable);
        let mut candidates: Vec<(u64, ConnId)> = evictable.map(|(bytes, conn, _)| (bytes, conn)).collect();
        candidates.sort_unstable_by_key(|(bytes, _)| *bytes);
        while let Some((bytes, conn)) = candidates.pop() {
            total -= bytes;
            let id = self.sessions.get(conn).map_or(0, |session| session.id);
            tracing::warn!(
                "Client {id} closed: the clients take more than maxmemory-clients, and this one {bytes} bytes"
            );
            self.exec.stats.evicted_clients += 1;
            self.kill(io, conn);
            let largest = candidates.last().map_or(0, |(bytes, _)| *bytes);
            shared.client_memory.publish(self.id, total, largest);
            if shared.client_memory.total() <= limit || !shared.client_memory.is_largest(self.id, largest) {
                return;
            }
        }
    }

    /// Of each connection: what it takes in bytes, and whether it may be closed.
    fn client_sizes(&self, io: &Io) -> impl Iterator<Item = (u64, ConnId, bool)> {
        let alive = self.sessions.iter().filter(|session| !session.flags.contains(SessionFlags::KILLED));
        alive.map(|session| {
            let bytes = (session.memory() + io.unsent(session.conn)) as u64;
            let evictable = !session.flags.intersects(SessionFlags::NO_EVICT | SessionFlags::CLOSING);
            (bytes, session.conn, evictable)
        })
    }

    /// Takes this core out of the account.
    pub(crate) fn forget_client_memory(&self) {
        self.shared.client_memory.publish(self.id, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_all_cores_goes_first() {
        let memory = ClientMemory::new(3);
        memory.publish(CoreId(0), 50, 30);
        memory.publish(CoreId(1), 40, 40);
        memory.publish(CoreId(2), 60, 40);
        assert_eq!(memory.total(), 150);
        assert!(!memory.is_largest(CoreId(0), 30));
        assert!(memory.is_largest(CoreId(1), 40));
        assert!(!memory.is_largest(CoreId(2), 40), "of equals one core goes first");
        memory.publish(CoreId(1), 0, 0);
        assert!(memory.is_largest(CoreId(2), 40));
    }
}
