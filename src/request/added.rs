//! What the layer itself adds to the points of one request, in memory that is reused.

use super::{spare::Spare, trace_context::TraceHeaders};
use crate::line_protocol::AddedFields;

/// What the layer adds. It is separate from what handlers add, whose collection costs several
/// hundred instructions. It is boxed, since it moves to the thread and back with each poll.
#[derive(Debug, Default)]
pub(crate) struct Added(Option<Box<AddedContents>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct AddedContents {
    pub(crate) fields: AddedFields,
    /// The request's trace headers, if an outgoing client passes them on.
    pub(crate) trace: Option<TraceHeaders>,
}

impl Added {
    /// Returns the fields, if any were added.
    #[inline]
    pub(crate) fn fields(&self) -> Option<&AddedFields> {
        self.0.as_deref().map(|contents| &contents.fields)
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the request's trace headers.
    pub(crate) fn trace(&self) -> Option<&TraceHeaders> {
        self.0.as_deref().and_then(|contents| contents.trace.as_ref())
    }

    /// Copies what the exchange of an outer layer has added, for a layer of another monitor.
    pub(crate) fn of_outer(outer: &Self) -> Self {
        Self(outer.0.clone())
    }

    /// Copies only the trace, for a call that the request makes.
    pub(crate) fn of_caller(caller: &Self) -> Self {
        let Some(contents) = &caller.0 else { return Self::default() };
        let fields = AddedFields { trace_id: contents.fields.trace_id, ..AddedFields::default() };
        Self(Some(Box::new(AddedContents { fields, trace: contents.trace.clone() })))
    }

    /// Returns the contents, created on first use.
    #[inline]
    pub(crate) fn contents(&mut self) -> &mut AddedContents {
        self.0.get_or_insert_with(|| SPARE.try_with(Spare::take).ok().flatten().unwrap_or_default())
    }

    /// Keeps the contents for the next request of this thread.
    #[inline]
    pub(crate) fn put_back(self) {
        if let Some(contents) = self.0 {
            put_back(contents);
        }
    }
}

#[inline(never)]
fn put_back(mut contents: Box<AddedContents>) {
    let AddedContents { fields: AddedFields { trace_id, request_bytes, response_bytes }, trace } =
        &mut *contents;
    // One by one: written as a whole, the fields would be copied.
    (*trace_id, *request_bytes, *response_bytes) = (None, None, None);
    if trace.is_some() {
        *trace = None;
    }
    let _ = SPARE.try_with(|spare| spare.put(contents));
}

thread_local!(static SPARE: Spare<Box<AddedContents>> = const { Spare::new() });

#[cfg(test)]
mod tests {
    use std::{iter, ptr, thread};

    use super::*;
    use crate::request::spare::MAX_SPARE;

    #[test]
    fn contents_that_are_put_back_are_reused_empty_up_to_the_bound() {
        let kept = thread::spawn(|| {
            let mut added = Added::default();
            assert!(added.is_none());
            added.contents().fields.request_bytes = Some(7);
            let place = ptr::from_ref(added.contents());
            added.put_back();
            let mut next = Added::default();
            assert!(ptr::eq(next.contents(), place));
            assert_eq!(next.fields().expect("was made").request_bytes, None);
            next.put_back();
            let all: Vec<_> = (0..2 * MAX_SPARE)
                .map(|_| {
                    let mut added = Added::default();
                    added.contents();
                    added
                })
                .collect();
            all.into_iter().for_each(Added::put_back);
            iter::from_fn(|| SPARE.with(Spare::take)).count()
        });
        assert_eq!(kept.join().expect("no panic"), MAX_SPARE);
    }
}
