//! eBPF programs at the socket hooks: they read an address, let `datapath` decide, and write one.
//!
//! Each hook comes once for each family. All programs share the maps of the module `maps`.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(missing_docs, reason = "the macro makes a second function of each")]
#![allow(
    internal_features,
    reason = "the target has an atomic addition, but core has no type for it"
)]

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use podway_ebpf_datapath::translate::{self, Verdict};

use crate::context::{Call, Inet4, Inet6};
use crate::maps::KernelTables;

mod context;
mod maps;

/// The call goes on.
const PROCEED: i32 = 1;

/// The call fails.
const FAIL: i32 = 0;

/// A socket of IPv4 is connected.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    connect(Inet4(ctx))
}

/// A socket of IPv6 is connected.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    connect(Inet6(ctx))
}

/// A datagram of IPv4 is sent to an address.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
    send(Inet4(ctx))
}

/// A datagram of IPv6 is sent to an address.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
    send(Inet6(ctx))
}

/// A datagram of IPv4 came, and its source is asked for.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn recvmsg4(ctx: SockAddrContext) -> i32 {
    receive(Inet4(ctx))
}

/// A datagram of IPv6 came, and its source is asked for.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn recvmsg6(ctx: SockAddrContext) -> i32 {
    receive(Inet6(ctx))
}

/// The peer of a socket of IPv4 is asked for.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn getpeername4(ctx: SockAddrContext) -> i32 {
    peer_name(Inet4(ctx))
}

/// The peer of a socket of IPv6 is asked for.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn getpeername6(ctx: SockAddrContext) -> i32 {
    peer_name(Inet6(ctx))
}

#[inline(always)]
fn connect(call: impl Call) -> i32 {
    let Some(destination) = call.address() else { return PROCEED };
    settle(&call, translate::connect(&KernelTables(call.context()), &destination))
}

#[inline(always)]
fn send(call: impl Call) -> i32 {
    let Some(destination) = call.address() else { return PROCEED };
    settle(&call, translate::send(&KernelTables(call.context()), &destination))
}

#[inline(always)]
fn receive(call: impl Call) -> i32 {
    let Some(source) = call.address() else { return PROCEED };
    tell(&call, translate::receive(&KernelTables(call.context()), &source))
}

#[inline(always)]
fn peer_name(call: impl Call) -> i32 {
    let Some(endpoint) = call.address() else { return PROCEED };
    tell(&call, translate::peer_name(&KernelTables(call.context()), &endpoint))
}

/// Does what was decided about a destination.
#[inline(always)]
fn settle(call: &impl Call, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Leave => PROCEED,
        Verdict::Refuse => {
            context::refuse();
            FAIL
        }
        Verdict::Rewrite(address) => {
            call.rewrite(&address);
            PROCEED
        }
    }
}

/// Does what was decided about an address that is only told: such a call cannot be refused.
#[inline(always)]
fn tell(call: &impl Call, verdict: Verdict) -> i32 {
    if let Verdict::Rewrite(address) = verdict {
        call.rewrite(&address);
    }
    PROCEED
}

/// Nothing here panics: the verifier would refuse the endless loop.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers may only be used by programs with a licence that the kernel knows.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
