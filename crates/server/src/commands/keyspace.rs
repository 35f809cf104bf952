//! Commands over the keys of all shards: DBSIZE, FLUSHALL, FLUSHDB, KEYS, RANDOMKEY, SCAN, SWAPDB.

use pinyon_base::DbIndex;
use pinyon_engine::CommandError;
use pinyon_engine::command::key::walk::{TypeFilter, Wanted, scan_options, walk_step};
use pinyon_engine::command::server::help;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::log::Until;
use crate::tx::whole::{Asked, Then, swapped, waits};

/// Keys looked at in one slice of a long walk.
const WALK_SLICE: usize = 512;

fn selected(core: &Core, call: &Call<'_>) -> DbIndex {
    core.sessions.get(call.conn).map_or(DbIndex(0), |session| session.db)
}

pub fn dbsize(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.run_whole(io, call.conn, Asked::Size, call.args);
    Ok(())
}

pub fn flushdb(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = selected(core, call);
    flush(core, io, call, Some(db))
}

pub fn flushall(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    flush(core, io, call, None)
}

/// Empties one database or all. Freeing the memory goes on in slices; SYNC waits for it, ASYNC does not.
fn flush(core: &mut Core, io: &mut Io, call: &Call<'_>, db: Option<DbIndex>) -> Result {
    let then = if waits(core, call.args)? { Then::Free } else { Then::Reply };
    core.run_whole_then(io, call.conn, Asked::Flush(db), call.args, then);
    Ok(())
}

pub fn swapdb(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if core.is_on_core_port(call.conn) {
        return Err(CommandError::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let (first, second) = swapped(core, call.args)?;
    core.run_whole(io, call.conn, Asked::Swap(first, second), call.args);
    Ok(())
}

pub fn keys(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let pattern = call.args.get(1).to_vec();
    core.run_whole(io, call.conn, Asked::Keys(pattern), call.args);
    Ok(())
}

pub fn randomkey(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.run_whole(io, call.conn, Asked::Random, call.args);
    Ok(())
}

pub fn xgroup_help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::XGROUP);
    Ok(())
}

pub fn xinfo_help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::XINFO);
    Ok(())
}

pub fn object_help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::OBJECT);
    Ok(())
}

/// What a SCAN call found on one shard: the cursor there, and keys; and what it waits for before it is shown.
type Page = (u64, Vec<Vec<u8>>, Until);

/// One page. The cursor that clients see is `shard's cursor × shards + shard`, so that 0 begins and ends the walk.
pub fn scan(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let options = scan_options(call.args)?;
    let db = selected(core, call);
    let shards = u64::from(core.shards);
    let own = core.is_on_core_port(call.conn);
    // A core's own port shows its keys alone, with its own cursor.
    let shard = if own { core.id.0 } else { (options.cursor % shards) as u16 };
    let mut cursor = if own { options.cursor } else { options.cursor / shards };
    let mut left = options.count;
    let key_type: TypeFilter = options.wanted.key_type;
    let pattern = options.wanted.pattern.map(<[u8]>::to_vec);
    let ticket = core.promise(call.conn);
    let mut found = Vec::new();
    let share = move |core: &mut Core, _: &mut Io| -> Option<Page> {
        let wanted = Wanted { pattern: pattern.as_deref(), key_type };
        let step = left.min(WALK_SLICE);
        left -= step;
        cursor = walk_step(&mut core.exec.shard, db, cursor, step, &wanted, &mut |key| found.push(key.to_vec()));
        (cursor == 0 || left == 0).then(|| (cursor, std::mem::take(&mut found), core.until_of_all()))
    };
    core.slices_on(io, shard, share, move |core, io, (at, keys, until)| {
        let next = match at {
            at if own => at,
            0 if u64::from(shard) + 1 == shards => 0,
            0 => u64::from(shard) + 1,
            at => at * shards + u64::from(shard),
        };
        core.fulfil_at(io, ticket, until, |out| {
            out.array(2);
            out.bulk_str(&next.to_string());
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        });
    });
    Ok(())
}
