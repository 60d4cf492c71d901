//! Cargo's own verdict on every unit of a command: compiled or fresh, from its JSON messages, and which build scripts ran,
//! from what `-v` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::diagnostic::DiagnosticLevel;
use cargo_metadata::{Artifact, Message};

use crate::machine::{ask, children};

/// How the message about a unit begins.
const ARTIFACT: &str = r#"{"reason":"compiler-artifact""#;

/// Units by package, target and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub compiled: BTreeSet<String>,
    pub fresh: BTreeSet<String>,
    pub success: bool,
    /// What Cargo printed for people.
    pub stderr: String,
}

impl Verdict {
    /// Adds the verdict of a later command of the same job: what one of them compiled was compiled.
    pub fn merge(&mut self, later: Self) {
        self.compiled.extend(later.compiled);
        self.fresh.extend(later.fresh);
        self.fresh = self.fresh.difference(&self.compiled).cloned().collect();
        self.success &= later.success;
        self.stderr.push_str(&later.stderr);
    }
}

/// Runs `cargo` with these arguments in `dir` and listens.
pub fn run(dir: &Path, arguments: &[String], env: &BTreeMap<String, String>) -> Result<Verdict> {
    ensure!(!arguments.is_empty(), "an empty cargo command");
    let split = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let mut words: Vec<OsString> = arguments[..split].iter().map(OsString::from).collect();
    words.extend(["--message-format=json", "-v", "--color=never"].map(OsString::from));
    words.extend(arguments[split..].iter().map(OsString::from));
    let output = children::output(ask::command("cargo").args(&words).current_dir(dir).envs(env));
    let output = output.context("cannot run `cargo`")?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // Tests print there too, and not always UTF-8.
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut said = Vec::new();
    let mut verdict = Verdict { success: output.status.success(), ..Verdict::default() };
    for message in Message::parse_stream(stdout.as_bytes()) {
        match message? {
            Message::CompilerArtifact(artifact) => {
                let list = if artifact.fresh { &mut verdict.fresh } else { &mut verdict.compiled };
                list.insert(unit(&artifact));
            }
            Message::CompilerMessage(message) if message.message.level == DiagnosticLevel::Error => {
                said.extend(message.message.rendered);
            }
            // Passed over, it would count as not compiled.
            Message::TextLine(line) if line.starts_with(ARTIFACT) => {
                bail!("cargo described a unit in an unknown way: {line}")
            }
            _ => {}
        }
    }
    verdict.compiled.extend(stderr.lines().filter_map(script_run));
    verdict.fresh = verdict.fresh.difference(&verdict.compiled).cloned().collect();
    verdict.stderr = format!("{stderr}{}", said.concat());
    Ok(verdict)
}

/// `syn 2.0.1 lib syn`, `app 0.1.0 bin app test`.
fn unit(artifact: &Artifact) -> String {
    let Artifact { package_id, target, profile, .. } = artifact;
    let kind = target.kind.first().map_or_else(|| "?".to_owned(), ToString::to_string);
    let (package, version) = package_of(&package_id.repr);
    let test = if profile.test { " test" } else { "" };
    format!("{package} {version} {kind} {}{test}", target.name)
}

/// The name and version in a package id: `…#name@1.2.3`, or `…/name#1.2.3`.
fn package_of(id: &str) -> (String, String) {
    let (url, fragment) = id.split_once('#').unwrap_or((id, ""));
    if let Some((name, version)) = fragment.split_once('@') {
        return (name.to_owned(), version.to_owned());
    }
    let path = url.split('?').next().unwrap_or(url);
    (path.rsplit('/').next().unwrap_or(path).to_owned(), fragment.to_owned())
}

/// A line in which `-v` announces a build script: ``Running `/…/build/<package>-<id>/build-script-build` ``.
fn script_run(line: &str) -> Option<String> {
    let command = line.trim_start().strip_prefix("Running `")?.strip_suffix('`')?.replace('\\', "/");
    let program = command.rsplit(' ').next()?;
    let name = program.rsplit('/').next()?;
    if !name.starts_with("build-script-") && !name.starts_with("build_script_") {
        return None;
    }
    let after = program.rsplit_once("/build/")?.1;
    let folder = after.split('/').next()?;
    let package = match folder.rsplit_once('-') {
        Some((package, id)) if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => package,
        _ => folder,
    };
    Some(format!("{package} build-script run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids_of_both_spellings_are_read() {
        let own = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(package_of("path+file:///w/app#0.1.0"), own("app", "0.1.0"));
        assert_eq!(package_of("path+file:///w/dir#app@0.1.0"), own("app", "0.1.0"));
        assert_eq!(package_of("registry+https://x/index#syn@2.0.1"), own("syn", "2.0.1"));
    }

    #[test]
    fn a_build_script_that_runs_is_noticed_in_both_layouts() {
        let run = |line| script_run(line);
        let expected = Some("a-b build-script run".to_owned());
        assert_eq!(run("     Running `/t/debug/build/a-b-0123456789abcdef/build-script-build`"), expected);
        assert_eq!(run("     Running `X=1 /t/debug/build/a-b/0123456789abcdef/out/build-script-build`"), expected);
        assert_eq!(
            run("     Running `rustc --crate-name build_script_build --out-dir /t/debug/build/a-b-0123456789abcdef`"),
            None
        );
        assert_eq!(run("   Compiling a v0.1.0"), None);
    }
}
