//! Names what the buffer and the ledger synchronise threads with, so that the models can put loom's
//! there.

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
