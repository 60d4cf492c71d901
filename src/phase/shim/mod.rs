//! `cargo`, as the shim: prepares the environment of one call of the real cargo, and is replaced by it.
//!
//! It never changes what is built, and never fails a build: on any doubt the call goes on as it came. What it does not do is
//! said in one line where it could be missed, on the stream that cargo itself speaks on.

mod late;
mod line;
mod real;
mod unpacked;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Result;

use self::line::Line;
pub use self::real::NoCargo;
use crate::machine::process;
use crate::python::interpreter;
use crate::shim::alias::{self, Alias};
use crate::shim::ephemeral::{self, Environment};
use crate::shim::folder::ShimFolder;
use crate::shim::requirements::{self, Refusal};

/// Seconds for which a build waits until nobody else uses its alias.
const ALIAS_WAIT: (&str, u64) = ("REKINDLE_ALIAS_TIMEOUT", 300);

/// One call of cargo, ready to run.
#[derive(Debug)]
pub struct Call {
    command: Command,
    /// What there is to say about it.
    pub notes: Vec<String>,
}

impl Call {
    /// Becomes cargo; comes back only where that is impossible.
    pub fn run(mut self) -> io::Result<ExitCode> {
        process::become_program(&mut self.command)
    }
}

/// The folder whose shim this is, if the program was called under cargo's name.
pub fn called_as_cargo(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| Path::new(name).file_stem() == Some(OsStr::new("cargo")))
}

/// Finds the real cargo, and decides what it is to see.
pub fn prepare(arguments: Vec<OsString>, as_cargo: bool) -> Result<Call, NoCargo> {
    let program = env::current_exe().ok();
    let (cargo, depth) = real::find(program.as_deref())?;
    let folder = if as_cargo { program.as_deref().and_then(ShimFolder::around) } else { Some(ShimFolder::of_job()) };
    let line = Line::read(&arguments);
    #[expect(clippy::disallowed_methods, reason = "the shim changes nothing of what a step gives to cargo")]
    let mut call = Call { command: Command::new(cargo), notes: Vec::new() };
    call.command.args(arguments).env(real::DEPTH, depth.to_string());
    // It would tell cargo that it is the shim, and cargo tells its build scripts.
    if env::var_os("CARGO").is_some_and(|path| real::is_ours(Path::new(&path), program.as_deref())) {
        call.command.env_remove("CARGO");
    }
    // Calls that build nothing are told, too, where the others build.
    match folder.as_ref().map(|folder| unpacked::target(folder, &line, patience())) {
        None | Some(Ok(None)) => {}
        Some(Ok(Some(target))) => {
            call.command.env("CARGO_TARGET_DIR", target);
        }
        Some(Err(why)) => call.notes.push(format!("the unpacked sources are compiled in their own folder: {why:#}")),
    }
    if let Some(folder) = folder.filter(|_| line.may_build) {
        call.notes.extend(late::stamp(&folder.late(), &line));
        if let Environment::Nothing = ephemeral::find(|name| env::var_os(name)) {
            return Ok(call);
        }
        match alias_for(&folder, &line) {
            Ok(changes) => {
                call.command.envs(changes);
            }
            Err(why) => call.notes.push(format!("the build's environment keeps its random path: {why}")),
        }
    }
    Ok(call)
}

/// Takes the alias of the environment that is built in; what is to be changed in the variables.
fn alias_for(folder: &ShimFolder, line: &Line) -> Result<Vec<(&'static str, OsString)>> {
    let Environment::One(root) = ephemeral::find(|name| env::var_os(name)) else {
        anyhow::bail!("the variables name more than one");
    };
    if let Some(refusal) = requirements::refused_by_surroundings(|name| env::var_os(name), &line.places()) {
        return Err(refused(&refusal));
    }
    let facts = interpreter::probe(&root.join("bin").join("python"))?;
    let digest = requirements::digest(&root, &facts).map_err(|refusal| refused(&refusal))?;
    // A build inside a build that uses the alias would wait for what waits for it.
    let is_inside = env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|entry| entry.starts_with(folder.aliases().join(digest.short())))
    });
    let patience = if is_inside { Duration::ZERO } else { patience() };
    let Some(taken) = Alias::take(&folder.aliases(), &digest, &root, patience)? else {
        anyhow::bail!("another build has used its alias for {} s", patience.as_secs());
    };
    let path = taken.keep()?;
    Ok(alias::rewrite(&root, &path, |name| env::var_os(name)))
}

fn refused(refusal: &Refusal) -> anyhow::Error {
    anyhow::Error::msg(refusal.to_string())
}

fn patience() -> Duration {
    let (name, seconds) = ALIAS_WAIT;
    let given = env::var(name).ok().and_then(|text| text.trim().parse().ok());
    Duration::from_secs(given.unwrap_or(seconds))
}
