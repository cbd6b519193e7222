//! The trait that every HTTP client implements, its answer, and the settings that all clients
//! share.

use std::{borrow::Cow, future::Future, time::Duration};

use ::http::StatusCode;
use bytes::Bytes;
use url::{Host, Url};

use super::WriteError;
use crate::{
    error::Error,
    settings::{InfluxApi, InfluxSettings, Token},
};

/// An HTTP client that sends a body to the write endpoint of a server.
pub(super) trait Transport: Sized + Send + Sync + 'static {
    /// Creates the client. Sends nothing yet. `authorization` is the value of that header,
    /// `authority` the content of `certificate_authority`.
    fn new(
        settings: &InfluxSettings,
        url: &Url,
        authorization: Option<&Token>,
        authority: Option<&[u8]>,
    ) -> Result<Self, Error>;

    /// Sends one body. Returns an error if no answer arrived.
    fn send(&self, body: Bytes, compressed: bool) -> impl Future<Output = Result<Reply, WriteError>> + Send;
}

/// An answer of the server.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// The API of the endpoint that was used.
    pub(super) api: InfluxApi,
    pub(super) body: AnswerBody,
    /// The `Retry-After` header, where the transport gives access to it.
    pub(super) retry_after: Option<String>,
}

/// The beginning of an answer's body. It is bounded, since 2.x quotes every bad line, and a proxy
/// may send anything.
#[derive(Debug, Default)]
pub(super) struct AnswerBody {
    bytes: Vec<u8>,
    /// Whether the body was longer than what was kept.
    cut: bool,
}

impl AnswerBody {
    /// Adds a piece as it arrives. Returns whether further pieces are still kept.
    pub(super) fn add(&mut self, piece: &[u8]) -> bool {
        let room = MAX_ANSWER - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.cut |= piece.len() > room;
        !self.cut
    }

    /// Returns whether the whole body was kept.
    pub(super) fn is_complete(&self) -> bool {
        !self.cut
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Returns whether the server is reached without a network. Compression would then cost more than
/// it saves, and no proxy belongs in between.
pub(super) fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // A Unix socket.
        None => true,
    }
}

/// The `User-Agent` header of the clients.
pub(super) const USER_AGENT: &str = concat!("tower-influx/", env!("CARGO_PKG_VERSION"));
/// The content type of lines, for servers that check it.
pub(super) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// How long an idle connection is kept. It is closed before nginx closes it under a write, which it
/// does after 75 seconds.
pub(super) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Detects a dead peer, where nothing else would.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_an_answer_is_linear_in_its_length() {
        crate::work::assert_linear(&["\u{fffd}"], |text| {
            let mut body = AnswerBody::default();
            // Pieces may end inside a character.
            assert!(text.as_bytes().chunks(1000).all(|piece| body.add(piece)) && body.is_complete());
            body.text();
        });
    }

    #[test]
    fn an_endless_answer_is_kept_up_to_its_bound() {
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
