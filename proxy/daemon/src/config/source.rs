//! Where the view of the cluster comes from.

use std::ffi::OsStr;
use std::path::PathBuf;

use podway_cluster_watch::api::{Access, Endpoint};

use super::parse::Flag;
use super::{FlagError, FlagErrors};
use crate::args::ApiArgs;
use crate::environment::{Environment, Surroundings};

/// Where the view of the cluster comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceConfig {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// The API server.
    Api {
        /// Where its own address and our credentials come from.
        access: Access,
        /// Addresses that are tried first.
        endpoints: Vec<Endpoint>,
    },
}

/// The source of `podway run`.
pub(super) fn source(
    manifests: Option<&OsStr>,
    api: &ApiArgs,
    environment: &Environment,
    errors: &mut FlagErrors,
) -> Option<SourceConfig> {
    let endpoints = endpoints(api, errors);
    if let Some(folder) = manifests {
        return errors.keep(super::parse::manifests(Some(folder))).map(SourceConfig::Manifests);
    }
    let access = match (&api.kubeconfig, environment.surroundings) {
        (Some(path), _) if path.is_empty() => errors.keep(Err(nothing("is empty"))),
        (Some(path), _) => Some(Access::Kubeconfig(PathBuf::from(path))),
        (None, Surroundings::Pod) => Some(Access::InCluster),
        (None, Surroundings::Host) => errors.keep(Err(nothing(
            "is required: there is no --manifests, and this is no pod with a ServiceAccount",
        ))),
    };
    Some(SourceConfig::Api { access: access?, endpoints })
}

fn nothing(reason: &str) -> FlagError {
    let flag = Flag { name: "--kubeconfig", accepted: "a kubeconfig file" };
    flag.error("", reason)
}

fn endpoints(api: &ApiArgs, errors: &mut FlagErrors) -> Vec<Endpoint> {
    let accepted = "HOST, HOST:PORT or https://HOST:PORT of an API server";
    let parse = |name, text: &str| {
        Endpoint::parse(text).map_err(|error| Flag { name, accepted }.error(text, error))
    };
    let master = api.master.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let master = master.into_iter().map(|text| parse("--master", text));
    let others = super::parse::words(&api.api_endpoints).map(|text| parse("--api-endpoints", text));
    errors.keep_all(master.chain(others))
}
