//! What one interpreter is: asked of itself, in one process that reads no site packages and no user settings.
//!
//! Wrong would be a fact that depends on who asks: the key would roll between jobs that have the same interpreter. So the
//! facts are those of the base interpreter, whichever virtual environment it was asked through.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::machine::ask::command;
use crate::machine::children;

/// An interpreter answers in some ten milliseconds; one behind a version manager in some hundred.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// No honest answer is longer.
const LONGEST: u64 = 64 * 1024;

/// Everything a build can depend on. `path` is as it was spelled, the rest is what the interpreter said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterpreterFacts {
    /// As tools will pass it: Cargo compares it as a string.
    pub path: PathBuf,
    /// `sys.executable`; another path than `path` behind a version manager's shim.
    pub executable: PathBuf,
    /// The real path of the base interpreter, which is this one itself outside a virtual environment.
    pub base: PathBuf,
    /// `sys.implementation.name`: `cpython`, `pypy`, `graalpy`.
    pub implementation: String,
    /// `3.12.1`, `3.15.0a2`, `3.15.0a2+`.
    pub version: String,
    /// The implementation's own version, where it has another than the language.
    pub own_version: Option<String>,
    /// `sys.version`, with the date of the build and the compiler.
    pub version_text: String,
    pub abiflags: String,
    #[serde(rename = "SOABI")]
    pub soabi: String,
    #[serde(rename = "EXT_SUFFIX")]
    pub ext_suffix: String,
    /// There is no global interpreter lock.
    pub free_threaded: bool,
    pub debug: bool,
    /// In bits.
    pub pointer_width: u32,
    pub platform: String,
    pub base_prefix: PathBuf,
    #[serde(rename = "LIBDIR")]
    pub lib_dir: String,
    #[serde(rename = "LDLIBRARY")]
    pub ld_library: String,
    #[serde(rename = "Py_ENABLE_SHARED")]
    pub shared: bool,
    #[serde(rename = "INCLUDEPY")]
    pub include_dir: String,
    /// The virtual environment that `path` lies in.
    pub venv: Option<PathBuf>,
}

/// Runs on every Python 3; what an old one or another implementation does not know stays empty.
const SCRIPT: &str = r"
import json, os, struct, sys, sysconfig
get = lambda name: sysconfig.get_config_var(name)
text = lambda name: str(get(name) or '')
v = sys.version_info
plus = '+' if sys.version.split()[0].endswith('+') else ''
level = {'alpha': 'a%d', 'beta': 'b%d', 'candidate': 'rc%d'}
number = lambda v: '%d.%d.%d' % v[:3] + (level[v[3]] % v[4] if v[3] in level else '')
name = sys.implementation.name
flags = getattr(sys, 'abiflags', '')
executable = sys.executable or ''
base = getattr(sys, '_base_executable', None) or executable
print(json.dumps({
    'executable': executable,
    'base': os.path.realpath(base) if base else '',
    'implementation': name,
    'version': number(v) + plus,
    'own_version': None if name == 'cpython' else number(sys.implementation.version),
    'version_text': sys.version,
    'abiflags': flags,
    'SOABI': text('SOABI'),
    'EXT_SUFFIX': text('EXT_SUFFIX'),
    'free_threaded': bool(get('Py_GIL_DISABLED')) or 't' in flags,
    'debug': bool(get('Py_DEBUG')) or hasattr(sys, 'gettotalrefcount'),
    'pointer_width': struct.calcsize('P') * 8,
    'platform': sysconfig.get_platform(),
    'base_prefix': os.path.realpath(sys.base_prefix),
    'LIBDIR': text('LIBDIR'),
    'LDLIBRARY': text('LDLIBRARY'),
    'Py_ENABLE_SHARED': bool(get('Py_ENABLE_SHARED')),
    'INCLUDEPY': text('INCLUDEPY'),
}))
";

/// Asks the interpreter at this path. Starts one process, and does not wait for one that hangs.
pub fn probe(python: &Path) -> Result<InterpreterFacts> {
    let answer =
        ask(python, ANSWER_LIMIT).with_context(|| format!("`{}` does not say what it is", python.display()))?;
    parse(python, &answer).with_context(|| format!("`{}` does not say what it is", python.display()))
}

/// The facts in an answer to the script. The last line counts: a wrapper may have spoken before it.
fn parse(python: &Path, answer: &[u8]) -> Result<InterpreterFacts> {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).context("no answer")?;
    let facts: InterpreterFacts = serde_json::from_str(line).context("not an answer of a Python interpreter")?;
    if facts.implementation.is_empty() || !facts.version.starts_with(|c: char| c.is_ascii_digit()) {
        bail!("not an answer of a Python interpreter");
    }
    Ok(InterpreterFacts { path: python.to_path_buf(), ..facts })
}

