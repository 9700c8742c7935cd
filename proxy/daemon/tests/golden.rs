//! Golden cases: manifests in, plan, ruleset, zone and messages out, through the binary.
//!
//! The cases stand in `tests/golden`, one folder each; the first line of `in.yaml` is the command
//! line. `cargo xtask bless` rewrites the outputs, which are then read in review.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The daemon under test.
const PODWAY: &str = env!("CARGO_BIN_EXE_podway");

/// Orders the outputs to be rewritten.
const BLESS: &str = "PODWAY_BLESS";

/// The case whose ruleset is shown whole; the others show how theirs differ from it.
const EMPTY_CLUSTER: &str = "empty-cluster";

/// Lines of a difference that are shown.
const SHOWN_LINES: usize = 12;

/// One folder of `tests/golden`.
struct Case {
    folder: PathBuf,
    /// Flags of `podway plan`, without the manifests.
    flags: Vec<String>,
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let input = std::fs::read_to_string(folder.join("in.yaml")).unwrap();
        let flags = input
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# podway plan "))
            .unwrap_or_else(|| panic!("{}: no command line", folder.display()));
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        Self { folder, flags }
    }

    /// What the binary writes to standard output and standard error.
    fn plan(&self, manifests: &Path, output: &str) -> (String, String) {
        let result = Command::new(PODWAY)
            .arg("plan")
            .args(&self.flags)
            .args(["--output", output, "--manifests"])
            .arg(manifests)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(result.stdout), text(result.stderr));
        assert!(result.status.success(), "{}: {stderr}", self.folder.display());
        (stdout, stderr)
    }

    /// Every output with the name of its file.
    fn outputs(&self) -> [(&'static str, String); 4] {
        let (plan, messages) = self.plan(&self.folder, "table");
        let (ruleset, _) = self.plan(&self.folder, "nft");
        let (zone, _) = self.plan(&self.folder, "zone");
        let ruleset = if self.folder.ends_with(EMPTY_CLUSTER) {
            ruleset
        } else {
            let empty = TempDir::new().unwrap();
            without(&ruleset, &self.plan(empty.path(), "nft").0)
        };
        [
            ("plan.txt", plan),
            ("ruleset.nft", ruleset),
            ("zone.txt", zone),
            ("messages.txt", messages),
        ]
    }
}

/// The chains, sets and maps of `ruleset` that differ from those of `constant`, table by table.
fn without(ruleset: &str, constant: &str) -> String {
    let known: BTreeSet<(String, String)> = blocks(constant).into_iter().collect();
    let mut shown = String::new();
    let mut open = None;
    for block in blocks(ruleset).into_iter().filter(|block| !known.contains(block)) {
        let (table, text) = block;
        if open.as_ref() != Some(&table) {
            writeln!(shown, "{table}").unwrap();
        }
        open = Some(table);
        shown.push_str(&text);
    }
    shown
}

/// Each chain, set and map with the head of its table.
fn blocks(ruleset: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut table = String::new();
    let mut block = String::new();
    for line in ruleset.lines() {
        match line.strip_prefix('\t') {
            None if line.starts_with("table ") => line.clone_into(&mut table),
            None => {}
            Some(inner) => {
                block.push_str(line);
                block.push('\n');
                if inner == "}" {
                    blocks.push((table.clone(), std::mem::take(&mut block)));
                }
            }
        }
    }
    assert!(block.is_empty(), "unfinished block:\n{block}");
    blocks
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

/// Compares with a file, which is absent where the text is empty.
fn compare(file: &Path, found: &str) -> Result<(), String> {
    let expected = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{}: {error}", file.display()),
    };
    if expected == found {
        return Ok(());
    }
    let same =
        expected.lines().zip(found.lines()).take_while(|(left, right)| left == right).count();
    let rest = |sign: char, text: &str| -> String {
        text.lines().skip(same).take(SHOWN_LINES).map(|line| format!("{sign}{line}\n")).collect()
    };
    let (missing, unexpected) = (rest('-', &expected), rest('+', found));
    Err(format!("{} from line {}:\n{missing}{unexpected}", file.display(), same + 1))
}

fn bless(file: &Path, found: &str) {
    if !found.is_empty() {
        std::fs::write(file, found).unwrap();
    } else if file.exists() {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn every_case_gives_what_its_files_say() {
    let blessing = std::env::var(BLESS).is_ok_and(|value| value == "1");
    let cases = cases();
    assert!(cases.iter().any(|case| case.folder.ends_with(EMPTY_CLUSTER)), "no {EMPTY_CLUSTER}");
    let mut differences = Vec::new();
    for case in &cases {
        for (name, found) in case.outputs() {
            let file = case.folder.join(name);
            if blessing {
                bless(&file, &found);
            } else if let Err(difference) = compare(&file, &found) {
                differences.push(difference);
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} files differ; `cargo xtask bless` rewrites them:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn only_blocks_that_differ_are_shown() {
    let constant = "table ip podway {\n\tset a {\n\t}\n\n\tchain b {\n\t\taccept\n\t}\n}\n";
    let ruleset = constant.replace("set a {\n", "set a {\n\t\telements = { 1 }\n");
    assert_eq!(without(constant, constant), "");
    assert_eq!(
        without(&ruleset, constant),
        "table ip podway {\n\tset a {\n\t\telements = { 1 }\n\t}\n"
    );
    let other_table = constant.replace("table ip ", "table ip6 ");
    assert_eq!(without(&other_table, constant).lines().count(), 6);
}
