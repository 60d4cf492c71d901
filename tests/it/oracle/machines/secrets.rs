//! The secret of a build step, and the search for it in everything that is written down.

use std::fs;

use base64::Engine;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::packages::Part;
use super::Machines;

impl Machines {
    /// No secret is in a log, in the state, or in any byte that is stored.
    pub(super) fn search(&mut self, log: &str) -> Result<(), TestCaseError> {
        if !self.shape.contains(&Part::Secret) {
            return Ok(());
        }
        let state = fs::read(self.world.dir.join("state.json")).unwrap_or_default();
        let mut texts = vec![("the log".to_owned(), log.as_bytes().to_vec()), ("the state".to_owned(), state)];
        for entry in fs::read_dir(self.world.store()).into_iter().flatten() {
            let path = entry.unwrap().path();
            if self.searched.insert(path.clone()) {
                let bytes = fs::read(&path).unwrap();
                let raw = zstd::decode_all(&bytes[..]).unwrap_or(bytes);
                texts.push((path.file_name().unwrap().to_string_lossy().into_owned(), raw));
            }
        }
        for (name, bytes) in &texts {
            for form in self.secrets.iter().flat_map(|secret| forms(secret)) {
                let is_in = memchr::memmem::find(bytes, form.as_bytes()).is_some();
                prop_assert!(!is_in, "secret: {} holds {}", name, form);
            }
        }
        Ok(())
    }
}

/// A value that is written differently in most formats.
pub(super) fn secret(number: usize) -> String {
    format!("s3cr3t-\"{number}\"-of/the+step")
}

/// How a secret may be written down.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let percent = secret.replace('"', "%22").replace('/', "%2F").replace('+', "%2B");
    let mut forms = vec![secret.to_owned(), json.trim_matches('"').to_owned(), percent];
    // In base64, wherever it begins; without the characters that its neighbours have a part in.
    for before in 0..3 {
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode("x".repeat(before) + secret);
        forms.push(text[4.min(before * 4)..text.len() - 2].to_owned());
    }
    forms
}
