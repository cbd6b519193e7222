//! A server that takes every write and keeps nothing, in a process of its own, so that its time is
//! not counted as ours.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// The process. It ends when this is dropped, or when we end.
pub struct Discarding {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    orders: Option<ChildStdin>,
    pub port: u16,
}

impl Discarding {
    /// Starts this very program with the argument `discard`, for which it has to call [`discard`].
    pub fn start() -> Self {
        let this = env::current_exe().expect("a path");
        let mut command = Command::new(this);
        let mut child = command
            .arg("discard")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("we can start ourselves");
        let (orders, answers) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut server = Self { child, answers: BufReader::new(answers), orders, port: 0 };
        server.port = u16::try_from(server.number()).expect("a port");
        server
    }

    /// Ends it and returns the bytes of all bodies that it has taken.
    pub fn stop(mut self) -> u64 {
        drop(self.orders.take());
        self.number()
    }

    fn number(&mut self) -> u64 {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the server speaks");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// What the process does: says its port, answers 204 to everything until its input ends, says how
/// many bytes it took.
pub fn discard() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound").port());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).expect("the input can be read");
    println!("{}", TAKEN.load(Ordering::SeqCst));
}

/// Until the other side closes the connection.
fn serve(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(BUFFER, stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink()).ok()?;
        TAKEN.fetch_add(length, Ordering::SeqCst);
        (&*stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}

static TAKEN: AtomicU64 = AtomicU64::new(0);
const BUFFER: usize = 256 * 1024;
