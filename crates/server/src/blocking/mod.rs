//! Clients that wait for keys of any shards (BLPOP, BZPOPMIN, XREAD BLOCK and their like): how cores talk about them. What a
//! command does on one key is said by its row (`pinyon_engine::command::blocking`).
//!
//! ```text
//! the client's core (home)                     a shard that has keys of the command
//!   Ask, all keys being there ───────────────▶ tries at once
//!   ◀────────────────────────────── Served ──  there was something: the reply
//!   ◀─────────────────────────────── Waits ──  nothing: it has a place in the queue of each of its keys
//!   …                                          a key changes: after that command or EXEC, those who wait are served
//!   ◀────────────────────────────── Served ──  in the order in which they came
//!   Cancel (time is up, CLIENT UNBLOCK, gone) ▶ gives up its places
//!   ◀─────────────────────────── Cancelled ──  only now is the client told; what was served meanwhile came first
//! ```
//!
//! A shard alone decides about a client that waits there and nowhere else: pop and reply are one moment. So nothing is lost
//! and nothing given twice, for the home does not answer by itself before the shard has confirmed.
//!
//! Keys on several shards are tried, and waited for, within one transaction over those shards (`across`). When one of the
//! keys becomes ready, its shard begins a transaction that holds that key, and asks the home, which says yes to the first:
//!
//! ```text
//!   ◀─────────────────────────────── Claim ──  it holds the key, and there is something
//!   Claimed { yes } ─────────────────────────▶ serves it, or forgets it
//!   Cancel ──────────────────────────────────▶ the other shards forget it
//! ```
//!
//! The element cannot go away between claim and pop, so a claim that was granted is always served. BLMOVE to another shard is
//! a transaction over both, begun by the shard that the client waits at.

mod across;
mod home;
mod shard;

use pinyon_resp::Output;
use pinyon_runtime::CoreId;

pub(crate) use across::{moving, trying};
pub use home::Home;
pub(crate) use home::Why;
pub use shard::Waiters;

use crate::core::{Core, Io, Mail};
use crate::hop::RequestHead;
use crate::kept::Kept;
use crate::log::Until;

/// One command that may wait, over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitId {
    /// The client's core.
    pub core: u16,
    pub number: u64,
}

/// One message between a client's core and a shard; `now` is the sender's clock, in Unix ms.
pub struct BlockMail {
    pub id: WaitId,
    pub now: i64,
    pub body: Body,
}

pub enum Body {
    /// To a shard: the command, all of whose keys are there.
    Ask(Box<Ask>),
    /// To a shard: it no longer waits.
    Cancel,
    /// To a shard: the answer to a claim of the transaction `slot`.
    Claimed {
        slot: u32,
        yes: bool,
    },
    /// To the home.
    Waits,
    /// The reply, and what it waits for.
    Served(Output, Until),
    Cancelled,
    /// To the home: `shard` can serve it within its transaction `slot`.
    Claim {
        shard: u16,
        slot: u32,
    },
}

/// A command on its way to the shard of its keys.
pub struct Ask {
    pub(crate) head: RequestHead,
    pub(crate) args: Kept,
}

impl Core {
    /// Sends a message about a waiting command; one to this core itself is taken up at once.
    fn tell_about(&mut self, io: &mut Io, core: u16, id: WaitId, body: Body) {
        let now = self.exec.clock(io.now_ms());
        let mail = BlockMail { id, now, body };
        if core == self.id.0 {
            self.on_block_mail(io, mail);
        } else {
            io.mail(CoreId(core), Mail::Block(Box::new(mail)));
        }
    }

    /// Takes up a message about a waiting command.
    pub(crate) fn on_block_mail(&mut self, io: &mut Io, BlockMail { id, now, body }: BlockMail) {
        self.exec.see(now);
        match body {
            Body::Ask(ask) => self.take_ask(io, id, ask),
            Body::Cancel => self.cancel_here(io, id),
            Body::Claimed { slot, yes } => self.claimed(io, slot, yes),
            Body::Waits => self.now_waits(io, id.number),
            Body::Served(reply, until) => self.served(io, id.number, reply, until),
            Body::Cancelled => self.cancelled(io, id.number),
            Body::Claim { shard, slot } => {
                let yes = self.claim(io, id.number, shard);
                self.tell_about(io, shard, id, Body::Claimed { slot, yes });
            }
        }
    }
}
