//! The geo commands: their rows and handlers. Places are sorted sets whose scores are geohashes of 52 bits.
//!
//! Places put in and asked for are in `place`, searches in `search`, with their options in `options`; `rows` has the rows of
//! the searches.

mod options;
pub mod place;
pub mod rows;
mod search;

#[cfg(test)]
mod tests;

use pinyon_resp::{Args, Proto, Writer};
use pinyon_values::geo::Point;

use super::row::Command;
use crate::CommandError;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    place::GEOADD,
    place::GEODIST,
    place::GEOHASH,
    place::GEOPOS,
    rows::GEORADIUS,
    rows::GEORADIUSBYMEMBER,
    rows::GEORADIUSBYMEMBER_RO,
    rows::GEORADIUS_RO,
    rows::GEOSEARCH,
    rows::GEOSEARCHSTORE,
];

/// Position of the key that GEORADIUS or GEORADIUSBYMEMBER stores under: of several the last one.
pub(super) fn stored_at(args: Args<'_>) -> Option<usize> {
    const OPTIONS_AT: usize = 5;
    let mut stored = None;
    let mut at = OPTIONS_AT;
    while at + 1 < args.len() {
        let option = args.get(at);
        if option.eq_ignore_ascii_case(b"store") || option.eq_ignore_ascii_case(b"storedist") {
            stored = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    stored
}

/// Metres in a unit of length.
fn unit(arg: &[u8]) -> Result<f64, CommandError> {
    const UNITS: [(&[u8], f64); 4] = [(b"m", 1.0), (b"km", 1000.0), (b"ft", 0.3048), (b"mi", 1609.34)];
    let found = UNITS.iter().find(|(name, _)| arg.eq_ignore_ascii_case(name));
    found
        .map(|(_, metres)| *metres)
        .ok_or(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// The place that a score stands for. Any score does: Redis converts it to 64 bits as the processor does.
fn place_of(score: f64) -> Point {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    let signed = |value: f64| if value >= HALF { i64::MIN } else { value as i64 };
    Point::decode(if score < HALF { signed(score) as u64 } else { signed(score - HALF) as u64 ^ (1 << 63) })
}

/// A distance with four decimals, a bulk string in both protocols. As in Redis, what is rounded is the double nearest to ten thousand
/// times the distance, a half of the last digit to the even one: printed from the distance itself, some would end in another.
fn write_distance(out: &mut Writer<'_>, distance: f64) {
    const ONE: u64 = 10_000;
    let parts = (distance * ONE as f64).round_ties_even() as u64;
    out.bulk_str(&format!("{}.{:04}", parts / ONE, parts % ONE));
}

/// A coordinate with up to 17 decimals.
fn write_coordinate(out: &mut Writer<'_>, degrees: f64) {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    match out.proto {
        Proto::Resp2 => out.bulk_str(text),
        Proto::Resp3 => {
            out.raw(b",");
            out.raw(text.as_bytes());
            out.raw(b"\r\n");
        }
    }
}

fn write_place(out: &mut Writer<'_>, place: Point) {
    out.array(2);
    write_coordinate(out, place.longitude);
    write_coordinate(out, place.latitude);
}
