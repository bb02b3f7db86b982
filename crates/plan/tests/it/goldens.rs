//! Each `conformance/cases/<name>/given.json` compiles to the `plan.json` beside it. `BLESS=1` rewrites them.

use std::fs;
use std::path::PathBuf;

use plan::{Inputs, Plan, compile, content_hash};

/// Fewer means that the directory was not found or was emptied.
const AT_LEAST: usize = 12;

fn cases() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.join("given.json").exists())
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_case_compiles_to_its_plan() {
    let cases = cases();
    assert!(cases.len() >= AT_LEAST, "only {} cases", cases.len());
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases {
        let given = fs::read_to_string(case.join("given.json")).unwrap();
        let inputs: Inputs = serde_json::from_str(&given).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
        let plan = compile(&inputs);
        let text = serde_json::to_string_pretty(&plan).unwrap() + "\n";
        let back: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(back, plan, "{}: the written plan is the plan", case.display());
        assert_eq!(content_hash(&back), content_hash(&plan));
        let golden = case.join("plan.json");
        if bless {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "not the golden plan (BLESS=1 rewrites them):\n{}", wrong.join("\n"));
}
