//! The kernel's expressions, one by one.

use netlink_bindings::nftables::{
    CmpOps, CtKeys, FibFlags, MetaKeys, NumgenTypes, PayloadBase, PushExprListAttrs,
    PushExprLookupAttrs, PushExprMasqAttrs,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;

use crate::encode::{address_bytes, family_number, part_bytes};
use crate::names::{ChainName, SetName};
use crate::ruleset::{Key, Part, SetKind};

/// `NFT_REG32_00`.
pub(super) const FIRST_REGISTER: u32 = 8;

/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;

/// `NFT_NAT_DNAT`.
const NAT_DNAT: u32 = 1;

/// `NFT_REJECT_ICMP_UNREACH`.
const REJECT_ICMP_UNREACHABLE: u32 = 0;

/// `NFT_REJECT_TCP_RST`.
const REJECT_TCP_RESET: u32 = 1;

/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
const NAT_FULLY_RANDOM: u32 = 1 << 4;

/// `NFTA_EXPR_DATA`.
const NFTA_EXPR_DATA: u16 = 2;

/// Attributes of `lookup`; the bindings number them otherwise than `nf_tables.h`.
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_DREG: u16 = 3;
const NFTA_LOOKUP_FLAGS: u16 = 5;

/// Attributes of `dynset`, which the bindings lack, and `NFT_DYNSET_OP_UPDATE`.
const NFTA_DYNSET_OP: u16 = 3;
const NFTA_DYNSET_SREG_KEY: u16 = 4;
const NFTA_DYNSET_SREG_DATA: u16 = 5;
const NFTA_DYNSET_TIMEOUT: u16 = 6;
const DYNSET_UPDATE: u32 = 1;

/// Attributes of `hash`, which the bindings lack, and `NFT_HASH_JENKINS`.
const NFTA_HASH_SREG: u16 = 1;
const NFTA_HASH_DREG: u16 = 2;
const NFTA_HASH_LEN: u16 = 3;
const NFTA_HASH_MODULUS: u16 = 4;
const NFTA_HASH_SEED: u16 = 5;
const NFTA_HASH_TYPE: u16 = 7;
const HASH_JENKINS: u32 = 0;

/// `NFT_FIB_RESULT_ADDRTYPE`; one less in the bindings.
const FIB_RESULT_ADDRESS_TYPE: u32 = 3;

/// Expressions under construction, in the list of a rule.
pub(super) struct Expressions<Prev: Pusher> {
    pub(super) family: Family,
    pub(super) list: PushExprListAttrs<Prev>,
}

impl<Prev: Pusher> Expressions<Prev> {
    pub(super) fn with(
        self,
        push: impl FnOnce(PushExprListAttrs<Prev>) -> PushExprListAttrs<Prev>,
    ) -> Self {
        Self { family: self.family, list: push(self.list) }
    }

    /// Loads the parts of a key into registers from the first on.
    pub(super) fn key(self, key: Key) -> Self {
        self.parts(&key.parts(), FIRST_REGISTER).0
    }

    /// Loads parts into registers from `register` on; gives the next register too.
    pub(super) fn parts(self, parts: &[Part], register: u32) -> (Self, u32) {
        parts.iter().fold((self, register), |(loaded, register), part| {
            let registers = part_bytes(loaded.family, *part).div_ceil(4);
            (loaded.part(*part, register), register + registers)
        })
    }

    pub(super) fn part(self, part: Part, register: u32) -> Self {
        let family = self.family;
        let (source, destination) = match family {
            Family::Ip => (12, 16),
            Family::Ip6 => (8, 24),
        };
        match part {
            Part::Source => {
                self.payload(PayloadBase::NetworkHeader, source, address_bytes(family), register)
            }
            Part::Destination => self.payload(
                PayloadBase::NetworkHeader,
                destination,
                address_bytes(family),
                register,
            ),
            Part::Protocol => self.meta(MetaKeys::L4Proto, register),
            Part::SourcePort => self.payload(PayloadBase::TransportHeader, 0, 2, register),
            Part::DestinationPort => self.payload(PayloadBase::TransportHeader, 2, 2, register),
            Part::SourceHash { modulus, seed } => {
                // The address goes where no part of the key will be.
                self.part(Part::Source, register + 1).hash(register, modulus, seed)
            }
            Part::ConnectionMark => self.conntrack(CtKeys::Mark, register),
            Part::Random(modulus) => self.with(|list| {
                list.nested_elem()
                    .nested_data_numgen()
                    // The bindings write this one in host order; the kernel reads big endian.
                    .push_dreg(register.to_be())
                    .push_modulus(modulus)
                    .push_type(NumgenTypes::Random as u32)
                    .push_offset(0)
                    .end_nested()
                    .end_nested()
            }),
        }
    }

    /// Puts a hash of the address in the next register into `register`.
    pub(super) fn hash(self, register: u32, modulus: u32, seed: u32) -> Self {
        let bytes = address_bytes(self.family);
        self.written_here(b"hash", |expression| {
            for (kind, value) in [
                (NFTA_HASH_SREG, register + 1),
                (NFTA_HASH_DREG, register),
                (NFTA_HASH_LEN, bytes),
                (NFTA_HASH_MODULUS, modulus),
                (NFTA_HASH_SEED, seed),
                (NFTA_HASH_TYPE, HASH_JENKINS),
            ] {
                push_header(expression, kind, 4);
                expression.extend(value.to_be_bytes());
            }
        })
    }

    pub(super) fn payload(self, base: PayloadBase, offset: u32, bytes: u32, register: u32) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_payload()
                .push_dreg(register)
                .push_base(base as u32)
                .push_offset(offset)
                .push_len(bytes)
                .end_nested()
                .end_nested()
        })
    }

    pub(super) fn meta(self, key: MetaKeys, register: u32) -> Self {
        self.with(|list| {
            let meta = list.nested_elem().nested_data_meta();
            meta.push_dreg(register).push_key(key as u32).end_nested().end_nested()
        })
    }

    pub(super) fn set_mark(self) -> Self {
        self.with(|list| {
            let meta = list.nested_elem().nested_data_meta();
            let meta = meta.push_key(MetaKeys::Mark as u32).push_sreg(FIRST_REGISTER);
            meta.end_nested().end_nested()
        })
    }

    pub(super) fn conntrack(self, key: CtKeys, register: u32) -> Self {
        self.with(|list| {
            let conntrack = list.nested_elem().nested_data_ct();
            conntrack.push_dreg(register).push_key(key as u32).end_nested().end_nested()
        })
    }

    pub(super) fn set_connection_mark(self) -> Self {
        self.with(|list| {
            let conntrack = list.nested_elem().nested_data_ct();
            let conntrack = conntrack.push_key(CtKeys::Mark as u32).push_sreg(FIRST_REGISTER);
            conntrack.end_nested().end_nested()
        })
    }

    /// Loads a number into the first register.
    pub(super) fn load(self, value: u32) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_immediate()
                .push_dreg(FIRST_REGISTER)
                .nested_data()
                .push_value(&value.to_ne_bytes())
                .end_nested()
                .end_nested()
                .end_nested()
        })
    }

    /// Compares the name of the interface that the packet came in by.
    pub(super) fn interface(self, name: InterfaceName, operator: CmpOps) -> Self {
        let mut octets = name.as_str().as_bytes().to_vec();
        if !name.is_prefix() {
            // A whole name is compared with all that the kernel keeps of it (`IFNAMSIZ`).
            octets.resize(16, 0);
        }
        self.meta(MetaKeys::Iifname, FIRST_REGISTER).compare_octets(operator, &octets)
    }

    /// Adds the client with the endpoint it goes to, or renews it.
    pub(super) fn learn(self, timeout_s: u32) -> Self {
        let (loaded, data) = self.parts(&Key::Client.parts(), FIRST_REGISTER);
        let (loaded, _) = loaded.parts(SetKind::Learned { size: 0 }.data(), data);
        loaded.update(SetName::Affinity, Some(data), timeout_s)
    }

    /// Adds the source, or renews it.
    pub(super) fn remember(self, set: SetName, timeout_s: u32) -> Self {
        self.key(Key::Source).update(set, None, timeout_s)
    }

    /// Adds the key that is loaded, with what is in the register `data`, or renews it.
    fn update(self, set: SetName, data: Option<u32>, timeout_s: u32) -> Self {
        let timeout_ms = u64::from(timeout_s) * 1_000;
        self.written_here(b"dynset", |bytes| {
            push_header(bytes, NFTA_DYNSET_OP, 4);
            bytes.extend(DYNSET_UPDATE.to_be_bytes());
            push_header(bytes, NFTA_DYNSET_SREG_KEY, 4);
            bytes.extend(FIRST_REGISTER.to_be_bytes());
            if let Some(data) = data {
                push_header(bytes, NFTA_DYNSET_SREG_DATA, 4);
                bytes.extend(data.to_be_bytes());
            }
            push_header(bytes, NFTA_DYNSET_TIMEOUT, 8);
            bytes.extend(timeout_ms.to_be_bytes());
            // `NFTA_DYNSET_SET_NAME` is 1, as `NFTA_LOOKUP_SET` is.
            PushExprLookupAttrs::new(bytes).push_set_bytes(set.to_string().as_bytes());
        })
    }

    /// Loads what kind of address the source is, or the destination.
    pub(super) fn address_type(self, of: FibFlags) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_fib()
                .push_dreg(FIRST_REGISTER)
                .push_result(FIB_RESULT_ADDRESS_TYPE)
                .push_flags(of as u32)
                .end_nested()
                .end_nested()
        })
    }

    /// Keeps the bits of `mask` and flips those of `flipped`.
    pub(super) fn masked(self, mask: u32, flipped: u32) -> Self {
        self.masked_octets(&mask.to_ne_bytes(), &flipped.to_ne_bytes())
    }

    /// As [`Self::masked`], for as many octets as `mask` has.
    pub(super) fn masked_octets(self, mask: &[u8], flipped: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        self.with(|list| {
            list.nested_elem()
                .nested_data_bitwise()
                .push_sreg(FIRST_REGISTER)
                .push_dreg(FIRST_REGISTER)
                .push_len(length)
                .nested_mask()
                .push_value(mask)
                .end_nested()
                .nested_xor()
                .push_value(flipped)
                .end_nested()
                .end_nested()
                .end_nested()
        })
    }

    pub(super) fn compare(self, operator: CmpOps, value: u32) -> Self {
        self.compare_octets(operator, &value.to_ne_bytes())
    }

    pub(super) fn compare_octets(self, operator: CmpOps, value: &[u8]) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_cmp()
                .push_sreg(FIRST_REGISTER)
                .push_op(operator as u32)
                .nested_data()
                .push_value(value)
                .end_nested()
                .end_nested()
                .end_nested()
        })
    }

    /// Goes on when the key is found (or not, by `flags`); a map's value goes to `data`.
    pub(super) fn look_up(self, set: SetName, data: Option<u32>, flags: u32) -> Self {
        self.written_here(b"lookup", |bytes| {
            push_header(bytes, NFTA_LOOKUP_SREG, 4);
            bytes.extend(FIRST_REGISTER.to_be_bytes());
            if let Some(register) = data {
                push_header(bytes, NFTA_LOOKUP_DREG, 4);
                bytes.extend(register.to_be_bytes());
            }
            push_header(bytes, NFTA_LOOKUP_FLAGS, 4);
            bytes.extend(flags.to_be_bytes());
            PushExprLookupAttrs::new(bytes).push_set_bytes(set.to_string().as_bytes());
        })
    }

    /// An expression that the bindings cannot write: `name` with the attributes that `push` writes.
    pub(super) fn written_here(self, name: &[u8], push: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.with(|list| {
            let mut expression = list.nested_elem().push_name_bytes(name);
            let bytes = expression.as_vec_mut();
            let header = push_nested_header(bytes, NFTA_EXPR_DATA);
            push(bytes);
            finalize_nested_header(bytes, header);
            expression.end_nested()
        })
    }

    /// Translates the destination to the endpoint in the registers.
    pub(super) fn translate(self) -> Self {
        let family = self.family;
        self.with(|list| {
            list.nested_elem()
                .nested_data_nat()
                .push_type(NAT_DNAT)
                .push_family(u32::from(family_number(family)))
                .push_reg_addr_min(FIRST_REGISTER)
                .push_reg_proto_min(FIRST_REGISTER + address_bytes(family) / 4)
                .end_nested()
                .end_nested()
        })
    }

    /// Masquerades; the bindings have the attributes of `masq` and no way to name it.
    pub(super) fn masquerade(self) -> Self {
        self.written_here(b"masq", |bytes| {
            PushExprMasqAttrs::new(bytes).push_flags(NAT_FULLY_RANDOM);
        })
    }

    /// Keeps the packet out of connection tracking; the expression has no attributes.
    pub(super) fn notrack(self) -> Self {
        self.written_here(b"notrack", |_nothing| {})
    }

    pub(super) fn reject(self) -> Self {
        // ICMP code 3, ICMPv6 code 4: port unreachable.
        let code = match self.family {
            Family::Ip => 3,
            Family::Ip6 => 4,
        };
        self.with(|list| {
            let reject = list.nested_elem().nested_data_reject();
            reject.push_type(REJECT_ICMP_UNREACHABLE).push_icmp_code(code).end_nested().end_nested()
        })
    }

    /// Refuses with a TCP reset; the kernel wants a code that it does not use.
    pub(super) fn reset(self) -> Self {
        self.with(|list| {
            let reject = list.nested_elem().nested_data_reject();
            reject.push_type(REJECT_TCP_RESET).push_icmp_code(0).end_nested().end_nested()
        })
    }

    pub(super) fn verdict(self, code: i32, chain: Option<ChainName>) -> Self {
        self.with(|list| {
            let mut verdict = list
                .nested_elem()
                .nested_data_immediate()
                .push_dreg(VERDICT_REGISTER)
                .nested_data()
                .nested_verdict()
                .push_code(code.cast_unsigned());
            if let Some(chain) = chain {
                verdict = verdict.push_chain_bytes(chain.to_string().as_bytes());
            }
            verdict.end_nested().end_nested().end_nested().end_nested()
        })
    }
}
