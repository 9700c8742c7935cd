use podway_cluster_model::name::LocalName;
use podway_cluster_model::service_cidr::ServiceCidr;

use super::*;

fn check(name: &str, spec: &str, cidrs: &[&str], rejected: &[&str]) {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: kubernetes}}\nspec: {spec}\n"
    );
    let expected = ServiceCidr {
        name: LocalName::new("kubernetes").unwrap(),
        cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
    };
    let (change, rejections) = converted(&yaml);
    assert_eq!(change, Some(Change::ServiceCidr(expected)), "{name}");
    assert_eq!(rejections, rejected, "{name}");
}

#[test]
fn service_cidrs() {
    let both = &["10.96.0.0/16", "fd00:10:96::/112"];
    check("one of each family", "{cidrs: [10.96.0.0/16, 'fd00:10:96::/112']}", both, &[]);
    check(
        "what is no range is lost",
        "{cidrs: [10.96.0.0, 'fd00:10:96::/112']}",
        &["fd00:10:96::/112"],
        &[
            "servicecidr kubernetes: spec.cidrs[0]: \"10.96.0.0\" is not an address range such as 192.0.2.0/24",
        ],
    );
    check(
        "a second of one family is lost",
        "{cidrs: [10.96.0.0/16, 10.97.0.0/16]}",
        &["10.96.0.0/16"],
        &["servicecidr kubernetes: spec.cidrs: 10.97.0.0/16 is the second of its family"],
    );
}
