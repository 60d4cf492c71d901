//! Rules about toolchains that change on their own, in jobs that start cold whenever they do.

use super::cargo_call::CargoCall;
use super::checkout::Checkout;
use super::job::{Step, WorkflowJob};
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    let mut warm = checkout.warm_jobs().peekable();
    if warm.peek().is_none() {
        return;
    }
    // The file wins over what a step sets as the default.
    let filed = checkout.toolchain.as_ref();
    if let Some((file, channel, line)) = filed {
        into.extend(rule(channel).map(|rule| Finding::new(rule, file, *line, format!("the toolchain is `{channel}`"))));
    }
    let mut found: Vec<Finding> = Vec::new();
    for (_, job, _) in warm.filter(|(_, job, _)| job.cargo().any(|(_, _, call)| call.may_compile())) {
        let named = container(job).into_iter().chain(job.steps.iter().filter_map(|step| by_call(job, step)));
        let default = if filed.is_none() { by_step(job) } else { None };
        let mut of_job: Vec<Finding> = named.chain(default).collect();
        of_job.dedup_by_key(|finding| finding.rule);
        found.extend(of_job);
    }
    // One place tells of all jobs: what mends it is the same for each.
    for rule in [Rule::FloatingNightly, Rule::FloatingStable] {
        let all: Vec<&Finding> = found.iter().filter(|finding| finding.rule == rule).collect();
        let others = match all.len() {
            0 | 1 => String::new(),
            2 => "; so does 1 other job".to_owned(),
            count => format!("; so do {} other jobs", count - 1),
        };
        into.extend(all.first().map(|first| Finding { what: format!("{}{others}", first.what), ..(*first).clone() }));
    }
}

/// What is wrong with a channel of this name, if anything.
fn rule(channel: &str) -> Option<Rule> {
    let floats = |name: &str| {
        let rest = channel.strip_prefix(name)?;
        // A host may follow the channel; a date pins it.
        (rest.is_empty() || rest.starts_with('-') && !rest[1..].starts_with(|c: char| c.is_ascii_digit())).then_some(())
    };
    floats("nightly").map(|()| Rule::FloatingNightly).or_else(|| floats("stable").map(|()| Rule::FloatingStable))
}

/// The step that sets the toolchain with which the job begins to compile. One with a condition may not run.
fn by_step(job: &WorkflowJob) -> Option<Finding> {
    let compiles = |step: &Step| {
        step.commands().iter().any(|command| CargoCall::of(command).is_some_and(|call| call.may_compile()))
    };
    let first = job.steps.iter().position(compiles).unwrap_or(job.steps.len());
    let before = job.steps.iter().take(first + 1).filter(|step| step.condition.is_none());
    let (step, (named, line, how)) = before.rev().find_map(|step| Some((step, set_by(step)?)))?;
    named_channel(job, step, &named, line, &how)
}

/// The channel that a step makes the default, its line, and how it says so.
fn set_by(step: &Step) -> Option<(String, usize, String)> {
    let installs = ["dtolnay/rust-toolchain", "actions-rs/toolchain", "actions-rust-lang/setup-rust-toolchain"];
    if installs.contains(&step.action()) {
        let named = step.with("toolchain").unwrap_or(step.reference());
        return Some((named.to_owned(), step.with_line("toolchain"), format!("`{}`", step.action())));
    }
    let commands = step.commands().iter().filter(|command| command.program() == "rustup");
    commands.rev().find_map(|command| {
        let words: Vec<&str> = command.words[1..].iter().map(String::as_str).collect();
        let sets = matches!(words.as_slice(), ["default" | "update" | "install", ..])
            || words.starts_with(&["override", "set"])
            || words.starts_with(&["toolchain", "install"]);
        let named = words.iter().skip(1).find(|word| is_channel(word)).filter(|_| sets)?;
        // Installed beside the default, a nightly only counts where it is called by name.
        let beside = rule(named) == Some(Rule::FloatingNightly) && !matches!(words[0], "default" | "override");
        (!beside).then(|| ((*named).to_owned(), command.line, format!("`{}`", command.said())))
    })
}

fn is_channel(word: &str) -> bool {
    rule(word).is_some()
        || word.starts_with(|c: char| c.is_ascii_digit() || c == '$')
        || word.starts_with("nightly-")
        || word == "beta"
}

fn named_channel(job: &WorkflowJob, step: &Step, named: &str, line: usize, how: &str) -> Option<Finding> {
    let values = job.values(named);
    if let [channel] = values.as_slice() {
        let what = format!("job `{}` compiles with `{channel}`: {how}", job.id);
        return Some(Finding::new(rule(channel)?, &step.file, line, what));
    }
    // A matrix of several toolchains is there to follow the stable one, which seldom moves.
    let channel = values.iter().find(|channel| rule(channel) == Some(Rule::FloatingNightly))?;
    let what = format!("job `{}` compiles with `{channel}` in a leg of its matrix: {how}", job.id);
    Some(Finding::new(Rule::FloatingNightly, &step.file, line, what))
}

fn by_call(job: &WorkflowJob, step: &Step) -> Option<Finding> {
    step.commands().iter().find_map(|command| {
        let call = CargoCall::of(command).filter(super::cargo_call::CargoCall::compiles)?;
        let named = call.toolchain.as_deref().or_else(|| step.variable(command, "RUSTUP_TOOLCHAIN"))?;
        named_channel(job, step, named, command.line, &format!("`{}`", call.said))
    })
}

