//! The picture: panels one below the other, under a legend.
//!
//! `plotters` draws at integer coordinates, so a unit is a twentieth of a point; the file states the
//! size in millimeters. Sizes are those of journals: a column of 86 mm, letters of 7 and 8 points.

use super::curve::Curve;
use super::ticks::Axis;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Curves of several runs.
pub(super) struct Figure {
    /// The label of the x axis.
    pub(super) x: String,
    /// The names of the runs.
    pub(super) runs: Vec<String>,
    pub(super) panels: Vec<Panel>,
    /// Whether the curves' values are decimal logarithms.
    pub(super) log_y: bool,
}

/// The curves of one metric.
pub(super) struct Panel {
    /// The label of the y axis.
    pub(super) metric: String,
    /// A curve for each run, in order; it may have no points.
    pub(super) curves: Vec<Curve>,
}

/// Units in a point, which is 1/72 of an inch.
const POINT: f64 = 20.0;
const WIDTH: f64 = 243.8; // 86 mm
const PANEL_HEIGHT: f64 = 130.0;
const LEGEND_ROW: f64 = 11.0;
/// Between panels.
const GAP: f64 = 8.0;
/// The height of the labels of the x axis, which is below the last panel only.
const X_LABELS: f64 = 25.0;
const MARGIN: f64 = 4.0;
const TICK: f64 = 2.5;
const LABEL: f64 = 8.0;
const TICK_LABEL: f64 = 7.0;
/// The widths of a curve that shows all values, and of a smooth one.
const THIN: f64 = 0.8;
const THICK: f64 = 1.1;
/// The mean width of a character, as a fraction of the font's size; generous, since the file names
/// no particular font.
const CHAR: f64 = 0.62;

/// Okabe's and Ito's colors, which people with color blindness distinguish, without yellow; in an
/// order in which neighbors also differ in lightness.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(0, 0, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
/// Lengths of dashes and of the gaps between them, in points, so that curves differ without colors.
const DASHES: [Option<(f64, f64)>; 4] =
    [None, Some((5.0, 1.8)), Some((1.2, 1.2)), Some((2.8, 1.4))];
const AXIS: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(228, 228, 228);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Figure {
    /// The picture as SVG.
    pub(super) fn to_svg(&self) -> String {
        let legend = Legend::new(&self.runs);
        let panels = PANEL_HEIGHT * self.panels.len() as f64;
        let height = MARGIN + legend.height() + panels + X_LABELS - GAP;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (units(WIDTH), units(height)));
            self.draw(&root.into_drawing_area(), &legend).expect("writing to a string succeeds");
        }
        let size = format!("<svg width=\"{}\" height=\"{}\"", units(WIDTH), units(height));
        let [width, height] = [WIDTH, height].map(|points| points * 25.4 / 72.0);
        let millimeters = format!(
            "<svg width=\"{width:.1}mm\" height=\"{height:.1}mm\" stroke-linejoin=\"round\""
        );
        svg.replacen(&size, &millimeters, 1)
    }

    fn draw(&self, root: &Area<'_>, legend: &Legend) -> Drawn {
        root.fill(&WHITE)?;
        let (top, rest) = root.split_vertically(units(MARGIN + legend.height()));
        legend.draw(&top)?;
        let points = || self.panels.iter().flat_map(|panel| &panel.curves).flat_map(Curve::finite);
        let (low, high) = range(points().map(|(x, _)| x));
        // A run begins at 0, even if its first row comes later.
        let low = if low > 0.0 && low < 0.1 * high { 0.0 } else { low };
        let x = Axis::linear(low, high, 0.0, 7);
        let axes: Vec<Axis> = self.panels.iter().map(|panel| self.y_axis(panel)).collect();
        // All panels have labels of the same width, so that their x axes are aligned.
        let labels =
            axes.iter().flat_map(|axis| &axis.ticks).map(|(_, label)| label.chars().count());
        let labels = labels.max().unwrap_or(0) as f64 * TICK_LABEL * CHAR + LABEL + 7.0;
        let ends: Vec<u32> =
            (1..self.panels.len()).map(|panels| units(PANEL_HEIGHT * panels as f64)).collect();
        let areas = rest.split_by_breakpoints::<u32, _, _, _>(&[], &ends);
        for (index, area) in areas.iter().enumerate() {
            let x_label = (index + 1 == areas.len()).then_some(self.x.as_str());
            self.panels[index].draw(area, &x, &axes[index], x_label, labels)?;
        }
        root.present()?;
        Ok(())
    }

    fn y_axis(&self, panel: &Panel) -> Axis {
        let (low, high) = range(panel.curves.iter().flat_map(Curve::finite).map(|(_, y)| y));
        match self.log_y {
            true => Axis::log10(low, high, 0.04, 6),
            false => Axis::linear(low, high, 0.04, 6),
        }
    }
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

