//! The exchange that a thread is working on right now.
//!
//! While the inner service runs, the layer puts what the extractor needs into a thread-local cell.
//! It takes it back when the call or poll is over, also after a panic. The request's extensions
//! instead would cost every request two or three allocations, whether or not a handler uses the
//! data.

use std::{
    cell::Cell,
    mem::{self, ManuallyDrop},
    sync::Arc,
};

use http::{HeaderValue, Request, Response};

use super::{
    added::Added, config::LayerConfig, data::RequestData, found_route::FoundRoute, header,
    identity::Identity, route::Route, trace_context::TraceHeaders,
};
use crate::{
    record::recorder::Recorder,
    request::{MonitoringData, RequestId},
    sync::sharded_arc::ShardedArc,
};

/// The state that the extractor finds: which request is running, and its request data once there is
/// one.
///
/// Layers of different monitors share the request data, but each has its own `Current`.
///
/// It moves to the thread and back for each poll, so it is kept small. For that reason the id that
/// a request brought is in the request data.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) config: ShardedArc<LayerConfig>,
    pub(crate) request_data: Option<Arc<RequestData>>,
    /// What the layer itself adds to the request's points.
    pub(crate) added: Added,
    /// The number of the id that was generated for this request. An id in the request data takes
    /// precedence.
    pub(crate) number: u64,
    /// The identity of the request that the exchange began with.
    pub(crate) identity: Identity,
}

thread_local! {
    /// Has no destructor, which each access would have to check. Every value that is put in is
    /// taken out again when the poll is over, also after a panic. So nothing is left to be dropped.
    static CURRENT: Slot = const {
        Slot { is_used: Cell::new(false), current: Cell::new(ManuallyDrop::new(None)) }
    };
}

struct Slot {
    /// False if there is no current exchange. Stored beside it, since reading the exchange moves
    /// it.
    is_used: Cell<bool>,
    current: Cell<ManuallyDrop<Option<Current>>>,
}

/// Makes `current` the thread's current exchange. Stores the previous one, nearly always none, in
/// its place until [`leave`].
#[inline]
pub(crate) fn enter(current: &mut Option<Current>) {
    CURRENT.with(|slot| {
        if slot.is_used.replace(true) {
            *current = slot.replace(current.take());
        } else {
            slot.current.set(ManuallyDrop::new(current.take()));
        }
    });
}

/// Undoes an [`enter`].
#[inline]
pub(crate) fn leave(current: &mut Option<Current>) {
    CURRENT.with(|slot| match current.take() {
        None => {
            slot.is_used.set(false);
            *current = slot.replace(None);
        }
        outer => *current = slot.replace(outer),
    });
}

impl Slot {
    #[inline(always)]
    fn with<R>(&self, look: impl FnOnce(&mut Current) -> R) -> Option<R> {
        let mut current = self.replace(None)?;
        let result = look(&mut current);
        self.current.set(ManuallyDrop::new(Some(current)));
        Some(result)
    }

    #[inline(always)]
    fn replace(&self, current: Option<Current>) -> Option<Current> {
        ManuallyDrop::into_inner(self.current.replace(ManuallyDrop::new(current)))
    }
}

/// Relates a new exchange to the thread's current one, if any. Returns true if that one has the
/// same request for the same monitor. The layer is then an inner one, which only knows a better
/// route.
#[inline]
pub(crate) fn join<B>(
    new: &mut Current,
    recorder: &Arc<Recorder>,
    route: &FoundRoute,
    request: &Request<B>,
) -> bool {
    CURRENT.with(|slot| {
        // Most requests are not made by a handler of another one.
        slot.is_used.get() && slot.with(|outer| outer.relate(new, recorder, route, request)).unwrap_or(false)
    })
}

/// Accesses the thread's current exchange. `look` must not run foreign code: if that accessed the
/// current exchange, too, it would find none.
#[inline]
pub(crate) fn with<R>(look: impl FnOnce(&mut Current) -> R) -> Option<R> {
    CURRENT.with(|slot| slot.with(look))
}

impl MonitoringData {
    /// Returns the data of the request that this thread is working on right now, if a monitored one
    /// is.
    ///
    /// This is what the extractor uses. Call it before `tokio::spawn`, and move the result into the
    /// task: a spawned task is polled outside of its request.
    pub fn current() -> Option<Self> {
        with(Self::of)
    }

    #[inline(always)]
    pub(super) fn of(current: &mut Current) -> Self {
        Self { request_data: current.request_data() }
    }
}

impl Current {
    /// Returns the request data, created on first use.
    #[inline(always)]
    pub(crate) fn request_data(&mut self) -> Arc<RequestData> {
        if let Some(request_data) = &self.request_data {
            return Arc::clone(request_data);
        }
        let request_data = match &self.config.recorder {
            Some(recorder) => RequestData::take(recorder, RequestId::generated(self.number)),
            // Unreachable: a disabled monitor has no exchange.
            None => RequestData::without_owner(),
        };
        self.request_data = Some(Arc::clone(&request_data));
        if !self.added.is_none() {
            self.share_trace();
        }
        request_data
    }

    /// Lends the request's data to a function of the application. If there is none, the data does
    /// not become the request's yet: most functions add nothing to most requests.
    #[inline(always)]
    pub(crate) fn lend_data(&mut self) -> MonitoringData {
        let request_data = match &self.config.recorder {
            Some(recorder) if self.request_data.is_none() && self.added.is_none() => {
                RequestData::take(recorder, RequestId::generated(self.number))
            }
            _ => self.request_data(),
        };
        MonitoringData { request_data }
    }

