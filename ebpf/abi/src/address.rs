//! An address with port, protocol and family: key of frontends, and what an endpoint is.

use bytemuck::{Pod, Zeroable};

use crate::fold;

/// Value of [`Address::family`] for IPv4.
pub const IPV4: u8 = 4;

/// Value of [`Address::family`] for IPv6.
pub const IPV6: u8 = 6;

/// Value of [`Address::protocol`] for TCP: its IP protocol number.
pub const TCP: u8 = 6;

/// Value of [`Address::protocol`] for UDP: its IP protocol number.
pub const UDP: u8 = 17;

/// Third word of an IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`), in network order.
const MAPPED_WORD: u32 = 0xffff_u32.to_be();

/// An address with port, protocol and family.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Address {
    /// The address in network order; IPv4 has the first word and zeros behind.
    pub words_be: [u32; 4],
    /// The port in network order.
    pub port_be: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// [`IPV4`] or [`IPV6`].
    pub family: u8,
}

const _: () = assert!(size_of::<Address>() == 20);

impl Address {
    /// An IPv4 address; the word and the port are in network order.
    #[inline(always)]
    #[must_use]
    pub const fn v4(word_be: u32, port_be: u16, protocol: u8) -> Self {
        Self { words_be: [word_be, 0, 0, 0], port_be, protocol, family: IPV4 }
    }

    /// An IPv6 address, or the IPv4 address that it maps; words and port are in network order.
    #[inline(always)]
    #[must_use]
    pub const fn v6(words_be: [u32; 4], port_be: u16, protocol: u8) -> Self {
        match words_be {
            [0, 0, MAPPED_WORD, word_be] => Self::v4(word_be, port_be, protocol),
            words_be => Self { words_be, port_be, protocol, family: IPV6 },
        }
    }

    /// The words as a socket of IPv6 wants them: IPv4 is mapped.
    #[inline(always)]
    #[must_use]
    pub const fn v6_words_be(&self) -> [u32; 4] {
        if self.family == IPV4 { [0, 0, MAPPED_WORD, self.words_be[0]] } else { self.words_be }
    }

    /// Whether both are one place of one transport; compared word by word, which programs can.
    #[inline(always)]
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let [a, b, c, d] = self.words_be;
        let [e, f, g, h] = other.words_be;
        ((a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) | (self.last_word() ^ other.last_word())) == 0
    }

    /// Checksum of all fields, started at `seed`.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn fold(&self, seed: u64) -> u64 {
        let [a, b, c, d] = self.words_be;
        fold(fold(fold(fold(fold(seed, a), b), c), d), self.last_word())
    }

    /// Port, protocol and family in one word.
    #[inline(always)]
    const fn last_word(&self) -> u32 {
        ((self.port_be as u32) << 16) | ((self.protocol as u32) << 8) | self.family as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_address_is_the_ipv4_address() {
        let word = u32::from_ne_bytes([10, 96, 0, 1]);
        let mapped = Address::v6([0, 0, MAPPED_WORD, word], 80_u16.to_be(), TCP);
        assert_eq!(mapped, Address::v4(word, 80_u16.to_be(), TCP));
        assert_eq!(mapped.v6_words_be(), [0, 0, MAPPED_WORD, word]);
    }

    #[test]
    fn addresses_of_different_families_with_the_same_bits_differ() {
        let word = u32::from_ne_bytes([0x20, 0x01, 0x0d, 0xb8]);
        let six = Address::v6([word, 0, 0, 0], 80, TCP);
        let four = Address::v4(word, 80, TCP);
        assert!(!six.is(&four));
        assert_ne!(six.fold(0), four.fold(0));
    }
}
