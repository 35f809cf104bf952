//! MEMORY and its subcommands. MEMORY USAGE is a command of the key's shard, the others are the server's.

use pinyon_base::number::parse_i64;
use pinyon_resp::Args;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use crate::command::server::help::help_row;
use crate::{CommandError, Cx, Effect};

pub(super) const MEMORY: Command = Command {
    name: "memory",
    arity: -2,
    group: Group::Server,
    since: "4.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Examines how memory is used.",
    subcommands: &[MEMORY_DOCTOR, MEMORY_HELP, MEMORY_MALLOC_STATS, MEMORY_PURGE, MEMORY_STATS, MEMORY_USAGE],
    handler: Handler::Container,
    ..Command::EMPTY
};

const MEMORY_DOCTOR: Command = Command {
    name: "doctor",
    arity: 2,
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(1)",
    summary: "Names problems with the use of memory.",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: Handler::Server(ServerCommand::MemoryDoctor),
    ..Command::EMPTY
};

const MEMORY_HELP: Command = help_row(
    Group::Server,
    Categories::empty(),
    "4.0.0",
    "Lists the subcommands of MEMORY.",
    ServerCommand::MemoryHelp,
);

const MEMORY_MALLOC_STATS: Command = Command {
    name: "malloc-stats",
    arity: 2,
    group: Group::Server,
    since: "4.0.0",
    complexity: "Depends on how much memory is in use.",
    summary: "Returns the allocator's own report.",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: Handler::Server(ServerCommand::MemoryMallocStats),
    ..Command::EMPTY
};

const MEMORY_PURGE: Command = Command {
    name: "purge",
    arity: 2,
    group: Group::Server,
    since: "4.0.0",
    complexity: "Depends on how much memory is in use.",
    summary: "Asks the allocator to return memory to the system.",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    handler: Handler::Server(ServerCommand::MemoryPurge),
    ..Command::EMPTY
};

const MEMORY_STATS: Command = Command {
    name: "stats",
    arity: 2,
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(1)",
    summary: "Returns what memory is used for.",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: Handler::Server(ServerCommand::MemoryStats),
    ..Command::EMPTY
};

const MEMORY_USAGE: Command = Command {
    name: "usage",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(N) in the number of samples.",
    summary: "Estimates the memory that a key and its value take.",
    args: &[Arg::key("key", 0), Arg::new("count", ArgKind::Integer).with_token("SAMPLES").optional()],
    handler: Handler::Shard(memory_usage),
    ..Command::EMPTY
};

/// `MEMORY USAGE key [SAMPLES count]`: bytes of the key, its value and its place in the table, null without such a key. The
/// number of samples is checked and changes nothing: what a collection takes is known without looking at its elements.
fn memory_usage(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut i = 3;
    while i < args.len() {
        if !args.get(i).eq_ignore_ascii_case(b"samples") || i + 1 == args.len() {
            return Err(CommandError::Syntax);
        }
        let samples = parse_i64(args.get(i + 1)).ok_or(CommandError::NotInteger)?;
        if samples < 0 {
            return Err(CommandError::Syntax);
        }
        i += 2;
    }
    let key = cx.ks.key(args, 2);
    match cx.ks.memory_usage(key) {
        None => cx.out.null(),
        Some(bytes) => cx.out.int(bytes as i64),
    }
    Ok(Effect::None)
}

#[cfg(test)]
mod tests {
    use crate::command::key::trial::Trial;

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn options_of_memory_usage() {
        let mut t = Trial::new();
        t.set("k", "v");
        let number = "-ERR value is not an integer or out of range";
        for (command, reply) in [
            ("memory usage nokey", "$-1"),
            ("memory usage k samples", "-ERR syntax error"),
            ("memory usage k samples -1", "-ERR syntax error"),
            ("memory usage k samples abc", number),
            ("memory usage nokey samples abc", number),
            ("memory usage k foo", "-ERR syntax error"),
            ("memory usage nokey foo", "-ERR syntax error"),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
        }
        assert!(t.run("memory usage k SAMPLES 0 samples 3").starts_with(':'));
    }

    #[test]
    fn memory_usage_grows_with_the_value() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.set("long", &"x".repeat(100_000));
        let bytes = |reply: String| reply[1..].parse::<usize>().expect("a number");
        let (small, large) = (bytes(t.run("memory usage k")), bytes(t.run("memory usage long")));
        assert!((2..200).contains(&small), "{small}");
        assert!((100_000..110_000).contains(&large), "{large}");
    }
}
