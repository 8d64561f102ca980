//! Which files of `src` use which, and where they do so in a circle.
//!
//! A file uses another one when its code names something that the other one defines. What a `mod.rs` hands on
//! (`pub use`) belongs to the file that defines it. Code for tests does not count.
//!
//! A `mod.rs` is the face of its folder. It may name what lies inside, and the files inside may name what it
//! defines: its own arrows into its folder do not count. All other arrows do. The roots of the two halves,
//! `lib.rs` and `main.rs`, define nothing that is used.
//!
//! A method is no name of a file: an object may be written in several files, one of which defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, words};

/// The names from the root of a half to a module, or to something in one.
type Path = Vec<String>;

/// For each file, those that it uses.
type Uses<'a> = BTreeMap<&'a Path, BTreeSet<&'a Path>>;

/// One file.
struct Module {
    /// From the root of the project.
    path: String,
    /// Its code, without what is for tests.
    code: String,
    /// What it hands on: the name here, and what that stands for.
    handed_on: Vec<(String, Path)>,
}

/// The files of both halves, which have no module of one name at their roots.
struct House(BTreeMap<Path, Module>);

/// The shortest circle through each file that is in one; each circle once, from its first file on.
pub fn circles(sources: &[Source]) -> BTreeSet<String> {
    let house = House::of(sources);
    let uses: Uses = house.0.iter().map(|(name, module)| (name, house.uses(name, module))).collect();
    let circles = uses.keys().filter_map(|start| shortest_circle(&uses, start));
    let told = circles.map(|mut circle| {
        let first = (0..circle.len()).min_by_key(|at| circle[*at]).expect("a circle has a member");
        circle.rotate_left(first);
        circle.push(circle[0]);
        let paths: Vec<_> = circle.into_iter().map(|name| house.0[name].path.as_str()).collect();
        paths.join(" -> ")
    });
    told.collect()
}

/// The shortest way from `start` back to itself.
fn shortest_circle<'a>(uses: &Uses<'a>, start: &'a Path) -> Option<Vec<&'a Path>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start]];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in &uses[way[way.len() - 1]] {
                if *next == start {
                    return Some(way);
                }
                if seen.insert(*next) {
                    longer.push([&way[..], &[*next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

impl House {
    fn of(sources: &[Source]) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = Vec::new();
        for source in sources {
            let Some(name) = name_of(&source.path) else { continue };
            let (code, for_tests) = without_tests(&source.code);
            tests.extend(for_tests.into_iter().map(|file| [&name[..], &[file]].concat()));
            modules.insert(name, Module { path: source.path.clone(), code, handed_on: Vec::new() });
        }
        modules.retain(|name, _| !tests.iter().any(|test| name.starts_with(test)));
        let mut house = Self(modules);
        let handed_on: Vec<_> =
            house.0.iter().map(|(name, module)| house.hands_on(name, &module.code)).collect();
        for (module, handed_on) in house.0.values_mut().zip(handed_on) {
            module.handed_on = handed_on;
        }
        house
    }

    /// What a module hands on.
    fn hands_on(&self, name: &Path, code: &str) -> Vec<(String, Path)> {
        let mut found = Vec::new();
        for path in handing_on(code).into_iter().flat_map(paths) {
            let is_renamed = path.len() > 2 && path[path.len() - 2] == "as";
            let target = if is_renamed { &path[..path.len() - 2] } else { &path[..] };
            if let (Some(here), Some(target)) = (path.last(), self.rooted(name, target)) {
                found.push((here.clone(), target));
            }
        }
        found
    }

    /// The same path from the root of the half; none if it begins with no module.
    fn rooted(&self, from: &Path, path: &[String]) -> Option<Path> {
        let mut base = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            inside => {
                base.push(inside.to_string());
                return self.0.contains_key(&base).then(|| [&from[..], path].concat());
            }
        }
        while rest.first().is_some_and(|part| part == "super") {
            base.pop();
            rest = &rest[1..];
        }
        Some([&base[..], rest].concat())
    }

    /// The file that defines what a path from the root names.
    fn home(&self, path: &[String]) -> Option<&Path> {
        let length = (1..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (name, module) = self.0.get_key_value(&path[..length])?;
        let is_item = |handed: &&(String, Path)| path.get(length) == Some(&handed.0);
        match module.handed_on.iter().find(is_item) {
            Some((_, target)) => self.home(&[target, &path[length + 1..]].concat()),
            None => Some(name),
        }
    }

    /// The files that a module uses.
    fn uses(&self, name: &Path, module: &Module) -> BTreeSet<&Path> {
        let is_face = module.path.ends_with("/mod.rs");
        let homes = paths(&module.code).into_iter().filter_map(|path| self.home(&self.rooted(name, &path)?));
        homes.filter(|home| *home != name && !(is_face && home.starts_with(name))).collect()
    }
}

/// The module that a file of `src` is; none for the roots, for tests, and for what lies elsewhere.
fn name_of(path: &str) -> Option<Path> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    let is_part = inside != "lib" && inside != "main" && !inside.ends_with("tests");
    is_part.then(|| inside.split('/').map(String::from).collect())
}

/// Code without the items for tests, and those of these that are modules in files of their own.
pub fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut parts = code.split("#[cfg(test)]");
    let mut rest = parts.next().unwrap_or_default().to_string();
    let mut files = Vec::new();
    for part in parts {
        let (item, after) = part.split_at(end_of_item(part));
        if item.ends_with(';') {
            files.extend(words(item).skip_while(|word| *word != "mod").nth(1).map(String::from));
        }
        rest.push_str(after);
    }
    (rest, files)
}

/// Where the item, the field or the arm ends that `code` begins with.
fn end_of_item(code: &str) -> usize {
    let is_function = words(code).take_while(|word| *word != "mod").take(3).any(|word| word == "fn");
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (matches!(c, '}' | ';') || (c == ',' && !is_function)) {
            return at + 1;
        }
    }
    code.len()
}

/// What is handed on by each `pub use`.
fn handing_on(code: &str) -> Vec<&str> {
    let starts = ["pub use ", "pub(crate) use ", "pub(super) use "];
    let items = starts.into_iter().flat_map(|start| code.split(start).skip(1));
    items.map(|rest| rest.split(';').next().unwrap_or_default()).collect()
}

/// All paths of two names and more in `code`; those in braces one by one.
fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
        rest = path(&rest[start..], &[], &mut found);
    }
    found
}

