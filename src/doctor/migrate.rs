//! Jobs that keep `target` by another cache: the same step, as it is to be written here. `docs/migrate.md` says the same of each
//! input in words.
//!
//! How it can be wrong: an input that no translation is known for is named in a comment and not guessed. What somebody else reads
//! of the old step (an entry of that name, its outputs) is not looked for, nor is a step of a composite action, whose inputs are
//! known by their values only.

use super::cache_paths::{is_cargos, is_target, plain_cache};
use super::checkout::Checkout;
use super::job::{Step, StepKind, WorkflowJob};
use super::tree::Node;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;
use crate::state::secrets::is_secret_name;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (_, job) in checkout.jobs().filter(|(_, job)| job.rekindle().is_empty()) {
        let own = job.steps.iter().filter(|step| step.file == job.file);
        into.extend(own.filter_map(|step| other_cache(checkout, job, step)));
    }
}

fn other_cache(checkout: &Checkout, job: &WorkflowJob, step: &Step) -> Option<Finding> {
    let StepKind::Uses { with, .. } = &step.kind else { return None };
    let mut written = Written::default();
    let (name, action) = match step.action() {
        "swatinem/rust-cache" if step.with("cache-targets") != Some("false") => {
            written.rust_cache(job, with);
            ("Swatinem/rust-cache", "rekindle-rs/rekindle@v1")
        }
        action => match plain_cache(action).filter(|_| written.plain_cache(checkout, step, with))? {
            "restore" => (action, "rekindle-rs/rekindle/dist/restore@v1"),
            "save" => {
                written.inputs.clear();
                (action, "rekindle-rs/rekindle/dist/save@v1")
            }
            _ => (action, "rekindle-rs/rekindle@v1"),
        },
    };
    let what = format!("job `{}` keeps `target` by `{name}`", job.id);
    let instead = written.lines(step, action);
    Some(Finding::new(Rule::OtherCache, &step.file, step.line, what).with_instead(instead))
}

/// A step as it is going to be.
#[derive(Default)]
struct Written {
    inputs: Vec<(String, String)>,
    remarks: Vec<String>,
    /// What another cache goes on to keep: paths, and its other inputs.
    others: Option<(String, Vec<(String, String)>)>,
}

/// Variables whose beginnings rust-cache looks at in any case, and of which the key holds what matters.
const USUAL: [&str; 6] = ["CARGO", "CC", "CFLAGS", "CXX", "CMAKE", "RUST"];

impl Written {
    fn take(&mut self, input: &str, value: &str) {
        self.inputs.push((input.to_owned(), value.to_owned()));
    }

    fn needless(&mut self, input: &str, why: &str) {
        self.remarks.push(format!("{input}: needless, {why}"));
    }

    fn lost(&mut self, input: &str, why: &str) {
        self.remarks.push(format!("{input}: not translated, {why}"));
    }

    fn rust_cache(&mut self, job: &WorkflowJob, with: &Node) {
        let given = |name: &str| with.at(name).text().map(str::trim).filter(|text| !text.is_empty());
        for (name, node) in with.entries() {
            let value = node.text().unwrap_or_default().trim();
            match name.as_str() {
                _ if value.is_empty() => {}
                "shared-key" | "lookup-only" => self.take(name, value),
                "save-if" => self.take("save", value),
                "key" if given("shared-key").is_some() => self.needless(name, "`shared-key` stands in its place"),
                "key" => self.key(job, value, given("add-job-id-key") == Some("false")),
                "add-job-id-key" if value != "false" => self.needless(name, "workflow and job are in the name"),
                "add-job-id-key" if given("key").or(given("shared-key")).is_none() => {
                    self.take("shared-key", "all-jobs");
                }
                "add-job-id-key" => {}
                "prefix-key" if value.contains("${{") => self.take("key-roll", value),
                "prefix-key" => self.needless(name, "`key-roll` is there for a new start"),
                "env-vars" => self.variables(value),
                "workspaces" => self.workspaces(value),
                "cache-directories" => self.directories(value),
                "cache-on-failure" => self.needless(name, "a job that failed is saved, too"),
                "cache-workspace-crates" => self.needless(name, "they are what is kept, with their times"),
                "cache-all-crates" => self.needless(name, "what the lock file names is kept"),
                "add-rust-environment-hash-key" => self.needless(name, "it decides whether old bytes can be used"),
                "cache-targets" => self.needless(name, "the target folder is always kept"),
                "cache-provider" if value == "github" => self.needless(name, "it is the default"),
                "cache-provider" => self.lost(name, "there is GitHub's cache and `store: dir:PATH`"),
                "cache-bin" if value == "false" => self.needless(name, "no installed program is kept"),
                "cache-bin" => self.lost(name, "docs/migrate.md says how to keep installed tools"),
                "cmd-format" => self.lost(name, "a step before has to put cargo and rustc on PATH"),
                _ => self.lost(name, "rust-cache has no such input"),
            }
        }
        let installs = job.cargo().any(|(_, command, _)| command.has("install"));
        if installs && given("cache-bin").is_none() {
            self.remarks.push("~/.cargo/bin is not kept: docs/migrate.md says how to keep installed tools".to_owned());
        }
    }

