//! Many datagrams for one call of the kernel: recvmmsg(2) and sendmmsg(2).
//!
//! The only module here with unsafe code. The wrappers of nix were tried first: their headers keep
//! raw pointers, so that no task may hold them, they give all datagrams of a batch the same control
//! message, and they do not reset lengths between calls; rustix has no recvmmsg. Here the headers
//! live on the stack for one call, as many as are needed, and what goes in and out is plain data.
#![allow(unsafe_code, reason = "two system calls without a fitting safe wrapper")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "what is counted here is the size of a structure of the kernel or a batch"
)]

use std::ffi::c_void;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{from_ref, null_mut};

use arrayvec::ArrayVec;
use nix::libc::{
    self, c_int, c_uint, cmsghdr, in_addr, in_pktinfo, in6_addr, in6_pktinfo, iovec, mmsghdr,
    msghdr, sockaddr_in, sockaddr_in6, sockaddr_storage,
};

/// Most datagrams of one call.
///
/// 32: the call costs a fraction of a datagram's own way through the kernel by then.
pub(crate) const BATCH: usize = 32;

/// Octets of an address, as the kernel counts them.
const NAME_OCTETS: libc::socklen_t = size_of::<sockaddr_storage>() as libc::socklen_t;

/// Octets of one control message of the larger kind.
// SAFETY: the macro computes with sizes only.
const CONTROL_OCTETS: usize = unsafe { libc::CMSG_SPACE(octets_of::<in6_pktinfo>()) } as usize;

const fn octets_of<T>() -> c_uint {
    size_of::<T>() as c_uint
}

/// Room for one control message.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    /// Gives the alignment that headers of control messages need.
    _aligned: [cmsghdr; 0],
    octets: [u8; CONTROL_OCTETS],
}

impl Control {
    const EMPTY: Self = Self { _aligned: [], octets: [0; CONTROL_OCTETS] };
}

/// Both ends of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// The client.
    pub(crate) client: SocketAddr,
    /// The address it asked, on a socket that has several.
    pub(crate) asked: Option<Asked>,
}

/// The address that a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address and the number of the interface, 0 for any.
    V6(Ipv6Addr, c_uint),
}

/// Room for a datagram that comes in, and for what the kernel tells of it.
pub(crate) struct Slot {
    buffer: Box<[u8]>,
    octets: usize,
    path: Option<Path>,
    name: sockaddr_storage,
    control: Control,
}

impl Slot {
    /// Makes room for so many octets; of longer datagrams the rest is cut off.
    pub(crate) fn new(octets: usize) -> Self {
        // SAFETY: all zeros are valid for it, and an address of no family.
        let name = unsafe { zeroed() };
        let buffer = vec![0; octets].into();
        Self { buffer, octets: 0, path: None, name, control: Control::EMPTY }
    }

    /// The datagram that came last, and whence, if the kernel gave an address that is one.
    pub(crate) fn datagram(&self) -> Option<(&[u8], Path)> {
        Some((&self.buffer[..self.octets], self.path?))
    }
}

/// A datagram that goes out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'d> {
    /// Its octets.
    pub(crate) octets: &'d [u8],
    /// Its path, as that of the query.
    pub(crate) path: Path,
}

/// Whether the socket tells the addresses that clients asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// It has one only.
    One,
    /// It does; its option is set.
    Told,
}

/// Takes up to [`BATCH`] waiting datagrams into the first of `slots`; says how many.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`]: none is waiting.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    slots: &mut [Slot],
    addresses: Addresses,
) -> io::Result<usize> {
    let count = slots.len().min(BATCH);
    let slots = &mut slots[..count];
    let mut buffers = ArrayVec::<iovec, BATCH>::new();
    let mut headers = ArrayVec::<mmsghdr, BATCH>::new();
    for slot in &mut *slots {
        buffers
            .push(iovec { iov_base: slot.buffer.as_mut_ptr().cast(), iov_len: slot.buffer.len() });
    }
    for (slot, buffer) in slots.iter_mut().zip(&mut buffers) {
        let name = ((&raw mut slot.name).cast(), NAME_OCTETS);
        let control = match addresses {
            Addresses::One => (null_mut(), 0),
            Addresses::Told => (slot.control.octets.as_mut_ptr().cast(), CONTROL_OCTETS),
        };
        headers.push(header(name, buffer, control));
    }
    // SAFETY: the `count` headers point to buffers, names and controls of the lengths given, which
    // live and are not otherwise used until the call is over; there is no time-out.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as c_uint,
            libc::MSG_DONTWAIT as _,
            null_mut(),
        )
    };
    let received = counted(received)?;
    for (slot, header) in slots.iter_mut().zip(&headers).take(received) {
        slot.octets = (header.msg_len as usize).min(slot.buffer.len());
        let asked = match addresses {
            Addresses::One => None,
            Addresses::Told => asked(&header.msg_hdr),
        };
        slot.path = socket_address(&slot.name, header.msg_hdr.msg_namelen)
            .map(|client| Path { client, asked });
    }
    Ok(received)
}

