//! COMMAND and its subcommands: the command table, told to clients.

use pinyon_engine::CommandError;
use pinyon_engine::command::keys_of::keys_and_flags;
use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{
    Arg, ArgFlags, BeginSearch, Categories, Command, FindKeys, Flags, KeyFlags, KeySpec,
};
use pinyon_engine::command::server::help;
use pinyon_resp::{Args, Writer};

use super::{Call, Result};
use crate::core::{Core, Io};

/// Flags as COMMAND INFO names them, in its order.
const FLAG_NAMES: &[(Flags, &str)] = &[
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (Flags::PROTECTED, "protected"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

/// ACL categories, in the order of ACL CAT.
const CATEGORY_NAMES: &[(Categories, &str)] = &[
    (Categories::KEYSPACE, "@keyspace"),
    (Categories::READ, "@read"),
    (Categories::WRITE, "@write"),
    (Categories::SET, "@set"),
    (Categories::SORTEDSET, "@sortedset"),
    (Categories::LIST, "@list"),
    (Categories::HASH, "@hash"),
    (Categories::STRING, "@string"),
    (Categories::BITMAP, "@bitmap"),
    (Categories::HYPERLOGLOG, "@hyperloglog"),
    (Categories::GEO, "@geo"),
    (Categories::STREAM, "@stream"),
    (Categories::PUBSUB, "@pubsub"),
    (Categories::ADMIN, "@admin"),
    (Categories::FAST, "@fast"),
    (Categories::SLOW, "@slow"),
    (Categories::BLOCKING, "@blocking"),
    (Categories::DANGEROUS, "@dangerous"),
    (Categories::CONNECTION, "@connection"),
    (Categories::TRANSACTION, "@transaction"),
    (Categories::SCRIPTING, "@scripting"),
];

const KEY_FLAG_NAMES: &[(KeyFlags, &str)] = &[
    (KeyFlags::RO, "RO"),
    (KeyFlags::RW, "RW"),
    (KeyFlags::OW, "OW"),
    (KeyFlags::RM, "RM"),
    (KeyFlags::ACCESS, "access"),
    (KeyFlags::UPDATE, "update"),
    (KeyFlags::INSERT, "insert"),
    (KeyFlags::DELETE, "delete"),
    (KeyFlags::NOT_KEY, "not_key"),
    (KeyFlags::INCOMPLETE, "incomplete"),
    (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
];

const ARG_FLAG_NAMES: &[(ArgFlags, &str)] =
    &[(ArgFlags::OPTIONAL, "optional"), (ArgFlags::MULTIPLE, "multiple"), (ArgFlags::MULTIPLE_TOKEN, "multiple_token")];

fn write_names(out: &mut Writer<'_>, names: &[&str]) {
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name));
}

macro_rules! names_of {
    ($table:expr, $flags:expr) => {
        $table.iter().filter(|(flag, _)| $flags.contains(*flag)).map(|(_, name)| *name).collect::<Vec<&str>>()
    };
}

pub fn command(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| {
        out.array(registry().top_level_len());
        registry().top_level().for_each(|id| write_info(out, id));
    });
    Ok(())
}

pub fn count(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| out.int(registry().top_level_len() as i64));
    Ok(())
}

pub fn info(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if call.args.len() == 2 {
        return command(core, io, call);
    }
    core.reply(io, call.conn, |out| {
        out.array(call.args.len() - 2);
        for name in call.args.iter().skip(2) {
            match registry().find_full(name) {
                Some(id) => write_info(out, id),
                None => out.null(),
            }
        }
    });
    Ok(())
}

fn write_info(out: &mut Writer<'_>, id: CommandId) {
    let row = registry().row(id);
    let (first, last, step) = legacy_keys(row);
    out.array(10);
    out.bulk_str(registry().full_name(id));
    out.int(i64::from(row.arity));
    write_names(out, &names_of!(FLAG_NAMES, row.flags));
    out.int(first);
    out.int(last);
    out.int(step);
    write_names(out, &names_of!(CATEGORY_NAMES, row.acl_categories()));
    out.set(row.tips.len());
    row.tips.iter().for_each(|tip| out.bulk_str(tip));
    out.set(row.keys.len());
    row.keys.iter().for_each(|spec| write_key_spec(out, spec));
    match row.subcommands.len() {
        0 => out.set(0),
        subcommands => out.array(subcommands),
    }
    registry().subcommands(id).for_each(|sub| write_info(out, sub));
}

