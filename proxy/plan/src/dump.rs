//! The plan as text, for people and golden files: ordered, one line for each frontend and endpoint.
//!
//! ```text
//! k8sdemo/backend
//!   ip tcp "backend-http"
//!     10.96.0.20:8080/tcp ClusterIP: balance over cluster, masquerade off-cluster
//!     cluster
//!       10.244.1.5:8080 here
//!       10.244.2.7:8080
//! ```

use std::fmt;
use std::net::SocketAddr;

use podway_cluster_model::service::{Affinity, Choice, DEFAULT_WEIGHT};

use crate::plan::{
    Action, Backend, Family, Frontend, FrontendKey, Masquerade, Origin, Place, Pool, PortPlan,
    ServicePlan,
};
use crate::planner::Planner;

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl fmt::Display for FrontendKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, protocol, port } = self;
        write!(formatter, "{}/{protocol}", SocketAddr::new(*address, port.number()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::ExternalIp => "ExternalIP",
            Self::LoadBalancer => "LoadBalancer",
        })
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Cluster => "cluster",
            Self::Local => "local",
        })
    }
}

impl fmt::Display for Masquerade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Never => "never",
            Self::OffCluster => "off-cluster",
            Self::Always => "always",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance { pool, masquerade } => {
                write!(formatter, "balance over {pool}, masquerade {masquerade}")
            }
            Self::PreserveSource => formatter.pad("preserve source"),
            Self::Reject => formatter.pad("reject"),
            Self::Drop => formatter.pad("drop"),
        }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, action } = self;
        write!(formatter, "{key} {origin}: {action}")
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = match self.place {
            Place::Here => " here",
            Place::Elsewhere => "",
        };
        match self.weight {
            DEFAULT_WEIGHT => write!(formatter, "{}{here}", self.address),
            weight => write!(formatter, "{}{here} weight {weight}", self.address),
        }
    }
}

impl fmt::Display for PortPlan {
    /// Writes lines indented below their Service's, each with its line feed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "  {} {} {:?}", self.family, self.protocol, self.name)?;
        match self.affinity {
            Affinity::None => {}
            Affinity::ClientIp { timeout } => {
                write!(formatter, ", client keeps its endpoint for {} s", timeout.as_secs())?;
            }
        }
        match self.choice {
            Choice::Random => writeln!(formatter)?,
            Choice::ClientHash => writeln!(formatter, ", endpoint chosen by client address")?,
        }
        for frontend in &self.frontends {
            writeln!(formatter, "    {frontend}")?;
        }
        if let Some(sources) = &self.sources {
            let ranges: Vec<String> = sources.iter().map(ToString::to_string).collect();
            writeln!(formatter, "    load balancer only from {}", ranges.join(", "))?;
        }
        for pool in [Pool::Cluster, Pool::Local] {
            let backends = self.pool(pool);
            if backends.is_empty() {
                continue;
            }
            writeln!(formatter, "    {pool}")?;
            for backend in backends.iter() {
                writeln!(formatter, "      {backend}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ServicePlan {
    /// Writes whole lines.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.name)?;
        self.ports.iter().try_for_each(|port| write!(formatter, "{port}"))
    }
}

impl fmt::Display for Planner {
    /// Writes every plan, then every conflict.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plans().try_for_each(|plan| write!(formatter, "{plan}"))?;
        self.conflicts().try_for_each(|conflict| writeln!(formatter, "conflict at {conflict}"))
    }
}
