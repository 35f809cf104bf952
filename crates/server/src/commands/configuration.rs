//! CONFIG. One core, the first, decides on changes one after the other; all cores then take over the new snapshot.

use std::sync::Arc;

use pinyon_engine::CommandError;
use pinyon_engine::command::server::help;
use pinyon_runtime::{CoreId, host};

use super::session::is_local;
use super::{Call, Result};
use crate::config::{Config, config_get, config_rewrite, config_set, set_failed};
use crate::core::{Core, Io, Mail};
use crate::gather::Ticket;
use crate::log::{Errand, Switched, folder_of, has_store};
use crate::rebind::Rebind;
use crate::startup;

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
    let held = ticket.captured.is_some();
    // While other addresses are being opened nothing else may be decided: it might have to be taken back. An EXEC does not wait: what
    // is under way may itself wait for the keys that it holds.
    let share = move |core: &mut Core, io: &mut Io| match core.rebinding {
        true => held.then(|| Err("ERR another CONFIG SET is under way".to_owned())),
        false => Some(core.decide(io, &words, local, held)),
    };
    core.slices_on(io, DECIDING_CORE, share, move |core, io, decided| match decided {
        Err(text) => core.fail(io, ticket, &CommandError::Other(text.into())),
        Ok(Decision { config, logs: Some(on), .. }) => core.switch_logs(io, ticket, config, on),
        Ok(Decision { config, rebind, .. }) if rebind.is_empty() => core.announce_config(io, ticket, config, rebind),
        Ok(decision) => core.rebind(io, ticket, decision),
    });
    Ok(())
}

/// A configuration that may come into force, and the addresses that it moves to. It is in force on the deciding core
/// unless addresses change or the logs are to be started or stopped.
struct Decision {
    config: Arc<Config>,
    rebind: Rebind,
    /// The logs are to be started, or stopped.
    logs: Option<bool>,
    /// The reply if the addresses cannot be had.
    failure: String,
}

impl Core {
    /// Checks a CONFIG SET and does what has to be done once for the process. An error is the reply, and nothing has
    /// changed then. `held`: an EXEC waits for it, with its keys.
    fn decide(
        &mut self,
        io: &mut Io,
        words: &[Vec<u8>],
        local: bool,
        held: bool,
    ) -> std::result::Result<Decision, String> {
        let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        let mut config = config_set(&self.config, &pairs, local)?;
        allow_clients(&self.config, &config, usize::from(self.shards))?;
        let logs = (config.appendonly != self.config.appendonly).then_some(config.appendonly);
        if logs.is_some() && self.is_loading() {
            return Err(set_failed("appendonly", "the data are being loaded"));
        }
        if logs.is_some() && held {
            return Err(set_failed("appendonly", "it cannot be part of a MULTI"));
        }
        if config.dir != self.config.dir {
            self.may_move(&config)?;
        }
        let failure = rebind_failure(&pairs);
        let refused = |error: &dyn std::fmt::Display| {
            tracing::warn!("CONFIG SET: {error}");
            failure.clone()
        };
        let rebind = self.plan_rebind(&config).map_err(|error| refused(&error))?;
        if logs.is_some() && !rebind.is_empty() {
            return Err(set_failed("appendonly", "port and bind are to be changed by a command of their own"));
        }
        startup::take_over(&self.config, &config)?;
        if logs.is_some() {
            self.rebinding = true;
            return Ok(Decision { config: Arc::new(config), rebind, logs, failure });
        }
        if rebind.is_empty() {
            config.version = self.shared.next_config_version();
        } else if let Err(error) = self.open_listeners(io, &rebind) {
            self.take_back(&config);
            return Err(refused(&error));
        }
        let config = Arc::new(config);
        if rebind.is_empty() {
            self.apply_config(config.clone());
        } else {
            self.rebinding = true;
        }
        Ok(Decision { config, rebind, logs, failure })
    }

    /// Whether snapshots may go to another folder: not while there are logs, or one is being made, nor to where a store is that
    /// they would replace.
    fn may_move(&self, config: &Config) -> std::result::Result<(), String> {
        let refused = |why: &str| Err(set_failed("dir", why));
        match () {
            () if self.exec.log.is_some() || config.appendonly => {
                refused("the logs stay where they are: CONFIG SET appendonly no first")
            }
            () if self.is_loading() => refused("the data are being loaded"),
            () if self.shared.saves.since().is_some() => refused("a snapshot is being made"),
            () if has_store(&folder_of(config)) => refused("there is a store in it, which a snapshot would replace"),
            () => Ok(()),
        }
    }

    /// Has the logs started or stopped; then the configuration that says so comes into force.
    fn switch_logs(&mut self, io: &mut Io, ticket: Ticket, config: Arc<Config>, on: bool) {
        let home = self.id;
        let errand: Errand = Box::new(move |core, io| {
            let then: Switched =
                Box::new(move |core, io, switched| core.logs_switched(io, home, ticket, config, switched));
            match on {
                true => core.start_logs(io, then),
                false => core.stop_logs(io, then),
            }
        });
        io.mail(CoreId(DECIDING_CORE), Mail::Errand(errand));
    }

