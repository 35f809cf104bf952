//! The open loop: requests go out when they are due, as far as connections have room. What finds none stays in the schedule,
//! which is behind then; so nothing is ever left out, and every latency counts from the moment that was planned.

use std::io;

use super::{Phase, Worker};
use crate::load::connection::Role;

/// A request sent this much too late by the generator's own fault is counted.
const LAG_NS: u64 = 1_000_000;

impl Worker {
    /// When the next request is due; None when no more are to be sent.
    pub(super) fn next_due(&self) -> Option<u64> {
        let due = self.plan.schedule.as_ref()?.next_ns();
        (self.quota > 0 && self.end_ns.is_none_or(|end| due < end)).then_some(due)
    }

    pub(super) fn set_free(&mut self, place: u32) {
        let connection = &mut self.connections[place as usize];
        if !connection.is_free {
            connection.is_free = true;
            self.free.push_back(place);
        }
    }

    /// Sends everything that is due, as far as connections have room. One is filled before the next gets anything; one that is not
    /// full goes to the end of the row.
    pub(super) fn issue(&mut self) -> io::Result<()> {
        let was_starved = std::mem::replace(&mut self.is_starved, false);
        while self.is_due() {
            let Some(place) = self.free.pop_front() else {
                self.is_starved = true;
                break;
            };
            self.connections[place as usize].is_free = false;
            if self.connections[place as usize].role == Role::Asking {
                self.issue_to(place, !was_starved)?;
            }
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.next_due().is_some_and(|due| due <= self.now_ns)
    }

    /// How many requests more a connection may have under way.
    pub(super) fn room(&self, place: u32) -> u32 {
        let connection = &self.connections[place as usize];
        let mut limit = u64::from(self.plan.pipeline);
        if self.plan.reconnect_every > 0 {
            limit = limit.min(self.plan.reconnect_every.saturating_sub(connection.answered));
        }
        limit.saturating_sub(u64::from(connection.outstanding)) as u32
    }

    /// Sends what is due on one connection. Where nothing but this thread can be the reason for being late, that is noted.
    fn issue_to(&mut self, place: u32, is_ours: bool) -> io::Result<()> {
        let mut room = self.room(place);
        while room > 0
            && let Some(due) = self.next_due().filter(|&due| due <= self.now_ns)
        {
            self.render(place, 1);
            self.connections[place as usize].due_ns.push_back(due);
            room -= 1;
            self.quota -= 1;
            if let Some(schedule) = &mut self.plan.schedule {
                schedule.advance();
            }
            if is_ours && self.phase == Phase::Measured {
                let late = self.now_ns - due;
                self.second.lag_max_ns = self.second.lag_max_ns.max(late);
                self.second.lagging += u64::from(late > LAG_NS);
            }
        }
        if room > 0 {
            self.set_free(place);
        }
        self.flush(place)
    }
}
