//! The judge itself: that it accepts what is allowed, and sees what is not.

use super::super::load::Told;
use super::super::state::{Content, Entry};
use super::super::step::{Op, Step};
use super::*;

fn story(start: Instant, steps: &[(Op, u64, Option<u64>)]) -> Story {
    let at = |ms: &u64| start + Duration::from_millis(*ms);
    let told = |(op, sent, acknowledged): &(Op, u64, Option<u64>)| Told {
        step: Step(vec![op.clone()]),
        replies: Vec::new(),
        sent: at(sent),
        acknowledged: acknowledged.as_ref().map(at),
        took: (0, 1),
    };
    Story { steps: steps.iter().map(told).collect(), confirmed: 0 }
}

fn set(key: &str, value: &str) -> Op {
    Op::Set(key.to_owned(), value.as_bytes().to_vec())
}

fn seen(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Seen> {
    let one = |(key, value): &(&str, Option<&str>)| {
        let entry = value.map(|value| (Content::Text(value.as_bytes().to_vec()), None));
        ((*key).to_owned(), Seen { entry, between: (100, 100) })
    };
    pairs.iter().map(one).collect()
}

#[test]
fn half_a_step_is_seen() {
    let both = Op::SetMany(vec![("a".to_owned(), b"2".to_vec()), ("b".to_owned(), b"2".to_vec())]);
    let story = story(Instant::now(), &[(set("a", "1"), 0, Some(1)), (both, 2, None)]);
    let judge = |a, b, promised| match_steps(&State::default(), &story, &seen(&[("a", a), ("b", b)]), promised);
    assert!(judge(Some("1"), None, 1).is_ok_and(|kept| (kept.least, kept.most) == (1, 1)));
    assert!(judge(Some("2"), Some("2"), 1).is_ok_and(|kept| (kept.least, kept.most) == (2, 2)));
    assert!(judge(Some("2"), None, 0).is_err());
    assert!(judge(Some("1"), Some("2"), 0).is_err());
    assert!(judge(None, None, 0).is_ok());
    assert!(judge(None, None, 1).is_err(), "it was acknowledged");
}

#[test]
fn a_later_step_without_an_earlier_one_is_no_cut() {
    let start = Instant::now();
    let stories = [story(start, &[(set("a", "1"), 0, Some(10))]), story(start, &[(set("b", "1"), 11, None)])];
    let kept = |a, b| [Kept { least: a, most: a }, Kept { least: b, most: b }];
    assert!(one_cut(&stories, &kept(0, 1)).is_err());
    for (a, b) in [(0, 0), (1, 0), (1, 1)] {
        assert!(one_cut(&stories, &kept(a, b)).is_ok(), "{a} {b}");
    }
    let overlapping = [story(start, &[(set("a", "1"), 0, Some(10))]), story(start, &[(set("b", "1"), 9, None)])];
    assert!(one_cut(&overlapping, &kept(0, 1)).is_ok());
    assert!(not_too_much(&stories, &kept(0, 0), start + Duration::from_millis(900)).is_ok());
    assert!(not_too_much(&stories, &kept(0, 0), start + Duration::from_millis(3_000)).is_err());
}

#[test]
fn deadlines_may_have_passed() {
    let entry = |deadline| Entry { content: Content::Text(b"x".to_vec()), deadline };
    let there = |at| Seen { entry: Some((Content::Text(b"x".to_vec()), at)), between: (100, 110) };
    let gone = Seen { entry: None, between: (100, 110) };
    assert!(gone.fits(Some(&entry(Some((90, 95))))));
    assert!(gone.fits(Some(&entry(Some((105, 300))))));
    assert!(!gone.fits(Some(&entry(Some((111, 300))))), "it had time left");
    assert!(!gone.fits(Some(&entry(None))));
    assert!(there(Some(200)).fits(Some(&entry(Some((190, 210))))));
    assert!(!there(Some(220)).fits(Some(&entry(Some((190, 210))))), "another deadline");
    assert!(!there(None).fits(Some(&entry(Some((190, 210))))), "it lost its deadline");
    assert!(!there(Some(95)).fits(Some(&entry(Some((90, 95))))), "it is past");
    assert!(!there(None).fits(None));
}

#[test]
fn what_a_pop_took_is_known_by_its_reply_or_any_member_may_be_gone() {
    let member = |name: &str| name.as_bytes().to_vec();
    let set = |names: &[&str]| Content::Set(names.iter().map(|name| member(name)).collect());
    let seen = |names: &[&str]| {
        let entry = (!names.is_empty()).then(|| (set(names), None));
        BTreeMap::from([("c0:p0".to_owned(), Seen { entry, between: (100, 100) })])
    };
    let steps = ["a", "b", "c"].map(|name| (Op::Add("c0:p0".to_owned(), member(name)), 0, Some(1)));
    let pop = (Op::PopMembers("c0:p0".to_owned(), 2), 2, Some(3));
    let mut story = story(Instant::now(), &[steps.as_slice(), &[pop]].concat());
    let judge = |story: &Story, names: &[&str]| match_steps(&State::default(), story, &seen(names), 4).is_ok();
    assert!(judge(&story, &["a"]) && judge(&story, &["b"]) && judge(&story, &["c"]));
    assert!(!judge(&story, &["a", "b"]) && !judge(&story, &["d"]) && !judge(&story, &[]));
    story.steps[3].replies = vec![Value::Array(vec![Value::Bulk(member("a")), Value::Bulk(member("c"))])];
    assert!(judge(&story, &["b"]) && !judge(&story, &["a"]));
}

#[test]
fn fields_go_when_they_are_due_and_not_before() {
    let field = |name: &str| name.as_bytes().to_vec();
    let until =
        |at| Content::Fading(BTreeMap::from([(field("a"), (field("1"), at)), (field("b"), (field("2"), None))]));
    let expected = |at| Entry { content: until(Some(at)), deadline: None };
    let only_b = Content::Fading(BTreeMap::from([(field("b"), (field("2"), None))]));
    let seen = |content: &Content| Seen { entry: Some((content.clone(), None)), between: (100, 110) };
    assert!(seen(&until(Some(200))).fits(Some(&expected(200))));
    assert!(seen(&only_b).fits(Some(&expected(105))) && seen(&only_b).fits(Some(&expected(90))));
    assert!(!seen(&only_b).fits(Some(&expected(111))), "it had time left");
    assert!(!seen(&until(Some(90))).fits(Some(&expected(90))), "it is past");
    assert!(!seen(&until(None)).fits(Some(&expected(200))), "it lost its deadline");
    let gone = Seen { entry: None, between: (100, 110) };
    assert!(!gone.fits(Some(&expected(90))), "the other field has no deadline");
}
