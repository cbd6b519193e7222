//! InfluxDB 1.x as Debian ships it, on data of its own.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running `influxd`. It ends when this is dropped.
pub struct Influx {
    child: Child,
    pub port: u16,
    // Dropped after the process that writes there.
    _directory: TempDir,
}

impl Influx {
    /// Starts it and makes the database.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, rpc_port) = (free_port(), free_port());
        let data = directory.path().display();
        let configuration = format!(
            r#"
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{data}/meta"
[data]
dir = "{data}/data"
wal-dir = "{data}/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
"#
        );
        let file = directory.path().join("influxdb.conf");
        fs::write(&file, configuration).expect("a writable temporary directory");
        let child = Command::new("influxd")
            .arg("-config")
            .arg(file)
            // Its settings also come from the environment.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("influxd is installed: Debian's package influxdb");
        let influx = Self { child, port, _directory: directory };
        influx.query(&format!("CREATE DATABASE {DATABASE}"));
        influx
    }

    /// How many points of the measurement have the field.
    pub fn count(&self, measurement: &str, field: &str) -> u64 {
        let answer = self.query(&format!("SELECT count({field}) FROM {measurement}"));
        // {"results":[{"statement_id":0,"series":[{…,"values":[["1970-01-01T00:00:00Z",7]]}]}]}
        let Some((_, values)) = answer.split_once("\"values\":[[") else { return 0 };
        let number = values.split([',', ']']).nth(1).unwrap_or_default();
        number.parse().unwrap_or_else(|_| panic!("{answer}"))
    }

    fn query(&self, text: &str) -> String {
        let text = text.replace(' ', "%20");
        let request = format!("POST /query?db={DATABASE}&q={text} HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
        let deadline = Instant::now() + START;
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "influxd does not answer: {error}"),
            }
            thread::sleep(Duration::from_millis(50));
        };
        stream.write_all(request.as_bytes()).expect("influxd listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("influxd answers");
        assert!(answer.contains(" 200 OK"), "{answer}");
        answer
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Where the points go.
pub const DATABASE: &str = "monitoring";
const START: Duration = Duration::from_secs(30);
