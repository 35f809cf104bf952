//! What becomes of received bytes: replies are counted, timed, checked against what their commands may say, and followed by new
//! requests.

use std::io;

use super::{Phase, Worker};
use crate::load::connection::{Connection, Role};
use crate::load::control::{NOBODY, read_moved};
use crate::load::reply::Kind;
use crate::load::wire::{Address, Received};

impl Worker {
    #[inline]
    pub(super) fn received(&mut self, received: Received) -> io::Result<()> {
        let place = received.connection;
        let before = self.connections[place as usize].outstanding;
        let malformed = self.take_replies(&received).err();
        self.wire.recycle(received);
        if let Some(why) = malformed {
            self.second.failed(&why);
            self.wire.close(place);
            return Ok(());
        }
        let connection = &self.connections[place as usize];
        if connection.role != Role::Asking || connection.greeting > 0 {
            return Ok(());
        }
        let (outstanding, answered) = (connection.outstanding, connection.answered);
        self.outstanding -= u64::from(before - outstanding);
        if self.plan.reconnect_every > 0 && answered >= self.plan.reconnect_every {
            if outstanding == 0 {
                if self.plan.reset {
                    self.wire.reset(place);
                } else {
                    self.wire.close(place);
                }
            }
            return Ok(());
        }
        if self.plan.schedule.is_some() {
            if self.room(place) > 0 {
                self.set_free(place);
            }
        } else if outstanding == 0 {
            self.refill(place)?;
        }
        Ok(())
    }

    /// Counts and times the replies in a buffer.
    #[inline]
    fn take_replies(&mut self, received: &Received) -> Result<(), String> {
        let bytes = self.wire.bytes(received);
        let connection = &mut self.connections[received.connection as usize];
        let second = match (self.phase, &mut self.finished) {
            (Phase::Draining, Some(finished)) => &mut *finished.drained,
            _ => &mut *self.second,
        };
        let Connection { replies, outstanding, greeting, commands, due_ns, sent_ns, answered, role, .. } = connection;
        let (now, is_open_loop) = (self.now_ns, self.plan.schedule.is_some());
        let (templates, owners, addresses) = (&self.plan.templates, &mut self.plan.owners, &self.plan.addresses);
        let is_single = templates.len() == 1;
        let expected = templates[0].expected();
        // What the server says without being asked, before it closes: that there are too many connections, or that it has had enough.
        let mut surplus = None;
        // Replies to the only command in the closed loop: they are put down together.
        let mut batch = 0u64;
        let fed = replies.feed(bytes, |kind, text| {
            if *role == Role::Listening {
                second.pushes += u64::from(matches!(kind, Kind::Array | Kind::Push));
                return;
            }
            if kind == Kind::Push {
                second.pushes += 1;
                return;
            }
            if *greeting > 0 {
                *greeting -= 1;
                if kind == Kind::Error {
                    second.failed(&String::from_utf8_lossy(text));
                }
                return;
            }
            if *outstanding == 0 {
                surplus.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
                return;
            }
            *outstanding -= 1;
            *answered += 1;
            if is_single && !is_open_loop && expected.has(kind) && kind != Kind::Error {
                batch += 1;
                second.nulls += u64::from(kind == Kind::Null);
                return;
            }
            let command = commands.pop_front().map_or(0, usize::from);
            let since = if is_open_loop { due_ns.pop_front().unwrap_or(now) } else { *sent_ns };
            match kind {
                Kind::Error if redirected(text, owners, addresses) => {
                    second.moved += 1;
                    return;
                }
                Kind::Error => second.failed(&String::from_utf8_lossy(text)),
                kind if !templates[command].expected().has(kind) => {
                    second.failed(&format!("{} was answered with {kind:?}", templates[command].name()));
                }
                Kind::Null => second.nulls += 1,
                _ => {}
            }
            second.replied(command, now.saturating_sub(since), 1);
        });
        if batch > 0 {
            second.replied(0, now.saturating_sub(*sent_ns), batch);
        }
        if let Some(text) = surplus {
            return Err(format!("a reply that nothing was asked for: {text}"));
        }
        fed.map_err(|error| error.to_string())
    }
}

/// Whether an error sends the request to another node; if to one that is known, its slot goes there from now on.
#[cold]
fn redirected(text: &[u8], owners: &mut [u16], addresses: &[Address]) -> bool {
    if owners.is_empty() {
        return false;
    }
    let Some((slot, place)) = read_moved(text) else { return text.starts_with(b"ASK ") };
    let node = addresses.iter().position(|address| address.to_string() == place);
    owners[slot] = node.map_or(NOBODY, |node| node as u16);
    node.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_slots_go_to_their_new_owner() {
        let addresses = [7001, 7002].map(|port| Address::Tcp(([127, 0, 0, 1], port).into()));
        let mut owners = vec![0; 16384];
        assert!(redirected(b"MOVED 5 127.0.0.1:7002", &mut owners, &addresses));
        assert_eq!((owners[4], owners[5]), (0, 1));
        assert!(!redirected(b"MOVED 6 127.0.0.1:7003", &mut owners, &addresses), "a node that is not known");
        assert!(redirected(b"ASK 5 127.0.0.1:7001", &mut owners, &addresses));
        assert!(!redirected(b"ERR no", &mut owners, &addresses));
        assert!(!redirected(b"MOVED 5 127.0.0.1:7002", &mut [], &addresses), "no cluster");
    }
}
