//! What the ways to a server have in common: the trait, the answer, and what each client is told.

use std::{borrow::Cow, future::Future, time::Duration};

use ::http::StatusCode;
use bytes::Bytes;
use url::{Host, Url};

use super::WriteError;
use crate::{
    error::Error,
    settings::{InfluxApi, InfluxSettings, Token},
};

/// One way of bringing a body to the write endpoint of a server.
pub(super) trait Transport: Sized + Send + Sync + 'static {
    /// Makes everything ready, and sends nothing yet. `authorization` is the value of that header,
    /// `authority` what `certificate_authority` holds.
    fn new(
        settings: &InfluxSettings,
        url: &Url,
        authorization: Option<&Token>,
        authority: Option<&[u8]>,
    ) -> Result<Self, Error>;

    /// Sends one body. `Err` where no answer came.
    fn send(&self, body: Bytes, compressed: bool) -> impl Future<Output = Result<Reply, WriteError>> + Send;
}

/// An answer of the server.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// The endpoint that was asked.
    pub(super) api: InfluxApi,
    pub(super) body: AnswerBody,
    /// The header `Retry-After`, where the transport shows it.
    pub(super) retry_after: Option<String>,
}

/// The body of an answer as far as it is worth reading: 2.x quotes every bad line, and a proxy may
/// send anything.
#[derive(Debug, Default)]
pub(super) struct AnswerBody {
    bytes: Vec<u8>,
    /// There was more than was kept.
    cut: bool,
}

impl AnswerBody {
    /// Adds a piece as it arrives. Returns whether further ones are worth reading.
    pub(super) fn add(&mut self, piece: &[u8]) -> bool {
        let room = MAX_ANSWER - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.cut |= piece.len() > room;
        !self.cut
    }

    /// Returns whether all of it was kept.
    pub(super) fn is_complete(&self) -> bool {
        !self.cut
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Returns whether the server is reached without a network: compression would cost more than it
/// saves, and no proxy belongs between.
pub(super) fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // A socket.
        None => true,
    }
}

/// How the clients call themselves.
pub(super) const USER_AGENT: &str = concat!("tower-influx/", env!("CARGO_PKG_VERSION"));
/// What lines are, for servers that look.
pub(super) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// An idle connection is given up before nginx, which waits 75 seconds, closes it under a write.
pub(super) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Finds out that the other side is gone, where nothing else would.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_an_answer_is_linear_in_its_length() {
        crate::work::assert_linear(&["\u{fffd}"], |text| {
            let mut body = AnswerBody::default();
            // Pieces end anywhere.
            assert!(text.as_bytes().chunks(1000).all(|piece| body.add(piece)) && body.is_complete());
            body.text();
        });
    }

    #[test]
    fn an_answer_without_an_end_is_kept_up_to_its_bound() {
        let piece = vec![b'x'; 1000];
        let held = allocation_counter::measure(|| {
            let mut body = AnswerBody::default();
            let added = (0..).take_while(|_| body.add(&piece)).count();
            assert_eq!((added, body.bytes.len(), body.is_complete()), (MAX_ANSWER / 1000, MAX_ANSWER, false));
        });
        let mut body = AnswerBody::default();
        assert!(body.add(&[b'x'; MAX_ANSWER]) && body.is_complete(), "exactly as much as is kept");
        for _ in 0..3 {
            assert!(!body.add(b"x") && !body.is_complete(), "whatever comes after that");
        }
        assert!(held.bytes_max <= 3 * MAX_ANSWER as u64, "{held:?}");
    }
}
