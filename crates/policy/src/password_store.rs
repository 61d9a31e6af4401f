//! [`PasswordPolicies`]: the password policies of a server, one record each.

use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, View};
use strongroom_types::{ErrorKind, Secret};

use crate::password::{PasswordError, PasswordPolicy};

/// Stores password policies and generates passwords from them. Cheap to clone. Each policy is a
/// record of its own, under its name in the view.
#[derive(Clone, Debug)]
pub struct PasswordPolicies(View);

/// The stored form of a password policy.
#[derive(Serialize, Deserialize)]
struct PasswordPolicyRecord {
    v: u8,
    text: String,
}

/// Why an operation on password policies failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordStoreError {
    /// There is no password policy with this name.
    #[error("policy does not exist")]
    Missing,
    /// The text isn't a valid password policy, or no password could be generated from it.
    #[error(transparent)]
    Policy(#[from] PasswordError),
    /// The name is empty or too long.
    #[error("the name of a password policy has at most {MAX_NAME_BYTES} bytes")]
    Name,
    /// An error of the barrier or the store below it.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl PasswordStoreError {
    /// The category of the failure, which determines the HTTP status code. A missing policy is
    /// `NotFound`; a text that is too long, `TooLarge`.
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

impl PasswordPolicies {
    /// Creates the store over the view that holds the password policies. Reads nothing. The keys
    /// below its prefix are the policies' names.
    pub fn new(view: View) -> Self {
        Self(view)
    }

    /// Writes a policy after checking that passwords can be generated from it.
    ///
    /// # Errors
    ///
    /// If the name or the text is invalid, or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A write that has begun completes even if the future is dropped.
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

    /// The text of the policy with this name.
    ///
    /// # Errors
    ///
    /// [`PasswordStoreError::Missing`] if there is none, or the error of the barrier.
    pub async fn get(&self, name: &str) -> Result<String, PasswordStoreError> {
        let record: Option<PasswordPolicyRecord> = self.0.get_json(name).await?;
        Ok(record.ok_or(PasswordStoreError::Missing)?.text)
    }

    /// Generates a password that meets the rules of the policy with this name.
    ///
    /// # Errors
    ///
    /// [`PasswordStoreError::Missing`] if there is none, [`PasswordError::Impossible`] if no
    /// candidate met its rules, or the error of the barrier.
    pub async fn generate(&self, name: &str) -> Result<Secret<String>, PasswordStoreError> {
        let policy = PasswordPolicy::parse_stored(&self.get(name).await?)?;
        Ok(policy.generate(&**self.0.barrier().entropy())?)
    }

    /// Deletes a policy; does nothing if it doesn't exist.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A write that has begun completes even if the future is dropped.
    pub async fn delete(&self, name: &str) -> Result<(), PasswordStoreError> {
        let mut batch = Batch::new();
        self.0.delete(&mut batch, name);
        self.0.commit(batch).await?;
        Ok(())
    }

    /// The names of all password policies, sorted.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn names(&self) -> Result<Vec<String>, PasswordStoreError> {
        let mut names: Vec<String> = Vec::new();
        let mut pages = self.0.key_pages("");
        while let Some(page) = pages.next_page().await? {
            names.extend(page);
        }
        Ok(names)
    }
}
