//! The plugins that Podway supports, each read into a type of its own.
//!
//! The table at the end of this file is the list; its order is that in which CoreDNS runs them.

mod acl;
mod autopath;
mod cache;
mod dns64;
mod dnssec;
mod errors;
mod forward;
mod hosts;
mod http;
mod kubernetes;
mod listener;
mod log;
mod message;
mod order;
mod process;
mod rewrite;
mod special;
mod template;
mod zone_file;

pub use acl::{Acl, AclAction, AclRule};
pub use autopath::{Autopath, SearchPath};
pub use cache::{Cache, CacheStore, Prefetch, Refresh, ServeStale, StalePolicy};
pub use dns64::{Dns64, TranslateFrom, TranslateWhat};
pub use dnssec::Dnssec;
pub use errors::{Consolidation, Errors, FirstError, Severity};
pub use forward::{
    AllUnhealthy, Attempts, ClientIdentity, Forward, HealthCheck, Policy, Recursion, Transport,
    Upstream, UpstreamProtocol, UpstreamTls,
};
pub use hosts::{Hosts, HostsEntry, ReverseRecords};
pub use http::{Health, Monitor, Prometheus, Ready};
pub use kubernetes::{
    ApiAccess, ApiLimits, EmptyServices, EndpointNames, Endpoints, Kubernetes, NamespaceSelection,
    Pods, ZonalNames,
};
pub use listener::{Bind, BindAddress, ClientAuth, Multisocket, Timeouts, Tls};
pub use log::{Log, LogField, LogFormat, LogPart, ResponseClass};
pub use message::{Bufsize, Flag, Header, HeaderRule, LoadBalance, Minimal, Nsid, Order, Side};
pub use process::{Cancel, Debug, Reload};
pub use rewrite::{
    Change, EdnsAction, EdnsData, EdnsRewrite, EdnsVariable, NameMatch, NameRewrite, Rewrite,
    RewriteRule, Substitution, Then, TtlRange,
};
pub use special::{Any, Chaos, Local, LocalhostNames, Loop, Whoami};
pub use template::{ExtendedError, Template, TemplateField, TemplatePart, TemplateText};
pub use zone_file::{ZoneFile, ZoneFileChange};

use crate::line::{Line, Scope};
use crate::syntax::Statement;

pub(crate) use order::{Known, known, position};

/// A directive of a server block that can be read and told.
pub(crate) trait Directive: Sized {
    /// The accepted form of the line.
    const FORM: &'static str;

    /// Reads the directive; what is wrong goes to the mistakes, `None` when nothing is left.
    fn parse(line: Line<'_>, scope: Scope<'_>) -> Option<Self>;

    /// Says what it does, one line for each effect.
    fn effects(&self, say: &mut Effects);
}

/// Lines that say what a plugin does.
#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<String>);

