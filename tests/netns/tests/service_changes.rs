//! Services that change under traffic: ports, types, addresses, and ones that go and come.

use anyhow::Result;
use podway_tests_lab::{Failure, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, deployment, pod, service};
use podway_tests_netns::{FAMILIES, NODES, in_lab};

const TCP: Transport = Transport::Tcp;
const UDP: Transport = Transport::Udp;

#[test]
fn service_that_is_deleted_and_recreated_with_its_address_serves_again() {
    let spec = "clusterIP: 10.96.0.77, ports: [{name: http, port: 80, targetPort: 8080}, \
        {name: datagrams, port: 80, targetPort: 8080, protocol: UDP}]";
    let web = service("web", spec);
    let manifests = deployment("web", 2) + &web + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        let to = cluster.at("web", Family::V4, 80)?;
        let routes = Transport::ALL.map(|transport| cluster.route(&client(1), transport, to));
        for _ in 0..2 {
            routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))?;
            cluster.delete(&web)?;
            // Nobody has the address now, so nobody answers for it.
            routes[0].ends_with(Failure::Silent)?;
            cluster.apply(&web)?;
        }
        routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))?;

        // Another Service gets the address while the first is gone.
        cluster.delete(&web)?;
        cluster.apply(&(pod("other-1", 1, "") + &service("other", spec)))?;
        routes.iter().try_for_each(|route| route.reaches_pod("other-1").map(drop))
    });
}

#[test]
fn type_of_a_service_changes_back_and_forth() {
    let ports = |more: &str| {
        format!(
            "ipFamilyPolicy: PreferDualStack, ports: [{{name: stream, port: 80{more}}}, \
             {{name: datagrams, port: 80, protocol: UDP{more}}}]"
        )
    };
    let cluster_ip = service("web", &ports(""));
    let node_port = service("web", &format!("type: NodePort, {}", ports(", nodePort: 30080")));
    let name = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, \
        spec: {type: ExternalName, externalName: www.example.com}}\n";
    let manifests = deployment("web", 2) + &cluster_ip + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.lift_icmp_limits()?;
        let pods = cluster.pod_names("web-")?;
        let (mut by_ip, mut by_node) = (Vec::new(), Vec::new());
        for transport in Transport::ALL {
            for family in FAMILIES {
                let to = cluster.at("web", family, 80)?;
                by_ip.push(cluster.route(&client(1), transport, to));
                for number in NODES {
                    let to = cluster.node_port(number, family, 30080);
                    by_node.push(cluster.route(&Place::Outside, transport, to));
                }
            }
        }
        by_ip.iter().try_for_each(|route| route.reaches(&pods).map(drop))?;
        for route in &by_node {
            route.is_refused()?;
        }
        cluster.apply(&node_port)?;
        for route in by_ip.iter().chain(&by_node) {
            route.reaches(&pods)?;
        }
        cluster.apply(name)?;
        for route in &by_node {
            route.is_refused()?;
        }
        by_ip[0].ends_with(Failure::Silent)?;
        cluster.lookup(&client(1), &["web", "CNAME"]).answers(["www.example.com."])?;

        // It gets new addresses.
        cluster.apply(&cluster_ip)?;
        for family in FAMILIES {
            let to = cluster.at("web", family, 80)?;
            for transport in Transport::ALL {
                cluster.route(&client(1), transport, to).reaches(&pods)?;
            }
        }
        cluster
            .lookup(&client(1), &["web", "A"])
            .answers([cluster.cluster_ip("web", Family::V4)?])?;
        Ok(())
    });
}

#[test]
fn ports_are_added_renamed_renumbered_and_removed() {
    let web = |ports: &str| service("web", &format!("clusterIP: 10.96.0.77, ports: [{ports}]"));
    let first = web("{name: http, port: 80, targetPort: 8080}");
    let manifests = deployment("web", 2) + &first + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.lift_icmp_limits()?;
        let pods = cluster.pod_names("web-")?;
        let route = |transport, port| {
            Ok(cluster.route(&client(1), transport, cluster.at("web", Family::V4, port)?))
        };
        let route = |transport, port| -> Result<_> { route(transport, port) };
        route(TCP, 80)?.reaches(&pods)?;
        route(TCP, 81)?.is_refused()?;
        route(UDP, 80)?.is_refused()?;

        // Added: a port, and the same number over UDP.
        cluster.apply(&web(
            "{name: http, port: 80, targetPort: 8080}, {name: admin, port: 81, targetPort: 9090}, \
             {name: datagrams, port: 80, targetPort: 8080, protocol: UDP}",
        ))?;
        for (transport, port) in [(TCP, 80), (TCP, 81), (UDP, 80)] {
            route(transport, port)?.reaches(&pods)?;
        }
        let names = |owner: &str| cluster.lookup(&client(1), &[owner, "SRV"]);
        names("_admin._tcp.web").answers(["0 100 81 web.default.svc.cluster.local."])?;

        // Renamed: `admin` is now `console`. Renumbered: 80 over TCP is now 8000. Removed: UDP.
        cluster.apply(&web("{name: http, port: 8000, targetPort: 8080}, \
             {name: console, port: 81, targetPort: 9090}"))?;
        for port in [8000, 81] {
            route(TCP, port)?.reaches(&pods)?;
        }
        for transport in Transport::ALL {
            route(transport, 80)?.is_refused()?;
        }
        names("_console._tcp.web").answers(["0 100 81 web.default.svc.cluster.local."])?;
        names("_admin._tcp.web").is_no_name()?;
        names("_http._tcp.web").answers(["0 100 8000 web.default.svc.cluster.local."])?;

        // Another target.
        cluster.apply(&web("{name: http, port: 8000, targetPort: 8181}"))?;
        cluster.wait_until("the new target", || {
            let answers = route(TCP, 8000)?.answers(10)?;
            Ok(answers.iter().all(|answer| answer.server.port() == 8181))
        })?;
        route(TCP, 81)?.is_refused()
    });
}

#[test]
fn one_service_goes_and_another_comes_while_the_third_stays() {
    let spec = "ipFamilyPolicy: PreferDualStack, ports: [{port: 80, targetPort: 8080}]";
    let three = ["first", "second"].map(|name| deployment(name, 2) + &service(name, spec));
    let manifests = three.join("") + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let reach = |name: &str, family| {
            let to = cluster.at(name, family, 80)?;
            cluster.route(&client(2), TCP, to).reaches(&cluster.pod_names(&format!("{name}-"))?)
        };
        for family in FAMILIES {
            reach("first", family)?;
            reach("second", family)?;
        }
        let gone = cluster.at("first", Family::V4, 80)?;
        cluster.delete_object("service/first")?;
        cluster.apply(
            &(deployment("third", 2)
                + &service(
                    "third",
                    "clusterIP: 10.96.0.99, ports: [{port: 80, targetPort: 8080}]",
                )),
        )?;
        cluster.wait_settled()?;
        reach("third", Family::V4)?;
        for family in FAMILIES {
            reach("second", family)?;
        }
        cluster.route(&client(2), TCP, gone).ends_with(Failure::Silent)
    });
}
