use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

use super::*;

/// The data of a record in hexadecimal digits.
fn octets(text: &str) -> Result<String, String> {
    let record = record(text, 3600).map_err(|fault| fault.to_string())?;
    Ok(encoded(&record.data))
}

fn encoded(data: &RData) -> String {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).unwrap();
    data_encoding::HEXLOWER.encode(&octets)
}

#[test]
fn data_of_every_type_becomes_its_octets() {
    let mut differing = Vec::new();
    for (data, expected) in [
        ("A 192.0.2.1", "c0000201"),
        ("AAAA 2001:db8::1", "20010db8000000000000000000000001"),
        ("NS ns.a.", "026e73016100"),
        ("CNAME .", "00"),
        ("SOA a. b. 1 2 1m 1h 5", "01610001620000000001000000020000003c00000e1000000005"),
        ("MX 10 m.", "000a016d00"),
        ("TXT \"a b\" c \\\"", "03612062016301 22"),
        ("TXT \"\"", "00"),
        ("SRV 1 2 3 t.", "000100020003017400"),
        ("PTR p.", "017000"),
        ("HINFO pc \"x y\"", "02706303782079"),
        ("RP a. b.", "016100016200"),
        ("AFSDB 1 a.", "0001016100"),
        ("KX 1 a.", "0001016100"),
        ("NAPTR 1 2 \"u\" \"s\" \"!a!b!\" .", "00010002017501730521612162 2100"),
        ("CERT 1 2 3 AQID", "0001000203010203"),
        ("DNAME d.", "016400"),
        ("DS 1 8 2 0a0b", "000108020a0b"),
        ("CDS 1 8 2 0A 0b", "000108020a0b"),
        ("SSHFP 4 2 0a0b", "04020a0b"),
        (
            "RRSIG A 13 2 300 20260101000000 19700101000001 7 a. AQID",
            "00010d020000012c6955b90000000001000701610001 0203",
        ),
        (
            "NSEC b. A MX RRSIG TYPE1234",
            "016200 0006 400100000002 041b 00000000000000000000000000000000000000000000000000 0020",
        ),
        ("DNSKEY 257 3 13 AQ ID", "0101030d010203"),
        ("CDNSKEY 257 3 13 AQID", "0101030d010203"),
        ("NSEC3PARAM 1 0 0 -", "0100000000"),
        ("NSEC3PARAM 1 0 10 aabb", "0100000a02aabb"),
        ("TLSA 3 1 1 0a", "0301010a"),
        ("SMIMEA 3 1 1 0a", "0301010a"),
        ("OPENPGPKEY AQID", "010203"),
        ("CSYNC 1 3 A NS", "0000000100030001 60"),
        ("SPF v", "0176"),
        ("URI 1 2 \"http://a\"", "00010002687474703a2f2f61"),
        ("CAA 128 issue \"ca.example\"", "80056973737565 63612e6578616d706c65"),
        ("HTTPS 0 h.", "0000016800"),
        ("HTTPS 1 . alpn=h2,h3 port=8443", "000100 00010006 0268320268 33 00030002 20fb"),
        (
            "SVCB 1 s. ipv6hint=2001:db8::1 ipv4hint=192.0.2.1,192.0.2.2",
            "0001017300 00040008c0000201c0000202 0006001020010db8000000000000000000000001",
        ),
        (
            "SVCB 1 . mandatory=port port=\"53\" key667=x",
            "000100 00000002 0003 00030002 0035 029b0001 78",
        ),
        ("TYPE65280 \\# 3 010203", "010203"),
        ("TYPE65280 \\# 0", ""),
        ("A \\# 4 c0 000201", "c0000201"),
    ] {
        let expected: String = expected.split_whitespace().collect();
        let found = octets(&format!("o. {data}"));
        if found.as_ref() != Ok(&expected) {
            differing.push(format!("{data}: {found:?}, not {expected}"));
        }
    }
    assert_eq!(differing, [""; 0]);
}

