//! Names as the resolvers of programs in pods see them: what upstream's DNS suite asks, by more
//! clients than it has, and what the search path costs them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use podway_tests_lab::{Builder, Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod_with};
use podway_tests_netns::resolvers::{Resolver, Resolvers};
use podway_tests_netns::{Cluster, FAMILIES, in_lab};

fn resolvers() -> Result<Resolvers> {
    Resolvers::build(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n"
    )
}

/// What upstream's suite makes, under its own names.
fn manifests() -> String {
    let querier = |name: &str, subdomain: &str| {
        let spec =
            format!("hostname: {name}, subdomain: {subdomain}, containers: [{{name: main}}]");
        pod_with(name, 2, &spec)
    };
    let port = "ipFamilyPolicy: PreferDualStack, ports: [{name: http, port: 80}]";
    let host = pod_with(
        "host-1",
        1,
        "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet, containers: [{name: main}]",
    );
    [
        querier("querier-1", "dns-test-service"),
        querier("querier-2", "dns-test-service-2"),
        service(
            "dns-test-service",
            &format!("clusterIP: None, selector: {{app: querier}}, {port}"),
        ),
        service(
            "dns-test-service-2",
            &format!("clusterIP: None, selector: {{app: querier}}, {port}"),
        ),
        service("test-service-2", &format!("selector: {{app: querier}}, {port}")),
        service("1kubernetes", &format!("selector: {{app: querier}}, {port}")),
        service("dns-test-service-3", "type: ExternalName, externalName: foo.example.com"),
        host,
        clients(),
    ]
    .concat()
}

fn builder() -> Builder {
    Lab::builder().manifests(manifests()).podway_argument("--dns-node-local")
}

/// Waits until every resolver at `place` finds `expected` under `name`, as long as one may have to
/// wait for the daemons to follow.
fn all_find(
    (cluster, resolvers): (&Cluster, &Resolvers),
    place: &Place,
    name: &str,
    expected: &BTreeSet<IpAddr>,
) -> Result<()> {
    Resolver::ALL.into_iter().try_for_each(|resolver| {
        cluster.wait_for(&format!("{resolver} at {place} to find {name}"), || {
            let found = resolvers.look_up(cluster, place, resolver, name)?;
            ensure!(found == *expected, "{resolver} finds {found:?} for {name}, not {expected:?}");
            Ok(Some(()))
        })
    })
}

fn both(of: impl Fn(Family) -> Result<IpAddr>) -> Result<BTreeSet<IpAddr>> {
    FAMILIES.into_iter().map(of).collect()
}

#[test]
fn every_resolver_finds_what_upstream_asks_for() {
    let resolvers = resolvers().unwrap();
    in_lab(builder(), |cluster| {
        let of_service = |name: &str| both(|family| cluster.cluster_ip(name, family));
        let of_pods = |prefix: &str| -> Result<BTreeSet<IpAddr>> {
            let [v4, v6] = FAMILIES.map(|family| cluster.addresses(prefix, family));
            Ok(v4?.into_iter().chain(v6?).collect())
        };
        let kubernetes: BTreeSet<IpAddr> = ["10.96.0.1".parse()?].into();
        let outside = both(|family| Ok(cluster.outside_ip(family)))?;
        let queriers = of_pods("querier-")?;
        let second = of_pods("querier-2")?;
        let zone = "svc.cluster.local";
        let rows = [
            ("kubernetes.default.svc.cluster.local".to_owned(), &kubernetes),
            ("kubernetes.default.svc.cluster.local.".to_owned(), &kubernetes),
            ("kubernetes.default".to_owned(), &kubernetes),
            ("kubernetes.default.svc".to_owned(), &kubernetes),
            ("kubernetes".to_owned(), &kubernetes),
            (format!("dns-test-service.default.{zone}"), &queriers),
            ("dns-test-service".to_owned(), &queriers),
            ("dns-test-service.default".to_owned(), &queriers),
            ("test-service-2".to_owned(), &of_service("test-service-2")?),
            ("1kubernetes".to_owned(), &of_service("1kubernetes")?),
            (format!("querier-2.dns-test-service-2.default.{zone}"), &second),
            ("querier-2.dns-test-service-2".to_owned(), &second),
            ("dns-test-service-3".to_owned(), &outside),
            ("www.example.com".to_owned(), &outside),
            ("www.example.com.".to_owned(), &outside),
            ("nosuch".to_owned(), &BTreeSet::new()),
            ("nosuch.example.com".to_owned(), &BTreeSet::new()),
            (format!("nosuch.default.{zone}"), &BTreeSet::new()),
        ];
        let places = [client(1), Place::pod("host-1")];
        for (name, expected) in &rows {
            for place in &places {
                all_find((cluster, &resolvers), place, name, expected)?;
            }
        }
        for family in FAMILIES {
            let address = cluster.cluster_ip("test-service-2", family)?;
            for resolver in Resolver::ALL {
                let name = resolvers.name_of(cluster, &client(1), resolver, address)?;
                ensure!(name == format!("test-service-2.default.{zone}"), "{resolver}: {name}");
            }
        }
        Ok(())
    });
}

