//! Whole jobs whose packs lie in Azurite, behind the signed urls of Azure: where our own blob host could share a mistake with
//! the client, this one cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rekindle::store::Store as _;
use rekindle::store::actions::{ActionsStore, Service};

use crate::support::azurite::Azurite;
use crate::support::cache_service::{CacheService, Route};
use crate::support::runner::{MAIN, Runner, Step, ballast};

const MIB: usize = 1 << 20;

struct Site {
    runner: Runner,
    azurite: Azurite,
}

impl Site {
    fn new() -> Self {
        Self::with(&[])
    }

    /// Packs larger than one block.
    fn with_large_packs() -> Self {
        Self::with(&[("lib/build.rs", &ballast(40))])
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let azurite = Azurite::start();
        let service = CacheService::start_with_blobs_in(azurite.container());
        Self { runner: Runner::beside(service, files), azurite }
    }

    /// A job that begins with nothing and saves what it did: what it compiled.
    fn first_job(&mut self) -> BTreeSet<String> {
        let job = self.runner.job();
        assert!(job.restore.warnings().is_empty() && job.save.warnings().is_empty(), "{job:#?}");
        assert!(job.save.log.contains("target: saved"), "{}", job.save.log);
        job.compiled
    }

    /// A job that finds all that it needs.
    fn warm_job(&mut self) {
        let job = self.runner.job();
        assert!(job.restore.warnings().is_empty() && job.save.warnings().is_empty(), "{job:#?}");
        assert_eq!(job.restore.outputs["state"], "exact", "{job:#?}");
        assert!(job.compiled.is_empty(), "{job:#?}");
        assert_eq!(self.runner.world.output(), "one\n");
    }

    /// Of blob requests and their answers, how many there were of each.
    fn count(&self, answer: &str) -> usize {
        self.azurite.answered().iter().filter(|answered| *answered == answer).count()
    }

    fn lookups(&self) -> usize {
        self.runner.service.requests().iter().filter(|seen| seen.route == Route::Lookup).count()
    }

    /// The next restore has one warning, of this cause, and the build compiles everything. What the restore calls itself.
    fn cold_job(&mut self, cause: &str, all: &BTreeSet<String>) -> String {
        self.runner.next_machine();
        let restore = self.runner.restore();
        warned(&restore, cause);
        assert_eq!(self.runner.world.build().compiled, *all, "{}", restore.log);
        restore.outputs["state"].clone()
    }
}

/// Exit code 0 and exactly one warning, which names the cause.
fn warned(step: &Step, cause: &str) {
    assert_eq!((step.code, step.warnings().len()), (Some(0), 1), "{}", step.log);
    assert!(step.warnings()[0].contains(cause), "{}", step.log);
}

#[test]
fn a_small_pack_goes_up_at_once_and_comes_back() {
    let mut site = Site::new();
    site.first_job();
    // The service asks for the length when the upload is finalized: of the pack, and of the seed that names the job.
    assert_eq!(site.azurite.answered(), ["PUT blob 201", "HEAD blob 200"].repeat(2));
    site.runner.service.clear_requests();
    site.warm_job();
    assert_eq!(site.lookups(), 1);
    let answers = site.azurite.answered();
    assert!(answers.len() > 4 && answers[4..].iter().all(|answer| answer == "GET blob 206"), "{answers:?}");
}

#[test]
fn a_large_pack_goes_up_in_blocks_and_comes_down_in_ranges() {
    let mut site = Site::with_large_packs();
    site.first_job();
    let (blocks, lists) = (site.count("PUT block 201"), site.count("PUT blocklist 201"));
    assert!(blocks >= 4, "{blocks}");
    // Of the pack, and of the seed that names the job, which is sent at once.
    assert_eq!((lists, site.count("HEAD blob 200"), site.count("PUT blob 201")), (1, 2, 1));
    assert_eq!(site.azurite.answered().len(), blocks + 4, "a request failed: {:?}", site.azurite.answered());
    let stored = site.runner.entries();
    assert!(stored.len() == 1 && stored[0].size > 40 * MIB as u64, "{stored:?}");
    site.warm_job();
    let answers = site.azurite.answered();
    let ranges = &answers[blocks + 4..];
    assert!(ranges.len() > 5 && ranges.iter().all(|answer| answer == "GET blob 206"), "{ranges:?}");
}

