//! A seed: which jobs of equal set-up have stored something, so that one that has nothing can start from theirs. Pure.
//!
//! It names names, and no entries: whoever reads one asks for the newest entry of each. How it can be wrong: of two saves that
//! write at once the later seed does not name the earlier one's job, until that saves again.

use serde::{Deserialize, Serialize};

use super::key::{HardParts, Key, KeyFields, KeyParts, SoftParts, is_field};
use crate::digest::Digest;

/// What seeds are called in the place of a job; no name of a job is like it.
const NAME: &str = "seed";
/// How many jobs a seed names.
pub const MOST: usize = 12;

/// A job whose entries others may start from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    /// The field that its keys begin with.
    pub name: String,
}

impl Sibling {
    pub fn is_plain(&self) -> bool {
        is_field(&self.name) && self.name != NAME
    }

    /// What its entries are asked for by. What was compiled in them fits as far as it does.
    pub fn fields(&self, own: &KeyFields) -> KeyFields {
        KeyFields { name: self.name.clone(), ..own.clone() }
    }
}

/// Under which fields the seeds of jobs lie that are set up like this one. Who rolls the key wants nothing of what was before.
pub fn fields(parts: &KeyParts) -> KeyFields {
    let hard = Digest::of_value(&(&parts.hard, &parts.name.roll, parts.name.kind)).short();
    KeyFields { name: NAME.to_owned(), hard, soft: "0".to_owned() }
}

/// The parts of a seed itself: nothing of the jobs that it is for, which differ.
pub fn parts(parts: &KeyParts) -> KeyParts {
    KeyParts { hard: HardParts::default(), soft: SoftParts::default(), ..parts.clone() }
}

/// The key of a seed that names these, in the place of one that cannot be used.
pub fn key(fields: KeyFields, siblings: &[Sibling], unusable: Option<&str>) -> Key {
    Key { fields, lineage: "0".to_owned(), state: Digest::of_value(&(siblings, unusable)).short() }
}

/// The siblings with one more, the newest first; none if it is known.
pub fn grown(siblings: &[Sibling], own: &KeyFields) -> Option<Vec<Sibling>> {
    if siblings.iter().any(|sibling| sibling.name == own.name) {
        return None;
    }
    let own = Sibling { name: own.name.clone() };
    Some(std::iter::once(own).chain(siblings.iter().cloned()).take(MOST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::key::{Fit, NameParts};

    #[test]
    fn jobs_of_equal_set_up_share_a_seed_and_no_others_do() {
        let job = |job: &str, roll: &str, os: &str| KeyParts {
            name: NameParts { job: job.into(), roll: roll.into(), ..NameParts::default() },
            hard: HardParts { os: os.into(), ..HardParts::default() },
            soft: SoftParts::default(),
        };
        let own = fields(&job("test", "", "linux"));
        assert_eq!(own, fields(&job("check", "", "linux")));
        assert_ne!(own, fields(&job("test", "2", "linux")));
        assert_ne!(own, fields(&job("test", "", "windows")));
        let names = grown(&[], &job("test", "", "linux").fields()).unwrap();
        let key = key(own.clone(), &names, None).to_string();
        assert!(
            key.starts_with(&own.prefix(Fit::Hard)) && Key::parse(&key).is_some_and(|key| own.admits(&key, Fit::Hard))
        );
    }

    #[test]
    fn the_newest_comes_first_and_the_oldest_goes() {
        let of = |name: &str| KeyFields { name: name.into(), hard: "h".into(), soft: "s".into() };
        let mut siblings = Vec::new();
        for at in 0..20 {
            siblings = grown(&siblings, &of(&format!("job-{at}"))).unwrap();
            assert_eq!(grown(&siblings, &of(&format!("job-{at}"))), None);
        }
        assert_eq!((siblings[0].name.as_str(), siblings.len()), ("job-19", MOST));
        assert!(!Sibling { name: "../up".into() }.is_plain() && !Sibling { name: "seed".into() }.is_plain());
    }
}
