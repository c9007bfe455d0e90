//! Image files, good and bad. Needs the feature `image`.

#![cfg(feature = "image")]

use adamant_data::{DataLoader, Dataset, Image, ImageFolder, Labeled, read_idx};
use image::{ImageFormat, RgbImage};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// An image of noise, which does not compress well, in a format.
fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut state = 1u32;
    let noise = RgbImage::from_fn(40, 30, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    noise.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn open_error(folder: &Path) -> String {
    ImageFolder::open(folder).unwrap_err().to_string()
}

/// The error of a file of these bytes, without its path.
fn decode_error(name: &str, bytes: &[u8]) -> String {
    let folder = folder(&[(name, bytes)]);
    let path = folder.path().join(name);
    let text = Image::open(&path).unwrap_err().to_string();
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("{text}")).into()
}

#[test]
fn files_are_decoded_as_by_pillow() {
    for (name, channels, tolerance) in [
        ("baseline.jpg", 3, 3),
        // Colors at half the resolution, which decoders interpolate differently.
        ("subsampled.jpg", 3, 10),
        ("progressive.jpg", 3, 10),
        ("gray.jpg", 1, 1),
        ("cmyk.jpg", 3, 4),
        ("rgb.png", 3, 0),
        ("palette.png", 3, 0),
        ("gray.png", 1, 0),
        ("bilevel.png", 1, 0),
        ("rgba.png", 3, 0),
    ] {
        let image = Image::open(fixtures().join(name)).unwrap();
        let expected = read_idx(fixtures().join(format!("{name}.idx"))).unwrap();
        let shape = [image.height(), image.width(), 3];
        assert_eq!((image.channels(), &shape[..]), (channels, &expected.shape[..]), "{name}");
        let rgb = image.to_rgb();
        let pairs = rgb.bytes().iter().zip(&expected.bytes);
        let most = pairs.map(|(found, expected)| found.abs_diff(*expected)).max().unwrap();
        assert!(most <= tolerance, "{name}: {most}");
    }
}

#[test]
fn a_folder_is_its_classes_and_files_sorted() {
    let (png, jpg) = (&encoded(ImageFormat::Png)[..], &encoded(ImageFormat::Jpeg)[..]);
    let gray = &fs::read(fixtures().join("gray.png")).unwrap()[..];
    let folder = folder(&[
        ("dog/2.PNG", png),
        ("dog/10.jpeg", jpg),
        ("cat/more/a.png", gray),
        ("cat/z.jpg", png), // the bytes decide
        ("cat/._z.jpg", b"hidden"),
        ("cat/notes.txt", b"not an image"),
        (".git/x.png", png),
        ("readme.md", b"beside the classes"),
    ]);
    let images = ImageFolder::open(folder.path()).unwrap();
    assert_eq!(images.class_names(), ["cat", "dog"]);
    assert_eq!(images.labels(), [0, 0, 1, 1]);
    let names: Vec<_> =
        (0..4).map(|i| images.path(i).strip_prefix(folder.path()).unwrap()).collect();
    assert_eq!(names, ["cat/z.jpg", "cat/more/a.png", "dog/10.jpeg", "dog/2.PNG"].map(Path::new));
    let (image, class) = images.get(3).unwrap();
    assert_eq!((image.height(), image.width(), image.channels(), class), (30, 40, 3, 1));
    assert_eq!(images.get(1).unwrap().0.channels(), 3);
}

#[test]
fn folders_without_images_are_errors() {
    let png = &encoded(ImageFormat::Png)[..];
    let empty = folder(&[]);
    let text = open_error(empty.path());
    assert!(
        text.ends_with(": found no folder in it, expected one folder for each class"),
        "{text}"
    );
    assert!(open_error(&empty.path().join("missing")).contains("missing: "));
    let flat = folder(&[("1.png", png)]);
    assert!(open_error(flat.path()).contains("found no folder in it"));
    assert!(open_error(&flat.path().join("1.png")).contains("1.png: "));
    let one = folder(&[("cat/1.png", png), ("dog/notes.txt", b"")]);
    let text = open_error(one.path());
    let expected =
        "dog: found no image in it, expected files with the extension .png, .jpg or .jpeg";
    assert!(text.ends_with(expected), "{text}");
}

