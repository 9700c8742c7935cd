//! `podway run --corefile` from start to change, each test in a network namespace of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

#[path = "run/node.rs"]
#[allow(dead_code, reason = "not every test file uses every helper")]
mod node;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use node::{Node, wait_for};
use podway_tests_netns::isolated;
use podway_tests_netns::manifests::SHOP_WEB as WEB;
use tempfile::TempDir;

/// A folder as the kubelet mounts a ConfigMap: every version behind a link that is swapped.
struct Mounted {
    folder: TempDir,
    version: u32,
}

impl Mounted {
    fn new(corefile: &str) -> Self {
        let mut mounted = Self { folder: TempDir::new().unwrap(), version: 0 };
        mounted.put(corefile);
        symlink("..data/Corefile", mounted.corefile()).unwrap();
        mounted
    }

    fn corefile(&self) -> PathBuf {
        self.folder.path().join("Corefile")
    }

    /// Swaps in another version.
    fn put(&mut self, corefile: &str) {
        self.version += 1;
        let version = format!("..version-{}", self.version);
        let folder = self.folder.path().join(&version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("Corefile"), corefile).unwrap();
        let link = self.folder.path().join("..data_tmp");
        symlink(&version, &link).unwrap();
        fs::rename(link, self.folder.path().join("..data")).unwrap();
    }
}

fn corefile(ttl: u32, more: &str) -> String {
    format!(
        ".:53 {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:8080
    ready 127.0.0.1:8181
    prometheus 127.0.0.1:9153
    kubernetes cluster.local in-addr.arpa {{
        ttl {ttl}
        fallthrough in-addr.arpa
    }}
    reload
{more}
}}
"
    )
}

/// Asks for an A record; the whole reply.
fn ask(server: &str, name: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(node::PATIENCE)).unwrap();
    let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    socket.send(&[&header, name, &[0, 1, 0, 1]].concat()).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    reply[..length].to_vec()
}

/// The time to live of the only answer, and the address.
fn answer(server: &str) -> (u32, Vec<u8>) {
    let reply = ask(server, b"\x03web\x04shop\x03svc\x07cluster\x05local\0");
    assert_eq!((reply[3] & 0xf, reply[7]), (0, 1), "{reply:02x?}");
    let (head, address) = reply.split_at(reply.len() - 4);
    let ttl = &head[head.len() - 6..head.len() - 2];
    (u32::from_be_bytes(ttl.try_into().unwrap()), address.to_vec())
}

