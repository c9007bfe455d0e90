//! Resizing, bilinear and antialiased.

use super::image::Image;

/// The fractional bits of a weight. A sum of weights is about 1, so that a weighted sum of bytes is
/// below 2³⁰ and fits an `i32`.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

impl Image {
    /// The image scaled to `height` × `width` pixels.
    ///
    /// Bilinear; where the image becomes smaller, a pixel is the average of all those that it
    /// covers, weighted by a triangle (antialiasing). The width is scaled first, and rounded to
    /// bytes: the result is that of Pillow 12.
    ///
    /// PyTorch: `torchvision.transforms.Resize((height, width))` of a `PIL.Image`.
    ///
    /// # Panics
    /// If the height or the width is 0.
    ///
    /// ```
    /// use adamant_data::Image;
    /// let image = Image::new(vec![0, 100, 200, 100], [1, 4, 1]).unwrap();
    /// assert_eq!(image.resize(1, 2).bytes(), [71, 143]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn resize(&self, height: usize, width: usize) -> Image {
        assert!(height > 0 && width > 0, "resize: size is {height} × {width}; expected above 0");
        match (height == self.height, width == self.width) {
            (true, true) => self.clone(),
            (true, false) => self.resize_width(width),
            (false, true) => self.resize_height(height),
            (false, false) => self.resize_width(width).resize_height(height),
        }
    }

    /// The image scaled so that its shorter side has `size` pixels; the other side is rounded down.
    ///
    /// PyTorch: `torchvision.transforms.Resize(size)`.
    ///
    /// # Panics
    /// If `size` is 0.
    ///
    /// ```
    /// use adamant_data::Image;
    /// let image = Image::new(vec![0; 30 * 45], [30, 45, 1]).unwrap();
    /// let scaled = image.resize_shorter_side(15).center_crop(14, 14).unwrap();
    /// assert_eq!((scaled.height(), scaled.width()), (14, 14));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn resize_shorter_side(&self, size: usize) -> Image {
        let shorter = self.height.min(self.width) as u128;
        let scaled = |side: usize| (side as u128 * size as u128 / shorter) as usize;
        self.resize(scaled(self.height), scaled(self.width))
    }

    fn resize_width(&self, width: usize) -> Image {
        match self.channels {
            1 => self.resize_width_of::<1>(width),
            _ => self.resize_width_of::<3>(width),
        }
    }

    fn resize_width_of<const CHANNELS: usize>(&self, width: usize) -> Image {
        let spans = spans(self.width, width);
        let mut bytes = Vec::with_capacity(self.height * width * CHANNELS);
        for row in self.bytes.chunks_exact(self.stride()) {
            let pixels = row.as_chunks::<CHANNELS>().0;
            for Span { first, weights } in &spans {
                let mut sums = [HALF; CHANNELS];
                for (pixel, &weight) in pixels[*first..].iter().zip(weights) {
                    for (sum, &byte) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(byte) * weight;
                    }
                }
                bytes.extend(sums.map(to_byte));
            }
        }
        self.like(self.height, width, bytes)
    }

    fn resize_height(&self, height: usize) -> Image {
        let stride = self.stride();
        let mut bytes = Vec::with_capacity(height * stride);
        let mut sums = vec![0; stride];
        for Span { first, weights } in spans(self.height, height) {
            sums.fill(HALF);
            for (row, weight) in self.bytes[first * stride..].chunks_exact(stride).zip(weights) {
                for (sum, &byte) in sums.iter_mut().zip(row) {
                    *sum += i32::from(byte) * weight;
                }
            }
            bytes.extend(sums.iter().map(|&sum| to_byte(sum)));
        }
        self.like(height, self.width, bytes)
    }
}

fn to_byte(sum: i32) -> u8 {
    // The weights are not negative. Each is rounded, so their sum may exceed 1 a little.
    (sum >> BITS).min(255) as u8
}

/// The pixels of a line that make one pixel of the scaled line: the first, and the weights from
/// there on, in units of 2⁻²².
struct Span {
    first: usize,
    weights: Vec<i32>,
}

/// The spans of a line of `to` pixels, scaled from `from` pixels.
fn spans(from: usize, to: usize) -> Vec<Span> {
    let scale = from as f64 / to as f64;
    let radius = scale.max(1.0); // half the width of the triangle
    let span = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        // The pixels whose centers are within the triangle; a cast to usize rounds down, from 0.
        let first = (center - radius + 0.5) as usize;
        let end = ((center + radius + 0.5) as usize).min(from);
        let height = |pixel: usize| 1.0 - ((pixel as f64 - center + 0.5) / radius).abs();
        let heights = || (first..end).map(|pixel| height(pixel).max(0.0));
        let total: f64 = heights().sum();
        let unit = f64::from(1 << BITS);
        let weights = heights().map(|height| (height / total * unit).round() as i32).collect();
        Span { first, weights }
    };
    (0..to).map(span).collect()
}
