//! A job as it runs: its steps in order, those of the checkout's own composite actions in their place, with the folder and the
//! variables that each of them sees.
//!
//! Expressions are not evaluated; a value that holds one is compared as it is written. Variables that a step writes to
//! `GITHUB_ENV` are unknown from there on.

use std::collections::BTreeMap;

use super::cargo_call::CargoCall;
use super::shell::{ShellCommand, commands};
use super::tree::{Node, Value};

/// Name, value and place of a variable; a step's own win over its job's, and these over its workflow's.
pub(super) type Env = BTreeMap<String, Setting>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) file: String,
    pub(super) line: usize,
}

#[derive(Clone, Debug)]
pub(super) struct WorkflowJob {
    pub(super) file: String,
    pub(super) id: String,
    pub(super) node: Node,
    pub(super) steps: Vec<Step>,
    /// The values of each name of the matrix, `include` among them.
    pub(super) matrix: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) env: Env,
    pub(super) dir: String,
    pub(super) condition: Option<String>,
    /// As it is written.
    pub(super) node: Node,
    pub(super) kind: StepKind,
}

#[derive(Clone, Debug)]
pub(super) enum StepKind {
    /// The action in lower case, what follows `@`, and its inputs.
    Uses {
        action: String,
        reference: String,
        with: Node,
    },
    Run {
        script: String,
        commands: Vec<ShellCommand>,
    },
}

/// Local actions by the folder that a step names.
pub(super) type Actions = BTreeMap<String, (String, Node)>;

const DEEPEST: usize = 4;

impl WorkflowJob {
    pub(super) fn read(file: &str, workflow: &Node, id: &str, node: &Node, actions: &Actions) -> Self {
        let mut env = Env::new();
        extend(&mut env, workflow.at("env"), file);
        extend(&mut env, node.at("env"), file);
        let default = [node, workflow].iter().find_map(|of| of.path(&["defaults", "run", "working-directory"]).text());
        let context = Context { file, env, dir: default.unwrap_or("."), actions };
        let matrix = matrix(node.path(&["strategy", "matrix"]));
        let steps = context.steps(node.at("steps"), 0);
        Self { file: file.to_owned(), id: id.to_owned(), node: node.clone(), steps, matrix }
    }

    /// Where this action stands among the steps.
    pub(super) fn rekindle(&self) -> Vec<usize> {
        let ours = self.steps.iter().enumerate().filter(|(_, step)| step.is_rekindle());
        ours.map(|(index, _)| index).collect()
    }

    /// The commands of all steps with the step that each belongs to.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&Step, &ShellCommand)> {
        self.steps.iter().flat_map(|step| step.commands().iter().map(move |command| (step, command)))
    }

    pub(super) fn cargo(&self) -> impl Iterator<Item = (&Step, &ShellCommand, CargoCall)> {
        self.commands().filter_map(|(step, command)| CargoCall::of(command).map(|call| (step, command, call)))
    }

    pub(super) fn compiles(&self) -> bool {
        self.cargo().any(|(_, _, call)| call.compiles())
    }

    /// Whether a step writes this variable where no plain reader can follow.
    pub(super) fn writes(&self, name: &str) -> bool {
        self.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Run { script, .. } if script.contains("GITHUB_ENV") && script.contains(name))
        })
    }

    /// What a text can be when it is one value of the matrix; else the text itself.
    pub(super) fn values(&self, text: &str) -> Vec<String> {
        let inner = text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
        let name = inner.and_then(|inner| inner.trim().strip_prefix("matrix."));
        match name.and_then(|name| self.matrix.get(name)) {
            Some(values) => values.clone(),
            None => vec![text.to_owned()],
        }
    }
}

impl Step {
    pub(super) fn action(&self) -> &str {
        if let StepKind::Uses { action, .. } = &self.kind { action } else { "" }
    }

    /// What follows the `@` of an action.
    pub(super) fn reference(&self) -> &str {
        if let StepKind::Uses { reference, .. } = &self.kind { reference } else { "" }
    }

