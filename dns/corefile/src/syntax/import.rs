//! Snippets and imports: what `import` names takes the place of its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parser::{self, Level};
use super::{Statement, Word, environment, lexer};
use crate::mistake::{Faults, Place};
use crate::sources::{SourceError, Sources};

/// Most imports of one Corefile, as in CoreDNS.
const MOST_IMPORTS: usize = 10_000;

/// Most statements after everything is imported.
///
/// Snippets that import others twice grow as powers of two; a ConfigMap, which holds 1 MiB, is full
/// with so many lines of 20 octets.
const MOST_STATEMENTS: usize = 50_000;

/// Longest chain of imports, one in another.
const LONGEST_CHAIN: usize = 32;

/// What `import` takes.
const FORM: &str = "import SNIPPET, import FILE or import FOLDER/PATTERN";

/// A snippet: statements with a name.
#[derive(Debug)]
struct Snippet {
    place: Place,
    body: Vec<Statement>,
}

/// Reads files and puts imports in their place.
pub(super) struct Expansion<'a> {
    sources: &'a dyn Sources,
    faults: &'a Faults,
    snippets: BTreeMap<String, Snippet>,
    /// Snippets and files that are being imported, the outermost first.
    chain: Vec<String>,
    imports: usize,
    statements: usize,
}

impl<'a> Expansion<'a> {
    /// Nothing read yet.
    pub(super) fn new(sources: &'a dyn Sources, faults: &'a Faults) -> Self {
        let snippets = BTreeMap::new();
        Self { sources, faults, snippets, chain: Vec::new(), imports: 0, statements: 0 }
    }

    /// Reads the Corefile itself.
    pub(super) fn corefile(mut self, file: &Arc<str>, contents: &[u8]) -> Vec<Statement> {
        self.chain.push(file.to_string());
        self.file(file, contents, Level::Corefile)
    }

    /// Reads one file and what it imports.
    fn file(&mut self, file: &Arc<str>, contents: &[u8], level: Level) -> Vec<Statement> {
        let tokens = lexer::tokens(file, contents, self.faults);
        let tokens = environment::substitute(tokens, self.sources, self.faults);
        let mut statements = parser::statements(tokens, level, self.faults);
        if level != Level::Inner {
            statements = self.without_snippets(statements);
        }
        self.expand(statements, level)
    }

    /// Keeps the snippets of a file and returns its other statements.
    fn without_snippets(&mut self, statements: Vec<Statement>) -> Vec<Statement> {
        let mut others = Vec::with_capacity(statements.len());
        for statement in statements {
            let Some(name) = snippet_name(&statement) else {
                others.push(statement);
                continue;
            };
            let place = statement.name.place.clone();
            let Some(body) = statement.body else {
                let accepted = format!("({name}) {{ ... }}");
                self.faults.mistake(&place, format!("snippet ({name}) has no braces"), &accepted);
                continue;
            };
            if let Some(first) = self.snippets.get(&name) {
                let problem = format!("snippet ({name}) is already defined at {}", first.place);
                self.faults.mistake(&place, problem, "");
                continue;
            }
            self.snippets.insert(name, Snippet { place, body });
        }
        others
    }

    /// Puts what they name in the place of the imports among `statements`.
    fn expand(&mut self, statements: Vec<Statement>, level: Level) -> Vec<Statement> {
        let mut expanded = Vec::with_capacity(statements.len());
        for mut statement in statements {
            if self.statements >= MOST_STATEMENTS {
                let problem = format!("more than {MOST_STATEMENTS} lines with all imports");
                self.faults.mistake(&statement.name.place, problem, "");
                break;
            }
            if statement.name.text == "import" {
                expanded.extend(self.import(&statement, level));
                continue;
            }
            self.statements += 1;
            statement.body = statement.body.map(|body| self.expand(body, Level::Inner));
            expanded.push(statement);
        }
        expanded
    }

