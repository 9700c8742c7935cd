//! What the kernel's settings should be.

use podway_proxy_sync::sysctl::{Choices, Permission};

use super::{FlagErrors, parse};
use crate::args::KernelArgs;

pub(super) fn kernel(args: &KernelArgs, errors: &mut FlagErrors) -> Option<Choices> {
    let set = errors.keep(parse::switch("--set-sysctls", &args.set_sysctls));
    let max_per_core =
        errors.keep(parse::number("--conntrack-max-per-core", &args.conntrack_max_per_core));
    let min = errors.keep(parse::number("--conntrack-min", &args.conntrack_min));
    let liberal =
        errors.keep(parse::switch("--conntrack-tcp-be-liberal", &args.conntrack_tcp_be_liberal));
    let mut time = |flag, text: &str| errors.keep(parse::time(flag, text));
    let tcp_established =
        time("--conntrack-tcp-timeout-established", &args.conntrack_tcp_timeout_established);
    let tcp_close_wait =
        time("--conntrack-tcp-timeout-close-wait", &args.conntrack_tcp_timeout_close_wait);
    let udp = time("--conntrack-udp-timeout", &args.conntrack_udp_timeout);
    let udp_stream = time("--conntrack-udp-timeout-stream", &args.conntrack_udp_timeout_stream);
    Some(Choices {
        permission: if set? { Permission::Set } else { Permission::Report },
        max_per_core: max_per_core?,
        min: min?,
        tcp_be_liberal: liberal?,
        tcp_established: tcp_established?,
        tcp_close_wait: tcp_close_wait?,
        udp: udp?,
        udp_stream: udp_stream?,
    })
}
