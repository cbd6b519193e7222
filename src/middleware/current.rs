//! The exchange that a thread is working on right now, and the slot that holds what its handlers add.
//!
//! While the inner service runs, the layer puts what the extractor needs into a thread-local cell, and takes it back when
//! the call or poll is over, also when it panics. Putting it into the request's extensions instead would cost every request
//! two or three allocations, whether a handler asks for it or not.

use std::{
    cell::{Cell, RefCell},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderValue;

use super::{config::LayerConfig, route::Route};
use crate::{
    ErrorCode, RequestId, Value,
    intake::Intake,
    line_protocol::{Changes, Extras},
    settings::Limits,
    sharded_arc::ShardedArc,
};

/// What the extractor finds: whose request is running, and the slot of its extras once there is one.
///
/// Layers of different monitors share one slot: each has its own `Current`, with the same slot in it.
///
/// It moves to the thread and back for each poll, so it is small: an id that the request brought is in the slot.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) config: ShardedArc<LayerConfig>,
    pub(crate) slot: Option<Arc<Slot>>,
    /// The number of the id that was given to this request. What a slot says comes first.
    pub(crate) number: u64,
    /// See [`Route::address`].
    pub(crate) route_address: usize,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    static SPARE: RefCell<Vec<Arc<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// Makes `current` the thread's own, and puts what was that before in its place.
#[inline]
pub(crate) fn swap(current: &mut Option<Current>) {
    // A thread that is being torn down has no current exchange; what runs on it then is counted, without extras.
    let _ = CURRENT.try_with(|cell| cell.swap(Cell::from_mut(current)));
}

/// Relates a new exchange to the one that this thread is working on, if any. True if that is this monitor's own, or within one:
/// then the layer is an inner one, which only knows the route better. Of another monitor's it shares the slot.
#[inline]
pub(crate) fn join(new: &mut Current, intake: &Arc<Intake>, route: &Route) -> bool {
    with(|outer| {
        if outer.is_within(intake) {
            if !route.is_unmatched() {
                outer.slot().lock().refine(route.clone());
            }
            return true;
        }
        new.slot = Some(Arc::clone(outer.slot()));
        new.config = ShardedArc::new(new.config.within(&outer.config));
        false
    })
    .unwrap_or(false)
}

/// Looks at the thread's current exchange. Must not run foreign code, which could look as well and would find nothing.
#[inline]
pub(crate) fn with<R>(look: impl FnOnce(&mut Current) -> R) -> Option<R> {
    CURRENT
        .try_with(|cell| {
            let mut current = cell.take()?;
            let result = look(&mut current);
            cell.set(Some(current));
            Some(result)
        })
        .ok()
        .flatten()
}

impl Current {
    /// The slot, made on first use.
    pub(crate) fn slot(&mut self) -> &Arc<Slot> {
        let Self { config, slot, number, .. } = self;
        slot.get_or_insert_with(|| Slot::take(Some(config.clone()), RequestId::given(*number)))
    }

    pub(crate) fn request_id(&self) -> RequestId {
        match &self.slot {
            Some(slot) => slot.lock().request_id(),
            None => RequestId::given(self.number),
        }
    }

    /// Takes the slot of data that a middleware outside put into the request's extensions.
    pub(crate) fn adopt(&mut self, slot: &Arc<Slot>) {
        // Where an outer layer of another monitor has made a slot already, or the data was another request's, as with a retry
        // outside of the layer, only what is in it by now can join this request.
        if self.slot.is_some() || !slot.lock().adopt(&self.config, RequestId::given(self.number)) {
            return self.merge(slot);
        }
        self.slot = Some(Arc::clone(slot));
    }

    /// Takes the id that the request brought, if it can be one. It goes into the slot.
    #[inline(never)]
    pub(crate) fn take_id(&mut self, header: &HeaderValue) {
        let Some(id) = RequestId::from_header(header) else { return };
        match &self.slot {
            Some(slot) => slot.lock().take_id(&self.config, id),
            None => self.slot = Some(Slot::take(Some(self.config.clone()), id)),
        }
    }

    /// Adds the contents of another slot to this exchange's own.
    pub(crate) fn merge(&mut self, other: &Arc<Slot>) {
        if self.slot.as_ref().is_some_and(|own| Arc::ptr_eq(own, other)) {
            return;
        }
        // Never two slots locked at once: two requests that merge each other's data would wait for ever.
        let (extras, error_code) = {
            let other = other.lock();
            (other.extras.clone(), other.error_code.clone())
        };
        let mut own = self.slot().lock();
        own.add(|own, limits| own.merge(&extras, limits));
        own.error_code = error_code.or(own.error_code.take());
    }

    /// Whether this exchange, or one around it, is of the given monitor.
    ///
    /// Not whether one shares its slot: a handler may call another monitor's service several times, and each call counts.
    fn is_within(&self, intake: &Arc<Intake>) -> bool {
        let LayerConfig { intake: own, around, .. } = &*self.config;
        own.iter().chain(around).any(|around| Arc::ptr_eq(around, intake))
            // Around it in another task.
            || self.slot.as_ref().is_some_and(|slot| slot.lock().is_last(intake))
    }
}

/// Where extras of one request are collected. Sealed when the request's points are written.
#[derive(Debug)]
pub(crate) struct Slot(Mutex<Contents>);

#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) extras: Extras,
    pub(crate) error_code: Option<ErrorCode>,
    /// A route found further inside, where more is known of it.
    pub(crate) route: Option<Route>,
    pub(crate) request_id: RequestId,
    /// The layer of the outermost monitor whose request this is. `None` for a slot that an application made.
    owner: Option<ShardedArc<LayerConfig>>,
    sealed: bool,
}

