//! Certificates, made for one test.

use std::path::PathBuf;

use podway_dns_server::TlsIdentity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and certificates in files.
pub(crate) struct Papers {
    folder: tempfile::TempDir,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    /// A new authority, in the file `authority.pem`.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        Self { folder, authority }
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for `name`, and its key.
    pub(crate) fn certificate(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    /// Writes a certificate for `name` and its key, replacing what was there at once.
    pub(crate) fn issue(&self, file: &str, name: &str) -> TlsIdentity {
        let (certificate, key) = self.certificate(name);
        for (kind, text) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            let new = self.path("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.path(&format!("{file}.{kind}"))).unwrap();
        }
        let path = |kind: &str| self.path(&format!("{file}.{kind}"));
        TlsIdentity { certificate: path("pem"), key: path("key") }
    }
}
