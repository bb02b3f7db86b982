#![allow(clippy::unwrap_used)]

use super::*;

fn json_of(text: &str) -> serde_json::Value {
    parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}")).root.to_json()
}

fn error_of(text: &str) -> String {
    parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn values_are_those_consul_reads() {
    // Each pair was read back from the agent of a real Consul.
    for (text, json) in [
        (r#"a = "x${ "q\n" }y""#, r#"{"a":"x${ \"q\\n\" }y"}"#),
        (r#"a = "%{ if }\t\101\x42\u00e9""#, r#"{"a":"%{ if }\tABé"}"#),
        ("a = 0x1F b = 0644 c = -3 d = 1.5 e = 1e2 f = .5", r#"{"a":31,"b":420,"c":-3,"d":1.5,"e":100.0,"f":0.5}"#),
        ("a = <<EOF\n  abc\n   EOF\n", r#"{"a":"  abc\n   "}"#),
        ("a = <<-EOF\n    abc\n      def\n    EOF\n", r#"{"a":"abc\n  def\n"}"#),
        ("a = <<-EOF\n  abc\n    EOF\n", r#"{"a":"  abc\n"}"#),
        ("a { b { c {} } }", r#"{"a":{"b":{"c":{}}}}"#),
        ("a \"b\" c { d = 1 }", r#"{"a":{"b":{"c":{"d":1}}}}"#),
        ("a { x = 1 } a { x = 2 }", r#"{"a":[{"x":1},{"x":2}]}"#),
        ("a { x = 1 } a = [{ x = 2 }] a { x = 3 }", r#"{"a":[{"x":1},{"x":2},{"x":3}]}"#),
        ("a = [1] a = [2, 3]", r#"{"a":[1,2,3]}"#),
        ("a = 1, b = 2", r#"{"a":1,"b":2}"#),
        ("a = [,1,,2,]", r#"{"a":[1,2]}"#),
        ("a = [[1] [2]]", r#"{"a":[[1],[2]]}"#),
        ("\"a\" = 1\r\n# c\r\nb = 2 // d\n/* e */ c = 3", r#"{"a":1,"b":2,"c":3}"#),
        (" { \"a\": {\"b\": 1}, \"a\": {\"b\": 2} }", r#"{"a":[{"b":1},{"b":2}]}"#),
        ("a.b = 1 c-d = true", r#"{"a.b":1,"c-d":true}"#),
        ("", "{}"),
        ("\u{feff}a = 1", r#"{"a":1}"#),
    ] {
        assert_eq!(json_of(text), serde_json::from_str::<serde_json::Value>(json).unwrap(), "{text}");
    }
}

#[test]
fn mistakes_say_where_and_what() {
    for (text, error) in [
        ("a = ", "1:5: expected a value, got the end of the file"),
        ("a = = 1", "1:5: expected a value, got ="),
        ("a = b", "1:5: expected a value, got b"),
        ("a = - 1", "1:5: expected a value, got -"),
        ("a 1", "1:3: expected = or { behind the key a, got 1"),
        ("a", "1:2: expected = or { behind the key a, got the end of the file"),
        ("x = 1\na \"b\" = 1", "2:7: expected { behind the label of a, got ="),
        ("= 1", "1:1: expected a key, got ="),
        ("}", "1:1: expected a key, got }"),
        ("a = 1,, b = 2", "1:7: expected a key, got ,"),
        ("a {\n b = 1", "2:7: expected } for the block that begins at 1:3, got the end of the file"),
        ("a = [1, 2", "1:10: expected ] for the list that begins at 1:5, got the end of the file"),
        ("a = [1 2]", "1:8: expected a comma or ], got 2"),
        ("a = [{} {}]", "1:9: expected a comma or ], got {"),
        ("a = \"x\nb = 1", "1:5: expected a closing \" for this string, got the end of the line"),
        ("a = \"${\"", "1:5: expected a closing \" for this string, got the end of the file"),
        ("a = \"\\q\"", "1:6: expected an escape (\\n \\t \\\" \\\\ \\x41 \\u00e9 …), got \\q"),
        ("a = 089", "1:5: expected an octal number (it begins with 0), got \"089\""),
        ("a = 0x", "1:5: expected a hexadecimal number, got \"\""),
        ("a = 1e", "1:5: expected a number, got 1e"),
        ("a = 99999999999999999999", "1:5: expected a number of 64 bits, got one that is larger"),
        ("a = true;", "1:9: expected a key or a value, got the character ';'"),
        ("a = 1 /* b", "1:7: expected */ for the comment that begins here, got the end of the file"),
        ("/ a", "1:1: expected // or /* for a comment, got a single /"),
        (
            "a = <<EOF\nb\nEOF",
            "1:5: expected a line that holds only EOF for the heredoc that begins here, got the end of the file",
        ),
        ("a = << EOF\n", "1:7: expected a word such as EOF right behind <<, got ' '"),
        ("é = 1\nü = @", "2:5: expected a key or a value, got the character '@'"),
        ("{nope", "1:2: invalid character 'n' looking for beginning of object key string"),
        ("{} x", "1:4: invalid character 'x' after top-level value"),
    ] {
        assert_eq!(error_of(text), error, "{text}");
    }
    assert_eq!(parse(b"Kind = = \n").unwrap_err().consul_text(), "At 1:8: Unknown token: 1:8 ASSIGN =");
    assert_eq!(parse(b"a = 1\nb\xff").unwrap_err().to_string(), "2:2: expected UTF-8 text, got another encoding");
}

#[test]
fn a_request_body_fails_in_the_words_of_go() {
    for (text, error) in [
        ("", "EOF"),
        ("  ", "EOF"),
        ("{", "unexpected EOF"),
        ("{\"a\":1", "unexpected EOF"),
        ("{nope", "invalid character 'n' looking for beginning of object key string"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[01]", "invalid character '1' after array element"),
        ("[1.x]", "invalid character 'x' after decimal point in numeric literal"),
        ("\"\\q\"", "invalid character 'q' in string escape code"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("<", "invalid character '<' looking for beginning of value"),
    ] {
        assert_eq!(parse_json_body(text.as_bytes()).unwrap_err().reason(), error, "{text}");
    }
    let body = parse_json_body(br#"{"a":"\ud83d\ude00","a":[1,2.5,null]} trailing"#).unwrap();
    assert_eq!(body.to_json(), serde_json::json!({"a": [1, 2.5, null]}));
}

#[test]
fn warnings_name_what_was_forgiven() {
    let document = parse(b"kind: \"x\"\na = 1\na = 2\n").unwrap();
    let texts: Vec<String> = document.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("1:5: kind is followed by a colon"), "{texts:?}");
    assert_eq!(texts[1], "3:1: a was set before, at 2:1; this one counts");
}

#[test]
fn absurd_sizes_end_in_an_error_and_not_in_the_stack() {
    for open in ["a {", "a = [", "a b c {", "{\"a\":", "a = {"] {
        let text = open.repeat(100_000);
        assert!(parse(text.as_bytes()).is_err(), "{open}");
    }
    assert!(error_of(&"a { ".repeat(101)).contains("at most 100 levels of nesting"));
    assert!(parse_json(&b"[".repeat(100_000)).is_err());
    assert!(parse(&vec![b' '; MAX_BYTES + 1]).is_err());
}

#[test]
fn time_grows_with_the_text_only() {
    // Many keys, many repeats of one key, one long comment, string and heredoc: each quadratic in a careless reader.
    let keys: String = (0..100_000).map(|i| format!("k{i} = {i}\n")).collect();
    let repeats = "a { b = 1 }\n".repeat(100_000);
    let long = "x".repeat(1 << 20);
    let texts = [
        keys,
        repeats,
        format!("/*{long}*/ a = \"{long}\""),
        format!("a = <<EOF\n{}EOF\n", format!("{}\n", &long[..10]).repeat(100_000)),
        "/".repeat(1 << 20),
        "<<E\n".repeat(1 << 18),
    ];
    let started = std::time::Instant::now();
    for text in &texts {
        let _ = parse(text.as_bytes());
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
