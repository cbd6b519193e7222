//! [`LicenseCheck`]: what an application provides.

use std::future::Future;

use super::state::LicenseState;
use crate::{error::BoxError, settings::LicensingSettings};

/// A check of a licence: reads a file, asks a licence server, counts seats.
///
/// Implemented for every closure and function that returns such a future, with any error type; a
/// type of one's own writes `async fn check(&self) -> Result<LicenseState, BoxError>`.
///
/// It may fail: the error becomes the message of a point with status `error`. It may take as long
/// as the time-out says; then its future is dropped at the next await. It may panic, if the program
/// is not built with `panic = "abort"`. What it must not do is block a thread for long: use
/// `tokio::task::spawn_blocking` for that.
pub trait LicenseCheck: Send + Sync + 'static {
    /// Checks the licence once.
    fn check(&self) -> impl Future<Output = Result<LicenseState, BoxError>> + Send;

    /// Takes what the settings say about the check. Called once before the first check; does
    /// nothing by default.
    fn configure(&mut self, settings: &LicensingSettings) {
        let _ = settings;
    }
}

impl<F, R, E> LicenseCheck for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<LicenseState, E>> + Send,
    E: Into<BoxError>,
{
    async fn check(&self) -> Result<LicenseState, BoxError> {
        self().await.map_err(Into::into)
    }
}
