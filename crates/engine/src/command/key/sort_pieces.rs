//! SORT and SORT_RO of big collections, in pieces.
//!
//! Elements are loaded some at a time and become runs, each of which is sorted by itself. Then the runs are merged, some
//! elements a piece, which are replied or put into the list that is to be stored; and what LIMIT leaves of the runs is freed
//! some at a time. Where the order is that of the collection, elements go there as they are met.
//!
//! A run has its elements one behind the other in their order, and no block for each:
//!
//! ```text
//! entries  | rank 8 | at 4 | len 4 | rank 8 | at 4 | len 4 | ...
//! bytes    | element | element | ...
//! ```
//!
//! Nothing here grows in one block with the collection but the heap of the runs, by 16 bytes for each of them.
//!
//! Not for a BY or GET that names other keys, which pieces do not hold ([`SortOptions::looks_elsewhere`]).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;

use pinyon_resp::{Args, Writer};
use pinyon_values::CollectionRef;
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::Set;
use pinyon_values::zset::ZSet;

use super::sort::{Order, SortOptions, directed, put_and_reply, score};
use crate::command::long::{self, ELEMENTS_MIN, Work};
use crate::keyspace::{Key, Keyspace, ValueRef};
use crate::{CommandError, Cx, Effect};

/// Elements of a run, and elements replied without sorting in a piece.
const LOADED_PER_PIECE: usize = 256;
/// Values that the merge gives in a piece, or that are stored: each costs up to a microsecond or some more.
const MERGED_PER_PIECE: usize = 64;
/// Runs freed in a piece.
const CLEARED_PER_PIECE: usize = 64;
/// Bytes of elements in a piece; a run has one element beyond them at most.
const BYTES_PER_PIECE: usize = 64 << 10;
/// Members of a set visited between two looks at how many bytes they had.
const SCANNED_AT_ONCE: usize = 16;

/// Whether many elements are loaded, and no other keys looked at.
pub(super) fn is_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    let len = long::elements_of(ks, args.get(1));
    if len < ELEMENTS_MIN {
        return false;
    }
    let Ok(options) = SortOptions::parse(args) else { return false };
    // Of a list or sorted set in its own order, only LIMIT's elements are visited.
    let has_places = options.keeps_order && ks.seen_as::<Set>(ks.key_of(args.get(1))).is_none();
    let visited = if has_places { options.window(len).len() } else { len };
    visited >= ELEMENTS_MIN && !options.looks_elsewhere(args)
}

pub(super) fn work() -> Work {
    let mut sorting: Option<Sorting> = None;
    Box::new(move |cx, args| match &mut sorting {
        Some(sorting) => sorting.piece(cx, args),
        None => {
            sorting = Some(Sorting::begin(cx, args)?);
            Ok(None)
        }
    })
}

/// A SORT under way.
struct Sorting {
    options: SortOptions,
    source: Source,
    order: Order,
    stage: Stage,
    /// What is being loaded.
    open: Open,
    runs: BinaryHeap<Head>,
    /// Runs that are not needed any more.
    left: Vec<Head>,
    target: Target,
    /// What is wrong with an element: said when the runs are freed.
    failed: Option<CommandError>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Elements are passed on in the order of the collection, from this place on ([`Source::walk`]).
    Pass {
        from: u64,
    },
    /// Elements become runs, from this place on.
    Load {
        from: u64,
    },
    Merge,
    /// Runs are being freed.
    Clear,
}

impl Sorting {
    /// The first piece. Errors are those of the handler: of the options, and of a key that holds something else.
    fn begin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Sorting, CommandError> {
        let options = SortOptions::parse(args)?;
        let key = cx.ks.key(args, 1);
        let source = Source::of(cx.ks.read(key))?;
        let order = options.order(source.kind == Kind::Set);
        let mut target = Target {
            list: options.store.map(|_| List::new()),
            copies: options.copies(),
            window: options.window(source.len),
            place: 0,
        };
        let stage = if order == Order::Kept {
            target.open(&mut cx.out);
            if source.kind != Kind::Set {
                target.place = target.window.start;
            }
            Stage::Pass { from: target.place as u64 }
        } else {
            Stage::Load { from: 0 }
        };
        Ok(Sorting {
            options,
            source,
            order,
            stage,
            open: Open::default(),
            runs: BinaryHeap::new(),
            left: Vec::new(),
            target,
            failed: None,
        })
    }

