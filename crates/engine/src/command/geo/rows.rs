//! The rows of the searches; their handlers are in `search`.

use super::search::{georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};

pub const GEORADIUS: Command = Command {
    name: "georadius",
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::GEO,
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::after("STORE", 6, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::after("STOREDIST", 6, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of places in the square around the circle and M the size of the sorted set.",
    summary: "Returns or stores the members within a circle around a place.",
    history: &[("6.2.0", "ANY after COUNT."), ("7.0.0", "Units in capitals.")],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
    args: &[
        Arg::key("key", 0),
        Arg::new("longitude", ArgKind::Double),
        Arg::new("latitude", ArgKind::Double),
        Arg::new("radius", ArgKind::Double),
        Arg::one_of(
            "unit",
            &[Arg::token("m", "M"), Arg::token("km", "KM"), Arg::token("ft", "FT"), Arg::token("mi", "MI")],
        ),
        Arg::token("withcoord", "WITHCOORD").optional(),
        Arg::token("withdist", "WITHDIST").optional(),
        Arg::token("withhash", "WITHHASH").optional(),
        Arg::block(
            "count",
            &[
                Arg::new("count", ArgKind::Integer).with_token("COUNT"),
                Arg::token("any", "ANY").optional().since("6.2.0"),
            ],
        )
        .optional(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::key("key", 1).with_token("STORE").optional(),
        Arg::key("key", 2).with_token("STOREDIST").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, georadius),
    ..Command::EMPTY
};

pub const GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::GEO,
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::after("STORE", 5, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::after("STOREDIST", 5, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of places in the square around the circle and M the size of the sorted set.",
    summary: "Returns or stores the members within a circle around a member.",
    history: &[("7.0.0", "Units in capitals.")],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    args: &[
        Arg::key("key", 0),
        Arg::new("member", ArgKind::String),
        Arg::new("radius", ArgKind::Double),
        Arg::one_of(
            "unit",
            &[Arg::token("m", "M"), Arg::token("km", "KM"), Arg::token("ft", "FT"), Arg::token("mi", "MI")],
        ),
        Arg::token("withcoord", "WITHCOORD").optional(),
        Arg::token("withdist", "WITHDIST").optional(),
        Arg::token("withhash", "WITHHASH").optional(),
        Arg::block(
            "count",
            &[Arg::new("count", ArgKind::Integer).with_token("COUNT"), Arg::token("any", "ANY").optional()],
        )
        .optional(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::key("key", 1).with_token("STORE").optional(),
        Arg::key("key", 2).with_token("STOREDIST").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, georadiusbymember),
    ..Command::EMPTY
};

pub const GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    arity: -6,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of places in the square around the circle and M the size of the sorted set.",
    summary: "Returns the members within a circle around a place.",
    history: &[("6.2.0", "ANY after COUNT.")],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    args: &[
        Arg::key("key", 0),
        Arg::new("longitude", ArgKind::Double),
        Arg::new("latitude", ArgKind::Double),
        Arg::new("radius", ArgKind::Double),
        Arg::one_of(
            "unit",
            &[Arg::token("m", "M"), Arg::token("km", "KM"), Arg::token("ft", "FT"), Arg::token("mi", "MI")],
        ),
        Arg::token("withcoord", "WITHCOORD").optional(),
        Arg::token("withdist", "WITHDIST").optional(),
        Arg::token("withhash", "WITHHASH").optional(),
        Arg::block(
            "count",
            &[
                Arg::new("count", ArgKind::Integer).with_token("COUNT"),
                Arg::token("any", "ANY").optional().since("6.2.0"),
            ],
        )
        .optional(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
    ],
    handler: Handler::Shard(georadius_ro),
    ..Command::EMPTY
};

pub const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    arity: -5,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of places in the square around the circle and M the size of the sorted set.",
    summary: "Returns the members within a circle around a member.",
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    args: &[
        Arg::key("key", 0),
        Arg::new("member", ArgKind::String),
        Arg::new("radius", ArgKind::Double),
        Arg::one_of(
            "unit",
            &[Arg::token("m", "M"), Arg::token("km", "KM"), Arg::token("ft", "FT"), Arg::token("mi", "MI")],
        ),
        Arg::token("withcoord", "WITHCOORD").optional(),
        Arg::token("withdist", "WITHDIST").optional(),
        Arg::token("withhash", "WITHHASH").optional(),
        Arg::block(
            "count",
            &[Arg::new("count", ArgKind::Integer).with_token("COUNT"), Arg::token("any", "ANY").optional()],
        )
        .optional(),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
    ],
    handler: Handler::Shard(georadiusbymember_ro),
    ..Command::EMPTY
};

pub const GEOSEARCH: Command = Command {
    name: "geosearch",
    arity: -7,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of places in the square around the shape and M the size of the sorted set.",
    summary: "Returns the members within a circle, a rectangle or a polygon.",
    history: &[("7.0.0", "Units in capitals."), ("9.0.0", "BYPOLYGON (Valkey's).")],
    args: &[
        Arg::key("key", 0),
        Arg::one_of(
            "from",
            &[
                Arg::new("member", ArgKind::String).with_token("FROMMEMBER"),
                Arg::block(
                    "longitude_latitude",
                    &[Arg::new("longitude", ArgKind::Double), Arg::new("latitude", ArgKind::Double)],
                )
                .with_token("FROMLONLAT"),
            ],
        ),
        Arg::one_of(
            "by",
            &[
                Arg::block(
                    "circle",
                    &[
                        Arg::new("radius", ArgKind::Double).with_token("BYRADIUS"),
                        Arg::one_of(
                            "unit",
                            &[
                                Arg::token("m", "M"),
                                Arg::token("km", "KM"),
                                Arg::token("ft", "FT"),
                                Arg::token("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Arg::block(
                    "box",
                    &[
                        Arg::new("width", ArgKind::Double).with_token("BYBOX"),
                        Arg::new("height", ArgKind::Double),
                        Arg::one_of(
                            "unit",
                            &[
                                Arg::token("m", "M"),
                                Arg::token("km", "KM"),
                                Arg::token("ft", "FT"),
                                Arg::token("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Arg::block(
                    "polygon",
                    &[
                        Arg::new("num-vertices", ArgKind::Integer).with_token("BYPOLYGON"),
                        Arg::block(
                            "vertices",
                            &[Arg::new("longitude", ArgKind::Double), Arg::new("latitude", ArgKind::Double)],
                        )
                        .multiple(),
                    ],
                )
                .since("9.0.0"),
            ],
        ),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::block(
            "count",
            &[Arg::new("count", ArgKind::Integer).with_token("COUNT"), Arg::token("any", "ANY").optional()],
        )
        .optional(),
        Arg::token("withcoord", "WITHCOORD").optional(),
        Arg::token("withdist", "WITHDIST").optional(),
        Arg::token("withhash", "WITHHASH").optional(),
    ],
    handler: Handler::Shard(geosearch),
    ..Command::EMPTY
};

pub const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    arity: -8,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::GEO,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Geo,
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of places in the square around the shape and M the size of the sorted set.",
    summary: "Stores the members within a circle, a rectangle or a polygon under a key.",
    history: &[("7.0.0", "Units in capitals."), ("9.0.0", "BYPOLYGON (Valkey's).")],
    args: &[
        Arg::key("destination", 0),
        Arg::key("source", 1),
        Arg::one_of(
            "from",
            &[
                Arg::new("member", ArgKind::String).with_token("FROMMEMBER"),
                Arg::block(
                    "longitude_latitude",
                    &[Arg::new("longitude", ArgKind::Double), Arg::new("latitude", ArgKind::Double)],
                )
                .with_token("FROMLONLAT"),
            ],
        ),
        Arg::one_of(
            "by",
            &[
                Arg::block(
                    "circle",
                    &[
                        Arg::new("radius", ArgKind::Double).with_token("BYRADIUS"),
                        Arg::one_of(
                            "unit",
                            &[
                                Arg::token("m", "M"),
                                Arg::token("km", "KM"),
                                Arg::token("ft", "FT"),
                                Arg::token("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Arg::block(
                    "box",
                    &[
                        Arg::new("width", ArgKind::Double).with_token("BYBOX"),
                        Arg::new("height", ArgKind::Double),
                        Arg::one_of(
                            "unit",
                            &[
                                Arg::token("m", "M"),
                                Arg::token("km", "KM"),
                                Arg::token("ft", "FT"),
                                Arg::token("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Arg::block(
                    "polygon",
                    &[
                        Arg::new("num-vertices", ArgKind::Integer).with_token("BYPOLYGON"),
                        Arg::block(
                            "vertices",
                            &[Arg::new("longitude", ArgKind::Double), Arg::new("latitude", ArgKind::Double)],
                        )
                        .multiple(),
                    ],
                )
                .since("9.0.0"),
            ],
        ),
        Arg::one_of("order", &[Arg::token("asc", "ASC"), Arg::token("desc", "DESC")]).optional(),
        Arg::block(
            "count",
            &[Arg::new("count", ArgKind::Integer).with_token("COUNT"), Arg::token("any", "ANY").optional()],
        )
        .optional(),
        Arg::token("storedist", "STOREDIST").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, geosearchstore),
    ..Command::EMPTY
};