#[cfg(unix)]
#[test]
fn unreadable_folders_and_links_are_errors() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    let png = &encoded(ImageFormat::Png)[..];
    let folder = folder(&[("cat/1.png", png), ("dog/1.png", png)]);
    let dog = folder.path().join("dog");
    symlink("1.png", dog.join("2.png")).unwrap();
    assert_eq!(ImageFolder::open(folder.path()).unwrap().len(), 3);
    for target in [".", "..", "../cat/../dog"] {
        symlink(target, dog.join("loop")).unwrap();
        let text = open_error(folder.path());
        let expected = "which contains it, expected a folder of images";
        assert!(text.contains("loop: found a link to ") && text.ends_with(expected), "{text}");
        fs::remove_file(dog.join("loop")).unwrap();
    }
    // The same images twice, but not a loop.
    symlink("../cat", dog.join("cats")).unwrap();
    assert_eq!(ImageFolder::open(folder.path()).unwrap().labels(), [0, 1, 1, 1]);
    // The folder of a class may be missing.
    symlink("nothing", folder.path().join("bird")).unwrap();
    assert!(open_error(folder.path()).contains("bird: "));
    fs::remove_file(folder.path().join("bird")).unwrap();

    let invalid = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&invalid).unwrap();
    assert!(open_error(folder.path()).contains("found a name that is not UTF-8"));
    fs::remove_dir(invalid).unwrap();

    fs::set_permissions(&dog, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&dog).is_err() {
        // Root may read it.
        assert!(open_error(folder.path()).contains("dog: "), "{}", open_error(folder.path()));
    }
    fs::set_permissions(&dog, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn truncated_files_are_errors() {
    let progressive = fs::read(fixtures().join("progressive.jpg")).unwrap();
    for (name, bytes) in [
        ("x.png", encoded(ImageFormat::Png)),
        ("x.jpg", encoded(ImageFormat::Jpeg)),
        ("x.jpg", progressive),
    ] {
        let kind = if name == "x.png" { "PNG" } else { "JPEG" };
        for len in
            [30, 60, bytes.len() / 4, bytes.len() / 2, bytes.len() * 9 / 10, bytes.len() - 20]
        {
            let text = decode_error(name, &bytes[..len]);
            assert!(text.starts_with(&format!("found a damaged {kind} image: ")), "{len}: {text}");
        }
        // What cameras append does no harm.
        let longer = folder(&[(name, &[&bytes[..], &[0; 100]].concat())]);
        assert!(Image::open(longer.path().join(name)).is_ok(), "{name}");
    }
    let jpg = encoded(ImageFormat::Jpeg);
    assert!(decode_error("x.jpg", &jpg[..jpg.len() - 1]).contains("its end is missing"));
}

#[test]
fn changed_bytes_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let mut errors = 0;
    for name in ["baseline.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "rgba.png"] {
        let whole = fs::read(fixtures().join(name)).unwrap();
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = next() % bytes.len();
                bytes[at] = next() as u8;
            }
            fs::write(&path, bytes).unwrap();
            errors += usize::from(Image::open(&path).is_err());
        }
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn other_files_are_errors() {
    for bytes in [&b"This is a text."[..], b"GIF89a....", b"RIFF\0\0\0\0WEBP", &[0; 100]] {
        let text = decode_error("x.png", bytes);
        assert_eq!(text, "found another format, expected a PNG or JPEG image");
    }
    assert_eq!(decode_error("x.png", b""), "found an empty file, expected a PNG or JPEG image");
}

/// A PNG file whose header claims this size, with the data of a small image.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

