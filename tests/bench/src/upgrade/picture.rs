//! Throughput and latency over time, as an SVG that a browser and a repository's web page show.

use std::fmt::Write as _;
use std::time::Duration;

use super::run::Run;
use crate::figures::{millis, quantile};

const WIDTH: f64 = 960.0;
/// Room for the numbers of the axis.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TITLE: f64 = 44.0;
const RATE_HEIGHT: f64 = 140.0;
const GAP: f64 = 14.0;
const LATENCY_HEIGHT: f64 = 90.0;
const FOOT: f64 = 34.0;
const PANEL: f64 = TITLE + RATE_HEIGHT + GAP + LATENCY_HEIGHT + FOOT;
/// Latencies are shown from 1 ms to 100 s, each power of ten as high as the next.
const DECADES: u32 = 5;
/// Stages that are marked closer together than this write their names on different lines.
const LABEL_WIDTH: f64 = 68.0;

/// Both runs below each other, on the same scales.
pub(super) fn draw(runs: &[Run]) -> String {
    let longest = runs.iter().map(|run| run.seconds().len()).max().unwrap_or(1);
    let counts = runs.iter().flat_map(count_by_second);
    let scale = Scale { seconds: as_float(longest), rate: nice_top(as_float(counts.max().unwrap_or(1))) };
    let height = PANEL * as_float(runs.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (number, run) in runs.iter().enumerate() {
        draw_panel(&mut svg, run, &scale, PANEL * as_float(number));
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the axes end at.
struct Scale {
    seconds: f64,
    rate: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)
    }
}

fn draw_panel(svg: &mut String, run: &Run, scale: &Scale, top: f64) {
    let rate_top = top + TITLE;
    let rate_bottom = rate_top + RATE_HEIGHT;
    let latency_top = rate_bottom + GAP;
    let latency_bottom = latency_top + LATENCY_HEIGHT;
    let middle = LEFT;
    text(
        svg,
        middle,
        top + 16.0,
        "start",
        "#111111",
        &format!("{}: jobs completed per second, and P99 of start to completion", run.change),
    );
    draw_stages(svg, run, scale, rate_top, latency_bottom);

    let steps = 4;
    for step in 0..=steps {
        let value = scale.rate * f64::from(step) / f64::from(steps);
        let y = rate_bottom - f64::from(step) / f64::from(steps) * RATE_HEIGHT;
        line(svg, (LEFT, y), (WIDTH - RIGHT, y), "#dddddd");
        text(svg, LEFT - 6.0, y + 4.0, "end", "#444444", &format!("{value:.0}/s"));
    }
    for (decade, label) in (0..=DECADES).zip(["1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]) {
        let y = latency_bottom - f64::from(decade) / f64::from(DECADES) * LATENCY_HEIGHT;
        line(svg, (LEFT, y), (WIDTH - RIGHT, y), "#dddddd");
        text(svg, LEFT - 6.0, y + 4.0, "end", "#444444", label);
    }
    for second in (0..=run.seconds().len()).step_by(10) {
        let x = scale.x(as_float(second));
        text(svg, x, latency_bottom + 16.0, "middle", "#444444", &format!("{second} s"));
    }

    let rates = count_by_second(run);
    let points = rates.iter().enumerate().map(|(second, count)| {
        (scale.x(as_float(second) + 0.5), rate_bottom - as_float(*count) / scale.rate * RATE_HEIGHT)
    });
    polyline(svg, points, "#1565c0");
    let points = run.seconds().into_iter().enumerate().filter_map(|(second, due)| {
        let latencies = run.ledger.latencies(&due);
        let p99 = (!latencies.is_empty()).then(|| quantile(&latencies, 990))?;
        Some((scale.x(as_float(second) + 0.5), latency_bottom - share_of_decades(p99) * LATENCY_HEIGHT))
    });
    polyline(svg, points, "#c62828");
}

/// A band for each stage, with its name at its beginning.
fn draw_stages(svg: &mut String, run: &Run, scale: &Scale, top: f64, bottom: f64) {
    let ends = run.marks.iter().skip(1).map(|mark| mark.at).chain([run.parts[2].end]);
    let (mut level, mut former) = (0.0, f64::NEG_INFINITY);
    for (number, (mark, end)) in run.marks.iter().zip(ends).enumerate() {
        let (x, right) = (scale.x(mark.at.as_secs_f64()), scale.x(end.as_secs_f64()));
        let is_last = number + 1 == run.marks.len();
        let fill = if is_last { "#ffffff" } else { ["#eef4fb", "#dfeaf7"][number % 2] };
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
            right - x,
            bottom - top
        );
        line(svg, (x, top), (x, bottom), "#90a4ae");
        level = if x - former < LABEL_WIDTH { (level + 1.0) % 2.0 } else { 0.0 };
        former = x;
        text(svg, x + 2.0, top - 4.0 - 11.0 * level, "start", "#37474f", &mark.label);
    }
}

fn count_by_second(run: &Run) -> Vec<usize> {
    run.seconds().iter().map(|second| run.ledger.count_ended(second)).collect()
}

/// Where a latency is between the first and the last decade.
fn share_of_decades(latency: Duration) -> f64 {
    (millis(latency).max(1.0).log10() / f64::from(DECADES)).min(1.0)
}

/// The next number above that people count by.
fn nice_top(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(1.0).log10().floor());
    (value / step * 2.0).ceil() * step / 2.0
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{words}</text>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{stroke}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn polyline(svg: &mut String, points: impl Iterator<Item = (f64, f64)>, stroke: &str) {
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\"/>",
        points.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_people_count_by() {
        let tops = [7.0, 203.0, 250.0, 960.0].map(|value| format!("{}", nice_top(value)));
        assert_eq!(tops, ["7", "250", "250", "1000"]);
    }

    #[test]
    fn each_power_of_ten_is_as_high_as_the_next() {
        let shares = [0, 1, 10, 100, 1000, 1_000_000].map(|ms| share_of_decades(Duration::from_millis(ms)));
        let expected = [0.0, 0.0, 0.2, 0.4, 0.6, 1.0];
        assert!(
            shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-9),
            "{shares:?}"
        );
    }
}