/// Sends up to [`BATCH`] of `datagrams`; says how many of them, from the first on, have left.
///
/// # Errors
/// The first one cannot be sent; [`io::ErrorKind::WouldBlock`]: not now.
pub(crate) fn send(socket: BorrowedFd<'_>, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    let datagrams = &datagrams[..datagrams.len().min(BATCH)];
    let mut parts = ArrayVec::<(iovec, Name, Control), BATCH>::new();
    let mut headers = ArrayVec::<mmsghdr, BATCH>::new();
    for Datagram { octets, path } in datagrams {
        let buffer = iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
        parts.push((buffer, Name::from(path.client), Control::EMPTY));
    }
    for (Datagram { path, .. }, (buffer, name, control)) in datagrams.iter().zip(&mut parts) {
        let mut header = header(name.parts(), buffer, (null_mut(), 0));
        if let Some(asked) = path.asked {
            header.msg_hdr.msg_control = control.octets.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_OCTETS as _;
            write_control(&mut header.msg_hdr, asked);
        }
        headers.push(header);
    }
    // SAFETY: the headers point to octets, names and controls of the lengths given, which live until
    // the call is over; the kernel writes to the headers only.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    counted(sent)
}

/// A header of one datagram.
fn header(
    (name, name_octets): (*mut c_void, libc::socklen_t),
    buffer: &mut iovec,
    (control, control_octets): (*mut c_void, usize),
) -> mmsghdr {
    // SAFETY: all zeros are valid for numbers and pointers, and mean "nothing"; some systems have
    // padding in it, so that it cannot be written out.
    let mut header: mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = name;
    header.msg_hdr.msg_namelen = name_octets;
    header.msg_hdr.msg_iov = buffer;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = control;
    header.msg_hdr.msg_controllen = control_octets as _;
    header
}

/// An address as the kernel takes it.
enum Name {
    V4(sockaddr_in),
    V6(sockaddr_in6),
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: address.port().to_be(),
                sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }
}

impl Name {
    /// Where it is, and its length.
    fn parts(&mut self) -> (*mut c_void, libc::socklen_t) {
        match self {
            Self::V4(name) => {
                ((&raw mut *name).cast(), size_of::<sockaddr_in>() as libc::socklen_t)
            }
            Self::V6(name) => {
                ((&raw mut *name).cast(), size_of::<sockaddr_in6>() as libc::socklen_t)
            }
        }
    }
}

/// What a call says of its success.
fn counted(count: c_int) -> io::Result<usize> {
    usize::try_from(count).map_err(|_negative| io::Error::last_os_error())
}

/// The address that the kernel wrote.
fn socket_address(name: &sockaddr_storage, octets: libc::socklen_t) -> Option<SocketAddr> {
    let (family, octets) = (c_int::from(name.ss_family), octets as usize);
    if family == libc::AF_INET && octets >= size_of::<sockaddr_in>() {
        // SAFETY: the storage has room and alignment for every kind of address, and the kernel wrote
        // one of this kind.
        let name = unsafe { &*from_ref(name).cast::<sockaddr_in>() };
        let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
        return Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into());
    }
    if family == libc::AF_INET6 && octets >= size_of::<sockaddr_in6>() {
        // SAFETY: as above.
        let name = unsafe { &*from_ref(name).cast::<sockaddr_in6>() };
        let (ip, port) = (Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port));
        return Some(SocketAddrV6::new(ip, port, name.sin6_flowinfo, name.sin6_scope_id).into());
    }
    None
}

/// The address asked, in the form that a reply needs.
fn asked(header: &msghdr) -> Option<Asked> {
    // SAFETY: the kernel set the length of what it wrote into the control buffer, which is aligned.
    let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    // SAFETY: a control message has its data behind its header.
    let data = unsafe { libc::CMSG_DATA(control) };
    match (control.cmsg_level, control.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: data of this type is such a structure; its alignment is not relied on.
            let info = unsafe { data.cast::<in_pktinfo>().read_unaligned() };
            Some(Asked::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: as above.
            let info = unsafe { data.cast::<in6_pktinfo>().read_unaligned() };
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            // A link-local address means nothing without its interface; any other leaves it to the
            // routes.
            let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
            Some(Asked::V6(address, interface as c_uint))
        }
        _ => None,
    }
}

/// Writes the source address of a reply into the control buffer of `header`, and its length.
fn write_control(header: &mut msghdr, asked: Asked) {
    match asked {
        Asked::V4(address) => {
            let spec = in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
            // The interface is left to the routes; only the source is given.
            let info =
                in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec, ipi_addr: in_addr { s_addr: 0 } };
            write_message(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Asked::V6(address, interface) => {
            let info = in6_pktinfo {
                ipi6_addr: in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: interface as _,
            };
            write_message(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
}

/// Writes one control message with the data `info`, which is no larger than `in6_pktinfo`.
fn write_message<T: Copy>(header: &mut msghdr, level: c_int, kind: c_int, info: T) {
    const { assert!(size_of::<T>() <= size_of::<in6_pktinfo>(), "the buffer has no room") };
    // SAFETY: the macros compute with sizes only.
    let (space, length) =
        unsafe { (libc::CMSG_SPACE(octets_of::<T>()), libc::CMSG_LEN(octets_of::<T>())) };
    header.msg_controllen = space as _;
    // SAFETY: the control buffer of `header` is aligned and has `CONTROL_OCTETS`, so that its first
    // message with data of this size lies within, and nobody else refers to it.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = length as _;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(info);
    }
}
