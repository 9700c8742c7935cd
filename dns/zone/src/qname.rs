//! The name asked, in lower case and without allocation, and the grammar of names.
//!
//! The grammar says what a name asks for, not whether it exists. Rule: DNS-Based Service Discovery
//! §2; the underscores of port and protocol may be left out, as in CoreDNS.

use std::fmt;

use hickory_proto::rr::Name;
use podway_cluster_model::port::Protocol;

/// Longest name in octets of the wire form, its final zero included (RFC 1035 §2.3.4).
const MAX_OCTETS: usize = 255;

/// Longest label in octets (RFC 1035 §2.3.4).
const MAX_LABEL_OCTETS: u8 = 63;

/// Most labels that fit in a name, the root not counted.
const MAX_LABELS: usize = 127;

/// A name in lower-case wire form, without the final zero.
///
/// Lives on the stack: asking allocates nothing. Labels are compared as octets, so a dot inside of a
/// label is an ordinary octet.
#[derive(Clone)]
pub(crate) struct QName {
    octets: [u8; MAX_OCTETS],
    /// Where each label's length octet stands, then one more: where the next would stand.
    starts: [u8; MAX_LABELS + 1],
    labels: usize,
}

impl QName {
    /// Lowers `name`.
    pub(crate) fn new(name: &Name) -> Self {
        let mut qname = Self { octets: [0; MAX_OCTETS], starts: [0; MAX_LABELS + 1], labels: 0 };
        for label in name.iter() {
            qname.push(label);
        }
        qname
    }

    /// Lowers the name that a message has at the start of `octets`; `None` where it is compressed, too
    /// long or cut off.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let mut qname = Self { octets: [0; MAX_OCTETS], starts: [0; MAX_LABELS + 1], labels: 0 };
        let mut start = 0;
        loop {
            let length = *octets.get(start)?;
            let next = start + 1 + usize::from(length);
            if length == 0 {
                break;
            }
            // A label leaves room for the final zero, so that of 127 labels none is longer than 1.
            if length > MAX_LABEL_OCTETS || next >= MAX_OCTETS {
                return None;
            }
            start = next;
            qname.labels += 1;
            qname.starts[qname.labels] = u8::try_from(start).ok()?;
        }
        // Lengths are at most 63, below every letter, so they stay as they are.
        qname.octets[..start].copy_from_slice(&octets[..start]);
        qname.octets[..start].make_ascii_lowercase();
        Some(qname)
    }

    /// Appends a label; one that fits nowhere is left out, and a valid name has none such.
    fn push(&mut self, label: &[u8]) {
        let start = usize::from(self.starts[self.labels]);
        let end = start + 1 + label.len();
        let (Ok(length), Ok(next)) = (u8::try_from(label.len()), u8::try_from(end)) else {
            return;
        };
        if end >= MAX_OCTETS || self.labels == MAX_LABELS {
            return;
        }
        self.octets[start] = length;
        self.octets[start + 1..end].copy_from_slice(label);
        self.octets[start + 1..end].make_ascii_lowercase();
        self.labels += 1;
        self.starts[self.labels] = next;
    }

    /// How many labels the name has, the root not counted.
    pub(crate) fn label_count(&self) -> usize {
        self.labels
    }

    /// Where in the wire form label `index` starts, or the final zero where there is none.
    pub(crate) fn offset(&self, index: usize) -> usize {
        usize::from(self.starts[index])
    }

    /// The octets of label `index`, counted from the left.
    pub(crate) fn label(&self, index: usize) -> &[u8] {
        &self.wire(index, index + 1)[1..]
    }

    /// The wire form of the labels `from..to`.
    pub(crate) fn wire(&self, from: usize, to: usize) -> &[u8] {
        &self.octets[usize::from(self.starts[from])..usize::from(self.starts[to])]
    }

    /// Whether the name is `zone` or below it.
    pub(crate) fn is_within(&self, zone: &Self) -> bool {
        self.labels
            .checked_sub(zone.labels)
            .is_some_and(|extra| self.wire(extra, self.labels) == zone.wire(0, zone.labels))
    }
}

