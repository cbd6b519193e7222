//! Counts writes by their results.

use crate::{
    delivery::sink::{WriteError, WriteErrorKind},
    stats::{Blocked, WriteStats},
};

impl WriteStats {
    pub(crate) fn count(&mut self, outcome: Result<(), &WriteError>) {
        let counter = match outcome.map_err(|error| &error.kind) {
            Ok(()) => &mut self.written,
            Err(WriteErrorKind::Refused(_)) => &mut self.refused,
            Err(WriteErrorKind::TooLarge) => &mut self.too_large,
            Err(WriteErrorKind::Throttled { .. }) => &mut self.throttled,
            Err(WriteErrorKind::Transient | WriteErrorKind::Broken) => &mut self.transient,
            Err(WriteErrorKind::Timeout) => &mut self.timeout,
            Err(WriteErrorKind::Blocked(Blocked::Authorization)) => &mut self.blocked_authorization,
            Err(WriteErrorKind::Blocked(Blocked::Target)) => &mut self.blocked_target,
            Err(WriteErrorKind::Blocked(Blocked::Configuration)) => &mut self.blocked_configuration,
        };
        *counter += 1;
        if let Err(WriteError { status: Some(status), .. }) = outcome {
            *self.by_status.entry(*status).or_default() += 1;
        }
    }
}
