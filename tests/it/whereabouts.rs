//! Where a package lies, however Cargo is told: two of one name, patches outside the manifest, links and spellings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rekindle::cargo::verdict::Verdict;

use crate::support::{Project, World, words, write};

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
}

fn text(value: &str) -> String {
    format!("pub fn text() -> String {{ {value:?}.to_string() }}\n")
}

/// A program that prints the text of one dependency, in `work/`, and that dependency in `dep/`, outside of it.
fn program(dependency: &str, config: Option<&str>) -> Project {
    let mut project = Project::new();
    let mut add = |path: &str, text: String| project.insert(path.to_owned(), text);
    add("work/Cargo.toml", format!("{}\n[workspace]\n", manifest("app", dependency)));
    add("work/src/main.rs", "fn main() { println!(\"{}\", dep::text()); }\n".to_owned());
    add("work/.gitignore", "/target\n".to_owned());
    if let Some(config) = config {
        add("work/.cargo/config.toml", config.to_owned());
    }
    add("dep/Cargo.toml", manifest("dep", ""));
    add("dep/src/lib.rs", text("dep-1"));
    project
}

fn world(project: Project) -> World {
    let mut world = World::new("work", |_| project);
    world.command = words("build");
    world
}

/// Compiles nothing when nothing changed, and follows a change of the dependency.
fn follows(mut world: World, changed: (&str, &str)) {
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.save();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.change(&[changed]);
    world.prove(&[]);
}

#[test]
fn a_patch_in_the_configuration_leads_outside() {
    let config = "[patch.crates-io]\ndep = { path = \"../dep\" }\n";
    follows(world(program("[dependencies]\ndep = \"0.1.0\"\n", Some(config))), ("dep/src/lib.rs", &text("dep-2")));
}

#[test]
fn a_patch_in_an_included_file_leads_outside_by_a_crooked_path() {
    let mut project = program("[dependencies]\ndep = \"0.1.0\"\n", Some("include = [\"../ci/patch.toml\"]\n"));
    project.insert("work/ci/patch.toml".into(), "[patch.crates-io]\ndep = { path = \"./src/../../dep/\" }\n".into());
    follows(world(project), ("dep/src/lib.rs", &text("dep-2")));
}

#[test]
fn a_patch_on_the_command_line_leads_outside() {
    let mut project = program("[dependencies]\ndep = \"0.1.0\"\n", None);
    let config = "[patch.crates-io]\ndep = { path = \"../dep\" }\n";
    project.insert("work/.cargo/config.toml".into(), config.into());
    let mut world = world(project);
    fs::remove_dir_all(world.origin().join("work/.cargo")).unwrap();
    world.commit("no configuration");
    let outside = world.work().join("dep");
    world.command =
        vec!["build".into(), "--config".into(), format!("patch.crates-io.dep.path='{}'", outside.display())];
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.save();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.change(&[("dep/src/lib.rs", &text("dep-2"))]);
    let compiled = world.warm_run().compiled;
    assert_eq!(compiled, set(&["dep 0.1.0 lib dep", "app 0.1.0 bin app"]));
    assert!(world.output().contains("dep-2"));
}

#[test]
fn a_package_of_which_nobody_can_say_where_it_lies_is_not_stored() {
    let mut world = world(program("[dependencies]\ndep = { path = \"../dep\" }\n", None));
    // Only a command line knows where `dep` comes from, and nothing on disk tells.
    let manifest = fs::read_to_string(world.origin().join("work/Cargo.toml")).unwrap();
    let config = format!("patch.crates-io.dep.path='{}'", world.work().join("dep").display());
    world.change(&[("work/Cargo.toml", &manifest.replace("{ path = \"../dep\" }", "\"0.1.0\""))]);
    world.command = vec!["build".into(), "--config".into(), config];
    world.wipe_and_clone();
    world.restore();
    world.build();
    for entry in fs::read_dir(world.target().join("debug/deps")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "d") {
            fs::remove_file(path).unwrap();
        }
    }
    let log = world.save();
    assert!(log.contains("nobody can say where the package lies"), "{log}");
    world.change(&[("dep/src/lib.rs", &text("dep-2"))]);
    assert!(world.warm_run().compiled.contains("dep 0.1.0 lib dep"));
    assert!(world.output().contains("dep-2"));
}

