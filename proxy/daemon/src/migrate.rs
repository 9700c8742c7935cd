//! `podway migrate`: reads how kube-proxy and CoreDNS are configured, and prints our configuration,
//! what changes with it, and what is not supported. Changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use podway_cluster_watch::api::{ApiConfig, Requester, Timing};
use podway_cluster_watch::wanted::Wanted;
use podway_dns_corefile::{Lenience, read as read_corefile};
use serde::Deserialize;

use crate::args::MigrateArgs;
use crate::config::{SourceConfig, resolve_source};
use crate::config_file::{self, API_VERSION, KIND, Merged, Reading};
use crate::dns::Files;
use crate::environment::Environment;

/// Where kubeadm and others keep kube-proxy's configuration.
const KUBE_PROXY: &str = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";

/// Where kubeadm and others keep CoreDNS's configuration.
const COREDNS: &str = "/api/v1/namespaces/kube-system/configmaps/coredns";

/// Key of a Corefile in a ConfigMap.
const COREFILE: &str = "Corefile";

/// Most bytes of a file.
const MAX_BYTES: u64 = 4 << 20;

/// As much of a ConfigMap as is read.
#[derive(Debug, Deserialize)]
struct ConfigMap {
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Prints what becomes of the configurations.
///
/// # Errors
/// A configuration cannot be read. What is not supported in it is no error: it is printed.
pub(crate) fn migrate(args: &MigrateArgs) -> anyhow::Result<()> {
    let (kube_proxy, coredns) = configurations(args)?;
    if kube_proxy.is_none() && coredns.is_none() {
        bail!("there is neither a configuration of kube-proxy nor one of CoreDNS");
    }
    let mut report = String::new();
    if let Some(text) = kube_proxy {
        of_kube_proxy(&text, &mut report)?;
    }
    if let Some(text) = coredns {
        of_coredns(&text, &mut report)?;
    }
    io::stdout().write_all(report.as_bytes())?;
    Ok(())
}

/// The two configurations, from files if any was named, else from the cluster.
fn configurations(args: &MigrateArgs) -> anyhow::Result<(Option<String>, Option<String>)> {
    let MigrateArgs { kube_proxy, coredns, cluster, api } = args;
    if kube_proxy.is_some() || coredns.is_some() {
        let read = |path: &Option<_>, pick: fn(ConfigMap) -> Option<String>| {
            path.as_deref().map(|path| from_file(path, pick)).transpose()
        };
        return Ok((read(kube_proxy, kube_proxy_of)?, read(coredns, corefile_of)?));
    }
    let (source, node) = resolve_source(cluster, api, &Environment::read()?)?;
    let SourceConfig::Api { access, endpoints } = source else {
        bail!("manifests hold no ConfigMaps; name files with --kube-proxy and --coredns")
    };
    let (wanted, timing) = (Wanted::default(), Timing::default());
    let config = ApiConfig { access, endpoints, node, wanted, timing };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let requester = Requester::new(&config);
        let mut texts = Vec::new();
        for (path, pick) in
            [(KUBE_PROXY, kube_proxy_of as fn(ConfigMap) -> Option<String>), (COREDNS, corefile_of)]
        {
            let content = requester.get(path).await.with_context(|| path.to_owned())?;
            texts.push(match content {
                Some(content) => {
                    let map = serde_json::from_slice(&content).with_context(|| path.to_owned())?;
                    Some(pick(map).with_context(|| format!("{path} has no configuration"))?)
                }
                None => None,
            });
        }
        let coredns = texts.pop().flatten();
        Ok((texts.pop().flatten(), coredns))
    })
}

/// The configuration in a file, which may be a ConfigMap.
fn from_file(path: &Path, pick: fn(ConfigMap) -> Option<String>) -> anyhow::Result<String> {
    let shown = path.display();
    let bytes = fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.len();
    anyhow::ensure!(bytes <= MAX_BYTES, "{shown} has more than {MAX_BYTES} bytes");
    let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    match serde_saphyr::from_str::<ConfigMap>(&text) {
        Ok(map) if map.kind == "ConfigMap" => {
            pick(map).ok_or_else(|| anyhow!("{shown}: the ConfigMap has no such configuration"))
        }
        Ok(_) | Err(_) => Ok(text),
    }
}

fn kube_proxy_of(map: ConfigMap) -> Option<String> {
    map.data.into_values().find(|text| text.contains("kind: KubeProxyConfiguration"))
}

fn corefile_of(mut map: ConfigMap) -> Option<String> {
    map.data.remove(COREFILE)
}

/// Adds what becomes of kube-proxy's configuration.
fn of_kube_proxy(text: &str, report: &mut String) -> anyhow::Result<()> {
    let line = ["podway", "run"].map(Into::into);
    let Merged { reading, .. } = config_file::merge(&line, text)?;
    let Reading { settings, remarks, mistakes } = &reading;
    writeln!(report, "# Of kube-proxy's configuration. Use: podway run --config FILE")?;
    writeln!(report, "apiVersion: {API_VERSION}\nkind: {KIND}")?;
    let mut lists: Vec<(&str, Vec<&str>)> = Vec::new();
    for setting in settings {
        let flag = setting.flag.trim_start_matches("--");
        match lists.iter_mut().find(|(known, _)| *known == flag) {
            Some((_, values)) => values.push(&setting.value),
            None => lists.push((flag, vec![&setting.value])),
        }
    }
    for (flag, values) in lists {
        // JSON is YAML, and quotes what YAML would take for something else.
        let value = match values.as_slice() {
            [one] => serde_json::to_string(one)?,
            many => serde_json::to_string(many)?,
        };
        writeln!(report, "{flag}: {value}")?;
    }
    writeln!(report, "\n# What changes:")?;
    for remark in remarks {
        writeln!(report, "# - {remark}")?;
    }
    for change in ALWAYS {
        writeln!(report, "# - {change}")?;
    }
    if !mistakes.is_empty() {
        writeln!(report, "\n# Not supported, or wrong:")?;
        for mistake in mistakes {
            writeln!(report, "# - {mistake}")?;
        }
    }
    Ok(())
}

/// What is different whatever kube-proxy's configuration says.
const ALWAYS: [&str; 3] = [
    "kernel settings (conntrack) are reported; --set-sysctls sets them",
    "externalIPs of Services are honored only in the ranges of --allow-external-ips",
    "rules are in tables `ip podway` and `ip6 podway`; `podway cleanup` removes them",
];

/// Adds what becomes of CoreDNS's configuration.
fn of_coredns(text: &str, report: &mut String) -> anyhow::Result<()> {
    writeln!(report, "\n# Of CoreDNS's configuration:")?;
    match read_corefile(COREFILE, text.as_bytes(), &Files::default(), Lenience::Lenient) {
        Ok(reading) => {
            for line in reading.config.to_string().lines() {
                writeln!(report, "#   {line}")?;
            }
            for warning in &reading.warnings {
                writeln!(report, "# - not supported: {warning}")?;
            }
        }
        Err(mistakes) => {
            writeln!(report, "# It cannot be used as it is:")?;
            for line in mistakes.to_string().lines() {
                writeln!(report, "# - {line}")?;
            }
        }
    }
    Ok(())
}
