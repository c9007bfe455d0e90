use super::*;
use crate::dataset::Dataset;
use crate::sampler::WeightedRandomSampler;
use adamant_tensor::Tensor;
use adamant_tensor::{StateDict, Stateful};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The numbers below `n`: a batch is a vector of them.
fn numbers(n: usize) -> Vec<usize> {
    (0..n).collect()
}

fn all(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    batches.flatten().collect()
}

#[test]
fn an_epoch_is_a_new_permutation_of_all_samples() {
    let mut loader = DataLoader::new(numbers(100), 7).shuffle(&mut Generator::seed(0));
    let (first, second) = (all(loader.epoch()), all(loader.epoch()));
    assert_ne!(first, second);
    for mut epoch in [first, second] {
        assert!(!epoch.is_sorted());
        epoch.sort_unstable();
        assert_eq!(epoch, numbers(100));
    }
}

#[test]
fn the_last_batch_can_be_dropped() {
    let sizes = |mut loader: DataLoader<Vec<usize>>| -> Vec<usize> {
        assert_eq!(loader.epoch().len(), loader.len());
        loader.epoch().map(|batch| batch.len()).collect()
    };
    assert_eq!(sizes(DataLoader::new(numbers(10), 4)), [4, 4, 2]);
    assert_eq!(sizes(DataLoader::new(numbers(10), 4).drop_last(true)), [4, 4]);
    assert_eq!(sizes(DataLoader::new(numbers(10), usize::MAX)), [10]);
}

#[test]
fn next_batch_continues_into_the_next_epoch() {
    let mut by_epoch = DataLoader::new(numbers(6), 4).shuffle(&mut Generator::seed(0));
    let mut by_batch = by_epoch.clone();
    let expected = [all(by_epoch.epoch()), all(by_epoch.epoch())].concat();
    assert_eq!(all((0..4).map(|_| by_batch.next_batch())), expected);
}

/// A loader whose samples and batches draw random numbers.
fn random(workers: usize) -> DataLoader<(Vec<i64>, u64)> {
    let noisy =
        numbers(10).augment(|index, rng| Ok((index as i64) << 32 | (rng.next_u64() >> 33) as i64));
    DataLoader::new(noisy, 3)
        .shuffle(&mut Generator::seed(4))
        .seed(5)
        .workers(workers)
        .map(|batch, rng| Ok((batch, rng.next_u64())))
}

