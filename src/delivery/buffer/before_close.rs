//! A function that is called before a buffer is closed.

use std::fmt;

/// The function that [`Buffer::close`](super::Buffer::close) calls before it closes the shards.
pub(super) struct BeforeClose<B>(Option<LastPush<B>>);

type LastPush<B> = Box<dyn Fn(&B) + Send + Sync>;

impl<B> BeforeClose<B> {
    pub(super) fn new(last: impl Fn(&B) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(last)))
    }

    pub(super) fn call(&self, buffer: &B) {
        if let Some(last) = &self.0 {
            last(buffer);
        }
    }
}

impl<B> Default for BeforeClose<B> {
    fn default() -> Self {
        Self(None)
    }
}

impl<B> fmt::Debug for BeforeClose<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "BeforeClose" } else { "None" })
    }
}