#[test]
fn every_resolver_works_with_the_search_lists_of_upstreams_cases() {
    let resolvers = resolvers().unwrap();
    in_lab(builder(), |cluster| {
        let outside = both(|family| Ok(cluster.outside_ip(family)))?;
        let kubernetes: BTreeSet<IpAddr> = ["10.96.0.1".parse()?].into();
        let usual = "default.svc.cluster.local svc.cluster.local cluster.local";
        let many: Vec<_> =
            (0..20).map(|number| format!("s{number:02}.a-long-suffix.example.org")).collect();
        for (what, text) in [
            (
                "a list of more than 6 domains and 256 characters",
                format!("search {usual} {}\n", many.join(" ")),
            ),
            (
                "an entry that is only a dot, and a label with underscore",
                format!("search . _sip._tcp.abc_d.efg {usual}\n"),
            ),
        ] {
            let file = format!("nameserver 10.96.0.10\n{text}options ndots:5\n");
            let script = format!("printf '%s' '{file}' >/etc/resolv.conf");
            cluster.exec(&client(1), &["sh", "-c", &script])?.checked()?;
            for resolver in Resolver::ALL {
                for (name, expected) in
                    [("kubernetes.default", &kubernetes), ("www.example.com", &outside)]
                {
                    // musl searches nowhere with a list of more than 255 characters, and until 1.2.3
                    // makes an invalid name out of an entry that is only a dot, at which it stops.
                    let searched = name.starts_with("kubernetes");
                    if resolver == Resolver::Musl && (searched || text.starts_with("search . ")) {
                        continue;
                    }
                    let found = resolvers.look_up(cluster, &client(1), resolver, name)?;
                    ensure!(
                        found.is_superset(expected),
                        "{what}: {resolver} finds {found:?} for {name}"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn pods_with_a_resolver_or_a_host_name_of_their_own_find_what_they_say() {
    let second = "192.168.77.200";
    let own = |policy: &str| {
        format!(
            "{policy}, dnsConfig: {{nameservers: [{second}], searches: [example.org], \
             options: [{{name: ndots, value: \"2\"}}]}}, containers: [{{name: main}}]"
        )
    };
    let named = "hostname: plain, hostnameOverride: overridden, subdomain: dns-test-service, \
                 containers: [{name: main}]";
    let manifests = [
        pod_with("own-1", 1, &own("dnsPolicy: None")),
        pod_with("both-1", 1, &own("dnsPolicy: ClusterFirst")),
        pod_with("querier-1", 1, named),
        service(
            "dns-test-service",
            "clusterIP: None, selector: {app: querier}, ports: [{name: http, port: 80}]",
        ),
        clients(),
    ]
    .concat();
    let resolvers = resolvers().unwrap();
    in_lab(Lab::builder().manifests(manifests).podway_argument("--dns-node-local"), |cluster| {
        let outside = both(|family| Ok(cluster.outside_ip(family)))?;
        ensure!(outside.contains(&second.parse()?), "{second} is not outside: {outside:?}");
        let none = BTreeSet::new();
        let kubernetes: BTreeSet<IpAddr> = ["10.96.0.1".parse()?].into();
        // A name that only the second server's search path has, and that only that server knows.
        all_find((cluster, &resolvers), &Place::pod("own-1"), "notexistname", &outside)?;
        // The one outside knows every name by its own addresses, also those of the cluster.
        all_find((cluster, &resolvers), &Place::pod("own-1"), "kubernetes.default", &outside)?;
        all_find((cluster, &resolvers), &Place::pod("both-1"), "notexistname", &outside)?;
        all_find((cluster, &resolvers), &Place::pod("both-1"), "kubernetes.default", &kubernetes)?;
        // The other host name is the pod's own, and nobody else's.
        let pod = Place::pod("querier-1");
        let said = cluster.exec(&pod, &["hostname"])?.checked()?;
        ensure!(said.trim() == "overridden", "{said}");
        let [v4, _] = FAMILIES.map(|family| cluster.addresses("querier-", family));
        let address = v4?;
        let found = resolvers.look_up(cluster, &pod, Resolver::Getent, "overridden")?;
        ensure!(address.iter().all(|address| found.contains(address)), "{found:?}");
        let in_dns = "overridden.dns-test-service.default.svc.cluster.local";
        all_find((cluster, &resolvers), &client(1), in_dns, &none)?;
        let plain = "plain.dns-test-service.default.svc.cluster.local";
        cluster.wait_for("the host name of the manifest", || {
            let found = resolvers.look_up(cluster, &client(1), Resolver::Glibc, plain)?;
            ensure!(address.iter().all(|address| found.contains(address)), "{found:?}");
            Ok(Some(()))
        })
    });
}

/// Queries for addresses that the daemons have had, over all addresses and transports.
fn asked(cluster: &Cluster, number: u8) -> Result<u64> {
    let text = cluster.admin(number, "/metrics")?;
    let lines = text.lines().filter(|line| {
        line.starts_with("coredns_dns_requests_total{")
            && (line.contains("type=\"A\"") || line.contains("type=\"AAAA\""))
    });
    lines.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
}

/// Queries for `name` that reached the server outside.
fn asked_outside(cluster: &Cluster, name: &str) -> Result<usize> {
    let queries = cluster.upstream_queries()?;
    let is_it = |query: &&String| query.to_ascii_lowercase().starts_with(&format!("{name}. "));
    Ok(queries.iter().filter(is_it).count())
}

#[test]
fn name_outside_costs_each_resolver_one_exchange_of_a_kind_with_help() {
    let resolvers = resolvers().unwrap();
    for (help, expected) in [("false", 4), ("true", 1)] {
        let lab = builder().podway_argument(format!("--dns-autopath={help}"));
        in_lab(lab, |cluster| {
            // Else the daemon of another node may be asked.
            cluster.answers_on_node(1)?;
            let outside = both(|family| Ok(cluster.outside_ip(family)))?;
            for resolver in Resolver::ALL {
                let name = format!("{resolver}.{help}.example.com").to_lowercase();
                let before = asked(cluster, 1)?;
                let found = resolvers.look_up(cluster, &client(1), resolver, &name)?;
                ensure!(found == outside, "{resolver}: {found:?}");
                let queries = asked(cluster, 1)? - before;
                // One for A and one for AAAA; without help, for each of three suffixes too.
                ensure!(queries == 2 * expected, "{resolver}, help {help}: {queries} queries");
                ensure!(asked_outside(cluster, &name)? == 2, "{resolver} asks outside");
            }
            // kdig has no search path: the first name of one, as it would be asked.
            let first = "kdig.example.com.default.svc.cluster.local.";
            let before = asked(cluster, 1)?;
            let text = cluster.exec(&client(1), &["kdig", "+short", first, "A"])?.checked()?;
            let answer = format!("kdig.example.com.\n{}\n", cluster.outside_ip(Family::V4));
            ensure!(text == if help == "true" { answer } else { String::new() }, "{text}");
            ensure!(asked(cluster, 1)? - before == 1);

            // A pod of the node's own network has the node's address, which tells no namespace.
            let before = asked(cluster, 1)?;
            let (host, name) = (Place::pod("host-1"), format!("host.{help}.example.com"));
            let found = resolvers.look_up(cluster, &host, Resolver::Glibc, &name)?;
            ensure!(found == outside, "{found:?}");
            ensure!(asked(cluster, 1)? - before == 8, "nobody knows its search path");

            // What the cluster has is found as ever, also by a name with the zone in it.
            let kubernetes: BTreeSet<IpAddr> = ["10.96.0.1".parse()?].into();
            let whole = "kubernetes.default.svc.cluster.local";
            for name in ["kubernetes", "kubernetes.default", whole] {
                all_find((cluster, &resolvers), &client(1), name, &kubernetes)?;
            }
            all_find((cluster, &resolvers), &client(1), "nosuch.example.com", &BTreeSet::new())?;
            if help == "true" {
                let metrics = cluster.admin(1, "/metrics")?;
                let counted = |line: &&str| {
                    line.starts_with("coredns_autopath_success_total{") && !line.ends_with(" 0")
                };
                ensure!(metrics.lines().any(|line| counted(&line)), "it is counted\n{metrics}");
            }
            Ok(())
        });
    }
}

#[test]
fn answer_for_thousands_of_endpoints_is_cut_fairly_and_whole_by_tcp() {
    // 3,000 endpoints in slices of 100, as the controller makes them; none of them is there.
    let slices: String = (0..30)
        .map(|slice| {
            let endpoints: Vec<_> = (0..100)
                .map(|number| {
                    format!("{{addresses: [10.200.{slice}.{number}], conditions: {{ready: true}}}}")
                })
                .collect();
            format!(
                "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
                 metadata: {{name: many-{slice}, labels: {{kubernetes.io/service-name: many}}}}, \
                 ports: [{{name: http, port: 80}}], endpoints: [{}]}}\n",
                endpoints.join(", ")
            )
        })
        .collect();
    let manifests = service("many", "clusterIP: None, ports: [{name: http, port: 80}]") + &slices;
    let resolvers = resolvers().unwrap();
    in_lab(builder().manifests(manifests), |cluster| {
        let all: BTreeSet<String> = (0..30)
            .flat_map(|slice| (0..100).map(move |number| format!("10.200.{slice}.{number}")))
            .collect();
        let name = "many.default.svc.cluster.local.";
        let lookup =
            |options: &[&str]| cluster.lookup(&client(1), &[&[name, "A"], options].concat());
        lookup(&["+tcp"]).answers(&all)?;
        let mut seen = BTreeSet::new();
        for _ in 0..60 {
            let response = lookup(&["+notcp", "+ignore", "+bufsize=1232"]).ask()?;
            ensure!(response.flags.contains("tc"), "cut without a word");
            let sample = response.data();
            ensure!(sample.len() >= 70 && sample.is_subset(&all), "{} of them", sample.len());
            seen.extend(sample);
        }
        // Of 60 fair samples of 73 each some 2,300 are to be expected, give or take 25.
        ensure!(seen.len() > 2100, "{} of 3000 in 60 answers", seen.len());
        // Resolvers that fall back to TCP get all; every one gets an answer.
        for resolver in Resolver::ALL {
            let found = resolvers.look_up(cluster, &client(1), resolver, "many")?;
            ensure!(!found.is_empty(), "{resolver} finds nothing");
            let strings: BTreeSet<_> = found.iter().map(ToString::to_string).collect();
            ensure!(strings.is_subset(&all), "{resolver}");
            if matches!(resolver, Resolver::Go | Resolver::Dig) {
                ensure!(strings == all, "{resolver} finds {} of them", strings.len());
            }
        }
        Ok(())
    });
}

#[test]
fn each_of_ten_thousand_services_has_its_one_address() {
    /// Services of each of two namespaces, as upstream's suite makes them.
    const EACH: u16 = 5000;
    let address = |group: u16, number: u16| {
        let [high, low] = (group * EACH + number + 256).to_be_bytes();
        format!("10.96.{high}.{low}")
    };
    // A list of 500: what one document may hold is bounded.
    let list = |group: u16, first: u16| -> String {
        let service = |number| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: s{number}, namespace: \
                 scale-{group}}}, spec: {{clusterIP: {}, ports: [{{port: 80}}]}}}}, ",
                address(group, number)
            )
        };
        let services: String = (first..first + 500).map(service).collect();
        format!("{{apiVersion: v1, kind: List, items: [{services}]}}")
    };
    let manifests = "{apiVersion: v1, kind: Namespace, metadata: {name: scale-0}}\n---\n\
                     {apiVersion: v1, kind: Namespace, metadata: {name: scale-1}}\n";
    let manifests = manifests.to_owned() + &clients();
    in_lab(Lab::builder().manifests(manifests).podway_argument("--dns-node-local"), |cluster| {
        for group in 0..2 {
            for first in (0..EACH).step_by(500) {
                cluster.apply(&list(group, first))?;
            }
        }
        // Five in a hundred.
        let sample: Vec<_> =
            (0..2).flat_map(|group| (0..EACH).step_by(20).map(move |n| (group, n))).collect();
        let names: String = sample
            .iter()
            .map(|(group, number)| format!("s{number}.scale-{group}.svc.cluster.local. A\n"))
            .collect();
        let expected: Vec<_> =
            sample.iter().map(|(group, number)| address(*group, *number)).collect();
        let script = format!("printf '%s' '{names}' >/tmp/names; dig +short -f /tmp/names");
        cluster.wait_for("one address for each", || {
            let text = cluster.exec(&client(1), &["sh", "-c", &script])?.checked()?;
            let found: Vec<_> = text.lines().collect();
            ensure!(found == expected, "{} lines for {} names", found.len(), expected.len());
            Ok(Some(()))
        })
    });
}
