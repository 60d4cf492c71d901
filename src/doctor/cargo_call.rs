//! One call of Cargo as a script writes it: what it compiles, with which features and profile, and where to.

use super::shell::ShellCommand;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CargoCall {
    pub(super) line: usize,
    pub(super) toolchain: Option<String>,
    pub(super) subcommand: String,
    /// Sorted; `--all-features` and `--no-default-features` stand among them.
    pub(super) features: Vec<String>,
    pub(super) profile: String,
    pub(super) target: Option<String>,
    pub(super) target_dir: Option<String>,
    pub(super) manifest: Option<String>,
    /// What selects packages and targets, in order.
    pub(super) selection: Vec<String>,
    pub(super) said: String,
}

impl CargoCall {
    pub(super) fn of(command: &ShellCommand) -> Option<Self> {
        if command.program() != "cargo" {
            return None;
        }
        let mut call = Self { line: command.line, said: command.said(), ..Self::default() };
        let mut words = command.words.iter().skip(1).map(String::as_str).peekable();
        if let Some(toolchain) = words.peek().and_then(|word| word.strip_prefix('+')) {
            call.toolchain = Some(toolchain.to_owned());
            words.next();
        }
        let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
        let mut profile = None;
        let mut index = 0;
        while index < words.len() {
            let (name, inline) = match words[index].split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name, Some(value)),
                _ => (words[index], None),
            };
            let takes_value = inline.is_none();
            let value = inline.or_else(|| words.get(index + 1).copied()).unwrap_or_default().to_owned();
            let mut used = takes_value;
            match name {
                "--features" | "-F" => {
                    let names = value.split([',', ' ']).filter(|name| !name.is_empty());
                    call.features.extend(names.map(str::to_owned));
                }
                "--profile" => profile = Some(value),
                "--target" => call.target = Some(value),
                "--target-dir" => call.target_dir = Some(value),
                "--manifest-path" => call.manifest = Some(value),
                "--package" | "-p" | "--exclude" => call.selection.push(format!("{name} {value}")),
                "--config" | "--color" | "-j" | "--jobs" | "--bin" | "--example" | "--test" | "--bench" | "-Z" => {}
                other => {
                    used = false;
                    match other {
                        "--release" | "-r" => profile = Some("release".to_owned()),
                        "--all-features" | "--no-default-features" => call.features.push(other.to_owned()),
                        "--workspace" | "--all" => call.selection.push("--workspace".to_owned()),
                        _ if !other.starts_with('-') && call.subcommand.is_empty() => {
                            other.clone_into(&mut call.subcommand);
                        }
                        _ => {}
                    }
                }
            }
            index += if used { 2 } else { 1 };
        }
        if call.subcommand == "nextest" {
            // Its own `--profile` is a profile of nextest.
            profile = words.iter().any(|word| matches!(*word, "--release" | "-r")).then(|| "release".to_owned());
        }
        let default = if call.subcommand == "bench" { "release" } else { "dev" };
        call.profile = match profile.as_deref() {
            None => default.to_owned(),
            Some("test") => "dev".to_owned(),
            Some("bench") => "release".to_owned(),
            Some(other) => other.to_owned(),
        };
        call.features.sort();
        call.features.dedup();
        Some(call)
    }

    /// Whether it compiles packages of the workspace down to machine code.
    pub(super) fn generates_code(&self) -> bool {
        matches!(self.subcommand.as_str(), "build" | "b" | "test" | "t" | "run" | "r" | "bench" | "rustc" | "nextest")
    }

    /// Whether it compiles packages of the workspace in any way.
    pub(super) fn compiles(&self) -> bool {
        self.generates_code() || matches!(self.subcommand.as_str(), "check" | "c" | "clippy" | "doc" | "d" | "rustdoc")
    }

    /// Whether it compiles anything, as far as its name tells: other tools often do.
    pub(super) fn may_compile(&self) -> bool {
        let never = [
            "",
            "add",
            "audit",
            "binstall",
            "clean",
            "deny",
            "fetch",
            "fmt",
            "generate-lockfile",
            "help",
            "info",
            "install",
            "locate-project",
            "login",
            "machete",
            "metadata",
            "outdated",
            "owner",
            "pkgid",
            "remove",
            "search",
            "set-version",
            "sort",
            "tree",
            "update",
            "vendor",
            "verify-project",
            "version",
            "yank",
        ];
        !never.contains(&self.subcommand.as_str())
    }

    pub(super) fn features_said(&self) -> String {
        if self.features.is_empty() {
            "the default features".to_owned()
        } else {
            format!("`{}`", self.features.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shell::commands;
    use super::CargoCall;

    #[test]
    fn options_are_read_in_each_spelling() {
        let call = |text: &str| CargoCall::of(&commands(text, 1)[0]).unwrap();
        let one = call("cargo +nightly test --features=b,a -F c --release --target-dir out -p x -- --features z");
        assert_eq!((one.toolchain.as_deref(), one.subcommand.as_str()), (Some("nightly"), "test"));
        assert_eq!((one.features.join(" "), one.profile.as_str()), ("a b c".to_owned(), "release"));
        assert_eq!((one.target_dir.as_deref(), one.selection.join(" ")), (Some("out"), "-p x".to_owned()));
        assert_eq!(call("cargo nextest run --profile ci").profile, "dev");
        assert_eq!(call("cargo bench").profile, "release");
        assert!(call("cargo clippy").compiles() && !call("cargo fmt").compiles());
    }
}
