//! SORT and SORT_RO: the elements of a list, set or sorted set, by themselves or by what other keys hold.
//!
//! It goes in steps, so that the server can do the same over several shards: elements are loaded, what they are sorted by is
//! looked up, they are sorted, what is replied for them is looked up, and that is replied or stored. Which keys are looked up
//! is known only when the elements are.

use std::cmp::Ordering;

use pinyon_base::{parse_f64, parse_i64, skip_spaces};
use pinyon_resp::{Args, Writer};
use pinyon_values::list::{List, ListLimits};
use pinyon_values::{Collection, CollectionRef};

use super::sort_pieces;
use crate::command::long::Long;
use crate::command::row::{
    Arg, ArgKind, BeginSearch, Categories, Command, FindKeys, Flags, Group, Handler, KeyFlags, KeySpec, Spread,
};
use crate::keyspace::{Events, Key, Keyspace, Ttl, ValueRef};
use crate::{CommandError, Cx, Effect, until_nul};

pub(super) const SORT: Command = Command {
    name: "sort",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::SET.union(Categories::SORTEDSET).union(Categories::LIST).union(Categories::DANGEROUS),
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec {
            notes: "BY and GET: these keys are named after the elements sorted",
            flags: KeyFlags::RO.union(KeyFlags::ACCESS),
            begin: BeginSearch::Unknown,
            find: FindKeys::Unknown,
        },
        KeySpec {
            notes: "STORE may stand anywhere among the options",
            flags: KeyFlags::OW.union(KeyFlags::UPDATE),
            begin: BeginSearch::Unknown,
            find: FindKeys::Unknown,
        },
    ],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N+M*log(M)) with N elements of which M are replied; without sorting O(N).",
    summary: "Sorts a list, set or sorted set by its elements or by other keys, and replies the result or stores it.",
    args: &[
        Arg::key("key", 0),
        (Arg { key_spec: Some(1), ..Arg::new("pattern", ArgKind::Pattern) }).with_token("BY").optional(),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
        (Arg { key_spec: Some(1), ..Arg::new("pattern", ArgKind::Pattern) })
            .with_token("GET")
            .optional()
            .multiple()
            .multiple_token(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::token("sorting", "ALPHA").optional(),
        Arg::key("destination", 2).with_token("STORE").optional(),
    ],
    handler: Handler::Spread(Spread::Sort, sort),
    long: Some(Long { is: sort_pieces::is_big, work: sort_pieces::work }),
    ..Command::EMPTY
};

pub(super) const SORT_RO: Command = Command {
    name: "sort_ro",
    arity: -2,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SET.union(Categories::SORTEDSET).union(Categories::LIST).union(Categories::DANGEROUS),
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec {
            notes: "BY and GET: these keys are named after the elements sorted",
            flags: KeyFlags::RO.union(KeyFlags::ACCESS),
            begin: BeginSearch::Unknown,
            find: FindKeys::Unknown,
        },
    ],
    group: Group::Generic,
    since: "7.0.0",
    complexity: "O(N+M*log(M)) with N elements of which M are replied; without sorting O(N).",
    summary: "Sorts like SORT, without storing.",
    args: &[
        Arg::key("key", 0),
        (Arg { key_spec: Some(1), ..Arg::new("pattern", ArgKind::Pattern) }).with_token("BY").optional(),
        Arg::block("offset_count", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
            .with_token("LIMIT")
            .optional(),
        (Arg { key_spec: Some(1), ..Arg::new("pattern", ArgKind::Pattern) })
            .with_token("GET")
            .optional()
            .multiple()
            .multiple_token(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::token("sorting", "ALPHA").optional(),
    ],
    handler: Handler::Spread(Spread::Sort, sort),
    long: Some(Long { is: sort_pieces::is_big, work: sort_pieces::work }),
    ..Command::EMPTY
};

/// What is asked for. Positions are those of the arguments.
#[derive(Clone, Debug, Default)]
pub struct SortOptions {
    pub(super) descending: bool,
    alpha: bool,
    /// First element and number of elements; a negative number is all.
    limit: Option<(i64, i64)>,
    /// The pattern of BY, whatever it is.
    by: Option<usize>,
    /// BY names no other keys: the order is that of the collection.
    pub(super) keeps_order: bool,
    gets: Vec<usize>,
    /// The destination of STORE.
    pub store: Option<usize>,
}

/// By what the elements of a collection are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By nothing: it is that of the collection.
    Kept,
    /// By numbers; equal ones by the text of the elements.
    Scores,
    Texts,
}

