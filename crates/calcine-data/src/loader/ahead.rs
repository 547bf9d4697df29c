//! Threads that work ahead.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Finished batches that wait for each thread; together with the one in the making, a few megabytes.
const AHEAD: usize = 4;

/// The batches of an epoch, made by threads of their own that stay a few batches ahead.
///
/// Each of the threads makes every `k`-th batch, and the batches come in their order. When dropped before its end it stops
/// the threads and waits for the batches in the making.
///
/// # Panics
///
/// `next` panics with a thread's own message if the thread has panicked.
pub(crate) struct Batches<T> {
    /// In the order in which their batches are due; none once the threads have ended.
    workers: VecDeque<Worker<T>>,
    remaining: usize,
}

struct Worker<T> {
    /// `None` once it has been told to stop.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Batches<T> {
    /// Makes the batches of these numbers, in order, by `workers` threads.
    pub(crate) fn spawn(
        numbers: Range<usize>,
        workers: usize,
        make: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Self {
        let remaining = numbers.len();
        let count = workers.clamp(1, remaining.max(1));
        let make = Arc::new(make);
        let spawn = |first: usize| {
            let (sender, receiver) = sync_channel(AHEAD);
            let make = Arc::clone(&make);
            let numbers = numbers.clone().skip(first).step_by(count);
            let thread = thread::spawn(move || {
                for number in numbers {
                    if sender.send(make(number)).is_err() {
                        return;
                    }
                }
            });
            Worker {
                receiver: Some(receiver),
                thread: Some(thread),
            }
        };
        Self {
            workers: (0..count).map(spawn).collect(),
            remaining,
        }
    }
}

impl<T> Batches<T> {
    /// Hangs up, so that the threads stop, and waits for them: the first panic, if one has panicked.
    fn stop(&mut self) -> thread::Result<()> {
        for worker in &mut self.workers {
            drop(worker.receiver.take());
        }
        let mut result = Ok(());
        for mut worker in self.workers.drain(..) {
            let ended = worker.thread.take().map_or(Ok(()), JoinHandle::join);
            result = result.and(ended);
        }
        result
    }
}

impl<T> Iterator for Batches<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let worker = self.workers.pop_front()?;
        let batch = worker
            .receiver
            .as_ref()
            .and_then(|receiver| receiver.recv().ok());
        self.workers.push_back(worker);
        if let Some(batch) = batch {
            self.remaining -= 1;
            return Some(batch);
        }
        self.remaining = 0;
        if let Err(panic) = self.stop() {
            resume_unwind(panic);
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<T> ExactSizeIterator for Batches<T> {}

impl<T> Drop for Batches<T> {
    fn drop(&mut self) {
        // A panic over a batch that nobody asked for concerns nobody.
        let _ = self.stop();
    }
}

impl<T> fmt::Debug for Batches<T> {
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

    #[test]
    fn batches_come_in_order_and_are_counted() {
        for workers in [1, 2, 3, 50] {
            let mut batches = Batches::spawn(3..40, workers, |number| number);
            assert_eq!(batches.len(), 37);
            for number in 3..40 {
                assert_eq!(batches.next(), Some(number));
            }
            assert_eq!(
                (batches.len(), batches.next(), batches.next()),
                (0, None, None)
            );
        }
    }

    #[test]
    fn dropping_early_ends_the_thread_and_what_it_holds() {
        let held = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&held);
        let mut batches = Batches::spawn(0..usize::MAX, 1, move |number| {
            made.fetch_add(1, Ordering::Relaxed);
            number
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
        let mut batches = Batches::spawn(0..10, 1, |number| {
            assert!(number < 2, "no batch {number}");
            number
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
    fn a_panic_of_the_thread_over_an_unwanted_batch_is_ignored() {
        drop(Batches::<()>::spawn(0..1, 1, |number| {
            panic!("no batch {number}")
        }));
    }
}
