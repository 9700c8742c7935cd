//! Names of Services, asked of every daemon and by the resolvers that pods have.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, deployment, service, slice};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

const DUAL: &str = "ipFamilyPolicy: PreferDualStack, ports: [{name: http, port: 80}, \
    {name: datagrams, port: 53, protocol: UDP}]";

/// The pod from which names are looked up.
fn pod() -> Place {
    client(1)
}

#[test]
fn service_has_addresses_ports_and_reverse_names() {
    let manifests = deployment("web", 1)
        + &service("web", DUAL)
        + &service("four", "ports: [{port: 80}]")
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let lookup = |arguments: &[&str]| cluster.lookup(&pod(), arguments);
        let [v4, v6] = FAMILIES.map(|family| cluster.cluster_ip("web", family));
        let (v4, v6) = (v4?.to_string(), v6?.to_string());
        let name = "web.default.svc.cluster.local.";
        for option in ["+notcp", "+tcp"] {
            let response = lookup(&[name, "A", option]).answers([&v4])?;
            ensure!(response.flags.contains("aa"), "{response:?}");
            ensure!(response.answer[0].name == name, "{response:?}");
            lookup(&[name, "AAAA", option]).answers([&v6])?;
            let response = lookup(&["_http._tcp.web.default.svc.cluster.local.", "SRV", option])
                .answers([&format!("0 50 80 {name}")])?;
            let additional: BTreeSet<_> =
                response.additional.iter().map(|record| record.data.clone()).collect();
            ensure!(additional == [v4.clone(), v6.clone()].into(), "{response:?}");
            lookup(&["_datagrams._udp.web.default.svc.cluster.local.", "SRV", option])
                .answers([&format!("0 50 53 {name}")])?;
            lookup(&["_http._udp.web.default.svc.cluster.local.", "SRV", option]).is_no_name()?;
            for address in [&v4, &v6] {
                lookup(&["-x", address, option]).answers([name])?;
            }
        }
        let response = lookup(&["four.default.svc.cluster.local.", "AAAA"]).has_no_data()?;
        ensure!(response.authority.len() == 1 && response.authority[0].kind == "SOA");
        let response = lookup(&["none.default.svc.cluster.local.", "A"]).is_no_name()?;
        ensure!(response.authority.len() == 1 && response.authority[0].kind == "SOA");
        lookup(&["web.none.svc.cluster.local.", "A"]).is_no_name()?;
        lookup(&["WEB.Default.sVc.cluster.LOCAL.", "A"]).answers([&v4])?;
        Ok(())
    });
}

#[test]
fn every_daemon_answers_at_its_own_addresses_for_the_zone_and_the_cluster() {
    let kube_dns = BTreeSet::from(["kube-dns.kube-system.svc.cluster.local.".to_owned()]);
    in_lab(Lab::builder().manifests(clients()), |cluster| {
        for number in NODES {
            for family in FAMILIES {
                let server = cluster.node_ip(number, family);
                for from in [pod(), Place::node(number), Place::Outside] {
                    for option in ["+notcp", "+tcp"] {
                        let ask = |name, kind| {
                            cluster.lookup(&from, &[name, kind, option]).ask_at(server)
                        };
                        let response = ask("kubernetes.default.svc.cluster.local.", "A")?;
                        ensure!(response.data() == ["10.96.0.1".to_owned()].into());
                        let response = ask("cluster.local.", "SOA")?;
                        ensure!(response.answer[0].data.starts_with("ns.dns.cluster.local. "));
                        let response = ask("cluster.local.", "NS")?;
                        ensure!(response.data() == kube_dns, "{response:?}");
                        let response = ask("10.0.96.10.in-addr.arpa.", "PTR")?;
                        ensure!(response.data() == kube_dns, "{response:?}");
                    }
                }
            }
        }
        Ok(())
    });
}

/// What the name server outside was asked, in small letters: a daemon mixes them by chance so that
/// a forged answer does not match.
fn queries(cluster: &Cluster) -> Result<Vec<String>> {
    Ok(cluster.upstream_queries()?.iter().map(|query| query.to_ascii_lowercase()).collect())
}