/// Reads the path that `code` begins with, behind `prefix`; what follows it.
fn path<'a>(code: &'a str, prefix: &[String], found: &mut Vec<Path>) -> &'a str {
    let mut names = prefix.to_vec();
    let mut rest = code;
    loop {
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        if !name.is_empty() && (name != "self" || names.is_empty()) {
            names.push(name.to_string());
        }
        rest = after;
        if let Some(group) = rest.strip_prefix("::{") {
            return braces(group, &names, found);
        }
        if let Some(after) = rest.strip_prefix("::") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(" as ") {
            names.push("as".to_string());
            rest = after;
        } else {
            break;
        }
    }
    if names.len() > 1 {
        found.push(names);
    }
    rest
}

/// Reads what stands in braces behind `prefix`; what follows it.
fn braces<'a>(code: &'a str, prefix: &[String], found: &mut Vec<Path>) -> &'a str {
    let mut rest = code;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        match rest.strip_prefix('}') {
            Some(after) => return after,
            None if rest.is_empty() => return rest,
            None => {}
        }
        let before = rest.len();
        rest = path(rest, prefix, found);
        if rest.len() == before {
            rest = rest.trim_start_matches(|c: char| c != ',' && c != '}');
        }
    }
}

/// What is found in these files.
#[cfg(test)]
fn found_in(files: &[(&str, &str)]) -> Vec<String> {
    let file = |(path, code): &(&str, &str)| Source {
        path: format!("src/{path}"),
        text: code.to_string(),
        code: code.to_string(),
    };
    circles(&files.iter().map(file).collect::<Vec<_>>()).into_iter().collect()
}

#[test]
fn a_circle_is_found_whatever_its_names_go_through() {
    let files = [
        ("cable/mod.rs", "pub mod line;\npub use line::{Baud as Speed, Parity};"),
        ("cable/line.rs", "use crate::{time, port::{self, Port}};"),
        ("port.rs", "fn bits() -> u8 { crate::fit::bits() }"),
        ("fit.rs", "use super::cable::Speed;\nuse crate::time;"),
        ("time.rs", "use std::time;"),
    ];
    let circle = "src/cable/line.rs -> src/port.rs -> src/fit.rs -> src/cable/line.rs";
    assert_eq!(found_in(&files), [circle]);
    let broken = files.map(|(path, code)| (path, if path == "fit.rs" { "use crate::time;" } else { code }));
    assert_eq!(found_in(&broken), [""; 0]);
}

#[test]
fn a_face_may_name_what_lies_inside_and_nothing_else_that_leads_back() {
    let files = [
        ("guard/mod.rs", "mod turn;\nuse turn::Turn;\npub struct Order;\nuse crate::agent::Agent;"),
        ("guard/turn.rs", "use super::Order;\n#[cfg(test)]\nmod tests { use crate::agent::Agent; }"),
        ("agent.rs", "pub struct Agent;"),
    ];
    assert_eq!(found_in(&files), [""; 0]);
    let back =
        files.map(|(path, code)| (path, if path == "agent.rs" { "use crate::guard::turn;" } else { code }));
    assert_eq!(found_in(&back), ["src/agent.rs -> src/guard/turn.rs -> src/guard/mod.rs -> src/agent.rs"]);
}
