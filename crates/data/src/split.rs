//! Parts of a data set: random, stratified, for cross-validation.

use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;
use crate::sampler::by_class;
use crate::subset::Subset;
use adamant_tensor::Generator;

/// Splits a data set at random into parts with these fractions of its samples.
///
/// The fractions need not add up to 1: the rest is left out. Each part has its fraction of the
/// samples, rounded such that fractions that add up to 1 leave none out.
///
/// PyTorch: `torch.utils.data.random_split`.
///
/// # Errors
/// If a fraction is not within `(0, 1]`, they add up to more than 1, or a part would be empty.
///
/// ```
/// use adamant_data::random_split;
/// use adamant_tensor::Generator;
/// let data: Vec<usize> = (0..10).collect();
/// let [train, test] = random_split(data, [0.8, 0.2], &mut Generator::seed(0)).unwrap();
/// assert_eq!((train.len(), test.len()), (8, 2));
/// ```
pub fn random_split<D: Dataset, const N: usize>(
    data: D,
    fractions: [f64; N],
    rng: &mut Generator,
) -> Result<[Subset<D>; N], DataError> {
    check_fractions("random_split", &fractions)?;
    let mut order: Vec<usize> = (0..data.len()).collect();
    rng.shuffle(&mut order);
    let cuts = cuts(order.len(), &fractions);
    let mut parts = fractions.map(|_| Vec::new());
    for (part, &[start, end]) in parts.iter_mut().zip(&cuts) {
        part.extend_from_slice(&order[start..end]);
    }
    subsets("random_split", data, parts)
}

/// [`random_split`] with the fractions of each class: every part has about the same classes.
///
/// scikit-learn: `train_test_split(…, stratify=labels)`.
///
/// # Errors
/// Like [`random_split`].
///
/// ```
/// use adamant_data::{Labeled, stratified_split};
/// use adamant_tensor::Generator;
/// let classes: Vec<usize> = (0..20).map(|i| usize::from(i < 5)).collect();
/// let [_, test] = stratified_split(classes, [0.8, 0.2], &mut Generator::seed(0)).unwrap();
/// assert_eq!(test.labels().iter().sum::<usize>(), 1); // of 4
/// ```
pub fn stratified_split<D: Labeled, const N: usize>(
    data: D,
    fractions: [f64; N],
    rng: &mut Generator,
) -> Result<[Subset<D>; N], DataError> {
    check_fractions("stratified_split", &fractions)?;
    // What rounding withholds from a part in one class, or lends it, is settled in the next ones.
    let mut parts = fractions.map(|_| Vec::new());
    let mut owed = [0.0; N];
    let complete = fractions.iter().sum::<f64>() > 1.0 - 1e-9;
    for mut members in by_class(&data.labels()) {
        rng.shuffle(&mut members);
        let count = members.len() as f64;
        owed.iter_mut().zip(&fractions).for_each(|(owed, fraction)| *owed += fraction * count);
        let mut members = members.into_iter();
        for (part, owed) in parts.iter_mut().zip(&mut owed) {
            let whole = (*owed + 1e-9).floor().max(0.0).min(members.len() as f64);
            *owed -= whole;
            part.extend(members.by_ref().take(whole as usize));
        }
        // Fractions that add up to 1 leave none out: the rest is for the parts that are owed most.
        for index in members.filter(|_| complete) {
            let most = (0..N).max_by(|&a, &b| owed[a].total_cmp(&owed[b])).unwrap_or(0);
            owed[most] -= 1.0;
            parts[most].push(index);
        }
    }
    for part in &mut parts {
        rng.shuffle(part); // not sorted by class
    }
    subsets("stratified_split", data, parts)
}

/// A fold of a cross-validation: [`k_fold`].
#[derive(Debug)]
pub struct Fold<D> {
    /// The samples of the other folds.
    pub train: Subset<D>,
    /// The samples of this fold.
    pub test: Subset<D>,
}

/// Cuts a data set into `k` folds at random, each of which is tested on once: cross-validation.
///
/// The sizes of the folds differ by at most one.
///
/// scikit-learn: `KFold(k, shuffle=True)`.
///
/// # Errors
/// If `k` is below 2, or there are fewer than `k` samples.
///
/// ```
/// use adamant_data::k_fold;
/// use adamant_tensor::Generator;
/// let data: Vec<usize> = (0..10).collect();
/// for fold in k_fold(data, 5, &mut Generator::seed(0)).unwrap() {
///     assert_eq!((fold.train.len(), fold.test.len()), (8, 2));
/// }
/// ```
pub fn k_fold<D: Dataset>(
    data: D,
    k: usize,
    rng: &mut Generator,
) -> Result<Vec<Fold<D>>, DataError> {
    let len = data.len();
    if k < 2 || len < k {
        let found = format!("{k} folds of {len} samples");
        let expected = "at least 2 folds, and a sample for each".into();
        return Err(DataError::Unfit { operation: "k_fold", found, expected });
    }
    let mut order: Vec<usize> = (0..len).collect();
    rng.shuffle(&mut order);
    let all = Subset::all(data);
    let fold = |i| {
        let (start, end) = (len * i / k, len * (i + 1) / k);
        let train = [&order[..start], &order[end..]].concat();
        Fold { train: all.select(&train), test: all.select(&order[start..end]) }
    };
    Ok((0..k).map(fold).collect())
}

