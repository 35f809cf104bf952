//! The store that snapshots go to: claimed and made when the first one is wanted, where it is not there from the start on; and
//! changes of its manifest, one after the other.

use std::sync::Arc;

use pinyon_durability::{Manifest, recovery};

use super::control::Change;
use crate::core::{Core, Io};
use crate::log::{Claim, claim_empty, folder_of, new_id};

impl Core {
    /// Calls `then` when there is a store, on the first core.
    pub(crate) fn with_store(
        &mut self,
        io: &mut Io,
        then: impl FnOnce(&mut Core, &mut Io, Result<(), String>) + Send + 'static,
    ) {
        if self.saves.manifest.is_some() {
            return then(self, io, Ok(()));
        }
        let start = |_: &mut Core, io: &mut Io| io.start_storage().map_err(|error| error.to_string());
        self.gather_all(io, start, |core, io, started: Vec<Result<(), String>>| {
            match started.into_iter().find_map(Result::err) {
                Some(why) => then(core, io, Err(why)),
                None => core.make_store(io, then),
            }
        });
    }

    fn make_store(&mut self, io: &mut Io, then: impl FnOnce(&mut Core, &mut Io, Result<(), String>) + Send + 'static) {
        let folder = folder_of(&self.config);
        let make = move |_: &_| -> Result<(Claim, Manifest), String> {
            let claim = claim_empty(&folder).map_err(|error| error.to_string())?;
            let store = recovery::create(claim.disk, new_id()).map_err(|error| error.to_string())?;
            Ok((claim, store.manifest().clone()))
        };
        self.help(io, make, |core, io, made| match made {
            Ok((claim, manifest)) => {
                let disk = claim.disk;
                core.saves.claims.push(claim);
                core.saves.manifest = Some(Arc::new(manifest));
                let know = move |core: &mut Core, _: &mut Io| core.store = Some(disk);
                core.gather_all(io, know, |core, io, _| then(core, io, Ok(())));
            }
            Err(why) => then(core, io, Err(why)),
        });
    }

    /// Snapshots go to another folder from now on (`dir`), where none is yet.
    pub(crate) fn leave_store(&mut self) {
        self.saves.manifest = None;
    }

    /// Has the manifest changed by `change` when nobody else changes it.
    pub(crate) fn change_manifest(&mut self, io: &mut Io, change: impl FnOnce(&mut Core, &mut Io) + 'static) {
        if self.saves.changing {
            self.saves.changes.push_back(Box::new(change));
        } else {
            self.saves.changing = true;
            change(self, io);
        }
    }

    /// A change of the manifest has come to its end. None: it has failed, or there was nothing to change.
    pub(crate) fn manifest_changed(&mut self, io: &mut Io, manifest: Option<Arc<Manifest>>) {
        if manifest.is_some() {
            self.saves.manifest = manifest;
        }
        let next: Option<Change> = self.saves.changes.pop_front();
        self.saves.changing = next.is_some();
        if let Some(next) = next {
            next(self, io);
        }
    }
}
