//! A training loop has flat memory, and updates weights where they lie.

use adamant::memory_stats;
use adamant::prelude::*;

#[test]
fn a_thousand_steps_leave_memory_as_it_was() {
    let mut rng = Generator::seed(0);
    let model = Sequential::new()
        .add(Linear::new(20, 30, &mut rng))
        .add(Relu)
        .add(Dropout::new(0.1, &mut rng))
        .add(Linear::new(30, 5, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let data = Dataset::new(&Tensor::randn([200, 20], &mut rng), (0..200).map(|i| i % 5).collect());
    let data = data.unwrap();
    let mut loader = DataLoader::new(&data, 8).shuffle(&mut rng);
    let addresses = || -> Vec<usize> {
        let address = |p: Parameter| p.tensor().array().as_slice().unwrap().as_ptr().addr();
        model.parameters().into_iter().map(address).collect()
    };
    let mut step = || {
        let batch = loader.next_batch();
        adam.zero_grad(true);
        let loss = cross_entropy(&model.forward(&batch.inputs), &batch.targets);
        loss.backward();
        adam.step(); // while `loss` is alive
    };

    (0..3).for_each(|_| step());
    let (before, weights) = (memory_stats(), addresses());
    for _ in 0..1000 {
        step();
        assert_eq!(memory_stats(), before);
    }
    assert_eq!(addresses(), weights);
}
