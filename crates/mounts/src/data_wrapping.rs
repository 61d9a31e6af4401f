//! [`DataWrapper`]: how engines have data wrapped, by a service that is built after the mounts.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use strongroom_engine::{MountInfo, SystemError, WrappingToken};
use strongroom_types::{RawObject, Ttl};

/// Stores data for the holder of a new wrapping token.
#[async_trait]
pub trait DataWrapper: Send + Sync + fmt::Debug {
    /// Wraps the data for at most `ttl`, on behalf of the engine of a mount. The token ends with the
    /// mount.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the token or the data can't be stored.
    ///
    /// # Cancel safety
    ///
    /// The data may be wrapped even if the future is dropped; nobody then has the token, and it
    /// expires.
    async fn wrap_data(
        &self,
        mount: &MountInfo,
        data: RawObject,
        ttl: Ttl,
    ) -> Result<WrappingToken, SystemError>;
}

/// The [`DataWrapper`] of an unsealed server, set once it exists. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct DataWrapperCell(Arc<OnceLock<Weak<dyn DataWrapper>>>);

impl DataWrapperCell {
    /// Sets the wrapper. It is held weakly, because the engines that use it are part of what it
    /// uses. Only the first call has an effect.
    pub fn set(&self, wrapper: &Arc<impl DataWrapper + 'static>) {
        let wrapper: Arc<dyn DataWrapper> = wrapper.clone();
        let _ = self.0.set(Arc::downgrade(&wrapper));
    }

    /// The wrapper.
    ///
    /// # Errors
    ///
    /// [`SystemError`] while the server is being unsealed, and once it is sealed.
    pub(crate) fn get(&self) -> Result<Arc<dyn DataWrapper>, SystemError> {
        let wrapper = self.0.get().and_then(Weak::upgrade);
        wrapper.ok_or_else(|| SystemError("the server is being unsealed or sealed".to_owned()))
    }
}