    /// By default the matrix is the key here, and what is written stands in its place.
    fn key(&mut self, job: &WorkflowJob, value: &str, shared: bool) {
        let matrix_only = value.split("${{").skip(1).all(|rest| rest.trim_start().starts_with("matrix."));
        if shared {
            self.take("shared-key", value);
        } else if value.contains("matrix.") && matrix_only {
            self.needless("key", "by default it is the matrix");
        } else if job.matrix.is_empty() {
            self.take("key", value);
        } else {
            self.take("key", &format!("{value} ${{{{ toJSON(matrix) }}}}"));
        }
    }

    fn variables(&mut self, value: &str) {
        if value.contains("${{") {
            self.lost("env-vars", "its names are an expression");
            return;
        }
        let names = value.split_whitespace().filter(|name| !USUAL.contains(name));
        let (secret, names): (Vec<&str>, Vec<&str>) = names.partition(|name| is_secret_name(name));
        for name in secret {
            self.lost("env-vars", &format!("`{name}` looks like a secret"));
        }
        if names.is_empty() {
            self.needless("env-vars", "flags and compilers are in the key");
        } else {
            self.take("env-vars", &names.iter().map(|name| format!("{name}*")).collect::<Vec<_>>().join(" "));
        }
    }

    fn workspaces(&mut self, value: &str) {
        let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.collect();
        if !matches!(lines.as_slice(), ["." | "./" | ". -> target" | "./ -> target"]) {
            self.take("workspaces", &lines.join("\n"));
        }
    }

    fn directories(&mut self, value: &str) {
        let paths: Vec<&str> = value.split_whitespace().collect();
        let key = ("key".to_owned(), "folders-${{ runner.os }}-${{ hashFiles('**/Cargo.lock') }}".to_owned());
        self.others = Some((paths.join("\n"), vec![key]));
        self.remarks
            .push("cache-directories: stay with actions/cache; put into its key what they depend on".to_owned());
    }

    /// Whether `target` is among what it keeps.
    fn plain_cache(&mut self, checkout: &Checkout, step: &Step, with: &Node) -> bool {
        let paths = with.at("path").text().unwrap_or_default().lines().map(str::trim).filter(|path| !path.is_empty());
        let (ours, others): (Vec<&str>, Vec<&str>) = paths.partition(|path| is_cargos(checkout, path));
        let folders: Vec<&str> = ours.iter().map(|path| path.trim_end_matches(['/', '*'])).collect();
        let targets: Vec<&str> = folders.iter().copied().filter(|path| is_target(checkout, path)).collect();
        if targets.is_empty() {
            return false;
        }
        self.targets(&targets);
        for (name, node) in with.entries() {
            let value = node.text().unwrap_or_default().trim();
            match name.as_str() {
                "path" => {}
                "key" => self.needless(name, "lock file, toolchain and system are in the name"),
                "restore-keys" => self.needless(name, "the nearest state is taken"),
                "fail-on-cache-miss" | "lookup-only" => self.take(name, value),
                "enableCrossOsArchive" => self.needless(name, "the Cargo home is shared by all systems"),
                "upload-chunk-size" | "save-always" => self.needless(name, "it is decided here"),
                _ => self.lost(name, "actions/cache has no such input"),
            }
        }
        if others.iter().any(|path| !path.starts_with('!')) {
            let rest = with.entries().iter().filter(|(name, _)| name != "path");
            let rest = rest.map(|(name, node)| (name.clone(), node.text().unwrap_or_default().trim().to_owned()));
            self.others = Some((others.join("\n"), rest.collect()));
        }
        let id = step.node.at("id").text().unwrap_or("?");
        if !id.is_empty() && step.node.at("id").exists() {
            self.remarks.push(format!("steps.{id}.outputs: cache-hit is the same, the others have other names"));
        }
        true
    }

    /// The workspaces above these target folders, unless it is the checkout alone.
    fn targets(&mut self, targets: &[&str]) {
        let above = |path: &&str| {
            let path = path.replace("${{ github.workspace }}", ".");
            let parts: Vec<&str> =
                path.split('/').filter(|part| *part != ".").take_while(|part| *part != "target").collect();
            if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
        };
        let mut roots: Vec<String> = targets.iter().map(above).collect();
        roots.dedup();
        if roots.iter().any(|root| root.contains('*')) {
            self.lost("path", "name the workspaces in `workspaces`, if there are several");
        } else if roots != ["."] {
            self.take("workspaces", &roots.join("\n"));
        }
    }

