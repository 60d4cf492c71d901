//! Source trees as lists of files.

use std::collections::BTreeMap;

/// Files by path; a text that starts with `-> ` is a symlink.
pub(crate) type Project = BTreeMap<String, String>;

/// What a change to package `a` of the scenario project compiles.
pub(crate) const A_UNITS: [&str; 6] = [
    "a 0.1.0 lib a",
    "a 0.1.0 lib a test",
    "a 0.1.0 test integration test",
    "a 0.1.0 example demo",
    "app 0.1.0 bin app",
    "app 0.1.0 bin app test",
];

/// One of everything that Cargo's freshness treats differently. `git_url` is where the git dependency lives; with `generated`
/// there is also a package whose build script writes into its own sources.
pub(crate) fn scenario_project(git_url: &str, generated: bool) -> Project {
    let mut project = Project::new();
    let mut add = |path: &str, text: &str| {
        project.insert(path.to_owned(), text.trim_start_matches('\n').to_owned());
    };
    let extra = if generated { "\"gen\", " } else { "" };
    // Debug information costs a tenth of each test; other workspaces have it.
    let root = format!(
        "[workspace]\nresolver = \"2\"\nmembers = [{extra}\"app\", \"a\", \"b\", \"c\", \"pm\"]\n[profile.dev]\ndebug = 0\n"
    );
    add("work/Cargo.toml", &root);
    add("work/.gitignore", "/target\n/gen/src/generated.rs\n__pycache__\n");
    add(
        "work/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n",
    );
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };

    // A library that reads through every road the compiler knows, and through one that it does not.
    add(
        "work/a/Cargo.toml",
        &manifest("a", "[features]\nloud = []\n[dependencies]\npm = { path = \"../pm\" }\nvend = \"0.1.0\"\n"),
    );
    add(
        "work/a/src/lib.rs",
        r#"
mod sub;
mod chosen;
pub fn text() -> String {
    let loud = if cfg!(feature = "loud") { "LOUD" } else { "quiet" };
    format!("a={}|{}|{}|{}|{}|{}|{}", include_str!("../data.txt").trim(), option_env!("A_FLAG").unwrap_or("unset"),
        env!("CARGO_PKG_VERSION"), sub::sub(), chosen::chosen(), pm::file!(), vend::vend()) + "|" + loud
}
"#,
    );
    add("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-1\" }\n");
    add("work/a/src/chosen.rs", "-> ../choices/one.rs");
    add("work/a/choices/one.rs", "pub fn chosen() -> &'static str { \"one\" }\n");
    add("work/a/choices/two.rs", "pub fn chosen() -> &'static str { \"two\" }\n");
    add("work/a/data.txt", "data-1\n");
    add("work/a/macro_input.txt", "macro-1\n");
    add("work/a/README.md", "about a\n");
    add("work/a/tests/integration.rs", "#[test]\nfn it_has_text() { assert!(a::text().starts_with(\"a=\")); }\n");
    add("work/a/examples/demo.rs", "fn main() { println!(\"{}\", a::text()); }\n");

    // A build script that names no inputs.
    add("work/b/Cargo.toml", &manifest("b", ""));
    add(
        "work/b/build.rs",
        r#"
fn main() {
    let mut names: Vec<String> = std::fs::read_dir("notes").unwrap()
        .map(|e| e.unwrap().path()).map(|p| format!("{}:{}", p.file_name().unwrap().to_string_lossy(), std::fs::read_to_string(&p).unwrap().trim())).collect();
    names.sort();
    println!("cargo:rustc-env=B_NOTES={}", names.join(","));
}
"#,
    );
    add("work/b/src/lib.rs", "pub fn text() -> String { format!(\"b={}\", env!(\"B_NOTES\")) }\n");
    add("work/b/notes/x.txt", "x-1\n");
    add("work/b/notes/y.txt", "y-1\n");

    // A build script that watches a folder and a variable.
    add("work/c/Cargo.toml", &manifest("c", "build = \"build.rs\"\n"));
    add(
        "work/c/build.rs",
        r#"
fn main() {
    println!("cargo:rerun-if-changed=assets");
    println!("cargo:rerun-if-env-changed=C_FLAG");
    let mut names: Vec<String> = std::fs::read_dir("assets").unwrap().map(|e| e.unwrap()).filter(|e| e.path().is_file())
        .map(|e| format!("{}:{}", e.file_name().to_string_lossy(), std::fs::read_to_string(e.path()).unwrap().trim())).collect();
    names.sort();
    let flag = std::env::var("C_FLAG").unwrap_or_else(|_| "unset".into());
    println!("cargo:rustc-env=C_ASSETS={}+{}", names.join(","), flag);
}
"#,
    );
    add("work/c/src/lib.rs", "pub fn text() -> String { format!(\"c={}\", env!(\"C_ASSETS\")) }\n");
    add("work/c/assets/p.txt", "p-1\n");
    add("work/c/assets/q.txt", "q-1\n");

    // A proc macro that reads a file of the package that uses it.
    add("work/pm/Cargo.toml", &manifest("pm", "[lib]\nproc-macro = true\n"));
    add(
        "work/pm/src/lib.rs",
        r#"
#[proc_macro]
pub fn file(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let text = std::fs::read_to_string(std::path::Path::new(&dir).join("macro_input.txt")).unwrap();
    format!("{:?}", text.trim()).parse().unwrap()
}
"#,
    );

    add(
        "work/app/Cargo.toml",
        &manifest(
            "app",
            &format!(
                r#"
[features]
loud = ["a/loud"]
[dependencies]
a = {{ path = "../a" }}
b = {{ path = "../b" }}
c = {{ path = "../c" }}
outside = {{ path = "../../outside" }}
gitdep = {{ git = "{git_url}" }}
"#
            ),
        ),
    );
    add(
        "work/app/src/main.rs",
        r#"
fn main() {
    println!("{}\n{}\n{}\n{}\n{}", a::text(), b::text(), c::text(), outside::text(), gitdep::text());
}
"#,
    );
    add("outside/Cargo.toml", &manifest("outside", "[workspace]\n"));
    add("outside/src/lib.rs", "pub fn text() -> String { \"outside=1\".to_string() }\n");

    add("work/vendor/vend/Cargo.toml", &manifest("vend", ""));
    add("work/vendor/vend/src/lib.rs", "pub fn vend() -> &'static str { \"vend-1\" }\n");
    add("work/vendor/vend/.cargo-checksum.json", &format!("{{\"files\":{{}},\"package\":\"{}\"}}", "1".repeat(64)));
    if generated {
        // A build script that writes an ignored source file into the package.
        add("work/gen/Cargo.toml", &manifest("gen", ""));
        add(
            "work/gen/build.rs",
            r#"
fn main() {
    println!("cargo:rerun-if-changed=schema.txt");
    let schema = std::fs::read_to_string("schema.txt").unwrap();
    std::fs::write("src/generated.rs", format!("pub const SCHEMA: &str = {:?};", schema.trim())).unwrap();
}
"#,
        );
        add("work/gen/schema.txt", "schema-1\n");
        add(
            "work/gen/src/lib.rs",
            "mod generated;\npub fn text() -> String { format!(\"gen={}\", generated::SCHEMA) }\n",
        );

        add("work/gen/src/main.rs", "fn main() { println!(\"{}\", gen::text()); }\n");
    }
    project
}
