//! A JSON schema, as far as ours goes: type, const, enum, minimum, properties, required,
//! additionalProperties, items.

use serde_json::Value;

/// Everything in `value` that the schema does not allow, each with its place.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "$", &mut found);
    found
}

fn check(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let is_type = |name: &Value| match name.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("{other} is not used"),
    };
    let is_any = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is_type),
        name => is_type(name),
    };
    let is_listed = schema["enum"].as_array().is_none_or(|all| all.contains(value));
    let is_constant = schema.get("const").is_none_or(|one| one == value);
    let is_least =
        schema["minimum"].as_i64().is_none_or(|least| value.as_i64().is_none_or(|number| number >= least));
    if !(is_any && is_listed && is_constant && is_least) {
        found.push(format!("{place}: {value}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, &format!("{place}[{index}]"), found);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(key) {
            found.push(format!("{place}: no {key}"));
        }
    }
    for (key, inner) in object {
        match schema["properties"].get(key) {
            Some(schema) => check(schema, inner, &format!("{place}.{key}"), found),
            None if schema["additionalProperties"] == false => {
                found.push(format!("{place}: {key} is not described"))
            }
            None => {}
        }
    }
}

#[test]
fn a_schema_finds_what_is_not_in_it() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": { "type": ["integer", "null"], "minimum": 0 },
            "b": { "items": { "enum": ["x"] } }
        }
    });
    let count = |value| faults(&schema, &value).len();
    assert_eq!(
        [count(serde_json::json!({"a": 1})), count(serde_json::json!({"a": null, "b": ["x"]}))],
        [0, 0]
    );
    for wrong in
        ["{}", "[]", r#"{"a": "1"}"#, r#"{"a": -1}"#, r#"{"a": 1, "c": 1}"#, r#"{"a": 1, "b": ["y"]}"#]
    {
        assert!(count(serde_json::from_str(wrong).expect("JSON")) > 0, "{wrong}");
    }
}
