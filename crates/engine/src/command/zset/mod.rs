//! The sorted set commands: their rows and handlers.
//!
//! One file per noun: adding (`add`), one member's score and rank (`score`), ranges (`range`, with `bounds` to read them and
//! `store` for ZRANGESTORE), taking out (`remove`, `pop`, `wait`), by chance (`random`), a few at a time (`scan`), and several sorted
//! sets together (`algebra`, and of big ones `pieces`).

pub mod add;
pub mod algebra;
pub mod bounds;
mod pieces;
pub mod pop;
pub mod random;
pub mod range;
mod range_pieces;
pub mod remove;
pub mod rows;
pub mod scan;
pub mod score;
mod wait;

#[cfg(test)]
mod tests;

use pinyon_resp::{Proto, Writer};

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    wait::BZMPOP,
    wait::BZPOPMAX,
    wait::BZPOPMIN,
    add::ZADD,
    score::ZCARD,
    range::ZCOUNT,
    algebra::ZDIFF,
    algebra::ZDIFFSTORE,
    add::ZINCRBY,
    algebra::ZINTER,
    algebra::ZINTERCARD,
    algebra::ZINTERSTORE,
    range::ZLEXCOUNT,
    pop::ZMPOP,
    score::ZMSCORE,
    pop::ZPOPMAX,
    pop::ZPOPMIN,
    random::ZRANDMEMBER,
    rows::ZRANGE,
    rows::ZRANGEBYLEX,
    rows::ZRANGEBYSCORE,
    rows::ZRANGESTORE,
    score::ZRANK,
    remove::ZREM,
    remove::ZREMRANGEBYLEX,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    rows::ZREVRANGE,
    rows::ZREVRANGEBYLEX,
    rows::ZREVRANGEBYSCORE,
    score::ZREVRANK,
    scan::ZSCAN,
    score::ZSCORE,
    algebra::ZUNION,
    algebra::ZUNIONSTORE,
];

/// The header of `count` elements, with their scores where these are asked for.
fn write_count(out: &mut Writer<'_>, count: usize, with_scores: bool) {
    out.array(if with_scores && out.proto == Proto::Resp2 { 2 * count } else { count });
}

/// One element behind [`write_count`]: RESP3 has a pair for each.
#[inline]
fn write_element(out: &mut Writer<'_>, member: &[u8], score: f64, with_scores: bool) {
    if with_scores && out.proto == Proto::Resp3 {
        out.array(2);
    }
    out.bulk(member);
    if with_scores {
        out.double(score);
    }
}
