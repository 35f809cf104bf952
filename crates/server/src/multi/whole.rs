//! MSETNX and MSETEX over shards: all keys are looked at before any is set.

use std::ops::Range;
use std::sync::Arc;

use pinyon_base::Millis;
use pinyon_engine::command::row::Handler;
use pinyon_engine::command::string::multi::MultiSet;
use pinyon_resp::{Args, Output, Span, Writer};
use pinyon_runtime::ConnId;

use super::{Joining, Part, Target, command};
use crate::core::{Core, Io};
use crate::gather::Ticket;

/// A command's arguments, kept over several steps.
pub(crate) struct Kept {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Kept {
    pub(crate) fn new<'a>(args: impl Iterator<Item = &'a [u8]>) -> Kept {
        let mut kept = Kept { bytes: Vec::new(), spans: Vec::new() };
        for arg in args {
            kept.spans.push(Span { start: kept.bytes.len() as u32, len: arg.len() as u32 });
            kept.bytes.extend_from_slice(arg);
        }
        kept
    }

    pub(crate) fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }
}

impl Core {
    pub(super) fn msetnx_over_shards(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>) {
        match MultiSet::of_msetnx(args) {
            Ok(what) => self.set_if(io, conn, what, Kept::new(args.iter()), 0..0),
            Err(error) => self.reply_error(io, conn, &error),
        }
    }

    pub(super) fn msetex_over_shards(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>) {
        match MultiSet::of_msetex(args, Millis(io.now_ms())) {
            Ok(what) => {
                let options = what.first_key + 2 * what.pairs..args.len();
                self.set_if(io, conn, what, Kept::new(args.iter()), options);
            }
            Err(error) => self.reply_error(io, conn, &error),
        }
    }

    /// Asks every shard whether one of its keys forbids the command, and when none does lets each store its pairs; answers
    /// 1 or 0. `options`: the arguments behind the pairs.
    fn set_if(&mut self, io: &mut Io, conn: ConnId, what: MultiSet, kept: Kept, options: Range<usize>) {
        let ticket = self.promise(conn);
        let Some(session) = self.sessions.get(conn) else { return };
        let db = session.db;
        let kept = Arc::new(kept);
        let keys: Vec<usize> = what.positions().collect();
        let parts = self.parts_of(&keys, kept.args(), 2);
        if !what.is_conditional() {
            return self.set_pairs(io, ticket, &parts, &kept, options);
        }
        let owners: Vec<u16> = parts.iter().map(|part| part.owner).collect();
        let looked = kept.clone();
        let look = move |core: &mut Core, io: &mut Io| {
            core.exec.start(io.now_ms());
            let (id, args) = (core.id.0, looked.args());
            let own: Vec<usize> = what.positions().filter(|&at| core.owner(args.get(at)) == id).collect();
            let mut ks = core.exec.shard.keyspace(db, false);
            own.into_iter().any(|at| what.forbidden_by(&mut ks, args.get(at)))
        };
        self.gather(io, &owners, look, move |core, io, forbidden| {
            if forbidden.contains(&true) {
                core.fulfil(io, ticket, |out| out.int(0));
            } else {
                core.set_pairs(io, ticket, &parts, &kept, options);
            }
        });
    }

    /// Lets every shard store its pairs: by an MSET, or with options by an MSETEX of its own.
    fn set_pairs(&mut self, io: &mut Io, ticket: Ticket, parts: &[Part], kept: &Kept, options: Range<usize>) {
        let next = move |core: &mut Core, io: &mut Io, done: Result<i64, Output>| match done {
            Err(error) => core.fulfil_output(io, ticket, error),
            Ok(_) => core.fulfil(io, ticket, |out: &mut Writer<'_>| out.int(1)),
        };
        let target = Target::Then(Box::new(next));
        let name: &[u8] = if options.is_empty() { b"mset" } else { b"msetex" };
        let counts: Vec<String> = parts.iter().map(|part| (part.positions.len() / 2).to_string()).collect();
        let pairs_and_options = kept.args().iter().skip(1);
        let all = Kept::new(std::iter::once(name).chain(pairs_and_options).chain(counts.iter().map(|n| n.as_bytes())));
        let parts: Vec<Part> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| {
                // The count of this part's pairs stands behind the original arguments.
                let count = (!options.is_empty()).then_some(kept.spans.len() + number);
                let positions = count.into_iter().chain(part.positions.iter().copied()).chain(options.clone());
                Part { owner: part.owner, positions: positions.collect() }
            })
            .collect();
        let (id, row) = command(name);
        let Handler::Spread(_, handler) = row.handler else { unreachable!("it takes several keys") };
        self.start_join(io, ticket.conn, id, handler, Joining::Ok, target, &parts, all.args());
    }

    fn parts_of(&self, keys: &[usize], args: Args<'_>, width: usize) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for &position in keys {
            let owner = self.owner(args.get(position));
            let positions = position..position + width;
            match parts.iter_mut().find(|part| part.owner == owner) {
                Some(part) => part.positions.extend(positions),
                None => parts.push(Part { owner, positions: positions.collect() }),
            }
        }
        parts
    }
}
