//! One Service in the kernel: its plan, its slots, and the elements that the two stand for.

use std::sync::Arc;

use podway_cluster_model::service::{Affinity, Choice};
use podway_proxy_plan::plan::{
    Action, Family, Frontend, Masquerade, Origin, Place, Pool, PortPlan, ServicePlan,
};

use crate::element::{AffinityId, Comment, Element};
use crate::hashing;
use crate::names::{Bank, SetName};
use crate::program::affinity::{Affinities, affinity_id};
use crate::slots::Slots;

/// One Service in the kernel.
#[derive(Debug)]
pub(super) struct Programmed {
    plan: Arc<ServicePlan>,
    /// Slots of each port of the plan, in the same order.
    slots: Vec<PortSlots>,
}

/// Slots of the two pools of a port.
#[derive(Debug, Clone, Default)]
struct PortSlots {
    cluster: Slots,
    local: Slots,
}

/// A port of the plan with its slots.
#[derive(Clone, Copy)]
struct Port<'programmed> {
    service: &'programmed ServicePlan,
    plan: &'programmed PortPlan,
    slots: &'programmed PortSlots,
}

impl PortSlots {
    fn pool(&self, pool: Pool) -> &Slots {
        match pool {
            Pool::Cluster => &self.cluster,
            Pool::Local => &self.local,
        }
    }
}

impl Programmed {
    /// Gives the endpoints of `plan` slots, near to those they had `before`.
    pub(super) fn new(plan: Arc<ServicePlan>, before: Option<&Self>) -> Self {
        let slots = plan
            .ports
            .iter()
            .map(|port| match port.choice {
                // By hash, slots follow from the endpoints alone.
                Choice::ClientHash => PortSlots::default(),
                Choice::Random => {
                    let old = before.and_then(|before| before.slots_of(port));
                    let updated = |pool| match old {
                        Some(old) => old.pool(pool).updated(port.pool(pool)),
                        None => Slots::new(port.pool(pool)),
                    };
                    PortSlots { cluster: updated(Pool::Cluster), local: updated(Pool::Local) }
                }
            })
            .collect();
        Self { plan, slots }
    }

    fn slots_of(&self, port: &PortPlan) -> Option<&PortSlots> {
        let same = |other: &PortPlan| {
            (other.family, &other.name, other.protocol) == (port.family, &port.name, port.protocol)
        };
        self.plan.ports.iter().position(same).and_then(|index| self.slots.get(index))
    }

    fn ports(&self, family: Family) -> impl Iterator<Item = Port<'_>> {
        let service = &*self.plan;
        self.plan
            .ports
            .iter()
            .zip(&self.slots)
            .map(move |(plan, slots)| Port { service, plan, slots })
            .filter(move |port| port.plan.family == family)
    }

    /// Appends the elements of `family` that no other Service has.
    pub(super) fn elements(&self, family: Family, elements: &mut Vec<Element>) {
        for port in self.ports(family) {
            let comment = port.comment();
            for frontend in &port.plan.frontends {
                port.frontend_elements(frontend, &comment, elements);
            }
            for (_, timeout_s, id) in port.affinity_ids() {
                elements.push(Element::AffinityTimeout { timeout_s, id });
            }
        }
    }

    /// Takes in which endpoints the clients of `family` may be remembered with.
    pub(super) fn affinities(&self, family: Family, affinities: &mut Affinities) {
        for port in self.ports(family) {
            for (pool, timeout_s, id) in port.affinity_ids() {
                let endpoints = port.plan.pool(pool).iter().map(|backend| backend.address);
                affinities.allow(id, timeout_s, endpoints);
            }
        }
    }

    /// Elements that other Services or ports may have too; one comes as often as it is asked for.
    pub(super) fn shared_elements(&self) -> Vec<Element> {
        let mut elements = Vec::new();
        for port in &self.plan.ports {
            let cluster_ips =
                port.frontends.iter().filter(|frontend| frontend.origin == Origin::ClusterIp);
            elements.extend(cluster_ips.map(|frontend| Element::ClusterIp(frontend.key.address)));
            let backends = port.cluster.iter().chain(port.local.iter());
            elements.extend(
                backends
                    .filter(|backend| backend.place == Place::Here)
                    .map(|backend| Element::Hairpin(backend.address, port.protocol)),
            );
        }
        elements
    }
}

