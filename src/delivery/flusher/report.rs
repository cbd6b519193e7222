//! The reports of a flush and a shutdown.

use std::fmt;

use serde::Serialize;

/// What became of the points that were accepted before a [flush](crate::Monitor::flush), in numbers
/// of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlushReport {
    /// Points that the sink has written.
    pub written: u64,
    /// Points that the server has permanently refused.
    pub rejected: u64,
    /// Points that this crate has dropped, for example because memory was full.
    pub dropped: u64,
    /// Points that are stored on disk, to be sent later.
    pub spooled: u64,
    /// Points that are still in memory, to be sent later, because the sink could not be reached or
    /// accepted no points.
    pub waiting: u64,
}

/// What became of all points of a monitor, at its [shutdown](crate::Monitor::shutdown). Counts are
/// in points, except `unfinished`.
///
/// Displays as `accepted … written … rejected … dropped … spooled …`. Recovered points, unfinished
/// requests and a missed deadline follow if there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Points that were accepted into the buffer.
    pub accepted: u64,
    /// Points of an earlier process that were found in the spool.
    pub recovered: u64,
    /// Points that the sink has written.
    pub written: u64,
    /// Points that the server has permanently refused.
    pub rejected: u64,
    /// Points that this crate has dropped, for example because memory was full.
    pub dropped: u64,
    /// Points that are stored on disk, to be sent by the next process.
    pub spooled: u64,
    /// Requests that were still running when the time to wait for them was over. Their points are
    /// refused.
    pub unfinished: u64,
    /// Whether the shutdown ended within its timeout.
    pub in_time: bool,
}

impl FlushReport {
    /// Merges the reports of two flushers.
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            written: self.written + other.written,
            rejected: self.rejected + other.rejected,
            dropped: self.dropped + other.dropped,
            spooled: self.spooled + other.spooled,
            waiting: self.waiting + other.waiting,
        }
    }
}

impl ShutdownReport {
    /// Merges the reports of two flushers.
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            recovered: self.recovered + other.recovered,
            written: self.written + other.written,
            rejected: self.rejected + other.rejected,
            dropped: self.dropped + other.dropped,
            spooled: self.spooled + other.spooled,
            // Both have waited for the same requests.
            unfinished: self.unfinished.max(other.unfinished),
            in_time: self.in_time && other.in_time,
        }
    }
}

impl fmt::Display for FlushReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, rejected, dropped, spooled, waiting } = self;
        write!(
            formatter,
            "written {written} rejected {rejected} dropped {dropped} spooled {spooled} waiting {waiting}"
        )
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, recovered, written, rejected, dropped, spooled, unfinished, in_time } = self;
        write!(
            formatter,
            "accepted {accepted} written {written} rejected {rejected} dropped {dropped} spooled {spooled}"
        )?;
        if *recovered > 0 {
            write!(formatter, ", {recovered} recovered from an earlier run")?;
        }
        if *unfinished > 0 {
            write!(formatter, ", {unfinished} requests unfinished")?;
        }
        if !in_time {
            formatter.write_str(", not in time")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_the_line_is_stable() {
        let report = ShutdownReport {
            accepted: 7,
            written: 4,
            rejected: 1,
            dropped: 2,
            in_time: true,
            ..Default::default()
        };
        assert_eq!(report.to_string(), "accepted 7 written 4 rejected 1 dropped 2 spooled 0");
        let report = ShutdownReport { recovered: 3, spooled: 3, unfinished: 1, in_time: false, ..report };
        assert_eq!(
            report.to_string(),
            "accepted 7 written 4 rejected 1 dropped 2 spooled 3, 3 recovered from an earlier run, \
             1 requests unfinished, not in time"
        );
    }

    #[test]
    fn two_flushers_make_one_report_in_which_each_point_is_counted() {
        let flush = |n| FlushReport {
            written: n,
            rejected: 10 + n,
            dropped: 20 + n,
            spooled: 30 + n,
            waiting: 40 + n,
        };
        let merged = flush(2).merge(flush(3)).to_string();
        assert_eq!(merged, "written 5 rejected 25 dropped 45 spooled 65 waiting 85");
        let shutdown = |n, in_time| ShutdownReport {
            accepted: 50 + n,
            recovered: 60 + n,
            written: n,
            rejected: 10 + n,
            dropped: 20 + n,
            spooled: 30 + n,
            unfinished: n,
            in_time,
        };
        for (first, second, in_time) in
            [(true, true, ""), (true, false, ", not in time"), (false, true, ", not in time")]
        {
            let merged = shutdown(2, first).merge(shutdown(3, second)).to_string();
            let counts =
                "accepted 105 written 5 rejected 25 dropped 45 spooled 65, 125 recovered from an earlier run";
            // Both have waited for the same requests.
            assert_eq!(merged, format!("{counts}, 3 requests unfinished{in_time}"));
        }
    }
}