/// A key, and perhaps a field of a hash under it, that a pattern and an element name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub key: Vec<u8>,
    field: Option<Vec<u8>>,
}

/// The position of the destination, if there is one: where it stands depends on the options before it.
pub fn store_at(args: Args<'_>) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while at < args.len() {
        let named = |name: &str| args.get(at).eq_ignore_ascii_case(name.as_bytes());
        at += match () {
            () if named("LIMIT") => 3,
            () if named("GET") || named("BY") => 2,
            () if named("STORE") && at + 1 < args.len() => {
                found = Some(at + 1);
                1
            }
            () => 1,
        };
    }
    found
}

impl SortOptions {
    pub fn parse(args: Args<'_>) -> Result<SortOptions, CommandError> {
        let may_store = args.get(0).len() == "sort".len();
        let mut options = SortOptions::default();
        let mut at = 2;
        while at < args.len() {
            let named = |name: &str, words: usize| {
                args.len() - 1 - at >= words && args.get(at).eq_ignore_ascii_case(name.as_bytes())
            };
            let number = |at: usize| parse_i64(args.get(at)).ok_or(CommandError::NotInteger);
            at += if named("ASC", 0) || named("DESC", 0) {
                options.descending = named("DESC", 0);
                1
            } else if named("ALPHA", 0) {
                options.alpha = true;
                1
            } else if named("LIMIT", 2) {
                options.limit = Some((number(at + 1)?, number(at + 2)?));
                3
            } else if may_store && named("STORE", 1) {
                options.store = Some(at + 1);
                2
            } else if named("BY", 1) {
                options.by = Some(at + 1);
                options.keeps_order |= !args.get(at + 1).contains(&b'*');
                2
            } else if named("GET", 1) {
                options.gets.push(at + 1);
                2
            } else {
                return Err(CommandError::Syntax);
            };
        }
        Ok(options)
    }

    /// The pattern that names what is sorted by, if it is other keys.
    pub fn by<'a>(&self, args: Args<'a>) -> Option<&'a [u8]> {
        self.by.filter(|_| !self.keeps_order).map(|at| args.get(at))
    }

    /// The patterns of GET.
    pub fn gets<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> {
        self.gets.iter().map(move |at| args.get(*at))
    }

    /// Whether other keys are looked at than those among the arguments.
    pub fn looks_elsewhere(&self, args: Args<'_>) -> bool {
        self.by(args).is_some() || self.gets(args).any(|pattern| pattern != b"#")
    }

    /// The order of a set is that of its table, and what it is stored as must not depend on chance: then it is that of texts,
    /// whatever the options say.
    pub(super) fn order(&self, is_set: bool) -> Order {
        match self.keeps_order {
            true if is_set && self.store.is_some() => Order::Texts,
            true => Order::Kept,
            false if self.alpha => Order::Texts,
            false => Order::Scores,
        }
    }

    /// How often each element is replied, where other keys are not looked at: once for each GET, which is then GET #.
    pub(super) fn copies(&self) -> usize {
        self.gets.len().max(1)
    }

    /// The elements that LIMIT leaves of `len`.
    pub(super) fn window(&self, len: usize) -> std::ops::Range<usize> {
        let (first, count) = self.limit.unwrap_or((0, -1));
        let first = first.clamp(0, len as i64) as usize;
        let count = if count < 0 { len } else { usize::try_from(count).unwrap_or(len) };
        first..first.saturating_add(count).min(len)
    }
}

