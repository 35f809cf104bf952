//! WAITAOF: a client waits until what it has written is on the disk, whatever `appendfsync` says.
//!
//! An epoch is sealed and synced at once for it, so one client can pay for durability while others do not. There are no
//! replicas: who asks for some waits until its time is up.

use pinyon_base::parse_i64;
use pinyon_engine::CommandError;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::log::{AofWait, NO_LOG};

pub fn waitaof(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let local = parse_i64(call.args.get(1)).ok_or(CommandError::NotInteger)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    // As Redis says of what is no number, too.
    let not_a_count = CommandError::text("ERR value is out of range, must be positive");
    let replicas = parse_i64(call.args.get(2)).filter(|count| *count >= 0).ok_or(not_a_count)?;
    let not_a_time = CommandError::text("ERR timeout is not an integer or out of range");
    let timeout_ms = parse_i64(call.args.get(3)).ok_or(not_a_time)?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    if local == 1 && !core.exec.logs() {
        return Err(CommandError::text(NO_LOG));
    }
    let is_durable = core.is_log_durable();
    if (local == 0 || is_durable) && replicas == 0 || core.is_captured(call.conn) {
        core.reply(io, call.conn, |out| {
            out.array(2);
            out.int(i64::from(is_durable));
            out.int(0);
        });
        return Ok(());
    }
    let ticket = core.promise(call.conn);
    let until_us = if timeout_ms == 0 { 0 } else { io.now_us().saturating_add(timeout_ms.saturating_mul(1000)) };
    let wait = AofWait { ticket, epoch: None, replicas: replicas > 0, local: local == 1, until_us };
    let id = core.wait_for_epoch(wait);
    if local == 1 {
        core.ask_for_cut(io, move |core, io, epoch| core.epoch_known(io, id, epoch));
    }
    Ok(())
}
