//! A unit, which is what Cargo fingerprints: where it lies, what its fingerprints are called, and how people call it.
//!
//! Pure. How it can be wrong: a Cargo that lays its folders out in a third way has units that nobody finds, and a kind of target
//! that is not known here is called as its fingerprint is.

use serde::{Deserialize, Serialize};

/// How Cargo lays out what belongs to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One folder a kind of file, with the files of all units side by side.
    Legacy,
    /// One folder a unit.
    PerUnit,
}

/// The folder in a job's target for what is built from unpacked sdists.
pub const UNPACKED: &str = "unpacked";

/// Whether a unit of this profile folder was built from an unpacked sdist, another copy of it each time.
pub fn is_of_unpacked(profile: &str) -> bool {
    profile.split('/').next() == Some(UNPACKED)
}

/// Whether this is what names a unit on disk.
pub fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Where a unit lies below its root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitPlace {
    pub layout: Layout,
    /// The profile folder below the root: `debug`, `x86_64-unknown-linux-musl/release`.
    pub profile: String,
    pub package: String,
    /// The 16 hex digits that name the unit on disk.
    pub id: String,
}

impl UnitPlace {
    pub fn fingerprint_dir(&self) -> String {
        let Self { package, id, .. } = self;
        self.below_profile(&match self.layout {
            Layout::Legacy => format!(".fingerprint/{package}-{id}"),
            Layout::PerUnit => format!("build/{package}/{id}/fingerprint"),
        })
    }

    /// Of a build script's run: what it printed, and `out/`.
    pub fn run_dir(&self) -> String {
        let Self { package, id, .. } = self;
        self.below_profile(&match self.layout {
            Layout::Legacy => format!("build/{package}-{id}"),
            Layout::PerUnit => format!("build/{package}/{id}/run"),
        })
    }

    /// The file that holds what a build script printed; its time is what Cargo compares the script's inputs with.
    pub fn run_output(&self) -> String {
        match self.layout {
            Layout::Legacy => format!("{}/output", self.run_dir()),
            Layout::PerUnit => format!("{}/stdout", self.run_dir()),
        }
    }

    /// A build script's `OUT_DIR`.
    pub fn out_dir(&self) -> String {
        let Self { package, id, .. } = self;
        self.below_profile(&match self.layout {
            Layout::Legacy => format!("build/{package}-{id}/out"),
            Layout::PerUnit => format!("build/{package}/{id}/out"),
        })
    }

    /// What the state file calls it.
    pub fn name_in(&self, root: usize) -> String {
        format!("{root}:{}", self.fingerprint_dir())
    }

    fn below_profile(&self, rest: &str) -> String {
        if self.profile.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.profile) }
    }
}

/// What a compiler was asked for, as far as what it left tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Built,
    /// Only types were looked at, and nothing but metadata is there.
    Checked,
    /// By clippy, which tracks a variable of its own.
    Linted,
    Documented,
}

impl Mode {
    /// As the end of "it was never …".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Checked => "checked",
            Self::Linted => "looked at by clippy",
            Self::Documented => "documented",
        }
    }
}

/// The name of a fingerprint, read: `test-integration-test-it` stands for the tests of the test crate `it`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetName<'a> {
    text: &'a str,
    /// None if Cargo called it in a way that is not known here.
    read: Option<(Task, TargetKind, &'a str)>,
}

/// What is done with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Compile,
    CompileTests,
    Document,
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetKind {
    Lib,
    Bin,
    Example,
    Test,
    Bench,
    BuildScript,
}

const TASKS: [(&str, Task); 4] =
    [("test-", Task::CompileTests), ("doc-", Task::Document), ("run-", Task::Run), ("", Task::Compile)];

const KINDS: [(&str, TargetKind); 6] = [
    ("lib-", TargetKind::Lib),
    ("bin-", TargetKind::Bin),
    ("example-", TargetKind::Example),
    ("integration-test-", TargetKind::Test),
    ("bench-", TargetKind::Bench),
    ("build-script-", TargetKind::BuildScript),
];

impl<'a> TargetName<'a> {
    pub fn of(text: &'a str) -> Self {
        let read = TASKS.iter().find_map(|(task_name, task)| {
            let rest = text.strip_prefix(task_name)?;
            KINDS.iter().find_map(|(kind_name, kind)| Some((*task, *kind, rest.strip_prefix(kind_name)?)))
        });
        Self { text, read }
    }

    /// A build script's run.
    pub fn is_run(self) -> bool {
        matches!(self.read, Some((Task::Run, ..)))
    }

    /// A build script, compiled.
    pub fn is_build_script(self) -> bool {
        matches!(self.read, Some((Task::Compile, TargetKind::BuildScript, _)))
    }

    pub fn is_doc(self) -> bool {
        matches!(self.read, Some((Task::Document, ..)))
    }

    /// A program of its own in `tests/`.
    pub fn is_integration_test(self) -> bool {
        matches!(self.read, Some((Task::CompileTests, TargetKind::Test, _)))
    }

