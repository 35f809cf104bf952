//! Plots as SVG: line charts and bars, with axes, ticks and a legend. Only what the report draws is here.
//!
//! A page is readable on light and on dark ground: all colours are in one style sheet with a part for each. A server has the
//! same colour, dash and marker on every plot, so that the colour alone is never what tells two apart.

mod axis;
mod bars;
mod lines;
mod svg;

pub use axis::{Axis, Scale};
pub use bars::{BarChart, BarGroup};
pub use lines::{LineChart, Panels, Series, Span};

use super::server::PeerKind;

/// The style class of a server: its place among all kinds.
pub fn class_of(server: &str) -> usize {
    PeerKind::named(server)
        .and_then(|kind| PeerKind::ALL.iter().position(|one| *one == kind))
        .unwrap_or(PeerKind::ALL.len())
}
