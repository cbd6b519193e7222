//! Request data that a thread keeps for its next requests.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    data::{DataOwner, RequestData},
    spare::Spare,
};
use crate::{record::recorder::Recorder, request::RequestId};

impl RequestData {
    /// Takes spare request data or creates new data, for a request of this monitor.
    #[inline(always)]
    pub(crate) fn take(recorder: &Recorder, request_id: RequestId) -> Arc<Self> {
        let mut request_data = Self::empty();
        if let Some(data) = Arc::get_mut(&mut request_data) {
            *data.was_locked.get_mut() = false;
            let contents = data.contents.get_mut();
            contents.request_id = request_id;
            if contents.owner.as_ref().is_none_or(|owner| owner.monitor != recorder.number) {
                contents.owner = Some(DataOwner::of(recorder));
            }
        }
        request_data
    }

    #[inline(always)]
    pub(super) fn empty() -> Arc<Self> {
        SPARE.try_with(Spare::take).ok().flatten().unwrap_or_default()
    }

    /// Keeps the request data for the next request. Returns it if it holds more than a generated
    /// id, or is shared.
    #[inline(always)]
    pub(crate) fn put_back_unused(mut request_data: Arc<Self>) -> Option<Arc<Self>> {
        // In this order: another thread may lock the data until it drops its handle.
        match Arc::get_mut(&mut request_data) {
            Some(only) if !only.was_locked.load(Relaxed) => {
                Self::put_back(request_data);
                None
            }
            _ => Self::put_back_unchanged(request_data),
        }
    }

    #[inline(never)]
    fn put_back_unchanged(mut request_data: Arc<Self>) -> Option<Arc<Self>> {
        match Self::contents(&mut request_data) {
            Some(contents) if contents.is_unused() => {
                contents.trace_id = None;
                Self::put_back(request_data);
                None
            }
            _ => Some(request_data),
        }
    }

    #[inline(always)]
    pub(super) fn put_back(request_data: Arc<Self>) {
        let _ = SPARE.try_with(|spare| spare.put(request_data));
    }
}

thread_local!(static SPARE: Spare<Arc<RequestData>> = const { Spare::new() });
