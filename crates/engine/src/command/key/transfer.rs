//! RENAME, RENAMENX, COPY and MOVE where both places are on this shard.
//!
//! Over two shards the coordinator takes the value out of one keyspace and puts it into the other, with the same checks in
//! the same order; [`copy_options`] is shared with it.

use pinyon_base::DbIndex;
use pinyon_base::number::parse_i64;
use pinyon_resp::Args;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Events, Key};
use crate::{CommandError, Cx, Effect};

pub(super) const RENAME: Command = Command {
    name: "rename",
    arity: 3,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Gives a key another name, replacing what was there.",
    args: &[Arg::key("key", 0), Arg::key("newkey", 1)],
    handler: Handler::Spread(Spread::Rename, rename),
    ..Command::EMPTY
};

pub(super) const RENAMENX: Command = Command {
    name: "renamenx",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT)),
    ],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Gives a key another name unless that name is taken.",
    history: &[("3.2.0", "Equal names are no error.")],
    args: &[Arg::key("key", 0), Arg::key("newkey", 1)],
    handler: Handler::Spread(Spread::RenameNx, renamenx),
    ..Command::EMPTY
};

pub(super) const COPY: Command = Command {
    name: "copy",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    group: Group::Generic,
    since: "6.2.0",
    complexity: "O(1) for strings, O(N) for a collection of N elements.",
    summary: "Copies the value at one key to another key or database.",
    args: &[
        Arg::key("source", 0),
        Arg::key("destination", 1),
        Arg::new("destination-db", ArgKind::Integer).with_token("DB").optional(),
        Arg::token("replace", "REPLACE").optional(),
    ],
    handler: Handler::Spread(Spread::Copy, copy),
    ..Command::EMPTY
};

pub(super) const MOVE: Command = Command {
    name: "move",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST).union(Flags::LEAVES_DB),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Moves a key to another database.",
    args: &[Arg::key("key", 0), Arg::new("db", ArgKind::Integer)],
    handler: Handler::Shard(move_key),
    ..Command::EMPTY
};

