//! Flags of `podway migrate`.

use std::path::PathBuf;

use clap::Args;

use super::{ApiArgs, ClusterArgs};

/// Flags of `podway migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// kube-proxy's configuration: a KubeProxyConfiguration, or a ConfigMap that holds one
    /// [default: kube-system/kube-proxy of the cluster].
    #[arg(long, value_name = "FILE")]
    pub(crate) kube_proxy: Option<PathBuf>,
    /// CoreDNS's configuration: a Corefile, or a ConfigMap that holds one
    /// [default: kube-system/coredns of the cluster].
    #[arg(long, value_name = "FILE")]
    pub(crate) coredns: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