impl Port<'_> {
    /// What people read beside the port's frontends.
    fn comment(&self) -> Comment {
        let service = &self.service.name;
        Comment::new(&match self.plan.name.as_str() {
            "" => service.to_string(),
            name => format!("{service}:{name}"),
        })
    }

    /// The pools that are in use with the numbers of their clients; none without affinity.
    fn affinity_ids(&self) -> impl Iterator<Item = (Pool, u32, AffinityId)> + use<'_> {
        let timeout_s = match self.plan.affinity {
            Affinity::None => None,
            // 86,400 s at most.
            Affinity::ClientIp { timeout } => u32::try_from(timeout.as_secs()).ok(),
        };
        [Pool::Cluster, Pool::Local]
            .into_iter()
            .filter(|pool| !self.plan.pool(*pool).is_empty())
            .filter_map(move |pool| {
                Some((pool, timeout_s?, affinity_id(self.service, self.plan, pool)))
            })
    }

    /// Appends the elements of one frontend.
    fn frontend_elements(
        &self,
        frontend: &Frontend,
        comment: &Comment,
        elements: &mut Vec<Element>,
    ) {
        let key = frontend.key;
        let commented = |set| Element::Frontend { set, key, comment: Some(comment.clone()) };
        let member = |set| Element::Frontend { set, key, comment: None };
        match frontend.action {
            Action::Reject => elements.push(commented(SetName::Rejected)),
            Action::Drop => elements.push(commented(SetName::Dropped)),
            Action::Balance { pool, masquerade } => {
                elements.push(commented(SetName::Frontends));
                match masquerade {
                    Masquerade::Always => elements.push(member(SetName::Masqueraded)),
                    // A constant rule asks of every frontend's client whether it is a pod, and
                    // stands there just when pods can be told.
                    Masquerade::OffCluster | Masquerade::Never => {}
                }
                self.bank_elements(frontend, Bank::Main, pool, elements);
            }
            Action::PreserveSource => {
                elements.push(commented(SetName::Frontends));
                elements.push(member(SetName::PreserveSource));
                self.bank_elements(frontend, Bank::Main, Pool::Cluster, elements);
                self.bank_elements(frontend, Bank::Local, Pool::Local, elements);
            }
        }
        if let (Origin::LoadBalancer, Some(sources)) = (frontend.origin, &self.plan.sources) {
            elements.push(member(SetName::Guarded));
            elements.push(commented(SetName::RefusedSources));
            elements.extend(
                sources.iter().map(|source| Element::AllowedSource { key, source: *source }),
            );
        }
    }

    /// Appends what makes a bank of a frontend choose from a pool.
    fn bank_elements(
        &self,
        frontend: &Frontend,
        bank: Bank,
        pool: Pool,
        elements: &mut Vec<Element>,
    ) {
        let key = frontend.key;
        let member = |set| Element::Frontend { set, key, comment: None };
        let backend = |(slot, endpoint)| Element::Backend { bank, key, slot, endpoint };
        match self.plan.choice {
            Choice::ClientHash => {
                elements.push(member(SetName::Hashed(bank)));
                elements.extend(hashing::slots(self.plan.pool(pool)).into_iter().map(backend));
            }
            Choice::Random => {
                let slots = self.slots.pool(pool);
                elements.extend(slots.size().map(|size| member(SetName::Sized(bank, size))));
                elements.extend(slots.filled().map(backend));
            }
        }
        let ids = self.affinity_ids().filter(|(used, ..)| *used == pool);
        elements.extend(ids.map(|(_, _, id)| Element::AffinityId { bank, key, id }));
    }
}
