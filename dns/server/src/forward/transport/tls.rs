//! Connections by TLS (RFC 7858).
//!
//! `ring` does the cryptography: it builds with a C compiler alone, and the image needs no library.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::VerifierBuilderError;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::stream::{Connect, Plain};
use crate::forward::config::TlsTrust;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{what} cannot be read from {}", path.display())]
    File {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// There is no authority to trust.
    #[error("no certificate authority in {place}")]
    NoAuthority {
        /// Where one was sought.
        place: String,
    },
    /// The name of an upstream cannot stand in a certificate.
    #[error("{name:?} is not a name that a certificate can have")]
    Name {
        /// The name.
        name: String,
    },
    /// No upstream was known to need it.
    #[error("TLS is not set up")]
    NotSetUp,
    /// Certificate and key, or the cryptography, do not fit.
    #[error("TLS cannot be set up")]
    Setup(#[from] tokio_rustls::rustls::Error),
    /// Certificates of clients cannot be checked.
    #[error("certificates of clients cannot be checked")]
    Clients(#[from] VerifierBuilderError),
}

/// Opens connections with TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    plain: Plain,
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("plain", &self.plain).field("name", &self.name).finish()
    }
}

impl Tls {
    /// Connects as `plain` does and expects the certificate to name `name`, or else the address.
    pub(crate) fn new(
        plain: Plain,
        name: Option<&str>,
        config: Arc<ClientConfig>,
    ) -> Result<Self, TlsError> {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_malformed| TlsError::Name { name: name.to_owned() })?,
            None => ServerName::IpAddress(plain.address.ip().into()),
        };
        Ok(Self { plain, connector: TlsConnector::from(config), name })
    }
}

impl Connect for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        let stream = self.plain.connect().await?;
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Reads what `trust` names.
pub(crate) fn client_config(trust: &TlsTrust) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(trust.authorities.as_deref())?);
    let mut config = match &trust.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificates = certificates(&identity.certificate)?;
            builder.with_client_auth_cert(certificates, private_key(&identity.key)?)?
        }
    };
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(Arc::new(config))
}

/// The key in `path`.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        what: "a key",
        path: path.to_owned(),
        source,
    })
}

/// The authorities in `path`, or those of the system.
pub(crate) fn authorities(path: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let place = match path {
        Some(path) => {
            store.add_parsable_certificates(certificates(path)?);
            path.display().to_string()
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "the store of the system".to_owned()
        }
    };
    if store.is_empty() { Err(TlsError::NoAuthority { place }) } else { Ok(store) }
}

/// The certificates in `path`.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::File { what: "certificates", path: path.to_owned(), source })
}
