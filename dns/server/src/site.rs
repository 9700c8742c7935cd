//! The server blocks that one address answers for, and what each of them does with a query.
//!
//! Of the zones that a name is in the longest decides (RFC 1034 §4.3.2). A name in none of them is
//! refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use podway_dns_sign::Signer;
use podway_dns_zone::{AskedName, ZoneIndex};

use crate::chain::forward::Forward;
use crate::chain::kubernetes::Kubernetes;
use crate::chain::{Context, Next, Said, Stage};
use crate::config::StreamLimits;
use crate::direct::{PlainQuery, reply};
use crate::forward::{Fleet, LOOP_TYPE};
use crate::keeper::Keeper;
use crate::metrics::{Metrics, ZoneLabel};
use crate::observe::Observers;
use crate::query::{Query, Question};
use crate::reply::Policy;
use crate::respond::{Replied, Transport};

/// Everything that is answered at one address.
#[derive(Debug)]
pub(crate) struct Site {
    /// Zones with their blocks, the longest first.
    zones: Vec<Served>,
    /// Limits of streams.
    pub(crate) streams: StreamLimits,
}

/// A zone that a block answers for.
#[derive(Debug)]
pub(crate) struct Served {
    zone: AskedName,
    /// The zone as metrics call it.
    pub(crate) label: ZoneLabel,
    /// The block.
    pub(crate) block: Arc<Block>,
}

/// One server block at work.
#[derive(Debug)]
pub(crate) struct Block {
    /// What is said of this server in replies.
    pub(crate) policy: Policy,
    /// How queries are answered.
    pub(crate) way: Way,
    /// The plugins, in order.
    pub(crate) stages: Vec<Box<dyn Stage>>,
    /// What is written about replies.
    pub(crate) observers: Observers,
    /// Which plain questions go straight to the index.
    pub(crate) direct: Option<(DirectGate, Arc<ArcSwap<ZoneIndex>>)>,
    /// What signs replies, if anything does.
    pub(crate) signer: Option<Arc<Signer>>,
    /// Who is asked for names of others.
    pub(crate) fleet: Arc<Fleet>,
    /// What follows the files of plugins.
    pub(crate) keepers: Vec<Keeper>,
}

/// How the queries of a block are answered; both ways give the same replies.
#[derive(Debug)]
pub(crate) enum Way {
    /// From the index, else by the upstreams: no other plugin can change a reply.
    Plain(Option<Arc<ArcSwap<ZoneIndex>>>),
    /// By the stages.
    Staged,
}

/// Lets plain questions through that no plugin but `kubernetes` has anything to say to.
#[derive(Debug)]
pub(crate) struct DirectGate {
    /// Types that some plugin looks at.
    pub(crate) except: Vec<RecordType>,
    /// Zones whose names some plugin looks at.
    pub(crate) zones: Vec<AskedName>,
    /// Says, while it is set, that some plugin looks at names of the cluster.
    pub(crate) shut: Vec<Arc<AtomicBool>>,
    /// Whether some plugin has more to say to names that do not exist.
    pub(crate) searches: bool,
    /// Whether some plugin looks at the options of OPT.
    pub(crate) without_options: bool,
    /// Whether some plugin looks at queries with the DO bit.
    pub(crate) without_dnssec: bool,
}

impl Default for DirectGate {
    /// Lets all through but those that may be ours, on their way round a loop.
    fn default() -> Self {
        Self {
            except: vec![LOOP_TYPE],
            zones: Vec::new(),
            shut: Vec::new(),
            searches: false,
            without_options: false,
            without_dnssec: false,
        }
    }
}

impl DirectGate {
    /// Lets no query with options through any more.
    pub(crate) fn look_at_options(&mut self) {
        self.without_options = true;
    }

    /// Whether the question may go straight to the index.
    fn admits(&self, query: &PlainQuery<'_>) -> bool {
        !(self.except.contains(&query.qtype())
            || self.shut.iter().any(|shut| shut.load(Ordering::Relaxed))
            || self.zones.iter().any(|zone| query.name().is_within(zone))
            || self.without_options && query.has_options()
            || self.without_dnssec && query.is_dnssec_ok())
    }
}

