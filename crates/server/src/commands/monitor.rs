//! MONITOR: shows every command of every core to the connection, until RESET or QUIT.

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::session::SessionFlags;

pub fn monitor(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let Some(session) = core.sessions.get_mut(call.conn) else { return Ok(()) };
    session.flags.insert(SessionFlags::MONITOR);
    core.monitors.add(call.conn);
    let ticket = core.promise(call.conn);
    let (home, count) = (core.id, core.monitors.own_len());
    core.gather_all(
        io,
        move |core, _| core.set_monitors(home, count),
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
    Ok(())
}
