//! What the kernel counts of the table, as we read it.

use std::process::Command;
use std::time::Duration;

use podway_proxy_nft::element::Element;
use podway_proxy_nft::names::SetName;
use podway_proxy_nft::program::{MAX_TRANSLATED_CLIENTS, Options, REMEMBERED};
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::policy::ConntrackBypass;
use podway_tests_netns::isolated;
use podway_tests_synthetic::{Cluster, POD_CIDR, pod_ip};

use super::{Node, list};

#[test]
fn refusals_are_counted_at_their_frontend() {
    if !isolated("counts::refusals_are_counted_at_their_frontend") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 0 };
    let node = Node::with(cluster);
    let counted = node.kernel.counted(Family::Ip, SetName::Rejected).unwrap();
    let mut counted: Vec<_> =
        counted.iter().map(|(key, packets)| (key.to_string(), *packets)).collect();
    counted.sort();
    assert_eq!(counted, [("10.96.0.1:80/tcp".into(), 0), ("10.96.0.2:80/tcp".into(), 0)]);
    for arguments in [
        "link set lo up",
        "link add wire type veth peer name end",
        "link set wire up",
        "link set end up",
        "address add 192.0.2.1/24 dev wire",
        "route add default via 192.0.2.2",
    ] {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
    }
    let refused = std::net::TcpStream::connect_timeout(
        &"10.96.0.2:80".parse().unwrap(),
        Duration::from_secs(5),
    );
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let counted = node.kernel.counted(Family::Ip, SetName::Rejected).unwrap();
    let packets =
        |address: &str| counted.iter().find(|(key, _)| key.to_string() == address).unwrap().1;
    assert_eq!((packets("10.96.0.1:80/tcp"), packets("10.96.0.2:80/tcp")), (0, 1));
    // The same, asked for one by one.
    let key = |address: &str| counted.iter().find(|(key, _)| key.to_string() == address).unwrap().0;
    let packets = |key: &FrontendKey| node.kernel.counted_at(SetName::Rejected, key).unwrap();
    let one = key("10.96.0.1:80/tcp");
    assert_eq!(packets(&one), Some(0));
    assert_eq!(packets(&key("10.96.0.2:80/tcp")), Some(1));
    assert_eq!(packets(&FrontendKey { address: "10.96.9.9".parse().unwrap(), ..one }), None);
    let six = FrontendKey { address: "fd00:96::1".parse().unwrap(), ..one };
    assert_eq!(packets(&six), None);
}

#[test]
fn pods_that_rules_translate_are_counted_where_the_kernel_tells_their_number() {
    if !isolated(
        "counts::pods_that_rules_translate_are_counted_where_the_kernel_tells_their_number",
    ) {
        return;
    }
    let mut node = Node::new();
    let counted = |node: &Node| Family::ALL.map(|one| node.kernel.translated_clients(one).unwrap());
    assert_eq!(counted(&node), [None, None], "without a table");
    let choose = |node: &mut Node, bypass| {
        let cluster_cidrs = vec![POD_CIDR.parse().unwrap()];
        node.program.set_options(Options { cluster_cidrs, bypass, ..Options::default() });
        node.write_everything();
    };
    choose(&mut node, ConntrackBypass::Off);
    assert_eq!(counted(&node), [None, None], "without the set");
    choose(&mut node, ConntrackBypass::On);
    assert!(list(Family::Ip).contains(&format!("size {MAX_TRANSLATED_CLIENTS}\n")));
    let [before, six] = counted(&node);
    assert_eq!(six, None, "no pods of this family");
    // Older kernels do not tell.
    assert!(before.is_none_or(|clients| clients == 0), "{before:?}");
    let clients = [pod_ip(0, 0, 0), pod_ip(0, 1, 0), pod_ip(1, 0, 0)];
    let timeout_ms = u64::from(REMEMBERED) * 1_000;
    let clients = clients.map(|address| Element::TranslatedClient { address, timeout_ms });
    node.kernel.renew(Family::Ip, &clients).unwrap();
    assert_eq!(counted(&node)[0], before.map(|_| 3));
}
