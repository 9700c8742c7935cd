//! Sources of cluster state.
//!
//! A source turns what it watches into changes of the cluster model and publishes each new snapshot
//! to whoever subscribed.
//!
//! ```text
//! file -> document --+            +-> Manifests (compare) --+
//!         (decode)   +-> convert -+                         +-> Builder -> Publisher -> Subscription
//! API server -> event -+ (check)  +-> Store (completeness) -+   (model)    (merge)
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`api`] | the API server as a source |
//! | [`manifests`] | the folder of manifests as a source |
//! | [`disk`] | the last complete view in a file |
//! | [`publish`] | handing each new snapshot to every subscriber |
//! | [`rejection`] | what is wrong with an object |
//! | [`report`] | what is wrong with a source now, logged and counted |
//! | [`wanted`] | what is kept besides what everybody needs |
//! | `document` | JSON and YAML documents, single objects and lists |
//! | `object`, `field` | the fields of Kubernetes objects that we use, of whatever type they are |
//! | `convert` | objects to changes of the model, a pure function |
#![forbid(unsafe_code)]

pub mod api;
mod convert;
pub mod disk;
mod document;
mod field;
mod key;
pub mod manifests;
mod object;
mod path;
pub mod publish;
pub mod rejection;
pub mod report;
pub mod wanted;
