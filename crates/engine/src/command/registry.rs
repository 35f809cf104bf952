//! All commands of all groups in one list, numbered densely, subcommands included.
//!
//! The numbers index whatever is kept per command (statistics, latency histograms, ACL bits). They are the same
//! within one build only: never store them.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::keys_of::KeyPlan;
use super::lookup::NameTable;
use super::row::{Command, Flags, Handler};
use super::{
    bitmap, cluster, connection, geo, hash, hyperloglog, key, list, pubsub, server, set, stream, string, transactions,
    zset,
};

/// The number of a command or subcommand: `0..registry().len()`. The top-level commands come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u16);

impl CommandId {
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A command and what was computed from its row once.
pub struct Entry {
    pub row: &'static Command,
    /// "get", "client|list".
    pub full_name: Cow<'static, str>,
    /// Of a subcommand: the command that it belongs to.
    pub container: Option<CommandId>,
    /// Where its keys are.
    pub keys: KeyPlan,
    /// It runs where its key is, at one go, and stays in its database.
    pub is_plain: bool,
    /// The numbers of its subcommands: from, to (exclusive).
    subcommands: (u16, u16),
}

impl Entry {
    /// Whether a command of `argc` arguments (the name included) has as many as its row wants.
    #[inline]
    pub fn arity_ok(&self, argc: usize) -> bool {
        arity_ok(self.row, argc)
    }

    /// The position of its key when it always has exactly one.
    #[inline]
    pub fn first_key_fast(&self) -> Option<u16> {
        match self.keys {
            KeyPlan::One(at) => Some(at),
            _ => None,
        }
    }
}

fn is_plain(row: &Command) -> bool {
    matches!(row.handler, Handler::Shard(_)) && row.long.is_none() && !row.flags.contains(Flags::LEAVES_DB)
}

/// Whether `argc` arguments (the name included) are as many as the row wants.
#[inline]
pub fn arity_ok(row: &Command, argc: usize) -> bool {
    let wanted = usize::from(row.arity.unsigned_abs());
    if row.arity >= 0 { argc == wanted } else { argc >= wanted }
}

/// The list of all commands; see [`registry`].
pub struct Registry {
    entries: Box<[Entry]>,
    top_level: u16,
    names: NameTable,
}

const GROUPS: &[&[Command]] = &[
    string::COMMANDS,
    bitmap::COMMANDS,
    hyperloglog::COMMANDS,
    hash::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    zset::COMMANDS,
    geo::COMMANDS,
    stream::COMMANDS,
    key::COMMANDS,
    cluster::COMMANDS,
    connection::COMMANDS,
    server::COMMANDS,
    transactions::COMMANDS,
    pubsub::COMMANDS,
];

/// The commands of this build.
#[inline]
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(GROUPS));
    &REGISTRY
}

impl Registry {
    /// # Panics
    /// When two commands share a name.
    fn new(groups: &[&'static [Command]]) -> Registry {
        let top: Vec<&'static Command> = groups.iter().copied().flatten().collect();
        let mut next_sub = top.len();
        let mut entries = Vec::new();
        for row in &top {
            let subcommands = (number(next_sub), number(next_sub + row.subcommands.len()));
            next_sub += row.subcommands.len();
            entries.push(Entry {
                row,
                full_name: Cow::Borrowed(row.name),
                container: None,
                keys: KeyPlan::of(row),
                is_plain: is_plain(row),
                subcommands,
            });
        }
        for (at, row) in top.iter().enumerate() {
            for sub in row.subcommands {
                entries.push(Entry {
                    row: sub,
                    full_name: Cow::Owned(format!("{}|{}", row.name, sub.name)),
                    container: Some(CommandId(number(at))),
                    keys: KeyPlan::of(sub),
                    is_plain: is_plain(sub),
                    subcommands: (0, 0),
                });
            }
        }
        Registry {
            entries: entries.into_boxed_slice(),
            top_level: number(top.len()),
            names: NameTable::new(&top.iter().map(|row| row.name).collect::<Vec<_>>()),
        }
    }

    /// The top-level command of this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<CommandId> {
        self.names.find(name).map(CommandId)
    }