    /// The name of the target, if it could be read.
    pub fn name(self) -> Option<&'a str> {
        self.read.map(|(_, _, name)| name)
    }

    /// What the files of its outputs are called, if they can be there without an id: tests have one wherever they are built, and
    /// a run and documentation leave nothing there.
    pub fn output_name(self) -> Option<String> {
        match self.read {
            Some((Task::Compile, _, name)) => Some(name.replace('-', "_")),
            Some(_) => None,
            None => Some(self.text.replace('-', "_")),
        }
    }

    /// One word for reports: `lib`, `bin`, `test`, `build-script`, `run` …
    pub fn kind(self) -> &'static str {
        match self.read {
            Some((Task::Run, ..)) => "run",
            Some((Task::CompileTests, ..)) => "test",
            Some((Task::Document, ..)) => "doc",
            Some((Task::Compile, kind, _)) => match kind {
                TargetKind::Lib => "lib",
                TargetKind::Bin => "bin",
                TargetKind::Example => "example",
                TargetKind::Test => "test",
                TargetKind::Bench => "bench",
                TargetKind::BuildScript => "build-script",
            },
            None => "other",
        }
    }

    /// The table of a manifest that defines it: `lib` for a library's tests, too. Nothing for a build script.
    pub fn table(self) -> Option<&'static str> {
        let (_, kind, _) = self.read?;
        match kind {
            TargetKind::Lib => Some("lib"),
            TargetKind::Bin => Some("bin"),
            TargetKind::Example => Some("example"),
            TargetKind::Test => Some("test"),
            TargetKind::Bench => Some("bench"),
            TargetKind::BuildScript => None,
        }
    }

    fn title(self, package: &str) -> String {
        let Some((task, kind, name)) = self.read else { return self.text.to_owned() };
        let words = match (task, kind) {
            (Task::Run, _) => return "build script's run".to_owned(),
            (Task::Compile, TargetKind::BuildScript) => return "build script".to_owned(),
            (Task::Compile, TargetKind::Lib) => "lib",
            (Task::Compile, TargetKind::Bin) => "bin",
            (Task::Compile, TargetKind::Example) => "example",
            (Task::Compile | Task::CompileTests, TargetKind::Test) => return format!("test {name}"),
            (Task::Compile, TargetKind::Bench) => "bench",
            (Task::CompileTests, TargetKind::Lib) => "unit tests",
            (Task::CompileTests, TargetKind::Bin) => "unit tests of bin",
            (Task::CompileTests, TargetKind::Example) => "tests of example",
            (Task::CompileTests, TargetKind::Bench) => "tests of bench",
            (Task::CompileTests, TargetKind::BuildScript) => "tests of build script",
            (Task::Document, TargetKind::Lib) => "docs",
            (Task::Document, TargetKind::Bin) => "docs of bin",
            (Task::Document, TargetKind::Example) => "docs of example",
            (Task::Document, _) => return self.text.to_owned(),
        };
        if name.replace('_', "-") == package.replace('_', "-") { words.to_owned() } else { format!("{words} {name}") }
    }
}

/// Whatever tells of a unit: from the names of its fingerprints follows what it is.
pub trait Unit {
    fn package(&self) -> &str;

    fn targets(&self) -> impl Iterator<Item = TargetName<'_>>;

    /// How it is called in messages: `serde (lib)`, `app (test greets)`.
    fn title(&self) -> String {
        title(self.package(), self.targets())
    }

    /// What kind of target it builds.
    fn kind(&self) -> &'static str {
        self.targets().next().map_or("other", TargetName::kind)
    }

    fn is_run(&self) -> bool {
        self.targets().any(TargetName::is_run)
    }

    fn is_doc(&self) -> bool {
        self.targets().any(TargetName::is_doc)
    }
}

/// How a unit is called in messages.
pub fn title<'a>(package: &str, targets: impl Iterator<Item = TargetName<'a>>) -> String {
    let targets: Vec<String> = targets.map(|target| target.title(package)).collect();
    if targets.is_empty() { package.to_owned() } else { format!("{package} ({})", targets.join(", ")) }
}

/// What Cargo itself says to a compiler: another value for each package, and the same for one.
pub fn is_cargos(variable: &str) -> bool {
    variable.starts_with("CARGO") || variable == "OUT_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_lies_where_its_layout_says() {
        let place =
            |layout, profile: &str| UnitPlace { layout, profile: profile.into(), package: "a".into(), id: "1".into() };
        let legacy = place(Layout::Legacy, "debug");
        assert_eq!(legacy.fingerprint_dir(), "debug/.fingerprint/a-1");
        assert_eq!(
            (legacy.run_output(), legacy.out_dir()),
            ("debug/build/a-1/output".into(), "debug/build/a-1/out".into())
        );
        let own = place(Layout::PerUnit, "");
        assert_eq!(own.name_in(2), "2:build/a/1/fingerprint");
        assert_eq!((own.run_output(), own.out_dir()), ("build/a/1/run/stdout".into(), "build/a/1/out".into()));
    }

    #[test]
    fn units_have_names_that_can_be_read() {
        let names = [
            ("lib-my_app", "my-app (lib)", "lib"),
            ("lib-other", "my-app (lib other)", "lib"),
            ("test-integration-test-it", "my-app (test it)", "test"),
            ("integration-test-my-app", "my-app (test my-app)", "test"),
            ("test-bin-my-app", "my-app (unit tests of bin)", "test"),
            ("run-build-script-build-script-build", "my-app (build script's run)", "run"),
            ("build-script-build-script-build", "my-app (build script)", "build-script"),
            ("bench-speed", "my-app (bench speed)", "bench"),
            ("doc-lib-my-app", "my-app (docs)", "doc"),
            ("strange", "my-app (strange)", "other"),
        ];
        for (text, name, kind) in names {
            let target = TargetName::of(text);
            assert_eq!((title("my-app", std::iter::once(target)).as_str(), target.kind()), (name, kind));
        }
    }

    #[test]
    fn only_what_is_compiled_leaves_outputs_without_an_id() {
        let names = [
            ("lib-my-lib", Some("my_lib")),
            ("bin-app", Some("app")),
            ("test-lib-my-lib", None),
            ("doc-lib-my-lib", None),
            ("run-build-script-build-script-build", None),
        ];
        for (text, name) in names {
            assert_eq!(TargetName::of(text).output_name().as_deref(), name);
        }
    }
}
