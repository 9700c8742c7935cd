//! What is in the kernel, and the change that a new plan needs.
//!
//! The program knows each Service by its plan and its slots; elements are derived from the two
//! whenever they are needed. A changed Service costs its own elements, whatever else there is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use podway_cluster_model::name::ServiceName;
use podway_proxy_plan::plan::{
    Action, Backend, Family, Frontend, Masquerade, Place, Pool, PortPlan, ServicePlan,
};

use crate::element::{Comment, Element};
use crate::names::{Bank, SetName};
use crate::schema;
pub use crate::schema::Options;
use crate::slots::Slots;
use crate::transaction::{Change, Transaction};

/// What is in the kernel, as far as it was told.
#[derive(Debug)]
pub struct Program {
    options: Options,
    services: BTreeMap<ServiceName, Programmed>,
    /// How many endpoints of this node have an address; one element stands for all of them.
    hairpins: HashMap<IpAddr, usize>,
}

/// One Service in the kernel.
#[derive(Debug)]
struct Programmed {
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

impl PortSlots {
    fn pool(&self, pool: Pool) -> &Slots {
        match pool {
            Pool::Cluster => &self.cluster,
            Pool::Local => &self.local,
        }
    }
}

impl Program {
    /// A program with no Service in it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, services: BTreeMap::new(), hairpins: HashMap::new() }
    }

    /// Takes over changed plans (`None`: the Service is gone) and says what to change, per family.
    ///
    /// When the kernel does not take a change, [`Self::full`] writes everything anew.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceName, Option<Arc<ServicePlan>>)>,
    ) -> [Transaction; 2] {
        let mut difference = Difference::default();
        for (name, plan) in changes {
            self.update_service(name, plan, &mut difference);
        }
        difference.transactions()
    }

    /// The transaction that puts the whole table of `family` in place.
    #[must_use]
    pub fn full(&self, family: Family) -> Transaction {
        let mut elements: Vec<Element> =
            self.options.pod_cidrs(family).map(Element::PodCidr).collect();
        for programmed in self.services.values() {
            programmed.elements(family, &mut elements);
        }
        let hairpins: BTreeSet<_> =
            self.hairpins.keys().filter(|address| Family::of(**address) == family).collect();
        elements.extend(hairpins.into_iter().copied().map(Element::Hairpin));
        let table = schema::table(family, &self.options);
        Transaction { family, change: Change::Replace { table, elements } }
    }

    fn update_service(
        &mut self,
        name: ServiceName,
        plan: Option<Arc<ServicePlan>>,
        difference: &mut Difference,
    ) {
        let before = self.services.remove(&name);
        let after = plan.map(|plan| Programmed::new(plan, before.as_ref()));
        let hairpins =
            |programmed: &Option<Programmed>| programmed.as_ref().map(Programmed::hairpins);
        let (old_hairpins, new_hairpins) = (hairpins(&before), hairpins(&after));
        for family in Family::ALL {
            let elements = |programmed: &Option<Programmed>| {
                let mut elements = Vec::new();
                if let Some(programmed) = programmed {
                    programmed.elements(family, &mut elements);
                }
                elements
            };
            difference.compare(family, elements(&before), elements(&after));
        }
        // New references first, so that an address in both never reaches zero between.
        for address in new_hairpins.into_iter().flatten() {
            let count = self.hairpins.entry(address).or_default();
            *count += 1;
            if *count == 1 {
                difference.family(Family::of(address)).added.push(Element::Hairpin(address));
            }
        }
        for address in old_hairpins.into_iter().flatten() {
            if let Entry::Occupied(mut count) = self.hairpins.entry(address) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                    difference.family(Family::of(address)).deleted.push(Element::Hairpin(address));
                }
            }
        }
        if let Some(after) = after {
            self.services.insert(name, after);
        }
    }
}

