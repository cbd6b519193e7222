//! Licences: a check at start and each day at midnight, with a point in the series `licensing` for every one.

mod builder;
mod check;
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
pub use check::{BoxError, LicenseCheck};
#[cfg(feature = "license-file")]
pub use file::{LicenseFile, PublicKey};
pub use point::LicensingPoint;
pub use state::{CheckedLicense, LicenseState, LicenseStatus};
pub use watch::{LicenseChanges, LicenseWatch};
