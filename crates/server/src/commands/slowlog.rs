//! SLOWLOG, over the slow logs of all cores.

use pinyon_base::number::parse_i64;
use pinyon_engine::CommandError;
use pinyon_engine::command::server::help;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::slowlog::SlowEntry;

/// Entries shown when no number is asked for.
const SHOWN: i64 = 10;

pub fn get(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let wanted = match call.args.len() {
        2 => SHOWN,
        3 => parse_i64(call.args.get(2))
            .filter(|&count| count >= -1)
            .ok_or(CommandError::text("ERR count should be greater than or equal to -1"))?,
        _ => return Err(super::wrong_subcommand(call.args, "'. Try SLOWLOG HELP.")),
    };
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, _| core.slowlog.entries().take(wanted).cloned().collect::<Vec<SlowEntry>>(),
        move |core, io, parts| {
            let mut entries: Vec<SlowEntry> = parts.into_iter().flatten().collect();
            entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
            entries.truncate(wanted.min(core.settings.slowlog_max_len));
            core.fulfil(io, ticket, |out| {
                out.array(entries.len());
                for entry in &entries {
                    out.array(6);
                    out.int(entry.id as i64);
                    out.int(entry.unix_seconds);
                    out.int(entry.micros as i64);
                    out.array(entry.args.len());
                    entry.args.iter().for_each(|arg| out.bulk(arg));
                    out.bulk_str(&entry.address);
                    out.bulk(&entry.name);
                }
            });
        },
    );
    Ok(())
}

pub fn len(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        |core, _| core.slowlog.len(),
        move |core, io, lengths| {
            let total = lengths.iter().sum::<usize>().min(core.settings.slowlog_max_len);
            core.fulfil(io, ticket, |out| out.int(total as i64));
        },
    );
    Ok(())
}

pub fn reset(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(io, |core, _| core.slowlog.clear(), move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
    Ok(())
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::SLOWLOG);
    Ok(())
}
