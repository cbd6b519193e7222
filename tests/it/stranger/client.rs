//! Sends the requests over sockets, and keeps the client's ledger.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::{SinkExt, StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::requests::{Case, Send};
use crate::support::http::{Http, HttpAnswer};

/// A request that was sent, and how many bytes of a body were received, if known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) number: usize,
    pub(super) case: Case,
    pub(super) body_bytes: Option<u64>,
}

/// Sends one request, and compares the answer.
pub(super) async fn make(http: &Http, address: &str, number: usize, case: Case) -> Made {
    let mut made = Made { number, case, body_bytes: None };
    match case.send {
        Send::Socket(messages) => talk(address, number, case, messages).await,
        Send::AndLeave => leave(address, number, case).await,
        Send::TooMuch(_) => {
            // On a connection of its own: the server closes it.
            if let Ok(answer) = Http::new().send(request(address, number, case)).await {
                compare(&answer, case);
            }
        }
        _ => {
            let answer = http.send(request(address, number, case)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{case:?}: {error}"));
            compare(&answer, case);
            made.body_bytes = Some(answer.body.len() as u64);
        }
    }
    made
}

fn compare(answer: &HttpAnswer, case: Case) {
    assert_eq!(answer.status, case.status, "{case:?}: {}", answer.text());
    let compressed = answer.headers.get("content-encoding").is_some_and(|value| value == "gzip");
    let asked = case.headers.iter().any(|header| header.0 == "accept-encoding");
    assert_eq!(compressed, asked, "{case:?}: {:?}", answer.headers);
    if case.method == "HEAD" {
        assert!(answer.body.is_empty(), "{case:?}");
    }
}

fn request(address: &str, number: usize, case: Case) -> Request<Body> {
    let method = Method::from_bytes(case.method.as_bytes()).expect("a valid method");
    let mut request = Request::builder().method(method).uri(format!("http://{address}{}", case.path));
    request = request.header("x-request-id", number.to_string());
    for (name, value) in case.headers {
        request = request.header(*name, *value);
    }
    let body = match case.send {
        Send::Text(text) => Body::from(text),
        Send::Bytes(size) | Send::TooMuch(size) => Body::from(vec![b'x'; size]),
        Send::Pieces(count) => {
            let piece = Bytes::from_static(&[b'x'; 1024]);
            Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(piece.clone()))))
        }
        Send::Nothing | Send::Socket(_) | Send::AndLeave | Send::Unseen => Body::empty(),
    };
    request.body(body).expect("a valid request")
}

/// Sends and reads messages, and closes the socket properly.
async fn talk(address: &str, number: usize, case: Case, messages: u32) {
    let mut request = format!("ws://{address}{}", case.path).into_client_request().expect("a valid address");
    request.headers_mut().insert("x-request-id", number.into());
    let stream = TcpStream::connect(address).await.expect("the server is there");
    let (mut socket, answer) = client_async(request, stream).await.expect("an upgrade");
    assert_eq!(answer.status(), case.status);
    for message in 0..messages {
        let message = Message::text(message.to_string());
        socket.send(message.clone()).await.expect("it is read");
        assert_eq!(socket.next().await.expect("an echo").expect("an echo"), message);
    }
    socket.close(None).await.expect("a close");
    while let Some(message) = socket.next().await {
        assert!(message.expect("a close").is_close());
    }
}

/// Reads the first piece of a stream, and disconnects.
async fn leave(address: &str, number: usize, case: Case) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.request(request(address, number, case)).await.expect("a head");
    assert_eq!(answer.status(), case.status);
    let first = answer.into_body().frame().await.expect("a first piece").expect("a first piece");
    assert!(first.is_data());
}
