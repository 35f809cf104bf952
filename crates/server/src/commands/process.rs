//! SHUTDOWN, TIME: what concerns the process.

use pinyon_engine::CommandError;
use pinyon_runtime::{CoreId, clock};

use super::{Call, Result};
use crate::core::{Core, Io, Mail};

pub fn time(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let now = clock::unix_us();
    core.reply(io, call.conn, |out| {
        out.array(2);
        out.bulk_int(now / 1_000_000);
        out.bulk_int(now % 1_000_000);
    });
    Ok(())
}

/// Stops the server. Its options choose what becomes of the data on disk, of which there is none.
pub fn shutdown(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (mut save, mut nosave, mut abort, mut others) = (false, false, false, false);
    for option in call.args.iter().skip(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => nosave = true,
            b"save" => save = true,
            b"now" | b"force" => others = true,
            b"abort" => abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if (abort && (save || nosave || others)) || (save && nosave) {
        return Err(CommandError::Syntax);
    }
    if abort {
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    if save {
        return Err(CommandError::text("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    tracing::warn!("User requested shutdown...");
    core.shut_down_all(io);
    Ok(())
}

impl Core {
    /// Stops all cores: what is already answered still leaves, and is in the log.
    pub(crate) fn shut_down_all(&mut self, io: &mut Io) {
        if self.exec.log.is_none() || self.exec.refusal.is_some() {
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
