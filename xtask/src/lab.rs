//! `cargo xtask lab`: a cluster of network namespaces to try things in.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use podway_tests_lab::{Applied, DaemonState, Lab, Place, PodPhase, PodStatus, Status};

use crate::table::table;
use crate::{process, programs, require};

/// Arguments of `cargo xtask lab`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the lab; several can be up at once.
    #[arg(long, default_value = "default")]
    name: String,
    #[command(subcommand)]
    command: Command,
}

/// What to do with the lab.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Starts it and applies manifests.
    Up(Up),
    /// Ends it and removes everything that it left, also after a crash.
    Down,
    /// Shows nodes, pods and Services.
    Status,
    /// Runs a command in a pod (POD or NAMESPACE/POD), on a node (node-1) or outside.
    Exec {
        /// Where to run it.
        place: Place,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Sets the replicas of a workload: deployment/NAME, statefulset/NAMESPACE/NAME.
    Scale {
        /// Kind and name.
        workload: String,
        /// Pods wanted.
        replicas: u32,
    },
    /// Makes a pod fail its readiness.
    Unready {
        /// POD or NAMESPACE/POD.
        pod: String,
    },
    /// Makes a pod pass its readiness again.
    Ready {
        /// POD or NAMESPACE/POD.
        pod: String,
    },
    /// Creates or changes objects.
    Apply(Files),
    /// Deletes objects: `delete pod POD`, `delete svc NAMESPACE/NAME`, `delete -f FILE`.
    Delete {
        /// Kind and name.
        #[arg(num_args = 2, value_names = ["KIND", "NAME"], conflicts_with = "files",
              required_unless_present = "files")]
        object: Vec<String>,
        /// Manifest files; `-` is the standard input.
        #[arg(short = 'f', long = "filename")]
        files: Vec<PathBuf>,
    },
    /// Ends the daemon of a node: by SIGTERM, or by SIGKILL with --kill.
    Stop {
        /// Number of the node.
        node: u8,
        /// Kills it.
        #[arg(long)]
        kill: bool,
    },
    /// Starts the daemon of a node again.
    Start {
        /// Number of the node.
        node: u8,
    },
    /// Runs kubectl as an administrator, in a lab with an API server: `kubectl -- get pods -A`.
    Kubectl {
        /// Its arguments.
        #[arg(last = true, required = true)]
        arguments: Vec<String>,
    },
    /// Prints the log of the daemon of a node.
    Logs {
        /// Number of the node.
        node: u8,
    },
}

/// How a lab is started.
#[derive(Debug, clap::Args)]
struct Up {
    /// Manifest files and folders of them.
    manifests: Vec<PathBuf>,
    /// Number of nodes.
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// Domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// Daemon to run in place of the one built from this workspace.
    #[arg(long, conflicts_with = "without_podway")]
    podway: Option<PathBuf>,
    /// Runs no daemon.
    #[arg(long)]
    without_podway: bool,
    /// Runs a real API server with etcd and controllers, built by `cargo xtask peers`; the daemons
    /// watch it.
    #[arg(long)]
    api_server: bool,
    /// A further argument of every daemon; repeatable.
    #[arg(long, allow_hyphen_values = true)]
    podway_argument: Vec<String>,
}

/// Manifest files.
#[derive(Debug, clap::Args)]
struct Files {
    /// Manifest files; `-` is the standard input.
    #[arg(short = 'f', long = "filename", required = true)]
    files: Vec<PathBuf>,
}

