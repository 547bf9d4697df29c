use std::fmt;

/// An instruction set for which there are kernels.
///
/// All instruction sets give the same integers. The last bits of sums of floats differ between those with and without
/// fused multiply-add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Portable loops without intrinsics, for every CPU of the compilation target.
    Portable,
    /// x86-64 with AVX2 and FMA: 8-bit integers are multiplied as 16-bit integers, so that no sum saturates.
    Avx2,
    /// x86-64 with AVX-VNNI: dot products of four 8-bit integers, in 256-bit vectors.
    AvxVnni,
    /// x86-64 with AVX-512 VNNI: dot products of four 8-bit integers, in 512-bit vectors.
    Avx512Vnni,
}

impl Isa {
    /// All instruction sets, from the slowest to the fastest.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni];

    /// The fastest instruction set that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        let mut all = Self::ALL.into_iter().rev();
        all.find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this CPU has the instruction set.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => is_x86_feature_detected!("avxvnni") && Self::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && Self::Avx2.is_available()
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Calls a function that is compiled for this instruction set, so that its loops can become vector instructions.
    /// This requires a closure with `#[inline(always)]` whose own calls are inlined, too.
    ///
    /// The results are the same as those of a direct call, because Rust does not reorder or fuse operations on floats.
    ///
    /// # Panics
    ///
    /// If the CPU does not have the instruction set.
    pub fn vectorize<R>(self, function: impl FnOnce() -> R) -> R {
        assert!(
            self.is_available(),
            "this CPU does not have the instruction set {self}"
        );
        match self {
            // SAFETY: the CPU has the instruction set.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::AvxVnni => unsafe { avx2(function) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { avx512(function) },
            _ => function(),
        }
    }
}

/// # Safety
///
/// The CPU must have the instruction set.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<R>(function: impl FnOnce() -> R) -> R {
    function()
}

/// # Safety
///
/// Like [`avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn avx512<R>(function: impl FnOnce() -> R) -> R {
    function()
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512Vnni => "AVX-512 VNNI",
        })
    }
}