    /// The step, as far in as the old one; what it keeps beside `target` stays in a step of its own, before it.
    fn lines(&self, step: &Step, action: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((paths, rest)) = &self.others {
            let own = plain_cache(step.action()).is_some();
            let reference =
                if own { format!("{}@{}", step.action(), step.reference()) } else { "actions/cache@v6".to_owned() };
            let with: Vec<(&str, &str)> = std::iter::once(("path", paths.as_str()))
                .chain(rest.iter().map(|(name, value)| (name.as_str(), value.as_str())))
                .collect();
            let condition = step.condition.iter().map(|condition| ("if", condition.as_str()));
            let head: Vec<_> = condition.chain([("uses", reference.as_str())]).collect();
            lines.extend(block(&head, &with));
        }
        let kept = step.node.entries().iter().filter(|(name, _)| !matches!(name.as_str(), "uses" | "with"));
        let kept = kept.filter_map(|(name, node)| Some((name.as_str(), node.text()?)));
        let head: Vec<_> = kept.chain([("uses", action)]).collect();
        let with: Vec<_> = self.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        lines.extend(block(&head, &with));
        lines.extend(self.remarks.iter().map(|remark| format!("  # {remark}")));
        let margin = " ".repeat(step.node.column.saturating_sub(2));
        lines.iter().map(|line| format!("{margin}{line}").trim_end().to_owned()).collect()
    }
}

/// An item of a list of steps.
fn block(head: &[(&str, &str)], with: &[(&str, &str)]) -> Vec<String> {
    let mut lines: Vec<String> = head.iter().flat_map(|(name, value)| entry(name, value)).collect();
    if !with.is_empty() {
        lines.push("with:".to_owned());
        lines.extend(with.iter().flat_map(|(name, value)| entry(name, value)).map(|line| format!("  {line}")));
    }
    lines.iter().enumerate().map(|(at, line)| format!("{}{line}", if at == 0 { "- " } else { "  " })).collect()
}

fn entry(name: &str, value: &str) -> Vec<String> {
    let lines: Vec<&str> = value.lines().collect();
    if lines.len() > 1 {
        return std::iter::once(format!("{name}: |")).chain(lines.iter().map(|line| format!("  {line}"))).collect();
    }
    vec![format!("{name}: {}", scalar(value))]
}

