//! Entry points for `fuzz/`, `models/` and `benches/`, which test and measure private parts.
//!
//! Part of no build of the crate itself: `internals/build.rs` sets the cfgs. The fuzz targets are
//! also compiled for the unit tests, which run the committed seeds.

#[cfg(tower_influx_internals)]
pub mod encode;
#[cfg(any(test, tower_influx_internals))]
pub mod fuzz;
#[cfg(tower_influx_loom)]
pub mod models;
