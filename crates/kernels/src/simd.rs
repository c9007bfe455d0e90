//! Run-time SIMD: one loop, compiled for three instruction sets.

/// Runs a closure without arguments, compiled for the widest vectors of this machine.
///
/// The versions have the same bits and differ in speed only: Rust never contracts or reorders
/// floating-point operations. Functions and closures that the body calls should be
/// `#[inline(always)]` too, or they are compiled for the baseline.
///
/// ```
/// let mut x = vec![1.0f32; 100];
/// adamant_kernels::simd!(|| x.iter_mut().for_each(|x| *x *= 2.0));
/// assert_eq!(x, [2.0; 100]);
/// ```
#[macro_export]
macro_rules! simd {
    (|| $body:expr) => {
        $crate::vectorize(
            #[inline(always)]
            || $body,
        )
    };
}
pub(crate) use simd;

/// [`simd!`](crate::simd) without its attribute. Only a closure that is inlined into the
/// versions below is compiled with their instructions.
#[doc(hidden)]
#[inline]
pub fn vectorize<R>(kernel: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[inline]
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        fn avx512<R>(kernel: impl FnOnce() -> R) -> R {
            kernel()
        }
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(kernel: impl FnOnce() -> R) -> R {
            kernel()
        }
        match level() {
            // SAFETY: `level` detected every feature that the function enables.
            Level::Avx512 => return unsafe { avx512(kernel) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(kernel) },
            Level::Baseline => {}
        }
    }
    kernel() // elsewhere the baseline has vectors and fma already
}

/// Whether this machine has fused multiply-adds.
pub(crate) fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !matches!(level(), Level::Baseline);
    #[cfg(not(target_arch = "x86_64"))]
    cfg!(target_arch = "aarch64")
}

/// The bytes of the vectors that [`vectorize`] uses.
pub(crate) fn vector_bytes() -> usize {
    #[cfg(target_arch = "x86_64")]
    return match level() {
        Level::Avx512 => 64,
        Level::Avx2 => 32,
        Level::Baseline => 16,
    };
    #[cfg(not(target_arch = "x86_64"))]
    16
}

/// Starts to load the cache line of an address, on x86-64; elsewhere does nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: this does not access the address, which need not be valid.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
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
