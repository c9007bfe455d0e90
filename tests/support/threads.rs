//! Checks that bits do not depend on the number of threads.

use std::process::Command;

/// Asserts that `digest` is the same on any number of threads. `test` is the caller's path: each
/// number of threads is a child process, in which the test computes its digest alone.
pub(crate) fn assert_same_on_any_number_of_threads(test: &str, digest: impl FnOnce() -> u64) {
    const CHILD: &str = "ADAMANT_TEST_DIGEST";
    if std::env::var_os(CHILD).is_some() {
        println!("digest {:016x}", digest());
        return;
    }
    let digest = |threads: &str| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact", test])
            .envs([(CHILD, "1"), ("RAYON_NUM_THREADS", threads)])
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let found = text.split("digest ").nth(1).and_then(|rest| rest.get(..16));
        found.unwrap_or_else(|| panic!("no digest in {text}")).to_string()
    };
    let expected = digest("1");
    for threads in ["1", "2", "2", "3", "8", "8"] {
        assert_eq!(digest(threads), expected, "{threads} threads");
    }
}
