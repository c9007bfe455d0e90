//! Checkpoints when system calls fail.

use adamant_checkpoint::{Checkpoint, load_safetensors};
use adamant_files::failing;
use adamant_nn::Linear;
use adamant_tensor::Generator;
use std::fs;
use std::io::ErrorKind;

#[test]
fn after_a_failed_call_a_checkpoint_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ckpt");
    let [old, new] = [0, 1].map(|seed| {
        let mut rng = Generator::seed(seed);
        Checkpoint::new().with("model", &Linear::new(300, 300, &mut rng))
    });
    old.save(&path).unwrap();
    let (result, calls) = failing(0..0, ErrorKind::Other, || new.save(&path));
    result.unwrap();
    assert!(calls.iter().filter(|&&call| call == "write").count() > 2, "{calls:?}");
    for (number, &call) in calls.iter().enumerate() {
        old.save(&path).unwrap();
        let fail = || failing(number..usize::MAX, ErrorKind::StorageFull, || new.save(&path));
        assert!(fail().0.is_err(), "{call}");
        let expected = if call == "sync folder" { &new } else { &old };
        assert_eq!(&Checkpoint::load(&path).unwrap(), expected, "{call}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{call}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opening it would wait for a writer.
    for error in [Checkpoint::load(&pipe).unwrap_err(), load_safetensors(&pipe).unwrap_err()] {
        let expected = "pipe: found a pipe or a device, expected a regular file";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}
