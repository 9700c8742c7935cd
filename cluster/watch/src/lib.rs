//! Sources of cluster state.
//!
//! A source turns what it watches into changes of the cluster model and publishes each new snapshot
//! to whoever subscribed.
//!
//! | module | owns |
//! |---|---|
//! | [`publish`] | handing each new snapshot to every subscriber |
#![forbid(unsafe_code)]

pub mod publish;
