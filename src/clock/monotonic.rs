//! The monotonic clock, as a number.

use std::time::Duration;

/// A moment of the monotonic clock: nanoseconds since one that is the same for the whole process.
///
/// On Linux it goes on while the machine is suspended, as `Instant` does not there: otherwise wall
/// time would run away from it, and stamps of a machine that sleeps often would be hours old.
/// `Instant` also checks each difference, which takes 95 instructions more for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonotonicInstant(i64);

impl MonotonicInstant {
    /// Reads the clock. The result is not before any instant that this thread has read. One core
    /// may be behind another by less than what a reading takes.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[allow(clippy::useless_conversion, reason = "seconds have 32 bits on some systems")]
    #[inline]
    pub(crate) fn now() -> Self {
        use nix::time::{ClockId, clock_gettime};

        // It fails only for a clock that there is not, as the first one before Linux 2.6.39. Both
        // are read without a system call.
        let (seconds, nanoseconds) = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC))
            .map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()));
        // Enough for 292 years of uptime.
        Self(i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds))
    }

    /// Reads the clock of platforms whose own clock is not as fine as `Instant` or another one. It
    /// may stand still while the machine is suspended.
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

    /// Returns the time since then; zero if this is later than now.
    #[inline]
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.elapsed_nanoseconds())
    }

    /// Returns [`elapsed`](Self::elapsed) as a number, which is not divided by a billion first.
    #[inline]
    pub(crate) fn elapsed_nanoseconds(self) -> u64 {
        u64::try_from(Self::now().0 - self.0).unwrap_or(0)
    }

    /// Returns the instant so long before this one.
    #[cfg(test)]
    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0 - time.as_nanos() as i64)
    }
}
