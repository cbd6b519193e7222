//! Timings of a handler's own steps, as fields.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use crate::request::MonitoringData;

impl MonitoringData {
    /// Starts to time: when the returned guard is dropped, the seconds since now become the field `key`.
    pub fn timer(&self, key: &'static str) -> Timer {
        Timer::new(self.clone(), key)
    }

    /// Times a future: the seconds from its first poll to its end, or until it is dropped, become the field `key`.
    pub fn time<F: Future>(&self, key: &'static str, future: F) -> Timed<F> {
        Timed::new(self.clone(), key, future)
    }
}

/// Times a scope: when it is dropped, the seconds since it was made become a field. See [`MonitoringData::timer`].
#[derive(Debug)]
#[must_use = "a timer that is not kept stops at once"]
pub struct Timer {
    data: MonitoringData,
    key: &'static str,
    start: Instant,
}

impl Timer {
    pub(crate) fn new(data: MonitoringData, key: &'static str) -> Self {
        Self { data, key, start: Instant::now() }
    }

    /// The time since the timer was made.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Stops now; the same as dropping it.
    pub fn stop(self) {}
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.data.field(self.key, self.start.elapsed().as_secs_f64());
    }
}

pin_project! {
    /// A future that is timed into a field, also when it is dropped before its end. See [`MonitoringData::time`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timed<F> {
        #[pin]
        future: F,
        data: Option<MonitoringData>,
        key: &'static str,
        timer: Option<Timer>,
    }
}

impl<F> Timed<F> {
    pub(crate) fn new(data: MonitoringData, key: &'static str, future: F) -> Self {
        Self { future, data: Some(data), key, timer: None }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(data) = this.data.take() {
            *this.timer = Some(Timer::new(data, this.key));
        }
        let result = this.future.poll(context);
        if result.is_ready() {
            *this.timer = None;
        }
        result
    }
}
