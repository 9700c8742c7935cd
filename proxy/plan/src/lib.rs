//! Decides which endpoints serve which frontends on this node.
//!
//! This is the one decision point for traffic: after it nothing is chosen, only rendered. A back
//! end (`proxy/nft`) turns each [`plan::ServicePlan`] into what its kernel interface needs.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | the decision as data |
//! | [`policy`] | what the operator chose |
//! | [`node`] | this node, as far as decisions depend on it |
//! | [`interface`] | names of interfaces that tell pods from others |
//! | [`planner`] | the plan of every Service, kept in step with snapshots |
//! | [`frontends`] | where clients reach a Service |
//! | [`claims`] | who may use a frontend that several want |
//! | [`select`] | which endpoints may serve |
//! | [`health`] | what load balancers are told of this node |
//! | [`loopback`] | node ports on the node's loopback addresses |
//! | [`stale_flows`] | which tracked flows go where they may not any more |
//! | [`check`] | what every plan must meet |
//! | [`route`] | what a plan means for one packet |
#![forbid(unsafe_code)]

pub mod check;
pub mod claims;
mod decide;
mod dump;
pub mod frontends;
pub mod health;
pub mod interface;
pub mod loopback;
pub mod node;
pub mod plan;
pub mod planner;
pub mod policy;
pub mod route;
pub mod select;
pub mod stale_flows;