    fn piece(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
        let key = cx.ks.key(args, 1);
        self.stage = match self.stage {
            Stage::Pass { from } => self.pass(cx, key, from),
            Stage::Load { from } => self.load(cx, key, from),
            Stage::Merge => self.merge(cx),
            Stage::Clear => {
                self.left.truncate(self.left.len().saturating_sub(CLEARED_PER_PIECE));
                Stage::Clear
            }
        };
        let is_done = matches!(self.stage, Stage::Clear) && self.left.is_empty();
        if is_done { self.finish(cx, args).map(Some) } else { Ok(None) }
    }

    fn pass(&mut self, cx: &mut Cx<'_>, key: Key<'_>, from: u64) -> Stage {
        if self.target.is_complete() {
            return Stage::Clear;
        }
        let limits = cx.ks.limits().list;
        let values = if self.target.list.is_some() { MERGED_PER_PIECE } else { LOADED_PER_PIECE };
        let mut budget = Budget { values, bytes: BYTES_PER_PIECE };
        let (target, out) = (&mut self.target, &mut cx.out);
        let next = self.source.walk(&cx.ks, key, from, self.options.descending, &mut |element| {
            budget.spend(target.take(out, &limits, element), element.len());
            budget.is_left() && !target.is_complete()
        });
        match next {
            Some(from) if !self.target.is_complete() => Stage::Pass { from },
            _ => Stage::Clear,
        }
    }

    /// Makes one run; of a set that has a small form, which is visited whole, all of them.
    fn load(&mut self, cx: &mut Cx<'_>, key: Key<'_>, from: u64) -> Stage {
        let Sorting { order, open, runs, failed, .. } = self;
        let (order, descending) = (*order, self.options.descending);
        let next = self.source.walk(&cx.ks, key, from, false, &mut |element| {
            match rank(element, order, descending) {
                Ok(rank) => open.push(element, rank),
                Err(error) => *failed = Some(error),
            }
            if open.is_full() {
                runs.push(open.close(descending));
            }
            failed.is_none() && !open.is_empty()
        });
        if self.failed.is_some() {
            return self.clear();
        }
        if let Some(from) = next {
            return Stage::Load { from };
        }
        if !self.open.is_empty() {
            self.runs.push(self.open.close(descending));
        }
        self.target.open(&mut cx.out);
        Stage::Merge
    }

    fn merge(&mut self, cx: &mut Cx<'_>) -> Stage {
        let limits = cx.ks.limits().list;
        let mut budget = Budget { values: MERGED_PER_PIECE, bytes: BYTES_PER_PIECE };
        while budget.is_left() && !self.target.is_complete() {
            let Some(mut head) = self.runs.peek_mut() else { return self.clear() };
            let element = head.element();
            budget.spend(self.target.take(&mut cx.out, &limits, element), element.len());
            if !head.go_on() {
                PeekMut::pop(head);
            }
        }
        if self.target.is_complete() { self.clear() } else { Stage::Merge }
    }

    /// From now on runs are freed.
    fn clear(&mut self) -> Stage {
        self.left = std::mem::take(&mut self.runs).into_vec();
        Stage::Clear
    }

    /// The last piece: gives the error of an element that is no number, or stores the list.
    fn finish(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        Ok(match (self.target.list.take(), self.options.store) {
            (Some(list), Some(at)) => put_and_reply(cx, args, at, list),
            _ => Effect::None,
        })
    }
}

/// The collection that is sorted.
#[derive(Clone, Copy)]
struct Source {
    kind: Kind,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    List,
    Set,
    ZSet,
}

impl Source {
    fn of(value: Option<ValueRef<'_>>) -> Result<Source, CommandError> {
        let (kind, len) = match value {
            None => (Kind::List, 0),
            Some(ValueRef::Collection(CollectionRef::List(list))) => (Kind::List, list.len()),
            Some(ValueRef::Collection(CollectionRef::Set(set))) => (Kind::Set, set.len()),
            Some(ValueRef::Collection(CollectionRef::ZSet(zset))) => (Kind::ZSet, zset.len()),
            Some(_) => return Err(CommandError::WrongType),
        };
        Ok(Source { kind, len })
    }

