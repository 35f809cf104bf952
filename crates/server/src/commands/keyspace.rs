//! Commands over the keys of all shards: DBSIZE, FLUSHALL, FLUSHDB, KEYS, RANDOMKEY, SCAN, SWAPDB.

use pinyon_base::DbIndex;
use pinyon_base::number::parse_i64;
use pinyon_engine::CommandError;
use pinyon_engine::command::key::walk::{TypeFilter, Wanted, scan_options, walk_step};
use pinyon_engine::command::server::help;

use super::{Call, Result};
use crate::core::{Core, Io};

/// Keys looked at in one slice of a long walk.
const WALK_SLICE: usize = 512;
/// Steps of freeing in one slice of FLUSHALL SYNC.
const FREE_SLICE: usize = 1024;

fn selected(core: &Core, call: &Call<'_>) -> DbIndex {
    core.sessions.get(call.conn).map_or(DbIndex(0), |session| session.db)
}

/// The cores whose keys are meant: all of them, and on a core's own port that one.
fn shards_meant(core: &Core, call: &Call<'_>) -> Vec<u16> {
    if core.is_on_core_port(call.conn) { vec![core.id.0] } else { (0..core.shards).collect() }
}

pub fn dbsize(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = selected(core, call);
    let shards = shards_meant(core, call);
    let ticket = core.promise(call.conn);
    core.gather(
        io,
        &shards,
        move |core, _| core.exec.shard.db_len(db),
        move |core, io, sizes| core.fulfil(io, ticket, |out| out.int(sizes.iter().sum::<usize>() as i64)),
    );
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
    let wait = match call.args.len() {
        1 => !core.config.lazyfree_lazy_user_flush,
        2 if call.args.get(1).eq_ignore_ascii_case(b"SYNC") => true,
        2 if call.args.get(1).eq_ignore_ascii_case(b"ASYNC") => false,
        _ => return Err(CommandError::Syntax),
    };
    let shards = shards_meant(core, call);
    let ticket = core.promise(call.conn);
    let share = move || {
        let mut emptied = false;
        move |core: &mut Core, _: &mut Io| {
            if !emptied {
                emptied = true;
                core.exec.stats.dirty += core.empty(db) as u64;
            }
            let more = core.exec.shard.background_slice(FREE_SLICE);
            (!more || !wait).then_some(())
        }
    };
    core.gather_slices_on(io, &shards, share, move |core, io, _: Vec<()>| core.fulfil(io, ticket, |out| out.ok()));
    Ok(())
}

impl Core {
    /// Detaches all keys of a database, or of all; gives how many there were.
    fn empty(&mut self, db: Option<DbIndex>) -> usize {
        let shard = &mut self.exec.shard;
        match db {
            Some(db) => {
                let keys = shard.db_len(db);
                shard.flush_db(db, false);
                keys
            }
            None => {
                let keys = (0..self.settings.databases).map(|db| shard.db_len(DbIndex(db))).sum();
                shard.flush_all(false);
                keys
            }
        }
    }
}

pub fn swapdb(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if core.is_on_core_port(call.conn) {
        return Err(CommandError::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let index = |at: usize, text: &'static str| {
        let number = parse_i64(call.args.get(at)).ok_or(CommandError::text(text))?;
        i32::try_from(number).map_err(|_| CommandError::text(text))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let in_range = |db: i32| u16::try_from(db).ok().filter(|&db| db < core.settings.databases).map(DbIndex);
    let first = in_range(first).ok_or(CommandError::DbOutOfRange)?;
    let second = in_range(second).ok_or(CommandError::DbOutOfRange)?;
    let ticket = core.promise(call.conn);
    core.exec.stats.dirty += 1;
    core.gather_all(
        io,
        move |core, _| core.exec.shard.swap_db(first, second),
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
    Ok(())
}

pub fn keys(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = selected(core, call);
    let shards = shards_meant(core, call);
    let ticket = core.promise(call.conn);
    let pattern = call.args.get(1).to_vec();
    let share = move || {
        let pattern = pattern.clone();
        let mut cursor = 0;
        let mut found = Vec::new();
        move |core: &mut Core, _: &mut Io| {
            let wanted = Wanted::matching(&pattern);
            cursor =
                walk_step(&mut core.exec.shard, db, cursor, WALK_SLICE, &wanted, &mut |key| found.push(key.to_vec()));
            (cursor == 0).then(|| std::mem::take(&mut found))
        }
    };
    core.gather_slices_on(io, &shards, share, move |core, io, shares: Vec<Vec<Vec<u8>>>| {
        core.fulfil(io, ticket, |out| {
            out.array(shares.iter().map(Vec::len).sum());
            shares.iter().flatten().for_each(|key| out.bulk(key));
        });
    });
    Ok(())
}

pub fn randomkey(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = selected(core, call);
    let shards = shards_meant(core, call);
    let ticket = core.promise(call.conn);
    let draw = move |core: &mut Core, _: &mut Io| (core.exec.shard.random_key(db), core.exec.shard.db_len(db));
    core.gather(io, &shards, draw, move |core, io, draws| {
        let total: usize = draws.iter().filter(|(key, _)| key.is_some()).map(|(_, keys)| (*keys).max(1)).sum();
        let mut left = core.random_below(total);
        let chosen = draws.iter().filter(|(key, _)| key.is_some()).find(|(_, keys)| {
            let hit = left < (*keys).max(1);
            left = left.saturating_sub((*keys).max(1));
            hit
        });
        core.fulfil(io, ticket, |out| match chosen {
            Some((Some(key), _)) => out.bulk(key),
            _ => out.null(),
        });
    });
    Ok(())
}

pub fn object_help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::OBJECT);
    Ok(())
}

/// What a SCAN call found on one shard: the cursor there, and keys.
type Page = (u64, Vec<Vec<u8>>);

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
        (cursor == 0 || left == 0).then(|| (cursor, std::mem::take(&mut found)))
    };
    core.slices_on(io, shard, share, move |core, io, (at, keys)| {
        let next = match at {
            at if own => at,
            0 if u64::from(shard) + 1 == shards => 0,
            0 => u64::from(shard) + 1,
            at => at * shards + u64::from(shard),
        };
        core.fulfil(io, ticket, |out| {
            out.array(2);
            out.bulk_str(&next.to_string());
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        });
    });
    Ok(())
}