#[test]
fn a_download_url_that_ran_out_is_renewed() {
    let mut site = Site::new();
    site.first_job();
    site.runner.service.clear_requests();
    site.runner.service.give_out_expired_urls(Route::Lookup, 1);
    site.warm_job();
    assert_eq!(site.lookups(), 2);
    assert_eq!(site.count("GET blob 403"), 1);
    assert!(site.count("GET blob 206") >= 1);
}

#[test]
fn a_download_url_that_is_about_to_run_out_is_renewed_in_time() {
    let mut site = Site::with_large_packs();
    site.first_job();
    site.runner.service.clear_requests();
    // The end is near enough for a patience of twenty, and too far away for this test to get there.
    site.runner.set("REKINDLE_PATIENCE", "20");
    site.runner.service.set_url_lifetime(Duration::from_secs(120));
    site.warm_job();
    assert_eq!(site.lookups(), 3, "the first one, and both renewals");
    assert_eq!(site.count("GET blob 403"), 0);
}

#[test]
fn an_upload_url_that_ran_out_costs_one_warning_and_nothing_is_saved() {
    for mut site in [Site::new(), Site::with_large_packs()] {
        site.runner.service.give_out_expired_urls(Route::Create, 1);
        let job = site.runner.job();
        warned(&job.save, "a signed url was not accepted");
        assert_eq!(site.runner.entries(), []);
        let answers = site.azurite.answered();
        assert!(!answers.is_empty() && answers.iter().all(|answer| answer.ends_with(" 403")), "{answers:?}");
        assert_eq!(site.runner.job().compiled, job.compiled);
    }
}

#[test]
fn a_blob_that_is_cut_or_gone_is_a_cold_start_with_one_warning() {
    let mut site = Site::new();
    let all = site.first_job();
    let key = site.runner.keys()[0].clone();
    let whole = site.runner.service.blob(&key);
    site.runner.service.replace_blob(&key, whole[..whole.len() / 2].to_vec());
    // The index comes first and is still there.
    assert_eq!(site.cold_job("was cut", &all), "miss");
    // No range of an empty blob can be read.
    site.runner.service.replace_blob(&key, Vec::new());
    assert_eq!(site.cold_job("not the one that was found", &all), "miss");
    assert_eq!(site.count("GET blob 416"), 1);
    site.runner.service.lose_blob(&key);
    assert_eq!(site.cold_job("the entry is gone", &all), "miss");
    assert_eq!(site.count("GET blob 404"), 1);
    // With the entry out of the way, the same name is stored again.
    site.runner.service.evict("rekindle.");
    site.first_job();
    site.warm_job();
}

#[test]
fn a_blob_that_is_replaced_while_it_is_read_is_noticed() {
    let mut site = Site::with(&[("lib/build.rs", &ballast(4))]);
    site.first_job();
    let service = &site.runner.service;
    let env = BTreeMap::from([
        ("ACTIONS_RESULTS_URL".to_owned(), service.url()),
        ("ACTIONS_CACHE_SERVICE_V2".to_owned(), "True".to_owned()),
        ("ACTIONS_RUNTIME_TOKEN".to_owned(), service.token(MAIN)),
    ]);
    let store = ActionsStore::open(Service::choose(&env, 0).unwrap(), Duration::from_secs(60)).unwrap();
    let key = site.runner.keys()[0].clone();
    assert_eq!(store.find("rekindle.3.ci-").unwrap()[0].key, key);
    let end = store.size(&key).unwrap();
    // Past what opening it has read.
    let from = 3 * MIB as u64;
    let bytes = service.blob(&key);
    assert!(store.read(&key, from, end - from).unwrap() == bytes[3 * MIB..]);
    // The very same bytes, and yet another blob: only its `ETag` tells.
    service.replace_blob(&key, bytes);
    let error = store.read(&key, from, end - from).unwrap_err();
    assert!(format!("{error:#}").contains("not the one that was found"), "{error:#}");
    assert_eq!(site.count("GET blob 412"), 1);
}
