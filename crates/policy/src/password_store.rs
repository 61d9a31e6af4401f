//! [`PasswordPolicies`]: the password policies of a server, a record each.

use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, View};
use strongroom_types::{ErrorKind, Secret};

use crate::password::{PasswordError, PasswordPolicy};

/// The password policies of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PasswordPolicies(View);

/// What is stored of one.
#[derive(Serialize, Deserialize)]
struct PasswordPolicyRecord {
    v: u8,
    text: String,
}

/// Why a password policy can't be used or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordStoreError {
    /// There is none of this name.
    #[error("policy does not exist")]
    Missing,
    /// The text is no password policy, or gives no password.
    #[error(transparent)]
    Policy(#[from] PasswordError),
    /// A name that can't be kept.
    #[error("the name of a password policy has at most {MAX_NAME_BYTES} bytes")]
    Name,
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl PasswordStoreError {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing => ErrorKind::NotFound,
            Self::Policy(PasswordError::Syntax(strongroom_hcl::ParseError::TooLong { .. })) => {
                ErrorKind::TooLarge
            }
            Self::Policy(_) | Self::Name => ErrorKind::Invalid,
            Self::Barrier(error) => error.kind(),
        }
    }
}

const MAX_NAME_BYTES: usize = 512;
const PAGE: usize = 256;

impl PasswordPolicies {
    /// Over its view. Reads nothing.
    pub fn new(view: View) -> Self {
        Self(view)
    }

    /// Writes a policy, once it has shown that it gives passwords.
    pub async fn put(&self, name: &str, text: &str) -> Result<(), PasswordStoreError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(PasswordStoreError::Name);
        }
        let policy = PasswordPolicy::parse(text, &**self.0.barrier().entropy())?;
        let mut batch = Batch::new();
        self.0.put_json(&mut batch, name, &PasswordPolicyRecord { v: 1, text: policy.text });
        self.0.commit(batch).await?;
        Ok(())
    }

    /// The text of a policy.
    pub async fn get(&self, name: &str) -> Result<String, PasswordStoreError> {
        let record: Option<PasswordPolicyRecord> = self.0.get_json(name).await?;
        Ok(record.ok_or(PasswordStoreError::Missing)?.text)
    }

    /// A password after the rules of a policy.
    pub async fn generate(&self, name: &str) -> Result<Secret<String>, PasswordStoreError> {
        let policy = PasswordPolicy::parse_stored(&self.get(name).await?)?;
        Ok(policy.generate(&**self.0.barrier().entropy())?)
    }

    /// Removes a policy, if it is there.
    pub async fn delete(&self, name: &str) -> Result<(), PasswordStoreError> {
        let mut batch = Batch::new();
        self.0.delete(&mut batch, name);
        self.0.commit(batch).await?;
        Ok(())
    }

    /// All names, sorted.
    pub async fn names(&self) -> Result<Vec<String>, PasswordStoreError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = self.0.list_keys("", names.last().map(String::as_str), PAGE).await?;
            let last = page.len() < PAGE;
            names.extend(page);
            if last {
                return Ok(names);
            }
        }
    }
}