    /// Visits elements from a place on until `visit` says false, and gives the next place, `None` at the end. A place is the
    /// number of elements before it in the direction of the walk. Of a set it is a cursor, there is one direction, and some
    /// members are still visited when `visit` has said false.
    fn walk(
        self,
        ks: &Keyspace<'_>,
        key: Key<'_>,
        from: u64,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<u64> {
        if self.kind == Kind::Set {
            return scan(ks, key, from, visit);
        }
        let first = if reverse { self.len.checked_sub(from as usize + 1)? } else { from as usize };
        let mut next = from;
        let mut visit = |element: &[u8]| {
            next += 1;
            visit(element)
        };
        if self.kind == Kind::List {
            let list = ks.seen_as::<List>(key)?;
            list.walk(first, reverse, &mut |element| visit(element.bytes(&mut [0; 20])));
        } else {
            let zset = ks.seen_as::<ZSet>(key)?;
            zset.walk(first, reverse, &mut |member, _| visit(member));
        }
        (next < self.len as u64).then_some(next)
    }
}

/// As [`Source::walk`], of a set.
fn scan(ks: &Keyspace<'_>, key: Key<'_>, from: u64, visit: &mut dyn FnMut(&[u8]) -> bool) -> Option<u64> {
    let set = ks.seen_as::<Set>(key)?;
    let (mut cursor, mut goes_on) = (from, true);
    while goes_on {
        cursor = set.scan(cursor, SCANNED_AT_ONCE, &mut |member| goes_on &= visit(member.bytes(&mut [0; 20])));
        if cursor == 0 {
            return None;
        }
    }
    Some(cursor)
}

/// Where elements go when it is their turn.
struct Target {
    /// What is to be stored; `None`: they are replied.
    list: Option<List>,
    /// How often each goes there.
    copies: usize,
    /// The places of those that LIMIT leaves.
    window: Range<usize>,
    /// The place of the next.
    place: usize,
}

impl Target {
    /// Announces how many there will be.
    fn open(&self, out: &mut Writer<'_>) {
        if self.list.is_none() {
            out.array(self.window.len() * self.copies);
        }
    }

    /// Takes the next element; gives how many values that made.
    fn take(&mut self, out: &mut Writer<'_>, limits: &ListLimits, element: &[u8]) -> usize {
        let values = if self.window.contains(&self.place) { self.copies } else { 0 };
        self.place += 1;
        for _ in 0..values {
            match &mut self.list {
                Some(list) => list.push_back(element, limits),
                None => out.bulk(element),
            }
        }
        values
    }

    /// Whether there are no more to come.
    fn is_complete(&self) -> bool {
        self.place >= self.window.end
    }
}

/// What a piece may still do.
struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    /// An element was passed on as so many values of so many bytes; one that was not counts as one.
    fn spend(&mut self, values: usize, bytes: usize) {
        self.values = self.values.saturating_sub(values.max(1));
        self.bytes = self.bytes.saturating_sub(values * bytes);
    }

    fn is_left(&self) -> bool {
        self.values > 0 && self.bytes > 0
    }
}

/// Elements that are being made a run of, in the order of the collection.
#[derive(Default)]
struct Open {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= LOADED_PER_PIECE || self.bytes.len() >= BYTES_PER_PIECE
    }

    fn push(&mut self, element: &[u8], rank: u64) {
        self.entries.push(Entry { rank, at: self.bytes.len() as u32, len: element.len() as u32 });
        self.bytes.extend_from_slice(element);
    }

    /// Makes a run of them; it must not be empty, and is afterwards.
    fn close(&mut self, descending: bool) -> Head {
        let unsorted = &self.bytes;
        self.entries.sort_unstable_by(|one, other| {
            let texts = || directed(one.text(unsorted).cmp(other.text(unsorted)), descending);
            one.rank.cmp(&other.rank).then_with(texts)
        });
        let mut bytes = Vec::with_capacity(unsorted.len());
        for entry in &mut self.entries {
            let at = bytes.len() as u32;
            bytes.extend_from_slice(entry.text(unsorted));
            entry.at = at;
        }
        let run = Run { entries: self.entries.as_slice().into(), bytes: bytes.into(), next: 0, descending };
        self.entries.clear();
        self.bytes.clear();
        // One huge element need not keep its room.
        self.bytes.shrink_to(2 * BYTES_PER_PIECE);
        Head { rank: run.entries[0].rank, run: Box::new(run) }
    }
}

