//! A bucket as somebody sees it who may do everything: what lies in it, byte for byte.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt};
use rekindle::digest::Digest;
use rekindle::store::{About, Put, Sending, Store};
use serde_json::Value;

pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl Bucket {
    pub(crate) fn new(make: impl FnOnce() -> Arc<dyn ObjectStore>) -> Self {
        rekindle::machine::net::choose_tls();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { store: make(), runtime }
    }

    /// Every object and its size.
    pub(crate) fn objects(&self) -> BTreeMap<String, u64> {
        let (mut found, mut open) = (BTreeMap::new(), vec![Name::default()]);
        while let Some(prefix) = open.pop() {
            let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&prefix))).unwrap();
            open.extend(listed.common_prefixes);
            // SeaweedFS lists folders, too, once they are empty.
            let objects = listed.objects.into_iter().filter(|object| object.size > 0);
            found.extend(objects.map(|object| (object.location.to_string(), object.size)));
        }
        found
    }

    /// Those whose name holds this.
    pub(crate) fn named(&self, part: &str) -> Vec<String> {
        self.objects().into_keys().filter(|name| name.contains(part)).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        let read = async { self.store.get(&Name::from(name)).await?.bytes().await };
        self.runtime.block_on(read).unwrap().to_vec()
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.runtime.block_on(self.store.put(&Name::from(name), bytes.into())).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        self.runtime.block_on(self.store.delete(&Name::from(name))).unwrap();
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.get(name)).unwrap()
    }
}

/// Stores bytes under a key as a save would.
pub(crate) fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> anyhow::Result<Put> {
    let room = tempfile::tempdir().unwrap();
    let mut draft = store.begin(key, room.path(), Sending::AsTheyCome)?;
    let (tail, frames) = bytes.split_at(bytes.len() / 2);
    draft.write_all(frames)?;
    draft.tell(About { sha256: Digest::of(bytes), parents: Vec::new() });
    draft.finish(tail)
}
