//! Searches for places: GEOSEARCH and GEORADIUS with all their forms.

use std::cmp::Ordering;

use pinyon_resp::Args;
use pinyon_values::Collection;
use pinyon_values::geo::{Point, Shape};
use pinyon_values::zset::ZSet;

use super::options::{Form, Order, Search};
use super::{place_of, write_distance, write_place};
use crate::keyspace::{Events, Ttl};
use crate::{CommandError, Cx, Effect};

/// A member that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    place: Point,
    /// From the centre, in metres.
    distance: f64,
}

pub(super) fn georadius(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::Around)
}

pub(super) fn georadius_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::AroundOnly)
}

pub(super) fn georadiusbymember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::AroundMember)
}

pub(super) fn georadiusbymember_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::AroundMemberOnly)
}

pub(super) fn geosearch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::Search)
}

pub(super) fn geosearchstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    search(cx, args, Form::SearchStore)
}

fn search(cx: &mut Cx<'_>, args: Args<'_>, form: Form) -> Result<Effect, CommandError> {
    let source = cx.ks.key(args, if form == Form::SearchStore { 2 } else { 1 });
    let zset = cx.ks.read_as::<ZSet>(source)?;
    let asked = Search::parse(args, form, zset)?;
    let found = match (zset, asked.shape()) {
        (Some(zset), Some(shape)) => matches(zset, &shape, &asked),
        _ => Vec::new(),
    };
    match asked.store_at {
        Some(at) => store(cx, args, at, &asked, &found),
        None => {
            reply(cx, &asked, &found);
            Ok(Effect::None)
        }
    }
}

/// What is inside the shape, in the order and number asked for.
fn matches(zset: &ZSet, shape: &Shape, asked: &Search) -> Vec<Found> {
    let enough = if asked.any { asked.count } else { usize::MAX };
    let mut found = Vec::new();
    for range in shape.score_ranges() {
        let (start, end) = (range.start as f64, range.end as f64);
        let from = zset.rank_of_score(start, false);
        zset.walk(from, false, &mut |member, score| {
            if score >= end || found.len() >= enough {
                return false;
            }
            let place = place_of(score);
            if let Some(distance) = shape.distance_inside(&place) {
                found.push(Found { member: member.to_vec(), score, place, distance });
            }
            true
        });
    }
    let nearer = |a: &Found, b: &Found| a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal);
    match asked.order {
        // The nearest are meant where only some are.
        Order::AsFound if asked.count > 0 && !asked.any => found.sort_by(nearer),
        Order::AsFound => {}
        Order::Nearest => found.sort_by(nearer),
        Order::Farthest => found.sort_by(|a, b| nearer(b, a)),
    }
    if asked.count > 0 {
        found.truncate(asked.count);
    }
    found
}

fn reply(cx: &mut Cx<'_>, asked: &Search, found: &[Found]) {
    let out = &mut cx.out;
    let extras = usize::from(asked.with_distance) + usize::from(asked.with_hash) + usize::from(asked.with_place);
    out.array(found.len());
    for one in found {
        if extras > 0 {
            out.array(1 + extras);
        }
        out.bulk(&one.member);
        if asked.with_distance {
            write_distance(out, one.distance / asked.unit);
        }
        if asked.with_hash {
            out.int(one.score as i64);
        }
        if asked.with_place {
            write_place(out, one.place);
        }
    }
}

fn store(cx: &mut Cx<'_>, args: Args<'_>, at: usize, asked: &Search, found: &[Found]) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, at);
    cx.out.int(found.len() as i64);
    if found.is_empty() {
        let removed = cx.ks.remove_lazy(key);
        if removed {
            cx.ks.notify(Events::GENERIC, "del", key);
        }
        return Ok(Effect::as_sent(usize::from(removed)));
    }
    let limits = cx.ks.limits().zset;
    let mut result = ZSet::new();
    for one in found {
        result.add(&one.member, if asked.store_distance { one.distance / asked.unit } else { one.score }, &limits);
    }
    cx.ks.put_collection(key, Collection::ZSet(Box::new(result)), Ttl::Clear);
    // GEOSEARCHSTORE's destination is its first argument, GEORADIUS's comes later.
    let event = if at == 1 { "geosearchstore" } else { "georadiusstore" };
    cx.ks.notify(Events::ZSET, event, key);
    Ok(Effect::as_sent(found.len()))
}
