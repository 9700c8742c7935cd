//! Answers to special questions: `local`, `any`, `chaos`, `whoami`; and `loop`.

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, one_of};

/// `local`: names of this machine are answered here and never go further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Whether `localhost.` before any domain is this machine too.
    pub names: LocalhostNames,
}

/// Which names mean this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalhostNames {
    /// `localhost` and what is below it, and `localhost.` before any other domain.
    #[default]
    WithPrefix,
    /// `localhost` and what is below it (RFC 6761, section 6.3).
    ZoneOnly,
}

/// Options of `local`.
const LOCAL_OPTIONS: &[&str] = &["localhost_prefix on|off"];

impl Directive for Local {
    const FORM: &'static str = "local";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut names = LocalhostNames::default();
        for option in line.options(LOCAL_OPTIONS) {
            match option.name().text.as_str() {
                "localhost_prefix" => {
                    let choices =
                        &[("on", LocalhostNames::WithPrefix), ("off", LocalhostNames::ZoneOnly)];
                    option.set(&mut names, "value", one_of(choices));
                }
                _ => option.unknown(LOCAL_OPTIONS),
            }
        }
        line.end();
        Some(Self { names })
    }

    fn effects(&self, say: &mut Effects) {
        say.line("localhost, 0/8, 127/8 and 255/8 are answered here");
        if self.names == LocalhostNames::WithPrefix {
            say.line("localhost before any domain is this machine");
        }
    }
}

/// `any`: questions of type ANY get one short record (RFC 8482).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Any;

impl Directive for Any {
    const FORM: &'static str = "any";

    fn parse(line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        line.end();
        Some(Self)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("questions of type ANY get one HINFO record");
    }
}

/// `chaos`: questions of class CH about the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chaos {
    /// What is told as its version; `None` is that of Podway.
    pub version: Option<String>,
    /// Who is told to have made it, perhaps nobody.
    pub authors: Vec<String>,
}

impl Directive for Chaos {
    const FORM: &'static str = "chaos [VERSION [AUTHOR...]]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let version = line.take().map(|word| word.text.clone());
        let authors = line.rest().iter().map(|word| word.text.clone()).collect();
        line.end();
        Some(Self { version, authors })
    }

    fn effects(&self, say: &mut Effects) {
        let version =
            self.version.as_ref().map_or("its own".to_owned(), |text| format!("{text:?}"));
        say.line(format!("in class CH the version of the server is {version}"));
        if !self.authors.is_empty() {
            say.line(format!("in class CH its authors are {}", joined(&self.authors)));
        }
    }
}

/// `whoami`: every question is answered with the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whoami;

impl Directive for Whoami {
    const FORM: &'static str = "whoami";

    fn parse(line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        line.end();
        Some(Self)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("what is left is answered with the client's address, port and protocol");
    }
}

/// `loop`: queries that come back to this server are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loop;

impl Directive for Loop {
    const FORM: &'static str = "loop";

    fn parse(line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        line.end();
        Some(Self)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("forwarding that leads back to this server is found");
    }
}