#[test]
fn owner_ttl_and_class_come_in_either_order() {
    for text in ["o 5 IN A 192.0.2.1", "o IN 5 A 192.0.2.1", "o. 5s a 192.0.2.1 ; c"] {
        let record = record(text, 3600).unwrap();
        assert_eq!(record.to_string(), "o. 5 IN A 192.0.2.1", "{text}");
    }
    assert_eq!(record("o CH TXT x", 3600).unwrap().to_string(), "o. 3600 CH TXT x");
}

#[test]
fn wrong_records_are_told_with_their_place() {
    for (text, expected) in [
        ("", "1:1: is no record"),
        ("o", "1:1: the record has no type"),
        ("o 5 IN", "1:1: the record has no type"),
        ("o A", "1:3: the data of \"A\" ends too early"),
        ("o A 192.0.2.256", "1:5: \"192.0.2.256\" is no IPv4 address"),
        ("o A 192.0.2.1 x", "1:15: \"x\" is one word too many"),
        ("o AAAA 192.0.2.1", "1:8: \"192.0.2.1\" is no IPv6 address"),
        ("o MX 65536 m.", "1:6: \"65536\" is not in 0..=65535"),
        ("o MX +1 m.", "1:6: \"+1\" is not in 0..=65535"),
        ("o NS a..b", "1:6: name \"a..b\" has an empty label"),
        ("a..b A 192.0.2.1", "1:1: name \"a..b\" has an empty label"),
        ("o 5x A 192.0.2.1", "1:3: time to live \"5x\" is none"),
        ("o 2147483648 A 192.0.2.1", "1:3: time to live \"2147483648\" is none"),
        ("o XX 1", "1:3: \"XX\" is no record type"),
        ("o ANY 1", "1:3: \"ANY\" is no type of records"),
        ("o OPT 1", "1:3: \"OPT\" is no record type"),
        ("o NULL x", "1:3: data of \"NULL\" has no form of its own"),
        ("o TYPE65280 \\# 2 01", "1:16: 2 octets are promised and 1 given"),
        ("o TYPE65280 \\# 1 0", "1:18: this is not hexadecimal: invalid length at 0"),
        ("o TXT \"a", "1:7: \" without another on its line"),
        ("o TXT \\300", "1:7: \"\\\\300\" has an escape above \\255"),
        ("o A ( 192.0.2.1", "1:5: ( without )"),
        ("o A 192.0.2.1 )", "1:15: ) without ("),
        ("o HTTPS 1 . port", "1:13: \"port\" has no value"),
        ("o HTTPS 1 . port=1 port=2", "1:20: \"port=2\" comes twice"),
        ("o HTTPS 1 . what=1", "1:13: \"what=1\" is no parameter"),
        ("o A 192.0.2.1\no A 192.0.2.2", "2:1: is more than one record"),
        ("$INCLUDE x", "1:1: is more than one record"),
    ] {
        let found = record(text, 3600).unwrap_err().to_string();
        assert_eq!(found, expected, "{text}");
    }
    let long = format!("o TXT {}", "a".repeat(256));
    assert!(record(&long, 5).unwrap_err().text.ends_with("has more than 255 octets"));
}

#[test]
fn parentheses_join_lines_and_quotes_hold_what_is_special() {
    let text = "o 5 SOA a. b. ( 1 ; serial\n 2\n\t3 4 ( 5 ) ) ; end\n";
    assert_eq!(record(text, 1).unwrap().to_string(), "o. 5 IN SOA a. b. 1 2 3 4 5");
    assert_eq!(octets("o TXT \"a;b(c\" d").unwrap(), "05613b6228630164");
}

proptest! {
    #[test]
    fn any_text_is_a_record_or_a_fault(text in "[ -~\n\t\\\\\"();$@]{0,80}") {
        let _any = record(&text, 5);
    }

    #[test]
    fn any_data_of_any_type_is_a_record_or_a_fault(
        kind in "A|AAAA|NS|SOA|MX|TXT|SRV|NAPTR|CAA|HTTPS|RRSIG|NSEC|DS|CERT|TYPE1|TYPE65280",
        data in "[0-9a-z .\\\\#=\"-]{0,60}",
    ) {
        if let Ok(record) = record(&format!("o. 5 IN {kind} {data}"), 5) {
            let _octets = encoded(&record.data);
        }
    }
}
