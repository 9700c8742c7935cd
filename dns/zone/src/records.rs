//! Resource records: their owners, data and times to live.
//!
//! Names that are made up here have Service, namespace and `svc` in lower case and the zone as the
//! client spelled it. A name that does not fit in 255 octets is no name: nobody can ask for it, and
//! nothing leads to it.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use podway_cluster_model::name::{Hostname, ServiceName};

/// Version of DNS-Based Service Discovery that is answered, and how long that may be kept.
const VERSION: (&str, u32) = ("1.1.0", 28_800);

/// Longest TTL of an SOA record: bounds how long a name is held to be missing (RFC 2308 §5).
const MAX_SOA_TTL: u32 = 300;

/// Labels of the SOA's name server before those of the zone.
pub const NAMESERVER_LABELS: [&str; 2] = ["ns", "dns"];

/// Label of the SOA's mailbox before those of the zone.
pub const HOSTMASTER_LABEL: &str = "hostmaster";

/// The numbers of an SOA record, in seconds but for the serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoaNumbers {
    /// How long the record may be kept.
    pub ttl: u32,
    /// Rises with every change.
    pub serial: u32,
    /// When a secondary asks again.
    pub refresh: u32,
    /// When it does so after a failure.
    pub retry: u32,
    /// When it gives up.
    pub expire: u32,
    /// How long a name may be held to be missing.
    pub minimum: u32,
}

impl SoaNumbers {
    /// The numbers of a zone whose records may be kept for `ttl` seconds.
    pub(crate) fn new(serial: u32, ttl: u32) -> Self {
        Self {
            ttl: ttl.min(MAX_SOA_TTL),
            serial,
            refresh: 7200,
            retry: 1800,
            expire: 86_400,
            minimum: ttl,
        }
    }
}

/// The weight of an SRV record among `pairs` of an address and a port: an even share of 100, at
/// least 1, as CoreDNS gives it.
pub(crate) fn share_of_100(pairs: usize) -> u16 {
    u16::try_from(100 / pairs.max(1)).unwrap_or(u16::MAX).max(1)
}

/// Where the names of one reply are rooted, and how long its records may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'n> {
    /// A name in the zone, which gives the spelling of its apex.
    name: &'n Name,
    /// How many of its labels stand before the apex.
    before_apex: usize,
    /// Seconds that records may be kept.
    ttl: u32,
}

impl<'n> Origin<'n> {
    /// The zone whose apex is the last `apex_labels` labels of `name`.
    pub(crate) fn of(name: &'n Name, apex_labels: usize, ttl: u32) -> Self {
        let before_apex = name.iter().len().saturating_sub(apex_labels);
        Self { name, before_apex, ttl }
    }

    /// The same times to live below another apex.
    pub(crate) fn at(self, apex: &Name) -> Origin<'_> {
        Origin { name: apex, before_apex: 0, ttl: self.ttl }
    }

    /// The apex; made when it is needed, since most replies do without.
    fn apex(&self) -> Name {
        self.below(&[]).unwrap_or_default()
    }

    /// The name of `labels` below the apex.
    fn below(&self, labels: &[&str]) -> Option<Name> {
        let own = labels.iter().map(|label| label.as_bytes());
        let mut name = Name::new();
        for label in own.chain(self.name.iter().skip(self.before_apex)) {
            name = name.append_label(label).ok()?;
        }
        name.set_fqdn(true);
        Some(name)
    }

    /// The name of the SOA's name server.
    pub(crate) fn nameserver(&self) -> Name {
        // Every apex leaves room for this, so the fallback is never taken.
        self.below(&NAMESERVER_LABELS).unwrap_or_else(|| self.apex())
    }

    /// The name of a Service, or below it that of an endpoint.
    pub(crate) fn service(&self, service: &ServiceName, endpoint: Option<&str>) -> Option<Name> {
        let (name, namespace) = (service.name.as_str(), service.namespace.as_str());
        match endpoint {
            Some(label) => self.below(&[label, name, namespace, "svc"]),
            None => self.below(&[name, namespace, "svc"]),
        }
    }

    /// The name of an endpoint in a cluster, below an imported Service.
    pub(crate) fn member(
        &self,
        service: &ServiceName,
        cluster: &Hostname,
        label: &str,
    ) -> Option<Name> {
        let (name, namespace) = (service.name.as_str(), service.namespace.as_str());
        self.below(&[label, cluster.as_str(), name, namespace, "svc"])
    }

    /// The SOA record of the zone.
    pub(crate) fn soa(&self, serial: u32) -> Record {
        let hostmaster = self.below(&[HOSTMASTER_LABEL]).unwrap_or_else(|| self.apex());
        let SoaNumbers { ttl, serial, refresh, retry, expire, minimum } =
            SoaNumbers::new(serial, self.ttl);
        let [refresh, retry, expire] =
            [refresh, retry, expire].map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
        let data = SOA::new(self.nameserver(), hostmaster, serial, refresh, retry, expire, minimum);
        Record::from_rdata(self.apex(), ttl, RData::SOA(data))
    }

    /// The address of `owner`, of the type of its family.
    pub(crate) fn address(&self, owner: &Name, address: IpAddr) -> Record {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        Record::from_rdata(owner.clone(), self.ttl, data)
    }

    /// A port of `owner` at `target`; every target has the same priority.
    pub(crate) fn srv(&self, owner: &Name, weight: u16, port: u16, target: Name) -> Record {
        let data = SRV::new(0, weight, port, target);
        Record::from_rdata(owner.clone(), self.ttl, RData::SRV(data))
    }

    /// The name that the address of `owner` leads to.
    pub(crate) fn ptr(&self, owner: &Name, target: Name) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, RData::PTR(PTR(target)))
    }

    /// The name that `owner` is an alias of.
    pub(crate) fn cname(&self, owner: &Name, target: Name) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, RData::CNAME(CNAME(target)))
    }

    /// A name server of `owner`.
    pub(crate) fn ns(&self, owner: &Name, target: Name) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, RData::NS(NS(target)))
    }
}

/// The version of the rules, at `owner`.
pub(crate) fn version(owner: &Name) -> Record {
    let (version, ttl) = VERSION;
    Record::from_rdata(owner.clone(), ttl, RData::TXT(TXT::new(vec![version.to_owned()])))
}
