//! Flags that say how the API server is reached.

use std::ffi::OsString;

use clap::Args;

/// How the API server is reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "API server")]
pub(crate) struct ApiArgs {
    /// Kubeconfig whose current context leads to the API server
    /// [default: the ServiceAccount of this pod, unless --manifests is given].
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    pub(crate) kubeconfig: Option<OsString>,
    /// Addresses of API servers, tried in turn before the one of the kubeconfig or the pod.
    ///
    /// Without other rules the ClusterIP of the API server leads nowhere while podway starts.
    #[arg(long, value_name = "HOST[:PORT],…", value_delimiter = ',', conflicts_with = "manifests")]
    pub(crate) api_endpoints: Vec<String>,
    /// Address of the API server; as one more of --api-endpoints, before them.
    #[arg(long, value_name = "URL", conflicts_with = "manifests")]
    pub(crate) master: Option<String>,
}
