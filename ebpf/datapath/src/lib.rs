//! What the eBPF programs decide, generic over their tables, so that it is tested on the host.
//!
//! A socket is translated when it is connected, or with each datagram when it is not; afterwards
//! nothing on the way of its packets knows a Service. Whatever is missing, torn or unexpected leaves
//! the socket as it is: the packet then meets nftables, which carries every Service.
//!
//! | module | owns |
//! |---|---|
//! | [`choose`] | which endpoint a frontend gives |
//! | [`translate`] | what the hooks do with a socket: connect, send, receive, name its peer |
//! | [`tell`] | what is told of single decisions, while somebody listens |
//! | [`tables`] | what both need of the kernel |
//!
//! Everything is inlined into the programs and free of panics, as the verifier wants it.
#![no_std]
#![forbid(unsafe_code)]

pub mod choose;
pub mod tables;
pub mod tell;
pub mod translate;
