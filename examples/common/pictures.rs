//! Digits as pictures.

use adamant::prelude::*;
use std::error::Error;
use std::io::BufWriter;
use std::path::Path;

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
