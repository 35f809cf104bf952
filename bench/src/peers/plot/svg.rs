//! The few shapes that plots are made of, as SVG text. Everything is placed in user units; sizes of text are fixed.

use std::fmt::Write as _;

/// Fill and stroke by server on light and on dark ground, in the order of `PeerKind::ALL`, and one for anything else. Chosen to
/// stay apart for readers who do not see red and green apart.
const COLOURS: &[(&str, &str)] = &[
    ("#0072b2", "#56b4e9"),
    ("#b0548a", "#e5a0c6"),
    ("#d55e00", "#ff9a5c"),
    ("#00805d", "#3ccb9f"),
    ("#a87900", "#f5c451"),
    ("#1f2328", "#f0f6fc"),
];

/// Dashes of lines, in the same order.
const DASHES: &[&str] = &["none", "7 3", "2 3", "9 3 2 3", "5 2", "1 4"];

/// A picture under construction.
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Where a text is fixed to its point.
#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub fn new(width: f64, height: f64, title: &str) -> Svg {
        Svg { width, height, title: title.to_owned(), body: String::new() }
    }

    /// A text of one of the classes `ink` (black on white) and `dim`.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, size: f64, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" class=\"{class}\">{text}</text>"
        );
    }

    /// A text that runs upwards, centred on its point.
    pub fn upright(&mut self, x: f64, y: f64, size: f64, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"{size}\" class=\"dim\">{text}</text>"
        );
    }

    /// A straight line of class `grid` or `axis`.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// A filled rectangle.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let (width, height) = (width.max(0.0), height.max(0.0));
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        );
    }

    /// A line through points, in the colour and dash of a series; a `thin` one is half as strong and not dashed.
    pub fn polyline(&mut self, points: &[(f64, f64)], series: usize, thin: bool) {
        let series = series.min(COLOURS.len() - 1);
        let class = if thin { format!("l{series} thin") } else { format!("l{series} d{series}") };
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\" class=\"{class}\"/>", points.join(" "));
    }

    /// A mark of the shape that goes with a series.
    pub fn marker(&mut self, x: f64, y: f64, series: usize) {
        let series = series.min(COLOURS.len() - 1);
        let shape = match series {
            0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", x - 4.0),
            1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
            2 => format!("M{x:.1} {:.1}l4.5 8h-9z", y - 5.0),
            3 => format!("M{x:.1} {:.1}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", y - 4.5),
            4 => format!("M{x:.1} {:.1}l4.5 -8h-9z", y + 5.0),
            _ => format!("M{:.1} {:.1}h9v3h-9z", x - 4.5, y - 1.5),
        };
        let _ = writeln!(self.body, "<path d=\"{shape}\" class=\"f{series}\"/>");
    }

    /// A legend, entries side by side and wrapped; gives the height it took.
    pub fn legend(&mut self, x: f64, y: f64, width: f64, entries: &[(String, usize)]) -> f64 {
        let (mut at, mut row) = (x, y);
        for (name, series) in entries {
            let length = 44.0 + 7.8 * name.chars().count() as f64;
            if at + length > x + width && at > x {
                (at, row) = (x, row + 18.0);
            }
            self.polyline(&[(at, row - 4.0), (at + 24.0, row - 4.0)], *series, false);
            self.marker(at + 12.0, row - 4.0, *series);
            self.text(at + 30.0, row, Anchor::Start, 12.0, "ink", name);
            at += length;
        }
        row - y + 18.0
    }

    /// The whole document.
    pub fn finish(self) -> String {
        let Svg { width, height, title, body } = self;
        let title = escaped(&title);
        let style = style();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>\n{style}</style>\n<rect x=\"0\" y=\"0\" width=\"{width:.0}\" height=\"{height:.0}\" class=\"ground\"/>\n{body}</svg>\n"
        )
    }
}

fn style() -> String {
    let mut style = String::from(
        "text { font-family: system-ui, -apple-system, \"Segoe UI\", Roboto, \"DejaVu Sans\", sans-serif; }\n\
         polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; }\n\
         .thin { stroke-width: 1; }\n\
         .grid, .axis { stroke-width: 1; }\n\
         .span { opacity: 0.14; }\n",
    );
    for (series, dash) in DASHES.iter().enumerate() {
        let _ = writeln!(style, ".d{series} {{ stroke-dasharray: {dash}; }}");
    }
    style.push_str(&ground("#ffffff", "#1f2328", "#59636e", "#dde2e7", COLOURS.iter().map(|(light, _)| *light)));
    let dark = ground("#0d1117", "#f0f6fc", "#9198a1", "#30363d", COLOURS.iter().map(|(_, dark)| *dark));
    let _ = writeln!(style, "@media (prefers-color-scheme: dark) {{\n{dark}}}");
    style
}

fn ground<'a>(ground: &str, ink: &str, dim: &str, grid: &str, colours: impl Iterator<Item = &'a str>) -> String {
    let mut style = format!(
        ".ground {{ fill: {ground}; }}\n.ink {{ fill: {ink}; }}\n.dim {{ fill: {dim}; }}\n.grid {{ stroke: {grid}; }}\n.axis {{ stroke: {dim}; }}\n"
    );
    for (series, colour) in colours.enumerate() {
        let _ = writeln!(style, ".f{series} {{ fill: {colour}; }}\n.l{series} {{ stroke: {colour}; }}");
    }
    style
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