impl Panel {
    /// Draws the panel; the labels of the y axis take a width of `labels` points.
    fn draw(
        &self,
        area: &Area<'_>,
        x: &Axis,
        y: &Axis,
        x_label: Option<&str>,
        labels: f64,
    ) -> Drawn {
        let mut builder = ChartBuilder::on(area);
        builder.margin_left(units(MARGIN)).margin_right(units(MARGIN + 6.0)).margin_top(units(2.0));
        builder.y_label_area_size(units(labels));
        match x_label {
            Some(_) => builder.x_label_area_size(units(X_LABELS)),
            None => builder.x_label_area_size(units(TICK)).margin_bottom(units(GAP - TICK)),
        };
        let mut chart = builder.build_cartesian_2d(x.clone(), y.clone())?;
        let mut mesh = chart.configure_mesh();
        let no_label = |_: &f64| String::new();
        if x_label.is_none() {
            mesh.x_label_formatter(&no_label);
        }
        mesh.bold_line_style(GRID.stroke_width(units(0.5)))
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS.stroke_width(units(0.6)))
            .set_all_tick_mark_size(units(TICK))
            .label_style(font(TICK_LABEL))
            .axis_desc_style(font(LABEL))
            .x_desc(x_label.unwrap_or_default())
            .y_desc(&self.metric)
            .draw()?;
        let area = chart.plotting_area();
        for (index, curve) in self.curves.iter().enumerate() {
            let faint = COLORS[index % COLORS.len()].mix(0.25).stroke_width(units(0.5));
            for piece in curve.faint() {
                area.draw(&PathElement::new(piece, faint))?;
            }
        }
        // The first run's curve is drawn last, above the others.
        for (index, curve) in self.curves.iter().enumerate().rev() {
            let width = if curve.faint().is_empty() { THIN } else { THICK };
            for piece in curve.line() {
                match &piece[..] {
                    [point] => {
                        let color = COLORS[index % COLORS.len()];
                        area.draw(&Circle::new(*point, units(1.2), color.filled()))?;
                    }
                    _ => line(area, piece, index, width)?,
                }
            }
        }
        Ok(())
    }
}

/// The lines and names of the runs, in rows.
struct Legend {
    /// Each run's index and name, and where it starts in its row, in points.
    rows: Vec<Vec<(usize, String, f64)>>,
}

impl Legend {
    const LINE: f64 = 18.0;
    const GAP: f64 = 4.0;

    fn new(runs: &[String]) -> Self {
        const LETTER: f64 = TICK_LABEL * CHAR;
        let most = (WIDTH - 2.0 * MARGIN - Self::LINE - Self::GAP) / LETTER;
        let mut rows = vec![Vec::new()];
        let mut start = MARGIN;
        for (index, name) in runs.iter().enumerate() {
            let name = shortened(name, most as usize);
            let width = Self::LINE + Self::GAP + name.chars().count() as f64 * LETTER;
            if start > MARGIN && start + width > WIDTH - MARGIN {
                rows.push(Vec::new());
                start = MARGIN;
            }
            if let Some(row) = rows.last_mut() {
                row.push((index, name, start));
            }
            start += width + 2.0 * Self::GAP;
        }
        Legend { rows }
    }

    /// In points.
    fn height(&self) -> f64 {
        self.rows.len() as f64 * LEGEND_ROW
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        for (row, entries) in self.rows.iter().enumerate() {
            let y = units(MARGIN + (row as f64 + 0.5) * LEGEND_ROW) as i32;
            for (index, name, start) in entries {
                let at = |points: f64| (units(*start + points) as i32, y);
                line(area, vec![at(0.0), at(Self::LINE)], *index, THICK)?;
                let style = font(TICK_LABEL).pos(Pos::new(HPos::Left, VPos::Center));
                area.draw(&Text::new(name.as_str(), at(Self::LINE + Self::GAP), style))?;
            }
        }
        Ok(())
    }
}

/// The name with an ellipsis for its middle if it has more than `most` characters.
fn shortened(name: &str, most: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= most {
        return name.into();
    }
    let end = (most - 1) / 2;
    let start = most - 1 - end;
    let [start, end] = [&chars[..start], &chars[chars.len() - end..]].map(String::from_iter);
    format!("{start}…{end}")
}

/// Draws the line of a run.
fn line<C: CoordTranslate>(
    area: &DrawingArea<SVGBackend<'_>, C>,
    points: Vec<C::From>,
    index: usize,
    width: f64,
) -> Drawn
where
    C::From: Clone,
{
    let style = COLORS[index % COLORS.len()].stroke_width(units(width));
    match DASHES[index % DASHES.len()] {
        None => area.draw(&PathElement::new(points, style)),
        Some((dash, gap)) => {
            area.draw(&DashedPathElement::new(points, units(dash), units(gap), style))
        }
    }
}

fn font(points: f64) -> TextStyle<'static> {
    // The backend writes a size as 1/1.24 of it.
    TextStyle::from(("sans-serif", points * POINT * 1.24)).color(&BLACK)
}

fn units(points: f64) -> u32 {
    (points * POINT).round() as u32
}

/// The lowest and the highest of the values; 0 to 1 if there are none.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let both = values.fold(None, |range, x| {
        let (low, high) = range.unwrap_or((x, x));
        Some((x.min(low), x.max(high)))
    });
    both.unwrap_or((0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("abcdefghi", 8), "abcd…ghi");
        let legend = Legend::new(&["ä".repeat(300), "b".into()]);
        let [(0, name, _)] = &legend.rows[0][..] else { panic!("one name in the first row") };
        let end =
            MARGIN + Legend::LINE + Legend::GAP + name.chars().count() as f64 * TICK_LABEL * CHAR;
        assert!((230.0..WIDTH).contains(&end), "{end}");
    }
}
