//! Addresses from outside: external ones, those of load balancers, and who may use them.

use super::*;

#[test]
fn outside_addresses() {
    check(&[
        Row {
            name: "external IPs without their repetitions",
            spec: "clusterIP: 10.96.0.1\nexternalIPs: [203.0.113.1, '2001:db8::1', 203.0.113.1]",
            expected: |service| {
                service.external.addresses = vec![ip("203.0.113.1"), ip("2001:db8::1")];
            },
            ..ROW
        },
        Row {
            name: "a wrong external IP costs only itself",
            spec: "clusterIP: 10.96.0.1\nexternalIPs: [0.0.0.0, 203.0.113.1, 224.0.0.1]",
            expected: |service| service.external.addresses = vec![ip("203.0.113.1")],
            rejected: &[
                "service shop/web: spec.externalIPs[0]: 0.0.0.0 is the unspecified address and cannot be used here",
                "service shop/web: spec.externalIPs[2]: 224.0.0.1 is a multicast address and cannot be used here",
            ],
            ..ROW
        },
        Row {
            name: "load balancer addresses with and without mode; host names alone mean nothing",
            status: "loadBalancer:\n  ingress:\n  - {ip: 203.0.113.1}\n  - {ip: 203.0.113.2, ipMode: VIP}\n  - {ip: 203.0.113.3, ipMode: Proxy}\n  - {hostname: lb.example.com}",
            expected: |service| {
                let proxy = LoadBalancerAddress {
                    address: ip("203.0.113.3"),
                    mode: LoadBalancerMode::Proxy,
                };
                service.external.load_balancer =
                    vec![vip("203.0.113.1"), vip("203.0.113.2"), proxy];
            },
            ..ROW
        },
        Row {
            name: "an unknown mode costs that address",
            status: "loadBalancer: {ingress: [{ip: 203.0.113.1, ipMode: Dsr}]}",
            rejected: &[
                "service shop/web: status.loadBalancer.ingress[0].ipMode: \"Dsr\" is not one of VIP, Proxy",
            ],
            ..ROW
        },
        Row {
            name: "white space around source ranges and host bits in them mean nothing",
            spec: "clusterIP: 10.96.0.1\nloadBalancerSourceRanges: [' 192.0.2.7/24 ', '2001:db8::/32']",
            expected: |service| {
                service.external.source_ranges =
                    vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
            },
            ..ROW
        },
        Row {
            name: "a family whose only source range is wrong is not served, rather than open to all",
            spec: "clusterIP: 10.96.0.1\nloadBalancerSourceRanges: [192.0.2.0/33, '2001:db8::/32']",
            status: "loadBalancer: {ingress: [{ip: 203.0.113.1}, {ip: '2001:db8::1'}]}",
            expected: |service| {
                service.external.source_ranges = vec!["2001:db8::/32".parse().unwrap()];
                service.external.load_balancer = vec![vip("2001:db8::1")];
            },
            rejected: &[
                "service shop/web: spec.loadBalancerSourceRanges[0]: \"192.0.2.0/33\" is not an address range such as 192.0.2.0/24",
            ],
        },
        Row {
            name: "health check port of a load balancer with policy Local",
            spec: "type: LoadBalancer\nclusterIP: 10.96.0.1\nexternalTrafficPolicy: Local\nhealthCheckNodePort: 32000",
            expected: |service| {
                service.external.policy = TrafficPolicy::Local;
                service.external.health_check_node_port = Port::new(32000);
            },
            ..ROW
        },
        Row {
            name: "no health check port with policy Cluster",
            spec: "type: LoadBalancer\nclusterIP: 10.96.0.1\nhealthCheckNodePort: 32000",
            ..ROW
        },
    ]);
}

#[test]
fn source_ranges_are_written_as_the_api_server_takes_them() {
    for text in [
        "192.0.2.1",
        "192.0.2.0/",
        "192.0.2.0/+8",
        "192.0.2.0/08",
        "x/8",
        "192.0.02.0/24",
        "::ffff:192.0.2.0/120",
    ] {
        let spec = format!("clusterIP: 10.96.0.1\nloadBalancerSourceRanges: ['{text}']");
        let (_, rejections) = converted(&yaml(&spec, ""));
        assert_eq!(rejections.len(), 1, "{text}");
    }
}
