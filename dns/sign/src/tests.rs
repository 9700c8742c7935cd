//! Answers in, signed answers out, verified by hickory-proto.

use std::num::NonZeroUsize;

use data_encoding::BASE64;
use hickory_proto::dnssec::Verifier;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};

use super::*;

const NOW: UnixSeconds = 1_800_000_000;
const DAY: UnixSeconds = 24 * 3600;

/// A key as `dnssec-keygen -a ECDSAP256SHA256 -f KSK cluster.local` of BIND 9.18 writes it.
const PUBLIC: &str = include_str!("../tests/data/Kcluster.local.+013+32590.key");
const PRIVATE: &str = include_str!("../tests/data/Kcluster.local.+013+32590.private");

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn bind_key() -> Key {
    Key::read(PUBLIC, PRIVATE).unwrap()
}

/// A new key in the form of BIND's files.
fn texts(zone: &str, flags: u16, number: u8, curve: &'static EcdsaSigningAlgorithm) -> [String; 2] {
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &random).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    // PKCS#8 has the secret behind an octet string's head: 04, its length.
    let octets = point.len() / 2;
    let head = [4, u8::try_from(octets).unwrap()];
    let at = pkcs8.as_ref().windows(2).rposition(|window| window == head).unwrap() + 2;
    let secret = BASE64.encode(&pkcs8.as_ref()[at..at + octets]);
    let point = BASE64.encode(point);
    [
        format!("{zone} 3600 IN DNSKEY {flags} 3 {number} (\n  {point} ) ; comment\n"),
        format!("Private-key-format: v1.3\nAlgorithm: {number} (X)\nPrivateKey: {secret}\n"),
    ]
}

fn new_key(zone: &str, flags: u16) -> Key {
    let [public, private] = texts(zone, flags, 13, &ECDSA_P256_SHA256_FIXED_SIGNING);
    Key::read(&public, &private).unwrap()
}

fn signer(keys: Vec<Key>) -> Signer {
    Signer::new(&[Name::root()], keys, NonZeroUsize::new(100).unwrap()).unwrap()
}

/// An answer that owns its parts.
#[derive(Debug, Clone)]
struct Reply {
    rcode: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Reply {
    fn of(answers: Vec<Record>) -> Self {
        let (authorities, additionals) = (Vec::new(), Vec::new());
        Self { rcode: ResponseCode::NoError, answers, authorities, additionals }
    }

    fn negative(rcode: ResponseCode) -> Self {
        Self { rcode, authorities: vec![soa()], ..Self::of(Vec::new()) }
    }

    fn signed(mut self, signer: &Signer, asked: &str, qtype: RecordType) -> Self {
        self.sign(signer, asked, qtype, NOW);
        self
    }

    fn sign(&mut self, signer: &Signer, asked: &str, qtype: RecordType, now: UnixSeconds) {
        let name = name(asked);
        let asked = Asked { name: &name, qtype, compact_ok: false };
        let mut answer = Answer {
            rcode: &mut self.rcode,
            answers: &mut self.answers,
            authorities: &mut self.authorities,
            additionals: &mut self.additionals,
        };
        signer.sign(asked, &mut answer, &|_| None, now);
    }
}

fn a(owner: &str, last: u8) -> Record {
    Record::from_rdata(name(owner), 5, RData::A(A::new(10, 96, 5, last)))
}

fn soa() -> Record {
    let soa =
        SOA::new(name("ns.dns.cluster.local."), name("hostmaster.cluster.local."), 1, 2, 3, 4, 7);
    Record::from_rdata(name("cluster.local."), 30, RData::SOA(soa))
}

/// The NSEC record of a section.
fn nsec_of(section: &[Record]) -> (&Record, &NSEC) {
    let mut found = section.iter().filter_map(|record| {
        let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return None };
        Some((record, nsec))
    });
    found.next().unwrap()
}

fn rrsig(record: &Record) -> Option<&RRSIG> {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
    Some(signature)
}

