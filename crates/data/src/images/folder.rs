//! A folder of images with a subfolder for each class.

use super::decode::{MAX_PIXELS, read};
use super::image::Image;
use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;
use adamant_files::FileError;
use std::fs;
use std::path::{Path, PathBuf};

/// Images in a folder with one subfolder for each class. Requires the feature `image`.
///
/// ```text
/// animals/cat/1.png      class 0
/// animals/cat/2.jpg      class 0
/// animals/dog/a/7.jpeg   class 1
/// ```
///
/// The classes are sorted by name, and so are the images of each class, those in its subfolders
/// last. Links are followed. Hidden files and folders are ignored, and so is a file whose extension
/// is not that of an image. A sample is an RGB image, also if it is stored as gray, and its class.
///
/// Opening it lists the files. An image is decoded when it is loaded, by the worker that loads it,
/// and is not kept. One that is damaged, of another format than PNG and JPEG, or behind a broken
/// link is an error with its path, which [`skip_errors`](crate::DataLoader::skip_errors) skips and
/// counts.
///
/// PyTorch: `torchvision.datasets.ImageFolder`.
///
/// ```
/// use adamant_data::{DataLoader, Dataset, ImageFolder, RandomHorizontalFlip, RandomResizedCrop};
/// use adamant_tensor::Generator;
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # for (class, color) in [("cat", 10), ("dog", 200)] {
/// #     std::fs::create_dir(folder.join(class)).unwrap();
/// #     image::RgbImage::from_pixel(40, 30, image::Rgb([color; 3]))
/// #         .save(folder.join(class).join("1.png"))
/// #         .unwrap();
/// # }
/// let images = ImageFolder::open(folder).unwrap();
/// assert_eq!(images.class_names(), ["cat", "dog"]);
/// let (crop, flip) = (RandomResizedCrop::new(24, 24), RandomHorizontalFlip::new());
/// let images = images.augment(move |(image, class), rng| {
///     let image = flip.apply(crop.apply(image, rng), rng);
///     Ok((image.normalize(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]), class))
/// });
/// let mut loader = DataLoader::new(images, 2).shuffle(&mut Generator::seed(0)).workers(2);
/// assert_eq!(loader.next_batch().inputs.shape(), [2, 3, 24, 24]);
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    class_names: Vec<String>,
    files: Vec<File>,
    max_pixels: u64,
}

#[derive(Clone, Debug)]
struct File {
    path: Box<Path>,
    class: usize,
}

impl ImageFolder {
    /// The images in a folder.
    ///
    /// # Errors
    /// If a folder cannot be read; if there are no class folders, or one of them has no images; if a
    /// link beside the class folders is broken, or leads to a folder that contains it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = folder.as_ref();
        let Listing { files, folders: classes } = Listing::read(folder)?;
        // It may be the folder of a class, which would be missing silently.
        for path in files {
            fs::metadata(&path).map_err(|error| FileError::io(&path, error))?;
        }
        if classes.is_empty() {
            let expected = "one folder for each class";
            return Err(FileError::format(folder, "no folder in it", expected));
        }
        let (mut class_names, mut files) = (Vec::new(), Vec::new());
        let mut ancestors = vec![canonical(folder)?];
        for (class, path) in classes.into_iter().enumerate() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                let found = "a name that is not UTF-8";
                return Err(FileError::format(&path, found, "the name of a class"));
            };
            class_names.push(name.into());
            let first = files.len();
            add_images(&path, class, &mut ancestors, &mut files)?;
            if files.len() == first {
                let expected = "files with the extension .png, .jpg or .jpeg";
                return Err(FileError::format(&path, "no image in it", expected));
            }
        }
        files.shrink_to_fit();
        Ok(ImageFolder { class_names, files, max_pixels: MAX_PIXELS })
    }

    /// The pixels of the largest image that is decoded; default 89,478,485, Pillow's limit. A
    /// larger one is an error: a file of a few bytes may claim any size.
    ///
    /// Decoding takes up to twenty bytes for each pixel, in each worker: with the default, 1.8 GB.
    #[must_use]
    pub fn max_pixels(self, max_pixels: u64) -> Self {
        ImageFolder { max_pixels, ..self }
    }

    /// The names of the classes, in their order: those of the folders.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The file of the image at `index`.
    ///
    /// # Panics
    /// If `index` is not below the number of images.
    #[must_use]
    #[track_caller]
    pub fn path(&self, index: usize) -> &Path {
        &self.file(index).path
    }

    #[track_caller]
    fn file(&self, index: usize) -> &File {
        let len = self.files.len();
        assert!(index < len, "ImageFolder: index is {index}; expected less than {len}");
        &self.files[index]
    }
}

impl Dataset for ImageFolder {
    type Sample = (Image, usize);

    fn len(&self) -> usize {
        self.files.len()
    }

    fn get(&self, index: usize) -> Result<(Image, usize), DataError> {
        let File { path, class } = self.file(index);
        let image = read(path, self.max_pixels)?;
        Ok((if image.channels() == 3 { image } else { image.to_rgb() }, *class))
    }
}

impl Labeled for ImageFolder {
    fn label(&self, index: usize) -> usize {
        self.file(index).class
    }
}

/// Adds the images below a folder. `ancestors` are the canonical paths of the folders above it.
fn add_images(
    folder: &Path,
    class: usize,
    ancestors: &mut Vec<PathBuf>,
    files: &mut Vec<File>,
) -> Result<(), FileError> {
    let target = canonical(folder)?;
    if ancestors.contains(&target) {
        let found = format!("a link to {}, which contains it", target.display());
        return Err(FileError::format(folder, found, "a folder of images"));
    }
    let listing = Listing::read(folder)?;
    let images = listing.files.into_iter().filter(|path| is_image(path));
    files.extend(images.map(|path| File { path: path.into(), class }));
    ancestors.push(target);
    for folder in &listing.folders {
        add_images(folder, class, ancestors, files)?;
    }
    ancestors.pop();
    Ok(())
}

/// The path without links, of which each folder has one.
fn canonical(folder: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(folder).map_err(|error| FileError::io(folder, error))
}

/// Whether a file counts as an image: by its extension, or because it is a broken link, which may
/// have led to images. One that cannot be loaded is an error when its sample is: left out silently,
/// a class would be smaller than its folder.
fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some(
            "bmp" | "gif" | "heic" | "jpeg" | "jpg" | "pgm" | "png" | "ppm" | "tif" | "tiff"
            | "webp",
        ) => true,
        _ => fs::metadata(path).is_err(),
    }
}

/// The visible entries of a folder, sorted. Links are followed; a broken one is a file.
struct Listing {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self, FileError> {
        let io = |error| FileError::io(folder, error);
        let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| FileError::io(&path, error))?;
            if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                listing.folders.push(path);
            } else {
                listing.files.push(path);
            }
        }
        listing.files.sort_unstable();
        listing.folders.sort_unstable();
        Ok(listing)
    }
}
