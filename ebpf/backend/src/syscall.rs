//! Calls of bpf(2) and of sockets that the libraries in use do not have.
//!
//! The structures are the kernel's (`include/uapi/linux/bpf.h`), as far as the calls read them.
#![allow(unsafe_code, reason = "system calls take pointers; each is to a local for the call only")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `BPF_OBJ_GET`.
const OBJECT_GET: libc::c_long = 7;

/// `BPF_OBJ_GET_INFO_BY_FD`.
const OBJECT_INFO: libc::c_long = 15;

/// `BPF_LINK_UPDATE`.
const LINK_UPDATE: libc::c_long = 29;

/// What `BPF_OBJ_GET` takes.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ObjectGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// What `BPF_LINK_UPDATE` takes.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct LinkUpdate {
    link: u32,
    new_program: u32,
    flags: u32,
    old_program: u32,
}

/// What `BPF_OBJ_GET_INFO_BY_FD` takes.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ObjectInfo {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info` for a link to a cgroup.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    cgroup: u64,
    attach_type: u32,
    end: u32,
}

/// Opens the link that is pinned at `path`.
pub(crate) fn pinned_link(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectGet { path: path.as_ptr() as u64, descriptor: 0, flags: 0 };
    let descriptor = bpf(OBJECT_GET, attributes)?;
    // SAFETY: the kernel just gave this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).map_err(io::Error::other)?) })
}

/// Has `link` run `program` from now on; no call goes without a program.
pub(crate) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    bpf(
        LINK_UPDATE,
        LinkUpdate { link: number(link)?, new_program: number(program)?, flags: 0, old_program: 0 },
    )
    .map(drop)
}

/// The cgroup that `link` is attached to; 0 when that is gone.
pub(crate) fn cgroup_of_link(link: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = LinkInfo::default();
    let attributes = ObjectInfo {
        descriptor: number(link)?,
        length: u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info) as u64,
    };
    bpf(OBJECT_INFO, attributes)?;
    Ok(info.cgroup)
}

/// Cookie of the network namespace that the calling thread is in.
pub(crate) fn netns_cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: both pointers are to locals of the sizes that the call is told.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Nanoseconds since the machine was started, as programs count them.
pub(crate) fn since_boot_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}

/// The memory of an array map that allows it, shared with programs.
pub(crate) fn map_memory(map: BorrowedFd<'_>, bytes: usize) -> io::Result<*mut u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing of ours.
    let memory =
        unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, map, 0) }?;
    Ok(memory.cast())
}

/// Gives memory back that [`map_memory`] gave.
pub(crate) fn unmap_memory(memory: *mut u8, bytes: usize) {
    // SAFETY: the caller owns the mapping and does not use it any more.
    if let Err(error) = unsafe { rustix::mm::munmap(memory.cast(), bytes) } {
        tracing::debug!(%error, "memory of a map stays mapped");
    }
}

/// Opens a folder as a cgroup to attach to.
pub(crate) fn folder(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn bpf<T: bytemuck::Pod>(command: libc::c_long, attributes: T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads as many bytes as it is told, and those are initialized.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn number(descriptor: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(descriptor.as_fd().as_raw_fd()).map_err(io::Error::other)
}
