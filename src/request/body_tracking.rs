//! The exchange of a body under way, and its end when the monitor is shut down first.

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::{Mutex, MutexGuard};

use super::{
    classify::{BodyEnding, BodyOutcome},
    exchange::{Exchange, Judged},
};
use crate::{delivery::buffer::Open, record::recorder::Recorder};

/// What polling a body returns.
type PolledFrame<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Who has the exchange of a body.
#[derive(Debug)]
pub(super) enum Tracked {
    /// Nobody: it has ended, or is not tracked.
    Not,
    /// The body, and the monitor for when it is shut down.
    Open(BodyHandle),
}

/// The body's own hold on its exchange. Dropped before the body's end, it records the body as
/// dropped.
#[derive(Debug)]
pub(super) struct BodyHandle(Arc<OpenBody>);

/// A body under way, as its monitor and the body itself hold it.
///
/// Reused once the body has ended, with its place among what the monitor has open: to make and
/// enter one for each body would cost two allocations.
#[derive(Debug)]
struct OpenBody {
    /// `None` from the end on. Locked while the body is polled; a panic of the body is recorded as
    /// its end.
    tracking: AssertUnwindSafe<Mutex<Option<Tracking>>>,
    /// The monitor is shut down: whoever holds the lock is to end it.
    is_ending: AtomicBool,
    /// The number of the monitor.
    monitor: u64,
}

impl BodyHandle {
    fn new(tracking: Tracking, recorder: &Recorder) -> Self {
        let spare = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let at = spare.iter().rposition(|open| open.monitor == recorder.number)?;
            Some(spare.swap_remove(at))
        });
        if let Some(open) = spare.ok().flatten() {
            *open.lock() = Some(tracking);
            return Self(open);
        }
        let tracking = AssertUnwindSafe(Mutex::new(Some(tracking)));
        let is_ending = AtomicBool::new(false);
        let open = Arc::new(OpenBody { tracking, is_ending, monitor: recorder.number });
        recorder.buffer.add_open(Arc::downgrade(&open) as Weak<dyn Open>);
        Self(open)
    }

    pub(super) fn poll_frame<B: Body>(
        &self,
        inner: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> (PolledFrame<B>, bool) {
        self.0.poll_frame(inner, context)
    }
}

impl Drop for BodyHandle {
    fn drop(&mut self) {
        // Recorded without the lock and the list: that runs code of the application.
        let tracking = self.0.lock().take();
        drop(tracking);
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(Arc::clone(&self.0));
            }
        });
    }
}

impl OpenBody {
    fn lock(&self) -> MutexGuard<'_, Option<Tracking>> {
        self.tracking.lock()
    }

    fn poll_frame<B: Body>(&self, inner: Pin<&mut B>, context: &mut Context<'_>) -> (PolledFrame<B>, bool) {
        let mut place = self.lock();
        let Some(tracking) = &mut *place else { return (inner.poll_frame(context), true) };
        let (polled, mut ended) = tracking.poll_frame(inner, context);
        if !ended && self.is_ending.load(Ordering::Acquire) {
            tracking.finish(BodyEnding::Unfinished, None);
            ended = true;
        }
        if ended {
            *place = None;
        }
        (polled, ended)
    }
}

impl Open for OpenBody {
    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        for _ in 0..TRIES {
            let Some(mut place) = self.tracking.try_lock() else {
                // It is being polled, which takes a moment. The poll then ends it.
                thread::yield_now();
                continue;
            };
            if let Some(mut tracking) = place.take() {
                tracking.finish_early(BodyEnding::Unfinished);
            }
            return;
        }
    }
}

/// The exchange of a body under way. Dropped before its end, it records the body as dropped.
///
/// A server asks for no more than the length that the head or the body has promised, so a body that
/// does not know its own end, such as a file that is read piece by piece, is dropped by it without
/// having ended. All of it was handed over nevertheless.
#[derive(Debug)]
pub(super) struct Tracking {
    exchange: Exchange,
    /// `Some` until the end.
    judged: Option<Judged>,
    bytes: u64,
    length: Option<u64>,
}

impl Tracking {
    pub(super) fn new(exchange: Exchange, judged: Judged, length: Option<u64>) -> Self {
        Self { exchange, judged: Some(judged), bytes: 0, length }
    }

    /// Lets the monitor end it, too.
    pub(super) fn share(self) -> Tracked {
        let recorder = self.exchange.config().and_then(|config| config.recorder.clone());
        recorder.map_or(Tracked::Not, |recorder| Tracked::Open(BodyHandle::new(self, &recorder)))
    }

    /// Polls the body as part of its request. True if it has ended, and is recorded.
    pub(super) fn poll_frame<B: Body>(
        &mut self,
        mut inner: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> (PolledFrame<B>, bool) {
        let Poll::Ready(frame) = self.poll(|| inner.as_mut().poll_frame(context)) else {
            return (Poll::Pending, false);
        };
        let ended = match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += bytes::Buf::remaining(data) as u64;
                }
                let trailers = frame.trailers_ref();
                // After its last frame a body need not be polled again.
                (trailers.is_some() || inner.is_end_stream()).then_some((BodyEnding::Complete, trailers))
            }
            Some(Err(_)) => Some((BodyEnding::Error, None)),
            None => Some((BodyEnding::Complete, None)),
        };
        if let Some((ending, trailers)) = ended {
            self.finish(ending, trailers);
        }
        let has_ended = ended.is_some();
        (Poll::Ready(frame), has_ended)
    }

    /// Polls the body; a panic counts as a failed body.
    fn poll<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let mut polling = Polling { tracking: self, returned: false };
        let entered = polling.tracking.exchange.enter_body();
        let result = poll();
        drop(entered);
        polling.returned = true;
        result
    }

    pub(super) fn finish(&mut self, ending: BodyEnding, trailers: Option<&HeaderMap>) {
        let Some(judged) = self.judged.take() else { return };
        self.exchange.finish_body(judged, &BodyOutcome { ending, trailers }, self.bytes);
    }

    /// Ends it without an end of the body, which is complete nevertheless if all of it was handed
    /// over.
    fn finish_early(&mut self, ending: BodyEnding) {
        self.finish(if self.length == Some(self.bytes) { BodyEnding::Complete } else { ending }, None);
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.finish_early(BodyEnding::Dropped);
    }
}

/// Knows a panic by not having been told of a return.
struct Polling<'a> {
    tracking: &'a mut Tracking,
    returned: bool,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.tracking.finish(BodyEnding::Error, None);
        }
    }
}

thread_local!(static SPARE: RefCell<Vec<Arc<OpenBody>>> = const { RefCell::new(Vec::new()) });

/// Spare ones that a thread keeps.
const MAX_SPARE: usize = 64;
/// How often the end is tried while the body is being polled: some milliseconds at most.
const TRIES: usize = 1_000;
