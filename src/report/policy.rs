//! What has to be set up around a bucket so that its zones hold: roles by which only protected branches store what they read, as
//! text to be looked through and applied.
//!
//! GitHub's token says which ref a job runs for, and the provider gives rights by that. Nothing here is applied by this program.

use serde_json::json;

use crate::store::object::{Kind, Location};

/// Whose jobs, and which branches are the protected ones.
#[derive(Clone, Debug)]
pub struct Policy {
    pub location: Location,
    /// `owner/name`.
    pub repository: String,
    /// The number that GitHub gives it.
    pub id: String,
    pub branches: Vec<String>,
}

const ISSUER: &str = "token.actions.githubusercontent.com";

impl Policy {
    pub fn lines(&self) -> Vec<String> {
        let text = match self.location.kind {
            Kind::S3 => self.s3(),
            Kind::Gcs => self.gcs(),
            Kind::Azure => self.azure(),
        };
        text.lines().map(str::to_owned).collect()
    }

    fn zone(&self, letter: char) -> String {
        let slash = if self.location.prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}v1/{}/{letter}/", self.location.prefix, self.id)
    }

    fn protected_subjects(&self) -> Vec<String> {
        self.branches.iter().map(|branch| format!("repo:{}:ref:refs/heads/{branch}", self.repository)).collect()
    }

    fn s3(&self) -> String {
        let bucket = format!("arn:aws:s3:::{}", self.location.bucket);
        let objects = |letter: char| format!("{bucket}/{}*", self.zone(letter));
        let trust = |test: &str, subjects: Vec<String>| {
            json!({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": format!("arn:aws:iam::ACCOUNT:oidc-provider/{ISSUER}")},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {format!("{ISSUER}:aud"): "sts.amazonaws.com"},
                    test: {format!("{ISSUER}:sub"): subjects}
                }
            }]})
        };
        let rights = |read: Vec<String>, write: String| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": read},
                {"Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"], "Resource": write},
                {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
            ]})
        };
        let rest = json!({"Rules": [{
            "ID": "rekindle-unfinished-uploads", "Status": "Enabled",
            "Filter": {"Prefix": format!("{}{}v1/", self.location.prefix, if self.location.prefix.is_empty() { "" } else { "/" })},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}
        }]});
        let open = vec![format!("repo:{}:*", self.repository)];
        [
            "# Replace ACCOUNT. The provider of GitHub's tokens is made once for an account.".to_owned(),
            "# Role of protected branches: who may take it".to_owned(),
            pretty(&trust("StringEquals", self.protected_subjects())),
            "# Role of protected branches: what it may do. It cannot read what pull requests stored".to_owned(),
            pretty(&rights(vec![objects('t')], objects('t'))),
            "# Role of everything else: who may take it. GitHub gives jobs of a fork's pull request no token"
                .to_owned(),
            pretty(&trust("StringLike", open)),
            "# Role of everything else: what it may do".to_owned(),
            pretty(&rights(vec![objects('t'), objects('u')], objects('u'))),
            "# Listing is what makes an object that is not there `404`; only housekeeping lists.".to_owned(),
            "# Role of `rekindle prune`, in a job that builds nothing: who may take it".to_owned(),
            pretty(&trust("StringEquals", self.protected_subjects())),
            "# Role of `rekindle prune`: what it may do".to_owned(),
            pretty(&json!({"Version": "2012-10-17", "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                    "Resource": [objects('t'), objects('u')]
                },
                {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
            ]})),
            "# Lifecycle of the bucket".to_owned(),
            pretty(&rest),
        ]
        .join("\n")
    }

    fn gcs(&self) -> String {
        let bucket = &self.location.bucket;
        let pool = "//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/github";
        let grant = |member: &str, role: &str, letters: &[char]| {
            let objects = format!("projects/_/buckets/{bucket}/objects/");
            let within = letters
                .iter()
                .map(|letter| format!("resource.name.startsWith(\"{objects}{}\")", self.zone(*letter)))
                .collect::<Vec<_>>()
                .join(" || ");
            let title: String = letters.iter().collect();
            format!(
                "gcloud storage buckets add-iam-policy-binding gs://{bucket} --member='{member}' --role={role} \
                 --condition='title=rekindle-{title},expression={within}'"
            )
        };
        let mut lines = vec![
            "# Replace NUMBER, the project's. The pool of GitHub's tokens is made once for a project.".to_owned(),
            "gcloud iam workload-identity-pools create github --location=global".to_owned(),
            format!(
                "gcloud iam workload-identity-pools providers create-oidc github --location=global \
                 --workload-identity-pool=github --issuer-uri=https://{ISSUER} \
                 --attribute-mapping='google.subject=assertion.sub,attribute.repository_id=assertion.repository_id' \
                 --attribute-condition=\"assertion.repository_id=='{}'\"",
                self.id
            ),
            "# Protected branches: they read and write their own zone, and nothing else".to_owned(),
        ];
        let user = "roles/storage.objectUser";
        lines.extend(
            self.protected_subjects()
                .iter()
                .map(|subject| grant(&format!("principal:{pool}/subject/{subject}"), user, &['t'])),
        );
        lines.push("# Everything else: a pull request has one subject. Forks get no token".to_owned());
        let member = format!("principal:{pool}/subject/repo:{}:pull_request", self.repository);
        lines.push(grant(&member, "roles/storage.objectViewer", &['t', 'u']));
        lines.push(grant(&member, user, &['u']));
        lines.push("# Other branches need a line of each kind with their own subject.".to_owned());
        lines.push(
            "# `rekindle prune` lists, reads and removes in both: in a job that builds nothing, as a service account of its own"
                .to_owned(),
        );
        lines.push(format!(
            "gcloud storage buckets add-iam-policy-binding gs://{bucket} \
             --member='serviceAccount:rekindle-prune@PROJECT.iam.gserviceaccount.com' --role={user}"
        ));
        lines.join("\n")
    }

    fn azure(&self) -> String {
        let container = &self.location.bucket;
        let scope = format!(
            "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/ACCOUNT/blobServices/\
             default/containers/{container}"
        );
        let path = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]";
        let within = |letters: &[char]| {
            let tests = letters.iter().map(|letter| format!("{path} StringLike '{}*'", self.zone(*letter)));
            format!("({})", tests.collect::<Vec<_>>().join(" OR "))
        };
        let grant = |who: &str, role: &str, letters: &[char]| {
            format!(
                "az role assignment create --assignee {who} --role '{role}' --scope {scope} --condition-version 2.0 --condition \
                 \"{}\"",
                within(letters)
            )
        };
        let federated = |identity: &str, name: &str, subject: &str| {
            format!(
                "az identity federated-credential create --identity-name {identity} --resource-group GROUP --name {name} --issuer \
                 https://{ISSUER} --audiences api://AzureADTokenExchange --subject '{subject}'"
            )
        };
        let mut lines = vec![
            "# Replace SUBSCRIPTION, GROUP, ACCOUNT, and PROTECTED and OPEN by the client ids of the two identities."
                .to_owned(),
            "az identity create --resource-group GROUP --name rekindle-protected".to_owned(),
            "az identity create --resource-group GROUP --name rekindle-open".to_owned(),
            "# Protected branches: they read and write their own zone, and nothing else".to_owned(),
        ];
        lines.extend(
            self.protected_subjects()
                .iter()
                .enumerate()
                .map(|(at, subject)| federated("rekindle-protected", &format!("branch-{at}"), subject)),
        );
        lines.push(grant("PROTECTED", "Storage Blob Data Contributor", &['t']));
        lines.push("# Pull requests: forks get no token".to_owned());
        let subject = format!("repo:{}:pull_request", self.repository);
        lines.push(federated("rekindle-open", "pull-requests", &subject));
        lines.push(grant("OPEN", "Storage Blob Data Reader", &['t', 'u']));
        lines.push(grant("OPEN", "Storage Blob Data Contributor", &['u']));
        lines.push(
            "# `rekindle prune` lists, reads and removes in both: in a job that builds nothing, as PRUNE, an identity of its own"
                .to_owned(),
        );
        lines.push(format!(
            "az role assignment create --assignee PRUNE --role 'Storage Blob Data Contributor' --scope {scope}"
        ));
        lines.join("\n")
    }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(location: &str) -> String {
        let location = Location::parse(location).unwrap();
        let branches = vec!["main".to_owned(), "next".to_owned()];
        Policy { location, repository: "o/r".to_owned(), id: "77".to_owned(), branches }.lines().join("\n")
    }

    #[test]
    fn only_protected_branches_may_write_what_they_read() {
        let text = text("s3://bucket/ci");
        let blocks = text.split("\n# ").filter_map(|block| block.split_once("\n{"));
        let values: Vec<(&str, serde_json::Value)> =
            blocks.map(|(title, body)| (title, serde_json::from_str(&format!("{{{body}")).unwrap())).collect();
        let rights = |role: &str| {
            let found = values.iter().find(|(title, _)| title.contains(role) && title.contains("may do")).unwrap();
            let statements = found.1["Statement"].as_array().unwrap();
            (statements[0]["Resource"].to_string(), statements[1]["Resource"].to_string())
        };
        let (read, write) = rights("protected branches");
        assert_eq!(read, r#"["arn:aws:s3:::bucket/ci/v1/77/t/*"]"#);
        assert_eq!(write, r#""arn:aws:s3:::bucket/ci/v1/77/t/*""#);
        let (read, write) = rights("everything else");
        assert_eq!(read, r#"["arn:aws:s3:::bucket/ci/v1/77/t/*","arn:aws:s3:::bucket/ci/v1/77/u/*"]"#);
        assert_eq!(write, r#""arn:aws:s3:::bucket/ci/v1/77/u/*""#);
        let (prune, _) = rights("rekindle prune");
        assert_eq!(prune, r#"["arn:aws:s3:::bucket/ci/v1/77/t/*","arn:aws:s3:::bucket/ci/v1/77/u/*"]"#);
        assert_eq!(text.matches("s3:DeleteObject").count(), 1, "only housekeeping takes anything away");
        let trusted = values.iter().find(|(title, _)| title.contains("protected branches: who")).unwrap().1.to_string();
        assert!(trusted.contains(r#"["repo:o/r:ref:refs/heads/main","repo:o/r:ref:refs/heads/next"]"#), "{trusted}");
    }

    #[test]
    fn the_others_have_the_same_zones() {
        for (location, write, read) in [
            ("gs://bucket", "storage.objectUser", "storage.objectViewer"),
            ("az://container", "Data Contributor", "Data Reader"),
        ] {
            let text = text(location);
            let of_pull_requests = |line: &&str| line.contains("v1/77/u/");
            let lines: Vec<&str> = text.lines().filter(of_pull_requests).collect();
            assert_eq!(lines.len(), 2, "{text}");
            assert!(lines[0].contains(read) && lines[0].contains("v1/77/t/"), "{text}");
            assert!(lines[1].contains(write) && !lines[1].contains("v1/77/t/"), "{text}");
            let protected = text.lines().filter(|line| line.contains("v1/77/t/") && line.contains(write));
            assert!(protected.clone().count() > 0 && protected.into_iter().all(|line| !line.contains("/u/")), "{text}");
        }
    }
}
