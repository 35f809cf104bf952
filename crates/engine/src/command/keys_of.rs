//! Where the keys are among a command's arguments, as its row's key specs say.
//!
//! Routing asks this of every command, so the usual case, one key at a fixed place, is decided when the registry is
//! built. Arguments that make no sense (a count that is no number, a key that is not there) give no keys: the command
//! then runs where it is and says what is wrong, as Redis does.

use pinyon_base::number::parse_i64;
use pinyon_resp::Args;

use super::registry::Entry;
use super::row::{BeginSearch, Command, FindKeys, Flags, KeyFlags, KeySpec};

/// How to find the keys of a command, computed from its row once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlan {
    /// It has no keys.
    None,
    /// Always one key, at this position.
    One(u16),
    /// From `first` to `last` (negative: from the end) every `step`-th argument.
    Range { first: u16, last: i32, step: u16 },
    /// By the key specs, one after the other.
    Specs,
}

impl KeyPlan {
    pub(super) fn of(row: &Command) -> KeyPlan {
        match row.keys {
            [] => KeyPlan::None,
            [
                KeySpec {
                    begin: BeginSearch::Index(first), find: FindKeys::Range { last, step, limit: 0 }, flags, ..
                },
            ] if *first > 0 && *step > 0 && !flags.contains(KeyFlags::NOT_KEY) => match (*first as u16, *last) {
                (first, 0) => KeyPlan::One(first),
                (first, last) if last > 0 => {
                    KeyPlan::Range { first, last: i32::from(first) + last, step: *step as u16 }
                }
                (first, last) => KeyPlan::Range { first, last, step: *step as u16 },
            },
            _ => KeyPlan::Specs,
        }
    }
}

/// One key among the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAt {
    /// Position among the arguments, the name being 0.
    pub position: u32,
    pub flags: KeyFlags,
}

/// The positions of the keys, in the order of the arguments (of the specs, where there are several).
pub enum Keys {
    /// `next..end`, every `step`.
    Range {
        next: u32,
        end: u32,
        step: u32,
    },
    List(std::vec::IntoIter<KeyAt>),
}

impl Iterator for Keys {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        match self {
            Keys::Range { next, end, step } => {
                let at = *next;
                (at < *end).then(|| {
                    *next = at + *step;
                    at as usize
                })
            }
            Keys::List(list) => list.next().map(|key| key.position as usize),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Keys::Range { next, end, step } => {
                let n = end.saturating_sub(*next).div_ceil(*step) as usize;
                (n, Some(n))
            }
            Keys::List(list) => list.size_hint(),
        }
    }
}

impl ExactSizeIterator for Keys {}

/// The positions of the keys of a command. The arguments' number has been checked against the row's arity; none when
/// they make no sense otherwise.
#[inline]
pub fn keys(entry: &Entry, args: Args<'_>) -> Keys {
    let argc = args.len() as u32;
    match entry.keys {
        KeyPlan::None => Keys::Range { next: 0, end: 0, step: 1 },
        KeyPlan::One(at) => Keys::Range { next: u32::from(at), end: argc.min(u32::from(at) + 1), step: 1 },
        KeyPlan::Range { first, last, step } => {
            let last = if last < 0 { i64::from(argc) + i64::from(last) } else { i64::from(last) };
            let end = (last + 1).clamp(0, i64::from(argc)) as u32;
            Keys::Range { next: u32::from(first), end, step: u32::from(step) }
        }
        KeyPlan::Specs => Keys::List(listed(entry.row, args).into_iter()),
    }
}

/// Calls `visit` with the position of every key of a command, in the order of [`keys`], and what its spec says of it.
pub fn keys_with_flags(entry: &Entry, args: Args<'_>, mut visit: impl FnMut(usize, KeyFlags)) {
    match entry.keys {
        KeyPlan::Specs => {
            for key in listed(entry.row, args) {
                visit(key.position as usize, key.flags);
            }
        }
        // Those plans are made of one spec.
        _ => keys(entry, args).for_each(|position| visit(position, entry.row.keys[0].flags)),
    }
}

