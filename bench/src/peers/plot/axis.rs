//! Axes: where a value lies between two ends, linear or logarithmic, and which values get a tick.

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    Linear,
    Log,
}

/// An axis from `min` to `max` with ticks that have a text each.
#[derive(Clone, Debug)]
pub struct Axis {
    pub label: String,
    pub scale: Scale,
    pub min: f64,
    pub max: f64,
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a round number not below all values, in steps of 1, 2 or 5 times a power of ten.
    pub fn linear(label: &str, values: impl Iterator<Item = f64>, text: impl Fn(f64) -> String) -> Axis {
        let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let rough = highest / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let count = (highest / step).ceil().max(1.0);
        let ticks = (0..=count as usize).map(|index| (index as f64 * step, text(index as f64 * step))).collect();
        Axis { label: label.to_owned(), scale: Scale::Linear, min: 0.0, max: count * step, ticks }
    }

    /// Over whole powers of ten around all values; where these are few, with ticks at 2 and 5 times them.
    pub fn log(label: &str, values: impl Iterator<Item = f64>, text: impl Fn(f64) -> String) -> Axis {
        let (mut lowest, mut highest) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (lowest, highest) = (lowest.min(value), highest.max(value));
        }
        if highest == 0.0 {
            (lowest, highest) = (1.0, 10.0);
        }
        let steps: Vec<f64> =
            (-9..=12).flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * 10f64.powi(power))).collect();
        let min = steps.iter().copied().rfind(|step| *step <= lowest).unwrap_or(lowest);
        let max = steps.iter().copied().find(|step| *step >= highest && *step > min).unwrap_or(highest);
        let wide = (max / min).log10() > 3.0;
        let power_of_ten = |value: f64| (value.log10() - value.log10().round()).abs() < 1e-6;
        let inside = steps.iter().copied().filter(|step| *step >= min && *step <= max);
        let ticks =
            inside.filter(|step| !wide || power_of_ten(*step) || *step == max).map(|step| (step, text(step))).collect();
        Axis { label: label.to_owned(), scale: Scale::Log, min, max, ticks }
    }

    /// Shares below one, as percentiles: each further nine takes as much room as the one before.
    pub fn percentiles(nines: u32) -> Axis {
        let mut ticks = vec![(2.0, "50 %".to_owned())];
        for nine in 1..=nines {
            let text = match nine {
                1 => "90 %".to_owned(),
                2 => "99 %".to_owned(),
                more => format!("99.{} %", "9".repeat(more as usize - 2)),
            };
            ticks.push((10f64.powi(nine as i32), text));
        }
        Axis { label: String::new(), scale: Scale::Log, min: 1.0, max: 10f64.powi(nines as i32), ticks }
    }

    /// Where on the axis a value lies, 0 to 1. Values beyond the ends lie at them.
    pub fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.min) / (self.max - self.min),
            Scale::Log => (value.max(self.min) / self.min).ln() / (self.max / self.min).ln(),
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        let axis = Axis::linear("", [0.3, 4.7].into_iter(), |value| format!("{value}"));
        assert_eq!(texts(&axis), ["0", "1", "2", "3", "4", "5"]);
        assert!((axis.place(2.5) - 0.5).abs() < 1e-9);
        let axis = Axis::linear("", std::iter::empty(), |value| format!("{value:.1}"));
        assert_eq!(axis.max, 1.0);
    }

    #[test]
    fn log_ticks_cover_the_values() {
        let axis = Axis::log("", [30.0, 1500.0].into_iter(), |value| format!("{value}"));
        assert_eq!(texts(&axis), ["20", "50", "100", "200", "500", "1000", "2000"]);
        assert_eq!((axis.place(20.0), axis.place(1.0), axis.place(9e9)), (0.0, 0.0, 1.0));
        let wide = Axis::log("", [1.0, 90_000.0].into_iter(), |value| format!("{value}"));
        assert_eq!(texts(&wide), ["1", "10", "100", "1000", "10000", "100000"]);
        assert_eq!(Axis::log("", [5.0, 5.0].into_iter(), |value| format!("{value}")).max, 10.0);
    }

    #[test]
    fn percentiles_take_equal_room() {
        let axis = Axis::percentiles(4);
        assert_eq!(texts(&axis), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert!((axis.place(1000.0) - 0.75).abs() < 1e-9);
    }
}