/// Output of a command that succeeds in the pod sooner or later.
fn eventually(cluster: &Cluster, place: &Place, command: &[&str]) -> Result<String> {
    cluster.wait_for(&command.join(" "), || Ok(Some(cluster.exec(place, command)?.checked()?)))
}

#[test]
fn short_names_resolve_through_the_search_path() {
    let other = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n\
        {apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, \
        spec: {ports: [{port: 80}]}}\n";
    let manifests = deployment("web", 2) + &service("web", DUAL) + other + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let web = cluster.cluster_ip("web", Family::V4)?.to_string();
        let cart = cluster.cluster_ip("shop/cart", Family::V4)?.to_string();
        for (name, address) in [
            ("web", &web),
            ("web.default", &web),
            ("web.default.svc", &web),
            ("web.default.svc.cluster.local", &web),
            ("cart.shop", &cart),
            ("cart.shop.svc", &cart),
        ] {
            // The C library, and a program with a resolver of its own.
            let text = eventually(cluster, &pod(), &["getent", "ahostsv4", name])?;
            ensure!(text.lines().all(|line| line.starts_with(&**address)), "{name}: {text}");
            cluster.lookup(&pod(), &[name, "A"]).answers([address])?;
        }
        // This one asks for every name of the search path, and fails unless all exist; it leaves
        // names with a dot as they are.
        for name in ["web", "web.default.svc.cluster.local"] {
            let said = cluster.exec(&pod(), &["busybox", "nslookup", name])?;
            ensure!(said.stdout.contains(&format!("Address: {web}")), "{name}: {said}");
        }
        let text = eventually(cluster, &pod(), &["getent", "ahostsv6", "web"])?;
        ensure!(text.contains(&cluster.cluster_ip("web", Family::V6)?.to_string()), "{text}");
        let missing = cluster.exec(&pod(), &["getent", "hosts", "cart"])?;
        ensure!(missing.code == 2, "cart is in another namespace: {missing}");
        if cluster.is_on_ebpf() {
            // Else answers would have come by the rules.
            let asked = ["connects", "datagrams"].map(|counted| {
                let labels = "{namespace=\"kube-system\",service=\"kube-dns\"}";
                cluster.metric(1, &format!("podway_ebpf_service_{counted}_total{labels}"))
            });
            let [connects, datagrams] = asked;
            ensure!(connects? + datagrams? > 0.0, "no resolver's socket was translated");
        }

        // A reverse look-up of the name server's own address, as old nslookup does it.
        let text = eventually(cluster, &pod(), &["busybox", "nslookup", "10.96.0.10"])?;
        ensure!(text.contains("kube-dns.kube-system.svc.cluster.local"), "{text}");

        // Name and traffic in one.
        let pods = cluster.pod_names("web-")?;
        for url in ["http://web/", "http://web.default.svc.cluster.local/"] {
            let answers = cluster.ask(&pod(), url, 40)?;
            let reached: BTreeSet<_> = answers.by_pod().into_keys().collect();
            ensure!(reached == pods, "{url} reached {reached:?}");
        }
        Ok(())
    });
}

#[test]
fn names_follow_services_that_come_change_and_go() {
    let web = |address: &str| {
        service("web", &format!("clusterIP: {address}, ports: [{{name: http, port: 80}}]"))
    };
    in_lab(Lab::builder().manifests(clients()), |cluster| {
        let name = cluster.lookup(&pod(), &["web.default.svc.cluster.local.", "A"]);
        let reverse = |address| cluster.lookup(&pod(), &["-x", address]);
        name.is_no_name()?;
        cluster.apply(&web("10.96.0.71"))?;
        name.answers(["10.96.0.71"])?;
        reverse("10.96.0.71").answers(["web.default.svc.cluster.local."])?;
        cluster.apply(&web("10.96.0.72"))?;
        name.answers(["10.96.0.72"])?;
        reverse("10.96.0.71").is_no_name()?;
        cluster.delete_object("service/web")?;
        name.is_no_name()?;
        reverse("10.96.0.72").is_no_name()?;
        // A Service needs no endpoint for its name.
        cluster.apply(&web("10.96.0.71"))?;
        name.answers(["10.96.0.71"])?;
        Ok(())
    });
}

