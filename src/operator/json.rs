//! JSON for programs. Serde writes the documents. They hold whole numbers alone: code to print fractions is
//! larger than all the rest.

use serde::Serialize;

/// A document on one line, without a line end.
pub fn line(document: &impl Serialize) -> String {
    // Writing into memory cannot fail, and every key is a string.
    serde_json::to_string(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Document<'a> {
        text: &'a str,
        none: Option<u32>,
        most: u64,
    }

    #[test]
    fn a_document_is_one_line_in_the_order_of_its_fields() {
        let document = Document { text: "a \"b\" \\ \n ä\u{1}", none: None, most: u64::MAX };
        let expected = r#"{"text":"a \"b\" \\ \n ä\u0001","none":null,"most":18446744073709551615}"#;
        assert_eq!(line(&document), expected);
    }
}
