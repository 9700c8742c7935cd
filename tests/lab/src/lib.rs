//! A cluster without containers: nodes, pods and a client outside are network namespaces.
//!
//! [`Lab`] starts one and speaks with it. Everything it makes lives inside the namespaces of one
//! supervisor process, so that the end of that process, however it comes, is the end of the lab.
//! The `podway` daemon is the only thing in it that is not played: the lab takes the parts of
//! scheduler, kubelet, controllers and API server. Started with [`Builder::api_server`], it leaves
//! controllers and API server to the real ones.
//!
//! | module | owns |
//! | --- | --- |
//! | `builder`, `lab`, `exec`, `ask`, `call` | the Rust interface |
//! | `cluster` | pure: manifests in, pods and API objects out |
//! | `supervisor` | namespaces, processes, the control socket |
//! | `api` | speaks with a real API server |
//! | `agent`, `upstream` | the servers that run in pods and outside |
//! | `client`, `queries` | asks the pods' servers, or a DNS server, from wherever a test stands |

mod address;
pub mod agent;
mod api;
mod ask;
mod binaries;
mod builder;
mod call;
mod cgroup;
pub mod checksum;
pub mod client;
mod cluster;
mod exec;
pub mod inject;
mod lab;
mod place;
mod ports;
mod protocol;
pub mod queries;
mod sctp;
mod settings;
mod state_dir;
pub mod supervisor;
pub mod upstream;
mod wire;

pub use address::{API_PORT, CLUSTER_CIDRS, DualStack, Family, LOAD_BALANCER_CIDRS};
pub use api::{Api, ApiAnswer};
pub use ask::{Answer, Answers};
pub use binaries::Binaries;
pub use builder::Builder;
pub use call::{Failure, Held, Outcome, Transport};
pub use exec::{Output, Running};
pub use lab::Lab;
pub use place::{NameError, ObjectName, Place, node_name};
pub use protocol::{
    Applied, Component, ComponentAction, DaemonAction, DaemonState, NodeStatus, ObjectReference,
    PodPhase, PodStatus, ServiceStatus, Status,
};
pub use queries::{Queries, Report};
