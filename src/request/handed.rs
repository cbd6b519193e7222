//! The value that the layer's option `insert_data` puts into a request, for layers and handlers in
//! other tasks.

use std::sync::Arc;

use http::Request;

use super::{current::Current, data::RequestData, found_route::FoundRoute, identity::Identity};
use crate::{record::recorder::Recorder, request::MonitoringData};

/// States in the request's extensions which monitors record it already. In another task the
/// thread's current exchange is missing or another one.
#[derive(Clone)]
pub(crate) struct Handed {
    request_data: Arc<RequestData>,
    identity: Identity,
    /// The numbers of the monitors.
    monitors: Vec<u64>,
}

impl Handed {
    /// Puts the request's data into its extensions, where a task that is spawned inside will find
    /// it.
    #[inline(never)]
    pub(crate) fn insert<B>(current: &mut Current, request: &mut Request<B>, recorder: &Recorder) {
        let request_data = current.request_data();
        let outer = request.extensions().get::<Self>().filter(|outer| outer.is_of(request));
        let mut monitors = outer.map_or_else(Vec::new, |outer| outer.monitors.clone());
        monitors.push(recorder.number);
        let extensions = request.extensions_mut();
        extensions.insert(Self {
            request_data: Arc::clone(&request_data),
            identity: current.identity,
            monitors,
        });
        extensions.insert(MonitoringData { request_data });
    }

    /// Refines the route of this request if an outer layer of this monitor has it. Returns whether
    /// one has.
    #[inline(never)]
    pub(crate) fn refine<B>(request: &Request<B>, recorder: &Recorder, route: &FoundRoute) -> bool {
        let Some(handed) = request
            .extensions()
            .get::<Self>()
            .filter(|handed| handed.monitors.contains(&recorder.number) && handed.is_of(request))
        else {
            return false;
        };
        if !route.is_unmatched() {
            handed.request_data.lock().refine(&route.to_route(recorder));
        }
        true
    }

    fn is_of<B>(&self, request: &Request<B>) -> bool {
        self.identity.is_of(request.uri(), request.headers(), request.extensions())
    }
}
