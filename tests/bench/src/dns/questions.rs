//! What is asked, and the zone that another server answers it from.

use std::fmt;

use podway_dns_zone::ZoneIndex;
use podway_tests_synthetic::{Cluster, NAMESPACE, pod_ip};

/// The zone of the cluster.
pub(super) const ZONE: &str = "cluster.local.";

/// Questions in one file, which is asked again and again.
const COUNT: usize = 100_000;

/// Questions that all servers are compared by.
const SAMPLE: usize = 500;

/// Makes the same questions every time.
const SEED: u64 = 0x5eed;

/// A name and a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: String,
    pub(super) qtype: &'static str,
}

/// What pods ask: mostly addresses of Services, and what search paths make of other names.
#[derive(Debug)]
pub(super) struct Questions(Vec<Question>);

impl Questions {
    pub(super) fn new(cluster: Cluster) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        Self((0..COUNT).map(|_| question(cluster, &mut random)).collect())
    }

    /// The first of them.
    pub(super) fn sample(&self) -> impl Iterator<Item = &Question> {
        self.0.iter().take(SAMPLE)
    }
}

/// In a hundred: 50 addresses, 20 of the other family, 20 names that miss, 5 ports, 5 endpoints.
fn question(cluster: Cluster, random: &mut fastrand::Rng) -> Question {
    let service = random.u32(..cluster.services);
    let parent = format!("{NAMESPACE}.svc.{ZONE}");
    let (name, qtype) = match random.u8(..100) {
        0..50 => (format!("s{service}.{parent}"), "A"),
        50..70 => (format!("s{service}.{parent}"), "AAAA"),
        70..80 => (format!("www.example.com.{parent}"), "A"),
        80..90 => (format!("s{service}.svc.{ZONE}"), "AAAA"),
        90..95 => (format!("_http._tcp.s{service}.{parent}"), "SRV"),
        _ => {
            let address = pod_ip(service, random.u32(..cluster.endpoints), 0).to_string();
            (format!("{}.s{service}.{parent}", address.replace('.', "-")), "A")
        }
    };
    Question { name, qtype }
}

impl fmt::Display for Questions {
    /// The input of dnsperf.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Question { name, qtype }| writeln!(formatter, "{name} {qtype}"))
    }
}

/// The forward zone of `index` as a zone file; its text has the other zones too.
pub(super) fn zone_file(index: &ZoneIndex) -> String {
    let mut file = String::new();
    for line in index.to_string().lines() {
        let owner = line.split(' ').next().unwrap_or_default();
        if owner == ZONE || owner.strip_suffix(ZONE).is_some_and(|rest| rest.ends_with('.')) {
            file.push_str(line);
            file.push('\n');
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::serve;

    const SMALL: Cluster = Cluster { services: 3, endpoints: 2 };

    #[test]
    fn zone_file_has_the_records_of_the_forward_zone_only() {
        let file = zone_file(&serve::index(SMALL).unwrap().0);
        assert!(file.starts_with("cluster.local. "), "{file}");
        assert!(file.contains("\ns2.bench.svc.cluster.local. 5 IN A 10.96.0.3\n"), "{file}");
        assert!(!file.contains("arpa") && !file.contains(';'), "{file}");
    }

    #[test]
    fn questions_are_the_same_every_time_and_of_every_kind() {
        let questions = Questions::new(SMALL);
        assert_eq!(questions.0, Questions::new(SMALL).0);
        for part in
            ["s1.bench.svc.cluster.local. A\n", " AAAA\n", " SRV\n", "www.example.com.bench"]
        {
            assert!(questions.to_string().contains(part), "{part}");
        }
    }
}
