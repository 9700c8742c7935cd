//! Changing what is in the cluster.

use anyhow::{Result, bail, ensure};

use super::Lab;
use crate::protocol::{Applied, Change, ObjectReference, Reply, Request};

impl Lab {
    /// Creates or changes the objects of `manifests`.
    ///
    /// # Errors
    /// When the text does not parse or an object is rejected; the others are taken over.
    pub fn apply(&self, manifests: &str) -> Result<Applied> {
        let applied = self.apply_leniently(manifests)?;
        if applied.rejected.is_empty() {
            return Ok(applied);
        }
        bail!("rejected: {}", applied.rejected.join("; "))
    }

    /// As [`Lab::apply`], with rejected objects in the answer.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn apply_leniently(&self, manifests: &str) -> Result<Applied> {
        self.applied(Change::Apply { manifests: manifests.to_owned() })
    }

    /// Deletes the objects of `manifests`.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn delete(&self, manifests: &str) -> Result<Applied> {
        self.applied(Change::Delete { manifests: manifests.to_owned() })
    }

    fn applied(&self, change: Change) -> Result<Applied> {
        let reply = self.request(&Request::Change(change))?;
        let Reply::Applied(applied) = reply else { bail!("unexpected answer {reply:?}") };
        Ok(applied)
    }

    /// Deletes one object, named as kubectl would: `pod/web-0`, `svc/shop/web`.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn delete_object(&self, object: &str) -> Result<()> {
        self.done(Change::DeleteObject(object.parse()?))
    }

    /// Deletes a pod: it terminates within its grace period, and its workload replaces it.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn delete_pod(&self, pod: &str) -> Result<()> {
        let name = pod.parse()?;
        self.done(Change::DeleteObject(ObjectReference { kind: "pod".to_owned(), name }))
    }

    /// Sets the replicas of a workload, named as kubectl would: `statefulset/myapp`.
    ///
    /// # Errors
    /// When there is no such workload.
    pub fn scale(&self, workload: &str, replicas: u32) -> Result<()> {
        self.done(Change::Scale { workload: workload.parse()?, replicas })
    }

    /// Makes the pod `NAME` or `NAMESPACE/NAME` fail its readiness.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn unready(&self, pod: &str) -> Result<()> {
        self.done(Change::SetReady { pod: pod.parse()?, ready: false })
    }

    /// Makes the pod `NAME` or `NAMESPACE/NAME` pass its readiness again.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn ready(&self, pod: &str) -> Result<()> {
        self.done(Change::SetReady { pod: pod.parse()?, ready: true })
    }

    /// Asks for a change that has no answer but success.
    pub(super) fn done(&self, change: Change) -> Result<()> {
        let reply = self.request(&Request::Change(change))?;
        ensure!(reply == Reply::Done, "unexpected answer {reply:?}");
        Ok(())
    }
}
