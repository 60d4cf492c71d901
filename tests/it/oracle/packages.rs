//! The workspace of a history, and what its programs have to print: a model that reads the tree as the compiler would.
//!
//! One package for each way in which a build can depend on something. A history holds `a`, `app` and some of the others, so
//! that it stays small. The model is compared with builds from scratch; where it were wrong, every history would fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::support::Project;

/// What a workspace may hold beside `a` and `app`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A proc macro that reads a file of the package that uses it.
    Macro,
    /// A build script that names no inputs.
    Old,
    /// A build script that watches a folder, a link to another folder, and a variable.
    Watch,
    /// A build script that writes a tracked file, an ignored one, one of a sibling, and one outside the workspace.
    Maker,
    /// A build script whose `OUT_DIR` files have fixed times, equal sizes and odd names.
    Out,
    /// A watched folder that is a submodule.
    Submodule,
    /// A build script that bakes a secret in.
    Secret,
    /// A second workspace with a package of the same name.
    Second,
}

pub(super) const PARTS: [Part; 8] =
    [Part::Macro, Part::Old, Part::Watch, Part::Maker, Part::Out, Part::Submodule, Part::Secret, Part::Second];

pub(super) type Shape = BTreeSet<Part>;

/// The variable that only a build step has.
pub(super) const SECRET: &str = "DEPLOY_TOKEN";

/// Names that tools stumble over. Not every system has all of them.
#[cfg(target_os = "linux")]
const ODD: [&[u8]; 3] = [b"odd\xff", b"back\\slash", b"new\nline"];
#[cfg(not(target_os = "linux"))]
const ODD: [&[u8]; 3] = [b"odd", b"od d", b"o'dd"];

/// How many names of files there are; the last ones are odd.
pub(super) const NAMES: usize = 9;

pub(super) fn name(which: usize) -> &'static OsStr {
    let plain: [&[u8]; NAMES - 3] = [b"0", b"1", b"2", b"3", b"4", b"5"];
    OsStr::from_bytes(plain.into_iter().chain(ODD).nth(which % NAMES).unwrap())
}

/// Files that can be edited, and the package that may read them.
pub(super) fn places(shape: &Shape) -> Vec<(&'static str, &'static str)> {
    let mut places = vec![
        ("ws/a/src/value.txt", "a"),
        ("ws/app/src/value.txt", "app"),
        ("ws/a/choices/one.txt", "a"),
        ("ws/a/rooms/one/inside.txt", "a"),
    ];
    let more: [(Part, &[(&str, &str)]); 6] = [
        (Part::Macro, &[("ws/pm/src/value.txt", "pm"), ("ws/mac/macro_input.txt", "mac"), ("ws/mac/README.md", "mac")]),
        (Part::Old, &[("ws/old/src/value.txt", "old")]),
        (Part::Watch, &[("ws/watch/src/value.txt", "watch"), ("ws/watch/README.md", "watch")]),
        (Part::Maker, &[("ws/maker/schema.txt", "maker"), ("ws/sib/src/value.txt", "sib")]),
        (Part::Out, &[("ws/out/data.txt", "out")]),
        (Part::Second, &[("other/a/src/value.txt", "other-a")]),
    ];
    places.extend(more.iter().filter(|(part, _)| shape.contains(part)).flat_map(|(_, places)| places.iter().copied()));
    places
}

/// Folders whose files come and go, and the package that may list them.
pub(super) fn folders(shape: &Shape) -> Vec<(&'static str, &'static str)> {
    let mut folders = Vec::new();
    if shape.contains(&Part::Old) {
        folders.push(("ws/old/notes", "old"));
    }
    if shape.contains(&Part::Watch) {
        folders.extend([("ws/watch/assets", "watch"), ("ws/hall", "watch")]);
    }
    if folders.is_empty() {
        folders.push(("ws/a/extra", "a"));
    }
    folders
}

/// A package and all that it depends on.
pub(super) fn with_dependencies(package: &str) -> Vec<&str> {
    match package {
        "mac" => vec!["mac", "pm"],
        "sib" => vec!["sib", "maker"],
        "app" => vec!["app", "a", "mac", "pm", "old", "watch", "sib", "maker", "out", "modu", "sec"],
        "side" => vec!["side", "other-a"],
        other => vec![other],
    }
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
}

