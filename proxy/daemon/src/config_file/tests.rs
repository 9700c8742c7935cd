use std::ffi::OsString;

use super::*;

/// What kubeadm puts into the ConfigMap `kube-proxy`.
const KUBEADM: &str = include_str!("../../tests/data/kubeadm-kube-proxy.yaml");

fn line(flags: &[&str]) -> Vec<OsString> {
    ["podway", "run"].iter().chain(flags).map(OsString::from).collect()
}

fn merged(flags: &[&str], text: &str) -> Merged {
    merge(&line(flags), text).unwrap()
}

fn kube_proxy(fields: &str) -> Reading {
    let text =
        format!("apiVersion: {}\nkind: {}\n{fields}\n", kube_proxy::API_VERSION, kube_proxy::KIND);
    merged(&[], &text).reading
}

fn own(keys: &str) -> Reading {
    merged(&[], &format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{keys}\n")).reading
}

fn settings(reading: &Reading) -> Vec<String> {
    assert_eq!(reading.mistakes, []);
    let line = |setting: &Setting| format!("{}={}", setting.flag, setting.value);
    reading.settings.iter().map(line).collect()
}

fn mistakes(reading: &Reading) -> Vec<String> {
    reading.mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn kubeadms_file_is_taken_as_it_is() {
    let Merged { args, reading } = merged(&[], KUBEADM);
    assert_eq!(reading.mistakes, []);
    assert_eq!(
        settings(&reading),
        [
            "--bind-address-hard-fail=false",
            "--kubeconfig=/var/lib/kube-proxy/kubeconfig.conf",
            "--cluster-cidr=10.244.0.0/16",
            "--conntrack-udp-timeout-stream=0s",
            "--conntrack-udp-timeout=0s",
            "--masquerade-all=false",
            "--log-level=info",
        ]
    );
    let remarks: Vec<_> = reading.remarks.iter().map(|remark| remark.field.clone()).collect();
    assert_eq!(remarks, [""; 0], "{:#?}", reading.remarks);
    assert_eq!(args.proxy.cluster_cidr.as_deref(), Some("10.244.0.0/16"));
}

#[test]
fn fields_become_flags() {
    for (fields, flags) in [
        ("hostnameOverride: node-a", &["--hostname-override=node-a"][..]),
        ("healthzBindAddress: 0.0.0.0:10356", &["--healthz-bind-address=0.0.0.0:10356"]),
        (
            "nodePortAddresses: [10.0.0.0/8, primary]",
            &["--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=primary"],
        ),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
            &["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"],
        ),
        (
            "conntrack: {maxPerCore: 0, min: 5, tcpCloseWaitTimeout: 1h0m0s, tcpBeLiberal: true}",
            &[
                "--conntrack-max-per-core=0",
                "--conntrack-min=5",
                "--conntrack-tcp-timeout-close-wait=1h0m0s",
                "--conntrack-tcp-be-liberal=true",
            ],
        ),
        (
            "mode: nftables\nnftables: {masqueradeAll: true, masqueradeBit: 3}\niptables: {masqueradeBit: 4}",
            &["--masquerade-bit=3", "--masquerade-all=true"],
        ),
        (
            "iptables: {masqueradeBit: 4, localhostNodePorts: true}\nnftables: {masqueradeBit: 3}",
            &["--masquerade-bit=4", "--localhost-node-ports=true"],
        ),
        ("logging: {format: json, verbosity: 5}", &["--log-format=json", "--log-level=debug"]),
        ("conntrack: {tcpBeLiberal: false}\nnodePortAddresses: null\nclusterCIDR: ''", &[]),
    ] {
        assert_eq!(settings(&kube_proxy(fields)), flags, "{fields}");
    }
}

#[test]
fn fields_without_meaning_are_said_unless_they_hold_the_default() {
    for (fields, remarked) in [
        ("mode: iptables", &["mode"][..]),
        ("mode: ''", &[]),
        ("ipvs: {scheduler: rr, strictARP: false}", &[]),
        (
            "ipvs: {scheduler: sh, strictARP: true, excludeCIDRs: [10.0.0.0/8]}",
            &["ipvs.scheduler", "ipvs.strictARP", "ipvs.excludeCIDRs"],
        ),
        ("iptables: {syncPeriod: 30s, minSyncPeriod: 10s}", &["iptables.minSyncPeriod"]),
        ("oomScoreAdj: -998\nenableProfiling: true", &["oomScoreAdj", "enableProfiling"]),
        ("featureGates: {KubeProxyDrainingTerminatingNodes: true}", &["featureGates"]),
        ("windowsRunAsService: false\nwinkernel: {enableDSR: false}\nportRange: ''", &[]),
    ] {
        let reading = kube_proxy(fields);
        assert_eq!(reading.mistakes, [], "{fields}");
        let found: Vec<_> = reading.remarks.iter().map(|remark| remark.field.as_str()).collect();
        assert_eq!(found, remarked, "{fields}");
    }
    let remark = kube_proxy("mode: ipvs").remarks[0].to_string();
    assert!(
        remark.starts_with("3:7: mode has no effect: ipvs is a mode of kube-proxy"),
        "{remark}"
    );
}

#[test]
fn every_mistake_is_said_with_its_place_and_what_is_accepted() {
    let reading = kube_proxy(
        "clusterCIRD: 10.244.0.0/16\nmode: userspace\niptables:\n  masqueradeBit: 32\n  syncPeriod: soon\n\
         conntrack: 5\nnodePortAddresses: 10.0.0.0/8\nenableProfiling: maybe\noomScoreAdj: -2000",
    );
    assert_eq!(
        mistakes(&reading),
        [
            "3:1: clusterCIRD: is no field of KubeProxyConfiguration; accepted: clusterCIDR",
            "8:12: conntrack: 5 is not a mapping; accepted: a mapping",
            "4:7: mode: \"userspace\" is not that; accepted: nftables, iptables, ipvs",
            "6:18: iptables.masqueradeBit: 32 is not that; accepted: an integer from 0 to 31",
            "7:15: iptables.syncPeriod: \"soon\" is not that; accepted: a time such as 30s or 1h30m",
            "9:20: nodePortAddresses: \"10.0.0.0/8\" is not that; accepted: a list of texts",
            "10:18: enableProfiling: \"maybe\" is not that; accepted: true, false",
            "11:14: oomScoreAdj: -2000 is not that; accepted: an integer from -1000 to 1000",
        ]
    );
}

#[test]
fn periods_that_contradict_each_other_are_refused_where_kube_proxy_refuses_them() {
    for (fields, expected) in [
        (
            "iptables: {syncPeriod: 10s, minSyncPeriod: 1m}",
            Some(
                "3:24: iptables.syncPeriod: 10s is shorter than iptables.minSyncPeriod; \
                 accepted: 60s or longer",
            ),
        ),
        (
            "nftables: {minSyncPeriod: 31s}",
            Some(
                "3:27: nftables.syncPeriod: 30s is shorter than nftables.minSyncPeriod; \
                 accepted: 31s or longer",
            ),
        ),
        (
            "nftables: {syncPeriod: 500ms, minSyncPeriod: 0s}",
            Some(
                "3:24: nftables.syncPeriod: 500ms is shorter than nftables.minSyncPeriod; \
                 accepted: 1s or longer",
            ),
        ),
        ("nftables: {syncPeriod: 5s, minSyncPeriod: 5s}", None),
        ("ipvs: {syncPeriod: 5s, minSyncPeriod: 6s}", None),
        (
            "mode: ipvs\nipvs: {syncPeriod: 5s, minSyncPeriod: 6s}",
            Some(
                "4:20: ipvs.syncPeriod: 5s is shorter than ipvs.minSyncPeriod; \
                 accepted: 6s or longer",
            ),
        ),
        ("ipvs: {syncPeriod: 500ms}\nmode: ipvs", None),
    ] {
        let found = mistakes(&kube_proxy(fields));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{fields}");
    }
}

#[test]
fn our_own_file_has_the_flags_by_name() {
    let reading = own("cluster-cidr: 10.244.0.0/16\nmasquerade-all: true\nmasquerade-bit: 5\n\
                       dns-listen: [127.0.0.1:53, '[::1]:53']");
    assert_eq!(
        settings(&reading),
        [
            "--cluster-cidr=10.244.0.0/16",
            "--masquerade-all=true",
            "--masquerade-bit=5",
            "--dns-listen=127.0.0.1:53",
            "--dns-listen=[::1]:53"
        ]
    );
    let reading = own("cluster-cird: x\nconfig: /x\nmasquerade-all: {}");
    assert_eq!(
        mistakes(&reading),
        [
            "3:1: cluster-cird: is no flag of `podway run`; accepted: cluster-cidr",
            "4:1: config: is no flag of `podway run`; accepted: the flags of `podway run`, without dashes",
            "5:17: masquerade-all: a mapping is no value of a flag; accepted: a text, a number, \
             true, false, or a list of texts",
        ]
    );
}

#[test]
fn flags_of_the_command_line_beat_the_file() {
    let text = format!(
        "apiVersion: {API_VERSION}\nkind: {KIND}\ncluster-cidr: 10.1.0.0/16\nmasquerade-bit: 5\n\
         kubeconfig: /k\nnodeport-addresses: [10.0.0.0/8]\n"
    );
    let flags = ["--masquerade-bit=7", "--manifests=/m", "--nodeport-addresses=192.168.0.0/16"];
    let Merged { args, reading } = merged(&flags, &text);
    assert_eq!(settings(&reading), ["--cluster-cidr=10.1.0.0/16"]);
    assert_eq!(args.proxy.masquerade_bit, "7");
    assert_eq!(args.proxy.nodeport_addresses, ["192.168.0.0/16"]);
    assert_eq!((args.cluster.manifests.is_some(), args.api.kubeconfig), (true, None));
}

#[test]
fn files_that_are_none_of_ours_are_refused_with_their_place() {
    for (text, expected) in [
        ("a: [", "YAML"),
        ("- 1", "has no apiVersion and kind"),
        ("apiVersion: v1\nkind: ConfigMap\n", "is v1 ConfigMap"),
    ] {
        let found = mistakes(&merged(&[], text).reading);
        assert!(found.len() == 1 && found[0].contains(expected), "{text:?}: {found:?}");
    }
}

#[test]
fn every_flag_that_a_field_becomes_exists() {
    let everything = "hostnameOverride: a\nbindAddressHardFail: true\nclusterCIDR: 10.0.0.0/8\n\
        clientConnection: {kubeconfig: /k}\nconntrack: {maxPerCore: 1, min: 1, tcpBeLiberal: true,\n\
          tcpCloseWaitTimeout: 1s, tcpEstablishedTimeout: 1s, udpTimeout: 1s, udpStreamTimeout: 1s}\n\
        detectLocal: {bridgeInterface: a, interfaceNamePrefix: b}\ndetectLocalMode: NodeCIDR\n\
        healthzBindAddress: '127.0.0.1:1'\nmetricsBindAddress: '127.0.0.1:2'\n\
        iptables: {localhostNodePorts: true, masqueradeAll: true, masqueradeBit: 1}\n\
        logging: {format: json, verbosity: 1}\nnodePortAddresses: [primary]";
    // Merging fails at a flag that clap does not know.
    assert_eq!(settings(&kube_proxy(everything)).len(), 22);
}