/// Why COMMAND GETKEYS has no answer; `Display` is the reply's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetKeysError {
    #[error("ERR The command has no key arguments")]
    NoKeyArguments,
    #[error("ERR Invalid number of arguments specified for command")]
    Arity,
    #[error("ERR Invalid arguments specified for command")]
    Arguments,
}

/// The keys and what happens to each, as COMMAND GETKEYSANDFLAGS answers. `args` starts at the command's name.
pub fn keys_and_flags(entry: &Entry, args: Args<'_>) -> Result<Vec<KeyAt>, GetKeysError> {
    let row = entry.row;
    if row.keys.iter().all(|spec| spec.flags.contains(KeyFlags::NOT_KEY)) {
        return Err(GetKeysError::NoKeyArguments);
    }
    if !entry.arity_ok(args.len()) {
        return Err(GetKeysError::Arity);
    }
    let mut keys = by_specs(row, args).unwrap_or_default();
    keys.extend(destination(row, args));
    if keys.is_empty() && !row.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(GetKeysError::Arguments);
    }
    Ok(keys)
}

/// The keys by the specs; none when the arguments do not fit them.
fn listed(row: &Command, args: Args<'_>) -> Vec<KeyAt> {
    let mut found = by_specs(row, args).unwrap_or_default();
    found.extend(destination(row, args));
    if found.is_empty() && row.name == "pfmerge" {
        // Without sources: COMMAND GETKEYS has no answer, but there is the destination.
        found.push(KeyAt { position: 1, flags: row.keys[0].flags });
    }
    found
}

/// The destination of SORT, which its specs cannot name.
fn destination(row: &Command, args: Args<'_>) -> Option<KeyAt> {
    let at = if row.name == "sort" { super::key::sort::store_at(args)? } else { return None };
    Some(KeyAt { position: at as u32, flags: row.keys[2].flags })
}

/// Goes through the specs one after the other. `None` when the arguments do not fit one of them.
fn by_specs(row: &Command, args: Args<'_>) -> Option<Vec<KeyAt>> {
    if matches!(row.name, "georadius" | "georadiusbymember") {
        return Some(georadius_keys(row, args));
    }
    let mut found = Vec::new();
    for spec in row.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY)) {
        let Some(begin) = begin_of(&spec.begin, args) else { continue };
        let (first, last, step) = range_of(&spec.find, begin, args)?;
        if last < first || first < 0 || last >= args.len() as i64 {
            return None;
        }
        let flags = flags_of(row, spec, args);
        found.extend((first..=last).step_by(step.max(1) as usize).map(|at| KeyAt { position: at as u32, flags }));
    }
    Some(found)
}

/// Its source, and of all keys to store under the last one, which alone counts.
fn georadius_keys(row: &Command, args: Args<'_>) -> Vec<KeyAt> {
    let at = |position: usize, spec: &KeySpec| KeyAt { position: position as u32, flags: spec.flags };
    let stored = super::geo::stored_at(args).map(|position| at(position, &row.keys[1]));
    std::iter::once(at(1, &row.keys[0])).chain(stored).filter(|key| (key.position as usize) < args.len()).collect()
}

/// Where a spec's keys begin; `None` when its keyword is not among the arguments.
fn begin_of(begin: &BeginSearch, args: Args<'_>) -> Option<i64> {
    let argc = args.len() as i64;
    match *begin {
        BeginSearch::Index(at) => Some(i64::from(at)),
        BeginSearch::Keyword { keyword, start_from } => {
            let is_keyword = |at: &i64| args.get(*at as usize).eq_ignore_ascii_case(keyword.as_bytes());
            let found = if start_from > 0 {
                (i64::from(start_from)..argc - 1).find(is_keyword)
            } else {
                // From the end backwards; the name itself is no candidate.
                (2..=(argc + i64::from(start_from)).min(argc - 1)).rev().find(is_keyword)
            };
            found.map(|at| at + 1)
        }
        BeginSearch::Unknown => None,
    }
}

