//! The table as nft writes it.

use std::fmt;

use podway_proxy_plan::plan::Family;

use crate::names::{SetName, TABLE};
use crate::ruleset::{
    Condition, Hook, HookKind, HookPoint, Key, Part, Rule, Set, SetKind, Statement, Table, loopback,
};

/// Writes the spelling of `family`.
struct Spelled<T>(Family, T);

impl fmt::Display for Spelled<Part> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.0.name();
        match self.1 {
            Part::Source => write!(formatter, "{family} saddr"),
            Part::Destination => write!(formatter, "{family} daddr"),
            Part::Protocol => formatter.write_str("meta l4proto"),
            Part::SourcePort => formatter.write_str("th sport"),
            Part::DestinationPort => formatter.write_str("th dport"),
            Part::Random(modulus) => write!(formatter, "numgen random mod {modulus}"),
            Part::SourceHash { modulus, seed } => {
                write!(formatter, "jhash {family} saddr mod {modulus} seed 0x{seed:x}")
            }
            Part::ConnectionMark => formatter.write_str("ct mark"),
        }
    }
}

impl fmt::Display for Spelled<&[Part]> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { " . " };
            write!(formatter, "{separator}{}", Spelled(self.0, *part))?;
        }
        Ok(())
    }
}

impl fmt::Display for Spelled<Key> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Spelled(self.0, self.1.parts().as_slice()).fmt(formatter)
    }
}

impl fmt::Display for Spelled<&Condition> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.1 {
            Condition::NewConnection => formatter.write_str("ct state new"),
            Condition::Tcp => formatter.write_str("meta l4proto tcp"),
            Condition::To(protocol, port) => {
                write!(formatter, "meta l4proto {protocol} th dport {port}")
            }
            Condition::From(protocol, port) => {
                write!(formatter, "meta l4proto {protocol} th sport {port}")
            }
            Condition::FromLoopback => {
                let loopback = loopback(self.0);
                write!(formatter, "{} saddr {loopback}", self.0.name())
            }
            Condition::MidStream => formatter.write_str("tcp flags ! syn"),
            Condition::Translated => formatter.write_str("ct status dnat"),
            Condition::Original => formatter.write_str("ct direction original"),
            Condition::Acknowledging => formatter.write_str("tcp flags ack"),
            Condition::SourceTranslated => formatter.write_str("ct status snat"),
            Condition::Udp => formatter.write_str("meta l4proto udp"),
            Condition::ToThisNode => formatter.write_str("fib daddr type local"),
            Condition::Marked(bit) => {
                write!(formatter, "meta mark & 0x{bit:08x} != 0x00000000")
            }
            Condition::ConnectionMarked => formatter.write_str("ct mark != 0x00000000"),
            Condition::FromInterface(name) => write!(formatter, "iifname \"{name}\""),
            Condition::NotFromInterface(name) => write!(formatter, "iifname != \"{name}\""),
            Condition::FromThisNode => formatter.write_str("fib saddr type local"),
            Condition::In(key, set) => write!(formatter, "{} @{set}", Spelled(self.0, key)),
            Condition::NotIn(key, set) => write!(formatter, "{} != @{set}", Spelled(self.0, key)),
        }
    }
}

impl fmt::Display for Spelled<&Statement> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.1 {
            Statement::Jump(chain) => write!(formatter, "jump {chain}"),
            Statement::Goto(chain) => write!(formatter, "goto {chain}"),
            Statement::Return => formatter.write_str("return"),
            Statement::Drop => formatter.write_str("drop"),
            Statement::Reject => formatter.write_str("reject"),
            Statement::Reset => formatter.write_str("reject with tcp reset"),
            Statement::Mark(bit) => write!(formatter, "meta mark set meta mark | 0x{bit:08x}"),
            Statement::Unmark(bit) => write!(formatter, "meta mark set meta mark & 0x{:08x}", !bit),
            Statement::Translate(key, map) => {
                write!(formatter, "dnat {} to {} map @{map}", self.0.name(), Spelled(self.0, key))
            }
            Statement::MarkConnection(map) => {
                write!(formatter, "ct mark set {} map @{map}", Spelled(self.0, Key::Frontend))
            }
            Statement::UnmarkConnection => formatter.write_str("ct mark set 0x00000000"),
            Statement::Learn { timeout_s } => write!(
                formatter,
                "update @{} {{ {} timeout {timeout_s}s : {} }}",
                SetName::Affinity,
                Spelled(self.0, Key::Client),
                Spelled(self.0, SetKind::Learned { size: 0 }.data())
            ),
            Statement::Remember { set, timeout_s } => {
                let source = Spelled(self.0, Key::Source);
                write!(formatter, "update @{set} {{ {source} timeout {timeout_s}s }}")
            }
            Statement::Masquerade => formatter.write_str("masquerade fully-random"),
            Statement::NoTrack => formatter.write_str("notrack"),
        }
    }
}

impl fmt::Display for Spelled<&Rule> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = self.1.conditions.iter().map(|part| Spelled(self.0, part).to_string());
        let statements = self.1.statements.iter().map(|part| Spelled(self.0, part).to_string());
        formatter.write_str(&conditions.chain(statements).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HookKind::Filter => "filter",
            HookKind::Nat => "nat",
        };
        let point = match self.point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Input => "input",
            HookPoint::Forward => "forward",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        write!(formatter, "type {kind} hook {point} priority {}; policy accept;", self.priority)
    }
}

impl Set {
    /// Writes the declaration with `elements` (already spelled) in it.
    pub(crate) fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        family: Family,
        elements: &[String],
    ) -> fmt::Result {
        let data = self.kind.data();
        let word = if data.is_empty() { "set" } else { "map" };
        writeln!(formatter, "\t{word} {} {{", self.name)?;
        write!(formatter, "\t\ttypeof {}", Spelled(family, self.key))?;
        if !data.is_empty() {
            write!(formatter, " : {}", Spelled(family, data))?;
        }
        writeln!(formatter)?;
        match self.kind {
            SetKind::Members | SetKind::Endpoints | SetKind::Marks => {}
            SetKind::Counted => writeln!(formatter, "\t\tcounter")?,
            SetKind::Expiring => writeln!(formatter, "\t\tflags timeout")?,
            SetKind::Ranges | SetKind::ConcatenatedRanges => {
                writeln!(formatter, "\t\tflags interval")?;
            }
            SetKind::Learned { size } | SetKind::Seen { size } => {
                writeln!(formatter, "\t\tsize {size}\n\t\tflags dynamic,timeout")?;
            }
        }
        if !elements.is_empty() {
            writeln!(formatter, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "))?;
        }
        writeln!(formatter, "\t}}\n")
    }
}

impl Table {
    /// Writes the table; `elements` gives the spelled elements of each set.
    pub(crate) fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        elements: impl Fn(SetName) -> Vec<String>,
    ) -> fmt::Result {
        writeln!(formatter, "table {} {TABLE} {{", self.family.name())?;
        for set in &self.sets {
            set.write(formatter, self.family, &elements(set.name))?;
        }
        for (index, chain) in self.chains.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            writeln!(formatter, "{separator}\tchain {} {{", chain.name)?;
            if let Some(hook) = chain.hook {
                writeln!(formatter, "\t\t{hook}")?;
            }
            for rule in &chain.rules {
                writeln!(formatter, "\t\t{}", Spelled(self.family, rule))?;
            }
            writeln!(formatter, "\t}}")?;
        }
        writeln!(formatter, "}}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, |_| Vec::new())
    }
}
