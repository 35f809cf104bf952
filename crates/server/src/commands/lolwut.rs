//! LOLWUT: a small drawing, different every time, and the version.

use pinyon_base::number::parse_i64;
use pinyon_engine::CommandError;

use super::{Call, Result};
use crate::core::{Core, Io};

/// Width of the picture in characters; each tree takes part of it.
const WIDTH: usize = 64;
const TREES: usize = 5;
/// Height of the tallest tree, in lines.
const HEIGHT_MAX: usize = 12;

/// `LOLWUT [VERSION n] [anything]`: there is one drawing, whatever the version asked for.
pub fn lolwut(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    if args.len() >= 3 && args.get(1).eq_ignore_ascii_case(b"version") {
        parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    }
    let mut text = grove(|bound| core.random_below(bound));
    text.push_str(&format!("Pinyon ver. {}\n", env!("CARGO_PKG_VERSION")));
    core.reply(io, call.conn, |out| out.verbatim("txt", text.as_bytes()));
    Ok(())
}

/// Some pines with cones on a slope, under a few stars. `below(n)` draws a number below n.
fn grove(mut below: impl FnMut(usize) -> usize) -> String {
    let rows = HEIGHT_MAX + 2;
    let mut canvas = vec![vec![b' '; WIDTH]; rows];
    for _ in 0..8 {
        let (x, y) = (below(WIDTH), below(rows / 3));
        canvas[y][x] = if below(4) == 0 { b'*' } else { b'.' };
    }
    for tree in 0..TREES {
        let height = 4 + below(HEIGHT_MAX - 4);
        let part = WIDTH / TREES;
        let x = tree * part + part / 2 + below(3) - 1;
        plant(&mut canvas, x, height, &mut below);
    }
    let mut text = String::new();
    for row in canvas {
        text.push_str(String::from_utf8_lossy(&row).trim_end());
        text.push('\n');
    }
    text.push_str(&"^".repeat(WIDTH));
    text.push_str("\n\n");
    text
}

/// Draws a tree with its trunk at column `x`, standing on the last row.
fn plant(canvas: &mut [Vec<u8>], x: usize, height: usize, below: &mut impl FnMut(usize) -> usize) {
    let ground = canvas.len() - 1;
    canvas[ground][x] = b'|';
    for step in 0..height {
        let row = &mut canvas[ground - height + step];
        // Branches widen downwards, and draw in again where a new tier begins.
        let reach = (1 + step - step / 4 * 2).min(WIDTH / TREES / 2);
        for (side, mark) in [(x.saturating_sub(reach), b'/'), ((x + reach).min(WIDTH - 1), b'\\')] {
            row[side] = mark;
        }
        for place in &mut row[x.saturating_sub(reach) + 1..(x + reach).min(WIDTH - 1)] {
            *place = match below(12) {
                0 => b'o',
                1..=3 => b'\'',
                _ => b' ',
            };
        }
        if step == 0 {
            row[x] = b'^';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any choice of numbers gives a picture that fits.
    #[test]
    fn it_stays_on_the_canvas() {
        for seed in 0..500usize {
            let mut state = seed;
            let text = grove(|bound| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % bound
            });
            assert_eq!(text.lines().count(), HEIGHT_MAX + 4, "{text}");
            assert!(text.lines().all(|line| line.len() <= WIDTH && line.is_ascii()), "{text}");
            assert!(text.matches('|').count() == TREES, "{text}");
        }
        assert!(grove(|_| 0).contains('^') && grove(|bound| bound - 1).contains('^'));
    }
}
