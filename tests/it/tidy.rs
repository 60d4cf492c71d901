//! The repository itself: texts that say the same thing do. Who imports whom is in `rooms`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `--help` lists, in its order.
fn commands() -> Vec<String> {
    let text = help(&[]);
    let lines = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// The options of a command, each with the variable that stands for it, as `--help` has them.
fn options(command: &str) -> Vec<(String, String)> {
    let text = help(&[command]);
    let (_, text) = text.split_once("\nOptions:\n").unwrap();
    // What is said of an option stands further to the right than its name.
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("  -") || line.starts_with("      --") {
            found.push(String::new());
        }
        let last = found.last_mut().unwrap();
        *last = format!("{last} {}", line.trim());
    }
    let option = |text: &String| {
        let name = text.split_whitespace().find(|word| word.starts_with("--")).unwrap();
        let variable = text.split_once("[env: ").map_or("", |(_, rest)| rest.split(['=', ']']).next().unwrap());
        (name.to_owned(), variable.to_owned())
    };
    found.iter().map(option).filter(|(name, _)| name != "--help").collect()
}

#[test]
fn the_documentation_of_the_command_line_is_that_of_help() {
    let named: Vec<String> = table("docs/cli.md", "| command |").into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(named, commands().iter().map(|name| format!("rekindle {name}")).collect::<Vec<_>>());
    let mut of_help: BTreeMap<String, (Vec<String>, String)> = BTreeMap::new();
    for command in commands() {
        for (name, variable) in options(&command) {
            let (takers, known) = of_help.entry(name).or_default();
            takers.push(command.clone());
            if !variable.is_empty() {
                *known = variable;
            }
        }
    }
    let mut documented = BTreeMap::new();
    for row in table("docs/cli.md", "| option |") {
        let takers: Vec<String> = row[1].split(", ").map(str::to_owned).collect();
        for name in row[0].split(", ") {
            documented.insert(name.to_owned(), (takers.clone(), row[2].clone()));
        }
        assert!(!row[3].is_empty(), "nothing is said of {}", row[0]);
    }
    assert_eq!(documented, of_help);
}

/// What the program and the action can say, as far as it stands in one piece in their sources.
fn sayings() -> String {
    fn files(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, into) } else { into.push(path) }
        }
    }
    let mut paths = Vec::new();
    files(&root().join("src"), &mut paths);
    files(&root().join("dist"), &mut paths);
    let text: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // A text that goes on in the next line.
    text.split("\\\n").map(str::trim_start).collect()
}

#[test]
fn the_messages_that_troubleshooting_explains_are_those_of_the_program() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let said = sayings();
    let mut messages = 0;
    for line in page.lines() {
        let shown = match line.strip_prefix("| ") {
            Some(row) => row.split(" | ").next().unwrap(),
            None => line.strip_prefix("- ").unwrap_or(""),
        };
        let codes = pulldown_cmark::Parser::new(shown).filter_map(|event| match event {
            pulldown_cmark::Event::Code(code) => Some(code.to_string()),
            _ => None,
        });
        for code in codes {
            messages += 1;
            for part in code.split('…').map(|part| part.strip_suffix(": ").unwrap_or(part)) {
                assert!(said.contains(part), "nobody says `{part}`, of `{code}`");
            }
        }
    }
    assert!(messages > 90, "{messages} were found");
    for start in [".fault(\"", "Warning::of(\""] {
        let texts = said.split(start).skip(1).filter_map(|rest| rest.split('"').next());
        // Tests have texts of their own.
        let missing = |text: &&str| !page.contains(*text) && !["looking for a state", "fetching"].contains(text);
        assert_eq!(texts.filter(missing).collect::<Vec<_>>(), Vec::<&str>::new(), "docs/troubleshooting.md lacks them");
    }
}

/// Folders and files that a page of the documentation names in a link, and the headings that it leads to.
#[test]
fn links_of_the_documentation_lead_somewhere() {
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let pages = pages.chain(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target} leads nowhere", page.display());
            if !heading.is_empty() {
                let headings = headings(&fs::read_to_string(&file).unwrap());
                assert!(headings.contains(heading), "{}: {target} leads to no heading of {headings:?}", page.display());
            }
        }
    }
}

/// Headings as GitHub names them in links.
fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    let name = |line: &str| -> String {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    lines.map(name).collect()
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 170, "{lines} lines: what belongs into docs/?");
}

