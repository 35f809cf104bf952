//! Work of unbounded size, cut into slices that run between the turns: KEYS, long SCANs, FLUSHALL SYNC.

use std::any::Any;
use std::collections::VecDeque;

use pinyon_engine::transaction::TransactionId;
use pinyon_runtime::CoreId;

use crate::core::{Core, Io, Mail};
use crate::tx::Outcome;

/// One core's share of a big piece of work. Each call does a slice of at most some 100 µs; a result ends it.
pub type Slice = Box<dyn FnMut(&mut Core, &mut Io) -> Option<Box<dyn Any + Send>> + Send>;

/// A share at work, and where its result goes.
struct Job {
    home: Home,
    slice: Slice,
}

/// Where the result of a share goes.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    Gather {
        core: CoreId,
        gather: u32,
        part: u32,
    },
    /// A step of a transaction, at the transaction's time; `last`: it then lets go of what it holds.
    Transaction {
        id: TransactionId,
        now: i64,
        last: bool,
    },
}

/// The shares at work on one core; they take turns.
#[derive(Default)]
pub struct Jobs(VecDeque<Job>);

impl Core {
    /// As `gather_all`, for work that goes on over many turns: `start` makes each core's share.
    pub fn gather_slices<T, F, S, D>(&mut self, io: &mut Io, start: S, done: D)
    where
        T: Send + 'static,
        F: FnMut(&mut Core, &mut Io) -> Option<T> + Send + 'static,
        S: Fn() -> F,
        D: FnOnce(&mut Core, &mut Io, Vec<T>) + 'static,
    {
        let targets: Vec<u16> = (0..self.shards).collect();
        self.gather_slices_on(io, &targets, start, done);
    }

    /// As `gather`, for work that goes on over many turns: `start` makes each core's share.
    pub fn gather_slices_on<T, F, S, D>(&mut self, io: &mut Io, targets: &[u16], start: S, done: D)
    where
        T: Send + 'static,
        F: FnMut(&mut Core, &mut Io) -> Option<T> + Send + 'static,
        S: Fn() -> F,
        D: FnOnce(&mut Core, &mut Io, Vec<T>) + 'static,
    {
        self.flush_hops(io);
        let gather = self.open_gather(targets.len(), done);
        for (part, &target) in targets.iter().enumerate() {
            let mut share = start();
            let slice: Slice =
                Box::new(move |core, io| share(core, io).map(|result| Box::new(result) as Box<dyn Any + Send>));
            let (core, part) = (self.id, part as u32);
            self.expecting += 1;
            if target == self.id.0 {
                self.start_job(io, Home::Gather { core, gather, part }, slice);
            } else {
                io.mail(CoreId(target), Mail::Slices { gather, part, slice });
            }
        }
    }

    /// Runs one share of sliced work on the core `target`, then `done` here.
    pub fn slices_on<T, F, D>(&mut self, io: &mut Io, target: u16, mut share: F, done: D)
    where
        T: Send + 'static,
        F: FnMut(&mut Core, &mut Io) -> Option<T> + Send + 'static,
        D: FnOnce(&mut Core, &mut Io, T) + 'static,
    {
        self.flush_hops(io);
        let gather = self.open_gather(1, move |core: &mut Core, io: &mut Io, mut results: Vec<T>| {
            let result = results.pop().expect("one part, one result");
            done(core, io, result);
        });
        let slice: Slice =
            Box::new(move |core, io| share(core, io).map(|result| Box::new(result) as Box<dyn Any + Send>));
        self.expecting += 1;
        if target == self.id.0 {
            self.start_job(io, Home::Gather { core: self.id, gather, part: 0 }, slice);
        } else {
            io.mail(CoreId(target), Mail::Slices { gather, part: 0, slice });
        }
    }

    /// Takes on a share and does its first slice. One of a transaction does it at once: often that is all.
    pub(crate) fn start_job(&mut self, io: &mut Io, home: Home, slice: Slice) {
        let job = Job { home, slice };
        if matches!(home, Home::Transaction { .. }) {
            return self.run_slice(io, job);
        }
        self.jobs.0.push_back(job);
        if self.jobs.0.len() == 1 {
            self.job_slice(io);
        }
    }

    /// Does one slice of the share whose turn it is. True: there are more.
    pub(crate) fn job_slice(&mut self, io: &mut Io) -> bool {
        let Some(job) = self.jobs.0.pop_front() else { return false };
        self.run_slice(io, job);
        self.drive(io);
        !self.jobs.0.is_empty()
    }

    fn run_slice(&mut self, io: &mut Io, mut job: Job) {
        match job.home {
            Home::Gather { .. } => self.exec.start(io.now_ms()),
            Home::Transaction { now, .. } => {
                self.exec.begin_group();
                self.exec.start_at(now);
            }
        }
        let result = (job.slice)(self, io);
        if let Home::Transaction { id, .. } = job.home {
            self.exec.end_step(id.number);
        }
        let Some(result) = result else { return self.jobs.0.push_back(job) };
        match job.home {
            Home::Gather { core, gather, part } if core == self.id => {
                self.expecting -= 1;
                self.gathered(io, gather, part, result);
            }
            Home::Gather { core, gather, part } => io.mail(core, Mail::Result { gather, part, result }),
            Home::Transaction { id, now, last } => self.part_done(io, id, now, Some(Outcome::Worked(result)), last),
        }
    }
}
