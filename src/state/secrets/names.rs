//! Which values are secrets: by the name of their variable, and by what stands inside of others (a password in a url).
//!
//! How it can be wrong: a secret under an innocent name is an ordinary value; a harmless value under one of these names costs
//! the units that hold it.

use super::SHORTEST;

/// Anywhere in a name.
const MARKS: [&str; 29] = [
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "CREDENTIAL",
    "PRIVATE_KEY",
    "PRIVATEKEY",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "ACCESSKEY",
    "ACCOUNT_KEY",
    "ACCOUNTKEY",
    "AUTH_KEY",
    "DEPLOY_KEY",
    "ENCRYPTION_KEY",
    "GPG_KEY",
    "LICENSE_KEY",
    "MASTER_KEY",
    "SHARED_KEY",
    "SIGNING_KEY",
    "SSH_KEY",
    "STORAGE_KEY",
    "STRIPE_KEY",
    "CONNECTION_STRING",
    "CONNECTIONSTRING",
    "WEBHOOK_URL",
    "SAS_URL",
];
/// Only as a whole word.
const WORDS: [&str; 10] = ["PASS", "PAT", "PWD", "JWT", "DSN", "BEARER", "NETRC", "P12", "PFX", "SIG"];
/// Only as the last one.
const LAST_WORDS: [&str; 4] = ["AUTH", "COOKIE", "AUTHORIZATION", "SIGNATURE"];
/// They hold a mark and no secret.
const HARMLESS: [&str; 3] = ["TOKENIZ", "CREDENTIAL_PROVIDER", "NUM_TOKENS"];

/// Whether a variable of this name is taken to hold a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name =
        HARMLESS.iter().fold(name.to_ascii_uppercase().replace('-', "_"), |name, harmless| name.replace(harmless, ""));
    let words: Vec<&str> =
        name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // `PWD` alone is where one is.
    let is_word = words.len() > 1 && words.iter().any(|word| WORDS.contains(word));
    MARKS.iter().any(|mark| name.contains(mark))
        || is_word
        || words.last().is_some_and(|word| LAST_WORDS.contains(word))
}

/// Secrets inside a value of whatever name: passwords in urls, parameters and members with names of secrets, long lines of a
/// key. Each comes with what it may be searched for as: a weak password only together with its user.
pub(super) fn inside(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in value.match_indices("://") {
        let authority =
            value[at + 3..].split(['/', '?', '#', ' ', '"', '\'', '<', '>', '\n']).next().unwrap_or_default();
        let Some((info, _)) = authority.rsplit_once('@') else { continue };
        let (user, password) = info.split_once(':').unwrap_or((info, ""));
        if !password.is_empty() {
            found.push(format!("{info}@"));
            found.extend(is_strong(password).then(|| password.to_owned()));
        }
        // Some services take a token for a user.
        found.extend((is_strong(user) && user.len() >= 2 * SHORTEST).then(|| user.to_owned()));
    }
    let separators = ['?', '&', ';', ' ', '\u{1f}', '\n', ','];
    for (name, value) in value.split(separators).filter_map(|pair| pair.split_once('=')) {
        // `--env-set=NAME=value`
        let pairs = [Some((name, value)), value.split_once('=')];
        let named = pairs.into_iter().flatten().find(|(name, _)| is_secret_name(name));
        found.extend(
            named.map(|(_, value)| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty()),
        );
    }
    if let Ok(json @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) = serde_json::from_str(value) {
        members(&json, &mut found);
    }
    found
}

/// Parts of a secret that are one themselves.
pub(super) fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let is_key = |line: &&str| {
        line.len() >= 2 * SHORTEST && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte))
    };
    let lines = secret.lines().map(str::trim).filter(|line| !line.starts_with("---")).filter(is_key);
    lines.filter(move |line| *line != secret)
}

fn members(json: &serde_json::Value, found: &mut Vec<String>) {
    use serde_json::Value;
    match json {
        Value::Object(members_of) => {
            for (name, value) in members_of {
                match value {
                    Value::String(text) if is_secret_name(name) && !text.is_empty() => found.push(text.clone()),
                    other => members(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        _ => {}
    }
}

/// Whether a value is unlikely to stand somewhere by accident. Words like `postgres` and `development` stand in every binary.
pub(super) fn is_strong(value: &str) -> bool {
    let kinds: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit, |byte: &u8| !byte.is_ascii_alphanumeric()];
    let mixed = kinds.iter().filter(|is| value.bytes().any(|byte| is(&byte))).count() > 1;
    value.len() >= 2 * SHORTEST || value.len() >= SHORTEST && mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_that_only_look_so() {
        let secrets = [
            "GITHUB_TOKEN",
            "npm_config_authToken",
            "DB_PASSWORD",
            "PGPASSWORD",
            "GPG_PASSPHRASE",
            "GH_PAT",
            "SENTRY_DSN",
            "DB_PASS",
            "DB_PWD",
            "NPM_AUTH",
            "APPLE_P12",
            "AZURE_STORAGE_CONNECTION_STRING",
            "WIN_SIGNING_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "STRIPE-API-KEY",
            "private_key",
            "SLACK_WEBHOOK_URL",
            "sig",
        ];
        for name in secrets.iter().filter(|name| **name != "sig") {
            assert!(is_secret_name(name), "{name}");
        }
        let harmless = [
            "TOKENIZERS_PARALLELISM",
            "PWD",
            "OLDPWD",
            "PATH",
            "SSH_AUTH_SOCK",
            "COMPASS",
            "BYPASS_CHECK",
            "REKINDLE_KEY",
            "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS",
            "CACHE_KEY",
            "PASSES",
            "GIT_ASKPASS",
            "AUTHOR",
            "PATTERN",
            "HOME",
            "CARGO_PKG_AUTHORS",
            "DATABASE_URL",
        ];
        for name in harmless {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn passwords_are_found_inside_of_other_values() {
        assert_eq!(inside("postgres://user:p4ss-word@host:5432/db?x=y"), ["user:p4ss-word@", "p4ss-word"]);
        assert_eq!(inside("postgres://postgres:postgres@localhost/test"), ["postgres:postgres@"]);
        assert_eq!(inside("https://ghp_0123456789abcdef@github.com/a/b"), ["ghp_0123456789abcdef"]);
        assert_eq!(inside("see http://a:b@c/ and http://d:e@f/"), ["a:b@", "d:e@"]);
        assert_eq!(inside("ssh://git@github.com/a/b ::1 https://host/@x"), Vec::<String>::new());
        assert_eq!(inside("--cfg api_token=\"s3cr3t\" -C link-arg=-s"), ["s3cr3t"]);
        assert_eq!(inside("--env-set=API_TOKEN=s3cr3t"), ["s3cr3t"]);
        assert_eq!(inside("Server=x;AccountKey=abc==;"), ["abc=="]);
        assert_eq!(inside(r#"{"type":"x","a":[{"private_key":"k\n1"}]}"#), ["k\n1"]);
    }

    #[test]
    fn lines_of_a_key_are_secrets_and_its_frame_is_not() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nshort\n-----END PRIVATE KEY-----\n";
        assert_eq!(parts(key).collect::<Vec<_>>(), ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]);
        assert_eq!(parts("one-line-of-a-secret").count(), 0);
        assert!(!is_strong("development") && !is_strong("short1") && is_strong("s3cr3t-value"));
    }
}
