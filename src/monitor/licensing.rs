//! What licence checks record through.

use std::sync::{Arc, Weak};

use super::Monitor;
use crate::{
    intake::Intake,
    licensing::{LicensingPoint, Recorder},
};

impl Monitor {
    /// It keeps nothing alive: the flusher must end, and spool what is left, when only licence checks are left to use it.
    pub(crate) fn license_recorder(&self) -> Arc<dyn Recorder> {
        match &self.inner {
            Some(inner) => Arc::new(WeakIntake(Arc::downgrade(&inner.intake))),
            None => Arc::new(Disabled),
        }
    }
}

struct WeakIntake(Weak<Intake>);

impl Recorder for WeakIntake {
    fn record(&self, point: &LicensingPoint) {
        if let Some(intake) = self.0.upgrade() {
            intake.record(point);
        }
    }

    fn is_closed(&self) -> bool {
        self.0.upgrade().is_none_or(|intake| intake.buffer.is_closed())
    }
}

/// Of a disabled monitor: nothing is recorded, and the licence is checked all the same.
struct Disabled;

impl Recorder for Disabled {
    fn record(&self, _: &LicensingPoint) {}

    fn is_closed(&self) -> bool {
        false
    }
}
