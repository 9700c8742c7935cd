//! The octets of an RRset that a signature covers (RFC 4034 §3.1.8.1 and §6).

use hickory_proto::ProtoError;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

/// An RRset in canonical form and order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CanonicalSet(Vec<u8>);

impl CanonicalSet {
    /// Brings the records of one owner and type, with one time to live, into the canonical form.
    pub(crate) fn new(
        owner: &Name,
        rtype: RecordType,
        records: &[Record],
    ) -> Result<Self, ProtoError> {
        let mut datas = records.iter().map(data).collect::<Result<Vec<_>, _>>()?;
        datas.sort_unstable();
        // A record that came twice is one record (RFC 2181 §5).
        datas.dedup();
        let mut head = Vec::new();
        let mut encoder = BinEncoder::new(&mut head);
        encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
        owner.emit(&mut encoder)?;
        rtype.emit(&mut encoder)?;
        let (class, ttl) = records.first().map_or((1, 0), |one| (one.dns_class.into(), one.ttl));
        encoder.emit_u16(class)?;
        encoder.emit_u32(ttl)?;
        let mut octets = Vec::with_capacity(datas.len() * (head.len() + 2 + 16));
        for data in datas {
            let length = u16::try_from(data.len())
                .map_err(|_longer| ProtoError::from("the data of a record is too long"))?;
            octets.extend_from_slice(&head);
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(&data);
        }
        Ok(Self(octets))
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The data of a record, names uncompressed and, where the type wants it, in lower case.
fn data(record: &Record) -> Result<Vec<u8>, ProtoError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record.data.emit(&mut encoder)?;
    Ok(octets)
}
