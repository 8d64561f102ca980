//! `config/schema/crosswire.schema.json`, by which an editor knows a configuration, says what the loader
//! reads: the same keys, and the same values of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::super::table::{READ, Reading};
use super::{asked, load_as};

const DOCUMENTED: &str = include_str!("../../../config/crosswire.toml");

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../config/schema/crosswire.schema.json")).expect("JSON")
}

/// A file as the schema sees it.
fn value(text: &str) -> Value {
    let table = DeTable::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    json_of(&DeValue::Table(table.into_inner()))
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text.as_ref()),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().expect("a number")),
        DeValue::Boolean(flag) => json!(flag),
        DeValue::Array(array) => array.iter().map(|element| json_of(element.get_ref())).collect(),
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                (key.clone().into_owned(), json_of(value.get_ref()))
            };
            Value::Object(table.iter().map(entry).collect())
        }
        DeValue::Float(_) | DeValue::Datetime(_) => panic!("no key of ours"),
    }
}

/// Whether the schema accepts a value; it knows the parts of JSON Schema that ours uses.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return is_valid(root, definition(root, name), value);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().any(|one| is_valid(root, one, value));
    }
    let is_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        other => panic!("{other:?} is not used"),
    };
    if !is_type {
        return false;
    }
    let is_listed = schema["enum"].as_array().is_none_or(|all| all.contains(value));
    let is_span = schema.get("pattern").is_none_or(|_| value.as_str().is_some_and(is_span));
    let is_least = schema["minimum"].as_i64().is_none_or(|least| value.as_i64() >= Some(least));
    let is_most = schema["maximum"].as_i64().is_none_or(|most| value.as_i64() <= Some(most));
    let is_inside = value.as_array().into_iter().flatten().all(|item| is_valid(root, &schema["items"], item));
    let is_own = value.as_object().into_iter().flatten().all(|(key, inner)| {
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(own), _) => is_valid(root, own, inner),
            (None, Value::Bool(false)) => false,
            (None, other) => is_valid(root, other, inner),
        }
    });
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_whole = required.all(|key| value.get(key).is_some());
    is_listed && is_span && is_least && is_most && is_inside && is_own && is_whole
}

/// The one pattern of the schema.
fn is_span(text: &str) -> bool {
    crate::settings::parse_span(text).is_some()
}

fn definition<'s>(root: &'s Value, name: &str) -> &'s Value {
    root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"))
}

/// The annotated file, with everything that it shows behind a `#`.
fn documented() -> String {
    let shown = |line: &str| {
        let begins = |c: char| c.is_ascii_lowercase() || c == '[';
        line.strip_prefix('#').filter(|rest| rest.starts_with(begins)).unwrap_or(line).to_owned() + "\n"
    };
    DOCUMENTED.lines().map(shown).collect()
}

/// What the loader reads of this file: by definition of the schema, the keys, and how each is read.
fn read(text: &str) -> BTreeMap<String, Vec<(String, Reading)>> {
    READ.with_borrow_mut(Vec::clear);
    let _ = load_as(text, &asked("gw1"));
    let mut read: BTreeMap<String, Vec<(String, Reading)>> = BTreeMap::new();
    for (table, key, reading) in READ.take() {
        let name = table.trim_start_matches('[').split(['.', ']']).next().unwrap_or_default();
        let name = match name {
            "an element of addresses" => "address",
            "an element of routes" => "route",
            "an element of rules" => "rule",
            "an element of scripts" | "an element of before" => "script",
            "an element of ready" => "check",
            name => name,
        };
        read.entry(name.to_owned()).or_default().push((key, reading));
    }
    read
}

