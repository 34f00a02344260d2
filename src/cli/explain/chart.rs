//! Stacked bars by day of the month, as inline SVG. All arithmetic is on integers: a bar's height
//! is its share of the largest day, cut off at the pixel.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::wire::shown_text::escaped;

/// Amounts of one day, in the order of the chart's series; below zero they hang under the line.
pub type Amounts = [i128; 3];

pub struct Chart<'a> {
    pub title: String,
    /// Name of each series; its color is the style's `s0`, `s1`, `s2`.
    pub series: [&'a str; 3],
    pub days: BTreeMap<u8, Amounts>,
    pub days_in_month: u8,
    /// An amount as it is read.
    pub show: fn(i128) -> String,
}

const DAY_WIDTH: i128 = 20;
const BAR_WIDTH: i128 = 14;
const HEIGHT: i128 = 140;
const TOP: i128 = 18;
const BELOW: i128 = 20;

impl Chart<'_> {
    /// None where every day is zero.
    pub fn svg(&self) -> Option<String> {
        let above = self.largest(|amount| amount.max(0));
        let below = self.largest(|amount| amount.min(0).saturating_neg());
        let range = above.checked_add(below).filter(|range| *range > 0)?;
        let pixels = |amount: i128| amount.saturating_mul(HEIGHT) / range;
        let baseline = TOP + pixels(above);
        let width = DAY_WIDTH * i128::from(self.days_in_month);
        let height = TOP + HEIGHT + BELOW;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escaped(&self.title)
        );
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"12\">{}</text><line x1=\"0\" x2=\"{width}\" y1=\"{baseline}\" y2=\"{baseline}\"/>",
            escaped(&(self.show)(above))
        );
        for (day, amounts) in &self.days {
            let x = DAY_WIDTH * (i128::from(*day) - 1) + (DAY_WIDTH - BAR_WIDTH) / 2;
            let (mut up, mut down) = (baseline, baseline);
            for (number, (amount, name)) in amounts.iter().zip(self.series).enumerate() {
                // What is there is seen, however small.
                let bar = match *amount {
                    0 => continue,
                    amount => pixels(amount.saturating_abs()).max(1),
                };
                let y = match *amount > 0 {
                    true => {
                        up -= bar;
                        up
                    }
                    false => {
                        down += bar;
                        down - bar
                    }
                };
                let _ = write!(
                    svg,
                    "<rect class=\"s{number}\" x=\"{x}\" y=\"{y}\" width=\"{BAR_WIDTH}\" height=\"{bar}\"><title>day {day}: {name} {}</title></rect>",
                    escaped(&(self.show)(*amount))
                );
            }
        }
        for day in (1..=self.days_in_month).step_by(7) {
            let x = DAY_WIDTH * (i128::from(day) - 1) + DAY_WIDTH / 2;
            let y = height - 5;
            let _ = write!(svg, "<text class=\"day\" x=\"{x}\" y=\"{y}\">{day}</text>");
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// The largest sum of a day's amounts on one side of the line.
    fn largest(&self, side: impl Fn(i128) -> i128) -> i128 {
        let sums = self.days.values().map(|amounts| {
            let parts = amounts.iter().map(|amount| side(*amount));
            parts.fold(0_i128, i128::saturating_add)
        });
        sums.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(days: &[(u8, Amounts)]) -> Chart<'static> {
        Chart {
            title: "tokens".into(),
            series: ["a", "b", "c"],
            days: days.iter().copied().collect(),
            days_in_month: 31,
            show: |amount| amount.to_string(),
        }
    }

    #[test]
    fn bars_share_the_height_and_hang_below_zero() {
        let svg = chart(&[(1, [3, 0, 1]), (2, [0, -3, 0])]).svg().unwrap();
        // 7 parts on 140 pixels: 3 parts are 60, one is 20; the line is 80 below the top of 18.
        for bar in [
            "<rect class=\"s0\" x=\"3\" y=\"38\" width=\"14\" height=\"60\"><title>day 1: a 3</title></rect>",
            "<rect class=\"s2\" x=\"3\" y=\"18\" width=\"14\" height=\"20\"><title>day 1: c 1</title></rect>",
            "<rect class=\"s1\" x=\"23\" y=\"98\" width=\"14\" height=\"60\"><title>day 2: b -3</title></rect>",
        ] {
            assert!(svg.contains(bar), "{bar}\n{svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 3);
    }

    #[test]
    fn nothing_is_no_chart_and_huge_amounts_fit() {
        assert!(chart(&[(1, [0, 0, 0])]).svg().is_none());
        assert!(chart(&[(1, [i128::MAX / 1_000, 0, 0])]).svg().is_some());
    }
}
