//! Charts as SVG: paths that consist of numbers, so no foreign text can get into them.

use std::fmt::Write;

/// A bar chart of all requests and, within each bar, the failed ones. Each slot is one unit wide,
/// and the chart is [`HEIGHT`] units high.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) width: usize,
    /// The path of the successful requests, on top of the failed ones.
    pub(super) good: String,
    /// The path of the failed requests.
    pub(super) failed: String,
    /// The value at the full height.
    pub(super) top: u64,
}

impl Bars {
    /// Creates a chart from pairs of all and failed requests. With `round`, the scale ends at a
    /// number that is easy to read.
    pub(super) fn new(slots: impl ExactSizeIterator<Item = (u64, u64)> + Clone, round: bool) -> Self {
        let most = slots.clone().map(|(all, failed)| all.max(failed)).max().unwrap_or(0);
        let top = if round { round_up(most as f64).ceil() as u64 } else { most };
        let mut bars = Self { width: slots.len(), good: String::new(), failed: String::new(), top };
        for (number, (all, failed)) in slots.enumerate() {
            let low = scaled(failed as f64, top as f64);
            let high = scaled(all.max(failed) as f64, top as f64);
            bar(&mut bars.failed, number, 0.0, low);
            bar(&mut bars.good, number, low, high);
        }
        bars
    }
}

/// Draws a line through the slots that have a value. A slot without one interrupts it.
pub(super) fn line(values: impl Iterator<Item = Option<f64>>, top: f64) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (number, value) in values.enumerate() {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let (x, y) = (number as f64 + 0.5, HEIGHT - scaled(value, top));
        // Writing to a string cannot fail.
        let _ = if drawing {
            write!(path, "L{x} {y:.1}")
        } else {
            // A single slot between two empty ones is drawn as a short stroke.
            write!(path, "M{} {y:.1}h.6", x - 0.3)
        };
        drawing = true;
    }
    path
}

/// Rounds up to the next of 1, 2, 5, 10, 20, 50, …, also below 1.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 0.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * 0.999_999);
    factor.unwrap_or(10.0) * power
}

fn bar(path: &mut String, number: usize, low: f64, high: f64) {
    if high > low {
        let (left, bottom, height) = (number as f64 + 0.1, HEIGHT - low, high - low);
        // Writing to a string cannot fail.
        let _ = write!(path, "M{left:.1} {bottom:.1}h.8v-{height:.1}h-.8z");
    }
}

fn scaled(value: f64, top: f64) -> f64 {
    if top <= 0.0 || value <= 0.0 {
        return 0.0;
    }
    // A small value must still be visible.
    (value / top * HEIGHT).clamp(1.0, HEIGHT)
}

/// The height of a chart in units.
pub(super) const HEIGHT: f64 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_stacked() {
        let bars = Bars::new([(100, 0), (100, 50), (0, 0), (3, 5)].into_iter(), true);
        assert_eq!((bars.width, bars.top), (4, 100));
        assert_eq!(bars.good, "M0.1 40.0h.8v-40.0h-.8zM1.1 20.0h.8v-20.0h-.8z");
        assert_eq!(bars.failed, "M1.1 40.0h.8v-20.0h-.8zM3.1 40.0h.8v-2.0h-.8z");
        let empty = Bars::new([].into_iter(), true);
        assert_eq!((empty.top, &*empty.good), (0, ""));
    }

    #[test]
    fn a_line_has_gaps() {
        let values = [None, Some(1.0), Some(2.0), None, Some(0.0)];
        assert_eq!(line(values.into_iter(), 2.0), "M1.2 20.0h.6L2.5 0.0M4.2 40.0h.6");
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, rounded) in [(0.0, 0.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (51.0, 100.0), (0.03, 0.05)]
        {
            assert!((round_up(value) - rounded).abs() < 1e-9, "{value}: {}", round_up(value));
        }
        assert_eq!(round_up(f64::NAN), 0.0);
    }
}
