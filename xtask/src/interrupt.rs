//! Ctrl-C.

use calcine::train::StopFlag;

use crate::failure::Failure;
use crate::progress::stderr;

/// The first Ctrl-C raises the flag, and says `first`; the second ends the process.
pub(crate) fn stop_on_ctrl_c(stop: &StopFlag, first: &'static str) -> Result<(), Failure> {
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.is_raised() {
            std::process::exit(130);
        }
        stop.raise();
        stderr(first);
    })
    .map_err(|error| Failure::new(format!("Ctrl-C cannot be caught: {error}")))
}
