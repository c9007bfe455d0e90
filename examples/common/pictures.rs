//! Digits as pictures.

use adamant::prelude::*;
use base64::prelude::*;
use std::error::Error;
use std::path::Path;

/// The side of a digit, in pixels.
pub(crate) const SIDE: usize = 28;
/// The side of a digit's pixel, in pixels of the picture.
const SCALE: usize = 3;
/// The margin, and the space below each part.
const GAP: usize = 12;

/// Undoes MNIST's normalization: gray values from 0 to 1.
pub(crate) fn gray(normalized: &Tensor) -> Tensor {
    (normalized * 0.3081 + 0.1307).clamp(0.0, 1.0)
}

/// Writes digits as an SVG: each row is a caption above `[n, 784]` gray values from 0 to 1.
pub(crate) fn write(
    path: &Path,
    title: &str,
    rows: &[(&str, Tensor)],
) -> Result<(), Box<dyn Error>> {
    let mut picture = Picture { parts: String::new(), width: 0, height: GAP };
    picture.text(title, 20);
    for (caption, digits) in rows {
        picture.text(caption, 16);
        picture.image(&side_by_side(digits))?;
    }
    std::fs::write(path, picture.svg())
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Parts one below the other.
struct Picture {
    parts: String,
    width: usize,
    height: usize,
}

impl Picture {
    fn text(&mut self, text: &str, size: usize) {
        let baseline = self.height + size;
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        self.parts +=
            &format!("<text x=\"{GAP}\" y=\"{baseline}\" font-size=\"{size}\">{escaped}</text>\n");
        self.width = self.width.max(text.chars().count() * size * 3 / 5); // about
        self.height = baseline + GAP;
    }

    /// An image of `[height, width]` gray values.
    fn image(&mut self, pixels: &Tensor) -> Result<(), Box<dyn Error>> {
        let (height, width, y) = (pixels.shape()[0], pixels.shape()[1], self.height);
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, width.try_into()?, height.try_into()?);
        encoder.set_color(png::ColorType::Grayscale);
        let bytes: Vec<u8> = pixels.to_vec().iter().map(|gray| (gray * 255.0) as u8).collect();
        encoder.write_header()?.write_image_data(&bytes)?;
        self.parts += &format!(
            "<image x=\"{GAP}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             href=\"data:image/png;base64,{}\"/>\n",
            BASE64_STANDARD.encode(png)
        );
        self.width = self.width.max(width);
        self.height += height + GAP;
        Ok(())
    }

    fn svg(&self) -> String {
        let (width, height) = (self.width + 2 * GAP, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            self.parts
        )
    }
}

/// `[n, 784]` digits as `[height, width]` pixels, in gray frames.
fn side_by_side(digits: &Tensor) -> Tensor {
    let (n, side) = (digits.shape()[0], SIDE + 2);
    let framed = digits.detach().reshape([n, SIDE, SIDE]).pad(&[(1, 1), (1, 1)], 0.4);
    let row = framed.permute([1, 0, 2]).reshape([side, 1, n * side, 1]);
    let scaled = row.expand([side, SCALE, n * side, SCALE]);
    scaled.reshape([side * SCALE, n * side * SCALE])
}
