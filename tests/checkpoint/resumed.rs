//! A run of 2n steps, and a run of n steps that is saved, loaded in a fresh process with another
//! number of threads, and trained for n more: they have equal bits.

use crate::run::{NETS, PLANS, Run, images};
use crate::{child, order};
use adamant::prelude::*;
use std::path::Path;

/// Inside the second epoch of seven batches.
const HALF: usize = 9;
const TEST: &str = "resumed::a_resumed_run_ends_in_the_same_bits";

/// Resumes each run from its file, in a run that was built differently.
fn second_halves(folder: &Path, suffix: &str) {
    let data = images();
    for (net, make_net) in NETS {
        for (plan, make_plan) in PLANS {
            let mut run = Run::new(&data, make_net, make_plan, 999);
            run.thaw();
            run.advance(2);
            run.restore(&Checkpoint::load(folder.join(format!("{net}-{plan}.half"))).unwrap());
            let losses = run.advance(HALF);
            let done = run.checkpoint().note("losses", format!("{losses:?}"));
            done.save(folder.join(format!("{net}-{plan}.{suffix}"))).unwrap();
        }
    }
}

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    if let Some((work, folder)) = order() {
        return second_halves(&folder, &work);
    }
    let folder = tempfile::tempdir().unwrap();
    let data = images();
    let path = |name: &str, suffix: &str| folder.path().join(format!("{name}.{suffix}"));
    for (net, make_net) in NETS {
        for (plan, make_plan) in PLANS {
            let mut straight = Run::new(&data, make_net, make_plan, 1);
            straight.advance(4);
            straight.thaw();
            straight.advance(HALF - 4);
            let name = format!("{net}-{plan}");
            // Training continues before the snapshot is written; the file must not show it.
            let half = straight.checkpoint();
            let losses = straight.advance(HALF);
            half.save(path(&name, "half")).unwrap();
            let done = straight.checkpoint().note("losses", format!("{losses:?}"));
            done.save(path(&name, "done")).unwrap();
        }
    }
    for threads in ["1", "3"] {
        let mut child = child(TEST, threads, folder.path());
        let out = child.env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        for (net, _) in NETS {
            for (plan, _) in PLANS {
                let name = format!("{net}-{plan}");
                let [expected, found] =
                    ["done", threads].map(|suffix| std::fs::read(path(&name, suffix)).unwrap());
                assert!(expected == found, "{name} on {threads} threads");
            }
        }
    }
}