/// First and last key and the distance between keys; `None` when the count is missing or no number.
fn range_of(find: &FindKeys, begin: i64, args: Args<'_>) -> Option<(i64, i64, i64)> {
    let argc = args.len() as i64;
    match *find {
        FindKeys::Range { last, step, .. } if last >= 0 => Some((begin, begin + i64::from(last), i64::from(step))),
        FindKeys::Range { last, step, limit: 0 } => Some((begin, argc + i64::from(last), i64::from(step))),
        FindKeys::Range { last, step, limit } => {
            Some((begin, begin + (argc - begin) / i64::from(limit) + i64::from(last), i64::from(step)))
        }
        FindKeys::KeyNum { key_num, first, step } => {
            let at = begin + i64::from(key_num);
            if at >= argc {
                return None;
            }
            let count = parse_i64(args.get(at as usize)).filter(|n| (1..=argc).contains(n))?;
            let first = begin + i64::from(first);
            Some((first, first + (count - 1) * i64::from(step), i64::from(step)))
        }
        FindKeys::Unknown => None,
    }
}

/// What happens to the keys of a spec: of some commands that depends on their options.
fn flags_of(row: &Command, spec: &KeySpec, args: Args<'_>) -> KeyFlags {
    if !spec.flags.contains(KeyFlags::VARIABLE_FLAGS) {
        return spec.flags;
    }
    match row.name {
        "set" => super::string::set::key_flags(args),
        "bitfield" => super::bitmap::field::key_flags(args),
        _ => spec.flags.difference(KeyFlags::VARIABLE_FLAGS),
    }
}

#[cfg(test)]
mod tests {
    use pinyon_resp::Span;

    use super::*;
    use crate::command::registry::registry;
    use crate::command::row::{Arg, Handler};

    fn with<T>(line: &str, f: impl FnOnce(Args<'_>) -> T) -> T {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            spans.push(Span { start, len: word.len() as u32 });
            start += word.len() as u32 + 1;
        }
        f(Args { bytes: line.as_bytes(), spans: &spans })
    }

    fn keys_in(line: &str) -> Vec<usize> {
        with(line, |args| {
            let id = registry().find(args.get(0)).expect("a command");
            let found = keys(registry().entry(id), args);
            let announced = found.len();
            let found: Vec<usize> = found.collect();
            assert_eq!(found.len(), announced, "{line}");
            // The quick way and the way by the specs agree.
            let by_specs: Vec<usize> = by_specs(registry().row(id), args)
                .unwrap_or_default()
                .iter()
                .map(|key| key.position as usize)
                .collect();
            if args.len() > 1 && registry().entry(id).arity_ok(args.len()) {
                assert_eq!(found, by_specs, "{line}");
            }
            found
        })
    }

    #[test]
    fn finds_keys() {
        assert_eq!(keys_in("get a"), [1]);
        assert_eq!(keys_in("set a b ex 10"), [1]);
        assert_eq!(keys_in("mget a b c"), [1, 2, 3]);
        assert_eq!(keys_in("mset a 1 b 2"), [1, 3]);
        // Not pairs: the handler says so, wherever it runs.
        assert_eq!(keys_in("mset a 1 b"), [1, 3]);
        assert_eq!(keys_in("lcs a b idx"), [1, 2]);
        assert_eq!(keys_in("msetex 2 a 1 b 2 nx"), [2, 4]);
        assert_eq!(keys_in("msetex 1 a 1 b 2"), [2]);
        assert_eq!(keys_in("xread count 1 streams a b 0 0"), [4, 5]);
        assert_eq!(keys_in("zunionstore d 2 a b weights 1 2"), [1, 3, 4]);
        assert_eq!(keys_in("georadius a 1 2 3 m store d"), [1, 7]);
        assert_eq!(keys_in("georadius a 1 2 3 m store d storedist e store"), [1, 9]);
        assert_eq!(keys_in("georadius a 1 2 3 m asc"), [1]);
    }

    #[test]
    fn senseless_counts_give_no_keys() {
        for line in ["msetex x a 1", "msetex 0 a 1", "msetex -1 a 1", "msetex 9 a 1", "msetex 9223372036854775807 a 1"]
        {
            assert_eq!(keys_in(line), [0usize; 0], "{line}");
        }
    }

    /// COMMAND GETKEYS has no answer, but the key decides where it runs.
    #[test]
    fn a_destination_without_sources() {
        let found = with("pfmerge a", |args| {
            let entry = registry().entry(registry().find(b"pfmerge").expect("a command"));
            assert_eq!(keys_and_flags(entry, args), Err(GetKeysError::Arguments));
            keys(entry, args).collect::<Vec<_>>()
        });
        assert_eq!(found, [1]);
        let stored = with("sort k by store get store store d limit 0 1 store e", super::super::key::sort::store_at);
        assert_eq!(stored, Some(12));
    }

