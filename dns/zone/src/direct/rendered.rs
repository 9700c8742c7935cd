//! The direct answer in the form of `answer`, so that every test of that one tests both.

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinEncodable;

use super::*;
use crate::answer::Answer;
use crate::records::Origin;

/// The direct answer as one of [`answer`](fn@crate::answer), to be compared with it.
pub(crate) fn rendered(index: &ZoneIndex, name: &Name, record_type: RecordType) -> Option<Answer> {
    let asked = AskedName::read(&name.to_bytes().unwrap()).unwrap();
    let direct = direct(index, &asked, record_type)?;
    let apex = AskedName::read(&name.to_bytes().unwrap()[direct.apex_at..]).unwrap();
    let origin = Origin::of(name, apex.0.label_count(), direct.ttl);
    let soa = || {
        let soa = origin.soa(direct.soa.serial);
        assert_eq!(soa.ttl, direct.soa.ttl);
        soa
    };
    let below = |zone: &Name, [service, namespace, svc]: Target<'_>| {
        Name::from_ascii(format!("{service}.{namespace}.{svc}.{zone}")).unwrap()
    };
    let addresses = |owner: &Name, v4: &[Ipv4Addr], v6: &[Ipv6Addr]| {
        let v4 = v4.iter().map(|address| IpAddr::V4(*address));
        let all = v4.chain(v6.iter().map(|address| IpAddr::V6(*address)));
        all.map(|address| origin.address(owner, address)).collect::<Vec<_>>()
    };
    let (answers, additionals) = match direct.found {
        Found::NxDomain => return Some(Answer::NxDomain { soa: soa() }),
        Found::NoData => return Some(Answer::NoData { soa: soa() }),
        Found::V4(v4) => (addresses(name, v4.as_slice(), &[]), Vec::new()),
        Found::V6(v6) => (addresses(name, &[], v6.as_slice()), Vec::new()),
        Found::Pointer(target) => {
            let target = below(index.config().domain(), target);
            (vec![origin.ptr(name, target)], Vec::new())
        }
        Found::Ports(ports) => {
            let apex = name.iter().skip(name.iter().len() - apex.0.label_count());
            let target = below(&Name::from_labels(apex).unwrap(), ports.target);
            let srv = |port: &u16| origin.srv(name, ports.weight, *port, target.clone());
            (ports.numbers.iter().map(srv).collect(), addresses(&target, ports.v4, ports.v6))
        }
    };
    Some(Answer::Records { answers, additionals })
}
