//! DEBUG: what tests and the curious need. Only where `enable-debug-command` allows it.

mod digest;
mod object;
mod protocol;

use std::time::Duration;

use pinyon_base::number::{parse_i64, parse_u64};
use pinyon_base::{DbIndex, parse_f64};
use pinyon_engine::CommandError;
use pinyon_engine::command::server::help;
use pinyon_engine::keyspace::{NewValue, TableStats, Ttl};
use pinyon_runtime::{CoreId, clock};

use super::session::is_local;
use super::{Call, Result};
use crate::config::value::parse_memory;
use crate::core::{Core, Io, Mail};
use crate::kept::Kept;
use crate::log::{Errand, LoadedAgain};

/// The core that decides on snapshots and logs.
const FIRST: u16 = 0;
/// Keys made, or passed over, and bytes written in one slice of DEBUG POPULATE.
const POPULATE_SLICE: u64 = 256;
const POPULATE_SLICE_BYTES: usize = 64 << 10;
/// The longest that DEBUG SLEEP sleeps, in seconds.
const SLEEP_SECONDS_MAX: f64 = 1e9;

pub fn debug(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let local = core.sessions.get(call.conn).is_some_and(is_local);
    if !core.config.enable_debug_command.to(local) {
        return Err(CommandError::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
             local connection, otherwise you need to set this option in the configuration file, and then restart the \
             server.",
        ));
    }
    let args = call.args;
    match (args.get(1).to_ascii_lowercase().as_slice(), args.len()) {
        (b"change-repl-id", 2) => {
            core.shared.change_replication_id();
            core.reply(io, call.conn, |out| out.ok());
        }
        (b"digest", 2) => digest::digest(core, io, call),
        (b"digest-value", _) => digest::digest_value(core, io, call),
        (b"error", 3) => {
            return Err(CommandError::quoting("", args.get(2), ""));
        }
        (b"help", 2) => super::reply_help(core, io, call, help::DEBUG),
        (b"htstats", 3) => return htstats(core, io, call),
        (b"loadaof", 2) => return load_log(core, io, call),
        (b"log", 3) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args.get(2)));
            core.reply(io, call.conn, |out| out.ok());
        }
        (b"log-fault", 3 | 4) => return log_fault(core, io, call),
        (b"htstats-key", 3..=4) => object::htstats_key(core, io, call),
        (b"listpack", 3) => object::listpack(core, io, call),
        (b"object", 3..=4) => object::object(core, io, call),
        (b"populate", 3..=5) => return populate(core, io, call),
        (b"protocol", 3) => return protocol::protocol(core, io, call),
        (b"reload", 2) => reload(core, io, call),
        // How long an element must be for a node of its own: our nodes have no such limit, so any will do.
        (b"quicklist-packed-threshold", 3) => {
            let size = std::str::from_utf8(args.get(2)).ok().and_then(parse_memory);
            size.ok_or(CommandError::text("ERR argument must be a memory value"))?;
            core.reply(io, call.conn, |out| out.ok());
        }
        (b"set-active-expire", 3) => set_active_expire(core, io, call),
        (b"sleep", 3) => sleep(core, io, call),
        _ => {
            return Err(CommandError::quoting(
                "ERR unknown subcommand or wrong number of arguments for '",
                args.get(1),
                "'. Try DEBUG HELP.",
            ));
        }
    }
    Ok(())
}

/// `DEBUG LOG-FAULT <fault> [core]`: has all writes of the logs, or of one, fail from now on (EIO, ENOSPC), or all new segments
/// (SEGMENTS); or nothing any more (NONE).
fn log_fault(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    let (fault, segments) = match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"eio" => (Some(EIO), None),
        b"enospc" => (Some(ENOSPC), None),
        b"segments" => (None, Some(EIO)),
        b"none" => (None, None),
        _ => return Err(CommandError::Syntax),
    };
    let only =
        if call.args.len() > 3 { Some(parse_u64(call.args.get(3)).ok_or(CommandError::NotInteger)?) } else { None };
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, _| {
            let is_meant = only.is_none_or(|only| only == u64::from(core.id.0));
            if let Some(log) = core.exec.log.as_mut().filter(|_| is_meant) {
                (log.fault, log.segment_fault) = (fault, segments);
            }
        },
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
    Ok(())
}

/// Has every core save its data and load it again, in memory.
fn reload(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        |core, io| {
            core.exec.start(io.now_ms());
            core.exec.shard.reload().map_err(|damaged| damaged.to_string())
        },
        move |core, io, shards| match shards.into_iter().collect::<std::result::Result<Vec<bool>, String>>() {
            Ok(reloaded) if reloaded.contains(&false) => {
                core.fail(io, ticket, &CommandError::text("ERR a snapshot is under way"));
            }
            Ok(_) => core.fulfil(io, ticket, |out| out.ok()),
            Err(why) => {
                core.fail(io, ticket, &CommandError::quoting("ERR the data could not be loaded: ", why.as_bytes(), ""))
            }
        },
    );
}

/// Loads again what is on the disk. Not within an EXEC, which holds keys that it would wait for.
fn load_log(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if core.is_captured(call.conn) {
        return Err(CommandError::text("ERR DEBUG LOADAOF cannot be part of a MULTI"));
    }
    let ticket = core.promise(call.conn);
    let home = core.id;
    let load: Errand = Box::new(move |core, io| {
        let then: LoadedAgain = Box::new(move |_, io, loaded| {
            let answer: Errand = Box::new(move |core, io| match loaded {
                Ok(()) => core.fulfil(io, ticket, |out| out.ok()),
                Err(why) => {
                    let error = format!("ERR the log cannot be loaded: {why}");
                    core.fail(io, ticket, &CommandError::Other(error.into()));
                }
            });
            io.mail(home, Mail::Errand(answer));
        });
        core.load_again(io, then);
    });
    io.mail(CoreId(FIRST), Mail::Errand(load));
    Ok(())
}

