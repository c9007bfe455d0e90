//! Run-time SIMD: one loop, compiled for three machines.

/// Runs `kernel`, compiled for the widest vectors that this machine has.
///
/// The closure should be `#[inline(always)]`: what is inlined into the versions
/// below is compiled with their instructions. The versions differ in speed
/// only: Rust never contracts or reorders floating-point operations, so the
/// bits are the same.
///
/// ```
/// let mut x = vec![1.0f32; 100];
/// adamant_kernels::vectorize(
///     #[inline(always)]
///     || x.iter_mut().for_each(|x| *x *= 2.0),
/// );
/// assert_eq!(x, [2.0; 100]);
/// ```
#[inline]
pub fn vectorize<R>(kernel: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        fn avx512<R>(kernel: impl FnOnce() -> R) -> R {
            kernel()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(kernel: impl FnOnce() -> R) -> R {
            kernel()
        }
        match level() {
            // SAFETY: `level` has found every feature that the function enables.
            Level::Avx512 => return unsafe { avx512(kernel) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(kernel) },
            Level::Baseline => {}
        }
    }
    kernel() // on other architectures the baseline has vectors and fma already
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
enum Level {
    Baseline,
    Avx2,
    Avx512,
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn level() -> Level {
    use std::arch::is_x86_feature_detected as has;
    // Each test is one load of a word that std caches.
    if has!("avx512f")
        && has!("avx512vl")
        && has!("avx512dq")
        && has!("avx512bw")
        && has!("avx2")
        && has!("fma")
    {
        Level::Avx512
    } else if has!("avx2") && has!("fma") {
        Level::Avx2
    } else {
        Level::Baseline
    }
}
