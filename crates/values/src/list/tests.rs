//! Lists of every limit against a plain deque, and what nodes do while a list is used as a queue.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

type Model = VecDeque<Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    PopBack,
    PopFront,
    Set(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    RemoveRange(usize, usize),
    RemoveEqual(Vec<u8>, usize, bool),
    Fill(u16, bool),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0i64..20).prop_map(|value| value.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|value| (value >> 20).to_string().into_bytes()),
        2 => (0usize..70).prop_map(|len| vec![b'z'; len]),
        1 => proptest::collection::vec(any::<u8>(), 0..3000),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => element().prop_map(Step::PushBack),
        4 => element().prop_map(Step::PushFront),
        3 => Just(Step::PopBack),
        3 => Just(Step::PopFront),
        3 => (any::<usize>(), element()).prop_map(|(at, e)| Step::Set(at, e)),
        3 => (any::<usize>(), element()).prop_map(|(at, e)| Step::Insert(at, e)),
        2 => (any::<usize>(), 0usize..400).prop_map(|(at, n)| Step::RemoveRange(at, n)),
        2 => (element(), 1usize..9, any::<bool>()).prop_map(|(e, n, b)| Step::RemoveEqual(e, n, b)),
        2 => (0u16..1500, any::<bool>()).prop_map(|(n, back)| Step::Fill(n, back)),
    ]
}

fn check(list: &List, model: &Model) {
    assert_eq!(list.len(), model.len());
    let mut all = Vec::new();
    list.range(0, usize::MAX, &mut |item| all.push(item.to_vec()));
    assert!(model.iter().eq(&all));
    if let List::Nodes(nodes) = list {
        assert_eq!(nodes.node_bytes, nodes.tree.bodies().map(Node::memory).sum::<usize>());
        for end in [nodes.tree.first(), nodes.tree.last()] {
            assert!(!nodes.tree.leaf(end).is_compressed());
        }
        let compressed = nodes.tree.bodies().filter(|node| node.is_compressed()).count();
        assert!(nodes.warm.len() <= WARM_MAX && compressed <= nodes.tree.leaf_count());
    }
}

