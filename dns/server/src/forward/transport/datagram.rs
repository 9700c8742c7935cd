//! Asks by UDP, and by TCP where a datagram is not enough.
//!
//! Every try has a socket of its own, so its port is the kernel's random choice, and is connected,
//! so only the upstream's replies arrive and an unreachable port fails at once. Names are spelled in
//! mixed case. A reply in another case is not believed but asked for again by TCP, where nobody
//! beside the path can answer; if that one has another case too, the upstream folds names, and is
//! spared the mixing from then on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Asking, Plain, Reply, Streams, Transport};
use crate::forward::config::MixedCase;
use crate::forward::metrics::UpstreamMetrics;
use crate::forward::outgoing::{Judgement, Outgoing, Spelling};

/// Room for a reply in a datagram: more than is asked for, as some servers ignore the limit.
const DATAGRAM_OCTETS: usize = 4096;

/// How long TCP is waited for when a datagram was not enough but better than nothing.
const STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// One upstream, asked by UDP.
#[derive(Debug)]
pub(crate) struct Datagrams {
    place: Plain,
    /// Whether names are spelled in mixed case.
    mixes: AtomicBool,
    streams: Streams<Plain>,
    metrics: UpstreamMetrics,
}

impl Datagrams {
    /// Asks the upstream at `place`, and by `streams` where that is not enough.
    pub(crate) fn new(
        place: Plain,
        mixed_case: MixedCase,
        streams: Streams<Plain>,
        metrics: UpstreamMetrics,
    ) -> Self {
        let mixes = AtomicBool::new(mixed_case == MixedCase::WhereRepeated);
        Self { place, mixes, streams, metrics }
    }

    /// Asks by UDP and takes the first datagram that replies, however it spells the name.
    async fn ask_by_datagram(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        let Plain { address, source } = self.place;
        let any = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((source.unwrap_or(any), 0)).await?;
        socket.connect(address).await?;
        let sent = outgoing.with_id(rand::random());
        socket.send(&sent.octets).await?;
        let mut buffer = vec![0; DATAGRAM_OCTETS];
        loop {
            let octets = socket.recv(&mut buffer).await?;
            let judgement = sent.judge(&buffer[..octets]);
            if judgement != Judgement::Unrelated {
                buffer.truncate(octets);
                return Ok(Reply { message: buffer, judgement });
            }
        }
    }

    /// Asks by UDP, then by TCP if need be.
    async fn ask_as_needed(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        let mixes = self.mixes.load(Ordering::Relaxed);
        let spelling = if mixes { Spelling::Mixed } else { Spelling::Small };
        let outgoing = Outgoing { spelling, ..outgoing.clone() };
        let reply = self.ask_by_datagram(&outgoing).await?;
        match reply.judgement {
            Judgement::OtherSpelling if mixes => self.ask_surely(&outgoing).await,
            Judgement::Reply | Judgement::OtherSpelling if reply.is_truncated() => {
                // Half a reply is better than none.
                Ok(self.ask_by_stream(&outgoing).await.unwrap_or(reply))
            }
            Judgement::Reply
            | Judgement::OtherSpelling
            | Judgement::BareError
            | Judgement::Unrelated => Ok(reply),
        }
    }

    /// Asks again because the letters of the reply were not those that were sent.
    async fn ask_surely(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        self.metrics.spelled_otherwise();
        match self.ask_by_stream(outgoing).await {
            Ok(reply) => {
                if reply.judgement == Judgement::OtherSpelling {
                    self.stop_mixing();
                }
                Ok(reply)
            }
            Err(_no_stream) => {
                // Without TCP there is only this to find out.
                let plain = Outgoing { spelling: Spelling::Small, ..outgoing.clone() };
                let reply = self.ask_by_datagram(&plain).await?;
                self.stop_mixing();
                Ok(reply)
            }
        }
    }

    /// Asks by TCP, for as long as that is reasonable.
    async fn ask_by_stream(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        timeout(STREAM_PATIENCE, self.streams.ask_once(outgoing)).await?
    }

    fn stop_mixing(&self) {
        if self.mixes.swap(false, Ordering::Relaxed) {
            tracing::info!(upstream = %self.place.address,
                "upstream does not repeat the case of letters; names go out in small ones");
        }
    }
}

impl Transport for Datagrams {
    fn ask<'a>(&'a self, outgoing: &'a Outgoing) -> Asking<'a> {
        Box::pin(self.ask_as_needed(outgoing))
    }
}