impl Programmed {
    /// Gives the endpoints of `plan` slots, near to those they had `before`.
    fn new(plan: Arc<ServicePlan>, before: Option<&Self>) -> Self {
        let slots = plan
            .ports
            .iter()
            .map(|port| {
                let old = before.and_then(|before| before.slots_of(port));
                let updated = |pool| {
                    let addresses: Vec<SocketAddr> =
                        port.pool(pool).iter().map(|backend| backend.address).collect();
                    match old {
                        Some(old) => old.pool(pool).updated(&addresses),
                        None => Slots::new(&addresses),
                    }
                };
                PortSlots { cluster: updated(Pool::Cluster), local: updated(Pool::Local) }
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

    /// Appends the elements of `family`, all but the hairpins, which Services share.
    fn elements(&self, family: Family, elements: &mut Vec<Element>) {
        for (port, slots) in self.plan.ports.iter().zip(&self.slots) {
            if port.family != family {
                continue;
            }
            let comment = Comment::new(&match port.name.as_str() {
                "" => self.plan.name.to_string(),
                name => format!("{}:{name}", self.plan.name),
            });
            for frontend in &port.frontends {
                frontend_elements(frontend, slots, &comment, elements);
            }
        }
    }

    /// Addresses of this node's endpoints; one may come more than once.
    fn hairpins(&self) -> Vec<IpAddr> {
        let backends = self.plan.ports.iter().flat_map(|port| [&port.cluster, &port.local]);
        backends
            .flat_map(|backends| backends.iter())
            .filter(|backend| backend.place == Place::Here)
            .map(|Backend { address, .. }| address.ip())
            .collect()
    }
}

/// Appends the elements of one frontend.
fn frontend_elements(
    frontend: &Frontend,
    slots: &PortSlots,
    comment: &Comment,
    elements: &mut Vec<Element>,
) {
    let key = frontend.key;
    let commented = |set| Element::Frontend { set, key, comment: Some(comment.clone()) };
    let member = |set| Element::Frontend { set, key, comment: None };
    let bank = |bank, slots: &Slots, elements: &mut Vec<Element>| {
        elements.extend(slots.size().map(|size| member(SetName::Sized(bank, size))));
        elements.extend(slots.filled().map(|(slot, endpoint)| Element::Backend {
            bank,
            key,
            slot,
            endpoint,
        }));
    };
    match frontend.action {
        Action::Reject => elements.push(commented(SetName::Rejected)),
        Action::Drop => elements.push(commented(SetName::Dropped)),
        Action::Balance { pool, masquerade } => {
            elements.push(commented(SetName::Frontends));
            match masquerade {
                Masquerade::Always => elements.push(member(SetName::Masqueraded)),
                // A constant rule compares the source of every frontend with the pod CIDRs, and
                // stands there just when there are any.
                Masquerade::OffCluster | Masquerade::Never => {}
            }
            bank(Bank::Main, slots.pool(pool), elements);
        }
        Action::PreserveSource => {
            elements.push(commented(SetName::Frontends));
            elements.push(member(SetName::PreserveSource));
            bank(Bank::Main, &slots.cluster, elements);
            bank(Bank::Local, &slots.local, elements);
        }
    }
}

/// Elements that differ, for each family.
#[derive(Debug, Default)]
struct Difference {
    families: [Edits; 2],
}

/// Elements of one family that differ.
#[derive(Debug, Default)]
struct Edits {
    deleted: Vec<Element>,
    added: Vec<Element>,
}

impl Difference {
    fn family(&mut self, family: Family) -> &mut Edits {
        let [ip, ip6] = &mut self.families;
        match family {
            Family::Ip => ip,
            Family::Ip6 => ip6,
        }
    }

    /// Takes in what differs between the elements of one Service before and after.
    fn compare(&mut self, family: Family, before: Vec<Element>, after: Vec<Element>) {
        let edits = self.family(family);
        if before == after {
            return;
        }
        let kept: HashSet<&Element> = before.iter().collect();
        let added: Vec<_> =
            after.iter().filter(|element| !kept.contains(element)).cloned().collect();
        let wanted: HashSet<Element> = after.into_iter().collect();
        edits.deleted.extend(before.into_iter().filter(|element| !wanted.contains(element)));
        edits.added.extend(added);
    }

    fn transactions(self) -> [Transaction; 2] {
        let [ip, ip6] = self.families;
        [(Family::Ip, ip), (Family::Ip6, ip6)].map(|(family, Edits { deleted, added })| {
            Transaction { family, change: Change::Elements { deleted, added } }
        })
    }
}
