//! Names outside the cluster: asked of the upstreams, and behind ExternalName Services.

use anyhow::{Result, ensure};
use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients};
use podway_tests_netns::{Cluster, in_lab};

fn external(name: &str, target: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
         spec: {{type: ExternalName, externalName: {target}}}}}\n"
    )
}

#[test]
fn names_outside_are_forwarded_and_ours_are_not() {
    in_lab(Lab::builder().manifests(clients()), |cluster| {
        let outside = cluster.outside_ip(Family::V4);
        let lookup = |arguments: &[&str]| cluster.lookup(&client(1), arguments);
        let response = lookup(&["www.example.com.", "A"]).answers([outside])?;
        ensure!(!response.flags.contains("aa"), "it is not ours: {response:?}");
        lookup(&["www.example.com.", "AAAA"]).answers([cluster.outside_ip(Family::V6)])?;
        lookup(&["www.example.com.", "A", "+tcp"]).answers([outside])?;
        lookup(&["nosuch.example.com.", "A"]).is_no_name()?;
        lookup(&["www.example.com.", "MX"]).has_no_data()?;
        // Cut over UDP, whole over TCP, which dig goes to by itself.
        let response = lookup(&["big.example.com.", "TXT", "+notcp", "+ignore"]).ask()?;
        ensure!(response.flags.contains("tc"), "{response:?}");
        let response = lookup(&["big.example.com.", "TXT"]).ask()?;
        ensure!(response.answer.len() == 1 && response.answer[0].data.len() > 2000);
        lookup(&["nosuch.default.svc.cluster.local.", "A"]).is_no_name()?;
        lookup(&["kubernetes.default", "A"]).answers(["10.96.0.1"])?;
        // A daemon mixes the letters by chance, so that a forged answer does not match.
        let asked = cluster.upstream_queries()?;
        let asked: Vec<_> = asked.iter().map(|query| query.to_ascii_lowercase()).collect();
        ensure!(asked.iter().any(|line| line.starts_with("www.example.com. a ")), "{asked:?}");
        ensure!(!asked.iter().any(|line| line.contains("cluster.local")), "{asked:?}");

        // The whole way, from a pod.
        let answer = cluster.ask(&client(1), "http://www.example.com/", 1)?;
        ensure!(answer.by_pod().into_keys().eq(["www"]), "{answer:?}");
        Ok(())
    });
}

#[test]
fn external_name_is_an_alias_with_what_stands_behind_it() {
    let manifests = external("shop", "www.example.com")
        + &external("inner", "kubernetes.default.svc.cluster.local")
        + &external("dead", "nosuch.example.com")
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let lookup = |arguments: &[&str]| cluster.lookup(&client(1), arguments);
        let outside = cluster.outside_ip(Family::V4).to_string();
        let response = lookup(&["shop", "A"]).answers(["www.example.com.", &outside])?;
        let kinds: Vec<_> = response.answer.iter().map(|record| &*record.kind).collect();
        ensure!(kinds == ["CNAME", "A"], "the alias comes first: {response:?}");
        lookup(&["shop", "CNAME"]).answers(["www.example.com."])?;
        let target = "kubernetes.default.svc.cluster.local.";
        lookup(&["inner", "A"]).answers([target, "10.96.0.1"])?;
        let response = lookup(&["dead.default.svc.cluster.local.", "A"]).is_no_name()?;
        ensure!(response.data() == ["nosuch.example.com.".to_owned()].into(), "{response:?}");
        let said = cluster.exec(&client(2), &["getent", "ahostsv4", "shop"])?.checked()?;
        ensure!(said.starts_with(&outside), "{said}");
        let answer = cluster.ask(&client(1), "http://shop/", 1)?;
        ensure!(answer.by_pod().into_keys().eq(["www"]), "{answer:?}");

        // It changes its target, and then what it is.
        cluster.apply(&external("shop", "www.example.org"))?;
        lookup(&["shop", "CNAME"]).answers(["www.example.org."])?;
        cluster.apply(
            "{apiVersion: v1, kind: Service, metadata: {name: shop}, \
             spec: {clusterIP: 10.96.0.50, ports: [{port: 80}]}}",
        )?;
        lookup(&["shop", "A"]).answers(["10.96.0.50"])?;
        lookup(&["shop", "CNAME"]).has_no_data()?;
        Ok(())
    });
}

/// Lets the name server outside take nothing at its IPv4 address: what comes is dropped or
/// rejected.
fn shut_v4(cluster: &Cluster, verdict: &str) -> Result<()> {
    let rules = format!(
        "add table ip shut\nflush table ip shut\n\
         add chain ip shut input {{ type filter hook input priority 0; }}\n\
         add rule ip shut input th dport 53 {verdict}\n"
    );
    let script = format!("nft -f - <<'END'\n{rules}END");
    cluster.exec(&Place::Outside, &["sh", "-c", &script])?.checked().map(drop)
}

#[test]
fn next_upstream_answers_where_the_first_does_not() {
    // The lab's own upstream is IPv4 and comes first.
    let builder = Lab::builder()
        .manifests(clients())
        .podway_argument("--dns-upstream")
        .podway_argument("[fd77::200]:53");
    in_lab(builder, |cluster| {
        let outside = cluster.outside_ip(Family::V4);
        for (verdict, names) in [
            ("accept", ["a.example.com.", "b.example.com."]),
            ("drop", ["c.example.com.", "d.example.com."]),
            ("reject", ["e.example.com.", "f.example.com."]),
            ("accept", ["g.example.com.", "h.example.com."]),
        ] {
            shut_v4(cluster, verdict)?;
            for name in names {
                for option in ["+notcp", "+tcp"] {
                    cluster.lookup(&client(1), &[name, "A", option]).answers([outside])?;
                }
            }
        }
        // Nobody is left: the client is told, and is not left waiting.
        let shut = "nft add table ip6 shut; nft add chain ip6 shut input \
            '{ type filter hook input priority 0; }'; nft add rule ip6 shut input th dport 53 drop";
        cluster.exec(&Place::Outside, &["sh", "-c", shut])?.checked()?;
        shut_v4(cluster, "drop")?;
        let name = ["lost.example.com.", "A", "+timeout=15"];
        let response = cluster.lookup(&client(1), &name).ask()?;
        ensure!(response.status == "SERVFAIL", "{response:?}");
        // Names of the cluster need nobody.
        let own = ["kubernetes.default.svc.cluster.local.", "A"];
        cluster.lookup(&client(1), &own).answers(["10.96.0.1"])?;
        Ok(())
    });
}