    /// What one `import` stands for.
    fn import(&mut self, statement: &Statement, level: Level) -> Vec<Statement> {
        let place = &statement.name.place;
        let ([pattern], None) = (statement.arguments.as_slice(), &statement.body) else {
            self.faults.mistake(place, "import takes one word and no braces", FORM);
            return Vec::new();
        };
        self.imports += 1;
        if self.imports > MOST_IMPORTS {
            let problem = format!("more than {MOST_IMPORTS} imports");
            self.faults.mistake(place, problem, "");
            return Vec::new();
        }
        if let Some(snippet) = self.snippets.get(&pattern.text) {
            let body = snippet.body.clone();
            return self
                .linked(format!("({})", pattern.text), pattern, |this| this.expand(body, level))
                .unwrap_or_default();
        }
        self.files(pattern, level)
    }

    /// The statements of the files that `pattern` names.
    fn files(&mut self, pattern: &Word, level: Level) -> Vec<Statement> {
        let path = beside(&pattern.place.file, &pattern.text);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if folder.contains(['*', '?', '[']) || name.contains('[') {
            let problem = format!("import: {:?} has a wildcard where none may be", pattern.text);
            self.faults.mistake(&pattern.place, problem, "* and ? in the name of the file");
            return Vec::new();
        }
        if !name.contains(['*', '?']) {
            return self.imported_file(pattern, &path, level);
        }
        // No folder is like an empty one: that is how optional files are imported.
        let mut names = match self.sources.list(folder) {
            Ok(names) => names,
            Err(SourceError::Missing) => Vec::new(),
            Err(error @ SourceError::Unreadable { .. }) => {
                let problem = format!("import: folder {folder:?} cannot be listed: {error}");
                self.faults.mistake(&pattern.place, problem, "");
                Vec::new()
            }
        };
        names.retain(|found| matches(name, found));
        names.sort();
        let mut statements = Vec::new();
        for found in names {
            let path = beside(&path, &found);
            statements.extend(self.imported_file(pattern, &path, level));
        }
        statements
    }

    /// The statements of the file at `path`, which `named` names.
    fn imported_file(&mut self, named: &Word, path: &str, level: Level) -> Vec<Statement> {
        let contents = match self.sources.read(path) {
            Ok(contents) => contents,
            Err(error) => {
                let kind = if named.text.contains('/') { "file" } else { "snippet or file" };
                let problem = format!("import: {kind} {path:?} cannot be read: {error}");
                self.faults.mistake(&named.place, problem, FORM);
                return Vec::new();
            }
        };
        let level = if level == Level::Inner { level } else { Level::Imported };
        let file = Arc::from(path);
        self.linked(path.to_owned(), named, |this| this.file(&file, &contents, level))
            .unwrap_or_default()
    }

    /// Does `read` with `link` at the end of the chain, unless that makes a circle.
    fn linked<T>(
        &mut self,
        link: String,
        named: &Word,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        if let Some(at) = self.chain.iter().position(|earlier| *earlier == link) {
            let circle = self.chain.get(at..).unwrap_or_default().join(" -> ");
            let problem = format!("import goes round in a circle: {circle} -> {link}");
            self.faults.mistake(&named.place, problem, "");
            return None;
        }
        if self.chain.len() > LONGEST_CHAIN {
            let problem = format!("imports are nested deeper than {LONGEST_CHAIN}");
            self.faults.mistake(&named.place, problem, "");
            return None;
        }
        self.chain.push(link);
        let result = read(self);
        self.chain.pop();
        Some(result)
    }
}

/// The name that `(name) { ... }` defines.
fn snippet_name(statement: &Statement) -> Option<String> {
    let name = statement.name.text.strip_prefix('(')?.strip_suffix(')')?;
    statement.arguments.is_empty().then(|| name.to_owned())
}

/// The path of `name` as seen from the folder of `file`.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
        Some(_) | None => name.to_owned(),
    }
}

/// Whether a file name fits a pattern of `*` and `?`; names with a leading dot fit none that does
/// not begin with one, as in a shell.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Row by row: whether the pattern so far fits the first `n` characters.
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for character in pattern {
        let before = fits.clone();
        for end in 0..=name.len() {
            let shorter = end.checked_sub(1);
            let last = shorter.and_then(|at| name.get(at));
            let after_one = shorter.and_then(|at| before.get(at)).copied().unwrap_or(false);
            fits[end] = match character {
                '*' => before[end] || shorter.is_some_and(|at| fits[at]),
                '?' => after_one,
                _ => after_one && last == Some(&character),
            };
        }
    }
    fits[name.len()]
}