fn ask(python: &Path, patience: Duration) -> Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut command = command(python);
    // A build's own target is none of the interpreter's facts.
    command.args(["-I", "-S", "-c", SCRIPT]).env_remove("_PYTHON_SYSCONFIGDATA_NAME");
    let mut running = children::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let child = &mut running.child;
    let (send, receive) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut answer = Vec::new();
            let read = output.take(LONGEST).read_to_end(&mut answer);
            // Nobody listens any more if it took too long.
            let _ = send.send(read.map(|_| answer));
        });
    }
    let answer = receive.recv_timeout(patience);
    // One that has answered ends at once, unless it is not an interpreter.
    let mut status = child.try_wait()?;
    while status.is_none() && answer.is_ok() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
        status = child.try_wait()?;
    }
    match (answer, status) {
        (Ok(answer), Some(status)) if status.success() => Ok(answer?),
        (Ok(_), Some(status)) => bail!("{status}"),
        _ => {
            // One that is gone already cannot be killed, and need not be.
            let _ = child.kill();
            child.wait()?;
            bail!("no answer within {} s", patience.as_secs_f32())
        }
    }
}

impl InterpreterFacts {
    /// What people call it: `CPython 3.12.1`, `CPython 3.14.0 free-threaded`, `PyPy 3.9.16 (7.3.11)`.
    pub fn name(&self) -> String {
        let known = [("cpython", "CPython"), ("pypy", "PyPy"), ("graalpy", "GraalPy")];
        let known = known.iter().find(|(name, _)| *name == self.implementation);
        let mut text = format!("{} {}", known.map_or(self.implementation.as_str(), |(_, name)| name), self.version);
        if let Some(own) = &self.own_version {
            let _ = write!(text, " ({own})");
        }
        let marks =
            [(self.free_threaded, "free-threaded"), (self.debug, "debug"), (self.pointer_width == 32, "32-bit")];
        marks.iter().filter(|(is, _)| *is).for_each(|(_, mark)| {
            let _ = write!(text, " {mark}");
        });
        text
    }

    /// One word for programs: `cpython-3.12.1`, `cpython-3.14.0t`, `pypy-3.9.16`.
    pub fn tag(&self) -> String {
        format!("{}-{}{}", self.implementation, self.version, self.flags())
    }

    /// What maturin gives as `PYO3_ENVIRONMENT_SIGNATURE`: `cpython-3.12-64bit`.
    pub fn signature(&self) -> String {
        let [major, minor, _] = self.numbers();
        format!("{}-{major}.{minor}{}-{}bit", self.implementation, self.abiflags, self.pointer_width)
    }

    /// `d` and `t`, where the implementation itself says nothing of them (Windows) too.
    fn flags(&self) -> String {
        let mut flags = self.abiflags.clone();
        for (is, flag) in [(self.free_threaded, 't'), (self.debug, 'd')] {
            if is && !flags.contains(flag) {
                flags.push(flag);
            }
        }
        flags
    }

    /// Major, minor and patch number.
    pub fn numbers(&self) -> [u32; 3] {
        numbers(&self.version).unwrap_or_default()
    }

    /// Everything that makes another interpreter of it, one fact a line, the name first. The day on which a release was
    /// compiled is none of it, but for a build between releases the commit is.
    pub fn key_text(&self) -> String {
        let mut lines = vec![self.name()];
        if self.is_unreleased() {
            lines.push(format!("build: {}", self.version_text.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        let path = |path: &Path| path.display().to_string();
        let facts = [
            ("base", path(&self.base)),
            ("base prefix", path(&self.base_prefix)),
            ("SOABI", self.soabi.clone()),
            ("ABI flags", self.abiflags.clone()),
            ("pointer width", self.pointer_width.to_string()),
            ("LIBDIR", self.lib_dir.clone()),
            ("LDLIBRARY", self.ld_library.clone()),
            ("shared", self.shared.to_string()),
        ];
        lines.extend(facts.into_iter().map(|(name, value)| format!("{name}: {value}")));
        lines.join("\n")
    }

    fn is_unreleased(&self) -> bool {
        self.version.contains(|c: char| c != '.' && !c.is_ascii_digit())
    }
}

/// The leading numbers of a version: `3.12.1`, `3.15.0a2`, `3.12.1.final.0`; a missing patch is 0.
pub fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut found = [0; 3];
    for (at, part) in version.trim().splitn(4, '.').take(3).enumerate() {
        let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        found[at] = digits.parse().ok()?;
    }
    (version.contains('.')).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the `CPython` 3.11 of Debian answers.
    const CPYTHON: &str = r#"{"executable": "/usr/bin/python3", "base": "/usr/bin/python3.11", "implementation": "cpython",
        "version": "3.11.2", "own_version": null, "version_text": "3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]",
        "abiflags": "", "SOABI": "cpython-311-x86_64-linux-gnu", "EXT_SUFFIX": ".cpython-311-x86_64-linux-gnu.so",
        "free_threaded": false, "debug": false, "pointer_width": 64, "platform": "linux-x86_64", "base_prefix": "/usr",
        "LIBDIR": "/usr/lib/x86_64-linux-gnu", "LDLIBRARY": "libpython3.11.so", "Py_ENABLE_SHARED": true,
        "INCLUDEPY": "/usr/include/python3.11"}"#;
    /// What the `PyPy` 7.3.11 of Debian answers.
    const PYPY: &str = r#"{"executable": "/usr/bin/pypy3.9", "base": "/usr/bin/pypy3.9", "implementation": "pypy",
        "version": "3.9.16", "own_version": "7.3.11",
        "version_text": "3.9.16 (7.3.11+dfsg-2+deb12u3, Dec 30 2024, 22:36:23)\n[PyPy 7.3.11 with GCC 12.2.0]",
        "abiflags": "", "SOABI": "pypy39-pp73", "EXT_SUFFIX": ".pypy39-pp73-x86_64-linux-gnu.so", "free_threaded": false,
        "debug": false, "pointer_width": 64, "platform": "linux-x86_64", "base_prefix": "/usr", "LIBDIR": "/usr/bin",
        "LDLIBRARY": "libpypy3.9-c.so", "Py_ENABLE_SHARED": false, "INCLUDEPY": "/usr/include/pypy3.9"}"#;

