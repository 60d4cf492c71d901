//! Which entries a job may see and where it may store, by the ref and the event that it runs for.
//!
//! The same as on GitHub: a job reads its own ref, the one that it is merged into, and the default branch. Protected branches live
//! in a zone of their own, which nobody else writes and outside of which they read nothing. What this says is good manners only:
//! the rights that the bucket gives are what holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::{Access, Permit};

/// A half of a repository's part of the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Zone {
    /// What protected branches stored.
    #[serde(rename = "t")]
    Protected,
    /// What everybody else stored.
    #[serde(rename = "u")]
    Open,
}

impl Zone {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Protected => 't',
            Self::Open => 'u',
        }
    }
}

/// What one job sees of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) repository: String,
    pub(super) own: Place,
    /// The own one first.
    pub(super) seen: Vec<Place>,
    pub(super) access: Access,
}

/// What the event says of where it comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) default_branch: String,
    /// Its commits are those of another repository.
    pub(super) is_foreign: bool,
}

/// Where heads lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) zone: Zone,
    pub(super) scope: String,
}

/// Heads that a lookup reads at most.
pub(super) const MOST: usize = 4;

/// Events for which nobody but those who may write to a protected branch decides what runs on it.
const OWN_EVENTS: [&str; 7] =
    ["push", "schedule", "workflow_dispatch", "repository_dispatch", "merge_group", "release", "deployment"];

impl Reach {
    pub(super) fn of(env: &BTreeMap<String, String>, origin: &Origin) -> Self {
        let get = |name: &str| env.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let repository = get("GITHUB_REPOSITORY_ID").unwrap_or("local").to_owned();
        let is_protected = get("GITHUB_REF_PROTECTED") == Some("true");
        let zone = if is_protected { Zone::Protected } else { Zone::Open };
        let own = Place { zone, scope: get("GITHUB_REF").unwrap_or("local").to_owned() };
        let branch = |name: &str| format!("refs/heads/{name}");
        let base = get("GITHUB_BASE_REF").map(branch);
        let default = Some(origin.default_branch.as_str()).filter(|name| !name.is_empty()).map(branch);
        let others = || base.iter().chain(&default);
        let mut seen = vec![own.clone()];
        let places = others().map(|scope| Place { zone: Zone::Protected, scope: scope.clone() });
        let open = others().map(|scope| Place { zone: Zone::Open, scope: scope.clone() });
        // Those of a branch that nobody protects.
        for place in places.chain(open.filter(|_| zone == Zone::Open)) {
            if !seen.contains(&place) && seen.len() < MOST {
                seen.push(place);
            }
        }
        let write = refusal(is_protected, get("GITHUB_EVENT_NAME"), origin);
        let write = write.map_or(Permit::Granted, |reason| Permit::Refused(reason.to_owned()));
        Self { repository, own, seen, access: Access { read: Permit::Granted, write } }
    }
}

/// Why such a job stores nothing.
fn refusal(is_protected: bool, name: Option<&str>, origin: &Origin) -> Option<&'static str> {
    if origin.is_foreign {
        return Some("a pull request from another repository stores nothing in a bucket");
    }
    let is_own = name.is_none_or(|name| OWN_EVENTS.contains(&name));
    (is_protected && !is_own).then_some(
        "what others send can start such an event on a protected branch, and such a run stores nothing in a bucket",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(pairs: &[(&str, &str)], is_foreign: bool) -> Reach {
        let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reach::of(&env, &Origin { default_branch: "main".to_owned(), is_foreign })
    }

    fn seen(reach: &Reach) -> Vec<String> {
        let short = |place: &Place| format!("{} {}", place.zone.letter(), place.scope.trim_start_matches("refs/"));
        reach.seen.iter().map(short).collect()
    }

    #[test]
    fn a_protected_branch_sees_nothing_that_anybody_else_stored() {
        let on = |name| reach(&[("GITHUB_REF", name), ("GITHUB_REF_PROTECTED", "true")], false);
        assert_eq!(seen(&on("refs/heads/main")), ["t heads/main"]);
        assert_eq!(seen(&on("refs/heads/release")), ["t heads/release", "t heads/main"]);
        assert_eq!(on("refs/heads/main").access, Access::FULL);
    }

    #[test]
    fn a_pull_request_sees_its_own_its_base_and_the_default_branch() {
        let env =
            [("GITHUB_REF", "refs/pull/3/merge"), ("GITHUB_BASE_REF", "next"), ("GITHUB_EVENT_NAME", "pull_request")];
        let own = reach(&env, false);
        assert_eq!(seen(&own), ["u pull/3/merge", "t heads/next", "t heads/main", "u heads/next"]);
        assert_eq!(own.access, Access::FULL);
        let unprotected = reach(&[("GITHUB_REF", "refs/heads/main")], false);
        assert_eq!(seen(&unprotected), ["u heads/main", "t heads/main"]);
    }

    #[test]
    fn a_fork_and_an_event_that_others_start_store_nothing() {
        let pull = [("GITHUB_REF", "refs/pull/3/merge"), ("GITHUB_EVENT_NAME", "pull_request")];
        assert!(reach(&pull, true).access.write.refusal().unwrap().contains("another repository"));
        for event in ["pull_request_target", "workflow_run", "issue_comment", "anything_new"] {
            let env =
                [("GITHUB_REF", "refs/heads/main"), ("GITHUB_REF_PROTECTED", "true"), ("GITHUB_EVENT_NAME", event)];
            let reach = reach(&env, false);
            assert!(reach.access.write.refusal().is_some(), "{event}");
            assert_eq!(reach.access.read, Permit::Granted);
        }
    }

    #[test]
    fn outside_of_github_everything_is_one_scope() {
        let local = Reach::of(&BTreeMap::new(), &Origin::default());
        assert_eq!((local.repository.as_str(), seen(&local)), ("local", vec!["u local".to_owned()]));
        assert_eq!(local.access, Access::FULL);
    }
}
