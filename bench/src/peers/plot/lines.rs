//! Line charts: one panel, or several below each other over the same x axis.

use super::axis::{Axis, Scale};
use super::svg::{Anchor, Svg};

const WIDTH: f64 = 820.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 36.0;
const PANEL: f64 = 330.0;
const SMALL_PANEL: f64 = 130.0;

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    /// Which colour, dash and marker: see `class_of`.
    pub class: usize,
    pub points: Vec<(f64, f64)>,
    /// Drawn thin and without marks; not in the legend.
    pub secondary: bool,
}

/// A stretch of the x axis during which something went on.
#[derive(Clone, Debug)]
pub struct Span {
    pub from: f64,
    pub to: f64,
    pub label: String,
    pub class: usize,
}

/// One chart.
#[derive(Clone, Debug)]
pub struct LineChart {
    pub title: String,
    pub subtitle: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// A panel's name, its lines and its spans.
pub type Panel = (String, Vec<Series>, Vec<Span>);

/// Charts of the same axes below each other.
#[derive(Clone, Debug)]
pub struct Panels {
    pub title: String,
    pub subtitle: String,
    pub x: Axis,
    pub y: Axis,
    pub panels: Vec<Panel>,
}

impl LineChart {
    pub fn svg(&self) -> String {
        let mut svg = Svg::new(WIDTH, PANEL + 150.0, &self.title);
        head(&mut svg, &self.title, &self.subtitle);
        let primary = self.series.iter().filter(|series| !series.secondary);
        let entries: Vec<(String, usize)> = primary.map(|series| (series.name.clone(), series.class)).collect();
        svg.legend(LEFT, 68.0, WIDTH - LEFT - RIGHT, &entries);
        let top = 86.0;
        grid(&mut svg, &self.x, &self.y, top, PANEL);
        for series in &self.series {
            draw(&mut svg, &self.x, &self.y, top, PANEL, series);
        }
        x_texts(&mut svg, &self.x, top + PANEL);
        svg.finish()
    }
}

impl Panels {
    pub fn svg(&self) -> String {
        let step = SMALL_PANEL + 30.0;
        let height = 70.0 + step * self.panels.len() as f64 + 46.0;
        let mut svg = Svg::new(WIDTH, height, &self.title);
        head(&mut svg, &self.title, &self.subtitle);
        let mut top = 84.0;
        for (name, series, spans) in &self.panels {
            svg.text(LEFT, top - 7.0, Anchor::Start, 12.5, "ink", name);
            for span in spans {
                let (from, to) = (place_x(&self.x, span.from), place_x(&self.x, span.to));
                svg.rect(from, top, (to - from).max(1.5), SMALL_PANEL, &format!("f{} span", span.class));
                svg.text(from + 4.0, top + 14.0, Anchor::Start, 11.0, "dim", &span.label);
            }
            grid(&mut svg, &self.x, &self.y, top, SMALL_PANEL);
            for one in series {
                draw(&mut svg, &self.x, &self.y, top, SMALL_PANEL, one);
            }
            top += step;
        }
        x_texts(&mut svg, &self.x, top - step + SMALL_PANEL);
        svg.finish()
    }
}

fn head(svg: &mut Svg, title: &str, subtitle: &str) {
    svg.text(LEFT, 26.0, Anchor::Start, 16.0, "ink", title);
    svg.text(LEFT, 45.0, Anchor::Start, 12.0, "dim", subtitle);
}

fn place_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn grid(svg: &mut Svg, x: &Axis, y: &Axis, top: f64, height: f64) {
    let bottom = top + height;
    // In a small panel only every other line fits a text.
    let sparse = if height < 200.0 && y.ticks.len() > 6 { 2 } else { 1 };
    for (index, (value, text)) in y.ticks.iter().enumerate() {
        let at = bottom - y.place(*value) * height;
        svg.line((LEFT, at), (WIDTH - RIGHT, at), "grid");
        if index % sparse == 0 {
            svg.text(LEFT - 8.0, at + 4.0, Anchor::End, 11.0, "dim", text);
        }
    }
    for (value, _) in &x.ticks {
        let at = place_x(x, *value);
        svg.line((at, top), (at, bottom), "grid");
    }
    svg.line((LEFT, bottom), (WIDTH - RIGHT, bottom), "axis");
    svg.line((LEFT, top), (LEFT, bottom), "axis");
    let label = if y.scale == Scale::Log { format!("{} (log)", y.label) } else { y.label.clone() };
    svg.upright(18.0, top + height / 2.0, 11.5, &label);
}

fn x_texts(svg: &mut Svg, x: &Axis, bottom: f64) {
    for (value, text) in &x.ticks {
        svg.text(place_x(x, *value), bottom + 17.0, Anchor::Middle, 11.0, "dim", text);
    }
    svg.text(LEFT + (WIDTH - LEFT - RIGHT) / 2.0, bottom + 38.0, Anchor::Middle, 12.0, "dim", &x.label);
}

fn draw(svg: &mut Svg, x: &Axis, y: &Axis, top: f64, height: f64, series: &Series) {
    let place = |(at, value): &(f64, f64)| (place_x(x, *at), top + height - y.place(*value) * height);
    let points: Vec<(f64, f64)> = series.points.iter().map(place).collect();
    svg.polyline(&points, series.class, series.secondary);
    // Marks tell lines apart; more of them than fit would be a line of their own.
    let sparse = points.len().div_ceil(14).max(1);
    for (at, value) in points.iter().step_by(sparse).filter(|_| !series.secondary) {
        svg.marker(*at, *value, series.class);
    }
}
