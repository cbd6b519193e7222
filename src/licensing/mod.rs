//! Licences: a check at start and at each local midnight, with a point for each check.
//!
#![doc = include_str!("../docs/links.md")]
#![doc = include_str!("../../docs/licensing.md")]

mod builder;
mod check;
mod failures;
#[cfg(feature = "license-file")]
mod file;
mod point;
mod schedule;
mod state;
mod task;
mod wall_clock;
mod watch;

#[cfg(test)]
mod tests;

pub use builder::Licensing;
pub use check::{LicenseCheck, LicenseCheckFuture};
#[cfg(feature = "license-file")]
pub use file::{LicenseFile, PublicKey};
pub use point::LicensingPoint;
pub use state::{CheckedLicense, LicenseState, LicenseStatus};
pub(crate) use task::RecordPoint;
pub use watch::{LicenseChanges, LicenseWatch};

pub use crate::error::BoxError;
