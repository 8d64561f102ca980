//! What is in a directory.

use std::fs;
use std::path::Path;

/// The names in it, in no order; none if it cannot be read.
pub fn names_in(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return names };
    for entry in entries {
        let Ok(entry) = entry else { break };
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names
}
