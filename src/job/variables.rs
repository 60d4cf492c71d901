//! Further variables whose values are part of the key, because somebody wants it so.
//!
//! How it can be wrong: only towards more work. One that a later step sets is not there yet and keeps nothing apart; one whose
//! value is another in each run makes each run a cold one, and the log says which.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::problem::WrongInput;
use crate::state::secrets::is_secret_name;

/// What stands in the key for a variable that is named and not set: a job that does not name it may have set it.
const UNSET: &str = "(unset)";

/// Names; a `*` at the end stands for the rest of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VariableWish(Vec<String>);

impl VariableWish {
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let names =
            text.unwrap_or_default().split(|c: char| c.is_whitespace() || c == ',').filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        names.iter().try_for_each(|name| check(name))?;
        Ok(Self(names))
    }

    fn wants(&self, name: &str) -> bool {
        self.0.iter().any(|wish| match wish.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == wish,
        })
    }

    /// What goes into the key: the variables that are set, and that one that is named is not.
    pub fn choose(&self, variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
        // The key has that one already, and a `restore` sets it for the next one.
        let counts = |name: &str| self.wants(name) && !is_secret_name(name) && name != "CARGO_INCREMENTAL";
        let mut chosen: BTreeMap<String, String> = variables.into_iter().filter(|(name, _)| counts(name)).collect();
        for wish in &self.0 {
            let is_met = wish.strip_suffix('*').is_some_and(|start| chosen.keys().any(|name| name.starts_with(start)));
            if !is_met {
                chosen.entry(wish.clone()).or_insert_with(|| UNSET.to_owned());
            }
        }
        chosen
    }

    /// Those that a `*` meets and that look like secrets.
    pub fn left_out<'a>(&self, variables: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        variables.keys().map(String::as_str).filter(|name| self.wants(name) && is_secret_name(name)).collect()
    }
}

fn check(name: &str) -> Result<()> {
    let start = name.strip_suffix('*').unwrap_or(name);
    let hint = "write names as in `DATABASE_URL`, or the beginning of names as in `PYO3_*`";
    if start.is_empty() || !start.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(WrongInput::new(format!("`{name}` in `env-vars` names no variable"), hint).into());
    }
    if is_secret_name(start) {
        let what = format!("`{name}` in `env-vars` looks like a secret, and nothing of a secret is ever in a key");
        let hint =
            "leave it out; if it decides what is built, put something public that changes with it into `key-roll`";
        return Err(WrongInput::new(what, hint).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()
    }

    #[test]
    fn variables_are_chosen_by_name_or_by_its_beginning() {
        let wish = VariableWish::parse(Some("PYO3_*, DATABASE_URL\n  A")).unwrap();
        let all = variables(&["PYO3_PYTHON", "PYO3", "DATABASE_URL", "DATABASE_URL_2", "A", "AB", "PYO3_TOKEN"]);
        assert_eq!(wish.left_out(&all), ["PYO3_TOKEN"]);
        assert_eq!(wish.choose(all).into_keys().collect::<Vec<_>>(), ["A", "DATABASE_URL", "PYO3_PYTHON"]);
        let cargos = VariableWish::parse(Some("CARGO*")).unwrap();
        assert_eq!(cargos.choose(variables(&["CARGO_INCREMENTAL", "CARGO_X"])), variables(&["CARGO_X"]));
        let unset = |name: &str| BTreeMap::from([(name.to_owned(), UNSET.to_owned())]);
        assert_eq!(cargos.choose(variables(&["CARGO_INCREMENTAL"])), unset("CARGO*"));
        assert_eq!(VariableWish::parse(Some("A")).unwrap().choose(variables(&["B"])), unset("A"));
        assert_eq!(VariableWish::parse(Some(" ")).unwrap().choose(variables(&["A"])), BTreeMap::new());
    }

    #[test]
    fn what_names_everything_nothing_or_a_secret_is_refused() {
        for text in ["*", "A=1", "A*B", "**", "${X}", "NPM_TOKEN", "AWS_SECRET_*"] {
            let error = VariableWish::parse(Some(text)).unwrap_err();
            assert!(error.is::<WrongInput>(), "{text}");
        }
    }
}
