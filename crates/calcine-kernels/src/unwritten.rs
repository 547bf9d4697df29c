//! Memory that is written before it is read, without being zeroed first, which would take as long as writing the
//! results.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Allocates numbers that a function writes, in parallel tasks. The function gets the position of the first number of
/// its task.
///
/// # Safety
///
/// The function must write all numbers of the slice that it gets.
pub(crate) unsafe fn filled(
    length: usize,
    task: usize,
    write: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(length);
    let unwritten = &mut numbers.spare_capacity_mut()[..length];
    if length <= task {
        write(0, unwritten);
    } else {
        let tasks = unwritten.par_chunks_mut(task).enumerate();
        tasks.for_each(|(at, numbers)| write(at * task, numbers));
    }
    // SAFETY: the tasks cover the first `length` numbers, and the caller's function writes all of each.
    unsafe { numbers.set_len(length) };
    numbers
}

/// Zeros in unwritten memory.
pub(crate) fn zeros(numbers: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    numbers.fill(MaybeUninit::new(0.0));
    // SAFETY: all of them have just been written.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [f32]) }
}

/// Numbers that are written anew, by functions that write numbers and nothing else.
pub(crate) fn forgotten(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: both have the same layout, and nobody in this crate writes anything but numbers.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}
