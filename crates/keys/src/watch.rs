//! Watching the state file from inside the calls that a server makes anyway: at most one look a second while it serves and
//! one for each context that it makes, no thread, no descriptor, nothing that waits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::lock::Lock;
use crate::memory::Locked;
use crate::state::{self, Identity, Keyring, Reader, Refusal};

/// A state file, and what is known about it.
pub(crate) struct Watch {
    path: PathBuf,
    lock: Lock,
    /// The second of the last look.
    looked: AtomicU64,
    /// The [`Identity`] of the version that was judged last, 0 for none.
    judged: AtomicU64,
    /// Why the last look failed, 0 if it did not.
    trouble: AtomicU64,
}

/// A version of the file that was not seen before.
pub(crate) struct Fresh {
    pub(crate) keyring: Locked<Keyring>,
    identity: Identity,
}

impl Watch {
    pub(crate) fn new(path: &Path) -> Self {
        let number = || AtomicU64::new(0);
        Self { path: path.to_path_buf(), lock: Lock::new(), looked: number(), judged: number(), trouble: number() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file now.
    pub(crate) fn read(&self) -> Result<Fresh, Refusal> {
        state::read_contents(&self.path, Reader::Server).map(|(keyring, identity)| Fresh { keyring, identity })
    }

    /// That version need not be looked at again.
    pub(crate) fn settle(&self, fresh: &Fresh) {
        self.judged.store(fresh.identity.word(), Relaxed);
    }

    /// Has the next [`look`](Self::look) look, however lately the last was.
    pub(crate) fn hurry(&self) {
        self.looked.store(0, Relaxed);
    }

    /// Whether a second has passed since the last look.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.looked.load(Relaxed) != now
    }

    /// Looks, if a second has passed and nobody else is looking. Gives a version that has not been settled, or, once,
    /// why there is none.
    pub(crate) fn look(&self, now: u64, generation: u32) -> Option<Result<Fresh, Refusal>> {
        let _looking = self.lock.try_lock(generation)?;
        if self.looked.swap(now, Relaxed) == now {
            return None;
        }
        let found = state::look(&self.path).and_then(|stat| {
            let identity = Identity::of(&stat).word();
            if identity == self.judged.load(Relaxed) {
                return Ok(None);
            }
            let fresh = self.read();
            // What is not the file's own fault passes without a change of its identity, so it is looked at again: the
            // mode of the directory, a process that has no descriptor or memory left.
            let passes =
                |refusal: &Refusal| matches!(refusal, Refusal::Directory(_) | Refusal::System(_) | Refusal::NoMemory);
            if fresh.as_ref().is_err_and(|refusal| !passes(refusal)) {
                self.judged.store(identity, Relaxed);
                self.trouble.store(0, Relaxed);
            }
            fresh.map(Some)
        });
        let trouble = found.as_ref().err().map_or(0, |refusal| refusal.to_word());
        let known = self.trouble.swap(trouble, Relaxed) == trouble;
        match found {
            Ok(fresh) => fresh.map(Ok),
            Err(_) if known => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}
