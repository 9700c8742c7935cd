//! kube-proxy's own configuration, `kubeproxy.config.k8s.io/v1alpha1`: what each field is here.
//!
//! Three things can become of a field: it is a flag of ours; it is accepted and means nothing, which
//! is said unless it holds kube-proxy's default; or it is refused. Field list and validation:
//! `k8s.io/kube-proxy` v1.37, `config/v1alpha1` and `pkg/proxy/apis/config/validation`.

use std::time::Duration;

use jiff::SignedDuration;

use super::tree::{Node, Value};
use super::{Mistake, Reading, Remark, closest};

/// `apiVersion` of the file.
pub(super) const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";

/// `kind` of the file.
pub(super) const KIND: &str = "KubeProxyConfiguration";

/// What a field must hold.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Text,
    /// One of these texts, or nothing.
    OneOf(&'static [&'static str]),
    Boolean,
    Integer(i64, i64),
    /// A time in Go's spelling, not negative.
    Time,
    Texts,
    /// A mapping that is not looked into.
    Anything,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
enum Becomes {
    /// A flag with the same value.
    Flag(&'static str),
    /// Nothing; the reason is said unless it holds one of these defaults or nothing.
    Nothing(&'static str, &'static [&'static str]),
    /// Nothing that anybody would miss.
    Silence,
    /// Something that depends on other fields, decided in [`of_mode`].
    ByMode,
}

use Becomes::{ByMode, Flag, Nothing, Silence};
use Holds::{Anything, Boolean, Integer, OneOf, Text, Texts, Time};

const NO_PERIODS: &str = "there are no periods: a change is programmed when it comes, and what \
                          another process changes is put back at once";
const NO_IPVS: &str = "there is no IPVS here";
const NO_CLIENT_LIMITS: &str = "the API server is watched, hardly ever asked, and speaks JSON";
const WINDOWS: &str = "is for Windows";
const LARGEST: i64 = 2_147_483_647;

/// Every field, by path: what it must hold and what becomes of it.
const FIELDS: &[(&str, Holds, Becomes)] = &[
    ("apiVersion", Text, Silence),
    ("kind", Text, Silence),
    (
        "bindAddress",
        Text,
        Nothing(
            "nothing binds to it; the node's own addresses come from its Node object",
            &["0.0.0.0", "::"],
        ),
    ),
    ("bindAddressHardFail", Boolean, Flag("--bind-address-hard-fail")),
    ("clientConnection.acceptContentTypes", Text, Nothing(NO_CLIENT_LIMITS, &[])),
    ("clientConnection.burst", Integer(0, LARGEST), Nothing(NO_CLIENT_LIMITS, &["0", "10"])),
    (
        "clientConnection.contentType",
        Text,
        Nothing(NO_CLIENT_LIMITS, &["application/vnd.kubernetes.protobuf"]),
    ),
    ("clientConnection.kubeconfig", Text, Flag("--kubeconfig")),
    ("clientConnection.qps", Integer(0, LARGEST), Nothing(NO_CLIENT_LIMITS, &["0", "5"])),
    ("clusterCIDR", Text, Flag("--cluster-cidr")),
    ("configSyncPeriod", Time, Nothing(NO_PERIODS, &["0s", "15m", "15m0s"])),
    ("conntrack.maxPerCore", Integer(0, LARGEST), Flag("--conntrack-max-per-core")),
    ("conntrack.min", Integer(0, LARGEST), Flag("--conntrack-min")),
    ("conntrack.tcpBeLiberal", Boolean, ByMode),
    ("conntrack.tcpCloseWaitTimeout", Time, Flag("--conntrack-tcp-timeout-close-wait")),
    ("conntrack.tcpEstablishedTimeout", Time, Flag("--conntrack-tcp-timeout-established")),
    ("conntrack.udpStreamTimeout", Time, Flag("--conntrack-udp-timeout-stream")),
    ("conntrack.udpTimeout", Time, Flag("--conntrack-udp-timeout")),
    ("detectLocal.bridgeInterface", Text, Flag("--pod-bridge-interface")),
    ("detectLocal.interfaceNamePrefix", Text, Flag("--pod-interface-name-prefix")),
    (
        "detectLocalMode",
        OneOf(&["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]),
        Flag("--detect-local-mode"),
    ),
    ("enableProfiling", Boolean, Nothing("nothing is profiled here", &["false"])),
    ("featureGates", Anything, Nothing("there are no feature gates here", &[])),
    ("healthzBindAddress", Text, Flag("--healthz-bind-address")),
    ("hostnameOverride", Text, Flag("--hostname-override")),
    ("iptables.localhostNodePorts", Boolean, ByMode),
    ("iptables.masqueradeAll", Boolean, ByMode),
    ("iptables.masqueradeBit", Integer(0, 31), ByMode),
    ("iptables.minSyncPeriod", Time, Nothing(NO_PERIODS, &["0s", "1s"])),
    ("iptables.syncPeriod", Time, Nothing(NO_PERIODS, &["0s", "30s"])),
    ("ipvs.excludeCIDRs", Texts, Nothing(NO_IPVS, &[])),
    ("ipvs.minSyncPeriod", Time, Nothing(NO_IPVS, &["0s"])),
    (
        "ipvs.scheduler",
        Text,
        Nothing(
            "an endpoint is chosen at random; by the client's address with the annotation \
         podway.dev/hash, by weight with podway.dev/weights",
            &["rr"],
        ),
    ),
    ("ipvs.strictARP", Boolean, Nothing("no address is put on an interface here", &["false"])),
    ("ipvs.syncPeriod", Time, Nothing(NO_IPVS, &["0s", "30s"])),
    ("ipvs.tcpFinTimeout", Time, Nothing(NO_IPVS, &["0s"])),
    ("ipvs.tcpTimeout", Time, Nothing(NO_IPVS, &["0s"])),
    ("ipvs.udpTimeout", Time, Nothing(NO_IPVS, &["0s"])),
    ("logging.flushFrequency", Anything, Silence),
    ("logging.format", OneOf(&["text", "json"]), Flag("--log-format")),
    ("logging.options", Anything, Silence),
    ("logging.verbosity", Integer(0, LARGEST), ByMode),
    ("logging.vmodule", Anything, Nothing("levels are set by --log-level", &[])),
    ("metricsBindAddress", Text, Flag("--metrics-bind-address")),
    ("mode", OneOf(&["nftables", "iptables", "ipvs"]), ByMode),
    ("nftables.masqueradeAll", Boolean, ByMode),
    ("nftables.masqueradeBit", Integer(0, 31), ByMode),
    ("nftables.minSyncPeriod", Time, Nothing(NO_PERIODS, &["0s", "1s"])),
    ("nftables.syncPeriod", Time, Nothing(NO_PERIODS, &["0s", "30s"])),
    ("nodePortAddresses", Texts, Flag("--nodeport-addresses")),
    ("oomScoreAdj", Integer(-1000, 1000), Nothing("the pod's resources decide", &["-999"])),
    ("portRange", Text, Nothing("nothing is opened in a range", &[])),
    ("showHiddenMetricsForVersion", Text, Nothing("no metric is hidden", &[])),
    ("windowsRunAsService", Boolean, Nothing(WINDOWS, &["false"])),
    ("winkernel", Anything, Silence),
];

/// Longest time between two writes of kube-proxy where the file says none.
const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// Sections with periods, and the shortest time between two writes where the file says none.
const MIN_SYNC_PERIODS: [(&str, Duration); 3] = [
    ("iptables", Duration::from_secs(1)),
    ("ipvs", Duration::ZERO),
    ("nftables", Duration::from_secs(1)),
];

/// A field of a file, with its row of the table.
type Field<'a> = (String, &'a Node, Holds, Becomes);

/// Reads the fields of `node` into `reading`.
pub(super) fn read(node: &Node, reading: &mut Reading) {
    let mut found = Vec::new();
    leaves(node, "", &mut found, reading);
    check_periods(&found, reading);
    let mut by_mode = Vec::new();
    for (path, node, holds, becomes) in found {
        let Some(values) = checked(&path, node, holds, reading) else { continue };
        match becomes {
            Flag(flag) => reading.set_all(flag, &path, node.place, values),
            Nothing(reason, defaults) => {
                let usual = values.iter().all(|value| defaults.contains(&value.as_str()));
                if !usual {
                    let reason = reason.to_owned();
                    reading.remarks.push(Remark { place: node.place, field: path, reason });
                }
            }
            Silence => {}
            ByMode => by_mode.push((path, node, values)),
        }
    }
    of_mode(&by_mode, reading);
}

/// The fields that `node` has, each with its row of the table; unknown ones are mistakes.
fn leaves<'a>(node: &'a Node, above: &str, found: &mut Vec<Field<'a>>, reading: &mut Reading) {
    let Value::Mapping(entries) = &node.value else {
        if node.value != Value::Null {
            let reason = format!("{} is not a mapping", node.value.described());
            reading.mistakes.push(Mistake::new(node.place, above, reason, "a mapping"));
        }
        return;
    };
    for (key, value) in entries {
        let path =
            if above.is_empty() { key.name.clone() } else { format!("{above}.{}", key.name) };
        if let Some((_, holds, becomes)) = FIELDS.iter().find(|(field, ..)| *field == path) {
            found.push((path, value, *holds, *becomes));
        } else if FIELDS.iter().any(|(field, ..)| is_below(field, &path)) {
            leaves(value, &path, found, reading);
        } else {
            let known = FIELDS.iter().map(|(field, ..)| *field);
            let reason = format!("is no field of {KIND}");
            let accepted = closest(&path, known)
                .map_or_else(|| "the fields of v1alpha1".to_owned(), |field| field.to_owned());
            reading.mistakes.push(Mistake::new(key.place, &path, reason, &accepted));
        }
    }
}

fn is_below(field: &str, path: &str) -> bool {
    field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// The values of a field as flags have them; `None` where there are none, or wrong ones.
fn checked(path: &str, node: &Node, holds: Holds, reading: &mut Reading) -> Option<Vec<String>> {
    let mut wrong = |accepted: &str| {
        let reason = format!("{} is not that", node.value.described());
        reading.mistakes.push(Mistake::new(node.place, path, reason, accepted));
        None
    };
    match (holds, &node.value) {
        (_, Value::Null) => None,
        // The API takes an empty text and an empty list for nothing.
        (Text | OneOf(_) | Time, Value::Text(text)) if text.is_empty() => None,
        (Texts, Value::List(list)) if list.is_empty() => None,
        (Anything, Value::Mapping(entries)) if entries.is_empty() => None,
        (Anything, _) => Some(vec![node.value.described()]),
        (Text, Value::Text(text)) => Some(vec![text.clone()]),
        (OneOf(texts), Value::Text(text)) if texts.contains(&text.as_str()) => {
            Some(vec![text.clone()])
        }
        (OneOf(texts), _) => wrong(&texts.join(", ")),
        (Boolean, Value::Boolean(value)) => Some(vec![value.to_string()]),
        (Integer(least, most), Value::Integer(value)) if (least..=most).contains(value) => {
            Some(vec![value.to_string()])
        }
        (Integer(least, most), _) => wrong(&format!("an integer from {least} to {most}")),
        (Time, Value::Text(text)) if time(text).is_some() => Some(vec![text.clone()]),
        (Time, Value::Integer(0)) => Some(vec!["0s".to_owned()]),
        (Time, _) => wrong("a time such as 30s or 1h30m"),
        (Texts, Value::List(list)) => {
            let texts = list.iter().map(|node| node.value.text().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().or_else(|| wrong("a list of texts"))
        }
        (Text, _) => wrong("a text"),
        (Boolean, _) => wrong("true, false"),
        (Texts, _) => wrong("a list of texts"),
    }
}

/// Refuses periods that cannot both be kept, as kube-proxy does, although neither means anything.
fn check_periods(fields: &[Field<'_>], reading: &mut Reading) {
    let text = |path: &str| {
        let (_, node, ..) = fields.iter().find(|(field, ..)| field == path)?;
        Some((node.place, node.value.text()?))
    };
    for (section, usual) in MIN_SYNC_PERIODS {
        // Only that mode looks at its own.
        if section == "ipvs" && text("mode").is_none_or(|(_, mode)| mode != section) {
            continue;
        }
        let period = |name: &str, usual: Duration| {
            let said = text(&format!("{section}.{name}"));
            let (place, period) = said.and_then(|(place, text)| Some((place, time(text)?))).unzip();
            (place, period.filter(|period| !period.is_zero()).unwrap_or(usual))
        };
        let (least_at, least) = period("minSyncPeriod", usual);
        let (most_at, most) = period("syncPeriod", SYNC_PERIOD);
        if most < least
            && let Some(place) = most_at.or(least_at)
        {
            let field = format!("{section}.syncPeriod");
            let reason = format!("{most:?} is shorter than {section}.minSyncPeriod");
            let accepted = format!("{least:?} or longer");
            reading.mistakes.push(Mistake::new(place, &field, reason, &accepted));
        }
    }
}

fn time(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// What of `fields` counts depends on the mode, as with kube-proxy.
fn of_mode(fields: &[(String, &Node, Vec<String>)], reading: &mut Reading) {
    let field = |path: &str| {
        let found = fields.iter().find(|(field, ..)| field == path)?;
        Some((found.1.place, found.2.first()?.as_str()))
    };
    let mode = field("mode");
    let nftables = mode.is_some_and(|(_, mode)| mode == "nftables");
    if let Some((place, mode)) = mode
        && !nftables
    {
        let reason = format!(
            "{mode} is a mode of kube-proxy; nftables is programmed, and node ports are open at \
             the node's primary addresses unless nodePortAddresses names others"
        );
        reading.remarks.push(Remark { place, field: "mode".to_owned(), reason });
    }
    let section = if nftables { "nftables" } else { "iptables" };
    for (name, flag) in
        [("masqueradeBit", "--masquerade-bit"), ("masqueradeAll", "--masquerade-all")]
    {
        let path = format!("{section}.{name}");
        if let Some((place, value)) = field(&path) {
            reading.set_all(flag, &path, place, vec![value.to_owned()]);
        }
    }
    if let Some((place, "true")) = field("iptables.localhostNodePorts")
        && !nftables
    {
        let path = "iptables.localhostNodePorts";
        reading.set_all("--localhost-node-ports", path, place, vec!["true".to_owned()]);
    }
    // Off is kube-proxy's default and on is ours, as kernels before 6.1 reset connections without.
    if let Some((place, "true")) = field("conntrack.tcpBeLiberal") {
        let path = "conntrack.tcpBeLiberal";
        reading.set_all("--conntrack-tcp-be-liberal", path, place, vec!["true".to_owned()]);
    }
    if let Some((place, verbosity)) = field("logging.verbosity") {
        let level =
            if verbosity.parse::<u32>().is_ok_and(|level| level >= 4) { "debug" } else { "info" };
        reading.set_all("--log-level", "logging.verbosity", place, vec![level.to_owned()]);
    }
}