/// The elements, and what is still to be done with them.
pub struct Elements {
    items: Vec<Vec<u8>>,
    /// [`Order::Kept`]: LIMIT is done.
    order: Order,
}

impl Elements {
    pub fn load(ks: &mut Keyspace<'_>, key: Key<'_>, options: &SortOptions) -> Result<Elements, CommandError> {
        let mut elements = Elements { items: Vec::new(), order: options.order(false) };
        let items = &mut elements.items;
        match ks.read(key) {
            None => {}
            Some(ValueRef::Collection(CollectionRef::List(list))) => {
                let window = if options.keeps_order { options.window(list.len()) } else { 0..list.len() };
                let count = window.len();
                let reverse = options.keeps_order && options.descending;
                let first = if reverse && count > 0 { list.len() - 1 - window.start } else { window.start };
                list.walk(first, reverse, &mut |item| {
                    if items.len() < count {
                        items.push(item.to_vec());
                    }
                    items.len() < count
                });
            }
            Some(ValueRef::Collection(CollectionRef::ZSet(zset))) => {
                let window = if options.keeps_order { options.window(zset.len()) } else { 0..zset.len() };
                let reverse = options.keeps_order && options.descending;
                if !window.is_empty() {
                    let first = if reverse { zset.len() - 1 - window.start } else { window.start };
                    zset.range(first, window.len(), reverse, &mut |member, _| items.push(member.to_vec()));
                }
            }
            Some(ValueRef::Collection(CollectionRef::Set(set))) => {
                set.scan(0, usize::MAX, &mut |member| items.push(member.to_vec()));
                elements.order = options.order(true);
                if elements.order == Order::Kept {
                    let window = options.window(items.len());
                    items.truncate(window.end);
                    items.drain(..window.start);
                }
            }
            Some(_) => return Err(CommandError::WrongType),
        }
        Ok(elements)
    }

    pub fn items(&self) -> &[Vec<u8>] {
        &self.items
    }

    /// Sorts them, and leaves those of LIMIT. `weights`: what other keys hold for each.
    pub fn sort(
        self,
        options: &SortOptions,
        weights: Option<Vec<Option<Vec<u8>>>>,
    ) -> Result<Vec<Vec<u8>>, CommandError> {
        if self.order == Order::Kept {
            return Ok(self.items);
        }
        let directed = |ordering| directed(ordering, options.descending);
        let window = options.window(self.items.len());
        let mut sorted: Vec<Vec<u8>> = if self.order == Order::Scores {
            let scores: Vec<f64> = match &weights {
                Some(weights) => weights.iter().map(|weight| weight.as_deref().map_or(Ok(0.0), score)).collect(),
                None => self.items.iter().map(|item| score(item)).collect::<Result<_, _>>(),
            }?;
            let mut pairs: Vec<(f64, Vec<u8>)> = scores.into_iter().zip(self.items).collect();
            pairs.sort_by(|(a, one), (b, other)| {
                directed(a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| one.cmp(other)))
            });
            pairs.into_iter().map(|(_, item)| item).collect()
        } else if let Some(weights) = weights {
            let mut pairs: Vec<(Option<Vec<u8>>, Vec<u8>)> = weights.into_iter().zip(self.items).collect();
            pairs.sort_by(|(one, _), (other, _)| directed(one.cmp(other)));
            pairs.into_iter().map(|(_, item)| item).collect()
        } else {
            let mut items = self.items;
            items.sort_by(|one, other| directed(one.cmp(other)));
            items
        };
        sorted.truncate(window.end);
        sorted.drain(..window.start);
        Ok(sorted)
    }
}