fn signatures(section: &[Record]) -> Vec<(&Record, &RRSIG)> {
    section.iter().filter_map(|record| Some((record, rrsig(record)?))).collect()
}

/// Checks every signature of a section by the keys of `signer`; says which types are signed.
fn verified(signer: &Signer, section: &[Record]) -> Vec<RecordType> {
    let keys: Vec<(u16, DNSKEY)> = signer
        .keys()
        .map(|key| {
            let record = key.record(key.owner().clone());
            let RData::DNSSEC(DNSSECRData::DNSKEY(dnskey)) = record.data else { panic!() };
            (key.tag(), dnskey)
        })
        .collect();
    let check = |(record, signature): (&Record, &RRSIG)| {
        let covered = signature.input().type_covered;
        let (_, key) = keys.iter().find(|(tag, _)| *tag == signature.input().key_tag).unwrap();
        key.verify_rrsig(&record.name, DNSClass::IN, signature, section.iter()).unwrap();
        covered
    };
    signatures(section).into_iter().map(check).collect()
}

#[test]
fn key_of_bind_is_read_and_has_the_tag_and_ds_that_bind_says() {
    let key = bind_key();
    assert_eq!(key.owner().to_ascii(), "cluster.local.");
    assert_eq!((key.tag(), key.signs_keys()), (32590, true));
    // As dnssec-dsfromkey of BIND 9.18 prints it.
    let expected = "cluster.local. 3600 IN DS 32590 13 2 48E28DBD4B7D4B5EAE0D41A6B2BAABAAB209BCBE8EFB7119ACF25BA45C62D491";
    assert_eq!(key.ds().unwrap().to_string().to_uppercase(), expected.to_uppercase());
    assert!(!format!("{key:?}").contains("X49mjz"));
}

#[test]
fn every_rrset_is_signed_once_and_verifies() {
    let signer = signer(vec![bind_key()]);
    let owner = "wEb.default.svc.CLUSTER.local.";
    let target = name("pod.web.default.svc.CLUSTER.local.");
    let srv = RData::SRV(SRV::new(0, 50, 80, target));
    let mut reply =
        Reply::of(vec![a(owner, 9), a(owner, 7), Record::from_rdata(name(owner), 5, srv)]);
    reply.additionals =
        vec![a("pod.web.default.svc.CLUSTER.local.", 1), a("elsewhere.example.", 2)];
    let reply = reply.signed(&signer, owner, RecordType::A);
    assert_eq!(verified(&signer, &reply.answers), [RecordType::A, RecordType::SRV]);
    assert_eq!(verified(&signer, &reply.additionals), [RecordType::A]);
    assert!(reply.authorities.is_empty() && reply.additionals.len() == 3);
    let (record, signature) = signatures(&reply.answers)[0];
    assert_eq!((record.name.to_ascii().as_str(), record.ttl), (owner, 5));
    let input = signature.input();
    assert_eq!((input.num_labels, input.signer_name.to_ascii().as_str()), (5, "cluster.local."));
    let times = [input.sig_inception, input.sig_expiration].map(|time| u64::from(time.get()));
    assert_eq!(times, [NOW - 3 * 3600, NOW + 8 * DAY]);
}

#[test]
fn records_of_one_rrset_get_one_time_to_live() {
    let signer = signer(vec![bind_key()]);
    let mut longer = a("web.cluster.local.", 1);
    longer.ttl = 60;
    let reply = Reply::of(vec![longer, a("web.cluster.local.", 2)]);
    let reply = reply.signed(&signer, "web.cluster.local.", RecordType::A);
    assert_eq!(reply.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [5, 5, 5]);
    verified(&signer, &reply.answers);
}