    pub(super) fn commands(&self) -> &[ShellCommand] {
        if let StepKind::Run { commands, .. } = &self.kind { commands } else { &[] }
    }

    pub(super) fn with(&self, input: &str) -> Option<&str> {
        if let StepKind::Uses { with, .. } = &self.kind { with.at(input).text() } else { None }
    }

    pub(super) fn with_line(&self, input: &str) -> usize {
        match &self.kind {
            StepKind::Uses { with, .. } if with.at(input).exists() => with.at(input).line,
            _ => self.line,
        }
    }

    /// This action, its hook or the half that restores, under whatever owner a fork gives it.
    pub(super) fn is_rekindle(&self) -> bool {
        let mut parts = self.action().split('/').skip(1);
        parts.next() == Some("rekindle")
            && matches!((parts.next(), parts.next()), (None, _) | (Some("dist"), Some("hook" | "restore")))
    }

    /// What a command sees, its own assignments first.
    pub(super) fn variable<'a>(&'a self, command: &'a ShellCommand, name: &str) -> Option<&'a str> {
        let own = command.env.iter().rfind(|(own, _)| own == name).map(|(_, value)| value.as_str());
        own.or_else(|| self.env.get(name).map(|setting| setting.value.as_str()))
    }

    /// The folder in which a command runs, relative to the checkout's workspace; nothing if it cannot be known.
    pub(super) fn folder(&self, command: &ShellCommand) -> Option<String> {
        join(&self.dir, command.dir.as_deref().unwrap_or("."))
    }
}

/// Joins two relative folders; nothing if an expression or an absolute path is among them, or it leads outside.
pub(super) fn join(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let joined = if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
    (!base.starts_with('/') && !path.starts_with(['/', '~']) && !joined.contains('$')).then_some(joined)
}

struct Context<'a> {
    file: &'a str,
    env: Env,
    dir: &'a str,
    actions: &'a Actions,
}

impl Context<'_> {
    fn steps(&self, list: &Node, depth: usize) -> Vec<Step> {
        list.items().iter().flat_map(|node| self.step(node, depth)).collect()
    }

    fn step(&self, node: &Node, depth: usize) -> Vec<Step> {
        let mut env = self.env.clone();
        extend(&mut env, node.at("env"), self.file);
        let condition = node.at("if").text().map(str::to_owned);
        let dir = node.at("working-directory").text().unwrap_or(self.dir).to_owned();
        let step = |kind: StepKind| Step {
            file: self.file.to_owned(),
            line: node.line,
            env: env.clone(),
            dir,
            condition,
            node: node.clone(),
            kind,
        };
        if let Some(script) = node.at("run").text() {
            let commands = commands(script, node.at("run").text_line);
            return vec![step(StepKind::Run { script: script.to_owned(), commands })];
        }
        let Some(used) = node.at("uses").text() else { return Vec::new() };
        let (action, reference) = used.split_once('@').unwrap_or((used, ""));
        let local = ["./", "$/"].iter().find_map(|mark| action.strip_prefix(mark));
        let folder = local.map(|folder| folder.trim_matches('/'));
        if let Some((file, own)) = folder.and_then(|folder| self.actions.get(folder)) {
            let ours = match own.at("name").text() {
                Some("Rekindle") => Some("./rekindle"),
                Some("Rekindle hook") => Some("./rekindle/dist/hook"),
                Some("Rekindle restore") => Some("./rekindle/dist/restore"),
                Some("Rekindle save") => Some("./rekindle/dist/save"),
                _ => None,
            };
            if let Some(action) = ours {
                let kind = StepKind::Uses {
                    action: action.to_owned(),
                    reference: String::new(),
                    with: node.at("with").clone(),
                };
                return vec![step(kind)];
            }
            if depth < DEEPEST {
                let inner = Context { file, env: env.clone(), dir: ".", actions: self.actions };
                let mut list = own.path(&["runs", "steps"]).clone();
                substitute(&mut list, own.at("inputs"), node.at("with"));
                return inner.steps(&list, depth + 1);
            }
        }
        let with = node.at("with").clone();
        vec![step(StepKind::Uses { action: action.to_lowercase(), reference: reference.to_owned(), with })]
    }
}

