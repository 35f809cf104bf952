//! Commands and EXECs over several shards as one moment in time: how cores talk about them.
//!
//! ```text
//! coordinator (the connection's core)          every shard it touches
//!   number, Acquire ─────────────────────────▶ the queue of pinyon_engine::transaction
//!   ◀───────────────────────────── Granted ──  nobody is in its way
//!   all granted: its moment
//!   Run (a step) ────────────────────────────▶ runs the part; with the last one, lets go of the keys
//!   ◀───────────────────────────────── Ran ──  replies
//!   … further steps, then the client's reply
//! ```
//!
//! `coordinator` drives transactions, `shard` answers and keeps single commands waiting that touch what is held. What a
//! command does over shards is a [`Procedure`]: `split`, `two_keys`, `set_if`, `lend`, `smove`, `combine`,
//! `sort`, `whole`; `long` carries one on one shard out in pieces. `queued` keeps the commands of a
//! MULTI, `exec` and `unit` carry them out. With one other shard and one step the first message carries the part along
//! ([`Body::Try`]), so that nothing but one message there and one back is needed while nobody is in the way.
//!
//! All steps run at one time: the latest of the clocks of the shards when they granted.

mod combine;
mod coordinator;
mod exec;
mod lend;
pub(crate) mod long;
mod planted;
pub(crate) mod queued;
mod set_if;
mod shard;
mod smove;
mod sort;
mod split;
mod two_keys;
pub(crate) mod unit;
mod watching;
pub(crate) mod whole;

use std::any::Any;
use std::collections::VecDeque;

use pinyon_engine::transaction::{Intents, TransactionId};
use pinyon_resp::Output;
use pinyon_runtime::{ConnId, CoreId};

use crate::core::{Core, Io};
use crate::hop::Batch;
use crate::log::{Logged, Placings, Writers};
use crate::slab::Slab;
use crate::slices::Slice;

pub(crate) use coordinator::Transaction;
use shard::Deferred;
pub(crate) use shard::Late;
pub(crate) use split::Caller;
pub(crate) use watching::{Watched, Watching};

/// One message between a coordinator and a shard; `now` is the sender's clock, in Unix ms.
pub struct TxMail {
    pub id: TransactionId,
    pub now: i64,
    pub body: Body,
}

pub enum Body {
    /// To a shard: it wants to touch this.
    Acquire(Intents),
    /// To a shard: the same with all that there is to do there; to be done at once if nobody is in the way.
    Try(Intents, Part, Writers),
    /// To a shard: a step's part, if it has one there; with `last` its keys are free again. `now` is the transaction's.
    Run {
        part: Option<Part>,
        last: bool,
        /// With `last`: who logs a part of the transaction.
        writers: Writers,
    },
    /// To a shard: it gives its grant back.
    Yielded,
    /// To the coordinator, from shard `u16`.
    Granted(u16),
    Yield(u16),
    Ran(u16, Outcome, Option<Logged>),
    /// Its last step has run before.
    Logged(u16, Logged),
    /// A try came to something, or its part comes back and it waits like others.
    Tried(u16, Result<(Outcome, Option<Logged>), Part>),
}

/// What one shard does in one step.
pub enum Part {
    /// Commands as they travel in batches.
    Batch(Box<Batch>),
    /// Anything else.
    Work(Slice),
}

/// What came of a part.
pub enum Outcome {
    Batch(Box<Batch>),
    Worked(Box<dyn Any + Send>),
    /// The reply of a command that the server carried out by itself.
    Replied(Output),
}

impl Outcome {
    /// What a piece of work gave.
    ///
    /// # Panics
    /// When it gave something else.
    pub fn worked<T: 'static>(self) -> T {
        match self {
            Outcome::Worked(value) => *value.downcast().expect("work gives its own type"),
            _ => unreachable!("a part that is work gives what it worked out"),
        }
    }
}

/// What came of a step, by shard.
pub type Outcomes = Vec<(u16, Outcome)>;

/// What a command does over shards, step by step, once it holds all that it touches.
pub trait Procedure {
    /// The next step, given what came of the last one; nothing at first.
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Go;

    /// The parts of its only step, where it has but one and those are known beforehand. `next` is then called with what
    /// came of them.
    fn only_step(&mut self) -> Option<Vec<(u16, Part)>> {
        None
    }
}

/// A step of a procedure.
pub enum Go {
    /// Parts, one per shard at most; `last`: nothing follows but the reply.
    Run { parts: Vec<(u16, Part)>, last: bool },
    /// The end.
    Reply(Output),
}

/// Drives a transaction: one procedure, or those of an EXEC one after the other.
pub(crate) trait Script {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step;
    fn only_step(&mut self) -> Option<Vec<(u16, Part)>> {
        None
    }

    /// Whether what it does on shards that it writes to is logged.
    fn logs(&self) -> bool {
        true
    }
}

/// What a script wants next.
pub(crate) enum Step {
    Run {
        parts: Vec<(u16, Part)>,
        last: bool,
    },
    /// Something is under way that ends in `resume_transaction`.
    Wait,
    /// The client has been answered.
    Done,
}

/// What one core has to do with transactions.
#[derive(Default)]
pub struct Tx {
    /// Those that this core coordinates.
    coordinated: Slab<Transaction>,
    /// Messages of this core to itself.
    inbox: VecDeque<TxMail>,
    driving: bool,
    /// The transaction whose script is being asked: its place, and its number where it is logged.
    stepping: u32,
    pub(crate) current: Option<u64>,
    /// Those whose parts are not all in their logs, or that replies wait for.
    pub(crate) placings: Placings,
    /// Commands that wait until what they touch is free, in the order in which they came.
    deferred: VecDeque<Deferred>,
    /// Connections of other cores with a command that is under way here in pieces.
    in_pieces: Vec<(CoreId, ConnId)>,
    /// A command of an EXEC that the server is carrying out.
    pub(crate) capture: Option<Capture>,
    // Boxed because they move to sessions and back as pointers.
    #[allow(clippy::vec_box)]
    pub(crate) spare_queues: Vec<Box<queued::Multi>>,
}

/// Catches the reply of a command that runs inside an EXEC.
pub(crate) struct Capture {
    pub conn: pinyon_runtime::ConnId,
    pub output: Output,
    /// It will reply later: to the transaction kept here, not to the connection.
    pub promised: bool,
    pub slot: u32,
}

/// Work that is done at one go.
pub(crate) fn once<T: Send + 'static>(work: impl FnOnce(&mut Core, &mut Io) -> T + Send + 'static) -> Part {
    let mut work = Some(work);
    Part::Work(Box::new(move |core, io| {
        let work = work.take().expect("it is called until it gives something, which is once");
        Some(Box::new(work(core, io)))
    }))
}
