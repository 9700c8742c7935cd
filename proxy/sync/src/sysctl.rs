//! Kernel settings that traffic needs and that are the administrator's to set: looked at, never
//! touched.

use std::fmt;
use std::io;
use std::path::Path;

use podway_proxy_plan::plan::Family;
use tracing::{debug, warn};

use crate::per_family::label;

/// Where the kernel tells its settings.
const PROC_SYS: &str = "/proc/sys";

/// Forwarding of each family: without it no packet reaches a pod, nor another node.
const FORWARDING: [(Family, &str); 2] =
    [(Family::Ip, "net.ipv4.ip_forward"), (Family::Ip6, "net.ipv6.conf.all.forwarding")];

/// A setting that is not what traffic needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Advice {
    family: Family,
    setting: &'static str,
    found: String,
}

impl fmt::Display for Advice {
    /// Writes the command that mends it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sysctl -w {}=1", self.setting)
    }
}

/// Logs which settings keep traffic from flowing, with the commands that mend them.
pub(crate) fn report() {
    for advice in forwarding(|setting| {
        std::fs::read_to_string(Path::new(PROC_SYS).join(setting.replace('.', "/")))
    }) {
        warn!(
            family = label(advice.family),
            setting = advice.setting,
            found = advice.found,
            mend = %advice,
            "this node does not forward packets, so Services are reachable from the node only"
        );
    }
}

/// The settings of forwarding that are off; `read` gives the text of a setting.
fn forwarding(read: impl Fn(&str) -> io::Result<String>) -> Vec<Advice> {
    FORWARDING
        .into_iter()
        .filter_map(|(family, setting)| match read(setting) {
            // 2 means "forward, and take router advertisements" in per-interface settings.
            Ok(found) if matches!(found.trim(), "1" | "2") => None,
            Ok(found) => Some(Advice { family, setting, found: found.trim().to_owned() }),
            Err(error) => {
                debug!(setting, %error, "setting is not there; the kernel may lack the family");
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_that_is_off_is_told_with_the_command_that_mends_it() {
        let found = forwarding(|setting| {
            Ok(if setting == "net.ipv4.ip_forward" { "0\n" } else { "1\n" }.to_owned())
        });
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["sysctl -w net.ipv4.ip_forward=1"]
        );
    }

    #[test]
    fn absent_setting_is_not_complained_about() {
        assert_eq!(forwarding(|_| Err(io::ErrorKind::NotFound.into())), []);
    }
}
