//! Sources of cluster state.
//!
//! A source turns what it watches into changes of the cluster model and publishes each new snapshot
//! to whoever subscribed.
//!
//! ```text
//! file -> document -> convert -> Manifests -> Builder -> Publisher -> Subscription
//!         (decode)    (check)    (compare)    (model)    (merge)
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`manifests`] | the folder of manifests as a source |
//! | [`publish`] | handing each new snapshot to every subscriber |
//! | [`rejection`] | what is wrong with an object |
//! | [`report`] | what is wrong with a source now, logged and counted |
//! | `document` | JSON and YAML documents, single objects and lists |
//! | `object`, `field` | the fields of Kubernetes objects that we use, of whatever type they are |
//! | `convert` | objects to changes of the model, a pure function |
#![forbid(unsafe_code)]

mod convert;
mod document;
mod field;
pub mod manifests;
mod object;
mod path;
pub mod publish;
pub mod rejection;
pub mod report;
