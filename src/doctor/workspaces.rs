//! Rules about the workspaces that the action is told about, compared with those that are there and those that are built.

use super::checkout::Checkout;
use super::job::{Step, WorkflowJob, join};
use super::packages::{file_in, listed};
use super::shell::ShellCommand;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (_, job, ours) in checkout.warm_jobs() {
        let Some(prefix) = own_folder(job) else { continue };
        let steps: Vec<&Step> = ours.iter().map(|index| &job.steps[*index]).collect();
        // A folder that another repository or a command brings cannot be seen from here.
        if !checkout.has(".gitmodules") && !job.steps[..ours[0]].iter().any(brings_sources) {
            for step in &steps {
                without_manifest(checkout, &prefix, step, into);
            }
        }
        not_listed(checkout, job, &prefix, &steps, into);
    }
}

/// The folder into which the job checks this repository out; nothing if that is not certain.
fn own_folder(job: &WorkflowJob) -> Option<String> {
    let mut own = None;
    for step in job.steps.iter().filter(|step| step.action() == "actions/checkout") {
        let other = step.with("repository").is_some_and(|repository| !repository.contains("github.repository"));
        if !other {
            own = own.or(Some(step.with("path").unwrap_or(".")));
        }
    }
    join(".", own?)
}

fn brings_sources(step: &Step) -> bool {
    let brings = |command: &ShellCommand| {
        [&["git", "clone"][..], &["git", "submodule"], &["gh", "repo"], &["cargo", "new"], &["cargo", "init"]]
            .iter()
            .any(|words| command.begins(words))
            || command.begins(&["cargo", "generate"])
            || matches!(command.program(), "tar" | "unzip" | "cookiecutter" | "copier")
    };
    step.action() == "actions/download-artifact"
        || step.action() == "actions/checkout" && step.with("repository").is_some()
        || step.commands().iter().any(brings)
}

/// A folder of the job as one of the checkout.
fn inside(prefix: &str, folder: &str) -> Option<String> {
    match prefix {
        "." => Some(folder.to_owned()),
        prefix if folder == prefix => Some(".".to_owned()),
        prefix => folder.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned),
    }
}

fn folders(step: &Step) -> Vec<String> {
    match step.with("workspaces").map(str::trim) {
        None | Some("") => vec![".".to_owned()],
        Some(lines) => listed(lines),
    }
}

fn without_manifest(checkout: &Checkout, prefix: &str, step: &Step, into: &mut Vec<Finding>) {
    for folder in folders(step) {
        let Some(folder) = inside(prefix, &folder) else { continue };
        let manifest = file_in(&folder, "Cargo.toml");
        if !checkout.has(&manifest) {
            let what = match step.with("workspaces") {
                Some(_) => format!("`workspaces` names `{folder}`, and there is no `{manifest}`"),
                None => "the action is told no `workspaces`, and there is no `Cargo.toml` at the root".to_owned(),
            };
            into.push(Finding::new(Rule::WorkspaceWithoutManifest, &step.file, step.with_line("workspaces"), what));
        }
    }
}

fn not_listed(checkout: &Checkout, job: &WorkflowJob, prefix: &str, steps: &[&Step], into: &mut Vec<Finding>) {
    let known = |step: &&Step| !step.with("workspaces").unwrap_or_default().contains("${{");
    if !steps.iter().all(known) {
        return;
    }
    let covered: Vec<String> = steps
        .iter()
        .flat_map(|step| folders(step))
        .filter_map(|folder| inside(prefix, &folder))
        // One that is not there is another finding.
        .filter(|folder| checkout.packages.contains_key(folder))
        .filter_map(|folder| checkout.workspace(&folder))
        .collect();
    for (step, command, call) in job.cargo().filter(|(_, _, call)| call.compiles()) {
        let manifest = call.manifest.as_deref().map_or(".", |path| path.strip_suffix("Cargo.toml").unwrap_or(path));
        let folder = step.folder(command).and_then(|dir| join(&dir, manifest)).and_then(|dir| inside(prefix, &dir));
        let Some(workspace) = folder.and_then(|folder| checkout.workspace(&folder)) else { continue };
        if !covered.is_empty() && !covered.contains(&workspace) {
            let what = format!(
                "`{}` compiles in the workspace `{workspace}`; the action is told {}",
                call.said,
                said(&covered)
            );
            into.push(Finding::new(Rule::WorkspaceNotListed, &step.file, command.line, what));
        }
    }
}

fn said(folders: &[String]) -> String {
    let names: Vec<String> = folders.iter().map(|folder| format!("`{folder}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, ids, job, workflow};

    #[test]
    fn a_folder_without_a_manifest_is_found() {
        let told =
            |folder: &str| job(&[CHECKOUT, &format!("{{uses: a/rekindle@v1, with: {{workspaces: '{folder}'}}}}")]);
        assert_eq!(told("rust"), ["workspace-without-manifest:7"]);
        assert!(told(". -> target").is_empty());
        assert!(told("${{ matrix.folder }}").is_empty());
        let elsewhere =
            ["{uses: actions/checkout@v7, with: {path: src}}", "{uses: a/rekindle@v1, with: {workspaces: src}}"];
        assert!(job(&elsewhere).is_empty());
    }

    #[test]
    fn a_workspace_that_is_built_and_not_listed_is_found() {
        let manifest = "[package]\nname = \"tool\"\n[workspace]\n[profile.dev]\ndebug = 0\n";
        let found = |ours: &str, build: &str| {
            let text = workflow(&[CHECKOUT, ours, build]);
            let lock = "version = 4\n";
            ids(&[(".github/workflows/ci.yml", &text), ("tool/Cargo.toml", manifest), ("tool/Cargo.lock", lock)])
        };
        let plain = "uses: a/rekindle@v1";
        let both = "{uses: a/rekindle@v1, with: {workspaces: \".\\ntool\"}}";
        for build in ["run: cd tool && cargo test", "{run: cargo test, working-directory: tool}"] {
            assert_eq!(found(plain, build), ["workspace-not-listed:8"]);
            assert!(found(both, build).is_empty());
        }
        assert_eq!(found(plain, "run: cargo test --manifest-path tool/Cargo.toml"), ["workspace-not-listed:8"]);
        assert!(found(plain, "run: cargo test").is_empty());
    }
}