#[test]
fn name_that_lacks_the_type_is_proved_to() {
    let signer = signer(vec![bind_key()]);
    let asked = "Web.cluster.local.";
    let reply = Reply::negative(ResponseCode::NoError).signed(&signer, asked, RecordType::AAAA);
    assert_eq!(verified(&signer, &reply.authorities), [RecordType::SOA, RecordType::NSEC]);
    let (record, nsec) = nsec_of(&reply.authorities);
    assert_eq!((record.name.to_ascii().as_str(), record.ttl), (asked, 7));
    assert_eq!(nsec.next_domain_name().to_ascii(), "\\000.web.cluster.local.");
    let has = |rtype| nsec.type_set().contains(rtype);
    assert!(has(RecordType::A) && has(RecordType::NSEC) && has(RecordType::RRSIG));
    assert!(!has(RecordType::AAAA) && !has(RecordType::CNAME) && !has(RecordType::SOA));
}

#[test]
fn types_of_a_name_are_told_where_they_are_known() {
    let signer = signer(vec![bind_key()]);
    let owner = name("web.cluster.local.");
    let mut reply = Reply::negative(ResponseCode::NoError);
    let asked = Asked { name: &owner, qtype: RecordType::MX, compact_ok: false };
    let Reply { rcode, answers, authorities, additionals } = &mut reply;
    let mut answer = Answer { rcode, answers, authorities, additionals };
    signer.sign(asked, &mut answer, &|_| Some(vec![RecordType::A, RecordType::SRV]), NOW);
    let types: Vec<_> = nsec_of(&reply.authorities).1.type_bit_maps().collect();
    let expected = [RecordType::A, RecordType::SRV, RecordType::RRSIG, RecordType::NSEC];
    assert_eq!(types, expected);
}

#[test]
fn name_that_is_missing_is_told_by_nxname_and_by_nxdomain_to_who_knows_it() {
    let signer = signer(vec![bind_key()]);
    let asked = "nosuch.cluster.local.";
    let plain = Reply::negative(ResponseCode::NXDomain).signed(&signer, asked, RecordType::A);
    assert_eq!(plain.rcode, ResponseCode::NoError);
    let types: Vec<_> = nsec_of(&plain.authorities).1.type_bit_maps().map(u16::from).collect();
    assert_eq!(types, [46, 47, 128]);
    let mut told = Reply::negative(ResponseCode::NXDomain);
    let owner = name(asked);
    let Reply { rcode, answers, authorities, additionals } = &mut told;
    let mut answer = Answer { rcode, answers, authorities, additionals };
    let asked = Asked { name: &owner, qtype: RecordType::A, compact_ok: true };
    signer.sign(asked, &mut answer, &|_| None, NOW);
    assert_eq!(told.rcode, ResponseCode::NXDomain);
    verified(&signer, &told.authorities);
}

#[test]
fn end_of_a_chain_of_aliases_is_denied_only_within_the_zone() {
    let signer = signer(vec![bind_key()]);
    let alias = |target: &str| {
        let data = RData::CNAME(CNAME(name(target)));
        Record::from_rdata(name("ext.cluster.local."), 5, data)
    };
    let mut inside = Reply::negative(ResponseCode::NXDomain);
    inside.answers = vec![alias("nosuch.cluster.local.")];
    let inside = inside.signed(&signer, "ext.cluster.local.", RecordType::A);
    assert_eq!(verified(&signer, &inside.answers), [RecordType::CNAME]);
    assert_eq!(nsec_of(&inside.authorities).0.name.to_ascii(), "nosuch.cluster.local.");
    let mut outside = Reply::of(vec![alias("nosuch.example.")]);
    outside.rcode = ResponseCode::NXDomain;
    let outside = outside.signed(&signer, "ext.cluster.local.", RecordType::A);
    assert_eq!(verified(&signer, &outside.answers), [RecordType::CNAME]);
    assert!(outside.authorities.is_empty() && outside.rcode == ResponseCode::NXDomain);
    let alias = Reply::of(vec![alias("nosuch.example.")]);
    let alias = alias.signed(&signer, "ext.cluster.local.", RecordType::CNAME);
    assert!(alias.authorities.is_empty());
}

#[test]
fn question_for_nsec_is_answered_with_it() {
    let signer = signer(vec![bind_key()]);
    let reply = Reply::negative(ResponseCode::NoError);
    let reply = reply.signed(&signer, "web.cluster.local.", RecordType::NSEC);
    assert_eq!(verified(&signer, &reply.answers), [RecordType::NSEC]);
    assert!(nsec_of(&reply.answers).1.type_set().contains(RecordType::NSEC));
    assert!(reply.authorities.is_empty());
}

