//! Who wants the key to start anew: the input, or a label of the pull request.
//!
//! Labels are asked for live, because a re-run is handed the event of the first run. Where they cannot be, the event decides,
//! and a note says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use octocrab::Octocrab;

use super::event::{Event, PullRequest};
use super::token::GithubToken;
use super::{Roll, RollSource};
use crate::machine::net::{self, Engine};

const LABEL: &str = "rekindle-roll:";
const LABELS_LIMIT: Duration = Duration::from_secs(10);

/// The wish of this run, and what could not be asked. An input and a label add up.
pub fn key_roll(
    input: &str,
    env: &BTreeMap<String, String>,
    token: Option<&GithubToken>,
) -> (Option<Roll>, Option<String>) {
    let event = env.get("GITHUB_EVENT_PATH").map(|path| Event::load(Path::new(path))).unwrap_or_default();
    let (label, note) = match &event.pull_request {
        Some(pull_request) => label(pull_request, env, token),
        None => (None, None),
    };
    let roll = match (input, label) {
        ("", None) => None,
        ("", Some(label)) => Some(label),
        (input, None) => Some(Roll { text: input.to_owned(), wished_by: RollSource::Input }),
        (input, Some(label)) => Some(Roll { text: format!("{input}+{}", label.text), wished_by: label.wished_by }),
    };
    (roll, note)
}

fn label(
    pull_request: &PullRequest,
    env: &BTreeMap<String, String>,
    token: Option<&GithubToken>,
) -> (Option<Roll>, Option<String>) {
    let find = |names: &[&str], wished_by| {
        let text = names.iter().find_map(|name| name.strip_prefix(LABEL)).map(str::trim);
        text.filter(|text| !text.is_empty()).map(|text| Roll { text: text.to_owned(), wished_by })
    };
    match live_labels(pull_request.number, env, token) {
        Ok(names) => (find(&names.iter().map(String::as_str).collect::<Vec<_>>(), RollSource::Label), None),
        Err(error) => {
            let note = format!("the labels of the pull request are those of the event: {error:#}");
            (find(&pull_request.labels().collect::<Vec<_>>(), RollSource::LabelOfEvent), Some(note))
        }
    }
}

fn live_labels(number: u64, env: &BTreeMap<String, String>, token: Option<&GithubToken>) -> Result<Vec<String>> {
    let token = token.context("no `github-token` is given")?;
    let (owner, name) = env.get("GITHUB_REPOSITORY").and_then(|text| text.split_once('/')).context("no repository")?;
    let api = env.get("GITHUB_API_URL").map_or("https://api.github.com", String::as_str).to_owned();
    net::choose_tls();
    let work = async {
        let client = Octocrab::builder().base_uri(api)?.personal_token(token.reveal()).build()?;
        let labels = client.issues(owner, name).list_labels_for_issue(number).per_page(100).send().await?;
        Ok(labels.items.into_iter().map(|label| label.name).collect())
    };
    let answer: Result<Result<Vec<String>, octocrab::Error>, _> =
        Engine::start()?.wait(async { tokio::time::timeout(LABELS_LIMIT, work).await });
    let answer = answer.ok();
    ensure!(answer.is_some(), "no answer in time");
    match answer {
        Some(Ok(labels)) => Ok(labels),
        Some(Err(octocrab::Error::GitHub { source, .. })) => {
            anyhow::bail!("GitHub answered {} (is `pull-requests: read` granted?)", source.status_code)
        }
        // Its text could hold a url.
        Some(Err(_)) | None => anyhow::bail!("GitHub could not be asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_the_event_counts_where_nobody_can_be_asked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let event = r#"{"pull_request":{"number":7,"labels":[{"name":"bug"},{"name":"rekindle-roll:try 2"}]}}"#;
        fs_err::write(file.path(), event).unwrap();
        let env = BTreeMap::from([("GITHUB_EVENT_PATH".to_owned(), file.path().to_str().unwrap().to_owned())]);
        let (roll, note) = key_roll("", &env, None);
        assert_eq!(roll, Some(Roll { text: "try 2".into(), wished_by: RollSource::LabelOfEvent }));
        assert!(note.unwrap().contains("no `github-token`"));
        assert_eq!(key_roll("a", &env, None).0.unwrap().text, "a+try 2");
        assert_eq!(key_roll("a", &BTreeMap::new(), None).0.unwrap().wished_by, RollSource::Input);
        assert_eq!(key_roll("", &BTreeMap::new(), None), (None, None));
    }
}
