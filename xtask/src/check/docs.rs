//! Documentation that a reader can follow: links that lead somewhere, a README in each crate's
//! folder, and a crate map that names every crate.

use std::collections::BTreeMap;

use anyhow::Result;
use cargo_metadata::camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Finding;
use super::tree::Tree;

/// The file with the crate map.
const MAP: &str = "README.md";

/// Finds broken links, folders without a README and crates that the map lacks.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut pages = BTreeMap::new();
    for file in tree.files("".as_ref(), "md") {
        pages.insert(file, Page::parse(&tree.text(file)?));
    }
    let mut findings = Vec::new();
    for (file, page) in &pages {
        for link in &page.links {
            if let Some(problem) = follow(tree, &pages, file, &link.target) {
                findings.push(Finding::at_line(file, link.line, problem));
            }
        }
    }
    findings.extend(missing_readmes(tree));
    findings.extend(missing_from_map(tree)?);
    Ok(findings)
}

/// What the check needs of one Markdown file.
#[derive(Debug)]
struct Page {
    links: Vec<Link>,
    /// Names by which its headings can be linked.
    anchors: Vec<String>,
}

/// A link or image as written.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    line: usize,
    target: String,
}

impl Page {
    /// Reads the links and headings of `text`; code blocks have none.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign enum of all of Markdown, of which two things matter here"
    )]
    fn parse(text: &str) -> Self {
        let mut page = Self { links: Vec::new(), anchors: Vec::new() };
        let mut heading: Option<String> = None;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, place) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let before = text.get(..place.start).unwrap_or_default();
                    let line = before.matches('\n').count() + 1;
                    page.links.push(Link { line, target: dest_url.into_string() });
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().map(|heading| anchor(&heading)));
                }
                _ => {}
            }
        }
        page
    }
}

/// The name that a code host gives a heading: lower case, words joined by hyphens.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// Says what is wrong with a link from `file`, if anything; the outer world is not looked at.
fn follow(
    tree: &Tree,
    pages: &BTreeMap<&Utf8Path, Page>,
    file: &Utf8Path,
    target: &str,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        file.to_owned()
    } else {
        let Some(path) = resolve(file, path) else {
            return Some(format!("link to {target} leaves the repository"));
        };
        path
    };
    if !tree.has(&path) {
        return Some(format!("link to {target}: {path} is not in the tree"));
    }
    let page = pages.get(path.as_path())?;
    let known = fragment.is_empty() || page.anchors.iter().any(|anchor| anchor == fragment);
    (!known).then(|| format!("link to {target}: {path} has no heading #{fragment}"))
}

/// Path of a link relative to the root; `None` when it climbs out of the tree.
fn resolve(file: &Utf8Path, link: &str) -> Option<Utf8PathBuf> {
    // From the root with a leading slash, else from the folder of the file.
    let start = if link.starts_with('/') { None } else { file.parent() };
    let mut path = start.map(Utf8Path::to_owned).unwrap_or_default();
    for component in Utf8Path::new(link).components() {
        match component {
            Utf8Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Utf8Component::Normal(part) => path.push(part),
            Utf8Component::CurDir | Utf8Component::RootDir | Utf8Component::Prefix(_) => {}
        }
    }
    Some(path)
}

/// Folders with a manifest but without a README.
fn missing_readmes(tree: &Tree) -> Vec<Finding> {
    tree.files("".as_ref(), "toml")
        .filter(|file| file.file_name() == Some("Cargo.toml"))
        .filter_map(Utf8Path::parent)
        .map(|folder| folder.join("README.md"))
        .filter(|readme| !tree.has(readme))
        .map(|readme| Finding::at(readme, "missing: one line that says what the folder is"))
        .collect()
}

/// Crates whose folder the map does not name.
fn missing_from_map(tree: &Tree) -> Result<Vec<Finding>> {
    if !tree.has(MAP.as_ref()) {
        return Ok(Vec::new()); // Already a missing README.
    }
    let map = tree.text(MAP.as_ref())?;
    let unnamed = tree.crates().iter().filter(|member| !names(&map, member.folder.as_str()));
    Ok(unnamed
        .map(|member| Finding::at(MAP, format!("crate map does not name {}", member.folder)))
        .collect())
}

/// Whether `folder` stands in `text` as a whole path, not as a part of a longer one.
fn names(text: &str, folder: &str) -> bool {
    let part_of_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    text.match_indices(folder).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + folder.len()..).and_then(|text| text.chars().next());
        let begins = !before.is_some_and(|letter| part_of_name(letter) || letter == '/');
        // A slash may follow: `cluster/model/` and `cluster/model/README.md` name the folder.
        begins && !after.is_some_and(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    /// Problems found in a workspace with the crate `dns/zone` and these files.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let root = planted::root(&["dns/zone"]);
        let manifest = planted::manifest("zone", &[]);
        let mut all = vec![
            ("Cargo.toml", root.as_str()),
            ("dns/zone/Cargo.toml", manifest.as_str()),
            ("dns/zone/src/lib.rs", ""),
        ];
        all.extend_from_slice(files);
        let (_folder, tree) = planted::tree(&all);
        check(&tree).expect("check runs").iter().map(Finding::to_string).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        let readme = "# Zone\n\nSee [plan](plan.md),\n[top](../../README.md) and [out](../../../x.md).\n\n\
                      ```text\n[not a link](nowhere.md)\n```\n![map](map.svg)\n";
        let found = problems(&[("README.md", "`dns/zone`\n"), ("dns/zone/README.md", readme)]);
        assert_eq!(
            found,
            [
                "dns/zone/README.md:3: link to plan.md: dns/zone/plan.md is not in the tree",
                "dns/zone/README.md:4: link to ../../../x.md leaves the repository",
                "dns/zone/README.md:9: link to map.svg: dns/zone/map.svg is not in the tree",
            ]
        );
    }

    #[test]
    fn a_link_to_a_heading_needs_that_heading() {
        let readme = "# Podway: `dns/zone`, first\n[here](#podway-dnszone-first)\n[gone](#second)\n\
                      [there](dns/zone/README.md#names)\n[else](https://example.com/#second)\n";
        let found = problems(&[("README.md", readme), ("dns/zone/README.md", "# Names\n")]);
        assert_eq!(found, ["README.md:3: link to #second: README.md has no heading #second"]);
    }

    #[test]
    fn a_crate_without_readme_or_place_in_the_map_is_found() {
        assert_eq!(
            problems(&[("README.md", "Crates: `dns/zones`, `old/dns/zone`.\n")]),
            [
                "dns/zone/README.md: missing: one line that says what the folder is",
                "README.md: crate map does not name dns/zone",
            ]
        );
    }

    #[test]
    fn the_map_names_a_folder_in_code_in_a_link_and_with_a_slash() {
        for map in ["`dns/zone`", "[x](dns/zone)", "dns/zone/ names", "dns/zone: names", "dns/zone"]
        {
            assert!(names(map, "dns/zone"), "{map} names it");
        }
        for map in ["dns/zone2", "dns/zone-file", "a/dns/zone", "dns"] {
            assert!(!names(map, "dns/zone"), "{map} does not name it");
        }
    }
}
