use std::io;

use clap::Parser;
use podway_cluster_watch::api::{Access, Endpoint};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::policy::{
    ConntrackBypass, DeadTcp, NodePortAddresses, PodDetection, UnknownPorts,
};
use podway_proxy_sync::sysctl::{Choices, Permission};

use super::*;
use crate::args::{Command, CommandLine};
use crate::environment::Surroundings;

fn environment() -> Environment {
    Environment {
        host_name: Ok("Node-A.example\n".to_owned()),
        interfaces: vec!["127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap()],
        surroundings: Surroundings::Host,
        search: Vec::new(),
    }
}

fn resolve_in(flags: &[&str], environment: &Environment) -> Result<Config, FlagErrors> {
    let command = ["podway", "run", "--manifests=/manifests"].iter().chain(flags);
    let command = CommandLine::try_parse_from(command).unwrap().command;
    let Command::Run(args) = command else { panic!("{command:?}") };
    Config::resolve(&args, environment)
}

fn resolve(flags: &[&str]) -> Result<Config, FlagErrors> {
    resolve_in(flags, &environment())
}

/// The lines of all errors that `flags` give.
fn errors(flags: &[&str]) -> Vec<String> {
    resolve(flags).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn cidrs(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn defaults_are_a_whole_configuration() {
    let Config { source, cluster, proxy, kernel, dns, node_local: _, admin, log } =
        resolve(&[]).unwrap();
    assert_eq!(source, SourceConfig::Manifests("/manifests".into()));
    assert_eq!(cluster.node.as_str(), "node-a.example", "the host name in lower case");
    assert_eq!(cluster.zone.domain().to_ascii(), "cluster.local.");
    assert_eq!(proxy.policy, Policy::default());
    assert_eq!(proxy.masquerade_bit, 14);
    assert_eq!(proxy.interfaces, environment().interfaces);
    assert_eq!(proxy.loopback, LoopbackNodePorts::Closed);
    assert_eq!(kernel, Choices::default());
    assert_eq!(dns.listen, sockets(&["127.0.0.1:53"]));
    let CorefileSource::BuiltIn(text) = dns.corefile else { panic!("{dns:?}") };
    assert!(text.contains("forward . /etc/resolv.conf"), "{text}");
    assert_eq!(admin.healthz, Some("0.0.0.0:10256".parse().unwrap()));
    assert_eq!(admin.metrics, Some("127.0.0.1:10249".parse().unwrap()));
    assert_eq!(admin.bind_failure, BindFailure::Retried);
    assert_eq!(log.format, LogFormat::Text);
    assert_eq!(log.levels.to_string(), "info");
}

#[test]
fn every_flag_is_taken_over() {
    let Config { source: _, cluster, proxy, kernel, dns, node_local: _, admin, log } = resolve(&[
        "--hostname-override= Worker-1 ",
        "--cluster-domain=magedu.local.",
        "--proxy-mode=nftables",
        "--cluster-cidr=10.244.0.9/16, fd00:10:244::/56",
        "--masquerade-all",
        "--iptables-masquerade-bit=31",
        "--nodeport-addresses=192.0.2.0/24,127.0.0.0/8",
        "--nodeport-addresses=2001:db8::/32",
        "--allow-external-ips=203.0.113.0/24",
        "--detect-local-mode=InterfaceNamePrefix",
        "--pod-interface-name-prefix=veth",
        "--service-cidrs=10.96.0.0/13,10.104.0.0/13",
        "--service-cidrs=fd00:96::/108",
        "--unknown-service-ports=ignore",
        "--localhost-node-ports",
        "--reset-dead-tcp",
        "--set-sysctls",
        "--conntrack-max-per-core=0",
        "--conntrack-min=1000",
        "--conntrack-tcp-be-liberal=false",
        "--conntrack-tcp-timeout-established=1h30m0s",
        "--conntrack-tcp-timeout-close-wait=90s",
        "--conntrack-udp-timeout=0s",
        "--conntrack-udp-timeout-stream=2m",
        "--dns-listen=192.0.2.1:53",
        "--dns-listen=[::1]",
        "--dns-upstream=198.51.100.1",
        "--dns-upstream=[2001:db8::53]:5353",
        "--healthz-bind-address=[::]:1",
        "--metrics-bind-address=",
        "--bind-address-hard-fail=true",
        "--log-level=warn,podway_proxy_sync=debug",
        "--log-format=json",
    ])
    .unwrap();
    assert_eq!(cluster.node.as_str(), "worker-1");
    assert_eq!(cluster.zone.domain().to_ascii(), "magedu.local.");
    let expected = Policy {
        pods: PodDetection::Interface(InterfaceName::beginning_with("veth").unwrap()),
        cluster_cidrs: cidrs(&["10.244.0.0/16", "fd00:10:244::/56"]),
        masquerade_all: true,
        node_ports: NodePortAddresses::Cidrs(cidrs(&[
            "192.0.2.0/24",
            "127.0.0.0/8",
            "2001:db8::/32",
        ])),
        allow_external_ips: cidrs(&["203.0.113.0/24"]),
        service_cidrs: cidrs(&["10.96.0.0/12", "fd00:96::/108"]),
        unknown_ports: UnknownPorts::Ignore,
        dead_tcp: DeadTcp::Reset,
        node_local_dns: Default::default(),
        conntrack_bypass: Default::default(),
    };
    assert_eq!(proxy.policy, expected);
    assert_eq!(proxy.loopback, LoopbackNodePorts::Forwarded);
    let seconds = std::time::Duration::from_secs;
    let expected = Choices {
        permission: Permission::Set,
        max_per_core: 0,
        min: 1000,
        tcp_be_liberal: false,
        tcp_established: seconds(5_400),
        tcp_close_wait: seconds(90),
        udp: seconds(0),
        udp_stream: seconds(120),
    };
    assert_eq!(kernel, expected);
    assert_eq!(proxy.masquerade_bit, 31);
    assert_eq!(dns.listen, sockets(&["192.0.2.1:53", "[::1]:53"]));
    let CorefileSource::BuiltIn(text) = dns.corefile else { panic!("{dns:?}") };
    assert!(text.contains("forward . 198.51.100.1:53 [2001:db8::53]:5353 {"), "{text}");
    assert_eq!((admin.healthz, admin.metrics), (Some("[::]:1".parse().unwrap()), None));
    assert_eq!(admin.bind_failure, BindFailure::Fatal);
    assert_eq!(log.format, LogFormat::Json);
    assert!(log.levels.would_enable("podway_proxy_sync", &tracing::Level::DEBUG));
    assert!(!log.levels.would_enable("podway_dns_server", &tracing::Level::INFO));
}

#[test]
fn each_wrong_value_names_its_flag_itself_and_what_is_accepted() {
    let rows = [
        (
            "--hostname-override=node_1",
            "--hostname-override \"node_1\": \"node_1\" must be lower-case letters, digits and \
             '-', starting and ending with a letter or digit; accepted: the name of this node's \
             Node object",
        ),
        (
            "--cluster-domain=.",
            "--cluster-domain \".\": zone \".\" is the root of the name space; accepted: a domain \
             such as cluster.local",
        ),
        (
            "--proxy-mode=socket",
            "--proxy-mode \"socket\": is not a mode; accepted: auto, nftables, ebpf",
        ),
        (
            "--proxy-mode=ipvs",
            "--proxy-mode \"ipvs\": is a mode of kube-proxy that podway lacks; accepted: auto, \
             nftables, ebpf",
        ),
        (
            "--proxy-mode=fast",
            "--proxy-mode \"fast\": is not a mode; accepted: auto, nftables, ebpf",
        ),
        (
            "--cluster-cidr=10.0.0.0/33",
            "--cluster-cidr \"10.0.0.0/33\": is no CIDR (invalid ip address syntax); accepted: one \
             CIDR, or one of each family with a comma between, such as \
             10.244.0.0/16,fd00:10:244::/56",
        ),
        (
            "--cluster-cidr=10.0.0.0/8,11.0.0.0/8",
            "--cluster-cidr \"10.0.0.0/8,11.0.0.0/8\": both are of one family; accepted: one CIDR, \
             or one of each family with a comma between, such as 10.244.0.0/16,fd00:10:244::/56",
        ),
        (
            "--masquerade-all=maybe",
            "--masquerade-all \"maybe\": is neither true nor false; accepted: true, false",
        ),
        (
            "--masquerade-bit=32",
            "--masquerade-bit \"32\": a packet mark has no such bit; accepted: a number from 0 to \
             31",
        ),
        (
            "--nodeport-addresses=secondary,192.0.2.0/24",
            "--nodeport-addresses \"secondary\": is no CIDR (invalid ip address syntax); accepted: \
             CIDRs, \"primary\", \"all\" or \"localhost\"",
        ),
        (
            "--allow-external-ips=203.0.113.1",
            "--allow-external-ips \"203.0.113.1\": is no CIDR (invalid ip address syntax); \
             accepted: a CIDR such as 203.0.113.0/24",
        ),
        (
            "--dns-listen=localhost:53",
            "--dns-listen \"localhost:53\": invalid IP address syntax; accepted: ADDR:PORT such as \
             127.0.0.1:53 or [::1]:53",
        ),
        (
            "--dns-upstream=127.0.0.1",
            "--dns-upstream \"127.0.0.1\": podway itself listens there; accepted: ADDR or \
             ADDR:PORT of a name server that is not this one",
        ),
        (
            "--dns-upstream=0.0.0.0",
            "--dns-upstream \"0.0.0.0\": nobody can be asked there; accepted: ADDR or ADDR:PORT of \
             a name server that is not this one",
        ),
        (
            "--healthz-bind-address=:10256",
            "--healthz-bind-address \":10256\": invalid IP address syntax; accepted: ADDR or \
             ADDR:PORT, or nothing to turn it off",
        ),
        (
            "--metrics-bind-address=here",
            "--metrics-bind-address \"here\": invalid IP address syntax; accepted: ADDR or \
             ADDR:PORT, or nothing to turn it off",
        ),
        (
            "--log-level=loud",
            "--log-level \"loud\": \"loud\" names no level; accepted: error, warn, info, debug or \
             trace, and module=level, with commas between",
        ),
        (
            "--log-format=xml",
            "--log-format \"xml\": is not a form of log lines; accepted: text, json",
        ),
    ];
    for (flag, expected) in rows {
        assert_eq!(errors(&[flag]), [expected], "{flag}");
    }
}

#[test]
fn all_errors_are_reported_together() {
    let found = errors(&[
        "--cluster-domain=a..b",
        "--masquerade-bit=x",
        "--dns-listen=1.2.3.4:0:0",
        "--dns-listen=::1",
        "--dns-listen=[::1]:53",
        "--allow-external-ips=a,192.0.2.0/24,b",
        "--log-format=xml",
    ]);
    let flags: Vec<&str> = found.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        flags,
        [
            "--cluster-domain",
            "--masquerade-bit",
            "--allow-external-ips",
            "--allow-external-ips",
            "--dns-listen",
            "--dns-listen",
            "--log-format",
        ],
        "{found:#?}"
    );
    let text = resolve(&["--log-format=xml", "--masquerade-bit=x"]).unwrap_err().to_string();
    assert!(text.starts_with("2 flags are wrong:\n  --masquerade-bit \"x\""), "{text}");
}

#[test]
fn a_source_is_required_outside_of_a_pod() {
    let source = |flags: &[&str], surroundings| {
        let command = ["podway", "run"].iter().chain(flags);
        let command = CommandLine::try_parse_from(command).unwrap().command;
        let Command::Run(args) = command else { panic!("{command:?}") };
        let environment = Environment { surroundings, ..environment() };
        Config::resolve(&args, &environment)
            .map(|config| config.source)
            .map_err(|errors| errors.to_string())
    };
    let endpoints = |texts: &[&str]| -> Vec<_> {
        texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect()
    };
    assert_eq!(
        source(&[], Surroundings::Host).unwrap_err(),
        "--kubeconfig \"\": is required: there is no --manifests, and this is no pod with a \
         ServiceAccount; accepted: a kubeconfig file"
    );
    assert_eq!(
        source(&["--manifests="], Surroundings::Host).unwrap_err(),
        "--manifests \"\": is required; accepted: a folder of *.yaml, *.yml and *.json manifests"
    );
    assert_eq!(
        source(&["--api-endpoints=10.0.0.1, 10.0.0.2:443"], Surroundings::Pod),
        Ok(SourceConfig::Api {
            access: Access::InCluster,
            endpoints: endpoints(&["10.0.0.1", "10.0.0.2:443"]),
        })
    );
    assert_eq!(
        source(&["--kubeconfig=/k", "--master=https://10.0.0.1:6443"], Surroundings::Pod),
        Ok(SourceConfig::Api {
            access: Access::Kubeconfig("/k".into()),
            endpoints: endpoints(&["10.0.0.1:6443"]),
        })
    );
    assert_eq!(
        source(&["--api-endpoints=ftp://10.0.0.1"], Surroundings::Pod).unwrap_err(),
        "--api-endpoints \"ftp://10.0.0.1\": has a scheme that is neither https nor http; \
         accepted: HOST, HOST:PORT or https://HOST:PORT of an API server"
    );
}

#[test]
fn unreadable_host_name_matters_only_without_an_override() {
    let unreadable =
        Environment { host_name: Err(io::ErrorKind::NotFound.into()), ..environment() };
    let found = resolve_in(&[], &unreadable).unwrap_err().to_string();
    assert!(found.starts_with("--hostname-override \"\": the host name cannot be read"), "{found}");
    assert!(resolve_in(&["--hostname-override=a"], &unreadable).is_ok());
}

#[test]
fn corefile_goes_with_addresses_and_not_with_upstreams() {
    let dns = resolve(&["--corefile=/etc/Corefile", "--dns-listen=192.0.2.1:53"]).unwrap().dns;
    let path = "/etc/Corefile".into();
    let lenience = podway_dns_corefile::Lenience::Strict;
    assert_eq!(dns.corefile, CorefileSource::File { path, lenience });
    assert_eq!(dns.listen, sockets(&["192.0.2.1:53"]));
    let found = errors(&["--corefile=/etc/Corefile", "--dns-upstream=192.0.2.9"]);
    let expected = "--dns-upstream \"192.0.2.9\": the Corefile says who is asked; accepted: forward \
                    in the Corefile, or no --corefile";
    assert_eq!(found, [expected]);
    let found = errors(&["--corefile-lenient"]);
    assert!(found.len() == 1 && found[0].contains("there is no Corefile"), "{found:?}");
}

#[test]
fn own_address_is_no_upstream_also_where_every_interface_is_listened_at() {
    for (listen, refused) in [("0.0.0.0:53", true), ("0.0.0.0:1053", false)] {
        let flags = [&format!("--dns-listen={listen}"), "--dns-upstream=192.0.2.1"];
        assert_eq!(resolve(&flags).is_err(), refused, "{listen}");
    }
}

#[test]
fn empty_list_of_node_port_addresses_is_primary() {
    let proxy = resolve(&["--nodeport-addresses="]).unwrap().proxy;
    assert_eq!(proxy.policy.node_ports, NodePortAddresses::Primary);
}

#[test]
fn node_port_addresses_mix_keywords_and_ranges_as_kube_proxy_does() {
    use LoopbackNodePorts::{Closed, Forwarded};
    let everything = ["0.0.0.0/0", "::/0"];
    let rows = [
        ("primary", NodePortAddresses::Primary, Closed),
        ("primary,localhost", NodePortAddresses::Primary, Forwarded),
        ("all", NodePortAddresses::Cidrs(cidrs(&everything)), Closed),
        ("localhost", NodePortAddresses::Cidrs(Vec::new()), Forwarded),
        ("10.0.0.0/8, primary", NodePortAddresses::PrimaryAnd(cidrs(&["10.0.0.0/8"])), Closed),
    ];
    for (text, addresses, loopback) in rows {
        let proxy = resolve(&[&format!("--nodeport-addresses={text}")]).unwrap().proxy;
        assert_eq!((proxy.policy.node_ports, proxy.loopback), (addresses, loopback), "{text}");
    }
}

#[test]
fn plan_for_another_node_knows_nothing_of_this_machine() {
    let interfaces = |flags: &[&str]| {
        let command = ["podway", "plan", "--manifests=/manifests"].iter().chain(flags);
        let command = CommandLine::try_parse_from(command).unwrap().command;
        let Command::Plan(args) = command else { panic!("{command:?}") };
        resolve_plan(&args.cluster, (&args.proxy, &args.node_local), &environment())
            .unwrap()
            .2
            .interfaces
    };
    assert_eq!(interfaces(&[]), environment().interfaces);
    assert_eq!(interfaces(&["--hostname-override=node-a.example"]), environment().interfaces);
    assert!(interfaces(&["--hostname-override=node-b"]).is_empty());
}

#[test]
fn pods_are_told_as_the_mode_says_and_only_its_own_value_is_looked_at() {
    let pods = |flags: &[&str]| resolve(flags).map(|config| config.proxy.policy.pods);
    assert_eq!(pods(&["--pod-bridge-interface=a/b"]), Ok(PodDetection::ClusterCidrs));
    assert_eq!(pods(&["--detect-local-mode=NodeCIDR"]), Ok(PodDetection::NodeCidrs));
    let bridge = ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"];
    let name = InterfaceName::exactly("cni0").unwrap();
    assert_eq!(pods(&bridge), Ok(PodDetection::Interface(name)));
    assert_eq!(
        errors(&["--detect-local-mode=BridgeInterface"]),
        ["--pod-bridge-interface \"\": no interface is called so; accepted: the name of the \
          bridge, of at most 15 characters, such as cni0"]
    );
    assert_eq!(
        errors(&["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=a/"]),
        ["--pod-interface-name-prefix \"a/\": no interface begins like that; accepted: what \
          interfaces begin with, of at most 15 characters, such as veth"]
    );
}

#[test]
fn numbers_and_times_out_of_range_are_named() {
    for (flag, reason) in [
        ("--conntrack-min=-1", "invalid digit found in string"),
        ("--conntrack-min=2147483648", "is too large"),
        ("--conntrack-udp-timeout=-5s", "is negative"),
        ("--conntrack-udp-timeout=9999999h", "is too long"),
        ("--detect-local-mode=clustercidr", "is not a mode"),
        ("--unknown-service-ports=drop", "is not an action"),
        ("--service-cidrs=10.96.0.0", "is no CIDR"),
    ] {
        let found = errors(&[flag]);
        assert!(found.len() == 1 && found[0].contains(reason), "{flag}: {found:?}");
    }
    let found = errors(&["--conntrack-udp-timeout=soon"]);
    assert!(found[0].ends_with("accepted: 0, or a time such as 1h30m or 3600s"), "{found:?}");
}

#[test]
fn conntrack_is_bypassed_only_where_sockets_are_translated_and_pods_are_told_by_address() {
    let bypass = "--conntrack-bypass";
    let cidr = "--cluster-cidr=10.244.0.0/16";
    let on = resolve(&[bypass, cidr, "--proxy-mode=ebpf"]).unwrap().proxy.policy;
    assert_eq!(on.conntrack_bypass, ConntrackBypass::On);
    for flags in [
        &[bypass, cidr][..],
        &[bypass, "--proxy-mode=auto"],
        &[bypass, cidr, "--proxy-mode=ebpf", "--detect-local-mode=NodeCIDR"],
    ] {
        let [error] = &errors(flags)[..] else { panic!("{flags:?}") };
        assert!(error.starts_with("--conntrack-bypass"), "{error}");
        assert!(error.contains("--proxy-mode ebpf or auto"), "it names what is accepted: {error}");
    }
}