#[test]
fn workers_change_nothing() {
    let mut plain = random(0);
    let expected: Vec<_> = (0..20).map(|_| plain.next_batch()).collect();
    assert!(expected[0] != expected[4] && expected[0].1 != expected[4].1);
    for workers in [1, 2, 4, 7] {
        let mut loader = random(workers);
        let found: Vec<_> = (0..20).map(|_| loader.next_batch()).collect();
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[test]
fn a_loaded_state_resumes_at_any_batch() {
    for workers in [0, 1, 4] {
        for steps in 0..10 {
            let mut straight = random(0);
            (0..steps).for_each(|_| drop(straight.next_batch()));
            let state = straight.state_dict();
            let mut other = random(workers).seed(77);
            (0..2).for_each(|_| drop(other.next_batch()));
            other.load_state_dict(&state).unwrap();
            assert_eq!(other.state_dict(), state);
            assert_eq!(other.batches_left(), straight.batches_left());
            for _ in 0..9 {
                assert_eq!(other.next_batch(), straight.next_batch(), "after {steps} batches");
            }
        }
    }
}

#[test]
fn an_epoch_without_a_returned_batch_is_resumed() {
    let mut loader = random(0);
    let epoch = loader.epoch();
    let mut other = random(2);
    other.load_state_dict(&loader.state_dict()).unwrap();
    assert_eq!(other.epoch().collect::<Vec<_>>(), epoch.collect::<Vec<_>>());
    (0..6).for_each(|_| assert_eq!(other.next_batch(), loader.next_batch()));
}

#[test]
fn epoch_resumes_the_epoch_of_a_loaded_state() {
    for workers in [0, 2] {
        let mut straight = random(0);
        (0..5).for_each(|_| drop(straight.next_batch()));
        let mut other = random(workers);
        other.load_state_dict(&straight.state_dict()).unwrap();
        let rest: Vec<_> = other.epoch().collect();
        assert_eq!(rest.len(), 3);
        assert_eq!(rest, (0..3).map(|_| straight.next_batch()).collect::<Vec<_>>());
        assert_eq!(other.epoch().len(), 4);
    }
}

#[test]
fn an_epoch_that_is_left_has_ended() {
    let mut straight = random(0);
    assert_eq!(straight.epoch().take(2).count(), 2);
    let mut other = random(2);
    other.load_state_dict(&straight.state_dict()).unwrap();
    assert_eq!(other.batches_left(), 0);
    assert_eq!(other.epoch().collect::<Vec<_>>(), straight.epoch().collect::<Vec<_>>());
}

#[test]
fn transforms_draw_different_numbers() {
    let draw = |_: Vec<usize>, rng: &mut Generator| Ok(vec![rng.next_u64()]);
    let again = |mut numbers: Vec<u64>, rng: &mut Generator| {
        numbers.push(rng.next_u64());
        Ok(numbers)
    };
    let mut loader = DataLoader::new(numbers(4), 2).map(draw).map(again);
    let drawn: Vec<u64> = loader.epoch().flatten().collect();
    assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{drawn:?}");
}

#[test]
fn a_sample_drawn_twice_is_transformed_twice() {
    let sampler = WeightedRandomSampler::new(vec![1.0], 4).unwrap();
    let noise = vec![0usize].augment(|_, rng| Ok(rng.next_u64() as i64));
    let mut loader = DataLoader::new(noise, 2).sampler(sampler, &mut Generator::seed(0));
    let drawn: Vec<i64> = loader.epoch().flatten().collect();
    assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{drawn:?}");
}

#[test]
fn transforms_follow_the_generator_of_shuffle() {
    let first = |seed, explicit: Option<u64>| {
        let noise = vec![0usize].augment(|_, rng| Ok(rng.next_u64() as i64));
        let loader = DataLoader::new(noise, 1).shuffle(&mut Generator::seed(seed));
        explicit.into_iter().fold(loader, DataLoader::seed).next_batch()
    };
    assert_ne!(first(0, None), first(1, None));
    assert_eq!(first(0, Some(7)), first(1, Some(7)));
}

#[test]
fn options_restart_a_used_loader() {
    let mut used = random(0);
    (0..6).for_each(|_| drop(used.next_batch()));
    let (mut used, mut fresh) = (used.drop_last(true), random(0).drop_last(true));
    assert_eq!(used.state_dict(), fresh.state_dict());
    (0..5).for_each(|_| assert_eq!(used.next_batch(), fresh.next_batch()));
}

#[test]
fn errors_and_panics_name_the_sample() {
    for workers in [0, 2] {
        let data = numbers(9).map(|i| match i {
            4 => Err(DataError::from("damaged")),
            7 => panic!("no more room for {i}"),
            i => Ok(i),
        });
        let mut loader = DataLoader::new(data, 3).workers(workers);
        let batches: Vec<_> = loader.try_epoch().collect();
        assert_eq!(batches[0].as_ref().unwrap(), &[0, 1, 2]);
        assert_eq!(batches[1].as_ref().unwrap_err().to_string(), "sample 4: damaged");
        let error = batches[2].as_ref().unwrap_err();
        assert_eq!(error.to_string(), "sample 7: panicked: no more room for 7");
        assert_eq!(error.index(), Some(7));
    }
}

#[test]
#[should_panic(expected = "epoch: sample 2: damaged")]
fn an_epoch_panics_with_the_sample() {
    let data = numbers(3).map(|i| if i == 2 { Err("damaged".into()) } else { Ok(i) });
    let _ = all(DataLoader::new(data, 3).epoch());
}

#[test]
#[should_panic(expected = "in a transform")]
fn panics_outside_a_sample_are_raised_again() {
    let loader = DataLoader::new(numbers(3), 3).workers(1);
    let _ = loader.map::<usize>(|_, _| panic!("in a transform")).next_batch();
}

#[test]
fn errors_can_be_skipped() {
    for workers in [0, 3] {
        let data = numbers(12).map(|i| if i % 5 == 4 { Err("damaged".into()) } else { Ok(i) });
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let mut loader = DataLoader::new(data, 4).workers(workers).skip_errors(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(all(loader.epoch()), [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]);
        assert_eq!((loader.skipped(), seen.load(Ordering::Relaxed)), (2, 2));
    }
    let none = numbers(2).map::<usize, _>(|_| Err("damaged".into()));
    let mut loader = DataLoader::new(none, 2).skip_errors(|_| ());
    assert_eq!(loader.try_next_batch().unwrap_err().to_string(), "sample 1: damaged");
}

#[test]
fn panics_are_not_skipped() {
    let data = numbers(4).map(|i| if i == 2 { panic!("a mistake") } else { Ok(i) });
    let mut loader = DataLoader::new(data, 4).skip_errors(|_| ());
    let error = loader.try_next_batch().unwrap_err().to_string();
    assert_eq!(error, "sample 2: panicked: a mistake");
}

#[test]
fn samples_of_other_shapes_are_not_skipped() {
    let data = vec![1, 2, 1].map(|n: usize| Ok(Tensor::<f32>::ones([n])));
    let mut loader = DataLoader::new(data, 3).skip_errors(|_| ());
    let error = loader.try_next_batch().unwrap_err().to_string();
    assert!(error.starts_with("sample 1: found shape [2], expected [1]"), "{error}");
}

#[test]
fn errors_of_transforms_name_the_batch() {
    let fail = |_: Vec<usize>, _: &mut Generator| -> Result<usize, _> { Err("too small".into()) };
    let mut loader = DataLoader::new(numbers(4), 2).map(fail);
    let error = loader.try_epoch().last().unwrap().unwrap_err().to_string();
    assert_eq!(error, "batch 1 of the epoch: too small");
}

#[test]
fn few_batches_are_ahead_of_a_slow_caller() {
    let loaded = Arc::new(AtomicUsize::new(0));
    let counted = loaded.clone();
    let data = numbers(1000).map(move |i| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(i)
    });
    let mut loader = DataLoader::new(data, 1).workers(3);
    for taken in 1..20 {
        drop(loader.next_batch());
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(loaded.load(Ordering::Relaxed) <= taken + 6);
    }
    drop(loader); // does not wait for the rest
    assert!(loaded.load(Ordering::Relaxed) < 30);
}

#[test]
fn a_state_of_another_loader_changes_nothing() {
    let rng = &mut Generator::seed(0);
    let saved = DataLoader::new(numbers(12), 5).shuffle(rng).drop_last(true);
    let mut loader = DataLoader::new(numbers(10), 4);
    let before = loader.state_dict();
    let error = loader.load_state_dict(&saved.state_dict()).unwrap_err().to_string();
    for line in [
        "`samples`: found 12, expected 10",
        "`batch_size`: found 5, expected 4",
        "`drop_last`: found true, expected false",
        "`sampler`: found random, expected sequential",
    ] {
        assert!(error.contains(line), "{line}: {error}");
    }
    assert_eq!(loader.state_dict(), before);

    let mut loader = DataLoader::new(numbers(10), 4).shuffle(&mut Generator::seed(0));
    for (returned, fits) in [(-4, false), (0, true), (3, false), (8, true), (10, true), (12, false)]
    {
        let mut state = loader.state_dict();
        state.insert("returned", returned);
        assert_eq!(loader.load_state_dict(&state).is_ok(), fits, "{returned}");
    }
    let error = loader.load_state_dict(&StateDict::new()).unwrap_err();
    assert_eq!(error.mismatches().len(), 11, "{error}");
}

#[test]
fn an_empty_set_is_an_error() {
    let mut loader = DataLoader::new(numbers(0), 4);
    let items: Vec<_> = loader.try_epoch().collect();
    let [Err(error)] = &items[..] else { panic!("{items:?}") };
    assert_eq!(error.to_string(), "DataLoader: found 0 samples, expected at least one batch of 4");
    let epoch = std::panic::AssertUnwindSafe(|| drop(loader.epoch()));
    assert!(std::panic::catch_unwind(epoch).is_err());
}

#[test]
#[should_panic(expected = "StratifiedSampler: found 2 classes, expected one for each of 3 samples")]
fn a_sampler_is_checked_at_once() {
    let sampler = crate::StratifiedSampler::new(vec![0, 1]);
    let _ = DataLoader::new(numbers(3), 1).sampler(sampler, &mut Generator::seed(0));
}

#[test]
#[should_panic(expected = "3 samples, expected at least one batch of 4 with drop_last")]
fn a_loader_without_batches_panics() {
    let _ = DataLoader::new(numbers(3), 4).drop_last(true).next_batch();
}
