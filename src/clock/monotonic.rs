//! The monotonic clock, as a number.

use std::time::Duration;

/// A moment of the monotonic clock: nanoseconds since a fixed moment of the process.
///
/// On Linux, unlike `Instant`, it advances while the machine is suspended. Otherwise wall time
/// would run ahead of it, and stamps of a machine that is often suspended would be hours old.
/// `Instant` also checks each difference, which takes 95 more instructions for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonotonicInstant(i64);

impl MonotonicInstant {
    /// Reads the clock. The result is not before any instant that this thread has read. The clock
    /// of one core may be behind another one by less than the duration of a read.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[allow(clippy::useless_conversion, reason = "seconds have 32 bits on some systems")]
    #[inline]
    pub(crate) fn now() -> Self {
        use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

        // This fails only for a missing clock, such as the first one before Linux 2.6.39. Both are
        // read without a system call.
        let (seconds, nanoseconds) = clock_gettime_dynamic(DynamicClockId::Boottime)
            .or_else(|_| clock_gettime_dynamic(DynamicClockId::Known(ClockId::Monotonic)))
            .map_or((0, 0), |time| (time.tv_sec, time.tv_nsec));
        // This suffices for 292 years of uptime.
        Self(i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds))
    }

    /// Reads `Instant`, on platforms without a better clock. It may stand still while the machine
    /// is suspended.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn now() -> Self {
        use std::{sync::LazyLock, time::Instant};

        static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(BASE.elapsed().as_nanos() as i64)
    }

    #[inline]
    pub(crate) fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Returns the time since then, or zero if this instant is in the future.
    #[inline]
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.elapsed_nanoseconds())
    }

    /// Returns [`elapsed`](Self::elapsed) as a number of nanoseconds, which avoids a division by a
    /// billion.
    #[inline]
    pub(crate) fn elapsed_nanoseconds(self) -> u64 {
        u64::try_from(Self::now().0 - self.0).unwrap_or(0)
    }

    /// Returns the instant that was `time` before this one.
    #[cfg(test)]
    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0 - time.as_nanos() as i64)
    }
}
