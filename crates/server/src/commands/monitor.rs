//! MONITOR: shows every command of every core to the connection, until RESET or QUIT.

use pinyon_engine::CommandError;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::session::SessionFlags;

pub fn monitor(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let conn = call.conn;
    if core.tx.capture.is_some() {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let ticket = core.promise(conn);
    let (home, count) = (core.id, core.monitors.own_len() + 1);
    core.gather_all(
        io,
        move |core, _| core.set_monitors(home, count),
        move |core, io, _| {
            core.fulfil(io, ticket, |out| out.ok());
            // From here on, so that no line comes before the reply.
            match core.sessions.get_mut(conn) {
                Some(session) => {
                    session.flags.insert(SessionFlags::MONITOR);
                    core.monitors.add(conn);
                }
                None => core.announce_monitors(io),
            }
        },
    );
    Ok(())
}
