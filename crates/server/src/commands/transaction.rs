//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. What they do over shards is in `crate::tx`.

use pinyon_engine::CommandError;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::session::SessionFlags;

/// The reply of an EXEC after a command that was refused.
const ABORTED: CommandError = CommandError::text("EXECABORT Transaction discarded because of previous errors.");

/// The error of an EXEC that was itself refused: it ends the MULTI.
pub(crate) fn aborted(error: &CommandError) -> CommandError {
    let text = error.to_string();
    let reason = text.strip_prefix("ERR ").unwrap_or(&text);
    CommandError::Other(format!("EXECABORT Transaction discarded because of: {reason}").into())
}

fn has(core: &Core, call: &Call<'_>, flag: SessionFlags) -> bool {
    core.sessions.get(call.conn).is_some_and(|session| session.flags.contains(flag))
}

pub fn multi(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if has(core, call, SessionFlags::MULTI) {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    let queue = core.spare_queue();
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.flags.insert(SessionFlags::MULTI);
        session.multi = Some(queue);
    }
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn discard(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if !has(core, call, SessionFlags::MULTI) {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    core.discard(io, call.conn);
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn exec(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if !has(core, call, SessionFlags::MULTI) {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    }
    if has(core, call, SessionFlags::ABORTED) {
        core.discard(io, call.conn);
        return Err(ABORTED);
    }
    if has(core, call, SessionFlags::DIRTY) {
        core.discard(io, call.conn);
        core.reply(io, call.conn, |out| out.null_array());
        return Ok(());
    }
    core.exec_queued(io, call.conn, call.args.get(0));
    Ok(())
}

pub fn watch(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if has(core, call, SessionFlags::MULTI) {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    if has(core, call, SessionFlags::DIRTY) {
        // It cannot get any dirtier.
        core.reply(io, call.conn, |out| out.ok());
        return Ok(());
    }
    core.watch(io, call.conn, call.args);
    Ok(())
}

pub fn unwatch(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.unwatch(io, call.conn);
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}
