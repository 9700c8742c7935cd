//! The ways to ask an upstream.

mod datagram;
mod stream;
pub(crate) mod tls;

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use self::datagram::Datagrams;
use self::stream::{Plain, Streams};
pub use self::tls::TlsError;
use self::tls::{Tls, client_config};
use crate::forward::config::{
    ForwardConfig, MixedCase, Protocol, StreamReuse, Target, Upstream as Place,
};
use crate::forward::metrics::UpstreamMetrics;
use crate::forward::outgoing::{Judgement, Outgoing};
use crate::query::{TC, u16_at};

/// An upstream's reply to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The whole message.
    pub(crate) message: Vec<u8>,
    /// How it repeats the question: never [`Judgement::Unrelated`].
    pub(crate) judgement: Judgement,
}

/// What becomes of a question.
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = io::Result<Reply>> + Send + 'a>>;

/// A way to ask one upstream.
pub(crate) trait Transport: Debug + Send + Sync {
    /// Asks once. Waits for ever: the caller has the clock.
    ///
    /// # Errors
    /// The upstream or the way to it refused.
    fn ask<'a>(&'a self, outgoing: &'a Outgoing) -> Asking<'a>;
}

/// Knows the way to every upstream.
pub(crate) trait Dial: Debug + Send + Sync {
    /// Finds the way to the upstream at `place`.
    ///
    /// # Errors
    /// [`TlsError`]: it cannot be asked as it should be.
    fn transport(
        &self,
        place: &Place,
        metrics: &UpstreamMetrics,
    ) -> Result<Box<dyn Transport>, TlsError>;
}

/// The ways over the network.
#[derive(Debug)]
pub(crate) struct Network {
    mixed_case: MixedCase,
    streams: StreamReuse,
    source: Option<IpAddr>,
    /// The name that certificates have if an upstream brings none.
    name: Option<String>,
    tls: Option<Arc<ClientConfig>>,
}

impl Network {
    /// Prepares to ask as `config` says; TLS is set up only if an upstream needs it.
    ///
    /// # Errors
    /// [`TlsError`]: it cannot be set up.
    pub(crate) fn new(config: &ForwardConfig) -> Result<Self, TlsError> {
        let needs_tls = config.to.iter().any(|target| match target {
            Target::Upstream(place) => matches!(place.protocol, Protocol::Tls { .. }),
            Target::ResolvConf(_) => false,
        });
        Ok(Self {
            mixed_case: config.mixed_case,
            streams: config.streams,
            source: config.source,
            name: config.tls.name.clone(),
            tls: needs_tls.then(|| client_config(&config.tls)).transpose()?,
        })
    }
}

impl Dial for Network {
    fn transport(
        &self,
        place: &Place,
        metrics: &UpstreamMetrics,
    ) -> Result<Box<dyn Transport>, TlsError> {
        let Place { address, protocol } = place;
        let plain = Plain { address: *address, source: self.source };
        let streams = |plain| Streams::new(plain, self.streams, metrics.clone());
        Ok(match (protocol, &self.tls) {
            (Protocol::Udp, _) => {
                Box::new(Datagrams::new(plain, self.mixed_case, streams(plain), metrics.clone()))
            }
            (Protocol::Tcp, _) => Box::new(streams(plain)),
            (Protocol::Tls { name }, Some(tls)) => {
                let name = name.as_deref().or(self.name.as_deref());
                let tls = Tls::new(plain, name, Arc::clone(tls))?;
                Box::new(Streams::new(tls, self.streams, metrics.clone()))
            }
            (Protocol::Tls { .. }, None) => return Err(TlsError::NotSetUp),
        })
    }
}

impl Reply {
    /// Whether the upstream left something out.
    fn is_truncated(&self) -> bool {
        u16_at(&self.message, 2).unwrap_or(0) & TC != 0
    }
}
