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
