//! [`FreeForm`]: documents without declared fields, for engines such as KV. The client's JSON
//! object is stored and returned unchanged; numbers keep their digits.

use memchr::memmem::Finder;
use strongroom_engine::{
    DataResponse, EngineError, EngineRequest, EngineResponse, Operation, StatusKind, StorageBatch,
};
use strongroom_schema::field::{DurationSecs, Field};
use strongroom_types::{Fields, RawObject, Ttl};

use crate::Error;
use crate::context::InstanceServices;
use crate::records::check_name;

/// Options of free-form documents; see [`Blueprint::free_form`](crate::Blueprint::free_form).
#[derive(Clone, Debug, Default)]
pub struct FreeForm {
    /// The field names, each with a prebuilt searcher for the name.
    refresh_fields: Vec<(&'static str, Finder<'static>)>,
}

impl FreeForm {
    /// Free-form documents with default options: responses to reads contain the mount's default
    /// lifetime.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the fields that suggest to readers when to read again (`lease_duration` of the
    /// response): the first of these fields that the document contains, if it is a duration,
    /// otherwise the mount's default lifetime.
    #[must_use]
    pub fn refresh_from(mut self, fields: &'static [&'static str]) -> Self {
        self.refresh_fields = fields.iter().map(|name| (*name, Finder::new(name))).collect();
        self
    }

    pub(crate) async fn exists(
        &self,
        services: &InstanceServices,
        key: &str,
    ) -> Result<bool, EngineError> {
        if check_name(key).is_err() {
            // The write itself will report the invalid name.
            return Ok(false);
        }
        let stored = services.mount.storage.get(key).await.map_err(Error::from)?;
        Ok(stored.is_some())
    }

    pub(crate) async fn handle(
        &self,
        services: &InstanceServices,
        key: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let storage = &services.mount.storage;
        match request.operation {
            Operation::Create | Operation::Update => {
                check_name(key)?;
                if request.fields.is_empty() {
                    return Err(EngineError::user("missing data fields"));
                }
                let object = request.fields.to_object().into_bytes();
                let write = StorageBatch::put(key, object, false);
                storage.commit(write).await.map_err(Error::from)?;
                Ok(EngineResponse::Nothing)
            }
            Operation::Read | Operation::Delete if check_name(key).is_err() => {
                Ok(EngineResponse::Nothing)
            }
            Operation::Read => {
                let Some(stored) = storage.get(key).await.map_err(Error::from)? else {
                    return Ok(EngineResponse::Nothing);
                };
                let object = RawObject::from_own_json(stored.value);
                let refresh = Some(self.refresh_ttl(services, &object).await?);
                Ok(EngineResponse::Data(DataResponse { refresh, ..DataResponse::new(object) }))
            }
            Operation::Delete => {
                storage.commit(StorageBatch::delete(key)).await.map_err(Error::from)?;
                Ok(EngineResponse::Nothing)
            }
            _ => Err(EngineError::Status(StatusKind::UnsupportedOperation)),
        }
    }

    async fn refresh_ttl(
        &self,
        services: &InstanceServices,
        object: &RawObject,
    ) -> Result<Ttl, EngineError> {
        // Parse the document only if it contains one of the names.
        if self.refresh_fields.iter().any(|(_, finder)| finder.find(object.as_bytes()).is_some()) {
            let fields: Fields = object.fields();
            let given = self.refresh_fields.iter().find_map(|(name, _)| fields.get(name));
            if let Some(ttl) = given.and_then(|raw| DurationSecs::read(raw).ok()) {
                return Ok(ttl.0);
            }
        }
        let lifetimes = services.mount.system.lifetimes().await.map_err(Error::from)?;
        Ok(lifetimes.default)
    }
}
