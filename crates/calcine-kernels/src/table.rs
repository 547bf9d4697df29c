//! Functions of 8-bit integers as tables.

#[cfg(target_arch = "x86_64")]
use crate::avx512;
use crate::isa::Isa;

/// Looks up each integer in a table.
///
/// # Panics
///
/// If the CPU does not have the instruction set.
pub fn look_up(isa: Isa, table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    assert!(isa.is_available(), "this CPU has no {isa}");
    let count = x.len().min(y.len());
    let (x, y) = (&x[..count], &mut y[..count]);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Vnni && is_x86_feature_detected!("avx512vbmi") {
        done = count / 64 * 64;
        for at in (0..done).step_by(64) {
            // SAFETY: the CPU has the instruction set, and both slices have 64 bytes from this position on.
            unsafe { avx512::look_up(table, x.as_ptr().add(at), y.as_mut_ptr().add(at)) }
        }
    }
    for (y, x) in y[done..].iter_mut().zip(&x[done..]) {
        *y = table[usize::from(*x)];
    }
}
