//! Rules about how packages are laid out.

use super::checkout::{Checkout, Package, has_extension, is_sample};
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

/// With more, linking them is what a warm job mostly does.
const MOST_TEST_CRATES: usize = 8;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    let own =
        checkout.packages.values().filter(|package| !is_sample(&package.file) && package.node.at("package").exists());
    for package in own {
        into.extend(many_test_crates(checkout, package));
        let dir = folder(package).trim_end_matches('/');
        let dir = if dir.is_empty() { "." } else { dir };
        let found = build_script(checkout, package);
        into.extend(found.map(|found| if checkout.is_named_by_a_job(dir) { found } else { found.as_hint() }));
    }
}

fn folder(package: &Package) -> &str {
    package.file.strip_suffix("Cargo.toml").unwrap_or_default()
}

fn many_test_crates(checkout: &Checkout, package: &Package) -> Option<Finding> {
    let tests = format!("{}tests/", folder(package));
    let declared = package.node.at("test");
    let discovered = checkout.files.iter().filter_map(|file| file.strip_prefix(&tests)).filter(|file| {
        matches!(file.matches('/').count(), 0 if has_extension(file, "rs"))
            || file.matches('/').count() == 1 && file.ends_with("/main.rs")
    });
    let automatic = !package.node.path(&["package", "autotests"]).is("false");
    let count = if automatic { discovered.count() } else { declared.items().len() };
    let name = package.node.path(&["package", "name"]).text().unwrap_or_default();
    let what = format!("the package `{name}` has {count} integration test crates");
    let line = package.node.at("package").line;
    (count > MOST_TEST_CRATES).then(|| Finding::new(Rule::ManyTestCrates, &package.file, line, what))
}

fn build_script(checkout: &Checkout, package: &Package) -> Option<Finding> {
    let named = package.node.path(&["package", "build"]).text();
    let script = format!("{}{}", folder(package), named.unwrap_or("build.rs"));
    let code = checkout.texts.get(&script)?.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = code.collect::<Vec<_>>().join("\n");
    // A crate that it calls, or a part of it in another file, may print the lines.
    let helped =
        package.node.at("build-dependencies").entries().iter().any(|(name, _)| text.contains(&name.replace('-', "_")));
    let parts = text.lines().any(|line| line.trim_start().starts_with("mod ") || line.contains("include!"));
    let silent = !text.contains("rerun-if") && !helped && !parts;
    silent.then(|| {
        Finding::new(Rule::BuildScriptWithoutRerunIf, &script, 1, format!("`{script}` prints no `rerun-if` line"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::ids;

    #[test]
    fn more_than_eight_test_crates_are_many() {
        let with = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("tests/t{number}.rs")).collect();
            let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "// a test\n")).collect();
            files.extend([("tests/common/mod.rs", "// shared\n"), ("tests/data.txt", "x")]);
            ids(&files)
        };
        assert_eq!(with(9), ["many-test-crates:1"]);
        assert!(with(8).is_empty());
    }

    #[test]
    fn a_build_script_that_says_nothing_is_found() {
        let found = |text: &str, manifest: &str| {
            ids(&[("build.rs", text), ("Cargo.toml", &format!("[package]\nname = \"a\"\n{manifest}"))])
        };
        assert_eq!(found("fn main() {}\n", ""), ["build-script-without-rerun-if:1"]);
        assert_eq!(found("// No rerun-if here.\nfn main() {}\n", ""), ["build-script-without-rerun-if:1"]);
        assert!(found("fn main() { println!(\"cargo:rerun-if-changed=x\"); }\n", "").is_empty());
        let helped = "fn main() { tonic_build::compile_protos(\"x\"); }\n";
        assert!(found(helped, "[build-dependencies]\ntonic-build = \"1\"\n").is_empty());
        assert!(found("mod parts;\nfn main() { parts::main() }\n", "").is_empty());
    }
}
