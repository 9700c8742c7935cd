//! Who may use which frontend when several want it.
//!
//! A frontend belongs to the oldest Service that claims it (creation time, then namespace and name,
//! then the name of the port); the others are told so. kube-proxy leaves the winner to chance.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::service::Service;

use crate::plan::FrontendKey;

/// One Service port that wants a frontend, ordered by right: the least one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// When the Service was made; one without a time counts as the newest.
    age: Age,
    /// The Service.
    pub service: ServiceName,
    /// Name of its port.
    pub port: PortName,
}

/// When a Service was made: older first, unknown last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Age {
    Created { unix_seconds: i64 },
    Unknown,
}

impl Age {
    /// When `service` was made.
    pub(crate) fn of(service: &Service) -> Self {
        match service.created_unix_seconds {
            Some(unix_seconds) => Self::Created { unix_seconds },
            None => Self::Unknown,
        }
    }
}

impl Claim {
    /// The claim of `port` of `service`.
    pub(crate) fn new(service: &Service, port: &PortName) -> Self {
        Self { age: Age::of(service), service: service.name.clone(), port: port.clone() }
    }
}

/// A frontend that a Service port wants and does not get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// What both want.
    pub key: FrontendKey,
    /// Who has it.
    pub winner: Claim,
    /// Who has to do without.
    pub loser: Claim,
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, winner, loser } = self;
        write!(
            formatter,
            "{key}: service {} port {:?} yields to service {} port {:?}",
            loser.service,
            loser.port.as_str(),
            winner.service,
            winner.port.as_str(),
        )
    }
}

/// All claims of all Services.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Who wants a frontend, the winner first.
    by_key: BTreeMap<FrontendKey, Vec<Claim>>,
    /// Frontends that more than one wants.
    contested: BTreeSet<FrontendKey>,
}

impl Claims {
    /// Adds a claim.
    pub(crate) fn add(&mut self, key: FrontendKey, claim: Claim) {
        // Nearly every frontend has one claim.
        let claims = self.by_key.entry(key).or_insert_with(|| Vec::with_capacity(1));
        if let Err(place) = claims.binary_search(&claim) {
            claims.insert(place, claim);
        }
        if claims.len() > 1 {
            self.contested.insert(key);
        }
    }

    /// Takes a claim back.
    pub(crate) fn remove(&mut self, key: FrontendKey, claim: &Claim) {
        let Some(claims) = self.by_key.get_mut(&key) else { return };
        claims.retain(|other| other != claim);
        if claims.len() < 2 {
            self.contested.remove(&key);
        }
        if claims.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// Who wants `key`, the winner first.
    pub(crate) fn of(&self, key: FrontendKey) -> &[Claim] {
        self.by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Who has `key`.
    pub(crate) fn winner(&self, key: FrontendKey) -> Option<&Claim> {
        self.of(key).first()
    }

    /// Every conflict, ordered by frontend, then by the loser's right.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.contested.iter().flat_map(|key| conflicts_of(*key, self.of(*key)))
    }
}

/// The conflicts at `key` when `claims` are made, the winner first.
pub(crate) fn conflicts_of(key: FrontendKey, claims: &[Claim]) -> impl Iterator<Item = Conflict> {
    let (winner, losers) = match claims {
        [winner, losers @ ..] => (Some(winner), losers),
        [] => (None, claims),
    };
    winner.into_iter().flat_map(move |winner| {
        losers.iter().map(move |loser| Conflict {
            key,
            winner: winner.clone(),
            loser: loser.clone(),
        })
    })
}