impl Slot {
    /// A spare slot or a new one.
    pub(crate) fn take(owner: Option<ShardedArc<LayerConfig>>, request_id: RequestId) -> Arc<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let slot = spare.unwrap_or_else(|| Arc::new(Self(Mutex::default())));
        let mut contents = slot.lock();
        contents.request_id = request_id;
        contents.owner = owner;
        drop(contents);
        slot
    }

    /// Puts a slot aside for the next request, if nobody else holds it.
    pub(crate) fn put_back(mut slot: Arc<Self>) {
        let Some(only) = Arc::get_mut(&mut slot) else { return };
        let contents = only.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        contents.extras.clear();
        contents.owner = None;
        contents.error_code = None;
        contents.route = None;
        contents.request_id = RequestId::default();
        contents.sealed = false;
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(slot);
            }
        });
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        // Nothing under this lock leaves an entry half written, so a panic in between has broken nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    pub(crate) fn tag(&mut self, key: &'static str, value: Value<'_>) {
        self.add(|extras, limits| extras.tag(key, value, limits));
    }

    pub(crate) fn field(&mut self, key: &'static str, value: Value<'_>) {
        self.add(|extras, limits| extras.field(key, value, limits));
    }

    pub(crate) fn request_id(&self) -> RequestId {
        self.request_id.clone()
    }

    /// Takes the route that is known here, further inside: axum's matched paths only grow on the way in.
    pub(crate) fn refine(&mut self, route: Route) {
        self.route = Some(route);
    }

    /// Makes the slot this request's, with the id unless another monitor has given it one. False if its request has ended.
    pub(crate) fn adopt(&mut self, config: &ShardedArc<LayerConfig>, request_id: RequestId) -> bool {
        if self.sealed {
            return false;
        }
        if self.owner.is_none() {
            self.owner = Some(config.clone());
            self.request_id = request_id;
        }
        true
    }

    /// Takes the id that the request brought, unless the slot is another monitor's, which has given the request its id.
    pub(crate) fn take_id(&mut self, config: &LayerConfig, id: RequestId) {
        if config.intake.as_ref().is_some_and(|intake| self.is_last(intake)) {
            self.request_id = id;
        }
    }

    /// Whether this monitor is the outermost that the slot belongs to, and so the last to write its points.
    pub(crate) fn is_last(&self, intake: &Intake) -> bool {
        self.intake().is_none_or(|owner| ptr::eq(owner, intake))
    }

    fn intake(&self) -> Option<&Intake> {
        self.owner.as_ref()?.intake.as_deref()
    }

    /// Ends the collecting. What comes later is counted as late.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    #[inline]
    pub(crate) fn add(&mut self, add: impl FnOnce(&mut Extras, &Limits) -> Changes) {
        let Self { extras, owner, sealed: false, .. } = self else { return self.count_late() };
        match owner.as_ref().and_then(|owner| owner.intake.as_deref()) {
            Some(owner) => {
                let changes = add(extras, &owner.limits);
                if !changes.is_empty() {
                    changes.count(&owner.counters);
                }
            }
            None => {
                add(extras, &Limits::default());
            }
        }
    }

    #[cold]
    fn count_late(&self) {
        if let Some(owner) = self.intake() {
            owner.counters.late_extras.add(1);
        }
    }
}

/// Spare slots a thread keeps: as many as one worker usually has under way with extras; beyond them one is allocated.
const MAX_SPARE: usize = 64;
