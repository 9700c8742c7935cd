//! Certificates between us and upstreams.

use crate::line::Line;
use crate::plugin::Effects;

/// How servers are known by TLS, and we by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamTls {
    /// The name in their certificates, unless the upstream brings its own.
    pub server_name: Option<String>,
    /// What we show them.
    pub identity: Option<ClientIdentity>,
    /// File of the authorities that sign their certificates; `None` is those of the system.
    pub authorities: Option<String>,
}

/// What a client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// File of the certificate.
    pub certificate: String,
    /// File of its key.
    pub key: String,
}

impl UpstreamTls {
    /// Reads `[[CERT KEY] [CA]]`.
    pub(super) fn read(&mut self, mut line: Line<'_>) {
        let words: Vec<String> = line.rest().iter().map(|word| word.text.clone()).collect();
        let identity = |certificate, key| Some(ClientIdentity { certificate, key });
        let (identity, authorities) = match <[String; 3]>::try_from(words) {
            Ok([certificate, key, authorities]) => (identity(certificate, key), Some(authorities)),
            Err(words) => match words.as_slice() {
                [] => (None, None),
                [authorities] => (None, Some(authorities.clone())),
                [certificate, key] => (identity(certificate.clone(), key.clone()), None),
                _ => {
                    line.fault(line.name(), "takes three files at most", "tls [[CERT KEY] [CA]]");
                    (None, None)
                }
            },
        };
        (self.identity, self.authorities) = (identity, authorities);
        line.end();
    }

    /// Says what servers show, and what they are shown.
    pub(super) fn effects(&self, say: &mut Effects) {
        if let Some(name) = &self.server_name {
            say.line(format!("servers show a certificate for {name}"));
        }
        if let Some(authorities) = &self.authorities {
            say.line(format!("servers show a certificate signed by {authorities}"));
        }
        if let Some(ClientIdentity { certificate, .. }) = &self.identity {
            say.line(format!("servers are shown {certificate}"));
        }
    }
}
