//! What is in a directory.

use std::fs;
use std::path::Path;

/// The names in it, in no order; none if it cannot be read.
pub fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
