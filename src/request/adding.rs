//! What the layer itself adds to a request, when its head and that of the response are known.

use http::{Request, Response};

use super::{
    callbacks::LayerExtras, config::LayerConfig, current::Current, data::RequestData, exchange::Exchange,
    monitoring_data::MonitoringData,
};
use crate::record::recorder::Recorder;

impl Exchange {
    /// Adds what the request's head tells, and what the application's functions add.
    #[inline(never)]
    pub(super) fn add_of_request<B>(&mut self, request: &mut Request<B>) {
        let Some(Current { config, added, .. }) = &mut self.current else { return };
        let (Some(extras), Some(recorder)) = (&config.extras, &config.recorder) else { return };
        extras.read_request(request.headers(), added, &recorder.counters);
        if !extras.calls_for_requests() {
            return;
        }
        let config = config.clone();
        let trace_id = self.call(&config, |extras, recorder, data| {
            extras.call_with_request(request, data, &recorder.counters)
        });
        if let (Some(current), Some(trace_id)) = (&mut self.current, trace_id.flatten()) {
            current.added.contents().fields.trace_id = Some(trace_id);
        }
    }

    #[inline(never)]
    pub(super) fn add_of_response<B>(&mut self, response: &mut Response<B>, size: Option<u64>) {
        let Some(Current { config, added, .. }) = &mut self.current else { return };
        let Some(extras) = &config.extras else { return };
        extras.read_response(response.headers(), size, added);
        if extras.on_response.is_none() {
            return;
        }
        let config = config.clone();
        self.call(&config, |extras, recorder, data| {
            extras.call_with_response(response, data, &recorder.counters);
        });
    }

    /// Calls functions of the application while this is the thread's current exchange: they may
    /// look for the request's data, too.
    fn call<R>(
        &mut self,
        config: &LayerConfig,
        run: impl FnOnce(&LayerExtras, &Recorder, &MonitoringData) -> R,
    ) -> Option<R> {
        let (extras, recorder) = (config.extras.as_ref()?, config.recorder.as_ref()?);
        let current = self.current.as_mut()?;
        let is_new = current.request_data.is_none();
        let data = MonitoringData { request_data: current.request_data() };
        let entered = self.enter();
        let result = run(extras, recorder, &data);
        entered.leave();
        drop(data);
        // Most functions add nothing to most requests, which then end as others without data.
        if let Some(current) = self.current.as_mut().filter(|_| is_new) {
            current.request_data = current.request_data.take().and_then(RequestData::put_back_unused);
        }
        Some(result)
    }
}
