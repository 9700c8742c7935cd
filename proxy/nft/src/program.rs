//! What is in the kernel, and the change that a new plan needs.
//!
//! The program knows each Service by its plan and its slots; elements are derived from the two
//! whenever they are needed. A changed Service costs its own elements, whatever else there is.

mod affinity;
mod difference;
mod programmed;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podway_cluster_model::name::ServiceName;
use podway_proxy_plan::plan::{Family, ServicePlan};

pub use self::affinity::Affinities;
use self::difference::Difference;
use self::programmed::Programmed;
use crate::element::Element;
use crate::names::SetName;
use crate::schema;
pub use crate::schema::{MAX_TRANSLATED_CLIENTS, Options, REMEMBERED};
use crate::transaction::{self, Change, Transaction};

/// What is in the kernel, as far as it was told.
#[derive(Debug)]
pub struct Program {
    options: Options,
    services: BTreeMap<ServiceName, Programmed>,
    /// Elements that several Services or ports ask for, and how many do.
    shared: HashMap<Element, usize>,
    /// Times that clients are remembered for, as the rules in the kernel know them.
    timeouts: BTreeMap<Family, BTreeSet<u32>>,
}

impl Program {
    /// A program with no Service in it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            services: BTreeMap::new(),
            shared: HashMap::new(),
            timeouts: BTreeMap::new(),
        }
    }

    /// Takes over changed plans (`None`: the Service is gone) and says what to change, per family.
    ///
    /// That is a change of elements; only an affinity timeout without a rule replaces the table, and
    /// rules that nobody needs any more go then. When the kernel does not take a change,
    /// [`Self::full`] writes everything anew.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceName, Option<Arc<ServicePlan>>)>,
    ) -> [Transaction; 2] {
        let mut difference = Difference::default();
        for (name, plan) in changes {
            self.update_service(name, plan, Some(&mut difference));
        }
        difference.transactions().map(|transaction| {
            let family = transaction.family;
            if self.has_rules_for(&transaction) { transaction } else { self.full(family) }
        })
    }

    /// Takes over changed plans without saying what to change: for tables that are to be written
    /// whole.
    pub fn take(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceName, Option<Arc<ServicePlan>>)>,
    ) {
        for (name, plan) in changes {
            self.update_service(name, plan, None);
        }
    }

    /// Whether the table has a rule for every time that `transaction` has clients remembered for.
    fn has_rules_for(&self, transaction: &Transaction) -> bool {
        let needed = transaction.timeouts();
        let ruled = self.timeouts.get(&transaction.family);
        needed.is_empty() || ruled.is_some_and(|ruled| needed.is_subset(ruled))
    }

    /// What the constant rules depend on.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Takes over other options; everything is to be written anew after that.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// The transaction that puts the whole table of `family` in place, with rules for the affinity
    /// timeouts that are in use and no others.
    pub fn full(&mut self, family: Family) -> Transaction {
        let range = |set| move |cidr| Element::Range { set, cidr };
        let pods = self.options.pod_cidrs(family).map(range(SetName::PodCidrs));
        let services = self.options.service_cidrs(family).map(range(SetName::ServiceCidrs));
        let mut elements: Vec<Element> = pods.chain(services).collect();
        let mut affinities = Affinities::default();
        for programmed in self.services.values() {
            programmed.elements(family, &mut elements);
            programmed.affinities(family, &mut affinities);
        }
        let shared = self.shared.keys().filter(|element| element.is_of_family(family)).cloned();
        let mut shared: Vec<Element> = shared.collect();
        shared.sort_unstable();
        elements.append(&mut shared);
        let timeouts = transaction::timeouts(&elements);
        let table = schema::table(family, &self.options, &timeouts);
        self.timeouts.insert(family, timeouts);
        Transaction { family, change: Change::Replace { table, elements, affinities } }
    }

    fn update_service(
        &mut self,
        name: ServiceName,
        plan: Option<Arc<ServicePlan>>,
        mut difference: Option<&mut Difference>,
    ) {
        let before = self.services.remove(&name);
        let after = plan.map(|plan| Programmed::new(plan, before.as_ref()));
        if let Some(difference) = &mut difference {
            difference.compare(before.as_ref(), after.as_ref());
        }
        let shared =
            |programmed: &Option<Programmed>| programmed.as_ref().map(Programmed::shared_elements);
        // New references first, so that an element in both never reaches zero between.
        for element in shared(&after).into_iter().flatten() {
            let count = self.shared.entry(element.clone()).or_default();
            *count += 1;
            if let (1, Some(difference)) = (*count, &mut difference) {
                difference.add(element);
            }
        }
        for element in shared(&before).into_iter().flatten() {
            if let Entry::Occupied(mut count) = self.shared.entry(element.clone()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                    if let Some(difference) = &mut difference {
                        difference.delete(element);
                    }
                }
            }
        }
        if let Some(after) = after {
            self.services.insert(name, after);
        }
    }
}
