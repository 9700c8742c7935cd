//! Kernel settings of a network namespace: reported, and set where that is allowed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

#[path = "run/node.rs"]
#[expect(dead_code, reason = "another suite uses the rest")]
mod node;

use std::fs;

use node::{Node, wait_for};
use podway_tests_netns::isolated;

/// Settings that each namespace has of its own, with what they should be.
const WANTED: [(&str, &str); 5] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/netfilter/nf_conntrack_tcp_be_liberal", "1"),
    ("net/netfilter/nf_conntrack_tcp_timeout_established", "7200"),
    ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600"),
];

fn setting(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/{name}")).unwrap().trim().to_owned()
}

#[test]
fn settings_are_reported_with_the_command_and_set_only_where_that_is_allowed() {
    if !isolated("settings_are_reported_with_the_command_and_set_only_where_that_is_allowed") {
        return;
    }
    let node = Node::new();
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    let before = WANTED.map(|(name, _)| setting(name));
    let time = "--conntrack-tcp-timeout-established=2h";
    let mut cautious = node.start(&[time]);
    cautious.wait_until_ready();
    for ((name, wanted), found) in WANTED.iter().zip(&before) {
        let command = format!("sysctl -w {}={wanted}", name.replace('/', "."));
        assert_eq!(cautious.log().contains(&command), found != wanted, "{command}");
    }
    assert!(before.iter().zip(WANTED).any(|(found, (_, wanted))| found != wanted));
    assert_eq!(WANTED.map(|(name, _)| setting(name)), before, "nothing is touched without leave");
    assert_eq!(cautious.stop("TERM").code(), Some(0));

    let allowed = node.start(&[time, "--set-sysctls"]);
    allowed.wait_until_ready();
    for (name, wanted) in WANTED {
        wait_for(name, || setting(name) == wanted);
    }
    assert!(allowed.log().contains("kernel setting changed"), "{}", allowed.log());
}