    fn answer(text: &str) -> InterpreterFacts {
        let line = text.lines().map(str::trim).collect::<String>();
        parse(Path::new("/py"), format!("a wrapper speaks first\n{line}\n\n").as_bytes()).unwrap()
    }

    #[test]
    fn the_answers_of_real_interpreters_are_read() {
        let cpython = answer(CPYTHON);
        assert_eq!((cpython.name(), cpython.tag()), ("CPython 3.11.2".into(), "cpython-3.11.2".into()));
        assert_eq!(cpython.signature(), "cpython-3.11-64bit");
        let pypy = answer(PYPY);
        assert_eq!((pypy.name(), pypy.tag()), ("PyPy 3.9.16 (7.3.11)".into(), "pypy-3.9.16".into()));
        assert_eq!((pypy.signature(), pypy.numbers()), ("pypy-3.9-64bit".into(), [3, 9, 16]));
        for (facts, library) in [(&cpython, "libpython3.11.so"), (&pypy, "libpypy3.9-c.so")] {
            let text = facts.key_text();
            assert!(text.starts_with(&facts.name()) && text.contains(&format!("LDLIBRARY: {library}")), "{text}");
            assert_eq!(facts.path, Path::new("/py"));
        }
    }

    #[test]
    fn free_threaded_and_debug_builds_are_others() {
        let plain = answer(CPYTHON);
        // As a build without the lock differs: its flags and names carry a `t`.
        let threaded = CPYTHON
            .replace("cpython-311-", "cpython-311t-")
            .replace("\"free_threaded\": false", "\"free_threaded\": true");
        let threaded = answer(&threaded.replace("\"abiflags\": \"\"", "\"abiflags\": \"t\""));
        assert_eq!(threaded.name(), "CPython 3.11.2 free-threaded");
        assert_eq!((threaded.tag(), threaded.signature()), ("cpython-3.11.2t".into(), "cpython-3.11t-64bit".into()));
        let debug = InterpreterFacts { debug: true, pointer_width: 32, ..plain.clone() };
        assert_eq!((debug.name(), debug.tag()), ("CPython 3.11.2 debug 32-bit".into(), "cpython-3.11.2d".into()));
        let texts = [plain.key_text(), threaded.key_text(), debug.key_text()];
        assert!(texts[0] != texts[1] && texts[0] != texts[2]);
    }

    #[test]
    fn the_day_of_a_release_is_no_fact_and_the_commit_of_an_unreleased_build_is() {
        let plain = answer(CPYTHON);
        let rebuilt = InterpreterFacts { version_text: "3.11.2 (main, May  1 2025) [GCC 13]".into(), ..plain.clone() };
        assert_eq!(plain.key_text(), rebuilt.key_text());
        let unreleased = |commit: &str| InterpreterFacts {
            version: "3.15.0a2+".into(),
            version_text: format!("3.15.0a2+ (heads/main:{commit}) [GCC 13]"),
            ..plain.clone()
        };
        assert_ne!(unreleased("0a").key_text(), unreleased("1b").key_text());
    }

    #[test]
    fn what_no_interpreter_says_is_no_answer() {
        for text in ["", "hello", "{}", "[1]", r#"{"implementation": "x", "version": "y"}"#, "{\"version\": 3}"] {
            assert!(parse(Path::new("/py"), text.as_bytes()).is_err(), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn one_that_hangs_is_not_waited_for() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("python");
        for script in ["#!/bin/sh\nexec sleep 60\n", "#!/bin/sh\nexec >&-\nexec sleep 60\n"] {
            fs_err::write(&path, script).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let error = ask(&path, Duration::from_millis(100)).unwrap_err();
            assert_eq!(error.to_string(), "no answer within 0.1 s");
        }
    }

    #[test]
    fn versions_are_read_in_every_spelling() {
        assert_eq!(numbers("3.12.1.final.0"), Some([3, 12, 1]));
        assert_eq!(numbers("3.15.0a2+"), Some([3, 15, 0]));
        assert_eq!(numbers("3.12"), Some([3, 12, 0]));
        assert_eq!((numbers("3"), numbers("x64"), numbers("")), (None, None, None));
    }
}
