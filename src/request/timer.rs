//! Timings of a handler's own steps, as fields: what [`MonitoringData::timer`] and
//! [`MonitoringData::time`] return.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use crate::request::MonitoringData;

impl MonitoringData {
    /// Starts a timer. When the returned guard is dropped, its seconds become the field `key`. If
    /// several timers use one key, the last value replaces earlier ones.
    /// [`add_timer`](Self::add_timer) adds them up instead.
    pub fn timer(&self, key: &'static str) -> Timer {
        Timer::new(self.clone(), key, false)
    }

    /// Starts a timer as [`timer`](Self::timer) does, and adds its seconds to the field `key`.
    pub fn add_timer(&self, key: &'static str) -> Timer {
        Timer::new(self.clone(), key, true)
    }

    /// Measures a future: the seconds from its first poll to its end, or until it is dropped,
    /// become the field `key`. If several futures use one key, the last value replaces earlier
    /// ones. [`add_time`](Self::add_time) adds them up instead.
    pub fn time<F: Future>(&self, key: &'static str, future: F) -> Timed<F> {
        Timed::new(self.clone(), key, false, future)
    }

    /// Measures a future as [`time`](Self::time) does, and adds its seconds to the field `key`. Use
    /// it, for example, for the sum of several queries.
    pub fn add_time<F: Future>(&self, key: &'static str, future: F) -> Timed<F> {
        Timed::new(self.clone(), key, true, future)
    }
}

/// A guard that measures the time until it is dropped, and stores the seconds in a field. Created
/// by [`MonitoringData::timer`].
#[derive(Debug)]
#[must_use = "a timer that is not kept stops at once"]
pub struct Timer {
    data: MonitoringData,
    key: &'static str,
    adds: bool,
    start: Instant,
}

impl Timer {
    pub(crate) fn new(data: MonitoringData, key: &'static str, adds: bool) -> Self {
        Self { data, key, adds, start: Instant::now() }
    }

    /// Returns the time since the timer was started.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Stops the timer and stores the field, as dropping the timer does.
    pub fn stop(self) {}
}

impl Drop for Timer {
    fn drop(&mut self) {
        let elapsed = self.start.elapsed();
        if self.adds {
            self.data.add(self.key, elapsed);
        } else {
            self.data.field(self.key, elapsed);
        }
    }
}

pin_project! {
    /// A future whose time is stored in a field, also if it is dropped before its end. Created by
    /// [`MonitoringData::time`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timed<F> {
        #[pin]
        future: F,
        data: Option<MonitoringData>,
        key: &'static str,
        adds: bool,
        timer: Option<Timer>,
    }
}

impl<F> Timed<F> {
    pub(crate) fn new(data: MonitoringData, key: &'static str, adds: bool, future: F) -> Self {
        Self { future, data: Some(data), key, adds, timer: None }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(data) = this.data.take() {
            *this.timer = Some(Timer::new(data, this.key, *this.adds));
        }
        let result = this.future.poll(context);
        if result.is_ready() {
            *this.timer = None;
        }
        result
    }
}
