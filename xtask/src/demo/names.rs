//! Names: what they resolve to.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use podway_tests_lab::{Family, Lab, Place};

use super::report::Report;

/// The pod from which names are looked up.
fn busybox() -> Place {
    Place::pod("busybox")
}

/// Looks up `arguments` by dig in `place`; the data of the records.
fn dig(lab: &Lab, place: &Place, arguments: &[&str]) -> Result<BTreeSet<String>> {
    let words: Vec<_> = ["dig", "+short", "+search"].iter().chain(arguments).copied().collect();
    let text = lab.exec(place, &words)?.checked()?;
    // A comment says that nobody answered.
    Ok(text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect())
}

/// IPv4 addresses of the ready pods that begin with `prefix`.
fn addresses(lab: &Lab, prefix: &str) -> Result<BTreeSet<String>> {
    let pods = lab.pods(prefix)?.into_iter().filter(|pod| pod.ready);
    Ok(pods.filter_map(|pod| Some(pod.addresses?.v4.to_string())).collect())
}

fn cluster_ips(lab: &Lab, name: &str) -> Result<BTreeSet<String>> {
    let services = lab.status()?.services;
    let found = services.into_iter().find(|service| service.name.to_string() == name);
    let addresses = found.with_context(|| format!("no Service {name}"))?.cluster_ips;
    Ok(addresses.into_iter().collect())
}

fn one(text: &str) -> BTreeSet<String> {
    BTreeSet::from([text.to_owned()])
}

/// Looks up a name until it has what it should, and judges.
fn expect(
    lab: &Lab,
    report: &mut Report,
    arguments: &[&str],
    expected: &BTreeSet<String>,
) -> Result<()> {
    let mut found = BTreeSet::new();
    // Whatever the outcome of waiting, the last answer is what is judged.
    let waited = lab.wait_until("a name", || {
        found = dig(lab, &busybox(), arguments)?;
        Ok(found == *expected)
    });
    report.name(&format!("dig {}", arguments.join(" ")), &found, expected);
    if found.is_empty() { waited } else { Ok(()) }
}

/// Scenario 6: names of Services, of the DNS server's address, and of the world.
pub(super) fn services(lab: &Lab, report: &mut Report) -> Result<()> {
    expect(lab, report, &["nginx-service"], &cluster_ips(lab, "default/nginx-service")?)?;
    expect(lab, report, &["kubernetes"], &one("10.96.0.1"))?;
    expect(lab, report, &["-x", "10.96.0.10"], &one("kube-dns.kube-system.svc.cluster.local."))?;
    let outside = lab.outside_ip(Family::V4).to_string();
    expect(lab, report, &["www.example.com"], &one(&outside))?;
    let missing = lab.exec(&busybox(), &["dig", "nosuch.default.svc.cluster.local"])?.checked()?;
    let denied = missing.contains("NXDOMAIN") && missing.contains("SOA");
    report.expect("a name that does not exist is denied, with the zone's SOA", denied);
    Ok(())
}

/// Scenario 5: a headless Service follows its pods.
pub(super) fn stateful_set(lab: &Lab, report: &mut Report) -> Result<()> {
    const SERVICE: &str = "myapp-svc.default.svc.cluster.local";
    expect(lab, report, &[SERVICE], &addresses(lab, "myapp-")?)?;
    each_pod(lab, report, 3)?;
    let ports: BTreeSet<_> =
        (0..3).map(|number| format!("0 33 80 myapp-{number}.{SERVICE}.")).collect();
    expect(lab, report, &[&format!("_web._tcp.{SERVICE}"), "SRV"], &ports)?;
    lab.scale("statefulset/myapp", 4)?;
    lab.wait_settled()?;
    println!("scaled to 4");
    expect(lab, report, &[SERVICE], &addresses(lab, "myapp-")?)?;
    each_pod(lab, report, 4)?;
    lab.scale("statefulset/myapp", 2)?;
    lab.wait_settled()?;
    println!("scaled to 2");
    expect(lab, report, &[SERVICE], &addresses(lab, "myapp-")?)?;
    expect_denied(lab, report, &format!("myapp-2.{SERVICE}"))?;
    let before = lab.pod_addresses("myapp-1")?.v4.to_string();
    expect(lab, report, &[&format!("myapp-1.{SERVICE}")], &one(&before))?;
    lab.delete_pod("myapp-1")?;
    lab.wait_until("myapp-1 to be made again", || {
        let again = lab.pod_addresses("myapp-1").is_ok_and(|both| both.v4.to_string() != before);
        Ok(again && lab.status()?.settled)
    })?;
    let after = lab.pod_addresses("myapp-1")?.v4.to_string();
    println!("deleted myapp-1 at {before}; it was made again at {after}");
    expect(lab, report, &[&format!("myapp-1.{SERVICE}")], &one(&after))?;
    expect(lab, report, &[SERVICE], &addresses(lab, "myapp-")?)
}

/// Every pod of `myapp` has its own name.
fn each_pod(lab: &Lab, report: &mut Report, count: usize) -> Result<()> {
    for number in 0..count {
        let pod = format!("myapp-{number}");
        let name = format!("{pod}.myapp-svc.default.svc.cluster.local");
        expect(lab, report, &[&name], &one(&lab.pod_addresses(&pod)?.v4.to_string()))?;
    }
    Ok(())
}

fn expect_denied(lab: &Lab, report: &mut Report, name: &str) -> Result<()> {
    let denied = lab.wait_until("the name to be denied", || {
        Ok(lab.exec(&busybox(), &["dig", name])?.stdout.contains("status: NXDOMAIN"))
    });
    report.expect(&format!("{name} does not exist any more"), denied.is_ok());
    Ok(())
}

/// Scenario 5: short names, through the C library and the search path of a pod.
pub(super) fn search_path(lab: &Lab, report: &mut Report) -> Result<()> {
    let pod = lab.pod_addresses("nginx-statefulset-0")?.v4.to_string();
    let rows = [
        ("nginx-statefulset-0.nginx", one(&pod)),
        ("nginx", addresses(lab, "nginx-statefulset-")?),
    ];
    for (name, expected) in rows {
        let text = lab.exec(&busybox(), &["getent", "ahostsv4", name])?.checked()?;
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let found: BTreeSet<_> = text.lines().filter_map(first).collect();
        report.name(&format!("getent ahostsv4 {name}"), &found, &expected);
    }
    Ok(())
}

/// Scenario 4: everything under a domain of the user's own.
pub(super) fn custom_domain(lab: &Lab, report: &mut Report) -> Result<()> {
    const NAME: &str = "magedu-tomcat-app1-service.magedu.svc.magedu.local";
    let front = Place::pod_in("magedu", "magedu-nginx");
    let address = cluster_ips(lab, "magedu/magedu-tomcat-app1-service")?;
    let found = dig(lab, &front, &[NAME])?;
    report.name(&format!("dig {NAME}"), &found, &address);
    let pods = lab.pods("magedu/magedu-tomcat-app1-")?;
    let pods = pods.into_iter().map(|pod| pod.name.name).collect();
    let url = format!("http://{NAME}:80/myapp");
    let answers = lab.ask(&front, &url, 40)?;
    report.answers((&front.to_string(), &url), &answers.by_pod(), &pods);
    let words = ["dig", "kubernetes.default.svc.cluster.local"];
    let other = lab.exec(&front, &words)?.checked()?;
    report.expect("nothing is known under cluster.local", other.contains("status: NXDOMAIN"));
    Ok(())
}
