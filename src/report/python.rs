//! What `rekindle python` prints: the facts, and lines that make terminal, IDE and scripts build for the same interpreter.
//!
//! The lines name one interpreter as maturin does, so that Cargo sees the same variables whoever starts it. What they never
//! set: `PYO3_BUILD_EXTENSION_MODULE`, which breaks `cargo test`, and `PYO3_CONFIG_FILE`, which decides for every build of a
//! job. They are for one step, one terminal or one editor, and say so.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::python::find::Interpreters;
use crate::python::interpreter::InterpreterFacts;

/// For whom the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    Shell,
    Github,
    Vscode,
    Rustrover,
    All,
}

/// Every fact, one a line.
pub fn text(interpreters: &Interpreters) -> Vec<String> {
    let mut lines = Vec::new();
    for facts in &interpreters.found {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(rows(facts).into_iter().map(|(name, value)| format!("{name:<24}{value}").trim_end().to_owned()));
    }
    lines.extend(remarks(interpreters));
    lines
}

/// Why there is nothing to say.
fn remarks(interpreters: &Interpreters) -> Option<String> {
    let unneeded = "no interpreter is in the key: none is wished for, or nothing in the workspace depends on one";
    let note = interpreters.note.as_ref().map(|note| format!("note: {note}"));
    note.or_else(|| interpreters.unneeded.then(|| unneeded.to_owned()))
}

fn rows(facts: &InterpreterFacts) -> Vec<(&'static str, String)> {
    let InterpreterFacts {
        path,
        executable: _,
        base,
        implementation: _,
        version: _,
        own_version: _,
        version_text,
        abiflags,
        soabi,
        ext_suffix,
        free_threaded,
        debug,
        pointer_width,
        platform,
        base_prefix,
        lib_dir,
        ld_library,
        shared,
        include_dir,
        venv,
    } = facts;
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut rows = vec![
        ("interpreter", path.display().to_string()),
        ("name", facts.name()),
        ("tag", facts.tag()),
        ("signature", facts.signature()),
    ];
    rows.extend(venv.as_ref().map(|root| ("virtual environment", root.display().to_string())));
    rows.extend([
        ("base", base.display().to_string()),
        ("base prefix", base_prefix.display().to_string()),
        ("version", version_text.split_whitespace().collect::<Vec<_>>().join(" ")),
        ("ABI flags", abiflags.clone()),
        ("SOABI", soabi.clone()),
        ("EXT_SUFFIX", ext_suffix.clone()),
        ("free-threaded", yes(*free_threaded)),
        ("debug", yes(*debug)),
        ("pointer width", pointer_width.to_string()),
        ("platform", platform.clone()),
        ("LIBDIR", lib_dir.clone()),
        ("LDLIBRARY", ld_library.clone()),
        ("shared library", yes(*shared)),
        ("INCLUDEPY", include_dir.clone()),
    ]);
    rows
}

#[derive(Serialize)]
struct InterpretersJson<'a> {
    interpreters: Vec<OneJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct OneJson<'a> {
    #[serde(flatten)]
    facts: &'a InterpreterFacts,
    name: String,
    tag: String,
    signature: String,
}

pub fn json(interpreters: &Interpreters) -> Result<String> {
    let one = |facts| OneJson {
        facts,
        name: InterpreterFacts::name(facts),
        tag: InterpreterFacts::tag(facts),
        signature: InterpreterFacts::signature(facts),
    };
    let json = InterpretersJson {
        interpreters: interpreters.found.iter().map(one).collect(),
        note: interpreters.note.as_deref(),
    };
    Ok(serde_json::to_string_pretty(&json)?)
}

/// Lines to copy. With several interpreters they are those of the first one, and say how to get another's.
pub fn export(interpreters: &Interpreters, export: Export) -> Result<Vec<String>> {
    let Some(facts) = interpreters.found.first() else {
        return Ok(remarks(interpreters).map(|text| format!("# {text}")).into_iter().collect());
    };
    let others = interpreters.found.len() - 1;
    let scope = Scope { facts, others };
    let blocks = [
        (Export::Shell, scope.shell()),
        (Export::Github, scope.github()?),
        (Export::Vscode, scope.vscode()),
        (Export::Rustrover, scope.rustrover()),
    ];
    let wanted = blocks.into_iter().filter(|(kind, _)| [*kind, Export::All].contains(&export)).map(|(_, block)| block);
    Ok(wanted.collect::<Vec<_>>().join(&String::new()))
}

/// One interpreter, and how many there are besides.
struct Scope<'a> {
    facts: &'a InterpreterFacts,
    others: usize,
}