/// The part of a build script that lists a folder as `listed` does.
const LISTING: &str = r#"
fn listed(dir: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_string_lossy().ends_with(".tmp") && entry.file_name() != ".git")
        .map(|entry| format!("{:?}:{}", entry.file_name(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    names.sort();
    names.join(",")
}
"#;

/// A name as the build scripts print it.
fn quoted(name: &OsStr) -> String {
    let name: &dyn std::fmt::Debug = &name;
    format!("{name:?}")
}

fn listed(dir: &Path) -> String {
    let entries = fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
    let counts = |name: &OsStr| !name.to_string_lossy().ends_with(".tmp") && name != ".git";
    let entries = entries.filter(|entry| counts(&entry.file_name()));
    let mut names: Vec<String> =
        entries.map(|entry| format!("{}:{}", quoted(&entry.file_name()), text(&entry.path()))).collect();
    names.sort();
    names.join(",")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a repository of this shape; without the submodule.
pub(super) fn project(shape: &Shape) -> Project {
    let mut files = Project::new();
    let mut add = |path: &str, text: &str| {
        files.insert(path.to_owned(), text.to_owned());
    };
    let mut members = vec!["a"];
    for place in places(shape).into_iter().map(|(place, _)| place).filter(|place| place.ends_with("/value.txt")) {
        add(place, "000");
    }
    add(".gitignore", "target\n*.tmp\n/ws/maker/src/local.txt\n/ws/sib/src/foreign.txt\n/shared/out.txt\n");
    add("ws/a/Cargo.toml", &manifest("a", "[features]\nloud = []\n"));
    add(
        "ws/a/src/lib.rs",
        "pub fn text() -> String { format!(\"{}|{}|{}|{}|{}\", include_str!(\"value.txt\"), include_str!(\"chosen.txt\"), \
         include_str!(\"../door/inside.txt\"), option_env!(\"A_FLAG\").unwrap_or(\"unset\"), cfg!(feature = \"loud\")) }\n",
    );
    add("ws/a/src/chosen.txt", "-> ../choices/one.txt");
    add("ws/a/choices/one.txt", "one");
    add("ws/a/choices/two.txt", "two");
    add("ws/a/door", "-> rooms/one");
    add("ws/a/rooms/one/inside.txt", "room one");
    add("ws/a/rooms/two/inside.txt", "room two");
    add("ws/a/extra/0", "n");
    let has = |part: Part| shape.contains(&part);
    if has(Part::Macro) {
        members.extend(["mac", "pm"]);
        add("ws/pm/Cargo.toml", &manifest("pm", "[lib]\nproc-macro = true\n"));
        add(
            "ws/pm/src/lib.rs",
            "#[proc_macro]\npub fn read(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n \
             let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n \
             let text = std::fs::read_to_string(std::path::Path::new(&dir).join(\"macro_input.txt\")).unwrap();\n \
             format!(\"{:?}\", text + include_str!(\"value.txt\")).parse().unwrap()\n}\n",
        );
        add("ws/mac/Cargo.toml", &manifest("mac", "[dependencies]\npm = { path = \"../pm\" }\n"));
        add("ws/mac/src/lib.rs", "pub fn text() -> String { pm::read!().to_string() }\n");
        add("ws/mac/macro_input.txt", "0");
        add("ws/mac/README.md", "about");
    }
    if has(Part::Old) {
        members.push("old");
        add("ws/old/Cargo.toml", &manifest("old", ""));
        add(
            "ws/old/build.rs",
            &format!("fn main() {{ println!(\"cargo:rustc-env=OLD={{}}\", listed(\"notes\")); }}{LISTING}"),
        );
        add(
            "ws/old/src/lib.rs",
            "pub fn text() -> String { format!(\"{}|{}\", include_str!(\"value.txt\"), env!(\"OLD\")) }\n",
        );
        add("ws/old/notes/0", "n");
        add("ws/old/notes/1", "n");
    }
    if has(Part::Watch) {
        members.push("watch");
        add("ws/watch/Cargo.toml", &manifest("watch", ""));
        add(
            "ws/watch/build.rs",
            &format!(
                "fn main() {{ println!(\"cargo:rerun-if-changed=assets\\ncargo:rerun-if-changed=linked\\ncargo:rerun-if-env-changed=C_FLAG\"); \
                 println!(\"cargo:rustc-env=WATCH={{}}|{{}}|{{:?}}\", listed(\"assets\"), listed(\"linked\"), \
                 std::env::var(\"C_FLAG\").ok()); }}{LISTING}"
            ),
        );
        add(
            "ws/watch/src/lib.rs",
            "pub fn text() -> String { format!(\"{}|{}\", include_str!(\"value.txt\"), env!(\"WATCH\")) }\n",
        );
        add("ws/watch/README.md", "about");
        add("ws/watch/assets/0", "n");
        add("ws/watch/assets/1", "n");
        add("ws/watch/assets/.keep.tmp.md", "keeps the folder");
        add("ws/watch/linked", "-> ../hall");
        add("ws/hall/0", "n");
        add("ws/hall/.keep.tmp.md", "keeps the folder");
    }
    if has(Part::Maker) {
        members.extend(["maker", "sib"]);
        add("ws/maker/Cargo.toml", &manifest("maker", ""));
        add(
            "ws/maker/build.rs",
            "fn main() { println!(\"cargo:rerun-if-changed=schema.txt\"); let text = std::fs::read_to_string(\"schema.txt\").unwrap(); \
             for path in [\"src/tracked.txt\", \"src/local.txt\", \"../sib/src/foreign.txt\", \"../../shared/out.txt\"] { \
             std::fs::write(path, &text).unwrap(); } }\n",
        );
        add("ws/maker/schema.txt", "0");
        add("ws/maker/src/tracked.txt", "what git holds");
        add(
            "ws/maker/src/lib.rs",
            "pub fn text() -> String { format!(\"{}|{}\", include_str!(\"tracked.txt\"), include_str!(\"local.txt\")) }\n",
        );
        add("ws/sib/Cargo.toml", &manifest("sib", "[dependencies]\nmaker = { path = \"../maker\" }\n"));
        add(
            "ws/sib/src/lib.rs",
            "pub fn text() -> String { format!(\"{}|{}|{}|{}\", include_str!(\"value.txt\"), include_str!(\"foreign.txt\"), \
             include_str!(\"../../../shared/out.txt\"), maker::text()) }\n",
        );
        add("shared/README.md", "what is shared");
    }
    if has(Part::Out) {
        members.push("out");
        add("ws/out/Cargo.toml", &manifest("out", ""));
        add(
            "ws/out/build.rs",
            &r#"
use std::os::unix::ffi::OsStrExt;
fn main() {
    println!("cargo:rerun-if-changed=data.txt");
    let text = std::fs::read("data.txt").unwrap();
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    std::fs::create_dir_all(out.join("odd")).unwrap();
    for name in [&b"plain.txt"[..], NAMES] {
        let path = out.join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, &text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    }
}
"#
            .replace("NAMES", &ODD.map(|name| format!("b\"odd/{}\"", name.escape_ascii())).join(", ")),
        );
        add("ws/out/data.txt", "000");
        add(
            "ws/out/src/lib.rs",
            &format!(
                "pub fn text() -> String {{ format!(\"{{}}|{{}}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/plain.txt\")), \
                 listed(concat!(env!(\"OUT_DIR\"), \"/odd\"))) }}{LISTING}"
            ),
        );
    }
    if has(Part::Submodule) {
        members.push("modu");
        add("ws/modu/Cargo.toml", &manifest("modu", ""));
        add(
            "ws/modu/build.rs",
            &format!(
                "fn main() {{ println!(\"cargo:rerun-if-changed=data\"); println!(\"cargo:rustc-env=MODU={{}}\", listed(\"data\")); }}{LISTING}"
            ),
        );
        add("ws/modu/src/lib.rs", "pub fn text() -> String { env!(\"MODU\").to_string() }\n");
    }
    if has(Part::Secret) {
        members.push("sec");
        add("ws/sec/Cargo.toml", &manifest("sec", ""));
        add(
            "ws/sec/build.rs",
            "fn main() { println!(\"cargo:rerun-if-env-changed=DEPLOY_TOKEN\\ncargo:rustc-env=SEC={}\", \
             std::env::var(\"DEPLOY_TOKEN\").unwrap_or_default()); }\n",
        );
        add("ws/sec/src/lib.rs", "pub fn text() -> String { env!(\"SEC\").to_string() }\n");
    }
    if has(Part::Second) {
        add(
            "other/Cargo.toml",
            "[workspace]\nresolver = \"2\"\nmembers = [\"a\", \"side\"]\n[profile.dev]\ndebug = 0\n",
        );
        add("other/a/Cargo.toml", &manifest("a", ""));
        add("other/a/src/lib.rs", "pub fn text() -> String { include_str!(\"value.txt\").to_string() }\n");
        add("other/side/Cargo.toml", &manifest("side", "[dependencies]\na = { path = \"../a\" }\n"));
        add("other/side/src/main.rs", "fn main() { println!(\"side={}\", a::text()); }\n");
    }
    let dependencies: Vec<String> =
        members.iter().map(|name| format!("{name} = {{ path = \"../{name}\" }}\n")).collect();
    let dependencies = dependencies.concat();
    add(
        "ws/app/Cargo.toml",
        &manifest("app", &format!("[features]\nloud = [\"a/loud\"]\n[dependencies]\n{dependencies}")),
    );
    let prints = members.iter().filter(|name| **name != "pm");
    let prints: Vec<String> = prints.map(|name| format!(" println!(\"{name}={{}}\", {name}::text());")).collect();
    let prints = prints.concat();
    add(
        "ws/app/src/main.rs",
        &format!("fn main() {{ println!(\"app={{}}\", include_str!(\"value.txt\"));{prints} }}\n"),
    );
    add(
        "ws/Cargo.toml",
        &format!(
            "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"{}\"]\n[profile.dev]\ndebug = 0\ncodegen-units = 1\n\
             [profile.dev.build-override]\ncodegen-units = 1\n[profile.release]\nopt-level = 0\n",
            members.join("\", \"")
        ),
    );
    files
}

/// What `app` has to print for the tree at `root`, by package.
pub(super) fn lines(
    root: &Path,
    shape: &Shape,
    env: &BTreeMap<String, String>,
    loud: bool,
) -> BTreeMap<String, String> {
    let ws: PathBuf = root.join("ws");
    let read = |path: &str| text(&ws.join(path));
    let flag = env.get("A_FLAG").map_or("unset", String::as_str);
    let mut lines = BTreeMap::new();
    let mut add = |package: &str, line: String| {
        lines.insert(package.to_owned(), line);
    };
    add("app", read("app/src/value.txt"));
    let (value, chosen, inside) = (read("a/src/value.txt"), read("a/src/chosen.txt"), read("a/door/inside.txt"));
    add("a", format!("{value}|{chosen}|{inside}|{flag}|{loud}"));
    for part in shape {
        match part {
            Part::Macro => add("mac", read("mac/macro_input.txt") + &read("pm/src/value.txt")),
            Part::Old => add("old", format!("{}|{}", read("old/src/value.txt"), listed(&ws.join("old/notes")))),
            Part::Watch => {
                let (assets, linked) = (listed(&ws.join("watch/assets")), listed(&ws.join("watch/linked")));
                add("watch", format!("{}|{assets}|{linked}|{:?}", read("watch/src/value.txt"), env.get("C_FLAG")));
            }
            Part::Maker => {
                let schema = read("maker/schema.txt");
                add("sib", format!("{}|{schema}|{schema}|{schema}|{schema}", read("sib/src/value.txt")));
                add("maker", format!("{schema}|{schema}"));
            }
            Part::Out => {
                let data = read("out/data.txt");
                let mut odd = ODD.map(|name| format!("{}:{data}", quoted(OsStr::from_bytes(name))));
                odd.sort();
                add("out", format!("{data}|{}", odd.join(",")));
            }
            Part::Submodule => add("modu", listed(&ws.join("modu/data"))),
            Part::Secret => add("sec", env.get(SECRET).cloned().unwrap_or_default()),
            Part::Second => add("side", text(&root.join("other/a/src/value.txt"))),
        }
    }
    lines
}
