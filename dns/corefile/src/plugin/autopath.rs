//! `autopath`: the search path of clients walked by the server.

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope};
use crate::value::Zone;

/// `autopath`: the first name of a client's search path is answered with what the rest of the path
/// finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autopath {
    /// For names in these zones.
    pub zones: Vec<Zone>,
    /// Where the search path comes from.
    pub search_path: SearchPath,
}

/// Where the search path of a client comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchPath {
    /// From the namespace of the pod that asks (`@kubernetes`).
    Kubernetes,
    /// From the `search` line of a file.
    ResolvConf(String),
}

impl Directive for Autopath {
    const FORM: &'static str = "autopath [ZONE...] RESOLV_CONF|@kubernetes";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let (last, zones) = line.need_rest("search path").split_last()?;
        let mut zones = line.zones(zones);
        if zones.is_empty() {
            zones = scope.zones.to_vec();
        }
        let search_path = match last.text.as_str() {
            "@kubernetes" => SearchPath::Kubernetes,
            other if other.starts_with('@') => {
                line.fault(last, format!("no plugin {other:?} knows search paths"), "@kubernetes");
                return None;
            }
            file => SearchPath::ResolvConf(file.to_owned()),
        };
        line.end();
        Some(Self { zones, search_path })
    }

    fn effects(&self, say: &mut Effects) {
        let path = match &self.search_path {
            SearchPath::Kubernetes => "the search path of the pod that asks",
            SearchPath::ResolvConf(file) => &format!("the search path in {file}"),
        };
        say.line(format!(
            "the first name in {} of {path} is answered for all",
            joined(&self.zones)
        ));
    }
}