/// Whether the property accepts what the loader accepts, and nothing that the loader refuses.
fn check(root: &Value, key: &str, property: &Value, reading: &Reading) {
    let takes = |value: Value| is_valid(root, property, &value);
    let is_right = match reading {
        Reading::Known(_) => return,
        // A word or a time may be one of a few.
        Reading::Text => !takes(json!(1)) && !takes(json!(true)),
        Reading::Texts => takes(json!("x")) && takes(json!(["x", "y"])) && !takes(json!([1])),
        Reading::Elements => takes(json!("x")) && takes(json!(["x"])) && !takes(json!([{ "bogus": 1 }])),
        Reading::Number(least, most) => {
            let beyond = [i64::from(*least) - 1, i64::from(*most) + 1];
            let is_open = *most == u32::MAX;
            takes(json!(least))
                && takes(json!(most))
                && !takes(json!(beyond[0]))
                && (is_open || !takes(json!(beyond[1])))
                && !takes(json!("1"))
        }
        Reading::Span => takes(json!("10ms")) && takes(json!("1.5 s")) && !takes(json!("10")),
        Reading::TextOrFlag => takes(json!(true)) && takes(json!("x")) && !takes(json!(1)),
        Reading::Flag => takes(json!(true)) && !takes(json!("true")),
        Reading::Choice(words) => {
            let listed: BTreeSet<&str> =
                property["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            listed == words.iter().map(String::as_str).collect()
        }
    };
    assert!(is_right, "{key} is read as {reading:?}, the schema says {property}");
}

#[test]
fn the_schema_has_the_keys_that_the_loader_reads_and_says_of_each_what_it_may_be() {
    let root = schema();
    // What the example does not show: fences of other kinds have other keys.
    let more = "[[fence]]\nmethod = \"sysrq\"\nport = \"/dev/ttyS1\"\n\
                [[fence]]\nmethod = \"reset-cable\"\nport = \"/dev/ttyS1\"\n\
                [group.more]\n\
                addresses = { address = \"10.0.0.7/24@eth0\", carrier = \"ignore\", vmac = true }\n\
                routes = { route = \"default via 10.0.0.7\", when = \"backup\" }\n\
                rules = { rule = \"from 10.0.0.7 table 7\", when = \"backup\" }\n";
    let mut seen = BTreeSet::new();
    for text in [documented(), documented().replace("[fence]", "[[fence]]") + more] {
        for (table, readings) in read(&text) {
            let own = if table.is_empty() { &root } else { &root["definitions"][&table] };
            assert!(own.is_object(), "[{table}] is not in the schema");
            assert_eq!(own["additionalProperties"], false, "[{table}]");
            for (key, reading) in readings {
                if let Reading::Known(keys) = &reading {
                    let listed: BTreeSet<&String> =
                        own["properties"].as_object().expect("keys").keys().collect();
                    assert_eq!(listed, keys.iter().collect(), "keys of [{table}]");
                    seen.insert(table.clone());
                } else if table != "interface_names" {
                    check(&root, &format!("{key} in [{table}]"), &own["properties"][&key], &reading);
                }
            }
        }
    }
    let described: BTreeSet<String> =
        root["definitions"].as_object().expect("definitions").keys().cloned().collect();
    let tables: BTreeSet<String> = described.into_iter().filter(|name| name != "span").collect();
    seen.remove("");
    assert_eq!(seen, tables, "every table that is described is one that the loader has read");
}

#[test]
fn every_file_that_is_documented_is_valid_and_no_unknown_key_is() {
    let root = schema();
    let whole = value(&documented());
    assert!(is_valid(&root, &root, &whole), "{whole:#}");
    assert!(is_valid(&root, &root, &value(DOCUMENTED)));
    for place in ["", "/node/gw1", "/serial", "/lan", "/timing", "/system", "/group/gateway", "/fence"] {
        let mut spoilt = whole.clone();
        let table = spoilt.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
        table.insert("adresses".to_owned(), json!("x"));
        assert!(!is_valid(&root, &root, &spoilt), "{place}");
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["config/examples", "tests/fixtures"] {
        find(&here.join(folder), &mut files);
    }
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        assert!(is_valid(&root, &root, &value(&text)), "{}", file.display());
    }
}

/// Every configuration below a folder.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
}