/// What comes first with DESC comes last without.
pub(super) fn directed(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

/// The number that a text is sorted by, as C's `strtod` takes it: it ends at a zero byte, spaces may be before it, and
/// nothing is 0.
pub(super) fn score(text: &[u8]) -> Result<f64, CommandError> {
    let text = until_nul(text);
    if text.is_empty() {
        return Ok(0.0);
    }
    parse_f64(skip_spaces(text)).ok_or(CommandError::text("ERR One or more scores can't be converted into double"))
}

/// What a pattern and an element name; None: nothing that could be there.
pub fn named(pattern: &[u8], element: &[u8]) -> Option<Named> {
    let star = pattern.iter().position(|&byte| byte == b'*')?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = rest.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < rest.len());
    let (suffix, field) = match arrow {
        Some(at) => (&rest[..at], Some(rest[at + 2..].to_vec())),
        None => (rest, None),
    };
    Some(Named { key: [prefix, element, suffix].concat(), field })
}

/// What is there of that name.
pub fn look_up(ks: &mut Keyspace<'_>, named: &Named) -> Option<Vec<u8>> {
    let key = ks.key_of(&named.key);
    match (ks.read(key)?, &named.field) {
        (ValueRef::Collection(CollectionRef::Hash(hash)), Some(field)) => hash.get(field).map(|value| value.to_vec()),
        (ValueRef::Collection(_), _) | (_, Some(_)) => None,
        (value, None) => Some(value.to_vec()),
    }
}

/// Replies the values; without GET all are there.
pub fn reply(out: &mut Writer<'_>, values: &[Option<Vec<u8>>]) {
    out.array(values.len());
    for value in values {
        match value {
            Some(value) => out.bulk(value),
            None => out.null(),
        }
    }
}

/// Stores the values as a list under the key, over whatever is there; none of them remove it. True: something has changed.
pub fn store(ks: &mut Keyspace<'_>, key: Key<'_>, values: &[Option<Vec<u8>>]) -> bool {
    let list = list_of(values, &ks.limits().list);
    put(ks, key, list)
}

fn list_of(values: &[Option<Vec<u8>>], limits: &ListLimits) -> List {
    let mut list = List::new();
    values.iter().for_each(|value| list.push_back(value.as_deref().unwrap_or(b""), limits));
    list
}

/// As [`store`], of the list itself.
fn put(ks: &mut Keyspace<'_>, key: Key<'_>, list: List) -> bool {
    if list.is_empty() {
        let removed = ks.remove(key);
        if removed {
            ks.notify(Events::GENERIC, "del", key);
        }
        return removed;
    }
    ks.put_collection(key, Collection::List(Box::new(list)), Ttl::Clear);
    ks.notify(Events::LIST, "sortstore", key);
    true
}

/// The end of a command with STORE: the list is put under the key at that argument, and its length replied.
pub(super) fn put_and_reply(cx: &mut Cx<'_>, args: Args<'_>, at: usize, list: List) -> Effect {
    let (key, len) = (cx.ks.key(args, at), list.len());
    let has_changed = put(&mut cx.ks, key, list);
    cx.out.int(len as i64);
    match has_changed {
        false => Effect::None,
        true if len == 0 => Effect::Deleted { key: at as u16 },
        true => Effect::Put { key: at as u16 },
    }
}

fn sort(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let options = SortOptions::parse(args)?;
    let key = cx.ks.key(args, 1);
    let elements = Elements::load(&mut cx.ks, key, &options)?;
    let mut find = |pattern: &[u8], item: &Vec<u8>| {
        if pattern == b"#" { Some(item.clone()) } else { look_up(&mut cx.ks, &named(pattern, item)?) }
    };
    let weights = options.by(args).map(|by| elements.items().iter().map(|item| find(by, item)).collect());
    let sorted = elements.sort(&options, weights)?;
    let values: Vec<Option<Vec<u8>>> = if options.gets.is_empty() {
        sorted.into_iter().map(Some).collect()
    } else {
        let patterns: Vec<&[u8]> = options.gets(args).collect();
        sorted
            .iter()
            .flat_map(|item| patterns.iter().map(move |pattern| (pattern, item)))
            .map(|(p, i)| find(p, i))
            .collect()
    };
    let Some(at) = options.store else {
        reply(&mut cx.out, &values);
        return Ok(Effect::None);
    };
    let list = list_of(&values, &cx.ks.limits().list);
    Ok(put_and_reply(cx, args, at, list))
}
