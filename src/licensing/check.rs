//! [`LicenseCheck`]: the check that an application implements.

use std::future::Future;

use super::state::LicenseState;
use crate::{error::BoxError, settings::LicensingSettings};

/// A check of a licence, which for example reads a file, asks a licence server or counts seats.
///
/// Closures and functions that return a future of `Result<LicenseState, E>` implement this trait,
/// with any error type `E` that converts to a [`BoxError`]. For your own type, write
/// `async fn check(&self) -> Result<LicenseState, BoxError>`.
///
/// - The check can fail: the error becomes the message of a point with status `error`.
/// - It can take as long as the timeout. Then its future is dropped at the next await.
/// - It can panic, if the program is not built with `panic = "abort"`.
/// - It must not block a thread for long. Use `tokio::task::spawn_blocking` for blocking work.
pub trait LicenseCheck: Send + Sync + 'static {
    /// Checks the licence once.
    fn check(&self) -> impl Future<Output = Result<LicenseState, BoxError>> + Send;

    /// Applies the settings of the monitor. Called once, before the first check. The default
    /// implementation does nothing.
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
