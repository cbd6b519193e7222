//! What licence checks record through.

use std::sync::{Arc, Weak};

use super::Monitor;
use crate::{
    licensing::{LicensingPoint, RecordPoint},
    record::recorder::Recorder,
};

impl Monitor {
    /// It keeps nothing alive: the flusher must end, and spool what is left, when only licence checks are left to use it.
    pub(crate) fn license_recorder(&self) -> Arc<dyn RecordPoint> {
        match &self.inner {
            Some(inner) => Arc::new(WeakRecorder(Arc::downgrade(&inner.recorder))),
            None => Arc::new(Disabled),
        }
    }
}

struct WeakRecorder(Weak<Recorder>);

impl RecordPoint for WeakRecorder {
    fn record(&self, point: &LicensingPoint) {
        if let Some(recorder) = self.0.upgrade() {
            recorder.record(point);
        }
    }

    fn is_closed(&self) -> bool {
        self.0.upgrade().is_none_or(|recorder| recorder.buffer.is_closed())
    }
}

/// Of a disabled monitor: nothing is recorded, and the licence is checked all the same.
struct Disabled;

impl RecordPoint for Disabled {
    fn record(&self, _: &LicensingPoint) {}

    fn is_closed(&self) -> bool {
        false
    }
}
