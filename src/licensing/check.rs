//! [`LicenseCheck`]: the check that an application implements.

use std::pin::Pin;

use super::state::LicenseState;
use crate::{error::BoxError, settings::LicensingSettings};

/// A check of a licence, which for example reads a file, asks a licence server or counts seats.
///
/// Closures and functions that return a future of `Result<LicenseState, E>` implement this trait,
/// with any error type `E` that converts to a [`BoxError`]. For your own type, return
/// `Box::pin(async move { … })`, as for a [`Sink`](crate::sink::Sink).
///
/// - The check can fail: the error becomes the message of a point with status `error`.
/// - It can take as long as the timeout. Then its future is dropped at the next await.
/// - It can panic, if the program is not built with `panic = "abort"`.
/// - It must not block a thread for long. Use `tokio::task::spawn_blocking` for blocking work.
pub trait LicenseCheck: Send + Sync + 'static {
    /// Checks the licence once.
    ///
    /// # Errors
    ///
    /// Why the check could not run. What a check finds wrong with the licence is no error, but part
    /// of the [`LicenseState`].
    fn check(&self) -> LicenseCheckFuture<'_>;

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
    fn check(&self) -> LicenseCheckFuture<'_> {
        Box::pin(async move { self().await.map_err(Into::into) })
    }
}

/// What [`LicenseCheck::check`] returns.
pub type LicenseCheckFuture<'a> = Pin<Box<dyn Future<Output = Result<LicenseState, BoxError>> + Send + 'a>>;