/// The three numbers that described a command's keys before there were key specs.
fn legacy_keys(row: &Command) -> (i64, i64, i64) {
    match row.keys.first() {
        Some(KeySpec { begin: BeginSearch::Index(first), find: FindKeys::Range { last, step, .. }, .. }) => {
            let ranges = row.keys.iter().filter_map(|spec| match (spec.begin, spec.find) {
                (BeginSearch::Index(first), FindKeys::Range { last, .. }) if last >= 0 => Some(first + last),
                _ => None,
            });
            let end = if *last < 0 { *last } else { ranges.max().unwrap_or(first + last) };
            (i64::from(*first), i64::from(end), i64::from(*step))
        }
        _ => (0, 0, 0),
    }
}

fn write_key_spec(out: &mut Writer<'_>, spec: &KeySpec) {
    out.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        out.bulk_str("notes");
        out.bulk_str(spec.notes);
    }
    out.bulk_str("flags");
    write_names(out, &names_of!(KEY_FLAG_NAMES, spec.flags));
    out.bulk_str("begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_step(out, "index", &[("index", index)]),
        BeginSearch::Keyword { keyword, start_from } => {
            out.map(2);
            out.bulk_str("type");
            out.bulk_str("keyword");
            out.bulk_str("spec");
            out.map(2);
            out.bulk_str("keyword");
            out.bulk_str(keyword);
            out.bulk_str("startfrom");
            out.int(i64::from(start_from));
        }
        BeginSearch::Unknown => write_step(out, "unknown", &[]),
    }
    out.bulk_str("find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            write_step(out, "range", &[("lastkey", last), ("keystep", step), ("limit", limit)]);
        }
        FindKeys::KeyNum { key_num, first, step } => {
            write_step(out, "keynum", &[("keynumidx", key_num), ("firstkey", first), ("keystep", step)]);
        }
        FindKeys::Unknown => write_step(out, "unknown", &[]),
    }
}

fn write_step(out: &mut Writer<'_>, kind: &str, numbers: &[(&str, i32)]) {
    out.map(2);
    out.bulk_str("type");
    out.bulk_str(kind);
    out.bulk_str("spec");
    out.map(numbers.len());
    for (name, number) in numbers {
        out.bulk_str(name);
        out.int(i64::from(*number));
    }
}

pub fn docs(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ids: Vec<CommandId> = match call.args.len() {
        2 => registry().top_level().collect(),
        _ => call.args.iter().skip(2).filter_map(|name| registry().find_full(name)).collect(),
    };
    core.reply(io, call.conn, |out| {
        out.map(ids.len());
        ids.iter().for_each(|&id| write_docs(out, id));
    });
    Ok(())
}

fn write_docs(out: &mut Writer<'_>, id: CommandId) {
    let row = registry().row(id);
    let fields = 4
        + usize::from(!row.history.is_empty())
        + 3 * usize::from(row.deprecated.is_some())
        + usize::from(!row.args.is_empty())
        + usize::from(!row.subcommands.is_empty())
        - usize::from(row.complexity.is_empty());
    out.bulk_str(registry().full_name(id));
    out.map(fields);
    for (name, text) in [("summary", row.summary), ("since", row.since), ("group", row.group.name())] {
        out.bulk_str(name);
        out.bulk_str(text);
    }
    if !row.complexity.is_empty() {
        out.bulk_str("complexity");
        out.bulk_str(row.complexity);
    }
    if let Some((since, replaced_by)) = row.deprecated {
        out.bulk_str("doc_flags");
        write_names(out, &["deprecated"]);
        out.bulk_str("deprecated_since");
        out.bulk_str(since);
        out.bulk_str("replaced_by");
        out.bulk_str(replaced_by);
    }
    if !row.history.is_empty() {
        out.bulk_str("history");
        out.set(row.history.len());
        for (version, change) in row.history {
            out.array(2);
            out.bulk_str(version);
            out.bulk_str(change);
        }
    }
    if !row.args.is_empty() {
        out.bulk_str("arguments");
        write_arguments(out, row.args);
    }
    if !row.subcommands.is_empty() {
        out.bulk_str("subcommands");
        out.map(row.subcommands.len());
        registry().subcommands(id).for_each(|sub| write_docs(out, sub));
    }
}

