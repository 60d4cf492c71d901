//! Which variables the sources of a workspace speak of: those whose names stand between quotes, as in `env::var("LEVEL")`.
//!
//! A build script can read a variable and declare it to nobody. On one machine that is its own fault; a job that starts from what
//! another one built has another environment, though, and must not find there what it would never have built. How it can be
//! wrong: a name that is put together, one in a file that is not Rust, and one that only a later step of the job sets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aho_corasick::AhoCorasick;
use fs_err as fs;
use rayon::prelude::*;

/// What a runner sets anew for each job or step: nobody builds from that what is to be the same the next time.
const FLEETING: [&str; 6] = ["GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "STATE_", "REKINDLE_"];
const OTHERS: [&str; 9] = ["PATH", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "TMPDIR", "TEMP", "TMP", "_"];

/// Of these variables, which are told by marks, those that a file speaks of.
pub fn spoken(files: &[&str], marks: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let names: Vec<&String> = marks.keys().filter(|name| !is_fleeting(name)).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    // One that cannot be made is for more names than any environment has.
    let Ok(finder) = AhoCorasick::new(&quoted) else { return BTreeMap::new() };
    let is_source = |path: &&&str| Path::new(path).extension().is_some_and(|end| end == "rs");
    let found = files.par_iter().filter(is_source).filter_map(|path| fs::read(path).ok()).map(|bytes| {
        finder.find_overlapping_iter(&bytes).map(|found| found.pattern().as_usize()).collect::<BTreeSet<usize>>()
    });
    let found: BTreeSet<usize> = found.flatten_iter().collect();
    found.into_iter().filter_map(|at| Some((names[at].clone(), marks.get(names[at])?.clone()))).collect()
}

fn is_fleeting(name: &str) -> bool {
    OTHERS.contains(&name) || FLEETING.iter().any(|start| name.starts_with(start))
}

/// Whether two jobs see the same in the variables that they speak of: one with `own` variables, of which it speaks of these, and
/// another that spoke of those.
pub fn agree(
    own: &BTreeMap<String, String>,
    spoken: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
) -> bool {
    let has =
        |variables: &BTreeMap<String, String>, (name, mark): (&String, &String)| variables.get(name) == Some(mark);
    other.iter().all(|pair| has(own, pair)) && spoken.iter().all(|pair| has(other, pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, mark)| ((*name).to_owned(), (*mark).to_owned())).collect()
    }

    #[test]
    fn a_name_counts_between_quotes_in_a_rust_file() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let build = write("build.rs", "env::var(\"LEVEL\"); env::var(\"GITHUB_SHA\"); const MODE: u8 = 1;");
        let notes = write("notes.md", "\"MODE\"");
        let all = marks(&[("LEVEL", "1"), ("MODE", "2"), ("GITHUB_SHA", "3"), ("LEVEL_2", "4")]);
        assert_eq!(spoken(&[&build, &notes, "/gone.rs"], &all), marks(&[("LEVEL", "1")]));
    }

    #[test]
    fn jobs_agree_if_each_has_what_the_other_one_speaks_of() {
        let none = marks(&[]);
        let (one, two) = (marks(&[("LEVEL", "1"), ("HOME", "h")]), marks(&[("LEVEL", "1")]));
        assert!(agree(&one, &two, &two) && agree(&one, &none, &none) && agree(&one, &none, &two));
        // Another value, one that this job has not, and one that the other one had not.
        assert!(!agree(&marks(&[("LEVEL", "2")]), &none, &two));
        assert!(!agree(&none, &none, &two));
        assert!(!agree(&one, &two, &none));
    }
}