    /// The subcommand `name`, in any case, of `container`.
    pub fn find_sub(&self, container: CommandId, name: &[u8]) -> Option<CommandId> {
        self.subcommands(container).find(|&id| self.row(id).name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// A command by its full name ("get", "client|list"), in any case, as COMMAND DOCS and ACL rules name them.
    pub fn find_full(&self, full_name: &[u8]) -> Option<CommandId> {
        match full_name.iter().position(|&b| b == b'|') {
            None => self.find(full_name),
            Some(bar) => self.find_sub(self.find(&full_name[..bar])?, &full_name[bar + 1..]),
        }
    }

    /// # Panics
    /// When `id` is not one of this registry's.
    #[inline]
    pub fn entry(&self, id: CommandId) -> &Entry {
        &self.entries[id.index()]
    }

    #[inline]
    pub fn row(&self, id: CommandId) -> &'static Command {
        self.entries[id.index()].row
    }

    /// "get", "client|list".
    #[inline]
    pub fn full_name(&self, id: CommandId) -> &str {
        &self.entries[id.index()].full_name
    }

    /// The subcommands of a command, in their row's order.
    pub fn subcommands(&self, id: CommandId) -> impl Iterator<Item = CommandId> + use<> {
        let (from, to) = self.entry(id).subcommands;
        (from..to).map(CommandId)
    }

    /// The commands that are not subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = CommandId> + use<> {
        (0..self.top_level).map(CommandId)
    }

    /// All commands and subcommands.
    pub fn all(&self) -> impl Iterator<Item = CommandId> + use<> {
        (0..number(self.entries.len())).map(CommandId)
    }

    /// How many commands there are without subcommands (COMMAND COUNT).
    pub fn top_level_len(&self) -> usize {
        usize::from(self.top_level)
    }

