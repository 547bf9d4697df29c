//! Prints the devices of this build, and the error for a device that it does not have.
//!
//! `cargo run -p calcine --example list_devices`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

fn main() {
    for name in calcine::device::NAMES {
        match calcine::device::by_name(name) {
            Ok(device) => println!("{name}: {device:?}"),
            Err(error) => println!("{name}: {error}"),
        }
    }
}
