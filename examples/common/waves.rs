//! Noisy waves: batches of them, and a picture.

use adamant::data::Dataset;
use adamant::prelude::*;
use plotters::prelude::*;
use std::error::Error;
use std::f64::consts::TAU;
use std::path::Path;

/// The number of samples that the net reads, and the number that it predicts.
pub(crate) const HEARD: usize = 60;
pub(crate) const AHEAD: usize = 40;
/// The standard deviation of the noise on the samples that it reads.
const NOISE: f32 = 0.05;

pub(crate) type Waves = Batch<Tensor, Tensor>;

/// Batches of noisy sines of random amplitude, period and phase, `[N, L, 1]`; the targets are the
/// next samples, without noise.
pub(crate) fn waves(n: usize, batch_size: usize, rng: &mut Generator) -> DataLoader<Waves> {
    let mut draw = |low, high| Tensor::uniform([n, 1, 1], low, high, rng);
    let (amplitude, period, phase) = (draw(0.5, 1.0), draw(10.0, 30.0), draw(0.0, TAU));
    let time = Tensor::from(Vec::from_iter((0..HEARD + AHEAD).map(|t| t as f32))).unsqueeze(1);
    let waves = amplitude * (time * TAU as f32 / period + phase).sin();
    let noisy = waves.augment(|wave: Tensor, rng| {
        let noisy = &wave + NOISE * Tensor::randn(wave.shape(), rng);
        Ok((noisy.narrow(0, 0, HEARD + AHEAD - 1), wave.narrow(0, 1, HEARD + AHEAD - 1)))
    });
    DataLoader::new(noisy, batch_size).seed(rng.next_u64())
}

/// Draws three of the waves `[N, L, 1]` as an SVG: the noisy samples of their start as points, and in
/// bold the samples that continue it.
pub(crate) fn draw(
    path: &Path,
    waves: &Tensor,
    start: &Tensor,
    continued: &Tensor,
) -> Result<(), Box<dyn Error>> {
    let (gray, blue, red) = (RGBColor(120, 120, 120), RGBColor(0, 114, 178), RGBColor(213, 94, 0));
    let root = SVGBackend::new(path, (900, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("Noisy waves, continued by an LSTM", ("sans-serif", 22))?;
    let (legend, charts) = root.split_vertically(30);
    let names = [("— wave", gray), ("● read by the net", blue), ("━ continued by the net", red)];
    for ((name, color), x) in names.into_iter().zip([60, 160, 330]) {
        legend.draw(&Text::new(name, (x, 10), ("sans-serif", 16).into_font().color(&color)))?;
    }
    let read = start.shape()[1];
    for (i, area) in charts.split_evenly((3, 1)).iter().enumerate() {
        let points = |samples: &Tensor, start: usize| (start..).zip(samples.select(0, i).to_vec());
        let mut chart = ChartBuilder::on(area);
        chart.margin(10).x_label_area_size(36).y_label_area_size(50);
        let mut chart = chart.build_cartesian_2d(0..waves.shape()[1] + 1, -1.2f32..1.2)?;
        let mut axes = chart.configure_mesh();
        axes.light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13))
            .x_desc("sample")
            .y_desc("value")
            .draw()?;
        chart.draw_series(LineSeries::new(points(waves, 1), gray))?;
        chart.draw_series(points(start, 0).map(|point| Circle::new(point, 3, blue.filled())))?;
        chart.draw_series(LineSeries::new(points(continued, read), red.stroke_width(3)))?;
    }
    root.present()?;
    Ok(())
}