/// Does what was asked for.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let attach = || Lab::attach(&args.name);
    match &args.command {
        Command::Up(up) => self::up(&args.name, up)?,
        Command::Down => {
            let text = if Lab::down(&args.name)? { "is down" } else { "was not up" };
            println!("lab {} {text}", args.name);
        }
        Command::Status => print!("{}", describe(&attach()?.status()?)),
        Command::Exec { place, command } => {
            let words: Vec<_> = command.iter().map(String::as_str).collect();
            let code = attach()?.exec_inherited(place, &words)?;
            return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
        }
        Command::Scale { workload, replicas } => attach()?.scale(workload, *replicas)?,
        Command::Unready { pod } => attach()?.unready(pod)?,
        Command::Ready { pod } => attach()?.ready(pod)?,
        Command::Apply(files) => return report(&attach()?.apply_leniently(&read(&files.files)?)?),
        Command::Delete { object, files } if object.is_empty() => {
            return report(&attach()?.delete(&read(files)?)?);
        }
        Command::Delete { object, .. } => attach()?.delete_object(&object.join("/"))?,
        Command::Stop { node, kill: true } => attach()?.kill_podway(*node)?,
        Command::Stop { node, kill: false } => attach()?.stop_podway(*node)?,
        Command::Start { node } => attach()?.start_podway(*node)?,
        Command::Kubectl { arguments } => return kubectl(&attach()?, arguments),
        Command::Logs { node } => print!("{}", attach()?.podway_log(*node)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs kubectl beside the API server, with the standard streams of this process.
fn kubectl(lab: &Lab, arguments: &[String]) -> Result<ExitCode> {
    let command = lab.kubectl_command(arguments)?;
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    let code = lab.exec_inherited(&Place::ControlPlane, &words)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds the programs of a lab where a person sees it, except those that the environment names.
pub(crate) fn build(with_daemon: bool) -> Result<()> {
    let needed = [Some(programs::LAB), with_daemon.then_some(programs::DAEMON)];
    let mut packages =
        needed.into_iter().flatten().filter(|program| !program.is_named()).peekable();
    if packages.peek().is_none() {
        return Ok(());
    }
    let mut cargo = process::cargo(&process::root());
    cargo.arg("build").args(packages.flat_map(|program| ["--package", program.package]));
    if !cargo.status().context("cargo cannot be started")?.success() {
        bail!("the lab's programs cannot be built");
    }
    Ok(())
}

fn up(name: &str, up: &Up) -> Result<()> {
    require::programs("labs")?;
    build(up.podway.is_none() && !up.without_podway)?;
    let mut builder = Lab::builder()
        .nodes(up.nodes)
        .cluster_domain(&up.cluster_domain)
        .manifests(read(&up.manifests)?)
        .without_waiting();
    for argument in &up.podway_argument {
        builder = builder.podway_argument(argument);
    }
    if up.api_server {
        require::api_server()?;
        builder = builder.api_server();
    }
    if up.without_podway {
        builder = builder.without_podway();
    } else if let Some(path) = &up.podway {
        builder = builder.podway(path.canonicalize().with_context(|| path.display().to_string())?);
    }
    let lab = builder.start_detached(name)?;
    // A lab in which something does not get ready is still one to look around in.
    if let Err(error) = lab.wait_settled() {
        eprintln!("warning: {error:#}");
    }
    print!("{}", describe(&lab.status()?));
    println!("\ntry: cargo xtask lab exec outside -- curl -s http://192.168.77.11:NODEPORT/");
    Ok(())
}

/// Text of manifest files; of a folder, of all its manifests.
fn read(files: &[PathBuf]) -> Result<String> {
    let mut documents = Vec::new();
    for file in files {
        if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            documents.push(text);
        } else if file.is_dir() {
            let mut inside = Vec::new();
            for entry in fs::read_dir(file)? {
                inside.push(entry?.path());
            }
            inside.retain(|path| {
                path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
            });
            inside.sort();
            documents.push(read(&inside)?);
        } else {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            documents.push(text);
        }
    }
    Ok(documents.join("\n---\n"))
}

/// Says what became of objects.
fn report(applied: &Applied) -> Result<ExitCode> {
    let groups = [("accepted", &applied.accepted), ("ignored", &applied.ignored)];
    for (what, objects) in groups {
        for object in objects {
            println!("{what}: {object}");
        }
    }
    if applied.rejected.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("rejected: {}", applied.rejected.join("\nrejected: "))
}

/// State of a lab for people.
pub(crate) fn describe(status: &Status) -> String {
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            let podway = match &node.podway {
                DaemonState::Absent => "absent".to_owned(),
                DaemonState::Starting => "starting".to_owned(),
                DaemonState::Ready => "ready".to_owned(),
                DaemonState::Stopped(how) => format!("stopped: {how}"),
            };
            let addresses = node.addresses;
            vec![node.name.clone(), addresses.v4.to_string(), addresses.v6.to_string(), podway]
        })
        .collect();
    let pods: Vec<_> = status.pods.iter().map(pod).collect();
    let services: Vec<_> = status
        .services
        .iter()
        .map(|service| {
            vec![
                service.name.to_string(),
                service.kind.clone(),
                service.cluster_ips.join(","),
                service.ports.join(","),
                service.ready_endpoints.to_string(),
            ]
        })
        .collect();
    format!(
        "{}\n{}\n{}",
        table(&["NODE", "IPV4", "IPV6", "PODWAY"], &nodes),
        table(&["POD", "NODE", "IPV4", "IPV6", "STATE", "NOTES"], &pods),
        table(&["SERVICE", "TYPE", "CLUSTER-IP", "PORTS", "READY"], &services)
    )
}

/// The row of a pod.
fn pod(pod: &PodStatus) -> Vec<String> {
    let address = |text: fn(podway_tests_lab::DualStack) -> String| {
        pod.addresses.map(text).unwrap_or_default()
    };
    let state = match (pod.phase, pod.ready) {
        (PodPhase::Running, true) => "Ready".to_owned(),
        (PodPhase::Running, false) => "NotReady".to_owned(),
        (phase, _) => format!("{phase:?}"),
    };
    vec![
        pod.name.to_string(),
        pod.node.clone().unwrap_or_default(),
        address(|both| both.v4.to_string()),
        address(|both| both.v6.to_string()),
        state,
        pod.notes.join("; "),
    ]
}