#[test]
fn sizes_are_limited() {
    let text = decode_error("x.png", &claiming(65_535, 65_535));
    let expected = "found an image of 65535 × 65535 pixels, expected at most 89478485 pixels";
    assert_eq!(text, expected);
    assert!(decode_error("x.png", &claiming(0, 10)).contains("damaged PNG"));
    let mut jpg = encoded(ImageFormat::Jpeg);
    let frame = jpg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    jpg[frame + 5..frame + 9].fill(0xff);
    assert_eq!(decode_error("x.jpg", &jpg), expected);

    let folder = folder(&[("cat/1.png", &encoded(ImageFormat::Png))]);
    let images = ImageFolder::open(folder.path()).unwrap();
    assert!(images.clone().max_pixels(1200).get(0).is_ok());
    let text = images.max_pixels(1199).get(0).unwrap_err().to_string();
    assert!(text.ends_with("found an image of 30 × 40 pixels, expected at most 1199 pixels"));
}

#[test]
fn one_damaged_image_is_named_or_skipped() {
    let png = encoded(ImageFormat::Png);
    let folder = folder(&[
        ("cat/1.png", &png),
        ("cat/2.png", &png[..200]),
        ("cat/3.png", &png),
        ("dog/1.png", &png),
    ]);
    for workers in [0, 2] {
        let images = ImageFolder::open(folder.path()).unwrap();
        let mut loader = DataLoader::new(images, 4).workers(workers);
        let error = loader.try_next_batch().unwrap_err();
        assert_eq!(error.index(), Some(1));
        assert!(error.to_string().contains("cat/2.png: found a damaged PNG image"), "{error}");
        let mut loader = loader.skip_errors(|_| ());
        let batch = loader.next_batch();
        assert_eq!((batch.inputs.shape(), batch.targets), (&[3, 3, 30, 40][..], vec![0, 0, 1]));
        assert_eq!(loader.skipped(), 1);
    }
}

/// Other formats and broken links are part of the class, whatever the name of a link is.
#[cfg(unix)]
#[test]
fn images_that_cannot_be_loaded_are_skipped_and_counted() {
    let png = &encoded(ImageFormat::Png)[..];
    let folder = folder(&[("cat/1.png", png), ("cat/2.webp", b"RIFF\0\0\0\0WEBP")]);
    for (link, target) in [("3.png", "nothing"), ("4", "nothing"), ("5", "5")] {
        std::os::unix::fs::symlink(target, folder.path().join("cat").join(link)).unwrap();
    }
    let images = ImageFolder::open(folder.path()).unwrap();
    let error = |index: usize| images.get(index).unwrap_err().to_string();
    let expected = "2.webp: found another format, expected a PNG or JPEG image";
    assert!(error(1).ends_with(expected), "{}", error(1));
    for (index, name) in [(2, "3.png: "), (3, "4: "), (4, "5: ")] {
        assert!(error(index).contains(name), "{}", error(index));
    }
    let mut loader = DataLoader::new(images, 5).skip_errors(|_| ());
    assert_eq!((loader.next_batch().targets, loader.skipped()), (vec![0], 4));
}

#[test]
fn the_length_of_a_file_is_limited() {
    for (format, most) in [(ImageFormat::Png, 8 * 1200), (ImageFormat::Jpeg, 4 * 1200)] {
        let mut bytes = encoded(format);
        let most = most + (1 << 20);
        bytes.resize(most, 0);
        let folder = folder(&[("cat/1.png", &bytes)]);
        let images = ImageFolder::open(folder.path()).unwrap().max_pixels(1200);
        assert!(images.get(0).is_ok());
        bytes.push(0);
        fs::write(images.path(0), bytes).unwrap();
        let text = images.get(0).unwrap_err().to_string();
        let expected = format!("found {} bytes, expected at most {most}, for an", most + 1);
        assert!(text.contains(&expected), "{text}");
    }
}
