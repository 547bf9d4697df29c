use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The span that Burn's GPU backends open when a float tensor is read. Reads of integers and booleans
/// open none.
const READ: &str = "float_into_data";

/// What `run` gives, and how often it read a float tensor from a GPU on this thread.
///
/// One read may count twice, as it passes through Burn's fusion. Flex and ndarray trace nothing: there
/// the count is always 0.
pub fn device_reads<R>(run: impl FnOnce() -> R) -> (R, usize) {
    let counter = Arc::new(Counter::default());
    let result = tracing::subscriber::with_default(Arc::clone(&counter), run);
    (result, counter.reads.load(Ordering::SeqCst))
}

#[derive(Default)]
struct Counter {
    reads: AtomicUsize,
}

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == READ
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_reads_are_counted_and_no_others() {
        let ((), reads) = device_reads(|| {
            let read = tracing::trace_span!("float_into_data");
            read.in_scope(|| tracing::trace_span!("float_add").in_scope(|| ()));
        });
        assert_eq!(reads, 1);
    }
}
