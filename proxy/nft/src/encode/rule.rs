//! Rules as the kernel's expressions.
//!
//! A rule is a list of expressions that load, compare and act on registers of four bytes. Every
//! rule starts with register 8 (`NFT_REG32_00`): newer kernels refuse to read a register that the
//! rule itself has not set.

mod expression;

use std::net::IpAddr;

use netlink_bindings::nftables::{
    CmpOps, CtKeys, FibFlags, LookupFlags, MetaKeys, PayloadBase, PushExprListAttrs,
};
use netlink_bindings::traits::Pusher;
use podway_cluster_model::port::Protocol;
use podway_proxy_plan::plan::Family;

use self::expression::{Expressions, FIRST_REGISTER};
use crate::ruleset::{Condition, Key, Part, Rule, Statement, loopback};

/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
const CT_STATE_NEW: u32 = 1 << 3;

/// `IPS_DST_NAT`.
const CT_STATUS_DNAT: u32 = 1 << 5;

/// `IPS_SRC_NAT`.
const CT_STATUS_SNAT: u32 = 1 << 4;

/// `RTN_LOCAL`: an address of this host.
const ADDRESS_TYPE_LOCAL: u32 = 2;

/// `IP_CT_DIR_ORIGINAL`.
const CT_DIRECTION_ORIGINAL: u8 = 0;

/// Where the flags stand in the TCP header, the one that opens a connection, and the one that all
/// have but the first (RFC 9293 §3.1).
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_SYN: u8 = 1 << 1;
const TCP_ACK: u8 = 1 << 4;

/// Where the ports stand in the header of every transport protocol.
const SOURCE_PORT_OFFSET: u32 = 0;
const DESTINATION_PORT_OFFSET: u32 = 2;

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

impl<Prev: Pusher> Expressions<Prev> {
    fn condition(self, condition: Condition) -> Self {
        match condition {
            Condition::NewConnection => self
                .conntrack(CtKeys::State, FIRST_REGISTER)
                .masked(CT_STATE_NEW, 0)
                .compare(CmpOps::Neq, 0),
            Condition::Tcp => self.tcp(),
            Condition::Udp => self.protocol(Protocol::Udp),
            Condition::To(protocol, port) => {
                self.protocol(protocol).port(DESTINATION_PORT_OFFSET, port)
            }
            Condition::From(protocol, port) => {
                self.protocol(protocol).port(SOURCE_PORT_OFFSET, port)
            }
            Condition::FromLoopback => self.loopback(),
            Condition::MidStream => self.tcp_flag(TCP_SYN).compare_octets(CmpOps::Eq, &[0]),
            Condition::Acknowledging => self.tcp_flag(TCP_ACK).compare_octets(CmpOps::Neq, &[0]),
            Condition::Original => self
                .conntrack(CtKeys::Direction, FIRST_REGISTER)
                .compare_octets(CmpOps::Eq, &[CT_DIRECTION_ORIGINAL]),
            Condition::Translated => self.has_status(CT_STATUS_DNAT),
            Condition::SourceTranslated => self.has_status(CT_STATUS_SNAT),
            Condition::Marked(bit) => {
                self.meta(MetaKeys::Mark, FIRST_REGISTER).masked(bit, 0).compare(CmpOps::Neq, 0)
            }
            Condition::ConnectionMarked => {
                self.conntrack(CtKeys::Mark, FIRST_REGISTER).compare(CmpOps::Neq, 0)
            }
            Condition::FromInterface(name) => self.interface(name, CmpOps::Eq),
            Condition::NotFromInterface(name) => self.interface(name, CmpOps::Neq),
            Condition::FromThisNode => {
                self.address_type(FibFlags::Saddr).compare(CmpOps::Eq, ADDRESS_TYPE_LOCAL)
            }
            Condition::ToThisNode => {
                self.address_type(FibFlags::Daddr).compare(CmpOps::Eq, ADDRESS_TYPE_LOCAL)
            }
            Condition::In(key, set) => self.key(key).look_up(set, None, 0),
            Condition::NotIn(key, set) => {
                self.key(key).look_up(set, None, LookupFlags::Invert as u32)
            }
        }
    }

    /// Loads a flag of TCP's header.
    fn tcp_flag(self, flag: u8) -> Self {
        self.tcp()
            .payload(PayloadBase::TransportHeader, TCP_FLAGS_OFFSET, 1, FIRST_REGISTER)
            .masked_octets(&[flag], &[0])
    }

    fn has_status(self, bit: u32) -> Self {
        self.conntrack(CtKeys::Status, FIRST_REGISTER).masked(bit, 0).compare(CmpOps::Neq, 0)
    }

    fn tcp(self) -> Self {
        self.protocol(Protocol::Tcp)
    }

    fn protocol(self, protocol: Protocol) -> Self {
        self.meta(MetaKeys::L4Proto, FIRST_REGISTER)
            .compare_octets(CmpOps::Eq, &[protocol.number()])
    }

    /// Compares the port that stands at `offset` of the transport header.
    fn port(self, offset: u32, port: u16) -> Self {
        self.payload(PayloadBase::TransportHeader, offset, 2, FIRST_REGISTER)
            .compare_octets(CmpOps::Eq, &port.to_be_bytes())
    }

    fn loopback(self) -> Self {
        let address = loopback(self.family);
        let loaded = self.part(Part::Source, FIRST_REGISTER);
        match address {
            IpAddr::V4(address) => loaded.compare_octets(CmpOps::Eq, &address.octets()),
            IpAddr::V6(address) => loaded.compare_octets(CmpOps::Eq, &address.octets()),
        }
    }

    fn statement(self, statement: Statement) -> Self {
        match statement {
            Statement::Jump(chain) => self.verdict(VERDICT_JUMP, Some(chain)),
            Statement::Goto(chain) => self.verdict(VERDICT_GOTO, Some(chain)),
            Statement::Return => self.verdict(VERDICT_RETURN, None),
            Statement::Drop => self.verdict(VERDICT_DROP, None),
            Statement::Reject => self.reject(),
            Statement::Reset => self.reset(),
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
            Statement::Remember { set, timeout_s } => self.remember(set, timeout_s),
            Statement::Masquerade => self.masquerade(),
            Statement::NoTrack => self.notrack(),
        }
    }
}
