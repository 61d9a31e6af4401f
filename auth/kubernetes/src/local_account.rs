//! [`LocalAccount`]: the service account that the server's own pod runs with.

use std::path::{Path, PathBuf};

use strongroom_sdk::{Error, Secret};
use tokio::io::AsyncReadExt;

/// The maximum size of a token or a bundle of certificates, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The folder that Kubernetes mounts into a pod. Its files are read at each use: the kubelet replaces the
/// token before it expires, and the certificates when the authority changes.
pub(crate) struct LocalAccount {
    folder: PathBuf,
}

impl LocalAccount {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The token of the pod's service account; `None` outside of a pod.
    pub(crate) async fn token(&self) -> Result<Option<Secret<String>>, Error> {
        let text = self.read("token").await?;
        Ok(text
            .map(|text| Secret::from_text(text.trim()))
            .filter(|it| !it.expose_secret().is_empty()))
    }

    /// The certificates in PEM of the cluster's authorities; `None` outside of a pod.
    pub(crate) async fn ca_cert(&self) -> Result<Option<String>, Error> {
        self.read("ca.crt").await
    }

    async fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let unreadable = || {
            Error::internal(format!("the file {name} of the pod's service account can't be read"))
        };
        let file = match tokio::fs::File::open(self.folder.join(name)).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(unreadable()),
        };
        let (mut text, mut limited) = (String::new(), file.take(MAX_FILE_BYTES + 1));
        let read = limited.read_to_string(&mut text).await.map_err(|_| unreadable())?;
        match u64::try_from(read).is_ok_and(|read| read <= MAX_FILE_BYTES) {
            true => Ok(Some(text)),
            false => Err(unreadable()),
        }
    }
}