/// Plain where that means the same to whoever reads it as text.
fn scalar(value: &str) -> String {
    let is_plain =
        matches!(value, "true" | "false") || !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let written = serde_yaml::to_string(value).unwrap_or_default();
    if is_plain { value.to_owned() } else { written.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, findings};

    /// What is to be written in the place of the second step of a job.
    fn instead(head: &str, step: &str) -> String {
        let text = format!("on: push\njobs:\n  a:\n{head}    steps:\n      - {CHECKOUT}\n{step}      - {TEST}\n");
        let found = findings(&[(".github/workflows/ci.yml", &text)]);
        let mut lines =
            found.iter().filter(|finding| finding.rule.id() == "other-cache").flat_map(|f| f.instead.clone());
        let mut all = String::new();
        for line in lines.by_ref() {
            all += &(line + "\n");
        }
        all
    }

    #[test]
    fn a_step_of_rust_cache_is_written_anew_input_by_input() {
        let step = "      - name: Cache\n        if: runner.os == 'Linux'\n        uses: Swatinem/rust-cache@v2\n        \
                    with:\n          prefix-key: v1-rust\n          shared-key: build\n          key: x\n          workspaces: \
                    |\n            . -> target\n            fuzz\n          env-vars: CARGO RUST PYO3 NPM_TOKEN\n          \
                    cache-on-failure: true\n          save-if: ${{ github.ref == 'refs/heads/main' }}\n          \
                    cmd-format: nix develop -c {0}\n";
        let expected = "      - name: Cache\n        if: runner.os == 'Linux'\n        uses: rekindle-rs/rekindle@v1\n        \
                        with:\n          shared-key: build\n          workspaces: |\n            . -> target\n            \
                        fuzz\n          env-vars: PYO3*\n          save: ${{ github.ref == 'refs/heads/main' }}\n        \
                        # prefix-key: needless, `key-roll` is there for a new start\n        # key: needless, `shared-key` \
                        stands in its place\n        # env-vars: not translated, `NPM_TOKEN` looks like a secret\n        \
                        # cache-on-failure: needless, a job that failed is saved, too\n        # cmd-format: not translated, \
                        a step before has to put cargo and rustc on PATH\n";
        assert_eq!(instead("", step), expected);
        assert_eq!(instead("", "      - uses: swatinem/rust-cache@v2\n"), "      - uses: rekindle-rs/rekindle@v1\n");
    }

    #[test]
    fn a_key_by_hand_is_kept_where_the_matrix_does_not_say_it() {
        let key = |key: &str| format!("      - uses: Swatinem/rust-cache@v2\n        with: {{key: \"{key}\"}}\n");
        let matrix = "    strategy: {matrix: {os: [a, b]}}\n";
        let head = "      - uses: rekindle-rs/rekindle@v1\n";
        assert_eq!(instead("", &key("wasm")), format!("{head}        with:\n          key: wasm\n"));
        let needless = format!("{head}        # key: needless, by default it is the matrix\n");
        assert_eq!(instead(matrix, &key("x-${{ matrix.os }}")), needless);
        let both = format!("{head}        with:\n          key: wasm ${{{{ toJSON(matrix) }}}}\n");
        assert_eq!(instead(matrix, &key("wasm")), both);
    }

    #[test]
    fn what_is_not_cargos_stays_in_a_step_of_its_own() {
        let step = "    - name: Cache\n      id: cache\n      uses: actions/cache@v5\n      with:\n        path: \
                    |\n          ~/.cargo/registry\n          ~/.npm\n          target/\n        key: ${{ runner.os }}-x\n        \
                    restore-keys: ${{ runner.os }}-\n        fail-on-cache-miss: true\n";
        let text = format!("on: push\njobs:\n  a:\n    steps:\n    - {CHECKOUT}\n{step}    - {TEST}\n");
        let found = findings(&[(".github/workflows/ci.yml", &text)]);
        let lines = &found.iter().find(|finding| finding.rule.id() == "other-cache").unwrap().instead;
        let expected = [
            "    - uses: actions/cache@v5",
            "      with:",
            "        path: ~/.npm",
            "        key: ${{ runner.os }}-x",
            "        restore-keys: ${{ runner.os }}-",
            "        fail-on-cache-miss: true",
            "    - name: Cache",
            "      id: cache",
            "      uses: rekindle-rs/rekindle@v1",
            "      with:",
            "        fail-on-cache-miss: true",
            "      # key: needless, lock file, toolchain and system are in the name",
            "      # restore-keys: needless, the nearest state is taken",
            "      # steps.cache.outputs: cache-hit is the same, the others have other names",
        ];
        assert_eq!(lines.as_slice(), expected);
    }

    #[test]
    fn halves_become_halves_and_folders_of_ones_own_a_step() {
        let cache =
            |half: &str| format!("      - uses: actions/cache/{half}@v5\n        with: {{path: target, key: x}}\n");
        let [restore, save] = ["restore", "save"].map(|half| instead("", &cache(half)));
        let faster = cache("restore").replace("actions/", "buildjet/");
        assert_eq!(instead("", &faster), restore);
        assert!(restore.starts_with("      - uses: rekindle-rs/rekindle/dist/restore@v1\n        # key"), "{restore}");
        assert!(save.starts_with("      - uses: rekindle-rs/rekindle/dist/save@v1\n        # key"), "{save}");
        let folders =
            "      - uses: Swatinem/rust-cache@v2\n        with: {cache-directories: a b, add-job-id-key: false}\n";
        let expected = "      - uses: actions/cache@v6\n        with:\n          path: |\n            a\n            b\n          \
                        key: folders-${{ runner.os }}-${{ hashFiles('**/Cargo.lock') }}\n      - uses: rekindle-rs/rekindle@v1\n        \
                        with:\n          shared-key: all-jobs\n        # cache-directories: stay with actions/cache; put into its \
                        key what they depend on\n";
        assert_eq!(instead("", folders), expected);
    }

    #[test]
    fn a_cache_of_other_things_and_a_job_that_uses_rekindle_are_left_alone() {
        for step in [
            "      - uses: actions/cache@v5\n        with: {path: ~/.cargo/registry, key: x}\n",
            "      - uses: actions/cache@v5\n        with: {path: target/criterion, key: x}\n",
            "      - uses: Swatinem/rust-cache@v2\n        with: {cache-targets: false}\n",
        ] {
            assert_eq!(instead("", step), "", "{step}");
        }
        let both = format!("      - uses: Swatinem/rust-cache@v2\n      - {OURS}\n");
        assert_eq!(instead("", &both), "");
    }

    /// Whatever is printed is a list of steps that says what it says.
    #[test]
    fn what_is_printed_is_yaml_with_the_same_values() {
        for value in ["a: b # c", "'x'", "- y", "yes", "1.80", "*a", "{b}", "x\\n\"", "@z", "%", "null", "~"] {
            let quoted = serde_json::to_string(value).unwrap();
            let step = format!("      - uses: Swatinem/rust-cache@v2\n        with: {{shared-key: {quoted}}}\n");
            let steps: serde_yaml::Value = serde_yaml::from_str(&instead("", &step)).unwrap();
            assert_eq!(steps[0]["with"]["shared-key"].as_str(), Some(value));
        }
    }
}
