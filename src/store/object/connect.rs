//! From a location and the environment to a client: endpoints, regions and credentials under the names that every tool of these
//! services uses.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};
use reqwest::Url;

use super::location::{Kind, Location};
use crate::machine::net::{self, Patience, Plain};

/// Further tries of one request, and how long there may be any.
const RETRIES: usize = 4;
const RETRYING: Duration = Duration::from_secs(12);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

pub(super) type Env = BTreeMap<String, String>;

pub(super) fn connect(location: &Location, env: &Env, patience: Patience) -> Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: patience.of(FIRST_PAUSE),
            max_backoff: patience.of(LONGEST_PAUSE),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: patience.of(RETRYING),
    };
    let connector = Connector { patience };
    match location.kind {
        Kind::S3 => s3(location, env, retry, connector),
        Kind::Gcs => gcs(location, env, retry, connector),
        Kind::Azure => azure(location, env, retry, connector),
    }
}

/// Variables of one provider as its client knows them.
fn settings<K: FromStr>(env: &Env, beginning: &str) -> Vec<(K, String)> {
    let names = env.iter().filter(|(name, value)| name.starts_with(beginning) && !value.trim().is_empty());
    names.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone()))).collect()
}

fn s3(location: &Location, env: &Env, retry: RetryConfig, connector: Connector) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in settings::<AmazonS3ConfigKey>(env, "AWS_") {
        builder = builder.with_config(key, value);
    }
    let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = keys.iter().find_map(|key| builder.get_config_value(key));
    if endpoint.as_deref().is_some_and(is_here) {
        builder = builder.with_allow_http(true);
    }
    builder = builder.with_bucket_name(&location.bucket).with_retry(retry).with_http_connector(connector);
    // Nobody reads tags, and not every server knows them.
    builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_disable_tagging(true);
    Ok(Arc::new(builder.build().map_err(settings_fault)?))
}

fn gcs(location: &Location, env: &Env, retry: RetryConfig, connector: Connector) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    // What is a token already, as `gcloud` and its action hand it on.
    let token = ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"].iter().find_map(|name| env.get(*name));
    for (key, value) in settings::<GoogleConfigKey>(env, "GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(token) = token.filter(|token| !token.trim().is_empty()) {
        let credential = GcpCredential { bearer: token.trim().to_owned() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    let mut options = ClientOptions::new();
    if builder.get_config_value(&GoogleConfigKey::BaseUrl).as_deref().is_some_and(is_here) {
        options = options.with_allow_http(true);
    }
    builder = builder.with_bucket_name(&location.bucket).with_client_options(options);
    Ok(Arc::new(builder.with_retry(retry).with_http_connector(connector).build().map_err(settings_fault)?))
}

fn azure(location: &Location, env: &Env, retry: RetryConfig, connector: Connector) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings::<AzureConfigKey>(env, "AZURE_") {
        builder = builder.with_config(key, value);
    }
    if builder.get_config_value(&AzureConfigKey::Endpoint).as_deref().is_some_and(is_here) {
        builder = builder.with_allow_http(true);
    }
    builder = builder.with_container_name(&location.bucket).with_retry(retry).with_http_connector(connector);
    Ok(Arc::new(builder.build().map_err(settings_fault)?))
}

/// What the client says of its settings could hold their values.
fn settings_fault(_: object_store::Error) -> anyhow::Error {
    anyhow::anyhow!("its variables in the environment do not fit together; see docs/stores.md")
}

/// A server on this very machine may be spoken to without protection.
fn is_here(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Makes the clients that the library asks for, by the rules of every other request of this program.
#[derive(Debug)]
struct Connector {
    patience: Patience,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let plain = if plain { Plain::Allowed } else { Plain::Refused };
        // The library shortens it where it asks the machine for credentials, which has an answer at once or none.
        let usual = ClientOptions::default().get_config_value(&ClientConfigKey::ConnectTimeout);
        let is_short = options.get_config_value(&ClientConfigKey::ConnectTimeout) != usual;
        let client = if is_short { net::quick_client(self.patience) } else { net::client(self.patience, plain) };
        let client = client
            .context("no client")
            .map_err(|error| object_store::Error::Generic { store: "HTTP", source: error.into() })?;
        Ok(HttpClient::new(client))
    }
}