impl PartialEq for QName {
    fn eq(&self, other: &Self) -> bool {
        self.wire(0, self.labels) == other.wire(0, other.labels)
    }
}

impl Eq for QName {}

impl fmt::Debug for QName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.labels)
            .try_for_each(|index| write!(formatter, "{}.", self.label(index).escape_ascii()))
    }
}

/// What becomes of a question for a topology zone without endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneChoice {
    /// There are none.
    Pin,
    /// All endpoints.
    Prefer,
}

/// What a name in a forward zone asks for.
///
/// Keys are wire forms of labels as the index has them; labels are bare octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question<'q> {
    /// The zone itself.
    Apex,
    /// `svc` or `pod`: nothing of its own, but names below it.
    Branch,
    /// `dns-version`.
    Version,
    /// `ns.dns`: the name server of the SOA record.
    Nameserver,
    /// `<namespace>.svc`.
    Namespace(&'q [u8]),
    /// `<namespace>.pod`.
    PodNamespace(&'q [u8]),
    /// `<service>.<namespace>.svc`.
    Service(&'q [u8]),
    /// `<label>.<service>.<namespace>.svc`: an endpoint, or the protocol above a port.
    Endpoint {
        /// Key of the Service.
        service: &'q [u8],
        /// The label before it.
        label: &'q [u8],
    },
    /// `<label>.<cluster>.<service>.<namespace>.svc`: an endpoint of an imported Service.
    Member {
        /// Key of the Service.
        service: &'q [u8],
        /// The cluster that the endpoint is in.
        cluster: &'q [u8],
        /// What it is called there.
        label: &'q [u8],
    },
    /// `_<port>._<protocol>.<service>.<namespace>.svc`.
    Port {
        /// Key of the Service.
        service: &'q [u8],
        /// Name of the port, not empty.
        port: &'q [u8],
        /// Its protocol.
        protocol: Protocol,
    },
    /// `<topology zone>.<choice>._zone.<service>.<namespace>.svc`, or a name above one.
    Zonal {
        /// Key of the Service.
        service: &'q [u8],
        /// What becomes of it where the topology zone has no endpoint; `None` above that.
        choice: Option<ZoneChoice>,
        /// Wire form of the topology zone, which may have several labels or none.
        topology: &'q [u8],
    },
    /// `<address>.<namespace>.pod`.
    Pod {
        /// Key of the namespace.
        namespace: &'q [u8],
        /// The label before it.
        label: &'q [u8],
    },
    /// Nothing that could exist.
    Unknown,
}

impl QName {
    /// Reads the labels to the left of `zone`, which the name must be within.
    pub(crate) fn question(&self, zone: &Self) -> Question<'_> {
        let extra = self.labels.saturating_sub(zone.labels);
        let Some(branch) = extra.checked_sub(1) else { return Question::Apex };
        match (self.label(branch), extra) {
            (b"svc" | b"pod", 1) => Question::Branch,
            (b"svc", 2) => Question::Namespace(self.wire(0, 1)),
            (b"svc", 3) => Question::Service(self.wire(0, 2)),
            (b"svc", 4..) if self.label(branch - 3) == b"_zone" => self.zonal(branch - 3),
            (b"svc", 4) => Question::Endpoint { service: self.wire(1, 3), label: self.label(0) },
            (b"svc", 5) => match (port_name(self.label(0)), protocol(self.label(1))) {
                (Some(port), Some(protocol)) => {
                    Question::Port { service: self.wire(2, 4), port, protocol }
                }
                _ => Question::Unknown,
            },
            (b"pod", 2) => Question::PodNamespace(self.wire(0, 1)),
            (b"pod", 3) => Question::Pod { namespace: self.wire(1, 2), label: self.label(0) },
            (b"dns-version", 1) => Question::Version,
            (b"dns", 2) if self.label(0) == b"ns" => Question::Nameserver,
            _ => Question::Unknown,
        }
    }
}

impl QName {
    /// Reads the labels to the left of `zone`, which has names of imported Services.
    ///
    /// Two labels before the Service are a port and a protocol where one of them begins with an
    /// underscore, and an endpoint of a cluster where none does. There are no topology zones.
    pub(crate) fn imported_question(&self, zone: &Self) -> Question<'_> {
        match self.question(zone) {
            Question::Zonal { service, choice: None, .. } => {
                Question::Endpoint { service, label: self.label(0) }
            }
            Question::Zonal { .. } => Question::Unknown,
            question @ (Question::Port { .. } | Question::Unknown) => {
                let extra = self.labels.saturating_sub(zone.labels);
                let is_member = extra == 5
                    && self.label(4) == b"svc"
                    && [0, 1].iter().all(|index| !self.label(*index).starts_with(b"_"));
                if !is_member {
                    return question;
                }
                let (label, cluster) = (self.label(0), self.label(1));
                Question::Member { service: self.wire(2, 4), cluster, label }
            }
            question @ (Question::Apex
            | Question::Branch
            | Question::Version
            | Question::Nameserver
            | Question::Namespace(_)
            | Question::PodNamespace(_)
            | Question::Service(_)
            | Question::Endpoint { .. }
            | Question::Member { .. }
            | Question::Pod { .. }) => question,
        }
    }
}