#[test]
fn delegation_is_proved_to_be_unsigned_and_stays_unsigned() {
    let signer = signer(vec![bind_key()]);
    let ns = RData::NS(NS(name("ns.sub.cluster.local.")));
    let mut reply = Reply::of(Vec::new());
    reply.authorities = vec![Record::from_rdata(name("sub.cluster.local."), 60, ns)];
    reply.additionals = vec![a("ns.sub.cluster.local.", 3)];
    let reply = reply.signed(&signer, "www.sub.cluster.local.", RecordType::A);
    assert_eq!(verified(&signer, &reply.authorities), [RecordType::NSEC]);
    let (record, nsec) = nsec_of(&reply.authorities);
    assert_eq!(record.name.to_ascii(), "sub.cluster.local.");
    assert!(nsec.type_set().contains(RecordType::NS) && !nsec.type_set().contains(RecordType::DS));
    assert_eq!(reply.additionals.len(), 1);
}

#[test]
fn names_of_others_failures_and_what_is_signed_stay_as_they_are() {
    let signer = signer(vec![bind_key()]);
    let elsewhere = Reply::of(vec![a("www.example.", 1)]);
    assert_eq!(elsewhere.signed(&signer, "www.example.", RecordType::A).answers.len(), 1);
    let failure = Reply::negative(ResponseCode::ServFail);
    let failure = failure.signed(&signer, "web.cluster.local.", RecordType::A);
    assert_eq!((failure.authorities.len(), failure.rcode), (1, ResponseCode::ServFail));
    let once = Reply::of(vec![a("web.cluster.local.", 1)]);
    let once = once.signed(&signer, "web.cluster.local.", RecordType::A);
    let twice = once.clone().signed(&signer, "web.cluster.local.", RecordType::A);
    assert_eq!(once.answers, twice.answers);
}

#[test]
fn keys_that_sign_keys_sign_nothing_else_where_others_do() {
    let signer = signer(vec![new_key("example.", 257), new_key("EXAMPLE.", 256)]);
    let tag = |signs_keys| signer.keys().find(|key| key.signs_keys() == signs_keys).unwrap().tag();
    let keys = signer.dnskeys(&name("eXample.")).unwrap();
    assert_eq!(keys.len(), 2);
    let keys = Reply::of(keys).signed(&signer, "eXample.", RecordType::DNSKEY);
    let data = Reply::of(vec![a("www.example.", 1)]).signed(&signer, "www.example.", RecordType::A);
    for (section, tag) in [(&keys.answers, tag(true)), (&data.answers, tag(false))] {
        verified(&signer, section);
        let tags: Vec<_> = signatures(section).iter().map(|(_, one)| one.input().key_tag).collect();
        assert_eq!(tags, [tag]);
    }
    assert_eq!(signer.dnskeys(&name("www.example.")), None);
}

#[test]
fn signatures_are_kept_until_they_are_about_to_end() {
    let signer = signer(vec![bind_key()]);
    let ask = |now| {
        let mut reply = Reply::of(vec![a("web.cluster.local.", 1)]);
        reply.sign(&signer, "web.cluster.local.", RecordType::A, now);
        verified(&signer, &reply.answers);
        signatures(&reply.answers)[0].1.clone()
    };
    let first = ask(NOW);
    assert_eq!(ask(NOW + 5 * DAY), first);
    let later = ask(NOW + 6 * DAY);
    assert_ne!(later, first);
    assert_eq!(later.input().sig_expiration.get(), u32::try_from(NOW + 14 * DAY).unwrap());
    assert_ne!(ask(NOW), later, "the clock went back and the signature is of the future");
    assert_eq!(signer.counts(), Counts { hits: 1, misses: 3, entries: 1 });
}

