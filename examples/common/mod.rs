//! Helpers for the examples: the digits, progress bars, percentages, pictures; and in [`saves`],
//! saving and resuming a run.

#![allow(dead_code)] // each example uses a part of it

pub(crate) mod saves;

use adamant::data::IntoSource;
use adamant::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit status of an example. Prints an error, except for a closed pipe, as in `… | head`.
pub(crate) fn end(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let io = error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// The bundled MNIST, with the first `images` training images or all.
pub(crate) fn mnist(images: Option<u32>) -> Result<Mnist, Box<dyn Error>> {
    let mnist = Mnist::bundled()?;
    Ok(match images {
        Some(images) => Mnist { train: mnist.train.take(images as usize), ..mnist },
        None => mnist,
    })
}

/// A progress bar, shown on a terminal only. It appears at the first step, so that earlier output
/// does not leave a copy of it behind.
pub(crate) fn progress_bar(name: &str, steps: u64) -> ProgressBar {
    let template = "{prefix} {bar:30} {percent:>3} %  {msg}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::new(steps).with_style(style).with_prefix(name.to_string())
}

/// The path of this file in Cargo's build folder if this example was built there, else in the
/// current folder.
pub(crate) fn in_build_folder(file: &str) -> PathBuf {
    let folder = || {
        let program = std::env::current_exe().ok()?; // TARGET/PROFILE/examples/NAME
        let examples = program.parent().filter(|folder| folder.ends_with("examples"))?;
        let target = examples.parent()?.parent()?;
        let here = std::env::current_dir().ok()?;
        Some(target.strip_prefix(here).unwrap_or(target).to_path_buf())
    };
    folder().unwrap_or_default().join(file)
}

/// The number of correct guesses.
pub(crate) fn hits(guesses: &[usize], targets: &[usize]) -> usize {
    guesses.iter().zip(targets).filter(|(guess, target)| guess == target).count()
}

/// `part / whole`, in percent.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// The accuracy in percent. Sets the net to training mode afterwards.
pub(crate) fn accuracy(
    net: &mut (impl Module + Forward),
    data: impl IntoSource<Batch = Batch>,
) -> f64 {
    net.eval();
    let (mut right, mut all) = (0, 0);
    no_grad(|| {
        for batch in DataLoader::new(data, 500).epoch() {
            right += hits(&net.forward(&batch.inputs).argmax(1), &batch.targets);
            all += batch.targets.len();
        }
    });
    net.train();
    percent(right, all)
}

/// Parses a learning rate.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate < f64::INFINITY => Ok(rate),
        _ => Err("expected a finite number above 0".into()),
    }
}

/// Parses the path of an output file, and checks its folder before the training, not after.
pub(crate) fn in_a_folder(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_dir() {
        return Err("it is a folder".into());
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("{} is not a folder", folder.display()))
        }
        _ => Ok(path),
    }
}

/// The side of a digit, in pixels.
pub(crate) const SIDE: usize = 28;

/// Undoes MNIST's normalization: gray values from 0 to 1.
pub(crate) fn gray(normalized: &Tensor) -> Tensor {
    (normalized * 0.3081 + 0.1307).clamp(0.0, 1.0)
}

/// Writes digits as a PNG: each tensor of `rows` is a row of the picture.
pub(crate) fn write_digits(path: &Path, rows: &[Tensor]) -> Result<(), Box<dyn Error>> {
    const SCALE: usize = 2;
    const CELL: usize = SIDE * SCALE + 4;
    let columns = rows.iter().map(|row| row.shape()[0]).max().unwrap_or(0);
    let (width, height) = (columns * CELL, rows.len() * CELL);
    let mut picture = vec![96u8; width * height];
    for (r, row) in rows.iter().enumerate() {
        for (c, digit) in row.to_vec().chunks(SIDE * SIDE).enumerate() {
            for y in 0..SIDE * SCALE {
                for x in 0..SIDE * SCALE {
                    let gray = digit[y / SCALE * SIDE + x / SCALE];
                    let at = (r * CELL + y + 2) * width + c * CELL + x + 2;
                    picture[at] = (gray * 255.0) as u8;
                }
            }
        }
    }
    let file = BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&picture)?;
    Ok(())
}