impl QName {
    /// Reads what stands before the label `_zone`, which is label `marker`.
    fn zonal(&self, marker: usize) -> Question<'_> {
        let service = self.wire(marker + 1, marker + 3);
        let Some(word) = marker.checked_sub(1) else {
            return Question::Zonal { service, choice: None, topology: &[] };
        };
        let choice = match self.label(word) {
            b"pin" => ZoneChoice::Pin,
            b"prefer" => ZoneChoice::Prefer,
            _ => return Question::Unknown,
        };
        Question::Zonal { service, choice: Some(choice), topology: self.wire(0, word) }
    }
}

/// The name of a port without its underscore; an unnamed port has no owner name.
fn port_name(label: &[u8]) -> Option<&[u8]> {
    let name = label.strip_prefix(b"_").unwrap_or(label);
    (!name.is_empty()).then_some(name)
}

/// The protocol of a lower-case label, with or without its underscore.
pub(crate) fn protocol(label: &[u8]) -> Option<Protocol> {
    let name = label.strip_prefix(b"_").unwrap_or(label);
    Protocol::ALL.into_iter().find(|protocol| protocol.name().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use hickory_proto::serialize::binary::BinEncodable;

    use super::*;

    fn qname(text: &str) -> QName {
        QName::new(&Name::from_ascii(text).unwrap())
    }

    #[test]
    fn case_of_letters_does_not_matter_and_boundaries_of_labels_do() {
        assert_eq!(qname("WeB.Cluster.LOCAL."), qname("web.cluster.local."));
        assert!(qname("a.Cluster.local.").is_within(&qname("cluster.LOCAL.")));
        assert!(!qname("acluster.local.").is_within(&qname("cluster.local.")));
        assert!(!qname("local.").is_within(&qname("cluster.local.")));
        let dotted = Name::from_labels([b"cluster.local".as_slice()]).unwrap();
        assert!(!QName::new(&dotted).is_within(&qname("cluster.local.")));
    }

    #[test]
    fn longest_name_fits() {
        let label = "a".repeat(63);
        let longest = qname(&format!("{label}.{label}.{label}.{}.", "a".repeat(61)));
        assert_eq!(longest.wire(0, 4).len(), 254);
        let deepest = qname(&"a.".repeat(127));
        assert_eq!((deepest.label_count(), deepest.label(126)), (127, b"a".as_slice()));
    }

    #[test]
    fn name_of_a_message_is_the_same_name() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}.", "a".repeat(61));
        for text in [".", "WeB.Cluster.LOCAL.", "a\\.b.c.", &longest, &"a.".repeat(127)] {
            let mut octets = Name::from_ascii(text).unwrap().to_bytes().unwrap();
            let end = octets.len();
            octets.extend_from_slice(b"\0\x01rest");
            let read = QName::read(&octets).unwrap();
            assert_eq!(read, qname(text), "{text}");
            assert_eq!(read.offset(read.label_count()) + 1, end, "{text}");
            for cut in 0..end {
                assert!(QName::read(&octets[..cut]).is_none(), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_name_of_a_question_is_refused() {
        let label = [&[63][..], &[b'a'; 63]].concat();
        let too_long = [label.repeat(3), vec![62], vec![b'a'; 62], vec![0]].concat();
        let deep = [[1, b'a'].repeat(128), vec![0]].concat();
        for octets in [&b"\xC0\x0C"[..], b"\x01a\xC0\x0C", b"\x40", &too_long, &deep] {
            assert!(QName::read(octets).is_none(), "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn two_labels_before_an_imported_service_are_an_endpoint_or_a_port() {
        let zone = qname("clusterset.local.");
        let service = b"\x03web\x04shop";
        let member = Question::Member { service, cluster: b"east", label: b"web-0" };
        let port = Question::Port { service, port: b"http", protocol: Protocol::Tcp };
        for (text, expected) in [
            ("Web-0.East.web.shop.svc.clusterset.local.", member),
            ("_http._tcp.web.shop.svc.clusterset.local.", port),
            ("http._tcp.web.shop.svc.clusterset.local.", port),
            (
                "http.tcp.web.shop.svc.clusterset.local.",
                Question::Member { service, cluster: b"tcp", label: b"http" },
            ),
            ("_web-0.east.web.shop.svc.clusterset.local.", Question::Unknown),
            ("a.web-0.east.web.shop.svc.clusterset.local.", Question::Unknown),
            ("east.web.shop.svc.clusterset.local.", Question::Endpoint { service, label: b"east" }),
            (
                "_zone.web.shop.svc.clusterset.local.",
                Question::Endpoint { service, label: b"_zone" },
            ),
            ("pin._zone.web.shop.svc.clusterset.local.", Question::Unknown),
            ("a.b.web.shop.pod.clusterset.local.", Question::Unknown),
            ("web.shop.svc.clusterset.local.", Question::Service(service)),
            ("clusterset.local.", Question::Apex),
        ] {
            assert_eq!(qname(text).imported_question(&zone), expected, "{text}");
        }
    }

    #[test]
    fn names_are_read_from_the_right() {
        let zone = qname("cluster.local.");
        for (text, expected) in [
            ("cluster.local.", Question::Apex),
            ("svc.cluster.local.", Question::Branch),
            ("pod.cluster.local.", Question::Branch),
            ("svc.svc.cluster.local.", Question::Namespace(b"\x03svc")),
            ("web.shop.svc.cluster.local.", Question::Service(b"\x03web\x04shop")),
            (
                "_http._tcp.web.shop.svc.cluster.local.",
                Question::Port {
                    service: b"\x03web\x04shop",
                    port: b"http",
                    protocol: Protocol::Tcp,
                },
            ),
            ("_._tcp.web.shop.svc.cluster.local.", Question::Unknown),
            ("_http._.web.shop.svc.cluster.local.", Question::Unknown),
            ("a._http._tcp.web.shop.svc.cluster.local.", Question::Unknown),
            (
                "Eu.West-1.PIN._zone.web.shop.svc.cluster.local.",
                Question::Zonal {
                    service: b"\x03web\x04shop",
                    choice: Some(ZoneChoice::Pin),
                    topology: b"\x02eu\x06west-1",
                },
            ),
            (
                "prefer._zone.web.shop.svc.cluster.local.",
                Question::Zonal {
                    service: b"\x03web\x04shop",
                    choice: Some(ZoneChoice::Prefer),
                    topology: b"",
                },
            ),
            (
                "_zone.web.shop.svc.cluster.local.",
                Question::Zonal { service: b"\x03web\x04shop", choice: None, topology: b"" },
            ),
            ("a.other._zone.web.shop.svc.cluster.local.", Question::Unknown),
            (
                "1-2-3-4.shop.pod.cluster.local.",
                Question::Pod { namespace: b"\x04shop", label: b"1-2-3-4" },
            ),
            ("a.1-2-3-4.shop.pod.cluster.local.", Question::Unknown),
            ("ns.dns.cluster.local.", Question::Nameserver),
            ("dns.cluster.local.", Question::Unknown),
            ("dns-version.cluster.local.", Question::Version),
            ("a.dns-version.cluster.local.", Question::Unknown),
        ] {
            assert_eq!(qname(text).question(&zone), expected, "{text}");
        }
    }
}
