//! PFSELFTEST.

use pinyon_engine::CommandError;
use pinyon_engine::command::hyperloglog::debug::self_test;

use super::{Call, Result};
use crate::core::{Core, Io};

pub(super) fn selftest(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let seed = core.random_below(usize::MAX) as u64;
    self_test(seed).map_err(|what| CommandError::Other(format!("TESTFAILED {what}").into()))?;
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}