/// An element of a run.
#[derive(Clone, Copy)]
struct Entry {
    /// See [`rank`].
    rank: u64,
    /// Its bytes among those of the run. Elements before it have fewer than [`BYTES_PER_PIECE`], and one that a client sent, or
    /// a file holds, less than 4 GiB.
    at: u32,
    len: u32,
}

impl Entry {
    fn text(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at as usize..][..self.len as usize]
    }
}

/// Elements in their order, of which some are gone already.
struct Run {
    entries: Box<[Entry]>,
    bytes: Box<[u8]>,
    next: usize,
    descending: bool,
}

/// A run in the heap, where it stands as its next element demands. The greatest in the heap is the first in the order.
///
/// Elements that compare as equal are equal byte by byte: nobody can tell which comes first.
struct Head {
    /// That of the next element, so that most comparisons are done without a look at the run.
    rank: u64,
    run: Box<Run>,
}

impl Head {
    /// The next element.
    fn element(&self) -> &[u8] {
        self.run.entries[self.run.next].text(&self.run.bytes)
    }

    /// Goes on to the next element. False: there is none, and the run is to be dropped.
    fn go_on(&mut self) -> bool {
        self.run.next += 1;
        let Some(next) = self.run.entries.get(self.run.next) else { return false };
        self.rank = next.rank;
        true
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        let texts = || directed(self.element().cmp(other.element()), self.run.descending);
        self.rank.cmp(&other.rank).then_with(texts).reverse()
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// A number that elements are compared by before their texts are: of an element that comes before another one it is less or
/// the same, and the same for equal scores. DESC turns it round. The error: it is no number, and should be.
fn rank(element: &[u8], order: Order, descending: bool) -> Result<u64, CommandError> {
    let rank = if order == Order::Texts { rank_of_text(element) } else { rank_of_score(score(element)?) };
    Ok(if descending { !rank } else { rank })
}

/// Its first 8 bytes; what is missing counts as zeros, than which nothing is less.
fn rank_of_text(text: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = text.len().min(first.len());
    first[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(first)
}

/// The bits of a double that is no NaN, in its order: those of negative ones, which are greater the less it is, turned round,
/// and below the others.
fn rank_of_score(score: f64) -> u64 {
    // A negative zero is as good as another.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use pinyon_base::DbIndex;
    use pinyon_values::Collection;
    use pinyon_values::set::SetLimits;
    use pinyon_values::zset::ZSetLimits;
    use proptest::prelude::*;

    use super::*;
    use crate::command::long::tests::{in_pieces, run_pieces};
    use crate::command::trial::Trial;
    use crate::keyspace::Ttl;

    fn collection(kind: Kind, elements: &[Vec<u8>]) -> Collection {
        let (mut list, mut set, mut zset) = (List::new(), Set::new(), ZSet::new());
        for (number, element) in elements.iter().enumerate() {
            match kind {
                Kind::List => list.push_back(element, &ListLimits::default()),
                Kind::Set => _ = set.add(element, &SetLimits::default()),
                Kind::ZSet => _ = zset.add(element, (number % 7) as f64, &ZSetLimits::default()),
            }
        }
        match kind {
            Kind::List => Collection::List(Box::new(list)),
            Kind::Set => Collection::Set(Box::new(set)),
            Kind::ZSet => Collection::ZSet(Box::new(zset)),
        }
    }

    fn holding(key: &str, collection: Collection) -> Trial {
        let mut t = Trial::new();
        let mut ks = t.shard.keyspace(DbIndex(0), false);
        let key = ks.key_of(key.as_bytes());
        ks.put_collection(key, collection, Ttl::Clear);
        t
    }

    /// The numbers below `len`, mixed up.
    fn mixed(len: usize) -> Vec<Vec<u8>> {
        (0..len).map(|i| (i * 7919 % len).to_string().into_bytes()).collect()
    }

    /// The reply with these elements.
    fn array(elements: impl Iterator<Item = usize>) -> String {
        let bulks: Vec<String> = elements.map(|e| format!(" ${} {e}", e.to_string().len())).collect();
        format!("*{}{}", bulks.len(), bulks.concat())
    }

    #[test]
    fn elements_are_in_order() {
        let len = 2 * ELEMENTS_MIN + 77;
        let elements = mixed(len);
        let as_numbers = |element: &Vec<u8>| String::from_utf8_lossy(element).parse::<usize>().expect("a number");
        let mut by_text: Vec<usize> = (0..len).collect();
        by_text.sort_by_key(usize::to_string);
        for kind in [Kind::List, Kind::Set, Kind::ZSet] {
            let mut t = holding("c", collection(kind, &elements));
            let mut expect = |line: &str, reply: String| assert_eq!(in_pieces(&mut t, line).0, reply, "{line}");
            expect("sort c", array(0..len));
            expect("sort_ro c desc", array((0..len).rev()));
            expect("sort c alpha", array(by_text.iter().copied()));
            expect("sort c alpha desc limit 3 99", array(by_text.iter().rev().skip(3).take(99).copied()));
            expect("sort c limit 5 400", array((5..len).take(400)));
            expect("sort c limit -5 3", array(0..3));
            expect("sort c limit 9 -1", array(9..len));
            expect("sort c desc limit 10000 3", array(0..0));
            expect("sort c limit 2 0", array(0..0));
            expect("sort c get # get # limit 7 2", array([7, 7, 8, 8].into_iter()));
            expect("sort c desc store d", format!(":{len}"));
            expect("sort d by nosort", array((0..len).rev()));
            expect("sort d by nosort desc get # get # get #", array((0..len).flat_map(|e| [e, e, e])));
        }
        let mut t = holding("c", collection(Kind::List, &elements));
        let kept = |reply: (String, Effect, usize), places: Range<usize>| {
            assert_eq!(reply.0, array(elements[places].iter().map(as_numbers)));
        };
        kept(in_pieces(&mut t, "sort c by nosort limit 50 -1"), 50..len);
        kept(in_pieces(&mut t, &format!("sort c by nosort limit 50 {ELEMENTS_MIN}")), 50..50 + ELEMENTS_MIN);
    }

    /// What is in the order of the collection already is in pieces only if much of it is asked for.
    #[test]
    fn small_pages_are_no_work() {
        for (kind, is) in [(Kind::List, false), (Kind::ZSet, false), (Kind::Set, true)] {
            let mut t = holding("c", collection(kind, &mixed(2 * ELEMENTS_MIN)));
            let mut is_big = |line: &str| {
                let words: Vec<&str> = line.split(' ').collect();
                is_big(&mut t.shard.keyspace(DbIndex(0), true), crate::command::trial::Owned::of(&words).args())
            };
            assert_eq!(is_big("sort c by nosort limit 20 10"), is);
            assert!(is_big("sort c limit 20 10") && is_big("sort c by nosort"));
            assert!(!is_big("sort c by w*") && !is_big("sort c get w*") && !is_big("sort c get # get h*->f"));
            assert!(is_big("sort c by w* by nosort") && !is_big("sort c what") && !is_big("sort c limit x 1"));
            assert!(!is_big("sort nokey") && !is_big("sort_ro c store d"));
        }
        // Nor are the elements before them visited.
        let mut t = holding("c", collection(Kind::List, &mixed(ELEMENTS_MIN + 20 * LOADED_PER_PIECE)));
        let (_, _, pieces) = in_pieces(&mut t, &format!("sort c by nosort limit 5000 {ELEMENTS_MIN}"));
        assert_eq!(pieces, 1 + ELEMENTS_MIN.div_ceil(LOADED_PER_PIECE));
    }

    /// Neither a reply of a few elements nor an error is a reason to free all runs at once.
    #[test]
    fn what_is_left_is_freed_in_pieces() {
        let runs = 3 * CLEARED_PER_PIECE;
        let mut elements = mixed(runs * LOADED_PER_PIECE);
        let mut t = holding("c", collection(Kind::List, &elements));
        let begin_and_merge = 2;
        assert_eq!(in_pieces(&mut t, "sort c limit 0 3"), (array(0..3), Effect::None, begin_and_merge + runs + 3));
        elements.push(b"x".to_vec());
        let mut t = holding("c", collection(Kind::List, &elements));
        let (reply, _, pieces) = in_pieces(&mut t, "sort c store d");
        assert_eq!(reply, "-ERR One or more scores can't be converted into double");
        assert_eq!(pieces, 1 + runs + 1 + 3);
        assert_eq!(t.run("exists d"), ":0");
    }

    /// Runs are cut by bytes, too, and no piece replies many of them.
    #[test]
    fn long_elements() {
        let len = ELEMENTS_MIN + 7;
        let long = |i: usize| format!("{:05}{}", i, "x".repeat(10_000)).into_bytes();
        let elements: Vec<Vec<u8>> = (0..len).map(|i| long(i * 31 % len)).collect();
        let bytes = len * long(0).len();
        for kind in [Kind::List, Kind::Set, Kind::ZSet] {
            let (mut plain, mut pieced) =
                (holding("c", collection(kind, &elements)), holding("c", collection(kind, &elements)));
            for line in [
                "sort c alpha desc",
                "sort c alpha limit 0 1",
                "sort c by nosort",
                "sort c alpha store d",
                "lrange d 0 -1",
            ] {
                let (reply, _, pieces) = in_pieces(&mut pieced, line);
                assert!(reply == plain.run(line), "{line} of {kind:?}");
                assert!(
                    pieces > bytes / (4 * BYTES_PER_PIECE) || line.starts_with("lrange"),
                    "{line}: {pieces} pieces"
                );
            }
        }
    }

    #[test]
    fn ranks_are_in_order() {
        let scores = [f64::NEG_INFINITY, -1e300, -1.5, -1.0, -1e-310, 0.0, 1e-310, 1.0, 1.5, 1e300, f64::INFINITY];
        assert!(scores.windows(2).all(|pair| rank_of_score(pair[0]) < rank_of_score(pair[1])));
        assert_eq!(rank_of_score(-0.0), rank_of_score(0.0));
        let texts: [&[u8]; 7] = [b"", b"\0\x01", b"a", b"a\0b", b"aaaaaaaa", b"aaaaaaab", b"\xFF"];
        assert!(texts.windows(2).all(|pair| rank_of_text(pair[0]) < rank_of_text(pair[1])));
        assert_eq!(rank_of_text(b"12345678"), rank_of_text(b"123456789"));
    }

    /// Numbers in many spellings, or texts, many of them more than once in a list.
    fn elements() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let number = prop_oneof![
            "-?[0-9]{1,2}",
            "0{0,2}[0-9]\\.0{1,2}",
            "-?[1-9]e[12]",
            prop::sample::select(vec!["-0", "", " 7", "0x10", "inf", "-inf"]).prop_map(str::to_owned),
        ];
        let text = prop_oneof!["[a-c\x00]{0,3}", "prefixed[a-c\x00]{0,2}", "[0-9]{1,3}"];
        let count = ELEMENTS_MIN + 1..ELEMENTS_MIN + 700;
        let of = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect();
        prop_oneof![
            3 => prop::collection::vec(number, count.clone()).prop_map(of),
            2 => prop::collection::vec(text, count).prop_map(of),
        ]
    }

    fn options() -> impl Strategy<Value = String> {
        let option = prop_oneof![
            prop::sample::select(vec!["asc", "desc", "alpha", "by nosort", "get #", "store to", "store c"])
                .prop_map(str::to_owned),
            (-3i64..1000, -3i64..1200).prop_map(|(first, count)| format!("limit {first} {count}")),
        ];
        prop::collection::vec(option, 0..6).prop_map(|options| options.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 150 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// Replies, what is stored, what is told to the log and what is counted are those of the handler.
        #[test]
        fn both_ways_do_the_same(
            mut elements in elements(),
            kind in prop::sample::select(vec![Kind::List, Kind::List, Kind::Set, Kind::ZSet]),
            options in options(),
            read_only: bool,
        ) {
            if kind != Kind::List {
                // All are different, so that there are as many.
                elements.iter_mut().enumerate().for_each(|(i, element)| element.extend(format!("{i:04}").bytes()));
            }
            let name = if read_only && !options.contains("store") { "sort_ro" } else { "sort" };
            let line = format!("{name} c {options}").trim_end().to_owned();
            let (mut plain, mut pieced) = (holding("c", collection(kind, &elements)), holding("c", collection(kind, &elements)));
            let expected = plain.run(&line);
            let (reply, effect, _) = run_pieces(&mut pieced, &line);
            prop_assert_eq!(reply, expected, "{}", line);
            prop_assert_eq!(effect, plain.effect());
            let counts = |t: &Trial| (t.shard.stats().hits, t.shard.stats().misses);
            prop_assert_eq!(counts(&pieced), counts(&plain));
            for look in ["lrange to 0 -1", "lrange c 0 -1", "type c", "exists to c", "object encoding to"] {
                prop_assert_eq!(pieced.run(look), plain.run(look), "{} after {}", look, line);
            }
        }
    }
}