impl Effects {
    /// Adds one effect.
    pub(crate) fn line(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// Adds one effect if it holds.
    pub(crate) fn line_if(&mut self, holds: bool, text: &str) {
        if holds {
            self.line(text);
        }
    }

    /// The lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// Words joined by a comma and a blank.
pub(crate) fn joined<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

/// How often a plugin may stand in one server block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second one is a mistake.
    Once,
    /// All of them hold, in the order of the file.
    Many,
}

/// Makes of the table of plugins: the enum, its names, its reader, and access from a block.
macro_rules! plugins {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $repeat:ident $access:ident; )+) => {
        /// One plugin with its options.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Plugin {
            $( $(#[$doc])* $variant($variant), )+
        }

        impl Plugin {
            /// The names of all plugins that are supported.
            pub(crate) const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name in a Corefile.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $name, )+ }
            }

            /// How often it may stand in one block.
            pub(crate) fn repeat(&self) -> Repeat {
                match self { $( Self::$variant(_) => Repeat::$repeat, )+ }
            }

            /// Reads the plugin that `statement` begins with.
            pub(crate) fn read(statement: &Statement, scope: Scope<'_>) -> Option<Self> {
                match statement.name.text.as_str() {
                    $( $name => {
                        let line = Line::new(statement, <$variant>::FORM, scope.faults);
                        <$variant>::parse(line, scope).map(Self::$variant)
                    } )+
                    _ => None,
                }
            }

            /// What it does, one line for each effect.
            #[must_use]
            pub fn effects(&self) -> Vec<String> {
                let mut say = Effects::default();
                match self { $( Self::$variant(plugin) => plugin.effects(&mut say), )+ }
                say.into_lines()
            }
        }

        impl crate::ServerBlock {
            $( plugins!(@access $repeat $variant $name $access); )+
        }
    };
    (@access Once $variant:ident $name:literal $access:ident) => {
        #[doc = concat!("The plugin `", $name, "` of this block.")]
        #[must_use]
        pub fn $access(&self) -> Option<&$variant> {
            self.plugins.iter().find_map(|placed| match &placed.plugin {
                Plugin::$variant(plugin) => Some(plugin),
                #[allow(clippy::wildcard_enum_match_arm, reason = "one variant of all is asked for")]
                _ => None,
            })
        }
    };
    (@access Many $variant:ident $name:literal $access:ident) => {
        #[doc = concat!("The plugins `", $name, "` of this block, in the order of the file.")]
        pub fn $access(&self) -> impl Iterator<Item = &$variant> {
            self.plugins.iter().filter_map(|placed| match &placed.plugin {
                Plugin::$variant(plugin) => Some(plugin),
                #[allow(clippy::wildcard_enum_match_arm, reason = "one variant of all is asked for")]
                _ => None,
            })
        }
    };
}

plugins! {
    /// Deadline of one query.
    Cancel = "cancel", Once cancel;
    /// Limits of streams.
    Timeouts = "timeouts", Once timeouts;
    /// Sockets of each address.
    Multisocket = "multisocket", Once multisocket;
    /// Reading the Corefile anew.
    Reload = "reload", Once reload;
    /// The name of this server in replies.
    Nsid = "nsid", Once nsid;
    /// Largest datagram.
    Bufsize = "bufsize", Once bufsize;
    /// Addresses to answer at.
    Bind = "bind", Many binds;
    /// Messages for developers.
    Debug = "debug", Once debug;
    /// Readiness by HTTP.
    Ready = "ready", Once ready;
    /// Liveness by HTTP.
    Health = "health", Once health;
    /// Metrics by HTTP.
    Prometheus = "prometheus", Once prometheus;
    /// Log of failed queries.
    Errors = "errors", Once errors;
    /// Log of queries.
    Log = "log", Many logs;
    /// Names of this machine.
    Local = "local", Once local;
    /// IPv6 addresses made of IPv4 addresses.
    Dns64 = "dns64", Once dns64;
    /// Short answers to questions of type ANY.
    Any = "any", Once any;
    /// Questions about the server itself.
    Chaos = "chaos", Once chaos;
    /// Order of records.
    LoadBalance = "loadbalance", Once loadbalance;
    /// Changed questions and answers.
    Rewrite = "rewrite", Many rewrites;
    /// The search path walked by the server.
    Autopath = "autopath", Once autopath;
    /// Who may ask what.
    Acl = "acl", Many acls;
    /// Answers kept for a while.
    Cache = "cache", Once cache;
    /// Flags of messages.
    Header = "header", Many headers;
    /// Signed answers.
    Dnssec = "dnssec", Once dnssec;
    /// Keys of encrypted transports.
    Tls = "tls", Once tls;
    /// Answers without more than was asked.
    Minimal = "minimal", Once minimal;
    /// Answers made of the question.
    Template = "template", Many templates;
    /// Answers from hosts files.
    Hosts = "hosts", Once hosts;
    /// Answers from the cluster.
    Kubernetes = "kubernetes", Once kubernetes;
    /// Answers from zone files.
    ZoneFile = "file", Many zone_files;
    /// Detection of queries that come back.
    Loop = "loop", Once loop_detection;
    /// Answers of other servers.
    Forward = "forward", Many forwards;
    /// Answers that show the client.
    Whoami = "whoami", Once whoami;
}
