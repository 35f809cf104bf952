//! SHUTDOWN, TIME: what concerns the process.

use pinyon_engine::CommandError;
use pinyon_runtime::{CoreId, clock};

use super::persistence::give;
use super::{Call, Result};
use crate::core::{Core, Io, Mail};
use crate::log::Errand;
use crate::save::{Refused, Wish};

pub fn time(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let now = clock::unix_us();
    core.reply(io, call.conn, |out| {
        out.array(2);
        out.bulk_int(now / 1_000_000);
        out.bulk_int(now % 1_000_000);
    });
    Ok(())
}

/// Stops the server. What was answered is in the log, whatever the options; with SAVE a snapshot is taken first.
pub fn shutdown(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (mut save, mut nosave, mut abort, mut now, mut force) = (false, false, false, false, false);
    for option in call.args.iter().skip(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => nosave = true,
            b"save" => save = true,
            b"now" => now = true,
            b"force" => force = true,
            b"abort" => abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if (abort && (save || nosave || now || force)) || (save && nosave) {
        return Err(CommandError::Syntax);
    }
    if abort {
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    tracing::warn!("User requested shutdown...");
    if save {
        save_and_stop(core, io, call, force);
    } else {
        core.shut_down_all(io);
    }
    Ok(())
}

/// Ends the server when a snapshot is there; if there cannot be one, only if it is to end all the same.
fn save_and_stop(core: &mut Core, io: &mut Io, call: &Call<'_>, force: bool) {
    const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";
    let ticket = core.promise(call.conn);
    let home = core.id;
    let errand: Errand = Box::new(move |core, io| {
        let begun = core.begin_save(io, Wish::Save);
        if begun == Err(Refused::NoStore) && !force {
            return give(io, home, ticket, Err(FAILED));
        }
        if begun == Err(Refused::NoStore) {
            return core.shut_down_all(io);
        }
        // One that is under way already is as good.
        core.when_saved(move |core, io, is_saved| {
            if is_saved || force {
                return core.shut_down_all(io);
            }
            tracing::warn!("Error trying to save the DB, can't exit");
            give(io, home, ticket, Err(FAILED));
        });
    });
    io.mail(CoreId(0), Mail::Errand(errand));
}

impl Core {
    /// Stops all cores: what is already answered still leaves, and is in the log.
    pub(crate) fn shut_down_all(&mut self, io: &mut Io) {
        if self.exec.log.is_none() || self.log_trouble().is_some() {
            return self.stop_all(io);
        }
        io.mail(CoreId(0), Mail::Errand(Box::new(Core::last_cut)));
    }

    /// Stops all cores as they are.
    pub(crate) fn stop_all(&mut self, io: &mut Io) {
        self.gather_all(
            io,
            |core, io| {
                core.stopping = true;
                io.stop_accepting();
            },
            |_, _, _| {},
        );
    }
}
