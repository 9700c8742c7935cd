//! Ways to the API server that are cut in silence, as a firewall or a dead machine cuts them, or so
//! narrow that little comes through.

use anyhow::Result;
use podway_tests_lab::{Family, Place};
use podway_tests_netns::Cluster;

/// Table of the rules that cut.
const TABLE: &str = "cut";

/// The way from a node to the API server while it is cut or narrow; packets vanish.
#[derive(Debug)]
pub struct Blocked<'a> {
    cluster: &'a Cluster,
}

impl<'a> Blocked<'a> {
    /// Cuts the way from node `number`, in the control plane's own namespace.
    ///
    /// # Errors
    /// When the rules cannot be loaded.
    pub fn cut(cluster: &'a Cluster, number: u8) -> Result<Self> {
        let (v4, v6) = (cluster.node_ip(number, Family::V4), cluster.node_ip(number, Family::V6));
        let rules = format!(
            "add table inet {TABLE}\n\
             add chain inet {TABLE} in {{ type filter hook input priority 0; }}\n\
             add chain inet {TABLE} out {{ type filter hook output priority 0; }}\n\
             add rule inet {TABLE} in ip saddr {v4} drop\n\
             add rule inet {TABLE} in ip6 saddr {v6} drop\n\
             add rule inet {TABLE} out ip daddr {v4} drop\n\
             add rule inet {TABLE} out ip6 daddr {v6} drop\n"
        );
        cluster.exec(&Place::ControlPlane, &["nft", &rules])?.checked()?;
        Ok(Self { cluster })
    }

    /// Lets node `number` have `kilobytes` of 1,024 octets a second and drops what is more, which
    /// the sender finds out by itself.
    ///
    /// # Errors
    /// When the rules cannot be loaded.
    pub fn narrowed(cluster: &'a Cluster, number: u8, kilobytes: u32) -> Result<Self> {
        let (v4, v6) = (cluster.node_ip(number, Family::V4), cluster.node_ip(number, Family::V6));
        let over = format!("limit rate over {kilobytes} kbytes/second burst 16 kbytes drop");
        let rules = format!(
            "add table inet {TABLE}\n\
             add chain inet {TABLE} out {{ type filter hook output priority 0; }}\n\
             add rule inet {TABLE} out ip daddr {v4} {over}\n\
             add rule inet {TABLE} out ip6 daddr {v6} {over}\n"
        );
        cluster.exec(&Place::ControlPlane, &["nft", &rules])?.checked()?;
        Ok(Self { cluster })
    }

    /// Opens the way again.
    ///
    /// # Errors
    /// When the rules cannot be removed.
    pub fn open(self) -> Result<()> {
        let command = ["nft", "delete", "table", "inet", TABLE];
        self.cluster.exec(&Place::ControlPlane, &command)?.checked().map(drop)
    }
}