fn write_arguments(out: &mut Writer<'_>, args: &[Arg]) {
    out.array(args.len());
    for arg in args {
        let fields = 2
            + usize::from(arg.display.is_some())
            + usize::from(arg.key_spec.is_some())
            + usize::from(arg.token.is_some())
            + usize::from(arg.since.is_some())
            + usize::from(!arg.flags.is_empty())
            + usize::from(!arg.args.is_empty());
        out.map(fields);
        out.bulk_str("name");
        out.bulk_str(arg.name);
        out.bulk_str("type");
        out.bulk_str(arg.kind.name());
        if let Some(display) = arg.display {
            out.bulk_str("display_text");
            out.bulk_str(display);
        }
        if let Some(spec) = arg.key_spec {
            out.bulk_str("key_spec_index");
            out.int(i64::from(spec));
        }
        if let Some(token) = arg.token {
            out.bulk_str("token");
            out.bulk_str(token);
        }
        if let Some(since) = arg.since {
            out.bulk_str("since");
            out.bulk_str(since);
        }
        if !arg.flags.is_empty() {
            out.bulk_str("flags");
            write_names(out, &names_of!(ARG_FLAG_NAMES, arg.flags));
        }
        if !arg.args.is_empty() {
            out.bulk_str("arguments");
            write_arguments(out, arg.args);
        }
    }
}

pub fn list(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    let names: Vec<&str> = match args.len() {
        // Subcommands too.
        2 => registry().all().map(|id| registry().full_name(id)).collect(),
        5 if args.get(2).eq_ignore_ascii_case(b"filterby") => {
            let value = args.get(4);
            let kind = args.get(3).to_ascii_lowercase();
            match kind.as_slice() {
                b"module" => Vec::new(),
                b"aclcat" => {
                    let wanted =
                        CATEGORY_NAMES.iter().find(|(_, name)| name.as_bytes()[1..].eq_ignore_ascii_case(value));
                    let in_category = |id: &CommandId| {
                        wanted.is_some_and(|(flag, _)| registry().row(*id).acl_categories().contains(*flag))
                    };
                    registry().all().filter(in_category).map(|id| registry().full_name(id)).collect()
                }
                b"pattern" => {
                    let matches = |name: &&str| pinyon_base::glob::glob_match(value, name.as_bytes(), true);
                    registry().all().map(|id| registry().full_name(id)).filter(matches).collect()
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    core.reply(io, call.conn, |out| {
        out.array(names.len());
        names.iter().for_each(|name| out.bulk_str(name));
    });
    Ok(())
}

/// The command that COMMAND GETKEYS asks about, with its arguments from its name on.
fn asked<'a>(args: Args<'a>) -> std::result::Result<(CommandId, Args<'a>), CommandError> {
    let inner = Args { bytes: args.bytes, spans: &args.spans[2..] };
    let unknown = CommandError::text("ERR Invalid command specified");
    let id = registry().find(inner.get(0)).ok_or(unknown.clone())?;
    if registry().row(id).subcommands.is_empty() || inner.len() < 2 {
        return Ok((id, inner));
    }
    match registry().find_sub(id, inner.get(1)) {
        Some(sub) => Ok((sub, inner)),
        None => Err(unknown),
    }
}

pub fn getkeys(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (id, args) = asked(call.args)?;
    let keys =
        keys_and_flags(registry().entry(id), args).map_err(|error| CommandError::Other(error.to_string().into()))?;
    core.reply(io, call.conn, |out| {
        out.array(keys.len());
        keys.iter().for_each(|key| out.bulk(args.get(key.position as usize)));
    });
    Ok(())
}

pub fn getkeysandflags(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (id, args) = asked(call.args)?;
    let keys =
        keys_and_flags(registry().entry(id), args).map_err(|error| CommandError::Other(error.to_string().into()))?;
    core.reply(io, call.conn, |out| {
        out.array(keys.len());
        for key in &keys {
            out.array(2);
            out.bulk(args.get(key.position as usize));
            write_names(out, &names_of!(KEY_FLAG_NAMES, key.flags));
        }
    });
    Ok(())
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::COMMAND);
    Ok(())
}
