//! CONFIG. One core, the first, decides on changes one after the other; all cores then take over the new snapshot.

use std::sync::Arc;

use pinyon_engine::CommandError;
use pinyon_engine::command::server::help;

use super::session::is_local;
use super::{Call, Result};
use crate::config::{Config, config_get, config_rewrite, config_set};
use crate::core::{Core, Io};

/// The core that decides on CONFIG SET.
const DECIDING_CORE: u16 = 0;

pub fn get(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let patterns: Vec<&[u8]> = call.args.iter().skip(2).collect();
    let found = config_get(&core.config, &patterns);
    core.reply(io, call.conn, |out| {
        out.map(found.len());
        for (name, value) in &found {
            out.bulk_str(name);
            out.bulk_str(value);
        }
    });
    Ok(())
}

pub fn set(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if call.args.len() % 2 == 1 {
        return Err(CommandError::WrongArity("config|set".into()));
    }
    let words: Vec<Vec<u8>> = call.args.iter().skip(2).map(<[u8]>::to_vec).collect();
    let local = core.sessions.get(call.conn).is_some_and(is_local);
    let ticket = core.promise(call.conn);
    let decide = move |core: &mut Core, _: &mut Io, words: Vec<Vec<u8>>| -> std::result::Result<Arc<Config>, String> {
        let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        let mut config = config_set(&core.config, &pairs, local)?;
        config.version = core.shared.next_config_version();
        let config = Arc::new(config);
        core.apply_config(config.clone());
        Ok(config)
    };
    core.send_once(io, DECIDING_CORE, words, decide, move |core, io, decided| match decided {
        Err(text) => core.fail(io, ticket, &CommandError::Other(text.into())),
        Ok(config) => core.gather_all(
            io,
            move |core, io| {
                core.apply_config(config.clone());
                io.set_keepalive(core.config.tcp_keepalive);
            },
            move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
        ),
    });
    Ok(())
}

pub fn rewrite(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let Some(path) = &core.shared.config_file else {
        return Err(CommandError::text("ERR The server is running without a config file"));
    };
    match config_rewrite(&core.config, path) {
        Ok(()) => core.reply(io, call.conn, |out| out.ok()),
        Err(problem) => {
            tracing::warn!("CONFIG REWRITE failed: {problem}");
            return Err(CommandError::Other(format!("ERR Rewriting config file: {problem}").into()));
        }
    }
    Ok(())
}

pub fn resetstat(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        |core, io| core.reset_stats(io),
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
    Ok(())
}

impl Core {
    /// Zeroes what CONFIG RESETSTAT zeroes.
    fn reset_stats(&mut self, io: &mut Io) {
        // Changes since the last save are no statistics.
        let dirty = self.exec.stats.dirty;
        self.exec.stats = crate::stats::CoreStats::new();
        self.exec.stats.dirty = dirty;
        self.exec.shard.reset_stats();
        self.cron.rates.reset();
        io.reset_stats();
    }
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::CONFIG);
    Ok(())
}
