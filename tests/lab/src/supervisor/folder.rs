//! Writes the folder that daemons watch.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Files;

/// The folder and what was written to it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    written: Files,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: Files::new() }
    }

    /// Makes the folder hold `files`, writing only what differs from what it wrote before.
    ///
    /// A file appears whole: it is written under a hidden name and renamed.
    pub(super) fn update(&mut self, files: Files) -> Result<()> {
        for (name, object) in &files {
            if self.written.get(name) == Some(object) {
                continue;
            }
            let hidden = self.path.join(format!(".{name}"));
            let text = serde_json::to_vec_pretty(object)?;
            fs::write(&hidden, text)
                .and_then(|()| fs::rename(&hidden, self.path.join(name)))
                .with_context(|| format!("{name} cannot be written"))?;
        }
        for name in self.written.keys().filter(|name| !files.contains_key(*name)) {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{name} cannot be removed"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.written = files;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_written_and_what_is_gone_is_removed() {
        let path = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(path.path().to_path_buf());
        let file = |name: &str, value: u8| (name.to_owned(), json!({"value": value}));
        folder.update(Files::from([file("a.json", 1), file("b.json", 1)])).unwrap();

        // Whoever removes a file finds out that it was not written again.
        fs::remove_file(path.path().join("a.json")).unwrap();
        folder.update(Files::from([file("a.json", 1), file("b.json", 2)])).unwrap();
        assert!(!path.path().join("a.json").exists());
        let text = fs::read_to_string(path.path().join("b.json")).unwrap();
        assert!(text.contains('2'));

        folder.update(Files::new()).unwrap();
        assert_eq!(fs::read_dir(path.path()).unwrap().count(), 0);
    }
}