fn container(job: &WorkflowJob) -> Option<Finding> {
    let node = job.node.at("container");
    let image = if node.at("image").exists() { node.at("image") } else { node };
    let text = image.text()?;
    let (name, tag) = text.rsplit_once(':').unwrap_or((text, "latest"));
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let rule = match (name.strip_prefix("library/").unwrap_or(name), tag) {
        ("rust", "latest" | "slim" | "alpine" | "1" | "bookworm" | "trixie" | "bullseye") => Rule::FloatingStable,
        ("rustlang/rust", tag) if tag.starts_with("nightly") => Rule::FloatingNightly,
        _ => return None,
    };
    Some(Finding::new(rule, &job.file, image.line, format!("job `{}` compiles in the image `{text}`", job.id)))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, findings, ids, workflow};

    fn found(steps: &[&str], channel: &str) -> Vec<String> {
        let file = if channel.is_empty() { String::new() } else { format!("[toolchain]\nchannel = \"{channel}\"\n") };
        ids(&[(".github/workflows/ci.yml", &workflow(steps)), ("rust-toolchain.toml", &file)])
    }

    #[test]
    fn a_nightly_without_a_date_is_found() {
        let by_action = "uses: dtolnay/rust-toolchain@nightly";
        assert_eq!(found(&[CHECKOUT, by_action, OURS, TEST], ""), ["floating-nightly:7"]);
        assert!(found(&[CHECKOUT, by_action, TEST], "").is_empty());
        assert!(found(&[CHECKOUT, by_action, OURS, TEST], "1.90").is_empty());
        assert_eq!(found(&[CHECKOUT, OURS, TEST], "nightly"), ["floating-nightly:2"]);
        assert!(found(&[CHECKOUT, OURS, TEST], "nightly-2026-01-31").is_empty());
        assert_eq!(found(&[CHECKOUT, OURS, "run: cargo +nightly test"], "1.90"), ["floating-nightly:8"]);
        assert!(found(&[CHECKOUT, OURS, TEST, "run: cargo +nightly fmt"], "1.90").is_empty());
    }

    #[test]
    fn the_latest_stable_is_found_unless_a_matrix_means_it() {
        let by_input = "{uses: dtolnay/rust-toolchain@master, with: {toolchain: stable}}";
        assert_eq!(found(&[CHECKOUT, by_input, OURS, TEST], ""), ["floating-stable:7"]);
        assert_eq!(found(&[CHECKOUT, "run: rustup update stable", OURS, TEST], ""), ["floating-stable:7"]);
        assert!(found(&[CHECKOUT, "run: rustup update stable", OURS, "run: cargo fmt"], "").is_empty());
        assert!(found(&[CHECKOUT, "{run: rustup default stable, if: matrix.latest}", OURS, TEST], "").is_empty());
        let both = "run: rustup install stable && rustup default 1.90";
        assert!(found(&[CHECKOUT, both, OURS, TEST], "").is_empty());
        assert!(found(&[CHECKOUT, "uses: dtolnay/rust-toolchain@1.90", OURS, TEST], "").is_empty());
        let text = |values: &str| {
            format!(
                "on: push\njobs:\n  a:\n    strategy: {{matrix: {{rust: {values}}}}}\n    steps:\n      - uses: \
                 dtolnay/rust-toolchain@master\n        with: {{toolchain: '${{{{ matrix.rust }}}}'}}\n      - uses: \
                 a/rekindle@v1\n      - run: cargo test\n"
            )
        };
        let in_matrix = |values: &str| ids(&[(".github/workflows/ci.yml", &text(values)), ("rust-toolchain.toml", "")]);
        assert!(in_matrix("[stable, '1.80']").is_empty());
        assert!(in_matrix("[stable, beta, nightly-2026-01-31]").is_empty());
        assert_eq!(in_matrix("[stable, nightly]"), ["floating-nightly:7"]);
        assert_eq!(in_matrix("[nightly]"), ["floating-nightly:7"]);
    }

    #[test]
    fn all_jobs_are_told_of_at_one_place() {
        let job = |id: &str| {
            format!(
                "  {id}:\n    steps:\n      - uses: dtolnay/rust-toolchain@stable\n      - {OURS}\n      - {TEST}\n"
            )
        };
        let text = format!("on: push\njobs:\n{}{}{}", job("a"), job("b"), job("c"));
        let found = findings(&[(".github/workflows/ci.yml", &text), ("rust-toolchain.toml", "")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "job `a` compiles with `stable`: `dtolnay/rust-toolchain`; so do 2 other jobs");
    }

    #[test]
    fn an_image_that_moves_is_found() {
        let text = |image: &str| {
            let head = format!("on: push\njobs:\n  a:\n    container: {image}\n");
            format!("{head}    steps:\n      - {CHECKOUT}\n      - {OURS}\n      - {TEST}\n")
        };
        let found = |image: &str| ids(&[(".github/workflows/ci.yml", &text(image))]);
        assert_eq!(found("rust:latest"), ["floating-stable:4"]);
        assert_eq!(found("{image: rust}"), ["floating-stable:4"]);
        assert!(found("rust:1.90-slim").is_empty());
    }
}
