//! Fills an API server with a made-up cluster.

use std::panic;
use std::thread;

use anyhow::{Result, bail};
use podway_tests_lab::Api;
use podway_tests_synthetic::{Cluster, NAMESPACE};
use serde_json::{Value, json};

/// Requests on the way at the same time.
const MAKERS: u32 = 8;

/// Creates every Service and slice of `size`; those that `is_headless` says have no address.
pub(crate) fn fill(api: &Api, size: Cluster, is_headless: fn(u32) -> bool) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    });
    api.create("/api/v1/namespaces", &namespace)?;
    thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|part| {
                let api = api.clone();
                scope.spawn(move || {
                    (part..size.services)
                        .step_by(usize::try_from(MAKERS)?)
                        .try_for_each(|service| create(&api, size, service, is_headless(service)))
                })
            })
            .collect();
        makers.into_iter().try_for_each(|maker| match maker.join() {
            Ok(made) => made,
            Err(cause) => panic::resume_unwind(cause),
        })
    })
}

/// Where the slices are.
pub(crate) fn slices() -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")
}

/// Creates one Service and its slice. Addresses of Services are the API server's to give.
fn create(api: &Api, size: Cluster, service: u32, headless: bool) -> Result<()> {
    let mut object = size.service_manifest(service);
    let Value::Object(spec) = &mut object["spec"] else { bail!("a Service without spec") };
    for field in ["clusterIP", "clusterIPs", "selector"] {
        spec.remove(field);
    }
    if headless {
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    api.create(&format!("/api/v1/namespaces/{NAMESPACE}/services"), &object)?;
    api.create(&slices(), &size.slice_manifest(service, 0)).map(drop)
}
