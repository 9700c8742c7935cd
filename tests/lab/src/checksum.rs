//! Checksums of packets that are made by hand.

use std::net::IpAddr;

/// The checksum of IP headers and of what is sealed like them (RFC 1071).
#[must_use]
pub fn internet(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The checksum of a TCP or UDP segment between two addresses of one family.
#[must_use]
pub fn transport(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let length = u32::try_from(segment.len()).unwrap_or(u32::MAX).to_be_bytes();
    let addresses = [octets(source), octets(destination)].concat();
    internet(&[&addresses[..], &length, &[0, 0, 0, protocol], segment].concat())
}

/// The octets of an address in the order of the wire.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The checksum of SCTP (RFC 9260, appendix A).
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    /// The polynomial 0x1edc6f41 with its bits turned around.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let octet = |sum: u32, octet: &u8| {
        (0..8).fold(sum ^ u32::from(*octet), |sum, _| (sum >> 1) ^ (POLYNOMIAL * (sum & 1)))
    };
    !bytes.iter().fold(u32::MAX, octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        // RFC 1071, section 3.
        assert_eq!(internet(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        // RFC 3720, appendix B.4: 32 octets of zeros.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut segment = [0x0f, 0xa0, 0, 80, 0, 10, 0, 0, b'h', b'i'];
        let sum = transport(source, destination, 17, &segment);
        segment[6..8].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(
            transport(source, destination, 17, &segment),
            0,
            "sealed, it sums up to nothing"
        );
    }
}
