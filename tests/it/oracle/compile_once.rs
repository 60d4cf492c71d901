//! A `rustc` that compiles nothing twice: what came out of the same call before is put in place again, with the time of now.
//!
//! It is a program of its own, which the oracle builds and puts before the compiler. Half of all that the two machines of a
//! history compile is the same. Only bytes are kept: whether a unit is compiled at all is up to Cargo, and what is compared
//! is what Cargo says about that and what the programs print. A call is the same when its arguments and its folder, the
//! content of what it links, the variables that Cargo sets, and every file and variable that the compiler names in its `.d`
//! file are. Where a proc macro takes part, which reads what it likes, the compiler is called every time.
#![allow(dead_code, reason = "as a part of the tests it is only read")]

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

/// Beside this program: a link to the compiler, and the folder of what it made.
pub(crate) const COMPILER: &str = "the-compiler";
const KEPT: &str = "kept";

fn main() -> ExitCode {
    let program = env::current_exe().expect("a program has a path");
    let beside = program.parent().expect("a file lies in a folder");
    let compiler = fs::read_link(beside.join(COMPILER)).expect("the link to the compiler is there");
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let kept = beside.join(KEPT);
    let answer = if is_question(&arguments) {
        repeat(&compiler, &arguments, &kept)
    } else if let Some(call) = Call::read(&arguments) {
        call.answer(&compiler, &arguments, &kept)
    } else {
        Command::new(&compiler).args(&arguments).status().map(|status| status.code())
    };
    let code = answer.expect("the compiler can be run").and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(101))
}

/// Whether the compiler is only asked about itself.
fn is_question(arguments: &[OsString]) -> bool {
    let asks = |word: &OsString| word == "-vV" || word.as_encoded_bytes().starts_with(b"--print");
    arguments.iter().any(asks) && env::var_os("RUSTC_BOOTSTRAP").is_none()
}

/// Gives the answer that the same question got before.
fn repeat(compiler: &Path, arguments: &[OsString], kept: &Path) -> io::Result<Option<i32>> {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let place = kept.join(format!("answer-{:016x}", hasher.finish()));
    if let Ok(text) = fs::read(&place) {
        io::stdout().write_all(&text)?;
        return Ok(Some(0));
    }
    let output = Command::new(compiler).args(arguments).output()?;
    io::stderr().write_all(&output.stderr)?;
    if output.status.success() && output.stderr.is_empty() {
        // Complete or absent, because several may ask at once.
        fs::create_dir_all(kept)?;
        let whole = place.with_extension(std::process::id().to_string());
        fs::write(&whole, &output.stdout)?;
        fs::rename(&whole, &place)?;
    }
    io::stdout().write_all(&output.stdout)?;
    Ok(output.status.code())
}

/// A call that compiles one crate without proc macros.
struct Call {
    out_dir: PathBuf,
    /// The crate's name and what makes it its own: every file that the compiler writes has it.
    stem: String,
    linked: Vec<PathBuf>,
}

impl Call {
    fn read(arguments: &[OsString]) -> Option<Self> {
        let (mut name, mut extra, mut out_dir, mut linked) = (None, None, None, Vec::new());
        for pair in arguments.windows(2) {
            let value = pair[1].to_str()?;
            match pair[0].to_str()? {
                "--crate-name" => name = Some(value.to_owned()),
                "--out-dir" => out_dir = Some(PathBuf::from(value)),
                "-C" if value.starts_with("incremental=") => return None,
                "-C" => extra = value.strip_prefix("extra-filename=").map(str::to_owned).or(extra),
                "--extern" => linked.extend(value.split_once('=').map(|(_, path)| PathBuf::from(path))),
                _ => {}
            }
        }
        let has_macros = linked.iter().any(|path| path.extension().is_none_or(|end| end != "rlib" && end != "rmeta"));
        let stem = format!("{}{}", name?, extra?);
        (!has_macros).then_some(Self { out_dir: out_dir?, stem, linked })
    }

