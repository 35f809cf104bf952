//! SHUTDOWN, TIME: what concerns the process.

use pinyon_engine::CommandError;
use pinyon_runtime::{CoreId, clock};

use super::persistence::give;
use super::{Call, Result};
use crate::core::{Core, Io, Mail};
use crate::log::Errand;
use crate::shutdown::EndOptions;

pub fn time(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let now = clock::unix_us();
    core.reply(io, call.conn, |out| {
        out.array(2);
        out.bulk_int(now / 1_000_000);
        out.bulk_int(now % 1_000_000);
    });
    Ok(())
}

/// Ends the server. There is no reply unless it fails.
pub fn shutdown(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (mut options, mut abort) = (EndOptions::default(), false);
    for word in call.args.iter().skip(1) {
        match std::str::from_utf8(word).ok().and_then(EndOptions::option) {
            Some(option) => options |= option,
            None if word.eq_ignore_ascii_case(b"abort") => abort = true,
            None => return Err(CommandError::Syntax),
        }
    }
    if (abort && !options.is_empty()) || options.contains(EndOptions::SAVE | EndOptions::NOSAVE) {
        return Err(CommandError::Syntax);
    }
    let ticket = core.promise(call.conn);
    let home = core.id;
    if !abort {
        tracing::warn!("User requested shutdown...");
        core.end_server(io, options, Some((home, ticket)));
        return Ok(());
    }
    let errand: Errand = Box::new(move |core, io| {
        let answer = if core.abort_end(io) { Ok("OK") } else { Err("ERR No shutdown in progress.") };
        give(io, home, ticket, answer);
    });
    io.mail(CoreId(0), Mail::Errand(errand));
    Ok(())
}