fn run(list: &mut List, model: &mut Model, step: Step, limits: &ListLimits) {
    match step {
        Step::PushBack(element) => {
            list.push_back(&element, limits);
            model.push_back(element);
        }
        Step::PushFront(element) => {
            list.push_front(&element, limits);
            model.push_front(element);
        }
        Step::PopBack | Step::PopFront => {
            let mut popped = None;
            let back = matches!(step, Step::PopBack);
            let mut show = |item: Item<'_>| popped = Some(item.to_vec());
            if back {
                list.pop_back(limits, &mut show)
            } else {
                list.pop_front(limits, &mut show)
            };
            assert_eq!(popped, if back { model.pop_back() } else { model.pop_front() });
        }
        Step::Set(at, element) => {
            let at = at % (model.len() + 1);
            assert_eq!(list.set(at, &element, limits), at < model.len());
            if let Some(place) = model.get_mut(at) {
                *place = element;
            }
        }
        Step::Insert(at, element) => {
            let at = at % (model.len() + 1);
            list.insert(at, &element, limits);
            model.insert(at, element);
        }
        Step::RemoveRange(at, count) => {
            let at = at % (model.len() + 1);
            list.remove_range(at, count, limits);
            model.drain(at..(at + count).min(model.len()));
        }
        Step::RemoveEqual(element, count, from_back) => {
            let mut places: Vec<usize> = (0..model.len()).filter(|&at| model[at] == element).collect();
            if from_back {
                places.reverse();
            }
            places.truncate(count);
            places.sort_unstable();
            assert_eq!(list.remove_equal(&element, count, from_back, limits), places.len());
            for &at in places.iter().rev() {
                model.remove(at);
            }
        }
        Step::Fill(count, back) => {
            for i in 0..count {
                let element = format!("item:{i}").into_bytes();
                if back {
                    list.push_back(&element, limits);
                    model.push_back(element);
                } else {
                    list.push_front(&element, limits);
                    model.push_front(element);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn like_a_deque(
        steps in proptest::collection::vec(step(), 0..60),
        size in prop_oneof![Just(-2i64), Just(-1), 1i64..6, Just(100)],
        compress: bool,
        looks in proptest::collection::vec((any::<usize>(), element()), 5),
    ) {
        let limits = ListLimits { node: NodeLimit::of(size), compress };
        let (mut list, mut model) = (List::new(), Model::new());
        for step in steps {
            run(&mut list, &mut model, step, &limits);
            check(&list, &model);
        }
        for (at, element) in looks {
            let at = at % (model.len() + 1);
            let mut found = None;
            prop_assert_eq!(list.get(at, &mut |item| found = Some(item.to_vec())), at < model.len());
            prop_assert_eq!(found.as_ref(), model.get(at));
            let mut backwards = Vec::new();
            list.walk(at, true, &mut |item| {
                backwards.push(item.to_vec());
                backwards.len() < 300
            });
            let expected = model.iter().take(at + 1).rev().take(if at < model.len() { 300 } else { 0 });
            prop_assert!(expected.eq(&backwards));
            let places: Vec<usize> = (0..model.len()).filter(|&at| model[at] == element).collect();
            prop_assert_eq!(list.positions(&element, false, 0, usize::MAX, usize::MAX), places.clone());
            let last = places.iter().rev().skip(1).take(2).copied().collect::<Vec<_>>();
            prop_assert_eq!(list.positions(&element, true, 1, 2, usize::MAX), last);
        }
        let mut copy = list.clone();
        check(&copy, &model);
        while copy.free_some(50) {}
    }
}

/// All that is to be the same of two long lists.
#[derive(Debug, PartialEq)]
struct Form {
    /// Elements of every node in order, and whether they are compressed.
    nodes: Vec<(Vec<u8>, bool)>,
    warm: Vec<u32>,
    marks_of: u32,
    is_long: bool,
}

fn form(list: &List) -> Option<Form> {
    let List::Nodes(nodes) = list else { return None };
    let mut leaf = Some(nodes.tree.first());
    let mut bodies = Vec::new();
    while let Some(this) = leaf {
        let node = nodes.tree.leaf(this);
        bodies.push((node.elements().to_vec(), node.is_compressed()));
        leaf = nodes.tree.next(this);
    }
    Some(Form { nodes: bodies, warm: nodes.warm.clone(), marks_of: nodes.marks_of, is_long: nodes.is_long })
}

fn elements_of(list: &List) -> Model {
    let mut all = Model::new();
    list.range(0, usize::MAX, &mut |item| all.push_back(item.to_vec()));
    all
}

/// What takes elements out, at once and in parts.
#[derive(Clone, Debug)]
enum Removal {
    Equal(Vec<u8>, usize, bool),
    Range(usize, usize),
}

fn removal() -> impl Strategy<Value = Removal> {
    let few_or_all = prop_oneof![1usize..400, Just(usize::MAX)];
    prop_oneof![
        (element(), few_or_all.clone(), any::<bool>()).prop_map(|(e, n, back)| Removal::Equal(e, n, back)),
        (any::<usize>(), few_or_all).prop_map(|(at, n)| Removal::Range(at, n)),
    ]
}

/// Does it at once with one list and in parts with the other.
fn remove_both_ways(whole: &mut List, parts: &mut List, removal: &Removal, budget: usize, limits: &ListLimits) {
    let (mut more, mut round) = (true, 0);
    match removal {
        Removal::Equal(element, at_most, from_back) => {
            let (mut cursor, mut removed) = (Cursor::new(*from_back), 0);
            while more {
                let left = at_most - removed;
                let (here, follow) = parts.remove_equal_some(element, left, &mut cursor, budget, limits);
                (removed, more) = (removed + here, follow);
                check_sometimes(parts, &mut round);
            }
            assert_eq!(removed, whole.remove_equal(element, *at_most, *from_back, limits));
        }
        Removal::Range(at, count) => {
            let (at, mut left) = (at % (whole.len() + 1), *count);
            while more {
                let before = parts.len();
                left = parts.remove_range_some(at, left, budget, limits);
                more = left > 0;
                assert!(!more || (parts.len() < before && parts.len() - at >= left));
                check_sometimes(parts, &mut round);
            }
            whole.remove_range(at, *count, limits);
        }
    }
}

fn check_sometimes(list: &List, round: &mut usize) {
    if round.is_multiple_of(100) {
        check(list, &elements_of(list));
    }
    *round += 1;
}

/// The places of elements equal to this in the order of the walk, found in parts; and how many parts there were.
fn found_in_parts(list: &List, element: &[u8], from_back: bool, at_most: usize, budget: usize) -> (Vec<usize>, usize) {
    let (mut cursor, mut found, mut parts) = (Cursor::new(from_back), Vec::new(), 1);
    let mut visit = |passed: usize| {
        found.push(if from_back { list.len() - 1 - passed } else { passed });
        found.len() < at_most
    };
    while list.find_some(element, &mut cursor, budget, &mut visit) {
        parts += 1;
    }
    (found, parts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn in_parts_as_at_once(
        steps in proptest::collection::vec(step(), 0..40),
        repeated in (element(), 0usize..3000, 1usize..9),
        removals in proptest::collection::vec((removal(), 1usize..100_000), 1..6),
        size in prop_oneof![Just(-2i64), Just(-1), 1i64..6, Just(100)],
        compress: bool,
    ) {
        let limits = ListLimits { node: NodeLimit::of(size), compress };
        let (mut list, mut model) = (List::new(), Model::new());
        for step in steps {
            run(&mut list, &mut model, step, &limits);
        }
        let (element, count, every) = repeated;
        for i in 0..count {
            let other = format!("other:{i}").into_bytes();
            list.push_back(if i % every == 0 { &element } else { &other }, &limits);
        }
        for (from_back, at_most) in [(false, usize::MAX), (true, usize::MAX), (false, 1), (true, 3)] {
            let expected = list.positions(&element, from_back, 0, at_most, usize::MAX);
            for budget in [1, 5000, usize::MAX] {
                let (found, _) = found_in_parts(&list, &element, from_back, at_most, budget);
                prop_assert_eq!(&found, &expected, "budget {}", budget);
            }
        }
        // Copies have no room ahead, which is counted.
        let (mut whole, mut parts) = (list.clone(), list.clone());
        let more = [(Removal::Equal(element.clone(), count / 2, true), 1), (Removal::Equal(element, usize::MAX, false), 9000)];
        for (removal, budget) in removals.iter().chain(&more) {
            remove_both_ways(&mut whole, &mut parts, removal, *budget, &limits);
            check(&parts, &elements_of(&whole));
            prop_assert_eq!(form(&parts), form(&whole));
            prop_assert_eq!(parts.memory(), whole.memory());
        }
    }
}

#[test]
fn parts_end_with_nodes() {
    let limits = ListLimits::default();
    let mut list = List::new();
    for i in 0..10_000 {
        list.push_back(format!("{}:{:090}", i % 2, 7).as_bytes(), &limits);
    }
    let List::Nodes(nodes) = &list else { unreachable!("it is long") };
    let count = nodes.tree.leaf_count();
    assert!(count > 100, "{count} nodes");
    let element = format!("1:{:090}", 7).into_bytes();
    for (budget, parts) in [(1, count), (usize::MAX, 1)] {
        let (found, there_were) = found_in_parts(&list, &element, false, usize::MAX, budget);
        assert_eq!((found.len(), there_were), (5000, parts));
    }
    let (mut cursor, mut parts, mut removed) = (Cursor::new(true), 1, 0);
    loop {
        let (here, more) = list.remove_equal_some(&element, usize::MAX, &mut cursor, 1, &limits);
        removed += here;
        if !more {
            break;
        }
        parts += 1;
    }
    assert_eq!((removed, parts, list.len(), cursor.passed()), (5000, count, 5000, 5000));
    let (mut left, mut parts) = (list.len(), 0);
    while left > 0 {
        left = list.remove_range_some(0, left, 20_000, &limits);
        parts += 1;
    }
    assert!(list.is_empty() && (count / 8..count / 2).contains(&parts), "{parts} parts");
}

#[test]
fn a_queue_gives_its_nodes_back() {
    let limits = ListLimits::default();
    let mut list = List::new();
    for round in 0..3 {
        for i in 0..50_000 {
            list.push_front(format!("job:{i}").as_bytes(), &limits);
        }
        let full = list.memory();
        assert!(full < 50_000 * 6, "{full} bytes: jobs compress well");
        for i in 0..50_000 {
            let mut popped = Vec::new();
            assert!(list.pop_back(&limits, &mut |item| popped = item.to_vec()));
            assert_eq!(popped, format!("job:{i}").into_bytes(), "round {round}");
        }
        assert!(list.is_empty());
        assert!(list.memory() < 40_000, "{} bytes", list.memory());
    }
}

#[test]
fn is_called_what_redis_calls_it() {
    let limits = ListLimits::default();
    let mut list = List::new();
    // As valkey-server 9.1.2 does: 103 bytes each behind a header of 7, and a push is judged by the bytes pushed.
    let element = vec![b'q'; 100];
    let is_one = |before: usize| 7 + 103 * before + 100 <= 8192;
    for before in 0..100 {
        list.push_back(&element, &limits);
        assert_eq!(list.encoding(), if is_one(before) { "listpack" } else { "quicklist" }, "behind {before}");
    }
    while list.len() > 30 {
        list.pop_back(&limits, &mut |_| {});
        let expected = if 7 + 103 * list.len() <= 4096 { "listpack" } else { "quicklist" };
        assert_eq!(list.encoding(), expected, "at {}", list.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 60 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many short elements, of which most are not counted one by one: it is called something else with the same push as in Redis.
    #[test]
    fn short_elements_are_counted_rightly(
        steps in proptest::collection::vec((0u8..8, 0i64..200), 7000),
        size in prop::sample::select(vec![-1i64, -2]),
    ) {
        let limits = ListLimits { node: NodeLimit::of(size), ..ListLimits::default() };
        let (mut list, mut lens) = (List::new(), VecDeque::new());
        for (step, value) in steps {
            let text = value.to_string().into_bytes();
            let len = crate::packed::coding::listpack_len(Item::of(&text));
            let is_long = 7 + lens.iter().sum::<usize>() + text.len() > limits.node.bytes;
            match step {
                0 if !lens.is_empty() => {
                    list.pop_back(&limits, &mut |_| {});
                    lens.pop_back();
                    continue;
                }
                1 if !lens.is_empty() => {
                    list.set(0, &text, &limits);
                    lens[0] = len;
                }
                2 => {
                    list.push_front(&text, &limits);
                    lens.push_front(len);
                }
                _ => {
                    list.push_back(&text, &limits);
                    lens.push_back(len);
                }
            }
            prop_assert_eq!(list.encoding(), if is_long { "quicklist" } else { "listpack" }, "at {}", lens.len());
            if is_long {
                return Ok(());
            }
        }
        prop_assert!(false, "it never became long");
    }
}