fn check_fractions(operation: &'static str, fractions: &[f64]) -> Result<(), DataError> {
    let valid = fractions.iter().all(|&fraction| fraction > 0.0 && fraction <= 1.0);
    if !valid || fractions.iter().sum::<f64>() > 1.0 + 1e-9 {
        let found = format!("the fractions {fractions:?}");
        let expected = "fractions above 0 that add up to at most 1".into();
        return Err(DataError::Unfit { operation, found, expected });
    }
    Ok(())
}

/// Where each part starts and ends.
fn cuts(len: usize, fractions: &[f64]) -> Vec<[usize; 2]> {
    let mut sum = 0.0;
    let mut start = 0;
    let cut = |fraction| {
        sum += fraction;
        let end = ((sum * len as f64).round() as usize).min(len);
        [std::mem::replace(&mut start, end), end]
    };
    fractions.iter().map(cut).collect()
}

fn subsets<D: Dataset, const N: usize>(
    operation: &'static str,
    data: D,
    parts: [Vec<usize>; N],
) -> Result<[Subset<D>; N], DataError> {
    if let Some(part) = parts.iter().position(Vec::is_empty) {
        let found = format!("{} samples, none of them for part {part}", data.len());
        return Err(DataError::Unfit { operation, found, expected: "a sample for each".into() });
    }
    let all = Subset::all(data);
    Ok(parts.map(|part| all.select(&part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members<D>(parts: &[Subset<D>]) -> Vec<usize>
    where
        D: Dataset,
    {
        let mut all: Vec<usize> = parts.iter().flat_map(|part| part.indices().to_vec()).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn parts_are_disjoint_and_complete() {
        for len in [3, 10, 101] {
            let classes: Vec<usize> = (0..len).map(|i| i * i % 5).collect();
            let mut rng = Generator::seed(len as u64);
            if len > 3 {
                let parts = random_split(classes.clone(), [0.5, 0.2, 0.3], &mut rng).unwrap();
                assert_eq!(members(&parts), (0..len).collect::<Vec<_>>());
                let parts = stratified_split(classes.clone(), [0.5, 0.2, 0.3], &mut rng).unwrap();
                assert_eq!(members(&parts), (0..len).collect::<Vec<_>>());
                for (part, fraction) in parts.iter().zip([0.5, 0.2, 0.3]) {
                    let off = part.len() as f64 - fraction * len as f64;
                    assert!(off.abs() <= 2.0, "{off}");
                }
            }
            let folds = k_fold(classes, 3, &mut rng).unwrap();
            let tests: Vec<_> = folds.iter().map(|fold| fold.test.clone()).collect();
            assert_eq!(members(&tests), (0..len).collect::<Vec<_>>());
            for Fold { train, test } in folds {
                assert_eq!(members(&[train, test]), (0..len).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_class_is_split() {
        let classes: Vec<usize> = (0..1000).map(|i| usize::from(i % 10 == 0)).collect();
        let parts = stratified_split(classes, [0.7, 0.1], &mut Generator::seed(0)).unwrap();
        let ones = parts.each_ref().map(|part| part.labels().iter().sum::<usize>());
        assert_eq!((parts.each_ref().map(Subset::len), ones), ([700, 100], [70, 10]));
        assert!(!parts[0].labels().is_sorted());
    }

    #[test]
    fn many_small_classes_are_split_in_proportion() {
        for (size, fractions) in
            [(5, [0.9, 0.05, 0.05]), (2, [0.6, 0.2, 0.2]), (1, [0.8, 0.1, 0.1])]
        {
            let classes: Vec<usize> = (0..1000 * size).map(|i| i / size).collect();
            let parts = stratified_split(classes, fractions, &mut Generator::seed(0)).unwrap();
            for (part, fraction) in parts.iter().zip(fractions) {
                let off = part.len() as f64 - fraction * 1000.0 * size as f64;
                assert!(off.abs() <= 1.0 + 1e-6, "{size}: {} for {fraction}", part.len());
            }
        }
        let huge = vec![usize::MAX, 0, usize::MAX, 0];
        let parts = stratified_split(huge, [0.5, 0.5], &mut Generator::seed(0)).unwrap();
        assert!(parts.iter().all(|part| part.labels().contains(&usize::MAX)));
    }

    #[test]
    fn impossible_splits_are_errors() {
        let rng = &mut Generator::seed(0);
        let mut error = |fractions: [f64; 2], len| {
            random_split(vec![0; len], fractions, rng).map(drop).unwrap_err().to_string()
        };
        assert!(error([0.8, 0.3], 10).contains("found the fractions [0.8, 0.3]"));
        assert!(error([1.0, 0.0], 10).contains("expected fractions above 0"));
        assert!(error([0.9, 0.1], 1).contains("found 1 samples, none of them for part 1"));
        let error = k_fold(vec![0; 3], 4, rng).map(drop).unwrap_err().to_string();
        assert!(error.contains("found 4 folds of 3 samples"), "{error}");
    }
}