    /// How many commands and subcommands there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

fn number(n: usize) -> u16 {
    u16::try_from(n).expect("fewer than 65,536 commands")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::command::row::{Arg, ArgFlags, ArgKind, BeginSearch, Categories, FindKeys, Flags, Handler, KeyFlags};

    /// All rows with their full names.
    fn rows() -> impl Iterator<Item = (&'static str, &'static Command)> {
        registry().all().map(|id| (registry().full_name(id), registry().row(id)))
    }

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        let mut names = HashSet::new();
        for id in registry().all() {
            let name = registry().full_name(id);
            assert!(names.insert(name), "{name} is listed twice");
            assert!(!name.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_whitespace()), "{name}");
            assert_eq!(registry().find_full(name.as_bytes()), Some(id));
            assert_eq!(registry().find_full(name.to_ascii_uppercase().as_bytes()), Some(id));
            let entry = registry().entry(id);
            match entry.container {
                None => assert_eq!(registry().find(name.as_bytes()), Some(id)),
                Some(container) => {
                    assert_eq!(registry().find_sub(container, entry.row.name.as_bytes()), Some(id));
                    assert!(registry().subcommands(container).any(|sub| sub == id), "{name}");
                    assert!(entry.row.subcommands.is_empty(), "{name}: subcommands have none of their own");
                }
            }
        }
        for unknown in ["", "ge", "gets", "client|", "client|nosuch", "get|set", "|", "list"] {
            assert_eq!(registry().find_full(unknown.as_bytes()), None, "{unknown}");
        }
        assert_eq!(registry().top_level().count(), registry().top_level_len());
        assert_eq!(registry().all().count(), registry().len());
    }

    #[test]
    fn docs_are_there() {
        for (name, row) in rows() {
            assert!(!row.summary.is_empty(), "{name} has no summary");
            assert!(row.summary.ends_with('.') && !row.summary.contains('\n'), "{name}: one sentence");
            // Only a command without end (MONITOR) has no complexity.
            let endless = row.complexity.is_empty() && matches!(row.handler, Handler::Server(_));
            assert!(
                endless || row.complexity.starts_with("O(") || row.complexity.starts_with("Depends"),
                "{name}: complexity"
            );
            let is_version =
                |text: &str| text.split('.').count() == 3 && text.split('.').all(|n| n.parse::<u8>().is_ok());
            assert!(is_version(row.since), "{name}: since {:?}", row.since);
            for (version, change) in row.history {
                assert!(is_version(version) && !change.is_empty(), "{name}: history {version:?}");
            }
            if let Some((version, instead)) = row.deprecated {
                assert!(is_version(version) && !instead.is_empty(), "{name}: deprecated");
            }
            for tip in row.tips {
                assert!(!tip.is_empty() && *tip == tip.to_ascii_lowercase(), "{name}: tip {tip:?}");
            }
        }
    }

    #[test]
    fn keyed_commands_either_read_or_write() {
        // WATCH does neither, and shard channels are no keys.
        let keyed = |row: &Command| row.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
        for (name, row) in rows().filter(|(name, row)| keyed(row) && *name != "watch") {
            assert!(row.flags.contains(Flags::WRITE) != row.flags.contains(Flags::READONLY), "{name}");
            for spec in row.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY)) {
                let access = KeyFlags::RO.union(KeyFlags::RW).union(KeyFlags::OW).union(KeyFlags::RM);
                assert_eq!(spec.flags.intersection(access).bits().count_ones(), 1, "{name}: one of RO, RW, OW, RM");
                // PFCOUNT notes the count where it found none.
                if !spec.flags.contains(KeyFlags::RO) && name != "pfcount" {
                    assert!(row.flags.contains(Flags::WRITE), "{name} writes its key");
                }
            }
        }
        for (name, row) in rows().filter(|(_, row)| row.flags.contains(Flags::DENYOOM)) {
            assert!(row.flags.contains(Flags::WRITE), "{name}");
        }
    }

    #[test]
    fn handlers_fit_their_keys() {
        for (name, row) in rows() {
            match row.handler {
                Handler::Shard(_) => assert!(!row.keys.is_empty(), "{name} runs on the shard of its key"),
                Handler::Spread(..) => {
                    let one = matches!(KeyPlan::of(row), KeyPlan::One(_) | KeyPlan::None);
                    assert!(!one, "{name} is spread over shards by its keys");
                }
                Handler::Server(_) => {}
                Handler::Container => assert!(!row.subcommands.is_empty(), "{name} has no subcommands"),
            }
        }
    }

    #[test]
    fn key_specs_are_sane() {
        for (name, row) in rows() {
            let least = i32::from(row.arity.unsigned_abs());
            for spec in row.keys {
                match spec.begin {
                    BeginSearch::Index(at) => {
                        // PFMERGE may be without sources, and SUNSUBSCRIBE without channels.
                        let optional = ["pfmerge", "sunsubscribe"].contains(&name);
                        assert!(at > 0 && (at < least || optional), "{name}: a key may be missing");
                    }
                    BeginSearch::Keyword { keyword, start_from } => {
                        assert!(!keyword.is_empty() && start_from != 0, "{name}")
                    }
                    BeginSearch::Unknown => {
                        // Of SORT Redis does not say so.
                        assert!(spec.flags.contains(KeyFlags::INCOMPLETE) || name.starts_with("sort"), "{name}");
                    }
                }
                match spec.find {
                    FindKeys::Range { last, step, limit } => {
                        assert!(step > 0 && limit >= 0, "{name}");
                        assert!(limit == 0 || last < 0, "{name}: a limit is for ranges from the end");
                    }
                    FindKeys::KeyNum { key_num, first, step } => {
                        assert!(key_num >= 0 && first > key_num && step > 0, "{name}");
                    }
                    FindKeys::Unknown => {
                        assert!(spec.flags.contains(KeyFlags::INCOMPLETE) || name.starts_with("sort"), "{name}");
                    }
                }
            }
            if row.keys.iter().any(|spec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS)) {
                assert!(["set", "bitfield"].contains(&name), "keys_of knows which flags: {name}");
            }
        }
    }

    /// How few words an argument may take.
    fn least_words(arg: &Arg) -> usize {
        if arg.flags.contains(ArgFlags::OPTIONAL) {
            return 0;
        }
        let inner = match arg.kind {
            ArgKind::PureToken => return 1,
            ArgKind::OneOf => arg.args.iter().map(least_words).min().unwrap_or(0),
            ArgKind::Block => arg.args.iter().map(least_words).sum(),
            _ => 1,
        };
        inner + usize::from(arg.token.is_some())
    }

    #[test]
    fn arity_is_the_least_that_the_grammar_takes() {
        for (name, row) in rows() {
            let words = name.split('|').count() + row.args.iter().map(least_words).sum::<usize>();
            let arity = usize::from(row.arity.unsigned_abs());
            // A container answers for all its subcommands; where a command checks more than its arity says, the row
            // has Redis's.
            if row.subcommands.is_empty() {
                assert!(
                    words <= arity || ["lolwut", "debug", "pfmerge", "geohash", "geopos"].contains(&name),
                    "{name}: the grammar needs {words}, arity {arity}"
                );
            }
            let open = |arg: &Arg| !(arg.flags & (ArgFlags::OPTIONAL | ArgFlags::MULTIPLE)).is_empty();
            if row.arity > 0 {
                assert!(!row.args.iter().any(open), "{name}: optional arguments and a fixed arity");
                assert_eq!(words, arity, "{name}");
            }
        }
    }

    #[test]
    fn grammar_is_sane() {
        fn check(name: &str, arg: &Arg, specs: usize) {
            assert!(!arg.name.is_empty(), "{name}");
            let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
            assert_eq!(nested, !arg.args.is_empty(), "{name}: {}", arg.name);
            assert!(arg.kind != ArgKind::PureToken || arg.token.is_some(), "{name}: {}", arg.name);
            if let Some(spec) = arg.key_spec {
                assert!(usize::from(spec) < specs, "{name}: {} names no key spec", arg.name);
            }
            arg.args.iter().for_each(|inner| check(name, inner, specs));
        }
        for (name, row) in rows() {
            row.args.iter().for_each(|arg| check(name, arg, row.keys.len()));
        }
    }

    #[test]
    fn flags_do_not_repeat_in_categories() {
        let implied = Categories::READ | Categories::WRITE | Categories::FAST | Categories::SLOW;
        for (name, row) in rows() {
            assert!(!row.categories.intersects(implied), "{name}: implied by its flags");
        }
    }
}
