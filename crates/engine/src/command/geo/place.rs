//! Places by name: GEOADD, GEOPOS, GEODIST, GEOHASH.

use pinyon_base::number::parse_f64;
use pinyon_resp::Args;
use pinyon_values::geo::Point;
use pinyon_values::zset::ZSet;

use super::{place_of, unit, write_distance, write_place};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::command::zset::add::{Adding, add_pairs};
use crate::{CommandError, Cx, Effect};

/// A place given by two arguments.
pub(super) fn point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let degrees = |arg: &[u8]| parse_f64(arg).ok_or(CommandError::NotFloat);
    let point = Point { longitude: degrees(longitude)?, latitude: degrees(latitude)? };
    if point.is_valid() {
        return Ok(point);
    }
    let Point { longitude, latitude } = point;
    Err(CommandError::Other(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into()))
}

pub const GEOADD: Command = Command {
    name: "geoadd",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(log(N)) for each place, where N is the size of the sorted set.",
    summary: "Adds places to a sorted set, by their coordinates.",
    history: &[("6.2.0", "CH, NX and XX.")],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("condition", &[Arg::token("nx", "NX"), Arg::token("xx", "XX")]).optional().since("6.2.0"),
        Arg::token("change", "CH").optional().since("6.2.0"),
        Arg::block(
            "longitude_latitude_member",
            &[
                Arg::new("longitude", ArgKind::Double),
                Arg::new("latitude", ArgKind::Double),
                Arg::new("member", ArgKind::String),
            ],
        )
        .multiple(),
    ],
    handler: Handler::Shard(geoadd),
    ..Command::EMPTY
};

fn geoadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut adding = Adding::default();
    let mut first = 2;
    while first < args.len() {
        match args.get(first) {
            option if option.eq_ignore_ascii_case(b"nx") => adding.nx = true,
            option if option.eq_ignore_ascii_case(b"xx") => adding.xx = true,
            option if option.eq_ignore_ascii_case(b"ch") => adding.ch = true,
            _ => break,
        }
        first += 1;
    }
    let places = args.from(first);
    if places.len() == 0 || !places.len().is_multiple_of(3) || (adding.nx && adding.xx) {
        return Err(CommandError::Syntax);
    }
    let score = |at: usize| point(places.get(at), places.get(at + 1)).map(|point| point.encode() as f64);
    for at in (0..places.len()).step_by(3) {
        score(at)?;
    }
    let key = cx.ks.key(args, 1);
    let pairs = (0..places.len()).step_by(3).map(|at| Ok((score(at)?, places.get(at + 2))));
    add_pairs(cx, key, adding, pairs)
}

pub const GEOPOS: Command = Command {
    name: "geopos",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(1) for each member.",
    summary: "Returns the coordinates of members.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(geopos),
    ..Command::EMPTY
};

fn geopos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let zset = cx.ks.read_as::<ZSet>(key)?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => write_place(&mut cx.out, place_of(score)),
            None => cx.out.null_array(),
        }
    }
    Ok(Effect::None)
}

pub const GEOHASH: Command = Command {
    name: "geohash",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(1) for each member.",
    summary: "Returns the places of members as geohashes.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(geohash),
    ..Command::EMPTY
};

fn geohash(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let zset = cx.ks.read_as::<ZSet>(key)?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => cx.out.bulk(&place_of(score).geohash()),
            None => cx.out.null(),
        }
    }
    Ok(Effect::None)
}

pub const GEODIST: Command = Command {
    name: "geodist",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(1)",
    summary: "Returns the distance of two members.",
    args: &[
        Arg::key("key", 0),
        Arg::new("member1", ArgKind::String),
        Arg::new("member2", ArgKind::String),
        Arg::one_of(
            "unit",
            &[Arg::token("m", "M"), Arg::token("km", "KM"), Arg::token("ft", "FT"), Arg::token("mi", "MI")],
        )
        .optional(),
    ],
    handler: Handler::Shard(geodist),
    ..Command::EMPTY
};

fn geodist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let metres = match args.len() {
        4 => 1.0,
        5 => unit(args.get(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.ks.key(args, 1);
    let places = cx.ks.read_as::<ZSet>(key)?.and_then(|zset| {
        let place = |at: usize| zset.score(args.get(at)).map(place_of);
        Some((place(2)?, place(3)?))
    });
    match places {
        Some((one, other)) => write_distance(&mut cx.out, one.distance(&other) / metres),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}