impl Site {
    /// Puts blocks together; of two for one zone the first counts.
    pub(crate) fn new(
        blocks: Vec<(Vec<Name>, Arc<Block>)>,
        streams: StreamLimits,
        metrics: &Metrics,
    ) -> Self {
        let mut zones = Vec::new();
        for (names, block) in blocks {
            zones.extend(names.iter().map(|name| Served {
                zone: AskedName::from(name),
                label: metrics.zone(name),
                block: Arc::clone(&block),
            }));
        }
        zones.sort_by_key(|served| std::cmp::Reverse(served.zone.label_count()));
        Self { zones, streams }
    }

    /// Begins what goes on beside the queries, where nobody has.
    pub(crate) fn start(&self) {
        for Served { block, .. } in &self.zones {
            block.fleet.start();
            block.keepers.iter().for_each(Keeper::start);
        }
    }

    /// Whether `question` was sent from here to find loops, and thus has come back.
    pub(crate) fn came_back(&self, question: &Question) -> bool {
        let sent = |served: &Served| served.block.fleet.forwarders().came_back(&question.name);
        question.qtype == LOOP_TYPE && self.zones.iter().any(sent)
    }

    /// Says that queries are answered at one more address, to which upstreams may lead.
    pub(crate) fn is_elsewhere_too(&self) {
        self.zones.iter().for_each(|served| served.block.fleet.forwarders().perhaps_loops());
    }

    /// The only block, if there is one.
    pub(crate) fn has_one_block(&self) -> bool {
        self.zones.len() == 1
    }

    /// The zone, with its block, that `question` is answered for.
    ///
    /// The DS record of a zone stands in the zone above (RFC 4035 §3.1.4.1), so it is asked of that
    /// block if there is one.
    pub(crate) fn served(&self, question: &Question) -> Option<&Served> {
        let name = AskedName::from(&question.name);
        let mut within = self.zones.iter().filter(|served| name.is_within(&served.zone));
        let own = within.next()?;
        if question.qtype == RecordType::DS && own.zone == name {
            return within.next().or(Some(own));
        }
        Some(own)
    }

    /// Answers `message` into `out` straight from the index, if that says all there is to say.
    pub(crate) fn reply_directly(
        &self,
        message: &[u8],
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Option<(&Served, Replied)> {
        let query = PlainQuery::read(message)?;
        let within = |served: &&Served| query.name().is_within(&served.zone);
        let served = self.zones.iter().find(within)?;
        if query.qtype() == RecordType::DS && served.zone == *query.name() {
            return None;
        }
        let Block { direct, policy, .. } = &*served.block;
        let (gate, zone) = direct.as_ref().filter(|(gate, _)| gate.admits(&query))?;
        let replied = reply(&zone.load(), &query, transport, *policy, out)?;
        if gate.searches && replied.rcode == ResponseCode::NXDomain {
            return None;
        }
        Some((served, replied))
    }
}

impl Block {
    /// The block of a server without further plugins: the cluster's names, and all others by `fleet`.
    pub(crate) fn usual(zone: Arc<ArcSwap<ZoneIndex>>, policy: Policy, fleet: Arc<Fleet>) -> Self {
        let stages: Vec<Box<dyn Stage>> = vec![
            Box::new(Kubernetes::new(Arc::clone(&zone))),
            Box::new(Forward::new(Arc::clone(&fleet), policy)),
        ];
        let direct = Some((DirectGate::default(), Arc::clone(&zone)));
        let (way, observers) = (Way::Plain(Some(zone)), Observers::default());
        Self { policy, way, stages, observers, direct, signer: None, fleet, keepers: Vec::new() }
    }

    /// Answers by the stages.
    pub(crate) async fn say(&self, asked: Query, context: &Context) -> Said {
        Next::first(&self.stages, context).serve(asked).await
    }
}
