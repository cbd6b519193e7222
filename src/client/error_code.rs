//! The error codes of a client's errors.

use std::{any::Any, error::Error, io};

use super::config::ClientConfig;
use crate::{error::BoxError, point::error_code::ErrorCode};

pub(super) const CONNECT: ErrorCode = ErrorCode::from_static("connect");
pub(super) const TIMEOUT: ErrorCode = ErrorCode::from_static("timeout");
pub(super) const CANCELED: ErrorCode = ErrorCode::from_static("canceled");
pub(super) const PANIC: ErrorCode = ErrorCode::from_static("panic");
pub(super) const BODY_ERROR: ErrorCode = ErrorCode::from_static("body_error");
/// The code of all other errors that no function of the application classifies.
pub(super) const CLIENT_ERROR: ErrorCode = ErrorCode::from_static("client_error");

impl ClientConfig {
    pub(super) fn error_code(&self, error: &dyn Any) -> ErrorCode {
        for classify in &self.classify {
            if let Some(code) = self.catch_panic(|| classify(error)).flatten() {
                return code;
            }
        }
        let registered = self.as_error.iter().find_map(|as_error| as_error(error));
        // What an error says of itself is the application's own code, too.
        let code =
            registered.or_else(|| known(error)).and_then(|error| self.catch_panic(|| by_sources(error)));
        code.unwrap_or(CLIENT_ERROR)
    }
}

/// Returns errors of types that need no registration.
fn known(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return Some(&**error);
    }
    if let Some(error) = error.downcast_ref::<Box<dyn Error>>() {
        return Some(&**error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return Some(error);
    }
    error.downcast_ref::<io::Error>().map(|error| error as _)
}

/// Returns the code that follows from the chain of sources. A timeout while connecting is a
/// timeout.
fn by_sources(error: &(dyn Error + 'static)) -> ErrorCode {
    let mut connect = false;
    let mut next = Some(error);
    let mut depth = 0;
    while let Some(error) = next.filter(|_| depth < MAX_DEPTH) {
        if is_timeout(error) {
            return TIMEOUT;
        }
        connect |= is_connect(error);
        next = error.source();
        depth += 1;
    }
    if connect { CONNECT } else { CLIENT_ERROR }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "reqwest")]
    if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
        return true;
    }
    error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || TIMEOUTS.contains(&error.to_string().as_str())
}

fn is_connect(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "reqwest")]
    if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
        return true;
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        );
    }
    // An error to connect displays only its cause.
    error.to_string().starts_with(HYPER_CONNECT) || format!("{error:?}").starts_with(CONNECT_ERROR)
}

/// tower's `Elapsed`, tonic's `TimeoutExpired` and hyper's `TimedOut`. Their types are private or
/// would require a feature or a dependency.
const TIMEOUTS: [&str; 3] = ["request timed out", "Timeout expired", "operation timed out"];
/// hyper-util's legacy client, whose type would require a dependency.
const HYPER_CONNECT: &str = "client error (Connect)";
/// The `ConnectError` of tonic and of hyper-util's connector, in the form for debugging.
const CONNECT_ERROR: &str = "ConnectError(";
/// A cyclic chain must not block the request.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_sources_distinguishes_connect_and_timeout() {
        let io = |kind| BoxError::from(io::Error::new(kind, "x"));
        for (error, code) in [
            (io(io::ErrorKind::ConnectionRefused), CONNECT),
            (io(io::ErrorKind::HostUnreachable), CONNECT),
            (io(io::ErrorKind::TimedOut), TIMEOUT),
            (io(io::ErrorKind::ConnectionReset), CLIENT_ERROR),
            (BoxError::from("request timed out"), TIMEOUT),
            (BoxError::from("Timeout expired"), TIMEOUT),
            (BoxError::from("operation timed out"), TIMEOUT),
            (BoxError::from(HYPER_CONNECT), CONNECT),
            (BoxError::from("something else"), CLIENT_ERROR),
        ] {
            assert_eq!(by_sources(&*error), code, "{error:?}");
            assert!(known(&error).is_some());
        }
        assert!(known(&"text").is_none());
    }

    /// An error whose source is itself.
    #[derive(Debug)]
    struct Endless;

    impl std::fmt::Display for Endless {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("endless")
        }
    }

    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Self)
        }
    }

    #[test]
    fn an_endless_chain_of_sources_is_cut() {
        assert_eq!(by_sources(&Endless), CLIENT_ERROR);
    }
}
