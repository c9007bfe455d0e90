//! Images against Pillow, byte for byte: `fixtures/images/pillow.py`.

use adamant_data::{Image, read_idx};
use std::path::Path;

fn fixture(name: &str) -> Image {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let idx = read_idx(folder.join(format!("{name}.idx"))).unwrap();
    let shape = match idx.shape[..] {
        [height, width] => [height, width, 1],
        [height, width, channels] => [height, width, channels],
        _ => panic!("{name}: {:?}", idx.shape),
    };
    Image::new(idx.bytes, shape).unwrap()
}

#[track_caller]
fn assert_same(found: Image, name: &str) {
    let expected = fixture(name);
    let differences = found.bytes().iter().zip(expected.bytes()).filter(|(a, b)| a != b).count();
    assert!(found == expected, "{name}: {differences} bytes differ");
}

#[test]
fn resizing_is_pillows() {
    let image = fixture("image");
    for (height, width) in [(16, 16), (64, 80), (37, 20), (5, 53), (1, 1), (90, 3), (36, 54)] {
        assert_same(image.resize(height, width), &format!("resize_{height}_{width}"));
    }
    assert_same(image.to_grayscale().resize(16, 16), "gray_resize_16_16");
    assert_eq!(image.resize(37, 53), image);
}

#[test]
fn colors_are_pillows() {
    let image = fixture("image");
    assert_same(image.to_grayscale(), "gray");
    for (factor, tenths) in [(0.0, 0), (0.3, 3), (1.7, 17)] {
        let image = || image.clone();
        assert_same(image().adjust_brightness(factor), &format!("brightness_{tenths}"));
        assert_same(image().adjust_contrast(factor), &format!("contrast_{tenths}"));
        assert_same(image().adjust_saturation(factor), &format!("saturation_{tenths}"));
    }
}
