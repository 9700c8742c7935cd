//! Decides which endpoints serve which frontends on this node.
//!
//! This is the one decision point for traffic: after it nothing is chosen, only rendered. A back
//! end (`proxy/nft`) turns each [`plan::ServicePlan`] into what its kernel interface needs.
#![forbid(unsafe_code)]

pub mod plan;
