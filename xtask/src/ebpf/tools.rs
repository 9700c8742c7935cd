//! What compiling for eBPF needs: found, installed, or named with the command that installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Version of the linker for objects of eBPF.
const LINKER_VERSION: &str = "0.13.0";

/// The tools, each there.
#[derive(Debug)]
pub(super) struct Tools {
    /// Links to an object that the kernel loads.
    pub(super) linker: PathBuf,
    /// Takes debug information out.
    pub(super) strip: PathBuf,
    /// Folder of the compiler, with the sources of `core`.
    pub(super) sysroot: PathBuf,
}

impl Tools {
    /// Finds everything; what is missing is installed where that can be done.
    ///
    /// # Errors
    /// Something is missing and cannot be installed; the message has the command to run.
    pub(super) fn find_or_install(root: &Path) -> Result<Self> {
        let compiler = Compiler::ask(root)?;
        let llvm = PathBuf::from(format!("/usr/lib/llvm-{}", compiler.llvm));
        let strip = llvm.join("bin/llvm-strip");
        if !strip.exists() || !llvm.join("include/llvm").exists() {
            let package = format!("llvm-{}-dev", compiler.llvm);
            apt(&["install", "-y", "-qq", "--no-install-recommends", &package])?;
        }
        ensure!(strip.exists(), "{} is not there", strip.display());
        sources_of_core(&compiler)?;
        Ok(Self { linker: linker(&compiler, &llvm)?, strip, sysroot: compiler.sysroot })
    }
}

/// The compiler in use.
#[derive(Debug)]
struct Compiler {
    version: String,
    /// Major version of its LLVM, which the linker has to share.
    llvm: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask(root: &Path) -> Result<Self> {
        let rustc = |arguments: &[&str]| {
            process::stdout(Command::new("rustc").current_dir(root).args(arguments))
        };
        let text = rustc(&["-vV"])?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned()).with_context(|| format!("rustc -vV: {name}"))
        };
        let llvm = field("LLVM version:")?;
        let llvm = llvm.split('.').next().unwrap_or_default().to_owned();
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        Ok(Self { version: field("release:")?, llvm, sysroot })
    }
}

/// Makes sure that the sources of `core` are where the compiler looks for them.
fn sources_of_core(compiler: &Compiler) -> Result<()> {
    let place = compiler.sysroot.join("lib/rustlib/src/rust");
    if place.join("library/core/src/lib.rs").exists() {
        return Ok(());
    }
    let rustup = Command::new("rustup").args(["component", "add", "rust-src"]).status();
    if rustup.is_ok_and(|status| status.success()) && place.join("library").exists() {
        return Ok(());
    }
    eprintln!("rustup cannot bring rust-src; Debian's package of the same version is taken");
    let folder = tempfile::tempdir()?;
    let archive = download(compiler, folder.path())?;
    let unpacked = folder.path().join("unpacked");
    process::stdout(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked))?;
    let library = unpacked.join(format!("usr/src/rustc-{}/library", compiler.version));
    fs::create_dir_all(&place)?;
    process::stdout(Command::new("cp").arg("-a").arg(&library).arg(&place))?;
    Ok(())
}

/// Downloads the package with the sources of the standard library into `folder`.
fn download(compiler: &Compiler, folder: &Path) -> Result<PathBuf> {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let archive = debian_archive().with_context(|| format!("no Debian archive; {}", by_hand()))?;
    let list = folder.join("list");
    fs::write(&list, format!("deb [signed-by={keys}] {archive} trixie-backports main\n"))?;
    fs::create_dir_all(folder.join("lists/partial"))?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder)
            .arg("-qq")
            .arg(format!("-oDir::Etc::sourcelist={}", list.display()))
            .arg("-oDir::Etc::sourceparts=-")
            .arg(format!("-oDir::State::lists={}", folder.join("lists").display()))
            .args(arguments);
        process::stdout(&mut apt).with_context(by_hand)
    };
    apt(&["update"])?;
    apt(&["download", &format!("rust-src={}+dfsg1-2~bpo13+1", compiler.version)])?;
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut packages = files.filter(|path| path.extension().is_some_and(|end| end == "deb"));
    packages.next().with_context(by_hand)
}

/// Address of the archive that this machine's packages come from.
fn debian_archive() -> Option<String> {
    let classic = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let modern = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let words = classic.split_whitespace().chain(modern.split_whitespace());
    let mut addresses = words.filter(|word| word.starts_with("http") && word.ends_with("/debian"));
    addresses.next().map(str::to_owned)
}

fn by_hand() -> String {
    "rust-src is missing: `rustup component add rust-src`".to_owned()
}

/// The linker, compiled against the compiler's LLVM if it is not there.
fn linker(compiler: &Compiler, llvm: &Path) -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let linker = home.unwrap_or_default().join("bin/bpf-linker");
    let version = process::stdout(Command::new(&linker).arg("--version")).unwrap_or_default();
    if version.split_whitespace().any(|word| word == LINKER_VERSION) {
        return Ok(linker);
    }
    let features = format!("llvm-{}", compiler.llvm);
    eprintln!("bpf-linker {LINKER_VERSION} is compiled once");
    let status = Command::new("nice")
        .args(["-n", "10", "cargo", "install", "--quiet", "--locked", "bpf-linker"])
        .args(["--version", LINKER_VERSION, "--no-default-features", "--features", &features])
        .env("LLVM_PREFIX", llvm)
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "bpf-linker cannot be compiled");
    Ok(linker)
}

/// Runs apt-get as root, or says what to run.
fn apt(arguments: &[&str]) -> Result<()> {
    let command = format!("apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .with_context(|| format!("as root: `{command}`"))?;
    if !status.success() {
        bail!("compiling for eBPF needs more; as root: `apt-get update && {command}`");
    }
    Ok(())
}
