//! Commands that read one key and write another on a different shard: RENAME, RENAMENX, COPY, LCS.
//!
//! A value travels as it is, with its deadline. Each step looks again at what it depends on, so that a key which appears
//! or goes between two steps is noticed.

use pinyon_base::DbIndex;
use pinyon_engine::CommandError;
use pinyon_engine::command::key::transfer::{CopyOptions, copy_options};
use pinyon_engine::command::string::lcs::{LcsOptions, lcs_of};
use pinyon_engine::keyspace::{Keyspace, OwnedValue};
use pinyon_resp::Args;
use pinyon_runtime::ConnId;

use crate::core::{Core, Io};
use crate::gather::Ticket;

impl Core {
    pub(super) fn rename_over_shards(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>, only_new: bool) {
        let Some(session) = self.sessions.get(conn) else { return };
        let db = session.db;
        let (from, to) = (args.get(1).to_vec(), args.get(2).to_vec());
        let (source, target) = (self.owner(&from), self.owner(&to));
        let ticket = self.promise(conn);
        let (probe_from, probe_to) = (from.clone(), to.clone());
        let probe = move |core: &mut Core, io: &mut Io| {
            let key = if core.id.0 == source { &probe_from } else { &probe_to };
            core.on_key(io, db, key, |ks, key| ks.peek(key).is_some())
        };
        self.gather(io, &[source, target], probe, move |core, io, found| match (found[0], found[1]) {
            (false, _) => core.fail(io, ticket, &CommandError::NoSuchKey),
            (true, true) if only_new => core.fulfil(io, ticket, |out| out.int(0)),
            _ => core.move_value(io, ticket, db, from, to, only_new),
        });
    }

    /// Takes the value of `from` and puts it under `to`; back again if `to` has appeared and must not be replaced.
    fn move_value(&mut self, io: &mut Io, ticket: Ticket, db: DbIndex, from: Vec<u8>, to: Vec<u8>, only_new: bool) {
        let (source, target) = (self.owner(&from), self.owner(&to));
        let taken_from = from.clone();
        let take = move |core: &mut Core, io: &mut Io| core.on_key(io, db, &taken_from, |ks, key| ks.take(key));
        self.gather(io, &[source], take, move |core, io, mut taken| {
            let Some(value) = taken.pop().flatten() else {
                return core.fail(io, ticket, &CommandError::NoSuchKey);
            };
            core.put_value(io, target, db, to, value, !only_new, move |core, io, refused| match refused {
                None if only_new => core.fulfil(io, ticket, |out| out.int(1)),
                None => core.fulfil(io, ticket, |out| out.ok()),
                Some(value) => core.put_value(io, source, db, from, value, false, move |core, io, _| {
                    core.fulfil(io, ticket, |out| out.int(0));
                }),
            });
        });
    }

    /// Puts a value under a key of the shard `target`; `then` gets it back when the key exists and `replace` is false.
    #[allow(clippy::too_many_arguments)]
    fn put_value(
        &mut self,
        io: &mut Io,
        target: u16,
        db: DbIndex,
        key: Vec<u8>,
        value: OwnedValue,
        replace: bool,
        then: impl FnOnce(&mut Core, &mut Io, Option<OwnedValue>) + 'static,
    ) {
        self.send_once(
            io,
            target,
            value,
            move |core, io, value| {
                let refused = core.on_key(io, db, &key, |ks, key| {
                    if !replace && ks.peek(key).is_some() {
                        return Some(value);
                    }
                    ks.restore(key, value);
                    None
                });
                core.exec.stats.dirty += u64::from(refused.is_none());
                refused
            },
            then,
        );
    }

    pub(super) fn copy_over_shards(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>) {
        let Some(session) = self.sessions.get(conn) else { return };
        let db = session.db;
        let CopyOptions { db: target_db, replace } = match copy_options(args, db, self.settings.databases) {
            Ok(options) => options,
            Err(error) => return self.reply_error(io, conn, &error),
        };
        let (from, to) = (args.get(1).to_vec(), args.get(2).to_vec());
        let (source, target) = (self.owner(&from), self.owner(&to));
        let ticket = self.promise(conn);
        let read = move |core: &mut Core, io: &mut Io| {
            core.on_key(io, db, &from, |ks, key| {
                // Counted and touched as a read.
                ks.read(key)?;
                ks.copy_out(key)
            })
        };
        self.gather(io, &[source], read, move |core, io, mut copies| match copies.pop().flatten() {
            None => core.fulfil(io, ticket, |out| out.int(0)),
            Some(value) => core.put_value(io, target, target_db, to, value, replace, move |core, io, refused| {
                core.fulfil(io, ticket, |out| out.int(i64::from(refused.is_none())));
            }),
        });
    }

    pub(super) fn lcs_over_shards(&mut self, io: &mut Io, conn: ConnId, args: Args<'_>) {
        let Some(session) = self.sessions.get(conn) else { return };
        let db = session.db;
        let options = LcsOptions::parse(args, self.config.proto_max_bulk_len);
        let (a, b) = (args.get(1).to_vec(), args.get(2).to_vec());
        let (owner_a, owner_b) = (self.owner(&a), self.owner(&b));
        let ticket = self.promise(conn);
        let read = move |core: &mut Core, io: &mut Io| {
            let key = if core.id.0 == owner_a { &a } else { &b };
            core.on_key(io, db, key, |ks, key| ks.read(key).map_or_else(Vec::new, |value| value.to_vec()))
        };
        // As in Redis, the keys are read before wrong options are complained of.
        self.gather(io, &[owner_a, owner_b], read, move |core, io, values| {
            let mut result = Ok(());
            let options = match options {
                Ok(options) => options,
                Err(error) => return core.fail(io, ticket, &error),
            };
            core.fulfil(io, ticket, |out| {
                result = lcs_of(&values[0], &values[1], options, out);
                if let Err(error) = &result {
                    error.write(out);
                }
            });
            if let Err(error) = result {
                core.exec.stats.failed(ticket.command, error.code());
            }
        });
    }

    /// Works on one key of this core's shard.
    fn on_key<T>(
        &mut self,
        io: &mut Io,
        db: DbIndex,
        key: &[u8],
        work: impl FnOnce(&mut Keyspace<'_>, pinyon_engine::keyspace::Key<'_>) -> T,
    ) -> T {
        self.exec.start(io.now_ms());
        let hash = self.exec.shard.hash(key);
        let mut ks = self.exec.shard.keyspace(db, false);
        work(&mut ks, pinyon_engine::keyspace::Key { bytes: key, hash })
    }

    /// Answers with an error, and counts it.
    pub(crate) fn reply_error(&mut self, io: &mut Io, conn: ConnId, error: &CommandError) {
        let command = self.sessions.get(conn).and_then(|session| session.last_command);
        self.exec.stats.failed(command, error.code());
        self.reply(io, conn, |out| error.write(out));
    }

    /// Answers a promise with an error, and counts it.
    pub(crate) fn fail(&mut self, io: &mut Io, ticket: Ticket, error: &CommandError) {
        self.exec.stats.failed(ticket.command, error.code());
        self.fulfil(io, ticket, |out| error.write(out));
    }
}
