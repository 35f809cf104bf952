//! BGSAVE, SAVE, LASTSAVE, BGREWRITEAOF.

use pinyon_engine::CommandError;
use pinyon_runtime::CoreId;

use super::{Call, Result};
use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::log::Errand;
use crate::save::{Refused, Wish};

const FIRST: u16 = 0;
const ALREADY: &str = "ERR Background save already in progress";

pub fn lastsave(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let seconds = core.shared.saves.last_ms() / 1000;
    core.reply(io, call.conn, |out| out.int(seconds));
    Ok(())
}

pub fn bgsave(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let schedule = match call.args.len() {
        1 => false,
        2 if call.args.get(1).eq_ignore_ascii_case(b"SCHEDULE") => true,
        _ => return Err(CommandError::Syntax),
    };
    ask(core, io, call, move |core, io| match core.begin_save(io, Wish::Save) {
        Ok(()) => Ok("Background saving started"),
        Err(Refused::Same) => Err(ALREADY),
        Err(Refused::Other) if schedule => {
            core.schedule_save(Wish::Save);
            Ok("Background saving scheduled")
        }
        Err(Refused::Other) => Err(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule \
             a BGSAVE whenever possible.",
        ),
    });
    Ok(())
}

pub fn bgrewriteaof(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    ask(core, io, call, |core, io| match core.begin_save(io, Wish::Rewrite) {
        Ok(()) => Ok("Background append only file rewriting started"),
        Err(Refused::Same) => Err("ERR Background append only file rewriting already in progress"),
        Err(Refused::Other) => {
            core.schedule_save(Wish::Rewrite);
            Ok("Background append only file rewriting scheduled")
        }
    });
    Ok(())
}

/// Replies when the snapshot is there; the server goes on meanwhile.
pub fn save(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    let home = core.id;
    let errand: Errand = Box::new(move |core, io| match core.begin_save(io, Wish::Save) {
        Ok(()) => core.when_saved(move |_, io, is_saved| {
            let answer = if is_saved { Ok("OK") } else { Err("ERR") };
            give(io, home, ticket, answer);
        }),
        Err(_) => give(io, home, ticket, Err(ALREADY)),
    });
    io.mail(CoreId(FIRST), Mail::Errand(errand));
    Ok(())
}

/// Has the first core do `work`, and replies what it gives.
fn ask(
    core: &mut Core,
    io: &mut Io,
    call: &Call<'_>,
    work: impl FnOnce(&mut Core, &mut Io) -> std::result::Result<&'static str, &'static str> + Send + 'static,
) {
    let ticket = core.promise(call.conn);
    let home = core.id;
    let errand: Errand = Box::new(move |core, io| {
        let answer = work(core, io);
        give(io, home, ticket, answer);
    });
    io.mail(CoreId(FIRST), Mail::Errand(errand));
}

/// Gives a promised reply on the core that promised it.
pub(crate) fn give(io: &mut Io, home: CoreId, ticket: Ticket, answer: std::result::Result<&'static str, &'static str>) {
    let errand: Errand = Box::new(move |core, io| {
        if let Err(error) = answer {
            return core.fulfil(io, ticket, |out| CommandError::text(error).write(out));
        }
        core.fulfil(io, ticket, |out| out.simple(answer.unwrap_or_default()));
    });
    io.mail(home, Mail::Errand(errand));
}