fn yaml(path: &Path) -> serde_yaml::Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Names at the first level below a key of an action's file, in order.
fn members(action: &str, of: &str) -> Vec<String> {
    let action = yaml(&root().join(action));
    action[of].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The rows of the table below this head, cell by cell and without the marks of code.
fn table(page: &str, head: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    lines.map(cells).collect()
}

/// First cells of the table below this head in the README.
fn rows(head: &str) -> Vec<String> {
    table("README.md", head).into_iter().map(|mut row| row.remove(0)).collect()
}

#[test]
fn the_actions_inputs_are_those_of_the_program_and_of_the_readme() {
    let inputs = members("action.yml", "inputs");
    assert_eq!(inputs, rekindle::job::inputs::OF_THE_ACTION);
    assert_eq!(rows("| input |"), inputs);
    let mut of_hook = members("dist/hook/action.yml", "inputs");
    of_hook.retain(|name| name != "binary" && name != "job-status");
    assert_eq!(of_hook, inputs);
    // The half that restores takes the same, and the half that saves goes by them.
    let mut of_restore = members("dist/restore/action.yml", "inputs");
    of_restore.retain(|name| name != "binary");
    assert_eq!(of_restore, inputs);
    assert_eq!(members("dist/save/action.yml", "inputs"), ["binary", "github-token", "job-status"]);
    for half in ["dist/restore/action.yml", "dist/save/action.yml"] {
        let (half, hook) = (yaml(&root().join(half)), yaml(&root().join("dist/hook/action.yml")));
        for (name, input) in half["inputs"].as_mapping().unwrap() {
            assert_eq!(input["default"], hook["inputs"][name]["default"], "{name:?}");
        }
        assert_eq!(half["runs"]["using"], hook["runs"]["using"]);
        assert!(half["runs"].get("post").is_none());
    }
    // A default that stood there would hide what the runner's own environment says: the program has the same.
    for file in ["action.yml", "dist/hook/action.yml", "dist/restore/action.yml", "dist/prune/action.yml"] {
        for (name, input) in yaml(&root().join(file))["inputs"].as_mapping().unwrap() {
            let default = input["default"].as_str().unwrap();
            assert!(default.is_empty() || default.starts_with("${{"), "{file}: {name:?}");
        }
    }
    // Every one of them is handed on, and the program reads it under the name that the hook gives it.
    let composite = yaml(&root().join("action.yml"));
    let steps = composite["runs"]["steps"].as_sequence().unwrap();
    let [hook] = steps.as_slice() else { panic!("the action is one step") };
    let handed_on = &hook["with"];
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
    assert_eq!(members("dist/restore/action.yml", "outputs"), outputs);
    assert_eq!(rows("| output |"), outputs);
}

/// Installing the program on a machine without a release builds it with the oldest Rust that `Cargo.toml` names.
#[test]
fn no_dependency_of_the_program_asks_for_a_newer_rust() {
    let mut command = cargo_metadata::MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    command.other_options([
        "--locked".to_owned(),
        "--filter-platform".to_owned(),
        "x86_64-unknown-linux-gnu".to_owned(),
    ]);
    let metadata = command.exec().unwrap();
    let program = metadata.root_package().unwrap();
    let oldest = program.rust_version.clone().unwrap();
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let mut open = vec![&program.id];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let node = nodes.iter().find(|node| node.id == *id).unwrap();
        let is_built = |dep: &&cargo_metadata::NodeDep| {
            dep.dep_kinds.iter().any(|kind| kind.kind != cargo_metadata::DependencyKind::Development)
        };
        open.extend(node.deps.iter().filter(is_built).map(|dep| &dep.pkg).filter(|id| !seen.contains(*id)));
    }
    assert!(seen.len() > 100, "{} packages", seen.len());
    for id in &seen {
        let package = &metadata[id];
        let wanted = package.rust_version.as_ref();
        assert!(wanted.is_none_or(|wanted| *wanted <= oldest), "{} asks for Rust {}", package.id, wanted.unwrap());
    }
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
    let halves = ["dist/hook", "dist/prune", "dist/restore", "dist/save"].map(|half| format!("{half}/action.yml"));
    let actions = halves.into_iter().chain(["action.yml".to_owned()]);
    let actions = actions.map(|file| root().join(file));
    workflows.chain(actions.filter(|path| path.exists())).collect()
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
        // Our own hook is named by its branch until there is a release: see `hook_fault`.
        let own = concat_hook("main");
        for used in all.into_iter().filter(|used| !used.starts_with("./") && *used != own) {
            assert!(!used.starts_with("$/"), "{} uses what Enterprise Server and act refuse: {used}", path.display());
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
                let url = format!("{}/releases/download/v{version}/rekindle-{target}.gz", env!("CARGO_PKG_REPOSITORY"));
                let is_hash = |name: &str| is_hex(binary[name].as_str().unwrap_or(""), 64);
                let is_size =
                    |name: &str, most: u64| binary[name].as_u64().is_some_and(|size| size > 0 && size <= most);
                let named = is_hash("sha256") && is_hash("program_sha256");
                let small = is_size("size", 6 << 20) && is_size("program_size", 12 << 20);
                if binary["url"] != url.as_str() || !named || !small {
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

fn concat_hook(reference: &str) -> String {
    format!("rekindle-rs/rekindle/dist/hook@{reference}")
}

/// What is wrong with the hook that `action.yml` names, in a commit that declares this version, follows `parent` by changing
/// `changed`, and carries these tags.
fn hook_fault(used: &str, declared: &str, parent: &str, changed: &[&str], tags: &[&str]) -> Result<(), String> {
    let is_released = tags.iter().any(|tag| tag.starts_with('v') && tag.split('.').count() == 3);
    let (name, comment) = used.split_once("  # ").unwrap_or((used, ""));
    if !is_released {
        let is_pinned = name.strip_prefix(&concat_hook("")).is_some_and(|hash| is_hex(hash, 40));
        return if name == concat_hook("main") || is_pinned { Ok(()) } else { Err(format!("main names {used}")) };
    }
    if name != concat_hook(parent) || comment != format!("v{declared}") {
        return Err(format!("the tagged action names {used}, not its parent {parent}"));
    }
    // Then the hook's commit holds the same binaries and the same hook.
    if changed == ["action.yml"] { Ok(()) } else { Err(format!("{changed:?} is not in the commit of the hook")) }
}

fn git_says(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(root()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_tagged_action_names_its_own_hook_by_commit() {
    let text = fs::read_to_string(root().join("action.yml")).unwrap();
    let used: Vec<&str> =
        text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")).collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(text.lines().filter(|line| line.starts_with("    - ")).count(), 1, "one step");
    let parent = git_says(&["rev-parse", "--quiet", "--verify", "HEAD^"]);
    let changed = git_says(&["diff", "--name-only", "HEAD^", "HEAD"]);
    let tags = git_says(&["tag", "--points-at", "HEAD"]);
    let (changed, tags): (Vec<&str>, Vec<&str>) = (changed.lines().collect(), tags.lines().collect());
    hook_fault(used[0], env!("CARGO_PKG_VERSION"), parent.trim(), &changed, &tags).unwrap();
}

#[test]
fn a_tag_on_an_action_that_does_not_pin_its_hook_is_refused() {
    let parent = "0123456789".repeat(4);
    let other = "9876543210".repeat(4);
    let pinned = format!("{}  # v1.2.3", concat_hook(&parent));
    let main = format!("{}  # zizmor: ignore[unpinned-uses] a release pins it", concat_hook("main"));
    let tags = ["v1", "v1.2.3"];
    let fault = |used: &str, changed: &[&str], tags: &[&str]| hook_fault(used, "1.2.3", &parent, changed, tags);

    assert_eq!(fault(&pinned, &["action.yml"], &tags), Ok(()));
    assert_eq!(fault(&main, &["src/lib.rs"], &["v1", "other"]), Ok(()));
    assert!(fault(&main, &["action.yml"], &tags).is_err(), "a branch");
    assert!(fault(&concat_hook("v1"), &["action.yml"], &tags).is_err(), "a tag");
    assert!(fault(&concat_hook("v1"), &["action.yml"], &[]).is_err(), "a tag, on main");
    assert!(fault(&concat_hook(&parent), &["action.yml"], &tags).is_err(), "without the version");
    assert!(fault(&pinned.replace("1.2.3", "1.2.2"), &["action.yml"], &tags).is_err(), "of another version");
    assert!(fault(&pinned.replace(&parent, &other), &["action.yml"], &tags).is_err(), "another commit");
    assert!(
        fault(&pinned, &["action.yml", "dist/release.json"], &tags).is_err(),
        "binaries that the hook does not know"
    );
    assert!(fault("$/dist/hook", &["action.yml"], &tags).is_err(), "a reference to itself");
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
        let base = env!("CARGO_PKG_REPOSITORY");
        json!({
            "url": format!("{base}/releases/download/v{version}/rekindle-{target}.gz"),
            "size": 5_000_000,
            "sha256": "0123456789abcdef".repeat(4),
            "program_size": 11_000_000,
            "program_sha256": "0123456789abcdef".repeat(4),
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
    let mut large = release("1.2.3");
    large["targets"][TARGETS[0]]["size"] = json!(7_000_000);
    let mut fat = release("1.2.3");
    fat["targets"][TARGETS[0]]["program_size"] = json!(13_000_000);
    let mut elsewhere = release("1.2.3");
    elsewhere["targets"][TARGETS[1]]["url"] = release("1.2.2")["targets"][TARGETS[1]]["url"].clone();
    let mut fewer = release("1.2.3");
    fewer["targets"].as_object_mut().unwrap().remove(TARGETS[2]);
    for wrong in
        [short, large, fat, elsewhere, fewer, json!({ "version": null }), json!({ "version": 1, "targets": {} })]
    {
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
