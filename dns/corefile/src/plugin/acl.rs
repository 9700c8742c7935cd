//! `acl`: who may ask what.

use std::fmt;

use hickory_proto::rr::RecordType;
use ipnet::IpNet;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope};
use crate::syntax::Word;
use crate::value::{Zone, network, record_type};

/// `acl`: rules for the clients of some zones; the first that fits holds, and none allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// For names in these zones.
    pub zones: Vec<Zone>,
    /// The rules in their order; never empty.
    pub rules: Vec<AclRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRule {
    /// What happens to queries that fit.
    pub action: AclAction,
    /// Types that fit; `None` is every type.
    pub types: Option<Vec<RecordType>>,
    /// Clients that fit; `None` is every client.
    pub networks: Option<Vec<IpNet>>,
}

/// What happens to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclAction {
    /// It is answered.
    Allow,
    /// REFUSED.
    Block,
    /// NOERROR without records.
    Filter,
    /// Silence.
    Drop,
}

impl fmt::Display for AclAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "answered",
            Self::Block => "refused",
            Self::Filter => "answered as if there were no data",
            Self::Drop => "dropped",
        })
    }
}

/// Options of `acl`.
const OPTIONS: &[&str] = &[
    "allow [type QTYPE...] [net SOURCE...]",
    "block [type QTYPE...] [net SOURCE...]",
    "filter [type QTYPE...] [net SOURCE...]",
    "drop [type QTYPE...] [net SOURCE...]",
];

impl Directive for Acl {
    const FORM: &'static str = "acl [ZONE...] { allow|block|filter|drop [type ...] [net ...] }";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let zones = scope.zones_or_own(&mut line);
        let mut rules = Vec::new();
        let options = line.options(OPTIONS);
        if options.is_empty() {
            line.fault(line.name(), "has no rule", Self::FORM);
        }
        for option in options {
            let action = match option.name().text.as_str() {
                "allow" => AclAction::Allow,
                "block" => AclAction::Block,
                "filter" => AclAction::Filter,
                "drop" => AclAction::Drop,
                _ => {
                    option.unknown(OPTIONS);
                    continue;
                }
            };
            rules.push(rule(action, option));
        }
        line.end();
        (!rules.is_empty()).then_some(Self { zones, rules })
    }

    fn effects(&self, say: &mut Effects) {
        let zones = joined(&self.zones);
        for AclRule { action, types, networks } in &self.rules {
            let types = types.as_ref().map_or("any type".to_owned(), joined);
            let clients = networks.as_ref().map_or("anyone".to_owned(), joined);
            say.line(format!("queries in {zones} for {types} from {clients} are {action}"));
        }
    }
}

/// Reads the conditions of a rule.
fn rule(action: AclAction, mut line: Line<'_>) -> AclRule {
    let mut rule = AclRule { action, types: None, networks: None };
    while let Some(word) = line.take() {
        let words = section(&mut line);
        let known = word.text == "type" || word.text == "net";
        if known && words.is_empty() {
            line.fault(word, format!("nothing follows {:?}", word.text), "");
        }
        let any = words.iter().any(|word| word.text == "*");
        match word.text.as_str() {
            "type" if any => rule.types = None,
            "type" => {
                let types = words.iter().filter_map(|word| line.check("type", word, record_type));
                rule.types.get_or_insert_default().extend(types);
            }
            "net" if any => rule.networks = None,
            "net" => {
                let nets = words.iter().filter_map(|word| line.check("network", word, network));
                rule.networks.get_or_insert_default().extend(nets);
            }
            _ => line.fault(word, format!("{:?} is no condition", word.text), "type, net"),
        }
    }
    line.end();
    rule
}

/// Takes the words up to the next condition.
fn section<'a>(line: &mut Line<'a>) -> Vec<&'a Word> {
    let mut words = Vec::new();
    while let Some(word) = line.peek().filter(|word| word.text != "type" && word.text != "net") {
        line.take();
        words.push(word);
    }
    words
}
