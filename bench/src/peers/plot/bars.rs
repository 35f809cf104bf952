//! Horizontal bars in groups, each with its value as text at its end.

use super::axis::Axis;
use super::svg::{Anchor, Svg};

const WIDTH: f64 = 820.0;
const LEFT: f64 = 275.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 15.0;
const GAP: f64 = 14.0;

/// The bars of one thing: (class of the server, length, text at its end).
#[derive(Clone, Debug)]
pub struct BarGroup {
    pub name: String,
    pub bars: Vec<(usize, f64, String)>,
}

/// A chart of bars.
#[derive(Clone, Debug)]
pub struct BarChart {
    pub title: String,
    pub subtitle: String,
    pub axis: Axis,
    /// A value to draw a line at, where one means something.
    pub reference: Option<f64>,
    /// (name, class) of all servers, for the legend.
    pub servers: Vec<(String, usize)>,
    pub groups: Vec<BarGroup>,
}

impl BarChart {
    pub fn svg(&self) -> String {
        let rows: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let plot = rows as f64 * BAR + self.groups.len() as f64 * GAP;
        let top = 88.0;
        let mut svg = Svg::new(WIDTH, top + plot + 56.0, &self.title);
        svg.text(20.0, 26.0, Anchor::Start, 16.0, "ink", &self.title);
        svg.text(20.0, 45.0, Anchor::Start, 12.0, "dim", &self.subtitle);
        svg.legend(20.0, 70.0, WIDTH - 40.0, &self.servers);
        let place = |value: f64| LEFT + self.axis.place(value) * (WIDTH - LEFT - RIGHT);
        for (value, text) in &self.axis.ticks {
            svg.line((place(*value), top), (place(*value), top + plot), "grid");
            svg.text(place(*value), top + plot + 17.0, Anchor::Middle, 11.0, "dim", text);
        }
        let mut y = top + GAP / 2.0;
        for group in &self.groups {
            let middle = y + group.bars.len() as f64 * BAR / 2.0;
            svg.text(LEFT - 10.0, middle + 4.0, Anchor::End, 12.0, "ink", &group.name);
            for (class, value, text) in &group.bars {
                svg.rect(LEFT, y + 1.0, place(*value) - LEFT, BAR - 2.0, &format!("f{class}"));
                svg.text(place(*value) + 6.0, y + BAR - 3.5, Anchor::Start, 11.0, "dim", text);
                y += BAR;
            }
            y += GAP;
        }
        svg.line((LEFT, top), (LEFT, top + plot), "axis");
        if let Some(reference) = self.reference {
            svg.line((place(reference), top), (place(reference), top + plot), "axis");
        }
        svg.text(LEFT + (WIDTH - LEFT - RIGHT) / 2.0, top + plot + 40.0, Anchor::Middle, 12.0, "dim", &self.axis.label);
        svg.finish()
    }
}