    fn answer(&self, compiler: &Path, arguments: &[OsString], kept: &Path) -> io::Result<Option<i32>> {
        let place = kept.join(format!("{:016x}", self.digest(arguments)));
        // The newest first: it is asked for most often.
        let mut number = 0;
        while place.join(number.to_string()).exists() {
            number += 1;
        }
        for number in (0..number).rev() {
            let entry = place.join(number.to_string());
            if inputs(&fs::read(entry.join("names"))?) == Some(fs::read(entry.join("inputs"))?) {
                self.put_back(&entry)?;
                io::stderr().write_all(&fs::read(entry.join("said"))?)?;
                return Ok(Some(0));
            }
        }
        let before = self.outputs()?;
        let output = Command::new(compiler).args(arguments).output()?;
        io::stdout().write_all(&output.stdout)?;
        io::stderr().write_all(&output.stderr)?;
        let names =
            fs::read(self.out_dir.join(format!("{}.d", self.stem))).map(|text| names(&text)).unwrap_or_default();
        if let (true, true, Some(inputs)) = (output.status.success(), !names.is_empty(), inputs(&names)) {
            let entry = place.join(number.to_string());
            fs::create_dir_all(entry.join("files"))?;
            for made in self.outputs()?.iter().filter(|made| !before.contains(made)) {
                fs::copy(self.out_dir.join(&made.0), entry.join("files").join(&made.0))?;
            }
            fs::write(entry.join("inputs"), inputs)?;
            fs::write(entry.join("said"), &output.stderr)?;
            fs::write(entry.join("names"), names)?;
        }
        Ok(output.status.code())
    }

    /// Of everything that is known before the compiler is called.
    fn digest(&self, arguments: &[OsString]) -> u64 {
        let mut hasher = DefaultHasher::new();
        arguments.hash(&mut hasher);
        env::current_dir().expect("there is a working folder").hash(&mut hasher);
        let mut variables: Vec<(OsString, OsString)> = env::vars_os().filter(|(name, _)| is_cargos(name)).collect();
        variables.sort();
        variables.hash(&mut hasher);
        self.linked.iter().for_each(|path| fs::read(path).ok().hash(&mut hasher));
        hasher.finish()
    }

    /// The compiler's files, by name, with what changes when they are written.
    fn outputs(&self) -> io::Result<Vec<(OsString, SystemTime, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.out_dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let plain = name.to_str().map(|name| name.strip_prefix("lib").unwrap_or(name));
            let rest = plain.and_then(|plain| plain.strip_prefix(&self.stem));
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                let meta = entry.metadata()?;
                found.push((name, meta.modified()?, meta.len()));
            }
        }
        Ok(found)
    }

    fn put_back(&self, entry: &Path) -> io::Result<()> {
        for file in fs::read_dir(entry.join("files"))? {
            let file = file?;
            let to = self.out_dir.join(file.file_name());
            // Cargo may have linked the old one to another place, where it has to stay what it is.
            match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::copy(file.path(), to)?;
        }
        Ok(())
    }
}

/// Whether a variable is one that a crate is told things by. The compiler names all others that it reads.
fn is_cargos(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let tells = name.starts_with("CARGO") || name.starts_with("RUST") || name == "OUT_DIR" || name == "LD_LIBRARY_PATH";
    // Where jobs are counted, and what Cargo itself says.
    tells && name != "CARGO_MAKEFLAGS" && name != "CARGO_LOG"
}

/// The lines of a `.d` file that name a file or a variable: `path:` and `# env-dep:NAME=value`.
fn names(dep_info: &[u8]) -> Vec<u8> {
    let lines = dep_info.split_inclusive(|byte| *byte == b'\n');
    let counts = |line: &&[u8]| line.ends_with(b":\n") || line.starts_with(b"# env-dep:");
    lines.filter(counts).flatten().copied().collect()
}

/// What these files and variables hold now; nothing where a file cannot be read.
fn inputs(names: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(names).lines() {
        let mut hasher = DefaultHasher::new();
        if let Some(variable) = line.strip_prefix("# env-dep:") {
            let name = variable.split_once('=').map_or(variable, |(name, _)| name);
            env::var_os(name).hash(&mut hasher);
        } else {
            let path = line.trim_end_matches(':').replace("\\ ", " ");
            fs::read(path).ok()?.hash(&mut hasher);
        }
        found.extend(hasher.finish().to_le_bytes());
    }
    Some(found)
}
