//! Whether the tensors of a device are in host memory.
//!
//! # Should I use this crate?
//!
//! Use it where an algorithm has one form for the host and another for an accelerator. Both forms must give the same
//! result, because the answer only concerns the cost.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;

/// Whether a tensor of this device is read without a transfer: whether the device has no memory pool of its own.
///
/// Burn's accelerator runtimes (CUDA, ROCm, Vulkan, Metal, WebGPU) report the pool that tensors are allocated from; flex
/// and ndarray, which compute in host memory, report none. LibTorch and remote devices report none either and count as
/// host memory; results for them are the same, but computed more slowly. The answer for an autodiff device is that for the device that it wraps.
///
/// Each device is queried once per process, which may wait for pending operations.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_device::in_host_memory;
///
/// assert!(in_host_memory(&Device::flex()));
/// assert!(in_host_memory(&Device::flex().autodiff()));
/// ```
#[must_use]
pub fn in_host_memory(device: &Device) -> bool {
    static KNOWN: Mutex<Vec<(Device, bool)>> = Mutex::new(Vec::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known()
        .iter()
        .find(|(one, _)| one == device)
        .map(|(_, host)| *host);
    found.unwrap_or_else(|| {
        let host = device.memory_pool_usage().is_none();
        known().push((device.clone(), host));
        host
    })
}

#[cfg(test)]
mod tests {
    use super::in_host_memory;
    use calcine_testkit::{device, is_host};

    #[test]
    fn the_device_under_test_is_where_its_backend_says() {
        for _ in 0..2 {
            assert_eq!(in_host_memory(&device()), is_host());
            assert_eq!(in_host_memory(&device().autodiff()), is_host());
        }
    }
}