    fn logs_switched(
        &mut self,
        io: &mut Io,
        home: CoreId,
        ticket: Ticket,
        config: Arc<Config>,
        switched: std::result::Result<(), String>,
    ) {
        self.rebinding = false;
        let errand: Errand = match switched {
            Ok(()) => {
                let config = Arc::new(Config { version: self.shared.next_config_version(), ..(*config).clone() });
                self.apply_config(config.clone());
                Box::new(move |core, io| core.announce_config(io, ticket, config, Rebind::default()))
            }
            Err(why) => {
                tracing::warn!("Unable to turn on AOF: {why}");
                self.take_back(&config);
                let text = set_failed("appendonly", "Unable to turn on AOF. Check server logs.");
                Box::new(move |core, io| core.fail(io, ticket, &CommandError::Other(text.into())))
            }
        };
        io.mail(home, Mail::Errand(errand));
    }

    /// Undoes for the process what `decide` did.
    fn take_back(&self, config: &Config) {
        if let Err(problem) = startup::take_over(config, &self.config) {
            tracing::warn!("CONFIG SET cannot be taken back completely: {problem}");
        }
    }

    /// Opens the new addresses on the other cores, too; then the deciding core puts the decision into force, or takes it
    /// back if one of them failed.
    fn rebind(&mut self, io: &mut Io, ticket: Ticket, decision: Decision) {
        let added = decision.rebind.clone();
        let open = move |core: &mut Core, io: &mut Io| match core.id.0 {
            DECIDING_CORE => Ok(()),
            _ => core.open_listeners(io, &added).map_err(|error| error.to_string()),
        };
        self.gather_all(io, open, move |core, io, opened: Vec<std::result::Result<(), String>>| {
            let closes: Vec<bool> = opened.iter().map(std::result::Result::is_ok).collect();
            let problem = opened.into_iter().find_map(std::result::Result::err);
            let failed = problem.is_some();
            let settle = move |core: &mut Core, _: &mut Io, mut decision: Decision| {
                core.rebinding = false;
                match problem {
                    Some(problem) => {
                        tracing::warn!("CONFIG SET: {problem}");
                        core.take_back(&decision.config);
                    }
                    None => {
                        let version = core.shared.next_config_version();
                        decision.config = Arc::new(Config { version, ..(*decision.config).clone() });
                        core.note_rebind(&decision.rebind);
                        core.apply_config(decision.config.clone());
                    }
                }
                decision
            };
            core.send_once(io, DECIDING_CORE, decision, settle, move |core, io, decision| {
                if !failed {
                    return core.announce_config(io, ticket, decision.config, decision.rebind);
                }
                let Decision { rebind, failure, .. } = decision;
                let close = move |core: &mut Core, io: &mut Io| {
                    if closes[usize::from(core.id.0)] {
                        core.close_added(io, &rebind);
                    }
                };
                core.gather_all(io, close, move |core, io, _| {
                    core.fail(io, ticket, &CommandError::Other(failure.into()))
                });
            });
        });
    }

    /// Lets every core take over a configuration that is in force on the deciding core, then answers.
    fn announce_config(&mut self, io: &mut Io, ticket: Ticket, config: Arc<Config>, rebind: Rebind) {
        let work = move |core: &mut Core, io: &mut Io| {
            core.apply_config(config.clone());
            io.set_keepalive(core.config.tcp_keepalive);
            core.close_removed(io, &rebind);
            core.has_new_policy()
        };
        self.gather_all(io, work, move |core, io, new_policies: Vec<bool>| {
            if !new_policies.contains(&true) {
                return core.fulfil(io, ticket, |out| out.ok());
            }
            if ticket.captured.is_some() {
                // The cut comes behind the EXEC, which holds keys.
                core.ask_for_cut(io, |_, _, _| {});
                return core.fulfil(io, ticket, |out| out.ok());
            }
            core.ask_for_cut(io, move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
        });
    }
}

/// Raises the limit of open files for more `maxclients`.
fn allow_clients(old: &Config, new: &Config, cores: usize) -> std::result::Result<(), String> {
    if new.maxclients <= old.maxclients {
        return Ok(());
    }
    let needed = host::open_files_needed(cores, new.maxclients);
    let allowed = host::raise_open_files(needed);
    if allowed >= needed {
        return Ok(());
    }
    let possible = u64::from(new.maxclients).saturating_sub(needed - allowed);
    let reason =
        format!("The operating system is not able to handle the specified number of clients, try with {possible}");
    Err(set_failed("maxclients", &reason))
}

/// The reply when the addresses that these pairs ask for cannot be had.
fn rebind_failure(pairs: &[(&[u8], &[u8])]) -> String {
    let first = pairs.iter().find_map(|(name, _)| match name.to_ascii_lowercase().as_slice() {
        b"port" => Some("port"),
        b"bind" => Some("bind"),
        _ => None,
    });
    match first {
        Some("bind") => set_failed("bind", "Failed to bind to specified addresses."),
        _ => set_failed("port", "Unable to listen on this port. Check server logs."),
    }
}

pub fn rewrite(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let Some(path) = &core.shared.config_file else {
        return Err(CommandError::text("ERR The server is running without a config file"));
    };
    match config_rewrite(&core.config, path) {
        Ok(()) => {
            tracing::info!("CONFIG REWRITE executed with success.");
            core.reply(io, call.conn, |out| out.ok());
            Ok(())
        }
        Err(problem) => {
            tracing::warn!("CONFIG REWRITE failed: {problem}");
            Err(CommandError::Other(problem.into()))
        }
    }
}

pub fn resetstat(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(io, |core, io| core.reset_stats(io), move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
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
