//! What the buffer and the ledger synchronise threads with, named in one place so that `models/` can put loom's there.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError, atomic};

pub(crate) use tokio::sync::Notify;

pub(crate) mod atomic_hash_set;
pub(crate) mod shard;
pub(crate) mod sharded_arc;
