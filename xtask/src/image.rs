//! `cargo xtask image`: the self-contained binary, and the image that has nothing else in it.
//!
//! The binary links the C library statically, so it needs no distribution under it. buildah makes
//! the image from `deploy/Containerfile`, without a daemon and with storage of its own in the target
//! folder.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, require};

/// Name of the image.
const NAME: &str = "podway";

/// Arguments of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cargo profile of the binary.
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,
    /// Where the image is written, as an archive that `docker load` and `kind load` take
    /// [default: podway-image.tar in the target folder].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds the binary and the image, and says where they are.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = process::root();
    let path = require::more_programs("the image", &[("buildah", "buildah")])?;
    let folder = root.join("target/image");
    let binary = binary(&root, &folder, &args.profile)?;
    let output = match &args.output {
        Some(output) => std::path::absolute(output)?,
        None => root.join("target/podway-image.tar"),
    };
    let context = folder.join("context");
    fs::create_dir_all(&context)?;
    fs::copy(&binary, context.join("podway")).context("copy the binary")?;
    let buildah = |arguments: &[&str]| {
        let mut buildah = Command::new("buildah");
        buildah
            .env("PATH", &path)
            // Neither needs an overlay file system, nor privileges beyond those of files.
            .args(["--storage-driver", "vfs", "--root"])
            .arg(folder.join("storage"))
            .arg("--runroot")
            .arg(folder.join("run"))
            .args(arguments);
        buildah
    };
    let mut build = buildah(&["build", "--isolation", "chroot", "--tag", NAME, "--file"]);
    process::stdout(build.arg(root.join("deploy/Containerfile")).arg(&context))?;
    if output.exists() {
        // The archive would be added to.
        fs::remove_file(&output)?;
    }
    let destination = format!("docker-archive:{}:{NAME}:latest", output.display());
    process::stdout(&mut buildah(&["push", NAME, &destination]))?;
    let octets = fs::metadata(&output)?.len();
    println!("image {NAME}:latest, {:.1} MB: {}", as_megabytes(octets), output.display());
    Ok(())
}

/// Builds the binary with everything in it, in a folder apart: other flags make other dependencies.
fn binary(root: &Path, folder: &Path, profile: &str) -> Result<PathBuf> {
    // Only with a target named do flags spare the macros, which are built for the host.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = process::cargo(root);
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--locked", "--package", "podway-proxy-daemon"])
        .args(["--profile", profile, "--target", &target, "--target-dir"])
        .arg(folder);
    if !cargo.status().context("cargo cannot be started")?.success() {
        bail!("the binary cannot be built");
    }
    // Cargo's name for the folder of the profile dev.
    let profile = if profile == "dev" { "debug" } else { profile };
    Ok(folder.join(target).join(profile).join("podway"))
}

/// For people; nothing is computed with it.
#[expect(clippy::cast_precision_loss, reason = "images are far below 2^53 octets")]
fn as_megabytes(octets: u64) -> f64 {
    octets as f64 / 1e6
}
