//! The certificates that TLS trusts: the system's, and those of a file.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use url::Url;

use crate::{delivery::sink::error::with_causes, error::Error, settings::InfluxSettings};

/// Returns the configuration of TLS. For `http://` it trusts no certificate and reads none.
///
/// # Errors
///
/// Fails if `certificate_authority` holds no certificate, or if neither the system nor that file
/// has any.
pub(super) fn configuration(
    settings: &InfluxSettings,
    url: &Url,
    authority: Option<&[u8]>,
) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if url.scheme() == "https" {
        // Unusable certificates are skipped: systems ship some that no library accepts.
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if let (Some(file), Some(content)) = (&settings.certificate_authority, authority) {
            add_file(&mut roots, file, content)?;
        }
        if roots.is_empty() {
            let remedy = "TLS needs certificates to trust, but the system has none; install them (package `ca-certificates`), \
                          or name a file of PEM certificates in `certificate_authority`";
            return Err(Error::setting("url", url, remedy));
        }
    }
    let Some(provider) = CryptoProvider::get_default().cloned().or_else(own_provider) else {
        let remedy = "feature `tls` uses the cryptography that the application has installed for rustls, and there is none; \
                      call `install_default` of a `CryptoProvider` before the monitor starts, or turn on feature `tls-ring`";
        return Err(Error::setting("client", "reqwest", remedy));
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::setting("client", "reqwest", format_args!("it cannot be created: {}", with_causes(&error)))
        })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the provider that is used if the application has installed none. It is never installed
/// globally.
#[cfg(feature = "tls-ring")]
fn own_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(feature = "tls-ring"))]
fn own_provider() -> Option<Arc<CryptoProvider>> {
    None
}

fn add_file(roots: &mut RootCertStore, file: &Path, content: &[u8]) -> Result<(), Error> {
    let refuse = |why: String| {
        let remedy = format!("{why}; name a file of PEM certificates");
        Error::setting("certificate_authority", file.display(), remedy)
    };
    let mut certificates = CertificateDer::pem_slice_iter(content).peekable();
    if certificates.peek().is_none() {
        return Err(refuse("the file holds no certificate".to_owned()));
    }
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refuse(with_causes(&error)))?;
        roots.add(certificate).map_err(|error| refuse(with_causes(&error)))?;
    }
    Ok(())
}
