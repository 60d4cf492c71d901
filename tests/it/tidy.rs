//! The repository itself: texts that say the same thing do. Who imports whom is in `rooms`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_readme_names_every_command_and_option() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rekindle")).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = help(&[]);
    let commands =
        listed.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert_eq!(names, ["restore", "save", "explain", "try", "key", "mtime", "doctor", "python", "cargo"]);
    for name in names {
        assert!(readme.contains(&format!("`rekindle {name}")), "the README does not name `rekindle {name}`");
        let text = help(&[name]);
        let lines = text.lines().map(str::trim).filter(|line| {
            line.starts_with("--") && line.contains(" <")
                || line.starts_with("--json")
                || line.starts_with("--commit")
                || line.starts_with("--deny")
                || line.starts_with("--export")
        });
        let options = lines.filter_map(|line| line.split([' ', '=', '"']).next());
        for option in options.filter(|option| *option != "--help") {
            assert!(readme.contains(&format!("`{option}")), "the README does not name `{option}` of `{name}`");
        }
    }
}

fn yaml(path: &Path) -> serde_yaml::Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Names at the first level below a key of an action's file, in order.
fn members(action: &str, of: &str) -> Vec<String> {
    let action = yaml(&root().join(action));
    action[of].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// First cells of the table below this head in the README.
fn rows(head: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    lines.map(|line| line.split('|').nth(1).unwrap().trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn the_actions_inputs_are_those_of_the_program_and_of_the_readme() {
    let inputs = members("action.yml", "inputs");
    assert_eq!(inputs, rekindle::job::inputs::OF_THE_ACTION);
    assert_eq!(rows("| input |"), inputs);
    let mut of_hook = members("dist/hook/action.yml", "inputs");
    of_hook.retain(|name| name != "binary" && name != "job-status");
    assert_eq!(of_hook, inputs);
    // Every one of them is handed on, and the program reads it under the name that the hook gives it.
    let composite = yaml(&root().join("action.yml"));
    let steps = composite["runs"]["steps"].as_sequence().unwrap();
    let handed_on = &steps.iter().find(|step| step["uses"] == "$/dist/hook").unwrap()["with"];
    let help = Command::new(env!("CARGO_BIN_EXE_rekindle")).args(["restore", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in &inputs {
        assert_eq!(handed_on[name.as_str()], format!("${{{{ inputs.{name} }}}}"), "{name} is not handed on");
        let variable = format!("REKINDLE_{}", name.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("[env: {variable}")), "the program does not read {variable}");
    }
}

#[test]
fn the_actions_outputs_are_those_of_the_program_and_of_the_readme() {
    let outputs = members("action.yml", "outputs");
    let printed = rekindle::report::outputs::restore(&rekindle::job::outcome::RestoreOutcome::default());
    assert_eq!(printed.map(|(name, _)| name.to_owned()).to_vec(), outputs);
    assert_eq!(members("dist/hook/action.yml", "outputs"), outputs);
    assert_eq!(rows("| output |"), outputs);
}

#[test]
fn the_changelog_has_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_ci_entry_runs_the_readmes_test_command() {
    let entry = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(entry.contains("tests/all.sh"));
    assert!(fs::read_to_string(root().join("README.md")).unwrap().contains("tests/all.sh"));
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Every file that can name another action.
fn workflows_and_actions() -> Vec<PathBuf> {
    let workflows = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let actions = ["action.yml", "dist/hook/action.yml"].map(|file| root().join(file));
    workflows.chain(actions.into_iter().filter(|path| path.exists())).collect()
}

/// Whatever stands below this key, at any depth.
fn below<'a>(value: &'a serde_yaml::Value, key: &str, into: &mut Vec<&'a str>) {
    match value {
        serde_yaml::Value::Sequence(items) => items.iter().for_each(|item| below(item, key, into)),
        serde_yaml::Value::Mapping(entries) => {
            into.extend(entries.get(key).and_then(serde_yaml::Value::as_str));
            entries.values().for_each(|value| below(value, key, into));
        }
        _ => {}
    }
}

#[test]
fn third_party_actions_are_pinned_by_sha() {
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    for path in workflows_and_actions() {
        let text = fs::read_to_string(&path).unwrap();
        let workflow = yaml(&path);
        let mut all = Vec::new();
        below(&workflow, "uses", &mut all);
        for used in all.into_iter().filter(|used| !used.starts_with("./") && !used.starts_with("$/")) {
            // The version is a comment, which no value holds.
            let lines = text.lines().filter_map(|line| Some(line[line.find(used)?..].trim()));
            for used in lines {
                pinned(&path, used, &mut pins);
            }
        }
    }
    assert!(pins.contains_key("actions/checkout"), "the lines were not found: {pins:?}");
}

/// Checks `owner/action@sha # v1.2.3`, and that no action has two of them.
fn pinned(path: &Path, used: &str, pins: &mut BTreeMap<String, String>) {
    let place = format!("{}: {used}", path.display());
    let (action, pin) = used.split_once('@').expect(&place);
    let (sha, version) = pin.split_once(" # v").expect(&place);
    assert!(is_hex(sha.trim(), 40), "{place} is not pinned by a full commit id");
    assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{place}");
    let earlier = pins.entry(action.to_owned()).or_insert_with(|| pin.to_owned());
    assert_eq!(earlier, pin, "{place} has two pins");
}

const TARGETS: [&str; 6] = [
    "aarch64-apple-darwin",
    "aarch64-pc-windows-msvc",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// What is wrong with `dist/release.json` in a commit that declares this version and carries these tags.
fn release_fault(release: &Value, declared: &str, tags: &[&str]) -> Result<(), String> {
    let targets = release["targets"].as_object().ok_or("no targets")?;
    let named = release["version"].as_str();
    match named {
        None if release["version"].is_null() && targets.is_empty() => {}
        None => return Err("binaries without a version".into()),
        Some(version) => {
            if !targets.keys().map(String::as_str).collect::<BTreeSet<_>>().iter().eq(&TARGETS) {
                return Err(format!("other targets: {:?}", targets.keys()));
            }
            for (target, binary) in targets {
                let suffix = if target.contains("windows") { ".exe" } else { "" };
                let url =
                    format!("{}/releases/download/v{version}/rekindle-{target}{suffix}", env!("CARGO_PKG_REPOSITORY"));
                if binary["url"] != url.as_str() || !is_hex(binary["sha256"].as_str().unwrap_or(""), 64) {
                    return Err(format!("{target}: {binary}"));
                }
            }
        }
    }
    // `v1` and the like move; only a tag with all three numbers is a release.
    for tag in tags.iter().filter_map(|tag| tag.strip_prefix('v')).filter(|tag| tag.split('.').count() == 3) {
        if named != Some(tag) || declared != tag {
            return Err(format!("the tag says {tag}, the binaries {named:?}, Cargo.toml {declared}"));
        }
    }
    Ok(())
}

#[test]
fn a_tagged_commit_names_the_binaries_of_its_own_version() {
    let release = serde_json::from_slice(&fs::read(root().join("dist/release.json")).unwrap()).unwrap();
    let tags = Command::new("git").args(["tag", "--points-at", "HEAD"]).current_dir(root()).output().unwrap();
    let tags = String::from_utf8(tags.stdout).unwrap();
    release_fault(&release, env!("CARGO_PKG_VERSION"), &tags.lines().collect::<Vec<_>>()).unwrap();
}

#[test]
fn a_tag_before_its_binaries_is_refused() {
    let binary = |version: &str, target: &str| {
        let suffix = if target.contains("windows") { ".exe" } else { "" };
        let base = env!("CARGO_PKG_REPOSITORY");
        json!({
            "url": format!("{base}/releases/download/v{version}/rekindle-{target}{suffix}"),
            "sha256": "0123456789abcdef".repeat(4),
        })
    };
    let release = |version: &str| {
        let targets: BTreeMap<&str, Value> = TARGETS.iter().map(|target| (*target, binary(version, target))).collect();
        json!({ "version": version, "targets": targets })
    };
    let none = json!({ "version": null, "targets": {} });
    let refused = |release: &Value, declared: &str, tags: &[&str]| release_fault(release, declared, tags).is_err();

    assert_eq!(release_fault(&none, "1.2.3", &[]), Ok(()));
    assert_eq!(release_fault(&release("1.2.3"), "1.2.3", &["v1", "v1.2.3"]), Ok(()));
    assert!(refused(&none, "1.2.3", &["v1.2.3"]), "tagged before it was built");
    assert!(refused(&release("1.2.2"), "1.2.3", &["v1.2.3"]), "the binaries of an earlier version");
    assert!(refused(&release("1.2.3"), "1.2.2", &["v1.2.3"]), "another version in Cargo.toml");

    let mut short = release("1.2.3");
    short["targets"][TARGETS[0]]["sha256"] = json!("0123");
    let mut elsewhere = release("1.2.3");
    elsewhere["targets"][TARGETS[1]]["url"] = release("1.2.2")["targets"][TARGETS[1]]["url"].clone();
    let mut fewer = release("1.2.3");
    fewer["targets"].as_object_mut().unwrap().remove(TARGETS[2]);
    for wrong in [short, elsewhere, fewer, json!({ "version": null }), json!({ "version": 1, "targets": {} })] {
        assert!(refused(&wrong, "1.2.3", &[]), "{wrong}");
    }
}

#[test]
fn the_release_builds_every_target_that_is_named() {
    let workflow = yaml(&root().join(".github/workflows/release.yml"));
    let mut built = Vec::new();
    below(&workflow["jobs"], "target", &mut built);
    built.sort_unstable();
    assert_eq!(built, TARGETS);
}