    /// Takes over data that was lent to a function which has changed or kept it.
    #[inline(never)]
    pub(crate) fn take_over(&mut self, mut lent: Arc<RequestData>) {
        match &mut self.request_data {
            None => self.request_data = Some(lent),
            Some(own) if Arc::ptr_eq(own, &lent) => {}
            // The function has asked for the current request's data, too. The one that somebody
            // has kept stays, since more may be added to it.
            Some(own) => {
                if Arc::strong_count(own) == 1 {
                    mem::swap(own, &mut lent);
                }
                self.merge(&lent);
                lent.lock().seal();
            }
        }
        // The function for the trace was called before.
        self.share_trace();
    }

    /// Tells the request data the trace that the layer has read, for handlers.
    #[inline(never)]
    pub(crate) fn share_trace(&self) {
        let trace_id = self.added.fields().and_then(|fields| fields.trace_id);
        if let (Some(request_data), Some(_)) = (&self.request_data, trace_id) {
            request_data.lock().trace_id = trace_id;
        }
    }

    /// Returns whether nothing of this response but its status has a part in the request's points.
    /// It is not asked for a layer that has a classifier or passes the id on.
    #[inline]
    pub(crate) fn is_judged_by_status<B>(&self, response: &Response<B>) -> bool {
        response.extensions().is_empty()
            && header::find(response.headers(), &self.config.request_id_header).is_none()
    }

    /// Relates another exchange to this one, see [`join`].
    #[cold]
    #[inline(never)]
    fn relate<B>(
        &mut self,
        new: &mut Self,
        recorder: &Arc<Recorder>,
        route: &FoundRoute,
        request: &Request<B>,
    ) -> bool {
        let is_same = self.identity.is_of(request.uri(), request.headers(), request.extensions());
        match (is_same, self.is_within(recorder)) {
            (true, true) => {
                self.refine(&route.to_route(recorder));
                new.config.warn_of_ignored_options();
                return true;
            }
            // Layers of several monitors around one request share its data.
            (true, false) => {
                new.request_data = Some(self.request_data());
                new.added = Added::of_outer(&self.added);
                new.config = ShardedArc::new(new.config.within(&self.config));
            }
            // A call by this monitor's own client is independent of the request that makes it.
            (false, true) => {}
            // A call through another monitor's layer keeps a reference to the request that makes
            // it.
            (false, false) => {
                new.request_data = Some(RequestData::of_call(recorder, self.request_data()));
                new.added = Added::of_caller(&self.added);
                new.share_trace();
            }
        }
        false
    }

    /// Refines the route, see [`Contents::refine`].
    #[inline(never)]
    pub(crate) fn refine(&mut self, route: &Route) {
        if !route.is_unmatched() {
            self.request_data().lock().refine(route);
        }
    }

    pub(crate) fn request_id(&self) -> RequestId {
        match &self.request_data {
            Some(request_data) => request_data.lock().request_id(),
            None => RequestId::generated(self.number),
        }
    }

    /// Returns the request's trace headers, if the layer reads them.
    pub(crate) fn trace_headers(&self) -> Option<TraceHeaders> {
        self.added.trace().cloned()
    }

    /// Adopts the data that an outer middleware has put into the request's extensions.
    #[inline(never)]
    pub(crate) fn adopt(&mut self, recorder: &Recorder, request_data: &Arc<RequestData>) {
        // The data may belong to another request, as with a retry outside of the layer. Or an outer
        // layer of another monitor has created request data already. In both cases only its current
        // contents can be merged into this request.
        if self.request_data.is_some()
            || !request_data.lock().adopt(recorder, RequestId::generated(self.number))
        {
            return self.merge(request_data);
        }
        self.request_data = Some(Arc::clone(request_data));
    }

    /// Stores the id that the request brought, if it is valid, in the request data.
    #[inline(never)]
    pub(crate) fn take_id(&mut self, recorder: &Recorder, header: &HeaderValue) {
        let Some(id) = RequestId::from_header(header, &recorder.counters) else { return };
        match &self.request_data {
            Some(request_data) => request_data.lock().take_id(recorder, id),
            None => self.request_data = Some(RequestData::take(recorder, id)),
        }
    }

    /// Takes the generated id that an inner layer has put into the response, unless the request
    /// brought one.
    #[inline(never)]
    pub(crate) fn take_given_id(&mut self, header: &HeaderValue) {
        let Some(recorder) = &self.config.recorder else { return };
        if self.request_id().number().is_none() {
            return;
        }
        if let Some(id) = RequestId::from_header(header, &recorder.counters) {
            self.request_data().lock().request_id = id;
        }
    }

    /// Adds the contents of other request data to this exchange's own.
    #[inline(never)]
    pub(crate) fn merge(&mut self, other: &Arc<RequestData>) {
        if self.request_data.as_ref().is_some_and(|own| Arc::ptr_eq(own, other)) {
            return;
        }
        // The data of two requests must never be locked at once: two requests that merge each
        // other's data would deadlock.
        let (extras, error_code, keep, skip) = {
            let other = other.lock();
            (other.extras.clone(), other.error_code.clone(), other.keep, other.skip)
        };
        let own = self.request_data();
        let mut own = own.lock();
        own.add(|own, limits| own.merge(&extras, limits));
        own.error_code = error_code.or(own.error_code.take());
        own.keep |= keep;
        own.skip |= skip;
    }

    /// Returns whether this exchange, or an outer one with the same request, belongs to the given
    /// monitor.
    fn is_within(&self, recorder: &Arc<Recorder>) -> bool {
        let LayerConfig { recorder: own, around, .. } = &*self.config;
        own.iter().chain(around).any(|around| Arc::ptr_eq(around, recorder))
    }
}
