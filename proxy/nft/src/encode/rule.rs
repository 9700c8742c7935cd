//! Rules as the kernel's expressions.
//!
//! A rule is a list of expressions that load, compare and act on registers of four bytes. Every
//! rule starts with register 8 (`NFT_REG32_00`): newer kernels refuse to read a register that the
//! rule itself has not set.

use netlink_bindings::nftables::{
    CmpOps, CtKeys, FibFlags, LookupFlags, MetaKeys, NumgenTypes, PayloadBase, PushExprListAttrs,
    PushExprLookupAttrs, PushExprMasqAttrs,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;

use crate::encode::{address_bytes, family_number, part_bytes};
use crate::names::{ChainName, SetName};
use crate::ruleset::{Condition, Key, Part, Rule, SetKind, Statement};

/// `NFT_REG32_00`.
const FIRST_REGISTER: u32 = 8;

/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;

/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
const CT_STATE_NEW: u32 = 1 << 3;

/// `IPS_DST_NAT`.
const CT_STATUS_DNAT: u32 = 1 << 5;

/// `RTN_LOCAL`: an address of this host.
const ADDRESS_TYPE_LOCAL: u32 = 2;

/// `NFT_NAT_DNAT`.
const NAT_DNAT: u32 = 1;

/// `NFT_REJECT_ICMP_UNREACH`.
const REJECT_ICMP_UNREACHABLE: u32 = 0;

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

/// `NFT_FIB_RESULT_ADDRTYPE`; one less in the bindings.
const FIB_RESULT_ADDRESS_TYPE: u32 = 3;

/// Verdict codes (`enum nft_verdicts`, `NF_DROP`).
const VERDICT_DROP: i32 = 0;
const VERDICT_JUMP: i32 = -3;
const VERDICT_GOTO: i32 = -4;
const VERDICT_RETURN: i32 = -5;

/// Pushes the expressions of `rule`.
pub(super) fn push<Prev: Pusher>(list: PushExprListAttrs<Prev>, family: Family, rule: &Rule) {
    let mut expressions = Expressions { family, list };
    for condition in &rule.conditions {
        expressions = expressions.condition(*condition);
    }
    for statement in &rule.statements {
        expressions = expressions.statement(*statement);
    }
}

struct Expressions<Prev: Pusher> {
    family: Family,
    list: PushExprListAttrs<Prev>,
}

impl<Prev: Pusher> Expressions<Prev> {
    fn condition(self, condition: Condition) -> Self {
        match condition {
            Condition::NewConnection => self
                .conntrack(CtKeys::State, FIRST_REGISTER)
                .masked(CT_STATE_NEW, 0)
                .compare(CmpOps::Neq, 0),
            Condition::Translated => self
                .conntrack(CtKeys::Status, FIRST_REGISTER)
                .masked(CT_STATUS_DNAT, 0)
                .compare(CmpOps::Neq, 0),
            Condition::Marked(bit) => {
                self.meta(MetaKeys::Mark, FIRST_REGISTER).masked(bit, 0).compare(CmpOps::Neq, 0)
            }
            Condition::ConnectionMarked => {
                self.conntrack(CtKeys::Mark, FIRST_REGISTER).compare(CmpOps::Neq, 0)
            }
            Condition::FromInterface(name) => self.interface(name, CmpOps::Eq),
            Condition::NotFromInterface(name) => self.interface(name, CmpOps::Neq),
            Condition::FromThisNode => {
                self.source_address_type().compare(CmpOps::Eq, ADDRESS_TYPE_LOCAL)
            }
            Condition::In(key, set) => self.key(key).look_up(set, None, 0),
            Condition::NotIn(key, set) => {
                self.key(key).look_up(set, None, LookupFlags::Invert as u32)
            }
        }
    }

    fn statement(self, statement: Statement) -> Self {
        match statement {
            Statement::Jump(chain) => self.verdict(VERDICT_JUMP, Some(chain)),
            Statement::Goto(chain) => self.verdict(VERDICT_GOTO, Some(chain)),
            Statement::Return => self.verdict(VERDICT_RETURN, None),
            Statement::Drop => self.verdict(VERDICT_DROP, None),
            Statement::Reject => self.reject(),
            Statement::Mark(bit) => {
                self.meta(MetaKeys::Mark, FIRST_REGISTER).masked(!bit, bit).set_mark()
            }
            Statement::Unmark(bit) => {
                self.meta(MetaKeys::Mark, FIRST_REGISTER).masked(!bit, 0).set_mark()
            }
            Statement::Translate(key, map) => {
                self.key(key).look_up(map, Some(FIRST_REGISTER), 0).translate()
            }
            Statement::MarkConnection(map) => {
                self.key(Key::Frontend).look_up(map, Some(FIRST_REGISTER), 0).set_connection_mark()
            }
            Statement::UnmarkConnection => self.load(0).set_connection_mark(),
            Statement::Learn { timeout_s } => self.learn(timeout_s),
            Statement::Masquerade => self.masquerade(),
        }
    }

    fn with(self, push: impl FnOnce(PushExprListAttrs<Prev>) -> PushExprListAttrs<Prev>) -> Self {
        Self { family: self.family, list: push(self.list) }
    }

    /// Loads the parts of a key into registers from the first on.
    fn key(self, key: Key) -> Self {
        self.parts(&key.parts(), FIRST_REGISTER).0
    }

    /// Loads parts into registers from `register` on; gives the next register too.
    fn parts(self, parts: &[Part], register: u32) -> (Self, u32) {
        parts.iter().fold((self, register), |(loaded, register), part| {
            let registers = part_bytes(loaded.family, *part).div_ceil(4);
            (loaded.part(*part, register), register + registers)
        })
    }

    fn part(self, part: Part, register: u32) -> Self {
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
            Part::DestinationPort => self.payload(PayloadBase::TransportHeader, 2, 2, register),
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

    fn payload(self, base: PayloadBase, offset: u32, bytes: u32, register: u32) -> Self {
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

    fn meta(self, key: MetaKeys, register: u32) -> Self {
        self.with(|list| {
            let meta = list.nested_elem().nested_data_meta();
            meta.push_dreg(register).push_key(key as u32).end_nested().end_nested()
        })
    }

    fn set_mark(self) -> Self {
        self.with(|list| {
            let meta = list.nested_elem().nested_data_meta();
            let meta = meta.push_key(MetaKeys::Mark as u32).push_sreg(FIRST_REGISTER);
            meta.end_nested().end_nested()
        })
    }

    fn conntrack(self, key: CtKeys, register: u32) -> Self {
        self.with(|list| {
            let conntrack = list.nested_elem().nested_data_ct();
            conntrack.push_dreg(register).push_key(key as u32).end_nested().end_nested()
        })
    }

    fn set_connection_mark(self) -> Self {
        self.with(|list| {
            let conntrack = list.nested_elem().nested_data_ct();
            let conntrack = conntrack.push_key(CtKeys::Mark as u32).push_sreg(FIRST_REGISTER);
            conntrack.end_nested().end_nested()
        })
    }

    /// Loads a number into the first register.
    fn load(self, value: u32) -> Self {
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
    fn interface(self, name: InterfaceName, operator: CmpOps) -> Self {
        let mut octets = name.as_str().as_bytes().to_vec();
        if !name.is_prefix() {
            // A whole name is compared with all that the kernel keeps of it (`IFNAMSIZ`).
            octets.resize(16, 0);
        }
        self.meta(MetaKeys::Iifname, FIRST_REGISTER).compare_octets(operator, &octets)
    }

    /// Adds the client with the endpoint it goes to, or renews it.
    fn learn(self, timeout_s: u32) -> Self {
        let (loaded, data) = self.parts(&Key::Client.parts(), FIRST_REGISTER);
        let (loaded, _) = loaded.parts(SetKind::Learned { size: 0 }.data(), data);
        let timeout_ms = u64::from(timeout_s) * 1_000;
        loaded.written_here(b"dynset", |bytes| {
            push_header(bytes, NFTA_DYNSET_OP, 4);
            bytes.extend(DYNSET_UPDATE.to_be_bytes());
            push_header(bytes, NFTA_DYNSET_SREG_KEY, 4);
            bytes.extend(FIRST_REGISTER.to_be_bytes());
            push_header(bytes, NFTA_DYNSET_SREG_DATA, 4);
            bytes.extend(data.to_be_bytes());
            push_header(bytes, NFTA_DYNSET_TIMEOUT, 8);
            bytes.extend(timeout_ms.to_be_bytes());
            // `NFTA_DYNSET_SET_NAME` is 1, as `NFTA_LOOKUP_SET` is.
            PushExprLookupAttrs::new(bytes)
                .push_set_bytes(SetName::Affinity.to_string().as_bytes());
        })
    }

    fn source_address_type(self) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_fib()
                .push_dreg(FIRST_REGISTER)
                .push_result(FIB_RESULT_ADDRESS_TYPE)
                .push_flags(FibFlags::Saddr as u32)
                .end_nested()
                .end_nested()
        })
    }

    /// Keeps the bits of `mask` and flips those of `flipped`.
    fn masked(self, mask: u32, flipped: u32) -> Self {
        self.with(|list| {
            list.nested_elem()
                .nested_data_bitwise()
                .push_sreg(FIRST_REGISTER)
                .push_dreg(FIRST_REGISTER)
                .push_len(4)
                .nested_mask()
                .push_value(&mask.to_ne_bytes())
                .end_nested()
                .nested_xor()
                .push_value(&flipped.to_ne_bytes())
                .end_nested()
                .end_nested()
                .end_nested()
        })
    }

    fn compare(self, operator: CmpOps, value: u32) -> Self {
        self.compare_octets(operator, &value.to_ne_bytes())
    }

    fn compare_octets(self, operator: CmpOps, value: &[u8]) -> Self {
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
    fn look_up(self, set: SetName, data: Option<u32>, flags: u32) -> Self {
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
    fn written_here(self, name: &[u8], push: impl FnOnce(&mut Vec<u8>)) -> Self {
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
    fn translate(self) -> Self {
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
    fn masquerade(self) -> Self {
        self.written_here(b"masq", |bytes| {
            PushExprMasqAttrs::new(bytes).push_flags(NAT_FULLY_RANDOM);
        })
    }

    fn reject(self) -> Self {
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

    fn verdict(self, code: i32, chain: Option<ChainName>) -> Self {
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
