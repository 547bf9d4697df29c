//! A device by name.
//!
//! In Burn the backend is a run-time value. Which backends exist is decided when a program is built, by
//! the features of this crate; which one is used, by a name.

use std::fmt;

use burn::tensor::Device;
use calcine_names::suggest;

/// Every name that [`by_name`] can know. Each is a feature of this crate.
pub const NAMES: [&str; 7] = ["flex", "ndarray", "wgpu", "vulkan", "metal", "cuda", "rocm"];

/// The names that this build knows.
#[must_use]
pub fn compiled() -> Vec<&'static str> {
    let built = |name: &&str| match *name {
        "flex" => cfg!(feature = "flex"),
        "ndarray" => cfg!(feature = "ndarray"),
        "wgpu" => cfg!(feature = "wgpu"),
        "vulkan" => cfg!(feature = "vulkan"),
        "metal" => cfg!(feature = "metal"),
        "cuda" => cfg!(feature = "cuda"),
        _ => cfg!(feature = "rocm"),
    };
    NAMES.into_iter().filter(built).collect()
}

/// The default device of a backend.
///
/// `flex`, `ndarray` and `wgpu` (on a driver in software) are tested; `cuda`, `rocm`, `metal` and `vulkan`
/// (SPIR-V) have not been run by us.
///
/// # Errors
///
/// If no backend has that name, or this build lacks it: the error says which feature brings it.
pub fn by_name(name: &str) -> Result<Device, NoDevice> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0usize)),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(0usize)),
        _ => Err(NoDevice {
            name: name.to_owned(),
        }),
    }
}

#[cfg(feature = "ndarray")]
#[allow(
    deprecated,
    reason = "ndarray stays a compatibility switch for as long as Burn has it"
)]
fn ndarray() -> Device {
    Device::ndarray()
}

/// A device that this build does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDevice {
    name: String,
}

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if NAMES.contains(&name.as_str()) {
            return write!(
                f,
                "device `{name}` is not compiled in: build with `--features {name}` (this build has \
                 {})",
                compiled().join(", ")
            );
        }
        write!(
            f,
            "no device is called `{name}`; {} (this build has {})",
            suggest(name, NAMES),
            compiled().join(", ")
        )
    }
}

impl std::error::Error for NoDevice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compiled_name_is_a_device_and_every_other_names_its_feature() {
        for name in NAMES {
            match by_name(name) {
                Ok(_) => assert!(compiled().contains(&name)),
                Err(error) => assert!(error.to_string().contains(&format!("--features {name}"))),
            }
        }
        let error = by_name("flexx").unwrap_err().to_string();
        assert!(error.contains("did you mean `flex`"), "{error}");
    }
}