impl Scope<'_> {
    fn variables(&self) -> [(&'static str, String); 2] {
        [("PYO3_PYTHON", self.facts.path.display().to_string()), ("PYO3_ENVIRONMENT_SIGNATURE", self.facts.signature())]
    }

    fn object(&self) -> Value {
        self.variables().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    /// What the lines are for, and where they would be wrong.
    fn head(&self, mark: &str, place: &str) -> Vec<String> {
        let mut lines = vec![
            format!("{mark} {place}: {}", self.facts.name()),
            format!("{mark} Right only where everything builds for this one interpreter."),
        ];
        if self.others > 0 {
            let text = "in the key besides; `--python` names the one for these lines";
            lines.push(format!("{mark} {} {text}", self.others));
        }
        lines
    }

    fn shell(&self) -> Vec<String> {
        let mut lines = self.head("#", "A terminal or a script");
        lines.extend(self.variables().map(|(name, value)| {
            let quoted = shlex::try_quote(&value).map_or_else(|_| value.clone(), std::borrow::Cow::into_owned);
            format!("export {name}={quoted}")
        }));
        lines
    }

    fn github(&self) -> Result<Vec<String>> {
        let mut lines = self.head("#", "A step that runs cargo (never the whole job, and never $GITHUB_ENV)");
        let env: serde_yaml::Mapping =
            self.variables().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let step = serde_yaml::to_string(&serde_yaml::Mapping::from_iter([("env".into(), env.into())]))?;
        lines.extend(step.lines().map(str::to_owned));
        Ok(lines)
    }

    fn vscode(&self) -> Vec<String> {
        let mut lines = self.head("//", ".vscode/settings.json");
        let mut settings = serde_json::Map::new();
        settings.insert("python.defaultInterpreterPath".into(), json!(self.facts.path.display().to_string()));
        let names = [
            "rust-analyzer.cargo.extraEnv",
            "rust-analyzer.check.extraEnv",
            "rust-analyzer.runnables.extraEnv",
            "terminal.integrated.env.linux",
            "terminal.integrated.env.osx",
            "terminal.integrated.env.windows",
        ];
        for name in names {
            settings.insert(name.into(), self.object());
        }
        lines.extend(format!("{:#}", Value::Object(settings)).lines().map(str::to_owned));
        lines
    }

    fn rustrover(&self) -> Vec<String> {
        let mut lines = self.head("#", "RustRover");
        let text = "The field `Environment variables` of run configurations, of Settings | Rust | External Linters and of \
                    Settings | Tools | Terminal";
        lines.push(format!("# {text}:"));
        lines.push(self.variables().map(|(name, value)| format!("{name}={value}")).join(";"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str) -> InterpreterFacts {
        InterpreterFacts {
            path: path.into(),
            implementation: "cpython".into(),
            version: "3.12.1".into(),
            pointer_width: 64,
            ..InterpreterFacts::default()
        }
    }

    #[test]
    fn every_form_names_the_same_two_variables_and_never_the_forbidden_ones() {
        let found = vec![one("/opt/a b/python"), one("/opt/c/python")];
        let interpreters = Interpreters { found, ..Interpreters::default() };
        let all = export(&interpreters, Export::All).unwrap().join("\n");
        for line in [
            "export PYO3_PYTHON='/opt/a b/python'",
            "export PYO3_ENVIRONMENT_SIGNATURE=cpython-3.12-64bit",
            "  PYO3_PYTHON: /opt/a b/python",
            "PYO3_PYTHON=/opt/a b/python;PYO3_ENVIRONMENT_SIGNATURE=cpython-3.12-64bit",
            "# 1 in the key besides; `--python` names the one for these lines",
        ] {
            assert!(all.lines().any(|own| own == line), "{line}\n{all}");
        }
        assert!(!all.contains("PYO3_BUILD_EXTENSION_MODULE") && !all.contains("PYO3_CONFIG_FILE"));
        assert_eq!(all.matches("Right only where").count(), 4);

        let vscode = export(&interpreters, Export::Vscode).unwrap();
        let settings: String = vscode.into_iter().filter(|line| !line.starts_with("//")).collect();
        let settings: Value = serde_json::from_str(&settings).unwrap();
        assert_eq!(settings["rust-analyzer.cargo.extraEnv"]["PYO3_PYTHON"], "/opt/a b/python");
        assert_eq!(settings["rust-analyzer.check.extraEnv"], settings["terminal.integrated.env.linux"]);
    }

    #[test]
    fn where_nothing_was_found_nothing_is_set() {
        let note = Some("nobody knows why".to_owned());
        let lines = export(&Interpreters { note, ..Interpreters::default() }, Export::All).unwrap();
        assert_eq!(lines, ["# note: nobody knows why"]);
    }
}
