//! Runs nginx in front of a server. It offers the API of InfluxDB 2.x, checks the token, and fails
//! in every way that proxies fail.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{
    live::NGINX,
    process::{Process, free_port},
};

/// What nginx does instead of forwarding a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status, which must be one of [`STATUSES`].
    Status(u16),
    /// Closes the connection without an answer, as nginx does for its own status 444.
    Close,
    /// Refuses every token.
    Unauthorized,
    /// Redirects (301, 302, 307) to a page that answers 204.
    Redirect(u16),
    /// Answers 200 with a page, as captive portals do.
    Portal,
}

/// The statuses that a [`Fault`] can have.
pub(crate) const STATUSES: [u16; 9] = [400, 403, 404, 413, 429, 500, 502, 503, 504];

const REDIRECTS: [u16; 3] = [301, 302, 307];

/// It contains a space, as the path of a user may.
const SOCKET: &str = "nginx socket";

/// The server behind nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// InfluxDB 1.x at this port: `/api/v2/write` becomes `/write`, the bucket the database.
    Influx(u16),
    /// A server that implements `/api/v2/write` itself.
    AsItIs(u16),
}

/// The configuration with which nginx is started.
#[derive(Clone, Debug)]
pub(crate) struct NginxOptions {
    pub(crate) upstream: Upstream,
    /// The only token that is accepted.
    pub(crate) token: String,
    /// `client_max_body_size`; without it, nginx's own default of 1 MiB.
    pub(crate) max_body_size: Option<String>,
    /// The certificate (with its chain) and key for `https`, both PEM files.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Option<Process>,
    port: u16,
    scheme: &'static str,
    // Dropped after the process that writes there.
    directory: TempDir,
}

/// A write as recorded in nginx's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) status: u16,
    pub(crate) request_length: u64,
    pub(crate) encoding: String,
    pub(crate) request: String,
}

impl Nginx {
    /// Starts nginx in front of this server.
    pub(crate) async fn before(upstream: Upstream, token: &str) -> Self {
        let token = token.to_owned();
        Self::start(NginxOptions { upstream, token, max_body_size: None, certificate: None }).await
    }

    pub(crate) async fn start(options: NginxOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        fs::create_dir(directory.path().join("faults")).expect("a writable temporary directory");
        let configuration = configuration(&options, port, &directory);
        fs::write(directory.path().join("nginx.conf"), configuration)
            .expect("a writable temporary directory");
        let scheme = if options.certificate.is_some() { "https" } else { "http" };
        let mut nginx = Self { process: None, port, scheme, directory };
        nginx.resume_service().await;
        nginx
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Returns the URL of the Unix socket, which has no TLS.
    pub(crate) fn socket_url(&self) -> String {
        format!("unix://{}", self.directory.path().join(SOCKET).display()).replace(' ', "%20")
    }

    /// Applies the fault from the next request on, without a reload, until [`heal`](Self::heal) is
    /// called.
    pub(crate) fn set_fault(&self, fault: Fault) {
        self.heal();
        let name = match fault {
            Fault::Status(status) => {
                assert!(STATUSES.contains(&status), "{status} is not in nginx.conf: add it to STATUSES");
                status.to_string()
            }
            Fault::Close => "444".to_owned(),
            Fault::Unauthorized => "401".to_owned(),
            Fault::Redirect(status) => {
                assert!(REDIRECTS.contains(&status), "{status} is not in nginx.conf: add it to REDIRECTS");
                status.to_string()
            }
            Fault::Portal => "portal".to_owned(),
        };
        fs::write(self.directory.path().join("faults").join(name), "").expect("a writable directory");
    }

    /// Ends the fault.
    pub(crate) fn heal(&self) {
        let faults = fs::read_dir(self.directory.path().join("faults")).expect("a readable directory");
        for fault in faults {
            fs::remove_file(fault.expect("a readable entry").path()).expect("a writable directory");
        }
    }

    /// Ends nginx at once: from now on connections are refused.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port.
    pub(crate) async fn resume_service(&mut self) {
        let mut command = Command::new(NGINX.path());
        let folder = self.directory.path();
        // A killed nginx leaves its socket file, with which the next one would refuse to start.
        let _ = fs::remove_file(folder.join(SOCKET));
        command
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-e")
            .arg(folder.join("error.log"));
        self.process = Some(Process::start("nginx", &mut command, folder));
        // Waits for a connection, not for an answer: the certificate may be one that nothing
        // trusts.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let ended = self.process.as_mut().and_then(Process::ended);
            assert!(
                ended.is_none() && tokio::time::Instant::now() < deadline,
                "nginx is not ready ({ended:?}): {}",
                self.error_log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Returns the process, which must not be stopped.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("nginx runs")
    }

    /// Returns every write that nginx has answered so far. The last ones may appear shortly after
    /// their answer.
    pub(crate) fn log(&self) -> Vec<Logged> {
        let text = fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut parts = line.splitn(4, ' ');
                Some(Logged {
                    status: parts.next()?.parse().ok()?,
                    request_length: parts.next()?.parse().ok()?,
                    encoding: parts.next()?.to_owned(),
                    request: parts.next()?.to_owned(),
                })
            })
            .collect()
    }

    pub(crate) fn error_log(&self) -> String {
        let read = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("error.log") + &read("nginx.log")
    }
}

fn configuration(options: &NginxOptions, port: u16, directory: &TempDir) -> String {
    let folder = directory.path().display();
    let socket = directory.path().join(SOCKET);
    let socket = socket.display();
    let (upstream, rewrite) = match options.upstream {
        Upstream::Influx(port) => {
            // The question mark at the end keeps nginx from adding the original arguments.
            (port, "rewrite ^ /write?db=$arg_bucket&precision=$arg_precision? break;")
        }
        Upstream::AsItIs(port) => (port, ""),
    };
    let (ssl, certificate) = match &options.certificate {
        Some((certificate, key)) => {
            let (certificate, key) = (certificate.display(), key.display());
            (" ssl", format!("ssl_certificate {certificate};\n ssl_certificate_key {key};"))
        }
        None => ("", String::new()),
    };
    let max_body_size = options.max_body_size.as_deref().unwrap_or("1m");
    let faults: String = STATUSES
        .iter()
        .chain(&[444])
        .map(|status| format!("if (-f {folder}/faults/{status}) {{ return {status}; }}\n"))
        .collect();
    let redirects: String = REDIRECTS
        .iter()
        .map(|status| {
            format!(
                "if (-f {folder}/faults/{status}) {{ return {status} $scheme://$http_host/elsewhere; }}\n"
            )
        })
        .collect();
    let token = &options.token;
    let unauthorized = r#"return 401 '{"code":"unauthorized","message":"unauthorized access"}';"#;
    // One process that stays in the foreground. A fault is a file, so that it starts and ends
    // without a reload. After a reload, open connections would still be served with the old
    // configuration.
    format!(
        r#"
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    log_format writes '$status $request_length "$http_content_encoding" $request';
    access_log {folder}/access.log writes;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size {max_body_size};
    upstream database {{ server 127.0.0.1:{upstream}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port}{ssl};
        listen "unix:{socket}";
        {certificate}
        default_type application/json;
        location = /api/v2/write {{
            {faults}
            {redirects}
            if (-f {folder}/faults/portal) {{ return 200 '<html>Please log in.</html>'; }}
            if (-f {folder}/faults/401) {{ {unauthorized} }}
            if ($http_authorization != "Token {token}") {{ {unauthorized} }}
            {rewrite}
            proxy_pass http://database;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location = /elsewhere {{ return 204; }}
        location / {{ return 404; }}
    }}
}}
"#
    )
}
