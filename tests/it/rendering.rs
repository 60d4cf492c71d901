//! Reports as people see them: drawn by a real browser, with the real Mermaid.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::World;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

/// Draws the files and gives what became of each.
fn draw(files: &[PathBuf]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/render.mjs");
    let modules = tools().join("npm/node_modules");
    let libraries = tools().join("usr/lib/x86_64-linux-gnu");
    let output = Command::new("node").arg(script).arg(modules).args(files).env("LD_LIBRARY_PATH", libraries).output();
    let output = output.expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every page that the snapshots hold.
fn summaries(dir: &Path) -> Vec<PathBuf> {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(snapshots).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("it__reports__") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let page = text.splitn(3, "---\n").nth(2).unwrap();
        let file = dir.join(name).with_extension("md");
        std::fs::write(&file, page).unwrap();
        files.push(file);
    }
    files.sort();
    files
}

#[test]
fn every_summary_is_drawn_with_its_charts_and_nothing_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let files = summaries(dir.path());
    assert!(files.len() >= 9, "{files:?}");
    for (drawn, file) in draw(&files).iter().zip(&files) {
        let page = std::fs::read_to_string(file).unwrap();
        assert_eq!(drawn["errors"], serde_json::json!([]), "{drawn:#}");
        assert_eq!(drawn["asked"], serde_json::json!([]), "{drawn:#}");
        assert_eq!((&drawn["images"], &drawn["links"]), (&0.into(), &0.into()), "{drawn:#}");
        assert_eq!(drawn["charts"], page.matches("```mermaid").count(), "{drawn:#}");
        assert!(drawn["tables"].as_u64().unwrap() >= 1, "{drawn:#}");
    }
}

#[test]
fn the_page_of_explain_opens_without_a_network() {
    let world = World::scenario();
    world.wipe_and_clone();
    let page = world.dir.join("page.html");
    let output =
        world.rekindle(&["explain", "--html", page.to_str().unwrap(), "--", "cargo", "build", "--quiet", "--offline"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let compiled: u64 = said.split(' ').next().unwrap().parse().unwrap();
    let drawn = &draw(&[page])[0];
    assert_eq!((&drawn["errors"], &drawn["asked"]), (&serde_json::json!([]), &serde_json::json!([])), "{drawn:#}");
    assert_eq!((&drawn["rows"], &drawn["outside"]), (&compiled.into(), &0.into()), "{said}\n{drawn:#}");
}
