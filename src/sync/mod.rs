//! The synchronization primitives of the buffer and the ledger. The models replace them by those of
//! loom.

#[cfg(not(tower_influx_loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(tower_influx_loom))]
pub(crate) use std::sync::atomic;

#[cfg(not(tower_influx_loom))]
pub(crate) use tokio::sync::Notify;

#[cfg(tower_influx_loom)]
pub(crate) use self::loom::{Mutex, MutexGuard, Notify, atomic};

pub(crate) mod atomic_hash_set;
pub(crate) mod block_on;
#[cfg(tower_influx_loom)]
mod loom;
pub(crate) mod shard;
pub(crate) mod sharded_arc;