/// Puts what a composite action is given in the place of `${{ inputs.name }}`.
fn substitute(node: &mut Node, declared: &Node, given: &Node) {
    match &mut node.value {
        Value::Null => {}
        Value::Text(text) => {
            for (name, input) in declared.entries() {
                let value = given.at(name).text().or_else(|| input.at("default").text()).unwrap_or_default();
                for written in [format!("${{{{ inputs.{name} }}}}"), format!("${{{{inputs.{name}}}}}")] {
                    *text = text.replace(&written, value);
                }
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| substitute(item, declared, given)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| substitute(item, declared, given)),
    }
}

fn extend(env: &mut Env, node: &Node, file: &str) {
    for (name, value) in node.entries() {
        let value_text = value.text().unwrap_or_default().to_owned();
        env.insert(name.clone(), Setting { value: value_text, file: file.to_owned(), line: value.line });
    }
}

fn matrix(node: &Node) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, values) in node.entries() {
        match name.as_str() {
            "exclude" => {}
            "include" => {
                for (name, value) in values.items().iter().flat_map(Node::entries) {
                    found.entry(name.clone()).or_default().extend(value.text().map(str::to_owned));
                }
            }
            name => {
                found.entry(name.to_owned()).or_default().extend(values.texts().iter().map(|&text| text.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn job(text: &str, actions: &Actions) -> WorkflowJob {
        let root = yaml::parse(text).unwrap();
        let (id, node) = root.at("jobs").entries()[0].clone();
        WorkflowJob::read("ci.yml", &root, &id, &node, actions)
    }

    #[test]
    fn a_composite_action_is_its_steps() {
        let action = "inputs: {name: {default: x}}\nruns:\n  steps:\n    - uses: rekindle-rs/rekindle@v1\n      with:\n        key: k-${{ inputs.name }}\n";
        let actions = Actions::from([("tools/warm".to_owned(), ("a.yml".to_owned(), yaml::parse(action).unwrap()))]);
        let text = "jobs:\n  a:\n    steps:\n      - uses: ./tools/warm\n        with: {name: y}\n";
        let job = job(text, &actions);
        assert_eq!((job.rekindle(), job.steps[0].with("key")), (vec![0], Some("k-y")));
        assert_eq!((job.steps[0].file.as_str(), job.steps[0].line), ("a.yml", 4));
    }

    #[test]
    fn variables_and_folders_come_from_the_nearest() {
        let text = "env: {A: 1, B: 1}\njobs:\n  a:\n    env: {B: 2}\n    defaults: {run: {working-directory: sub}}\n    \
                    strategy: {matrix: {rust: [1.80, nightly], include: [{rust: beta}]}}\n    steps:\n      - run: |\n          \
                    cd ../other && B=3 cargo test\n";
        let job = job(text, &Actions::new());
        let (step, command, _) = job.cargo().next().unwrap();
        assert_eq!((step.variable(command, "A"), step.variable(command, "B")), (Some("1"), Some("3")));
        assert_eq!(step.folder(command).as_deref(), Some("other"));
        assert_eq!(job.values("${{ matrix.rust }}"), ["1.80", "nightly", "beta"]);
        assert_eq!(join("a", "../../b"), None);
        assert_eq!(join(".", "${{ matrix.x }}"), None);
    }

    #[test]
    fn the_action_is_known_by_its_name_and_not_by_its_owner() {
        for (used, ours) in [
            ("rekindle-rs/rekindle@v1", true),
            ("Someone/Rekindle@abc", true),
            ("a/rekindle/dist/hook@v1", true),
            ("a/rekindle/dist/restore@v1", true),
            ("a/rekindle/dist/save@v1", false),
            ("a/rekindle-other@v1", false),
            ("actions/cache@v4", false),
        ] {
            let job = job(&format!("jobs: {{a: {{steps: [{{uses: '{used}'}}]}}}}"), &Actions::new());
            assert_eq!(job.steps[0].is_rekindle(), ours, "{used}");
        }
    }
}