fn selected(core: &Core, call: &Call<'_>) -> DbIndex {
    core.sessions.get(call.conn).map_or(DbIndex(0), |session| session.db)
}

/// Numbers by their first digits; anything else is 0, which is what Redis makes of it here.
fn set_active_expire(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let on = parse_i64(call.args.get(2)).is_some_and(|number| number != 0);
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, _| {
            core.active_expire = on;
            core.exec.shard.set_active_expire(on);
        },
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
}

/// Stops all cores until the time is over. They are told first; the sleep begins when every core has had a turn to hear it.
fn sleep(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let seconds = parse_f64(call.args.get(2)).unwrap_or(0.0).clamp(0.0, SLEEP_SECONDS_MAX);
    let duration = Duration::from_secs_f64(seconds);
    let until_us = io.now_us() + duration.as_micros() as u64;
    if core.shards == 1 {
        sleep_until(until_us);
        return core.reply(io, call.conn, |out| out.ok());
    }
    let ticket = core.promise(call.conn);
    let (id, kept) = (call.id, Kept::new(call.args.iter()));
    let share = move || {
        let mut told_in = None;
        move |core: &mut Core, _: &mut Io| {
            // Mail leaves at the end of a turn: only then may this core sleep, too.
            let turn = *told_in.get_or_insert(core.turn);
            (core.turn >= turn + 2).then(|| sleep_until(until_us))
        }
    };
    core.gather_slices(io, share, move |core, io, _| {
        // The call itself took no time, so the sleep is put down here. A threshold that the call has passed has recorded it.
        let ns = duration.as_nanos() as u64;
        if ns >= core.settings.watch_ns && core.settings.watch_ns >= CALL_NS_MAX {
            core.was_slow(io, ticket.conn, id, kept.args(), ns);
        }
        core.fulfil(io, ticket, |out| out.ok());
    });
}

/// The call of DEBUG SLEEP takes less than this itself, in ns.
const CALL_NS_MAX: u64 = 100_000;

fn sleep_until(until_us: u64) {
    std::thread::sleep(Duration::from_micros(until_us.saturating_sub(clock::monotonic_us())));
}

/// `DEBUG POPULATE count [prefix] [size]`: makes the keys that are missing of `<prefix>:0` and on. Every core makes its own.
fn populate(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    const BAD_NUMBER: CommandError = CommandError::text("ERR value is out of range, must be positive");
    let args = call.args;
    let number = |at: usize| parse_u64(args.get(at)).filter(|&number| i64::try_from(number).is_ok()).ok_or(BAD_NUMBER);
    let count = number(2)?;
    let prefix = if args.len() > 3 { args.get(3).to_vec() } else { b"key".to_vec() };
    let size = if args.len() > 4 { number(4)? } else { 0 };
    if size > core.config.proto_max_bulk_len {
        return Err(CommandError::StringTooLong);
    }
    let db = selected(core, call);
    let ticket = core.promise(call.conn);
    let share = move || {
        let (mut next, prefix) = (0, prefix.clone());
        move |core: &mut Core, _: &mut Io| {
            let end = count.min(next + POPULATE_SLICE);
            let mut written = 0;
            while next < end && written < POPULATE_SLICE_BYTES {
                written += core.make_key(db, &prefix, next, size as usize);
                next += 1;
            }
            core.exec.log_changes(None);
            (next == count).then_some(())
        }
    };
    core.gather_slices(io, share, move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
    Ok(())
}

impl Core {
    /// Sets `<prefix>:<number>` to `value:<number>`, cut or zero-padded to `size` bytes unless that is 0, if the key is this
    /// core's and is not there. Gives the bytes written.
    fn make_key(&mut self, db: DbIndex, prefix: &[u8], number: u64, size: usize) -> usize {
        let key = [prefix, b":", number.to_string().as_bytes()].concat();
        if self.owner(&key) != self.id.0 {
            return 0;
        }
        let mut ks = self.exec.shard.keyspace(db, false);
        let key = ks.key_of(&key);
        if ks.peek(key).is_some() {
            return 0;
        }
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        ks.put(key, NewValue::Plain(&value), Ttl::Clear);
        ks.record(&[b"SET", key.bytes, &value]);
        value.len()
    }
}

fn htstats(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
    let db = u16::try_from(db).ok().filter(|&db| db < core.settings.databases).map(DbIndex);
    let db = db.ok_or(CommandError::text("ERR Out of range database"))?;
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, _| (core.exec.shard.table_stats(db), core.exec.shard.db_volatile_len(db)),
        move |core, io, tables| {
            let text = describe_tables(&tables);
            core.fulfil(io, ticket, |out| out.verbatim("txt", text.as_bytes()));
        },
    );
    Ok(())
}

fn describe_tables(tables: &[(TableStats, usize)]) -> String {
    let mut text = String::new();
    for (number, (table, volatile)) in tables.iter().enumerate() {
        text.push_str(&format!(
            "[Shard {number}]\n segments: {}\n buckets: {}\n slots: {}\n keys: {}\n with a deadline: {volatile}\n load: \
             {:.3}\n bytes: {}\n",
            table.segments, table.buckets, table.slots, table.len, table.load, table.bytes
        ));
    }
    text
}
