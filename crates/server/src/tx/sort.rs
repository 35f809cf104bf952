//! SORT and SORT_RO over several shards, in steps: the elements are loaded, what they are sorted by is looked up, they are
//! sorted, what is replied for them is looked up, and that is replied or stored.
//!
//! Which keys BY and GET name is known only when the elements are: then it holds all keys of all shards from the beginning.

use std::sync::Arc;

use pinyon_engine::command::key::sort::{self, Elements, Named, SortOptions};
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Handler, Spread};
use pinyon_engine::transaction::Access;
use pinyon_engine::{CommandError, Effect};
use pinyon_resp::Args;

use super::split::{Caller, SharedArgs};
use super::{Go, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::kept::Kept;

/// A SORT under way.
pub(super) struct Sorting {
    caller: Caller,
    args: SharedArgs,
    options: Arc<SortOptions>,
    stage: Stage,
}

enum Stage {
    Loading,
    Loaded,
    /// What they are sorted by is being looked up.
    Weighing(Elements),
    /// What is replied for them is being looked up; those for which nothing need be looked up are there.
    Finding(Values),
    Stored(usize),
    End,
}

/// Values in the order of the reply, or of the elements.
type Values = Vec<Option<Vec<u8>>>;
/// Numbers of values with what names them, by shard.
type Wanted = Vec<(u16, Vec<(usize, Named)>)>;
type Found = Vec<(usize, Option<Vec<u8>>)>;

impl Core {
    /// What a command over several shards touches beside its keys: everything, where a SORT looks up keys of any names.
    pub(super) fn touches_all(&self, id: CommandId, args: Args<'_>) -> Option<Access> {
        if self.shards == 1 || !matches!(registry().row(id).handler, Handler::Spread(Spread::Sort, _)) {
            return None;
        }
        let options = SortOptions::parse(args).ok().filter(|options| options.looks_elsewhere(args))?;
        Some(if options.store.is_some() { Access::Write } else { Access::Read })
    }

    pub(super) fn sort_over_shards(&self, caller: Caller, args: Args<'_>) -> Result<Sorting, CommandError> {
        let options = Arc::new(SortOptions::parse(args)?);
        Ok(Sorting { caller, args: Arc::new(Kept::new(args.iter())), options, stage: Stage::Loading })
    }
}

impl Sorting {
    fn load(&self, core: &Core) -> Go {
        let (db, args, options) = (self.caller.head.db, self.args.clone(), self.options.clone());
        let owner = core.owner(self.args.args().get(1));
        let load = once(move |core: &mut Core, _: &mut Io| {
            let mut ks = core.exec.shard.keyspace(db, false);
            let key = ks.key(args.args(), 1);
            Elements::load(&mut ks, key, &options)
        });
        Go::Run { parts: vec![(owner, load)], last: false }
    }

    /// Has values looked up where they are.
    fn find(&self, wanted: Wanted) -> Go {
        let db = self.caller.head.db;
        let find = |(owner, names): (u16, Vec<(usize, Named)>)| {
            let part = once(move |core: &mut Core, _: &mut Io| {
                let mut ks = core.exec.shard.keyspace(db, false);
                let find = |(number, named)| (number, sort::look_up(&mut ks, &named));
                names.into_iter().map(find).collect::<Found>()
            });
            (owner, part)
        };
        Go::Run { parts: wanted.into_iter().map(find).collect::<Vec<(u16, Part)>>(), last: false }
    }

    fn loaded(&mut self, core: &mut Core, outcomes: Outcomes) -> Go {
        let loaded =
            outcomes.into_iter().next().map(|(_, elements)| elements.worked::<Result<Elements, CommandError>>());
        let elements = match loaded {
            Some(Ok(elements)) => elements,
            Some(Err(error)) => return self.caller.error(core, &error),
            None => unreachable!("one shard has been asked"),
        };
        let args = self.args.clone();
        let Some(by) = self.options.by(args.args()) else { return self.sorted(core, elements, None) };
        let mut wanted = Wanted::new();
        for (number, item) in elements.items().iter().enumerate() {
            if let Some(named) = sort::named(by, item) {
                want(&mut wanted, core.owner(&named.key), number, named);
            }
        }
        if wanted.is_empty() {
            let weights = vec![None; elements.items().len()];
            return self.sorted(core, elements, Some(weights));
        }
        self.stage = Stage::Weighing(elements);
        self.find(wanted)
    }

    fn sorted(&mut self, core: &mut Core, elements: Elements, weights: Option<Values>) -> Go {
        let sorted = match elements.sort(&self.options, weights) {
            Ok(sorted) => sorted,
            Err(error) => return self.caller.error(core, &error),
        };
        let args = self.args.clone();
        let patterns: Vec<&[u8]> = self.options.gets(args.args()).collect();
        if patterns.is_empty() {
            return self.found(core, sorted.into_iter().map(Some).collect());
        }
        let (mut values, mut wanted) = (Values::new(), Wanted::new());
        for item in &sorted {
            for pattern in &patterns {
                if *pattern == b"#" {
                    values.push(Some(item.clone()));
                    continue;
                }
                if let Some(named) = sort::named(pattern, item) {
                    want(&mut wanted, core.owner(&named.key), values.len(), named);
                }
                values.push(None);
            }
        }
        if wanted.is_empty() {
            return self.found(core, values);
        }
        self.stage = Stage::Finding(values);
        self.find(wanted)
    }

    fn found(&mut self, core: &mut Core, values: Values) -> Go {
        let Some(at) = self.options.store else {
            return Go::Reply(self.caller.reply(|out| sort::reply(out, &values)));
        };
        self.stage = Stage::Stored(values.len());
        let (db, command, args) = (self.caller.head.db, self.caller.head.command, self.args.clone());
        let owner = core.owner(args.args().get(at));
        let store = once(move |core: &mut Core, _: &mut Io| {
            let mut ks = core.exec.shard.keyspace(db, false);
            let key = ks.key(args.args(), at);
            if sort::store(&mut ks, key, &values) {
                let key = at as u16;
                let effect = if values.is_empty() { Effect::Deleted { key } } else { Effect::Put { key } };
                core.exec.changed(&Change { command, db, args: args.args(), effect, counts: true, key: 0 });
            }
        });
        Go::Run { parts: vec![(owner, store)], last: true }
    }
}

fn want(wanted: &mut Wanted, owner: u16, number: usize, named: Named) {
    match wanted.iter_mut().find(|(shard, _)| *shard == owner) {
        Some((_, names)) => names.push((number, named)),
        None => wanted.push((owner, vec![(number, named)])),
    }
}

/// Puts what was looked up into its places.
fn put_found(values: &mut Values, outcomes: Outcomes) {
    for (_, found) in outcomes {
        for (number, value) in found.worked::<Found>() {
            values[number] = value;
        }
    }
}

impl Procedure for Sorting {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Loading => {
                self.stage = Stage::Loaded;
                self.load(core)
            }
            Stage::Loaded => self.loaded(core, outcomes),
            Stage::Weighing(elements) => {
                let mut weights = vec![None; elements.items().len()];
                put_found(&mut weights, outcomes);
                self.sorted(core, elements, Some(weights))
            }
            Stage::Finding(mut values) => {
                put_found(&mut values, outcomes);
                self.found(core, values)
            }
            Stage::Stored(count) => Go::Reply(self.caller.reply(|out| out.int(count as i64))),
            Stage::End => unreachable!("it was answered"),
        }
    }
}
