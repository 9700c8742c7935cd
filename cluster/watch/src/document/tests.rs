use super::*;
use crate::key::ObjectKey;

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

/// What each conversion is, as text.
fn described(conversions: Result<Vec<Conversion>, ParseFault>) -> Vec<String> {
    let describe = |conversion: Conversion| match conversion {
        Conversion::Read { change, rejections } => {
            assert_eq!(rejections, []);
            format!("{:?}", ObjectKey::of(&change.unwrap()))
        }
        Conversion::Ignored { kind } => format!("ignored {kind}"),
    };
    conversions.unwrap().into_iter().map(describe).collect()
}

fn yaml(text: &str) -> Vec<String> {
    described(parse(Format::Yaml, text.as_bytes()))
}

fn json(text: &str) -> Vec<String> {
    described(parse(Format::Json, text.as_bytes()))
}

fn fault(format: Format, content: &[u8]) -> ParseFault {
    parse(format, content).unwrap_err()
}

#[test]
fn only_manifests_have_a_format() {
    for (name, format) in [
        ("all.json", Some(Format::Json)),
        ("all.yaml", Some(Format::Yaml)),
        ("all.v2.yml", Some(Format::Yaml)),
        (".hidden.yaml", None),
        (".yaml", None),
        ("yaml", None),
        ("all.yaml~", None),
        ("all.yaml.swp", None),
        ("README.md", None),
    ] {
        assert_eq!(Format::of(name), format, "{name}");
    }
}

#[test]
fn documents_follow_each_other() {
    let text = format!("# all of it\n---\n{NAMESPACE}---\n# nothing here\n---\n{NAMESPACE}...\n");
    assert_eq!(yaml(&text), ["Namespace(\"shop\")", "Namespace(\"shop\")"]);
    let text = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}
                  {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}"#;
    assert_eq!(json(text), ["Namespace(\"a\")", "Namespace(\"b\")"]);
}

#[test]
fn nothing_at_all_is_no_object() {
    for text in ["", "\n", "---\n", "# comment\n", "---\n---\n", "null\n"] {
        assert_eq!(yaml(text), Vec::<String>::new(), "{text:?}");
    }
    for text in ["", "  \n", "null"] {
        assert_eq!(json(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn a_list_is_its_items_wherever_its_kind_stands() {
    let item = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#;
    let other = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shop"}}"#;
    for text in [
        format!(r#"{{"apiVersion":"v1","kind":"List","items":[{item},{other}],"metadata":{{}}}}"#),
        format!(r#"{{"apiVersion":"v1","items":[{item},{other}],"kind":"List"}}"#),
    ] {
        let expected = ["Namespace(\"shop\")", "ignored apps/v1 Deployment"];
        assert_eq!(json(&text), expected);
        assert_eq!(yaml(&text), expected, "JSON is YAML");
    }
}

#[test]
fn items_of_a_typed_list_take_its_kind() {
    let items = r#""items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]"#;
    for text in [
        format!(r#"{{"kind":"NamespaceList","apiVersion":"v1",{items}}}"#),
        format!(r#"{{{items},"apiVersion":"v1","kind":"NamespaceList"}}"#),
    ] {
        assert_eq!(json(&text), ["Namespace(\"a\")", "Namespace(\"b\")"]);
    }
    let text = format!(r#"{{"apiVersion":"v1","kind":"List",{items}}}"#);
    assert_eq!(json(&text), ["ignored no apiVersion no kind"; 2]);
}

#[test]
fn an_empty_list_has_no_items() {
    assert_eq!(json(r#"{"apiVersion":"v1","kind":"List","items":[]}"#), Vec::<String>::new());
    assert_eq!(json(r#"{"apiVersion":"v1","kind":"List","items":null}"#), Vec::<String>::new());
    assert_eq!(json(r#"{"apiVersion":"v1","kind":"List"}"#), Vec::<String>::new());
}

#[test]
fn an_item_that_is_no_object_costs_only_itself() {
    let text = format!(
        "kind: List\nitems:\n- null\n- 7\n- [a]\n- {{{}}}\n",
        "apiVersion: v1, kind: Namespace, metadata: {name: shop}"
    );
    assert_eq!(yaml(&text), ["ignored null", "ignored 7", "ignored a list", "Namespace(\"shop\")"]);
}

#[test]
fn values_of_any_type_in_any_field_are_no_syntax_error() {
    for value in [
        "null",
        "true",
        "7",
        "-7",
        "1.5",
        "text",
        "[a, {b: c}]",
        "{a: [b]}",
        "18446744073709551615",
    ] {
        for field in ["metadata", "spec", "status", "endpoints", "ports", "addressType"] {
            for kind in ["Service", "Node", "Pod", "Namespace"] {
                let text = format!("apiVersion: v1\nkind: {kind}\n{field}: {value}\n");
                assert!(parse(Format::Yaml, text.as_bytes()).is_ok(), "{text}");
            }
        }
    }
}

#[test]
fn broken_json_is_said_with_line_and_column() {
    let fault = fault(Format::Json, b"{\n  \"kind\": \"List\",\n  \"items\": [}\n");
    assert_eq!(fault.position, Some((3, 13)));
    assert_eq!(fault.reason, "expected value");
}

#[test]
fn broken_yaml_is_said_with_line_and_column() {
    let fault = fault(Format::Yaml, b"kind: Service\nmetadata:\n  name: web\n bad: [\n");
    let (line, _) = fault.position.unwrap();
    assert!((4..=5).contains(&line), "{fault:?}");
    assert!(!fault.reason.is_empty() && !fault.reason.contains(" at line "), "{fault:?}");
}

#[test]
fn one_broken_document_makes_the_file_unreadable() {
    let text = format!("{NAMESPACE}---\nkind: [\n");
    assert_eq!(fault(Format::Yaml, text.as_bytes()).position.unwrap().0, 5);
}

#[test]
fn a_repeated_key_is_a_fault() {
    let fault_yaml = fault(Format::Yaml, b"kind: List\nkind: List\n");
    assert_eq!(fault_yaml.position.map(|(line, _)| line), Some(2), "{fault_yaml:?}");
    let fault_json = fault(Format::Json, b"{\"kind\":\"List\",\n\"kind\":\"List\"}");
    assert_eq!(fault_json.position.map(|(line, _)| line), Some(2), "{fault_json:?}");
}

#[test]
fn a_document_that_is_no_object_is_a_fault() {
    assert_eq!(fault(Format::Yaml, b"- a\n- b\n").reason, "a document is a list, not an object");
    assert_eq!(
        fault(Format::Json, b"{\"kind\":\"List\",\"items\":7}").reason,
        "items is 7, not a list"
    );
}

#[test]
fn text_that_is_not_utf8_is_said_with_its_place() {
    let fault = fault(Format::Yaml, b"kind: List\nitem\xff\n");
    assert_eq!(fault.position, Some((2, 5)));
    assert_eq!(fault.reason, "is not UTF-8 text");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        let aliases = vec![alias; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(parse(Format::Yaml, text.as_bytes()).is_err());
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    assert!(parse(Format::Yaml, format!("a: {deep}").as_bytes()).is_err());
    assert!(parse(Format::Json, format!("{{\"a\":{deep}").as_bytes()).is_err());
}
