//! `file`: zones in master files (RFC 1035, section 5).

use std::time::Duration;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope};
use crate::value::{Reach, Zone, duration, shown};

/// `file`: zones answered from one master file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFile {
    /// The file.
    pub file: String,
    /// The zones that it is read for.
    pub zones: Vec<Zone>,
    /// How often it is looked at for changes; zero for never.
    pub reload: Duration,
    /// What counts as a change.
    pub change: ZoneFileChange,
    /// For which names without records the next plugin is asked.
    pub fallthrough: Reach,
}

/// What says that a zone file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZoneFileChange {
    /// The serial of its SOA record.
    #[default]
    Serial,
    /// The time of its last modification.
    ModificationTime,
}

/// Options of `file`.
const OPTIONS: &[&str] = &["reload DURATION", "reload_by_mtime", "fallthrough [ZONE...]"];

impl Directive for ZoneFile {
    const FORM: &'static str = "file DBFILE [ZONE...]";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let file = line.need("zone file");
        let mut zone_file = Self {
            file: file?.text.clone(),
            zones: scope.zones_or_own(&mut line),
            // The default of CoreDNS.
            reload: Duration::from_secs(60),
            change: ZoneFileChange::default(),
            fallthrough: Reach::default(),
        };
        for option in line.options(OPTIONS) {
            let name = option.name();
            match name.text.as_str() {
                "reload" => option.set(&mut zone_file.reload, "duration", duration),
                "reload_by_mtime" => {
                    option.switch(&mut zone_file.change, ZoneFileChange::ModificationTime);
                }
                "fallthrough" => option.set_reach(&mut zone_file.fallthrough),
                "upstream" => option.warn(name, "has no effect any more"),
                _ => option.unknown(OPTIONS),
            }
        }
        line.end();
        Some(zone_file)
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("{} is answered from {}", joined(&self.zones), self.file));
        let change = match self.change {
            ZoneFileChange::Serial => "its serial grows",
            ZoneFileChange::ModificationTime => "it is modified",
        };
        if self.reload.is_zero() {
            say.line("the file is never read again");
        } else {
            let interval = shown(self.reload);
            say.line(format!("the file is read again when {change}, looked at each {interval}"));
        }
        if self.fallthrough != Reach::Nowhere {
            say.line(format!("names without records fall through {}", self.fallthrough));
        }
    }
}