#[test]
fn corefile_is_followed_and_a_bad_one_leaves_the_last_good_one_in_force() {
    if !isolated("corefile_is_followed_and_a_bad_one_leaves_the_last_good_one_in_force") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let custom = TempDir::new().unwrap();
    let import = format!("    import {}/*.override", custom.path().display());
    let mut mounted = Mounted::new(&corefile(7, &import));
    let flag = format!("--corefile={}", mounted.corefile().display());
    let daemon = node.start(&[&flag]);
    daemon.wait_until_ready();
    let server = "127.0.0.1:53";
    assert_eq!(answer(server), (7, vec![10, 96, 0, 20]));
    wait_for("the pages", || {
        let page =
            |port, path| node::try_get(port, path).map(|answer| (answer.status, answer.body));
        page(8080, "/health") == Some((200, "OK".to_owned()))
            && page(8181, "/ready") == Some((200, "OK".to_owned()))
    });
    let version = || {
        let metrics = node::get(9153, "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with("coredns_reload_version_info{"));
        line.unwrap().to_owned()
    };
    wait_for("the metrics", || node::try_get(9153, "/metrics").is_some());
    let first = version();

    mounted.put(&corefile(9, &import));
    wait_for("the new Corefile", || answer(server).0 == 9);
    wait_for("its hash", || version() != first);

    // An import that comes later counts too.
    fs::write(custom.path().join("log.override"), "log\n").unwrap();
    let name = "\"A IN web.shop.svc.cluster.local. udp 44 false 512\" NOERROR";
    wait_for("a line of the log", || {
        answer(server);
        daemon.log().contains(name)
    });

    mounted.put(&corefile(11, "    cashe 30\n    autopath nowhere {\n"));
    wait_for("the complaint", || {
        node::get(9153, "/metrics").body.contains("coredns_reload_failed_total 1\n")
    });
    let log = daemon.log();
    assert!(log.contains("no plugin is called \\\"cashe\\\", did you mean cache?"), "{log}");
    assert_eq!(answer(server).0, 9, "the last good one is in force");

    mounted.put(&corefile(12, ""));
    wait_for("the mended Corefile", || answer(server).0 == 12);
}

/// What is said of a name: an address, or the response code where there is none.
fn said(name: &[u8]) -> Result<Vec<u8>, u8> {
    let reply = ask("127.0.0.1:53", name);
    let (rcode, answers) = (reply[3] & 0xf, reply[7]);
    if answers == 1 { Ok(reply[reply.len() - 4..].to_vec()) } else { Err(rcode) }
}

#[test]
fn labels_select_what_is_published_as_they_and_the_corefile_change() {
    if !isolated("labels_select_what_is_published_as_they_and_the_corefile_change") {
        return;
    }
    const WEB_NAME: &[u8] = b"\x03web\x04shop\x03svc\x07cluster\x05local\0";
    const SHOP_NAME: &[u8] = b"\x04shop\x03svc\x07cluster\x05local\0";
    let (published, denied) = (Ok(vec![10, 96, 0, 20]), Err(3));
    let service = |value: &str| {
        let named = "{name: web, namespace: shop}";
        WEB.replace(named, &format!("{{name: web, namespace: shop, labels: {{app: {value}}}}}"))
    };
    let selecting = |option: &str| {
        format!(".:53 {{\n bind 127.0.0.1\n kubernetes cluster.local {{\n {option}\n }}\n}}\n")
    };
    let node = Node::new();
    node.write("all.yaml", &service("db"));
    let mut mounted = Mounted::new(&selecting("labels app=web"));
    let flag = format!("--corefile={}", mounted.corefile().display());
    let mut daemon = node.start(&[&flag]);
    daemon.wait_until_ready();
    assert_eq!(said(WEB_NAME), denied);
    node.write("all.yaml", &service("web"));
    wait_for("the Service with its label", || said(WEB_NAME) == published);
    node.write("all.yaml", &service("db"));
    wait_for("the Service without it", || said(WEB_NAME) == denied);
    node.write("all.yaml", &service("web"));
    wait_for("the Service with its label again", || said(WEB_NAME) == published);

    // A label that nobody wanted so far is learned before the new Corefile counts: until then the old
    // one does, and no name is without an answer.
    mounted.put(&selecting("namespace_labels team"));
    wait_for("the namespace to be hidden", || {
        let said = said(WEB_NAME);
        assert!([&published, &denied].contains(&&said), "{said:?}");
        said == denied
    });
    assert_eq!(said(SHOP_NAME), Err(3));
    let labeled = service("web").replacen("{name: shop}", "{name: shop, labels: {team: dns}}", 1);
    node.write("all.yaml", &labeled);
    wait_for("the namespace with its label", || said(WEB_NAME) == published);
    assert_eq!(said(SHOP_NAME), Err(0), "it is there, without data");
    assert_eq!(daemon.stop("TERM").code(), Some(0), "{}", daemon.log());

    // A view that was saved has all labels; one that was kept for other names may lack some.
    let snapshot = node.state().join("saved");
    let snapshot = snapshot.to_str().unwrap();
    let manifests = node.manifests();
    node::podway(&["snapshot", "save", snapshot, "--manifests", manifests]);
    assert!(node::podway(&["snapshot", "show", snapshot]).contains("labels      all\n"));
    let daemon = node.start_bare(&[&flag, "--manifests", snapshot]);
    daemon.wait_until_ready();
    assert_eq!(said(WEB_NAME), published);
}

#[test]
fn imported_services_are_read_from_the_folder_and_from_a_saved_view() {
    if !isolated("imported_services_are_read_from_the_folder_and_from_a_saved_view") {
        return;
    }
    const IMPORTS: &str = "apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceImport\n\
        metadata: {name: web, namespace: shop}\n\
        spec: {type: ClusterSetIP, ips: [10.112.0.7], ports: [{name: http, port: 80}]}\n---\n\
        apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceImport\n\
        metadata: {name: db, namespace: shop}\nspec: {type: Headless, ports: []}\n---\n\
        apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: db-east, namespace: shop, labels: {\
        multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: east}}\n\
        addressType: IPv4\nendpoints: [{addresses: [10.1.0.1], hostname: db-0}]\n\
        ports: [{name: http, port: 8080}]\n";
    const WEB_THERE: &[u8] = b"\x03web\x04shop\x03svc\x0aclusterset\x05local\0";
    const DB_THERE: &[u8] = b"\x04db-0\x04east\x02db\x04shop\x03svc\x0aclusterset\x05local\0";
    const WEB_HERE: &[u8] = b"\x03web\x04shop\x03svc\x07cluster\x05local\0";
    let corefile = |options: &str| {
        format!(".:53 {{\n bind 127.0.0.1\n kubernetes cluster.local {options}\n}}\n")
    };
    let with_imports = corefile("clusterset.local {\n multicluster clusterset.local\n }");
    let node = Node::new();
    node.write("web.yaml", WEB);
    node.write("imports.yaml", IMPORTS);
    let mut mounted = Mounted::new(&corefile(""));
    let flag = format!("--corefile={}", mounted.corefile().display());
    let mut daemon = node.start(&[&flag]);
    daemon.wait_until_ready();
    assert_eq!(said(WEB_HERE), Ok(vec![10, 96, 0, 20]));
    mounted.put(&with_imports);
    wait_for("the import", || said(WEB_THERE) == Ok(vec![10, 112, 0, 7]));
    assert_eq!(said(DB_THERE), Ok(vec![10, 1, 0, 1]));
    assert_eq!(said(WEB_HERE), Ok(vec![10, 96, 0, 20]), "this cluster's is another");
    node.write("imports.yaml", &IMPORTS.replace("10.1.0.1", "10.1.0.2"));
    wait_for("the changed slice", || said(DB_THERE) == Ok(vec![10, 1, 0, 2]));
    assert_eq!(daemon.stop("TERM").code(), Some(0), "{}", daemon.log());

    let saved = node.state().join("saved");
    let saved = saved.to_str().unwrap();
    node::podway(&["snapshot", "save", saved, "--manifests", node.manifests()]);
    assert!(node::podway(&["snapshot", "show", saved]).contains("imports     2\n"));
    let daemon = node.start_bare(&[&flag, "--manifests", saved]);
    daemon.wait_until_ready();
    assert_eq!(said(DB_THERE), Ok(vec![10, 1, 0, 2]));
}

#[test]
fn every_mistake_in_the_corefile_ends_the_start_and_is_listed() {
    if !isolated("every_mistake_in_the_corefile_ends_the_start_and_is_listed") {
        return;
    }
    let node = Node::new();
    let mounted =
        Mounted::new(".:53 {\n    cashe 30\n    kubernetes {\n        ttl -1\n    }\n}\n");
    let flag = format!("--corefile={}", mounted.corefile().display());
    let mut daemon = node.start(&[&flag]);
    assert_eq!(daemon.wait().code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("Corefile:2:5: no plugin is called \"cashe\""), "{log}");
    assert!(log.contains("Corefile:4:13:"), "{log}");
    let mut daemon = node.start(&[&flag, "--dns-upstream=192.0.2.1"]);
    assert_eq!(daemon.wait().code(), Some(2), "{}", daemon.log());
}

#[test]
fn blocks_without_bind_answer_where_the_flag_says() {
    if !isolated("blocks_without_bind_answer_where_the_flag_says") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let mounted = Mounted::new(".:53 {\n    kubernetes cluster.local\n}\n");
    let flag = format!("--corefile={}", mounted.corefile().display());
    let daemon = node.start(&[&flag, "--dns-listen=127.0.0.9:53"]);
    daemon.wait_until_ready();
    assert_eq!(answer("127.0.0.9:53").1, [10, 96, 0, 20]);
    drop(daemon);
    let mut daemon = node.start(&[&flag, "--dns-listen=127.0.0.9:54"]);
    assert_eq!(daemon.wait().code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("127.0.0.9:54 is to be listened at, and no block answers there"), "{log}");
    let mut daemon = node.start(&[&flag, "--cluster-domain=other.example"]);
    assert_eq!(daemon.wait().code(), Some(1));
    assert!(daemon.log().contains("--cluster-domain \"other.example\""), "{}", daemon.log());
}

#[test]
fn everything_is_answered_everywhere_unless_bound() {
    if !isolated("everything_is_answered_everywhere_unless_bound") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let mounted = Mounted::new(".:53 {\n    kubernetes cluster.local\n}\n");
    let flag = format!("--corefile={}", mounted.corefile().display());
    let daemon = node.start(&[&flag]);
    daemon.wait_until_ready();
    for server in ["127.0.0.1:53", "127.1.2.3:53"] {
        assert_eq!(answer(server).1, [10, 96, 0, 20], "{server}");
    }
}

#[test]
fn lameduck_keeps_everything_going_but_readiness() {
    if !isolated("lameduck_keeps_everything_going_but_readiness") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let patient = corefile(7, "")
        .replace("health 127.0.0.1:8080", "health 127.0.0.1:8080 {\n        lameduck 10m\n    }");
    let mounted = Mounted::new(&patient);
    let flag = format!("--corefile={}", mounted.corefile().display());
    let mut daemon = node.start(&[&flag]);
    daemon.wait_until_ready();
    let server = "127.0.0.1:53";
    assert_eq!(answer(server), (7, vec![10, 96, 0, 20]));
    wait_for("readiness", || node::try_get(8181, "/ready").is_some_and(|page| page.status == 200));

    daemon.signal("TERM");
    wait_for("the end of readiness", || node::get(8181, "/ready").status == 503);
    assert_eq!(node::get(8181, "/ready").body.trim(), "stopping");
    assert_eq!(node::get(10256, "/readyz").status, 503);
    // What changes meanwhile is followed, unlike in CoreDNS.
    node.write("all.yaml", &WEB.replace("10.96.0.20", "10.96.0.21"));
    wait_for("the changed Service", || answer(server).1 == [10, 96, 0, 21]);
    assert_eq!(node::get(8080, "/health").status, 200);
    wait_for("requests for the own page", || {
        let metrics = node::get(9153, "/metrics").body;
        metrics.contains("coredns_health_request_failures_total 0\n")
            && !metrics.contains("coredns_health_request_duration_seconds_count 0\n")
    });
    // A second order does not wait.
    assert_eq!(daemon.stop("TERM").code(), Some(0), "{}", daemon.log());
}