fn set(units: &[&str]) -> BTreeSet<String> {
    units.iter().map(|unit| (*unit).to_owned()).collect()
}

const OLD_STYLE: &str = r#"
fn main() {
    let mut names: Vec<String> = std::fs::read_dir("notes").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    println!("cargo:rustc-env=NOTES={}", names.join(","));
}
"#;

fn with_old_style(mut project: Project, dir: &str) -> Project {
    let mut add = |path: &str, text: &str| project.insert(format!("{dir}/{path}"), text.to_owned());
    add("build.rs", OLD_STYLE);
    add("src/lib.rs", "pub fn text() -> String { env!(\"NOTES\").to_string() }\n");
    add("notes/x.txt", "x\n");
    add("notes/y.txt", "y\n");
    project
}

/// Removes a file that was not the newest: on a machine that was never wiped, Cargo does not see it.
fn a_removed_file_is_noticed(mut world: World, removed: &str) {
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.remove(&[removed]);
    world.prove(&["dep build-script run", "dep 0.1.0 lib dep", "app 0.1.0 bin app"]);
}

#[test]
fn a_file_is_removed_from_an_old_style_package_that_is_patched_by_the_configuration() {
    let config = "[patch.crates-io]\ndep = { path = \"../dep\" }\n";
    let project = program("[dependencies]\ndep = \"0.1.0\"\n", Some(config));
    a_removed_file_is_noticed(world(with_old_style(project, "dep")), "dep/notes/x.txt");
}

#[test]
fn a_file_is_removed_from_an_old_style_member_behind_a_link() {
    let mut project = program("[dependencies]\ndep = { path = \"./linked/\" }\n", None);
    project.insert("work/linked".into(), "-> ../dep".into());
    let app = project["work/Cargo.toml"].replace("[workspace]", "[workspace]\nmembers = [\"linked\"]");
    project.insert("work/Cargo.toml".into(), app);
    a_removed_file_is_noticed(world(with_old_style(project, "dep")), "dep/notes/x.txt");
}

#[test]
fn a_file_is_removed_from_an_old_style_package_below_a_linked_folder() {
    let mut project = program("[dependencies]\ndep = { path = \"../via/../via/dep\" }\n", None);
    for name in ["Cargo.toml", "src/lib.rs"] {
        let text = project.remove(&format!("dep/{name}")).unwrap();
        project.insert(format!("real/dep/{name}"), text);
    }
    project.insert("via".into(), "-> real".into());
    a_removed_file_is_noticed(world(with_old_style(project, "real/dep")), "real/dep/notes/x.txt");
}

#[test]
fn a_file_is_removed_from_an_old_style_package_of_a_workspace_behind_a_link() {
    let project = with_old_style(program("[dependencies]\ndep = { path = \"../dep\" }\n", None), "dep");
    let mut world = world(project);
    // The job goes through a link, and so does Cargo.
    let link = world.dir.join("link");
    std::os::unix::fs::symlink(world.work(), &link).unwrap();
    let through = link.join("work");
    world.options = vec!["--workspace".into(), through.to_str().unwrap().into()];
    world.command.extend(["--manifest-path".into(), through.join("Cargo.toml").to_str().unwrap().into()]);
    world.first_run();
    world.wipe_and_clone();
    let said = world.restore();
    let warm = world.build();
    assert!(warm.compiled.is_empty(), "{:?} {said}", warm.compiled);
    world.remove(&["dep/notes/x.txt"]);
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("dep build-script run"), "{compiled:?}");
    assert_eq!(world.output().trim(), "y.txt");
}

