//! What clients are shown by TLS (RFC 7858), from files that may change.
//!
//! A certificate is renewed every few weeks or days, and the server goes on meanwhile: new connections
//! get what the files say now. Files that are no good leave things as they are.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::forward::config::TlsIdentity;
use crate::forward::transport::tls::{TlsError, authorities, certificates, private_key};
use crate::forward::{Follow, lock};
use crate::server::Stop;

/// The protocol that clients may name (RFC 7858 §3.2, IANA's ALPN registry).
const PROTOCOL: &[u8] = b"dot";

/// What clients are shown, and have to show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsListen {
    /// What they are shown.
    pub identity: TlsIdentity,
    /// What they have to show.
    pub clients: ClientCertificates,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    None,
    /// One that is shown must be signed by an authority in this file, or of the system.
    IfGiven(Option<PathBuf>),
    /// One must be shown, signed so.
    Required(Option<PathBuf>),
}

/// The certificate of a listener.
pub(crate) struct Certificates {
    listen: TlsListen,
    current: ArcSwap<ServerConfig>,
    /// The contents of the files that `current` is made of, and what is wrong with them now.
    read: Mutex<Read>,
}

/// What was read.
#[derive(Default)]
struct Read {
    contents: Vec<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificates").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is no good.
    pub(crate) fn load(listen: TlsListen) -> Result<Self, TlsError> {
        // Before they are used: what changes in between is read again.
        let read = Mutex::new(Read { contents: contents(&listen) });
        let current = ArcSwap::from_pointee(config(&listen)?);
        Ok(Self { listen, current, read })
    }

    /// Takes connections with what the files say now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files whenever they may have changed, until `stop`.
    pub(crate) async fn follow(&self, mut stop: Stop) {
        let mut follow = Follow::new(files(&self.listen));
        loop {
            tokio::select! {
                () = stop.ordered() => return,
                () = follow.perhaps_changed() => self.update(),
            }
        }
    }

    /// Reads the files if they have changed.
    fn update(&self) {
        let now = contents(&self.listen);
        let mut read = lock(&self.read);
        if read.contents == now {
            return;
        }
        read.contents = now;
        let certificate = self.listen.identity.certificate.display();
        match config(&self.listen) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(%certificate, "certificate changed");
            }
            Err(error) => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%certificate, %error, reason, "certificate stays as it was");
            }
        }
    }
}

/// All files.
fn files(listen: &TlsListen) -> Vec<PathBuf> {
    let TlsListen { identity, clients } = listen;
    let authorities = match clients {
        ClientCertificates::None => None,
        ClientCertificates::IfGiven(file) | ClientCertificates::Required(file) => file.clone(),
    };
    [identity.certificate.clone(), identity.key.clone()].into_iter().chain(authorities).collect()
}

/// What all files contain.
fn contents(listen: &TlsListen) -> Vec<Option<Vec<u8>>> {
    files(listen).iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Makes of the files what rustls takes.
fn config(listen: &TlsListen) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = |file: &Option<PathBuf>| {
        let roots = Arc::new(authorities(file.as_deref())?);
        Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(roots, provider.clone()))
    };
    let verifier: Option<Arc<dyn ClientCertVerifier>> = match &listen.clients {
        ClientCertificates::None => None,
        ClientCertificates::IfGiven(file) => Some(verifier(file)?.allow_unauthenticated().build()?),
        ClientCertificates::Required(file) => Some(verifier(file)?.build()?),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let TlsIdentity { certificate, key } = &listen.identity;
    let mut config = builder.with_single_cert(certificates(certificate)?, private_key(key)?)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}
