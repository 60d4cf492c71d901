//! Stores a pack and then says so: the pack under its digest, then the head of its name, which names it.
//!
//! The digest is known when all of it is made, so a pack lies in a file until then. A head is replaced only as it was read; whoever
//! was slower reads again and adds his own. How it can be wrong: a job that is killed between the two leaves a pack that nobody
//! names, and a server without conditions loses one of two heads that are written at once: a warm start, not a wrong one.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::fault::Fault;
use super::head::{self, Head, HeadEntry, HeadError, Need};
use super::inner::{Inner, Shared};
use super::layout::name_in;
use super::remote::{Condition, Spool};
use super::signature::Standing;
use crate::machine::interrupt::Unfinished;
use crate::machine::net::Engine;
use crate::problem::Warning;
use crate::store::{About, Draft, Put};

/// How often somebody else may be faster.
const TRIES: u32 = 40;
const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// Refusals of a head that is not there, after which the server is not believed to know conditions.
const ABSENT: u32 = 3;

/// A pack that is being made.
pub(super) struct Spooled<'a> {
    engine: &'a Engine,
    inner: &'a Shared,
    key: String,
    file: NamedTempFile,
    written: u64,
    about: Option<About>,
    _unfinished: Unfinished,
}

impl<'a> Spooled<'a> {
    pub(super) fn begin(engine: &'a Engine, inner: &'a Shared, key: &str, room: &Path) -> Result<Self> {
        let file = tempfile::Builder::new().prefix("pack-").tempfile_in(room).context("cannot write the pack")?;
        let unfinished = Unfinished::new(file.path());
        Ok(Self { engine, inner, key: key.to_owned(), file, written: 0, about: None, _unfinished: unfinished })
    }
}

impl Write for Spooled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft for Spooled<'_> {
    fn tell(&mut self, about: About) {
        self.about = Some(about);
    }

    fn finish(self: Box<Self>, tail: &[u8]) -> Result<Put> {
        let Self { engine, inner, key, file, written, about, _unfinished } = *self;
        let about = about.context("nobody said what the pack holds")?;
        inner.usable()?;
        let spool = Spool { first: tail.to_vec(), path: file.path().to_path_buf(), frames: written };
        let put = engine.wait(Shared::clone(inner).put(key.clone(), about, spool));
        inner.settle(put).with_context(|| format!("cannot store `{key}`"))
    }
}

/// A head as it was read, and what has to be so for it to be replaced.
pub(super) struct Read {
    pub(super) head: Head,
    pub(super) condition: Condition,
    pub(super) is_there: bool,
}

impl Inner {
    async fn put(self: Shared, key: String, about: About, spool: Spool) -> Result<Put, Fault> {
        let name = name_in(&key).ok_or_else(|| Fault::Local("the key has no name".to_owned()))?.to_owned();
        let object = self.layout.head(self.reach.own.zone, &self.reach.own.scope, &name);
        let mut read = self.read_head(&object).await?;
        let there = |head: &Head| head.get(&key).filter(|entry| self.accepts(entry, &self.reach.own, &name)).cloned();
        if there(&read.head).is_some() {
            return Ok(Put::AlreadyThere);
        }
        let pack = self.layout.pack(self.reach.own.zone, &about.sha256);
        let bytes = Arc::clone(&self.remote).put_pack(&pack, spool).await?;
        let stored = jiff::Timestamp::now().as_millisecond();
        let needs = about.parents.iter().map(|parent| Need {
            key: parent.key.clone(),
            sha256: parent.sha256,
            zone: self.located(&parent.key).map_or(self.reach.own.zone, |located| located.zone),
        });
        let needs: Vec<Need> = needs.collect();
        let (mut pause, mut absent) = (FIRST_PAUSE, 0);
        for _ in 0..TRIES {
            let standing = Standing { repository: &self.reach.repository, scope: &self.reach.own.scope, name: &name };
            // What nobody signed who should have keeps nobody out.
            let mut head = read.head;
            head.entries.retain(|entry| self.accepts(entry, &self.reach.own, &name));
            let sequence = head.next();
            let mut entry = HeadEntry {
                key: key.clone(),
                sha256: about.sha256,
                bytes,
                stored,
                used: None,
                sequence,
                needs: needs.clone(),
                signature: None,
            };
            entry.signature = self.signer.as_ref().map(|signer| signer.sign(standing, &entry));
            head.add(entry);
            match self.remote.put_small(&object, head.write(), &read.condition).await {
                Ok(()) => return Ok(Put::Stored),
                Err(Fault::Unconditional) => self.give_up_conditions(),
                Err(Fault::Conflict) if !read.is_there => {
                    absent += 1;
                    if absent == ABSENT {
                        self.give_up_conditions();
                    }
                }
                // An answer that was lost on the way: what it did is to be seen.
                Err(Fault::Conflict | Fault::Transient(_) | Fault::Silent) => {}
                Err(fault) => return Err(fault),
            }
            tokio::time::sleep(pause.mul_f64(0.2 + fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            read = self.read_head(&object).await?;
            match there(&read.head) {
                Some(entry) if entry.sha256 == about.sha256 => return Ok(Put::Stored),
                Some(_) => return Ok(Put::AlreadyThere),
                None => {}
            }
        }
        Err(Fault::Conflict)
    }

    pub(super) async fn read_head(&self, object: &str) -> Result<Read, Fault> {
        let Some((bytes, version)) = self.remote.small(object, 2 * head::BYTES).await? else {
            let condition = if self.knows_conditions() { Condition::Absent } else { Condition::None };
            return Ok(Read { head: Head::default(), condition, is_there: false });
        };
        let head = match Head::read(&bytes) {
            Ok(head) => head,
            Err(error @ HeadError::OtherFormat(_)) => {
                return Err(Fault::Refused(format!("another version of this program stores here: {error}")));
            }
            Err(error) => {
                self.warn(Warning::new(format!("what names the entries of this job is written anew: {error}")));
                Head::default()
            }
        };
        let knows = self.knows_conditions() && (version.e_tag.is_some() || version.version.is_some());
        let condition = if knows { Condition::Still(version) } else { Condition::None };
        Ok(Read { head, condition, is_there: true })
    }
}