/// Two workspaces, each with a package `same` and a program that prints its text.
fn twins() -> World {
    let mut project = Project::new();
    for place in ["one", "two"] {
        let mut add = |path: &str, text: String| project.insert(format!("{place}/{path}"), text);
        add("Cargo.toml", "[workspace]\nmembers = [\"app\", \"same\"]\nresolver = \"2\"\n".into());
        add("app/Cargo.toml", manifest(&format!("app-{place}"), "[dependencies]\nsame = { path = \"../same\" }\n"));
        add("app/src/main.rs", "fn main() { println!(\"{}\", same::text()); }\n".into());
        add("same/Cargo.toml", manifest("same", ""));
        add(".gitignore", "/target\n".into());
    }
    project = with_old_style(with_old_style(project, "one/same"), "two/same");
    let mut world = World::new("one", |_| project);
    world.command = words("build");
    world.binary = "app-one".into();
    world.options = words("--workspace . --workspace ../two");
    world
}

fn build_both(world: &World) -> Verdict {
    let mut verdict = world.build();
    verdict.merge(world.cargo("build --manifest-path ../two/Cargo.toml"));
    assert!(verdict.success, "{}", verdict.stderr);
    verdict
}

fn warm_both(world: &World) -> BTreeSet<String> {
    world.wipe_and_clone();
    world.restore();
    build_both(world).compiled
}

