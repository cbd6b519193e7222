//! An HTTP server that fails on request, for tests of HTTP clients.
//!
//! It implements just enough of HTTP/1.1 over plain TCP to send what a library would refuse:
//! truncated answers, resets, no answer, and answers before the body has arrived.

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A server that answers each request as the test specifies. It ends when dropped.
pub(crate) struct FaultServer {
    address: SocketAddr,
    state: Arc<ServerState>,
    task: JoinHandle<()>,
}

/// The reaction to one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends a complete answer.
    Answer(CannedAnswer),
    /// Resets the connection after the request, before any byte of an answer.
    Reset,
    /// Closes the connection after the request, before any byte of an answer.
    Close,
    /// Sends the status and headers of an answer with a body, then resets the connection.
    ResetAfterHeaders(CannedAnswer),
    /// Sends the status, the headers and half of the body, then closes the connection.
    CutBody(CannedAnswer),
    /// Sends no answer and keeps the connection open.
    Stall,
    /// Sends these bytes instead of an answer, then closes the connection.
    Raw(Vec<u8>),
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct CannedAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// As received: still compressed, if it was.
    pub(crate) body: Vec<u8>,
}

type ServerBehaviour = Box<dyn FnMut(&Received) -> Step + Send>;

struct ServerState {
    behaviour: Mutex<ServerBehaviour>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    /// A longer body is answered with 413 before it is read.
    largest_body: AtomicUsize,
}

impl FaultServer {
    /// Starts a server that performs each step for one request, then answers 204.
    pub(crate) async fn scripted(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut steps: VecDeque<Step> = steps.into_iter().collect();
        Self::start(move |_| steps.pop_front().unwrap_or_else(|| Step::status(204))).await
    }

    /// Starts a server that chooses the step by the request.
    pub(crate) async fn start(behaviour: impl FnMut(&Received) -> Step + Send + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), behaviour).await
    }

    /// Starts a server like [`start`](Self::start) at this address.
    pub(crate) async fn start_at(
        address: SocketAddr,
        behaviour: impl FnMut(&Received) -> Step + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(ServerState {
            behaviour: Mutex::new(Box::new(behaviour)),
            received: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            largest_body: AtomicUsize::new(usize::MAX),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Answers 413 to longer bodies without reading them, as proxies do.
    pub(crate) fn refuse_bodies_over(&self, bytes: usize) {
        self.state.largest_body.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far, without those whose body was refused unread.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many connections have been opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Step {
    /// Returns the step that answers with this status and no body.
    pub(crate) fn status(status: u16) -> Self {
        Self::text(status, "")
    }

    /// Returns the step that answers with this status and body.
    pub(crate) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(CannedAnswer { status, headers: Vec::new(), body: body.into() })
    }

    /// Adds a header to the answer of a [`Step::Answer`].
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Makes the answer of this step end after its headers.
    pub(crate) fn reset_after_headers(self) -> Self {
        match self {
            Self::Answer(answer) => Self::ResetAfterHeaders(answer),
            other => other,
        }
    }

    /// Makes the answer of this step end in its body.
    pub(crate) fn cut(self) -> Self {
        match self {
            Self::Answer(answer) => Self::CutBody(answer),
            other => other,
        }
    }
}

impl Received {
    /// Returns the value of the first header of this name, which must be in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body, decompressed if the headers say that it is compressed.
    pub(crate) fn lines(&self) -> String {
        if self.header("content-encoding") != Some("gzip") {
            return String::from_utf8_lossy(&self.body).into_owned();
        }
        let mut text = String::new();
        flate2::read::GzDecoder::new(&self.body[..]).read_to_string(&mut text).expect("a gzip body");
        text
    }
}

/// An address at which connecting never ends: its queue is full, and the kernel drops further
/// packets.
pub(crate) struct Blackhole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    pub(crate) async fn open() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        let mut queued = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            queued.push(connected?);
        }
        Ok(Self { address, _listener: listener, _queued: queued })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, state: Arc<ServerState>) {
    // Dropped with this task, which closes every connection.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::Relaxed);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // Some tests are about clients that disconnect.
            let _ = serve(stream, &state).await;
        });
    }
}

async fn serve(stream: TcpStream, state: &ServerState) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_head(&mut stream).await? {
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if length > state.largest_body.load(Ordering::Relaxed) {
            let answer = CannedAnswer { status: 413, headers: Vec::new(), body: b"too large".to_vec() };
            // Closing with the body unread resets the connection while the client still writes.
            return stream.write_all(&head_and_body(&answer, &answer.body)).await;
        }
        request.body = vec![0; length];
        stream.read_exact(&mut request.body).await?;
        let step = state.behaviour.lock().unwrap_or_else(PoisonError::into_inner)(&request);
        state.received.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        match step {
            Step::Answer(answer) => stream.write_all(&head_and_body(&answer, &answer.body)).await?,
            Step::Reset => return stream.get_ref().set_zero_linger(),
            Step::Close => return Ok(()),
            Step::ResetAfterHeaders(answer) => {
                stream.write_all(&head_and_body(&answer, b"")).await?;
                // Without a pause the reset would overtake the headers.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return stream.get_ref().set_zero_linger();
            }
            Step::CutBody(answer) => {
                let half = &answer.body[..answer.body.len() / 2];
                return stream.write_all(&head_and_body(&answer, half)).await;
            }
            Step::Stall => {
                // Ends when the client gives up.
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
                return Ok(());
            }
            Step::Raw(bytes) => return stream.write_all(&bytes).await,
        }
    }
    Ok(())
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Received>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Received { method, target, headers, body: Vec::new() }))
}

/// Returns headers that declare the answer's whole body, followed by the given part of it.
fn head_and_body(answer: &CannedAnswer, body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.status != 204 {
        head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
