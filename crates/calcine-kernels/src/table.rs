//! Functions of 8-bit integers as tables.

#[cfg(target_arch = "x86_64")]
use crate::avx512;
use crate::isa::Isa;

/// Computes `y = table[x]` for each integer.
///
/// # Panics
///
/// If the CPU does not have the instruction set.
pub fn look_up(isa: Isa, table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    assert!(
        isa.is_available(),
        "this CPU does not have the instruction set {isa}"
    );
    let count = x.len().min(y.len());
    let (x, y) = (&x[..count], &mut y[..count]);
    let done = look_up_blocks(isa, table, x, y);
    for (y, x) in y[done..].iter_mut().zip(&x[done..]) {
        *y = table[usize::from(*x)];
    }
}

/// Looks up as many integers as vector instructions can process, and returns their number.
#[cfg(target_arch = "x86_64")]
fn look_up_blocks(isa: Isa, table: &[u8; 256], x: &[u8], y: &mut [u8]) -> usize {
    if isa != Isa::Avx512Vnni || !is_x86_feature_detected!("avx512vbmi") {
        return 0;
    }
    let (x, y) = (x.as_chunks::<64>().0, y.as_chunks_mut::<64>().0);
    for (x, y) in x.iter().zip(&mut *y) {
        // SAFETY: the CPU has the instruction set, and both arrays have 64 bytes.
        unsafe { avx512::look_up(table, x.as_ptr(), y.as_mut_ptr()) }
    }
    64 * x.len()
}

#[cfg(not(target_arch = "x86_64"))]
const fn look_up_blocks(_: Isa, _: &[u8; 256], _: &[u8], _: &mut [u8]) -> usize {
    0
}