fn output_of(target: &Path, name: &str) -> String {
    let output = std::process::Command::new(target.join("debug").join(name)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn two_workspaces_have_a_package_of_one_name() {
    let mut world = twins();
    world.change(&[("one/same/src/lib.rs", &text("one-1")), ("two/same/src/lib.rs", &text("two-1"))]);
    world.wipe_and_clone();
    world.restore();
    build_both(&world);
    world.save();
    for _ in 0..2 {
        let compiled = warm_both(&world);
        assert!(compiled.is_empty(), "{compiled:?}");
        world.save();
    }
    for (place, other) in [("one", "two"), ("two", "one")] {
        let changed = format!("{place}-2");
        world.change(&[(&format!("{place}/same/src/lib.rs"), &text(&changed))]);
        let compiled = warm_both(&world);
        let app = format!("app-{place} 0.1.0 bin app-{place}");
        assert_eq!(compiled, set(&["same build-script run", "same 0.1.0 lib same", &app]), "and nothing of {other}");
        assert_eq!(output_of(&world.work().join(place).join("target"), &format!("app-{place}")), changed);
        world.save();
    }
}

#[test]
fn two_workspaces_have_an_old_style_package_of_one_name() {
    let mut world = twins();
    world.wipe_and_clone();
    world.restore();
    build_both(&world);
    world.save();
    let compiled = warm_both(&world);
    assert!(compiled.is_empty(), "{compiled:?}");
    world.remove(&["two/same/notes/x.txt"]);
    let compiled = warm_both(&world);
    let expected = ["same build-script run", "same 0.1.0 lib same", "app-two 0.1.0 bin app-two"];
    assert_eq!(compiled, set(&expected));
    assert_eq!(output_of(&world.work().join("two/target"), "app-two"), "y.txt");
    assert_eq!(output_of(&world.work().join("one/target"), "app-one"), "x.txt,y.txt");
}

#[test]
fn two_workspaces_with_a_package_of_one_name_share_a_target_folder() {
    let mut world = twins();
    let shared = world.dir.join("shared");
    world.env.insert("CARGO_TARGET_DIR".into(), shared.to_str().unwrap().into());
    world.change(&[("one/same/src/lib.rs", &text("one-1")), ("two/same/src/lib.rs", &text("two-1"))]);
    // Only the second: Cargo itself takes one for the other where both are built.
    let build = |world: &World| {
        let verdict = world.cargo("build --manifest-path ../two/Cargo.toml");
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled
    };
    let warm = |world: &World| {
        fs::remove_dir_all(&shared).unwrap();
        world.wipe_and_clone();
        world.restore();
        build(world)
    };
    world.wipe_and_clone();
    world.restore();
    build(&world);
    world.save();
    assert!(warm(&world).is_empty());
    world.change(&[("two/same/src/lib.rs", &text("two-2"))]);
    assert!(warm(&world).contains("same 0.1.0 lib same"));
    assert_eq!(output_of(&shared, "app-two"), "two-2");
}

#[test]
fn a_package_by_path_has_the_name_of_a_vendored_one() {
    let mut project =
        program("[dependencies]\ndep = \"0.2.0\"\nown = { package = \"dep\", path = \"../dep\" }\n", None);
    project.insert("work/src/main.rs".into(), "fn main() { println!(\"{} {}\", dep::text(), own::text()); }\n".into());
    let config = "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"vendor\"\n";
    project.insert("work/.cargo/config.toml".into(), config.into());
    project.insert("work/vendor/dep/Cargo.toml".into(), manifest("dep", "").replace("0.1.0", "0.2.0"));
    project.insert("work/vendor/dep/src/lib.rs".into(), text("vendored-1"));
    let checksum = format!("{{\"files\":{{}},\"package\":\"{}\"}}", "1".repeat(64));
    project.insert("work/vendor/dep/.cargo-checksum.json".into(), checksum);
    let mut world = world(project);
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    world.save();
    assert!(world.warm_run().compiled.is_empty());
    world.change(&[("dep/src/lib.rs", &text("dep-2"))]);
    world.prove(&[]);
    world.warm_run();
    world.save();
    world.change(&[("work/vendor/dep/src/lib.rs", &text("vendored-2"))]);
    world.prove(&["dep 0.2.0 lib dep", "app 0.1.0 bin app"]);
}

#[test]
fn a_workspace_inside_another_is_given_with_it() {
    let mut project = program("[dependencies]\ndep = { path = \"../dep\" }\n", None);
    project.insert("work/inner/Cargo.toml".into(), format!("{}\n[workspace]\n", manifest("dep", "")));
    project.insert("work/inner/src/main.rs".into(), "fn main() { println!(\"inner-1\"); }\n".into());
    project.insert("work/inner/.gitignore".into(), "/target\nCargo.lock\n".into());
    let mut world = world(project);
    world.options = words("--workspace . --workspace inner");
    let build = |world: &World| {
        let mut verdict = world.build();
        verdict.merge(world.cargo("build --manifest-path inner/Cargo.toml"));
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled
    };
    let warm = |world: &World| {
        world.wipe_and_clone();
        world.restore();
        build(world)
    };
    world.wipe_and_clone();
    world.restore();
    build(&world);
    world.save();
    assert!(warm(&world).is_empty());
    world.save();
    assert!(warm(&world).is_empty());
    write(&world.origin().join("work/inner/src/main.rs"), "fn main() { println!(\"inner-2\"); }\n");
    world.commit("inner");
    assert_eq!(warm(&world), set(&["dep 0.1.0 bin dep"]));
    world.save();
    world.change(&[("dep/src/lib.rs", &text("dep-2"))]);
    assert_eq!(warm(&world), set(&["dep 0.1.0 lib dep", "app 0.1.0 bin app"]));
}

#[test]
fn one_workspace_given_in_two_spellings_is_one() {
    let mut world = world(program("[dependencies]\ndep = { path = \"../dep\" }\n", None));
    let link = world.dir.join("link");
    std::os::unix::fs::symlink(world.work(), &link).unwrap();
    world.options = words(&format!("--workspace . --workspace {}/work/../work", link.display()));
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.change(&[("dep/src/lib.rs", &text("dep-2"))]);
    world.prove(&[]);
}
