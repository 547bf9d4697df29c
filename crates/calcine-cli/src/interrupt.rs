//! Signals that ask a command to stop: Ctrl-C, and SIGTERM, which batch systems and containers send.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use calcine::train::StopFlag;

use crate::failure::Failure;
use crate::terminal::stderr;

/// The number of SIGINT.
const INTERRUPT: u8 = 2;

/// Listens for signals until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    stop: StopFlag,
    /// The first signal that was received; 0 if there was none.
    signal: Arc<AtomicU8>,
}

impl Interrupt {
    /// Begins to listen. The first signal sets the flag and prints `first`; the second ends the process.
    pub(crate) fn listen(first: &'static str) -> Result<Self, Failure> {
        let interrupt = Self {
            stop: StopFlag::default(),
            signal: Arc::default(),
        };
        let heard = interrupt.clone();
        on_signal(move |signal| {
            if heard.stop.is_raised() {
                std::process::exit(128 + i32::from(signal));
            }
            heard.signal.store(signal, Ordering::SeqCst);
            heard.stop.raise();
            stderr(first);
        })
        .map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))?;
        Ok(interrupt)
    }

    /// The flag that the first signal sets.
    pub(crate) fn flag(&self) -> &StopFlag {
        &self.stop
    }

    /// The failure of a command that stopped because of a signal.
    pub(crate) fn stopped(&self, message: impl Into<String>) -> Failure {
        let signal = match self.signal.load(Ordering::SeqCst) {
            0 => INTERRUPT,
            signal => signal,
        };
        Failure::stopped(message, signal)
    }
}

/// Calls a function with the number of each signal, on a separate thread.
#[cfg(unix)]
fn on_signal(handle: impl Fn(u8) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                handle(u8::try_from(signal).unwrap_or(INTERRUPT));
            }
        })
        .map(drop)
}

/// On systems without signals, Ctrl-C alone.
#[cfg(not(unix))]
fn on_signal(handle: impl Fn(u8) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || handle(INTERRUPT)).map_err(io::Error::other)
}
