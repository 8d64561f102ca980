//! Bars on a logarithmic scale, as SVG.

use std::fmt::Write;

/// One chart: its title, and a bar for each name.
pub type Chart<'a> = (&'a str, Vec<(String, f64)>);

const WIDTH: f64 = 760.0;
const LABELS: f64 = 250.0;
const BAR: f64 = 18.0;
const COLOURS: [&str; 3] = ["#2a6f4e", "#b0662d", "#9b2d3f"];

/// Draws the charts one below the other. Values below the smallest that is drawn show no bar, only their
/// figure.
pub fn bars(charts: &[Chart<'_>]) -> String {
    let rows: usize = charts.iter().map(|(_, rows)| rows.len()).sum();
    let height = 34.0 * charts.len() as f64 + (BAR + 6.0) * rows as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
            font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    let _ = writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>");
    let mut y = 24.0;
    for (title, rows) in charts {
        let _ = writeln!(svg, "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{title} (logarithmic)</text>");
        y += 10.0;
        let (low, high) = scale(rows);
        for (index, (name, value)) in rows.iter().enumerate() {
            draw_row(&mut svg, y, name, *value, length(*value, low, high), COLOURS[index % COLOURS.len()]);
            y += BAR + 6.0;
        }
        y += 24.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_row(svg: &mut String, y: f64, name: &str, value: f64, long: f64, colour: &str) {
    let (text_y, value_x) = (y + BAR - 5.0, LABELS + long + 6.0);
    let _ = writeln!(svg, "<text x=\"10\" y=\"{text_y}\">{name}</text>");
    let _ = writeln!(
        svg,
        "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{long:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
    );
    let _ = writeln!(svg, "<text x=\"{value_x:.1}\" y=\"{text_y}\">{}</text>", figure(value));
}

fn scale(rows: &[(String, f64)]) -> (f64, f64) {
    let values = || rows.iter().map(|(_, value)| *value).filter(|value| *value > 0.0);
    let high = values().fold(f64::MIN_POSITIVE, f64::max);
    let low = values().fold(high, f64::min) / 3.0;
    (low, high)
}

fn length(value: f64, low: f64, high: f64) -> f64 {
    if value <= low || high <= low {
        return 0.0;
    }
    (WIDTH - LABELS - 100.0) * (value / low).ln() / (high / low).ln()
}

fn figure(value: f64) -> String {
    match value {
        0.0 => "0".to_string(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v => format!("{v:.5}"),
    }
}
