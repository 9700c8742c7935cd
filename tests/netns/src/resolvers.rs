//! Resolvers that programs in pods have: of C libraries, of languages, and of people.
//!
//! Each asks in its own way: which of the search path first, A and AAAA together or not, with or
//! without EDNS, and what it takes for the end of the search. All print what they found, so that one
//! table serves for all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use podway_tests_lab::Place;
use tempfile::TempDir;

use crate::Cluster;

/// A resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolver {
    /// glibc, by `getaddrinfo`.
    Glibc,
    /// glibc, as scripts ask it (`getent`).
    Getent,
    /// musl, by `getaddrinfo`.
    Musl,
    /// Go's own.
    Go,
    /// Python's `socket` module.
    Python,
    /// BIND's `dig` with the search path.
    Dig,
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Glibc => "glibc",
            Self::Getent => "getent",
            Self::Musl => "musl",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Dig => "dig",
        })
    }
}

impl Resolver {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Glibc, Self::Getent, Self::Musl, Self::Go, Self::Python, Self::Dig];
}

/// The programs that ask, built from the sources beside this crate.
#[derive(Debug)]
pub struct Resolvers(TempDir);

/// Where programs are put, for as long as they are used: pods have a `/tmp` of their own.
const PROGRAMS: &str = "/var/tmp";

impl Resolvers {
    /// Builds them; `cache` keeps what compilers want to keep.
    ///
    /// # Errors
    /// A compiler is missing, which is named with its package, or fails.
    pub fn build(cache: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("podway-resolvers-").tempdir_in(PROGRAMS)?;
        let source =
            |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("resolvers").join(name);
        let output = |name: &str| folder.path().join(name);
        let c = |compiler: &str, name: &str| {
            let mut command = Command::new(compiler);
            command.args(["-O1", "-o"]).arg(output(name)).arg(source("lookup.c"));
            command
        };
        compile(&mut c("gcc", "glibc"), "gcc")?;
        compile(c("musl-gcc", "musl").arg("-static"), "musl-tools")?;
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(output("go")).arg(source("lookup.go"));
        go.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOCACHE", cache.join("go"));
        compile(&mut go, "golang-go")?;
        std::fs::copy(source("lookup.py"), output("lookup.py"))?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The command by which `resolver` asks for the addresses of `name`.
    fn forward(&self, resolver: Resolver, name: &str) -> Vec<String> {
        let program = |name: &str| vec![self.path(name)];
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let mut command: Vec<String> = match resolver {
            Resolver::Glibc => program("glibc"),
            Resolver::Getent => words(&["getent", "ahosts"]),
            Resolver::Musl => program("musl"),
            Resolver::Go => program("go"),
            Resolver::Python => words(&["python3", &self.path("lookup.py")]),
            Resolver::Dig => {
                let options = ["dig", "+short", "+search", "+tries=2", "+timeout=3"];
                return words(&[&options[..], &[name, "A", name, "AAAA", "+search"]].concat());
            }
        };
        command.push(name.to_owned());
        command
    }

    /// The command by which `resolver` asks for the name of `address`.
    fn reverse(&self, resolver: Resolver, address: IpAddr) -> Vec<String> {
        let text = address.to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match resolver {
            Resolver::Glibc => words(&[&self.path("glibc"), "-x", &text]),
            Resolver::Getent => words(&["getent", "hosts", &text]),
            Resolver::Musl => words(&[&self.path("musl"), "-x", &text]),
            Resolver::Go => words(&[&self.path("go"), "-x", &text]),
            Resolver::Python => words(&["python3", &self.path("lookup.py"), "-x", &text]),
            Resolver::Dig => words(&["dig", "+short", "-x", &text]),
        }
    }

    /// The addresses that `resolver` finds for `name` at `place`; none where it finds no such name.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn look_up(
        &self,
        cluster: &Cluster,
        place: &Place,
        resolver: Resolver,
        name: &str,
    ) -> Result<BTreeSet<IpAddr>> {
        let command = self.forward(resolver, name);
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let output = cluster.exec(place, &words)?;
        // 126 and 127 are what a shell says of a program that it cannot run.
        ensure!(output.code < 126, "{resolver} cannot be run: {output}");
        let first_words = output.stdout.lines().filter_map(|line| line.split_whitespace().next());
        // Aliases that dig prints are no addresses.
        Ok(first_words.filter_map(|word| word.parse().ok()).collect())
    }

    /// The name that `resolver` finds for `address` at `place`, without the final dot.
    ///
    /// # Errors
    /// When it finds none.
    pub fn name_of(
        &self,
        cluster: &Cluster,
        place: &Place,
        resolver: Resolver,
        address: IpAddr,
    ) -> Result<String> {
        let command = self.reverse(resolver, address);
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let text = cluster.exec(place, &words)?.checked()?;
        let name =
            text.split_whitespace().last().with_context(|| format!("{resolver}: nothing"))?;
        Ok(name.trim_end_matches('.').to_owned())
    }
}

/// Runs a compiler, which `package` has.
fn compile(command: &mut Command, package: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => bail!("{program}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            bail!(
                "{program} cannot be run ({error}); it is needed to build a resolver: \
                   apt-get install {package}"
            )
        }
    }
}
