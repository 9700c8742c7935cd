//! Plugins that change messages and answer nothing themselves: `header`, `nsid`, `minimal`,
//! `loadbalance`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use podway_dns_plugin::{header, load_balance, minimal, nsid};

use super::{Next, Saying, Stage};
use crate::query::{CD, Query, RD};
use crate::reply::Policy;

/// `header`: flags of queries and replies.
#[derive(Debug)]
pub(crate) struct Header {
    header: header::Header,
    policy: Policy,
}

impl Header {
    /// Changes flags as `header` says; without it replies have those of `policy`.
    pub(crate) fn new(header: header::Header, policy: Policy) -> Self {
        Self { header, policy }
    }
}

impl Stage for Header {
    fn serve<'a>(&'a self, mut asked: Query, next: Next<'a>) -> Saying<'a> {
        let mut message = asked.message();
        self.header.query(&mut message);
        let set = |flags: u16, bit: u16, on: bool| if on { flags | bit } else { flags & !bit };
        asked.flags = set(asked.flags, RD, message.metadata.recursion_desired);
        asked.flags = set(asked.flags, CD, message.metadata.checking_disabled);
        Box::pin(async move {
            let mut said = next.serve(asked).await;
            let metadata = &mut said.message.metadata;
            metadata.recursion_available = said.recursion.unwrap_or(self.policy.recursion);
            self.header.reply(&mut said.message);
            said.recursion = Some(said.message.metadata.recursion_available);
            said
        })
    }
}

/// `nsid`: who answered.
#[derive(Debug)]
pub(crate) struct Nsid(pub(crate) nsid::Nsid);

impl Stage for Nsid {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let mut query = asked.message();
        query.edns.clone_from(&next.context.edns);
        Box::pin(async move {
            let mut said = next.serve(asked).await;
            self.0.mark(&query, &mut said.message);
            said
        })
    }
}

/// `minimal`: nothing that was not asked.
#[derive(Debug)]
pub(crate) struct Minimal;

impl Stage for Minimal {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        Box::pin(async move {
            let mut said = next.serve(asked).await;
            minimal::trim(&mut said.message);
            said
        })
    }
}

/// `loadbalance` where the order is more than random.
#[derive(Debug)]
pub(crate) struct LoadBalance(pub(crate) Arc<ArcSwap<load_balance::LoadBalance>>);

impl Stage for LoadBalance {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        Box::pin(async move {
            let mut said = next.serve(asked).await;
            self.0.load().order(&mut said.message, &mut |below| fastrand::u64(..below));
            said.ordered = true;
            said
        })
    }
}
