use burn::tensor::Device;

/// The device under test: flex, or the one that the environment's `CALCINE_DEVICE` names.
///
/// # Panics
///
/// If that backend was not compiled in; the message names the feature.
#[must_use]
pub fn device() -> Device {
    let name = std::env::var("CALCINE_DEVICE").unwrap_or_else(|_| "flex".to_owned());
    match name.as_str() {
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        "ndarray" => ndarray(),
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0usize),
        #[cfg(feature = "rocm")]
        "rocm" => Device::rocm(0usize),
        other => panic!("CALCINE_DEVICE={other}: build with --features calcine-testkit/{other}"),
    }
}

/// Whether the device under test is flex, the reference: exact and repeatable.
#[must_use]
pub fn is_reference() -> bool {
    std::env::var("CALCINE_DEVICE").map_or(true, |name| name == "flex")
}

/// Whether the device under test computes in host memory: flex or ndarray.
#[must_use]
pub fn is_host() -> bool {
    std::env::var("CALCINE_DEVICE").map_or(true, |name| name == "flex" || name == "ndarray")
}

/// How many rounds of a property the device under test is given: all of them in host memory, an eighth on a
/// GPU, where every round is hundreds of launches and shapes drawn at random are compiled one by one.
#[must_use]
pub fn rounds(all: u64) -> u64 {
    if is_host() { all } else { all.div_ceil(8) }
}

#[cfg(feature = "ndarray")]
#[allow(
    deprecated,
    reason = "ndarray stays a compatibility switch for as long as Burn has it"
)]
fn ndarray() -> Device {
    Device::ndarray()
}