#[test]
fn cluster_domain_is_what_the_user_says() {
    let manifests = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: magedu}}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: tomcat, namespace: magedu, \
        labels: {app: tomcat}}, spec: {containers: [{name: main}]}}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: nginx, namespace: magedu}, \
        spec: {containers: [{name: main}]}}\n---\n\
        {apiVersion: v1, kind: Service, metadata: {name: magedu-tomcat-app1-service, \
        namespace: magedu}, spec: {selector: {app: tomcat}, \
        ports: [{name: http, port: 80, targetPort: 8080}]}}\n";
    let builder = Lab::builder().cluster_domain("magedu.local").manifests(manifests);
    in_lab(builder, |cluster| {
        let nginx = Place::pod_in("magedu", "nginx");
        let service = "magedu/magedu-tomcat-app1-service";
        let address = cluster.cluster_ip(service, Family::V4)?;
        let name = "magedu-tomcat-app1-service.magedu.svc.magedu.local";
        for asked in [name, "magedu-tomcat-app1-service", "magedu-tomcat-app1-service.magedu"] {
            cluster.lookup(&nginx, &[asked, "A"]).answers([address])?;
            let answers = cluster.ask(&nginx, &format!("http://{asked}/myapp"), 3)?;
            ensure!(answers.by_pod().into_keys().eq(["tomcat"]), "{answers:?}");
        }
        cluster.lookup(&nginx, &["-x", &address.to_string()]).answers([format!("{name}.")])?;
        // The usual domain is a name like any other, and the name server outside does not know it.
        cluster.lookup(&nginx, &["kubernetes.default.svc.cluster.local.", "A"]).is_no_name()?;
        let asked = queries(cluster)?;
        ensure!(asked.iter().any(|query| query.contains("cluster.local")), "{asked:?}");
        ensure!(!asked.iter().any(|query| query.contains("magedu.local")), "{asked:?}");
        Ok(())
    });
}

#[test]
fn answer_too_large_for_a_datagram_is_cut_and_whole_over_tcp() {
    let addresses: Vec<_> =
        (0..300).map(|index| format!("10.250.{}.{}", index / 200, index % 200 + 1)).collect();
    let own = "---\n{apiVersion: v1, kind: Service, metadata: {name: large}, \
        spec: {clusterIP: None, ports: [{name: http, port: 80}]}}\n";
    let ports = "[{name: http, port: 80, protocol: TCP}]";
    let slices: String = addresses
        .chunks(100)
        .enumerate()
        .map(|(index, part)| slice(&format!("large-{index}"), "large", ports, part))
        .collect();
    in_lab(Lab::builder().manifests(own.to_owned() + &slices + &clients()), |cluster| {
        let name = "large.default.svc.cluster.local.";
        let all: BTreeSet<_> = addresses.iter().cloned().collect();
        cluster.lookup(&pod(), &[name, "A", "+tcp"]).answers(&addresses)?;
        for options in [&["+noedns"][..], &["+bufsize=1232"], &["+bufsize=4096"]] {
            let cut = [&[name, "A", "+notcp", "+ignore"][..], options].concat();
            let response = cluster.lookup(&pod(), &cut).ask()?;
            ensure!(response.flags.contains("tc"), "{options:?}: {response:?}");
            ensure!(response.data().is_subset(&all), "{options:?}: {response:?}");
            // Without `+ignore` dig asks again over TCP, as resolvers do.
            cluster.lookup(&pod(), &[&[name, "A"][..], options].concat()).answers(&addresses)?;
        }
        let text = cluster.exec(&pod(), &["getent", "ahostsv4", "large"])?.checked()?;
        let found: BTreeSet<_> =
            text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
        ensure!(found == all, "the C library found {} addresses", found.len());
        let first = addresses.first().context("addresses")?;
        cluster.delete_object("endpointslice/large-0")?;
        let left = cluster.lookup(&pod(), &[name, "A", "+tcp"]).answers(&addresses[100..])?;
        ensure!(!left.data().contains(first));
        Ok(())
    });
}
