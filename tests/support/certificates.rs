//! Certificates for test servers, made by the `openssl` program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::live::OPENSSL;

/// A certificate authority that is trusted by no one but this test.
#[derive(Debug)]
pub(crate) struct Authority {
    directory: TempDir,
}

/// The certificate and key of a server: PEM files that live as long as their authority.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// From 2020 to 2099.
    Valid,
    /// In January 2020.
    Expired,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("index.txt"), "").expect("a writable temporary directory");
        let authority = Self { directory };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority of a test",
            "-keyout",
            "authority.key",
            "-out",
            "authority.pem",
        ]);
        authority
    }

    /// Returns the path of the authority's certificate, which a client has to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Issues a certificate for names like `IP:127.0.0.1` or `DNS:localhost`, joined by commas.
    pub(crate) fn issue(&self, file: &str, names: &str, validity: Validity) -> Certificate {
        // `openssl x509` cannot make an expired certificate. `openssl ca` can, but needs this
        // configuration.
        let configuration = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\n\
             default_md = sha256\npolicy = any\nx509_extensions = leaf\nunique_subject = no\n\
             [any]\ncommonName = supplied\n\
             [leaf]\nsubjectAltName = {names}\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\n"
        );
        fs::write(self.path("authority.conf"), configuration).expect("a writable temporary directory");
        let (key, request, certificate) =
            (format!("{file}.key"), format!("{file}.csr"), format!("{file}.pem"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=server of a test",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let end = match validity {
            Validity::Valid => "20991231235959Z",
            Validity::Expired => "20200201000000Z",
        };
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "authority.conf",
            "-cert",
            "authority.pem",
            "-keyfile",
            "authority.key",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            end,
            "-in",
            &request,
            "-out",
            &certificate,
        ]);
        Certificate { certificate: self.path(&certificate), key: self.path(&key) }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(Path::new(file))
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new(OPENSSL.path())
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("openssl starts");
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
