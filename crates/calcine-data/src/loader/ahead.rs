//! A thread that works ahead.

use super::Batch;
use std::fmt;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Finished batches that wait; together with the one in the making, a few megabytes.
const AHEAD: usize = 4;

/// The batches of an epoch, made by a thread of their own that stays a few batches ahead.
///
/// When dropped before its end it stops the thread and waits for the batch in the making.
///
/// # Panics
///
/// `next` panics with the thread's own message if the thread has panicked.
pub struct Batches {
    /// Both are `None` once the thread has ended.
    receiver: Option<Receiver<Batch>>,
    worker: Option<JoinHandle<()>>,
    remaining: usize,
}

impl Batches {
    /// Makes the batches of these numbers, in order.
    pub(super) fn spawn(
        numbers: Range<usize>,
        mut make: impl FnMut(usize) -> Batch + Send + 'static,
    ) -> Self {
        let remaining = numbers.len();
        let (sender, receiver) = sync_channel(AHEAD);
        let worker = thread::spawn(move || {
            for number in numbers {
                if sender.send(make(number)).is_err() {
                    return;
                }
            }
        });
        Self {
            receiver: Some(receiver),
            worker: Some(worker),
            remaining,
        }
    }

    /// Hangs up, so that the thread stops, and waits for it.
    fn stop(&mut self) -> thread::Result<()> {
        drop(self.receiver.take());
        self.worker.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if let Ok(batch) = self.receiver.as_ref()?.recv() {
            self.remaining -= 1;
            return Some(batch);
        }
        if let Err(panic) = self.stop() {
            self.remaining = 0;
            resume_unwind(panic);
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        // A panic over a batch that nobody asked for concerns nobody.
        let _ = self.stop();
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn numbered(number: usize) -> Batch {
        Batch {
            images: Vec::new(),
            labels: vec![number as i32],
            n: 1,
        }
    }

    #[test]
    fn batches_come_in_order_and_are_counted() {
        let mut batches = Batches::spawn(3..40, numbered);
        assert_eq!(batches.len(), 37);
        for number in 3..40 {
            assert_eq!(batches.next(), Some(numbered(number)));
        }
        assert_eq!(
            (batches.len(), batches.next(), batches.next()),
            (0, None, None)
        );
    }

    #[test]
    fn dropping_early_ends_the_thread_and_what_it_holds() {
        let held = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&held);
        let mut batches = Batches::spawn(0..usize::MAX, move |number| {
            made.fetch_add(1, Ordering::Relaxed);
            numbered(number)
        });
        batches.next();
        drop(batches);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(
            held.load(Ordering::Relaxed) <= AHEAD + 3,
            "the thread ran away"
        );
    }

    #[test]
    fn a_panic_of_the_thread_surfaces_where_its_batch_is_asked_for() {
        let mut batches = Batches::spawn(0..10, |number| {
            assert!(number < 2, "no batch {number}");
            numbered(number)
        });
        assert!(batches.next().is_some() && batches.next().is_some());
        let panic = catch_unwind(AssertUnwindSafe(|| batches.next())).unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>().map(String::as_str),
            Some("no batch 2")
        );
        assert_eq!(batches.next(), None);
    }

    #[test]
    fn a_panic_of_the_thread_over_an_unwanted_batch_passes_in_silence() {
        drop(Batches::spawn(0..1, |number| panic!("no batch {number}")));
    }
}