/// A database's number as SELECT, COPY and MOVE take it: below `databases`.
pub fn db_index(arg: &[u8], databases: u16) -> Result<DbIndex, CommandError> {
    let number = parse_i64(arg).ok_or(CommandError::NotInteger)?;
    if i32::try_from(number).is_err() {
        return Err(CommandError::text("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    u16::try_from(number).ok().filter(|index| *index < databases).map(DbIndex).ok_or(CommandError::DbOutOfRange)
}

/// Where COPY copies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// The database of the new key.
    pub db: DbIndex,
    /// Whether a key that is there already is overwritten.
    pub replace: bool,
}

/// Parses `COPY source destination [DB n] [REPLACE]`. `selected` is the connection's database. Refuses to copy a key onto
/// itself.
pub fn copy_options(args: Args<'_>, selected: DbIndex, databases: u16) -> Result<CopyOptions, CommandError> {
    let mut options = CopyOptions { db: selected, replace: false };
    let mut i = 3;
    while i < args.len() {
        let option = args.get(i);
        if option.eq_ignore_ascii_case(b"replace") {
            options.replace = true;
        } else if option.eq_ignore_ascii_case(b"db") && i + 1 < args.len() {
            i += 1;
            options.db = db_index(args.get(i), databases)?;
        } else {
            return Err(CommandError::Syntax);
        }
        i += 1;
    }
    if options.db == selected && args.get(1) == args.get(2) {
        return Err(CommandError::SameObject);
    }
    Ok(options)
}

/// Moves a value that is there to another name, over whatever has it.
fn rename_over(cx: &mut Cx<'_>, from: Key<'_>, to: Key<'_>) -> Result<Effect, CommandError> {
    let value = cx.ks.take(from).ok_or(CommandError::NoSuchKey)?;
    cx.ks.remove_lazy(to);
    cx.ks.restore(to, value);
    cx.ks.notify(Events::GENERIC, "rename_from", from);
    cx.ks.notify(Events::GENERIC, "rename_to", to);
    Ok(Effect::AsSent { changes: 1 })
}

fn rename(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (from, to) = (cx.ks.key(args, 1), cx.ks.key(args, 2));
    if cx.ks.for_write(from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let effect = if from.bytes == to.bytes { Effect::None } else { rename_over(cx, from, to)? };
    cx.out.ok();
    Ok(effect)
}

fn renamenx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (from, to) = (cx.ks.key(args, 1), cx.ks.key(args, 2));
    if cx.ks.for_write(from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let effect = if cx.ks.for_write(to).is_some() { Effect::None } else { rename_over(cx, from, to)? };
    cx.out.int(i64::from(effect != Effect::None));
    Ok(effect)
}

fn copy(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let options = copy_options(args, cx.ks.db(), cx.ks.databases())?;
    let (from, to) = (cx.ks.key(args, 1), cx.ks.key(args, 2));
    let found = cx.ks.read(from).is_some();
    let taken = found && cx.ks.other_db(options.db).for_write(to).is_some();
    let value = if found && (options.replace || !taken) { cx.ks.copy_out(from) } else { None };
    let copied = value.is_some();
    if let Some(value) = value {
        let mut target = cx.ks.other_db(options.db);
        target.remove_lazy(to);
        target.restore(to, value);
        target.notify(Events::GENERIC, "copy_to", to);
    }
    cx.out.int(i64::from(copied));
    Ok(if copied { Effect::AsSent { changes: 1 } } else { Effect::None })
}

/// A key's shard does not depend on its database, so that source and target are always on this one.
fn move_key(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let db = db_index(args.get(2), cx.ks.databases())?;
    if db == cx.ks.db() {
        return Err(CommandError::SameObject);
    }
    let key = cx.ks.key(args, 1);
    let moves = cx.ks.for_write(key).is_some() && cx.ks.other_db(db).for_write(key).is_none();
    if moves && let Some(value) = cx.ks.take(key) {
        cx.ks.other_db(db).restore(key, value);
        cx.ks.notify(Events::GENERIC, "move_from", key);
        cx.ks.other_db(db).notify(Events::GENERIC, "move_to", key);
    }
    cx.out.int(i64::from(moves));
    Ok(if moves { Effect::AsSent { changes: 1 } } else { Effect::None })
}

#[cfg(test)]
mod tests {
    use super::{CopyOptions, db_index};
    use crate::command::key::trial::Trial;
    use crate::{CommandError, Effect};
    use pinyon_base::DbIndex;

    const CHANGED: Effect = Effect::AsSent { changes: 1 };

    #[test]
    fn rename_takes_value_and_deadline_along() {
        let mut t = Trial::new();
        assert_eq!(t.run("rename nokey k"), "-ERR no such key");
        assert_eq!(t.run("rename nokey nokey"), "-ERR no such key");
        t.set("k", "v");
        t.run("expire k 100");
        assert_eq!((t.run("rename k k"), t.effect()), ("+OK".into(), Effect::None));
        t.set("other", "w");
        assert_eq!((t.run("rename k other"), t.effect()), ("+OK".into(), CHANGED));
        assert_eq!((t.get("k"), t.get("other")), (None, Some("v".into())));
        assert_eq!(t.run("ttl other"), ":100");
        t.set("plain", "x");
        t.run("rename plain other");
        assert_eq!(t.run("ttl other"), ":-1");
    }

    #[test]
    fn renamenx_leaves_a_taken_name() {
        let mut t = Trial::new();
        assert_eq!(t.run("renamenx nokey k"), "-ERR no such key");
        t.set("k", "v");
        t.set("taken", "w");
        assert_eq!((t.run("renamenx k k"), t.effect()), (":0".into(), Effect::None));
        assert_eq!((t.run("renamenx k taken"), t.effect()), (":0".into(), Effect::None));
        assert_eq!((t.run("renamenx k free"), t.effect()), (":1".into(), CHANGED));
        assert_eq!((t.get("k"), t.get("free"), t.get("taken")), (None, Some("v".into()), Some("w".into())));
        t.run("pexpire taken 5");
        t.advance(5);
        assert_eq!(t.run("renamenx free taken"), ":1", "a due key holds no name");
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn copy_errors() {
        let mut t = Trial::new();
        t.set("k", "v");
        let same = "-ERR source and destination objects are the same";
        let number = "-ERR value is not an integer or out of range";
        let range = "-ERR DB index is out of range";
        for (command, reply) in [
            ("copy k k", same),
            ("copy k k db 0", same),
            ("copy nokey nokey", same),
            ("copy nokey k3", ":0"),
            ("copy k k3 db 16", range),
            ("copy k k3 db -1", range),
            ("copy k k3 db abc", number),
            ("copy k k3 db 99999999999999999999", number),
            ("copy k k3 db 4294967296", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
            ("copy k k3 db", "-ERR syntax error"),
            ("copy k k3 foo", "-ERR syntax error"),
            ("copy k k3 db 16 foo", range),
            ("copy k k3 foo db 16", "-ERR syntax error"),
            ("copy k k3 replace Replace", ":1"),
            ("copy k k3 db 1 DB 2", ":1"),
            ("copy k k db 1", ":1"),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
        }
        t.select(2);
        assert_eq!(t.get("k3"), Some("v".into()), "the last DB counts");
    }

    #[test]
    fn copy_keeps_the_source_and_the_deadline() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.run("expire k 100");
        assert_eq!((t.run("copy k k2"), t.effect()), (":1".into(), CHANGED));
        assert_eq!((t.run("copy k k2"), t.effect()), (":0".into(), Effect::None));
        assert_eq!((t.get("k"), t.get("k2")), (Some("v".into()), Some("v".into())));
        assert_eq!(t.run("ttl k2"), ":100");
        t.set("k", "w");
        assert_eq!((t.run("copy k k2 replace"), t.effect()), (":1".into(), CHANGED));
        assert_eq!((t.get("k2"), t.run("ttl k2")), (Some("w".into()), ":-1".into()));
        let long = "x".repeat(100_000);
        t.set("k", &long);
        t.run("copy k far db 9");
        t.run("append far y");
        assert_eq!(t.get("k"), Some(long), "a copy is a value of its own");
    }

    #[test]
    fn move_between_databases() {
        let mut t = Trial::new();
        t.set("k", "v");
        let same = "-ERR source and destination objects are the same";
        for (command, reply) in [
            ("move k 0", same),
            ("move nokey 0", same),
            ("move nokey 1", ":0"),
            ("move k 16", "-ERR DB index is out of range"),
            ("move k -1", "-ERR DB index is out of range"),
            ("move k abc", "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
        }
        t.run("expire k 50");
        assert_eq!((t.run("move k 3"), t.effect()), (":1".into(), CHANGED));
        assert_eq!(t.get("k"), None);
        t.set("k", "w");
        assert_eq!((t.run("move k 3"), t.effect()), (":0".into(), Effect::None));
        t.select(3);
        assert_eq!((t.get("k"), t.run("ttl k")), (Some("v".into()), ":50".into()));
    }

    #[test]
    fn options_for_the_coordinator() {
        let t = Trial::new();
        let options = t.with_args("copy a b replace db 7", |args| super::copy_options(args, DbIndex(2), 16));
        assert_eq!(options, Ok(CopyOptions { db: DbIndex(7), replace: true }));
        assert_eq!(db_index(b"15", 16), Ok(DbIndex(15)));
        assert_eq!(db_index(b"70000", 16), Err(CommandError::DbOutOfRange));
        assert_eq!(db_index(b"01", 16), Err(CommandError::NotInteger));
    }
}