#[test]
fn number_of_signatures_that_are_kept_is_bounded() {
    let signer = signer(vec![bind_key()]);
    for number in 0..150 {
        let owner = format!("n{number}.cluster.local.");
        Reply::of(vec![a(&owner, 1)]).signed(&signer, &owner, RecordType::A);
    }
    assert_eq!(signer.counts(), Counts { hits: 0, misses: 150, entries: 100 });
}

#[test]
fn additional_rrsets_beyond_the_limit_are_left_out() {
    let signer = signer(vec![bind_key()]);
    let mut reply = Reply::of(vec![a("web.cluster.local.", 1)]);
    reply.additionals = (0..200).map(|n| a(&format!("p{n}.web.cluster.local."), 1)).collect();
    let reply = reply.signed(&signer, "web.cluster.local.", RecordType::A);
    assert_eq!(reply.additionals.len(), 2 * 64);
}

#[test]
fn other_curves_sign_too() {
    let [public, private] = texts("example.", 257, 14, &ECDSA_P384_SHA384_FIXED_SIGNING);
    let signer = signer(vec![Key::read(&public, &private).unwrap()]);
    let reply =
        Reply::of(vec![a("www.example.", 1)]).signed(&signer, "www.example.", RecordType::A);
    assert_eq!(verified(&signer, &reply.answers), [RecordType::A]);
    // Of RFC 8080 §6.1.
    let public = "example.com. IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
    let private = "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\n\
                   PrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=";
    let key = Key::read(public, private).unwrap();
    assert_eq!(key.tag(), 3613);
    let signer = self::signer(vec![key]);
    let owner = "www.example.com.";
    let reply = Reply::of(vec![a(owner, 1)]).signed(&signer, owner, RecordType::A);
    assert_eq!(verified(&signer, &reply.answers), [RecordType::A]);
}

#[test]
fn key_that_cannot_be_used_says_why() {
    let line = PUBLIC.lines().last().unwrap();
    let cases: &[(&str, String, String, &str)] = &[
        ("no record", "; nothing".into(), PRIVATE.into(), "the public key has no record"),
        ("no owner", "DNSKEY 257 3 13 AA==".into(), PRIVATE.into(), "has no record"),
        (
            "flags",
            line.replace("257", "0"),
            PRIVATE.into(),
            "the flags field of the public key is \"0\"; accepted: 256, 257",
        ),
        ("protocol", line.replace(" 3 13", " 2 13"), PRIVATE.into(), "the protocol field"),
        (
            "algorithm",
            line.replace(" 13 ", " 8 "),
            PRIVATE.into(),
            "the algorithm field of the public key is \"8\"; accepted: 13 (",
        ),
        ("base64", line.replace("==", "=!"), PRIVATE.into(), "the key field"),
        (
            "two algorithms",
            line.into(),
            PRIVATE.replace("13 (", "15 ("),
            "the private key has algorithm 15",
        ),
        (
            "hardware",
            line.into(),
            PRIVATE.replace("PrivateKey", "Engine"),
            "no line `PrivateKey: ...`",
        ),
        ("other key", line.into(), PRIVATE.replace("X49", "X48"), "does not fit"),
        (
            "short key",
            line.into(),
            PRIVATE.replace("PrivateKey: X49mjzZ1", "PrivateKey: "),
            "does not fit",
        ),
    ];
    for (case, public, private, expected) in cases {
        let error = Key::read(public, private).unwrap_err().to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[test]
fn zones_without_keys_and_keys_without_zones_are_refused() {
    let kept = NonZeroUsize::MIN;
    let error = Signer::new(&[name("cluster.local."), name("example.")], vec![bind_key()], kept);
    assert_eq!(
        error.unwrap_err().to_string(),
        "zone example.: no key belongs to it or to a zone within it"
    );
    let error = Signer::new(&[name("svc.cluster.local.")], vec![bind_key()], kept).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key 32590 of cluster.local.: it is within none of the zones to sign"
    );
    assert!(
        Signer::new(&[name("local.")], vec![bind_key()], kept)
            .unwrap()
            .signs(&name("a.cluster.LOCAL."))
    );
}