    #[test]
    fn tells_what_happens_to_the_keys() {
        let flags = |line: &str| {
            with(line, |args| {
                let id = registry().find(args.get(0)).expect("a command");
                keys_and_flags(registry().entry(id), args).map(|keys| (keys.len(), keys[0].flags))
            })
        };
        let read_write = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        assert_eq!(flags("get a"), Ok((1, KeyFlags::RO | KeyFlags::ACCESS)));
        assert_eq!(flags("set a b"), Ok((1, KeyFlags::OW | KeyFlags::UPDATE)));
        assert_eq!(flags("set a b xx GET"), Ok((1, read_write)));
        // A value that looks like the option is none.
        assert_eq!(flags("set a get"), Ok((1, KeyFlags::OW | KeyFlags::UPDATE)));
        assert_eq!(flags("mset a b c d"), Ok((2, KeyFlags::OW | KeyFlags::UPDATE)));
        assert_eq!(flags("msetex 7 a"), Err(GetKeysError::Arity));
        assert_eq!(flags("msetex 7 a b c"), Err(GetKeysError::Arguments));
        assert_eq!(flags("get a b"), Err(GetKeysError::Arity));
        assert_eq!(flags("ping"), Err(GetKeysError::NoKeyArguments));
    }

    /// Rows of shapes that no command has yet: counted keys after a destination, keys behind a keyword, half of the
    /// rest.
    #[test]
    fn all_shapes_of_specs() {
        const fn row(keys: &'static [KeySpec], arity: i16) -> Command {
            const ARGS: &[Arg] = &[];
            Command { name: "x", arity, keys, args: ARGS, handler: Handler::Container, ..Command::EMPTY }
        }
        const RO: KeyFlags = KeyFlags::RO;
        static STORE: Command = row(&[KeySpec::one(1, KeyFlags::OW), KeySpec::counted(2, 1, RO)], -4);
        static EVAL: Command = row(&[KeySpec::counted(2, 1, RO)], -3);
        const fn after(keyword: &'static str, start_from: i32, last: i32, limit: i32) -> KeySpec {
            KeySpec {
                begin: BeginSearch::Keyword { keyword, start_from },
                find: FindKeys::Range { last, step: 1, limit },
                ..KeySpec::one(1, RO)
            }
        }
        static STREAMS: Command = row(&[after("STREAMS", 1, -1, 2)], -4);
        static MIGRATE: Command = row(&[after("KEYS", -2, -1, 0)], -6);
        static HIDDEN: Command = row(&[KeySpec::one(1, KeyFlags::NOT_KEY), KeySpec::one(2, RO)], 3);
        let positions = |row: &Command, line: &str| {
            with(line, |args| by_specs(row, args).map(|keys| keys.iter().map(|key| key.position).collect::<Vec<_>>()))
        };
        assert_eq!(positions(&STORE, "zunionstore d 2 a b weights 1 2"), Some(vec![1, 3, 4]));
        assert_eq!(positions(&STORE, "zunionstore d 3 a b"), None);
        assert_eq!(positions(&STORE, "zunionstore d x a b"), None);
        assert_eq!(positions(&EVAL, "eval script 0 a b"), None);
        assert_eq!(positions(&EVAL, "eval script 1 a b"), Some(vec![3]));
        assert_eq!(positions(&STREAMS, "xread count 2 streams a b 0 0"), Some(vec![4, 5]));
        assert_eq!(positions(&STREAMS, "xread streams a 0"), Some(vec![2]));
        assert_eq!(positions(&STREAMS, "xread count 2 a"), Some(vec![]));
        assert_eq!(positions(&MIGRATE, "migrate h 1 k 0 5 copy keys a b"), Some(vec![8, 9]));
        assert_eq!(positions(&MIGRATE, "migrate h 1 keys 0 5 copy"), Some(vec![4, 5, 6]));
        assert_eq!(positions(&HIDDEN, "x channel a"), Some(vec![2]));
    }
}
