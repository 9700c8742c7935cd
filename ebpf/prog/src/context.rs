//! Reads and writes the address of a call, field by field.
//!
//! The verifier lets a program touch the context in whole 32-bit words only, so every access is
//! volatile: the compiler would join them otherwise.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::bpf_set_retval;
use aya_ebpf::programs::SockAddrContext;
use podway_ebpf_abi::address::{Address, TCP, UDP};

/// `-ECONNREFUSED`.
const CONNECTION_REFUSED: i32 = -111;

/// A call of one family.
pub(crate) trait Call {
    /// The context that the kernel gave.
    fn context(&self) -> &SockAddrContext;
    /// The address of the call; `None` for a transport that is not translated.
    fn address(&self) -> Option<Address>;
    /// Replaces address and port.
    fn rewrite(&self, address: &Address);
}

/// A call on an IPv4 socket.
pub(crate) struct Inet4(pub(crate) SockAddrContext);

/// A call on an IPv6 socket, which may speak IPv4.
pub(crate) struct Inet6(pub(crate) SockAddrContext);

impl Call for Inet4 {
    #[inline(always)]
    fn context(&self) -> &SockAddrContext {
        &self.0
    }

    #[inline(always)]
    fn address(&self) -> Option<Address> {
        let raw = self.0.sock_addr;
        let protocol = protocol(raw)?;
        // SAFETY: the kernel gives a valid context, and each read is of one whole field.
        let word_be = unsafe { read_volatile(addr_of!((*raw).user_ip4)) };
        Some(Address::v4(word_be, port_be(raw), protocol))
    }

    #[inline(always)]
    fn rewrite(&self, address: &Address) {
        let raw = self.0.sock_addr;
        // An endpoint of the other family cannot be reached by this socket; there is none.
        // SAFETY: the kernel gives a valid context, and the write is of one whole field.
        unsafe { write_volatile(addr_of_mut!((*raw).user_ip4), address.words_be[0]) };
        set_port(raw, address);
    }
}

impl Call for Inet6 {
    #[inline(always)]
    fn context(&self) -> &SockAddrContext {
        &self.0
    }

    #[inline(always)]
    fn address(&self) -> Option<Address> {
        let raw = self.0.sock_addr;
        let protocol = protocol(raw)?;
        // SAFETY: the kernel gives a valid context, and each read is of one whole word.
        let words_be = unsafe {
            [
                read_volatile(addr_of!((*raw).user_ip6[0])),
                read_volatile(addr_of!((*raw).user_ip6[1])),
                read_volatile(addr_of!((*raw).user_ip6[2])),
                read_volatile(addr_of!((*raw).user_ip6[3])),
            ]
        };
        Some(Address::v6(words_be, port_be(raw), protocol))
    }

    #[inline(always)]
    fn rewrite(&self, address: &Address) {
        let raw = self.0.sock_addr;
        let [a, b, c, d] = address.v6_words_be();
        // SAFETY: the kernel gives a valid context, and each write is of one whole word.
        unsafe {
            write_volatile(addr_of_mut!((*raw).user_ip6[0]), a);
            write_volatile(addr_of_mut!((*raw).user_ip6[1]), b);
            write_volatile(addr_of_mut!((*raw).user_ip6[2]), c);
            write_volatile(addr_of_mut!((*raw).user_ip6[3]), d);
        }
        set_port(raw, address);
    }
}

/// Makes the call fail with "connection refused".
#[inline(always)]
pub(crate) fn refuse() {
    // SAFETY: the helper takes any error number; should it fail, the call fails with EPERM.
    unsafe { bpf_set_retval(CONNECTION_REFUSED) };
}

/// The transport of the call; `None` for one that is not translated.
#[inline(always)]
fn protocol(raw: *mut bpf_sock_addr) -> Option<u8> {
    // SAFETY: the kernel gives a valid context, and the read is of one whole field.
    match unsafe { read_volatile(addr_of!((*raw).protocol)) } {
        6 => Some(TCP),
        17 => Some(UDP),
        _ => None,
    }
}

/// The port of the call, in network order.
#[inline(always)]
fn port_be(raw: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the kernel gives a valid context, and the read is of one whole field.
    unsafe { read_volatile(addr_of!((*raw).user_port)) as u16 }
}

#[inline(always)]
fn set_port(raw: *mut bpf_sock_addr, address: &Address) {
    // SAFETY: the kernel gives a valid context, and the write is of one whole field.
    unsafe { write_volatile(addr_of_mut!((*raw).user_port), u32::from(address.port_be)) };
}
