//! [`KeyDocument`]: a stored key, and how a write generates or imports one.

use data_encoding::BASE64;
use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete, DocumentWrite, WriteHook};
use strongroom_sdk::records::RecordKey;
use strongroom_sdk::totp::{
    InvalidTotpKey, OtpauthUri, TotpAlgorithm, TotpKey, TotpParameters, qr_code_png,
};
use strongroom_sdk::*;

/// The hash function of the codes.
#[derive(Clone, Copy, FieldChoice)]
pub(crate) enum Algorithm {
    #[choice(rename = "SHA1")]
    Sha1,
    #[choice(rename = "SHA256")]
    Sha256,
    #[choice(rename = "SHA512")]
    Sha512,
}

/// A key, and how its codes are computed.
#[derive(Document)]
#[document(path = "keys/{name@}", seal_wrap, replace, WriteHook, DeleteHook)]
pub(crate) struct KeyDocument {
    /// The key that is imported, in base32. Never shown.
    key: Option<Secret<String>>,
    /// The organisation that issued the key; required with generate.
    issuer: String,
    /// The account that the key belongs to; required with generate.
    account_name: String,
    /// How long a code is current.
    #[field(default = "30")]
    period: DurationSecs,
    /// The hash function of the codes.
    #[field(default = "SHA1")]
    algorithm: Algorithm,
    /// The number of digits of a code: 6 or 8.
    #[field(default = "6")]
    digits: i64,
    /// How many periods before and after the current one a code is accepted: 0 or 1.
    #[field(default = "1", hidden)]
    skew: i64,
}

/// What a write of a key takes beside the stored fields.
#[derive(Input)]
pub(crate) struct KeyInput {
    /// Whether the engine generates the key. Otherwise key or url contains it.
    generate: bool,
    /// Whether the response to generate contains the key, as a URL and a QR code.
    #[field(default = "true")]
    exported: bool,
    /// The number of bytes of a generated key.
    #[field(default = "20")]
    key_size: i64,
    /// The width of the QR code in pixels; 0 for none.
    #[field(default = "200")]
    qr_size: i64,
    /// An otpauth URL with the key and its parameters, which replace the fields of the write.
    url: Option<Secret<String>>,
}

/// A generated key, in the forms that authenticator apps read.
#[derive(ResponseData)]
struct ExportedKey {
    /// The key and its parameters, as an otpauth URL.
    url: Secret<String>,
    /// The same as a QR code: a PNG image, in base64.
    barcode: Option<Secret<String>>,
}

impl WriteHook for KeyDocument {
    type Input = KeyInput;

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: KeyInput,
    ) -> Result<(), Error> {
        let used = write.read_record(&used_steps_record(write.name())).await?;
        if input.generate {
            write.delete_record(used);
            return self.generate(write, &input);
        }
        if let Some(url) = &input.url {
            self.set_from_url(url)?;
        }
        self.check_parameters(&input)?;
        let key = self.totp_key()?;
        // The same key keeps its used codes. Without a stored key they may be those of a key that was
        // deleted a moment ago, and is imported again.
        let stored = write.stored().and_then(|stored| stored.totp_key().ok());
        if stored.is_some_and(|stored| !stored.has_codes_of(&key)) {
            write.delete_record(used);
        }
        Ok(())
    }
}

impl DeleteHook for KeyDocument {
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        let used = delete.read_record(&used_steps_record(delete.name())).await?;
        let now = delete.context().now();
        let accepts = |key: TotpKey| key.accepts_any_step(&read_steps(used.value()), now);
        // A code that was used just now stays used if the same key is imported again.
        if !self.totp_key().is_ok_and(accepts) {
            delete.delete_record(used);
        }
        Ok(())
    }
}

impl KeyDocument {
    fn generate(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: &KeyInput,
    ) -> Result<(), Error> {
        if self.key.is_some() {
            return Err(Error::user("a key should not be passed if generate is true"));
        }
        if input.url.is_some() {
            return Err(Error::user("a url should not be passed if generate is true"));
        }
        let size = self.check_parameters(input)?;
        for (name, value) in [("account_name", &self.account_name), ("issuer", &self.issuer)] {
            if value.is_empty() {
                return Err(Error::user(format!(
                    "the {name} value is required for generated keys"
                )));
            }
        }
        let key = TotpKey::generate(write.context().entropy(), size);
        if input.exported {
            write.respond_with_unleased_secret(&self.export(&key, input)?);
        }
        self.key = Some(key);
        Ok(())
    }

    /// The response to a write that generated a key.
    fn export(&self, key: &Secret<String>, input: &KeyInput) -> Result<ExportedKey, Error> {
        let uri = OtpauthUri {
            issuer: self.issuer.clone(),
            account_name: self.account_name.clone(),
            key: Secret::from_text(key.expose_secret()),
            parameters: self.parameters()?,
        };
        let url = uri.to_text();
        let pixels = u32::try_from(input.qr_size).unwrap_or(u32::MAX);
        let encode = |image: Secret<Vec<u8>>| Secret::new(BASE64.encode(image.expose_secret()));
        let image = (pixels > 0).then(|| qr_code_png(&url, pixels)).transpose();
        let barcode = image.map_err(|error| Error::user(error.to_string()))?.map(encode);
        Ok(ExportedKey { url, barcode })
    }

    fn set_from_url(&mut self, url: &Secret<String>) -> Result<(), Error> {
        let invalid = |error: String| Error::user(error);
        let uri = OtpauthUri::parse(url.expose_secret(), self.parameters()?)
            .map_err(|error| invalid(error.to_string()))?;
        let OtpauthUri { issuer, account_name, key, parameters } = uri;
        if !issuer.is_empty() {
            self.issuer = issuer;
        }
        self.account_name = account_name;
        self.key = Some(key);
        self.algorithm = match parameters.algorithm {
            TotpAlgorithm::Sha1 => Algorithm::Sha1,
            TotpAlgorithm::Sha256 => Algorithm::Sha256,
            TotpAlgorithm::Sha512 => Algorithm::Sha512,
        };
        self.digits = parameters.digits.into();
        self.period = DurationSecs(Ttl::from_secs(parameters.period_secs));
        Ok(())
    }

    /// Checks the parameters of the key and of the write. Returns the size of a generated key.
    fn check_parameters(&self, input: &KeyInput) -> Result<usize, Error> {
        self.parameters()?.check().map_err(key_error)?;
        if input.qr_size < 0 {
            return Err(Error::user("the qr_size value must be greater than or equal to zero"));
        }
        match usize::try_from(input.key_size) {
            Ok(0) | Err(_) => Err(Error::user("the key_size value must be greater than zero")),
            Ok(size) if size > TotpKey::MAX_BYTES => Err(key_error(InvalidTotpKey::Size)),
            Ok(size) => Ok(size),
        }
    }

    fn parameters(&self) -> Result<TotpParameters, Error> {
        let invalid = |_| InvalidTotpKey::Digits;
        Ok(TotpParameters {
            algorithm: match self.algorithm {
                Algorithm::Sha1 => TotpAlgorithm::Sha1,
                Algorithm::Sha256 => TotpAlgorithm::Sha256,
                Algorithm::Sha512 => TotpAlgorithm::Sha512,
            },
            digits: u32::try_from(self.digits).map_err(invalid).map_err(key_error)?,
            period_secs: self.period.0.as_secs(),
            skew: u64::try_from(self.skew).map_err(|_| key_error(InvalidTotpKey::Skew))?,
        })
    }

    /// The key with its parameters.
    ///
    /// # Errors
    ///
    /// A user error if there is no key, or what is wrong with it.
    pub(crate) fn totp_key(&self) -> Result<TotpKey, Error> {
        let missing = || Error::user("the key value is required");
        let key = self.key.as_ref().filter(|key| !key.expose_secret().is_empty());
        TotpKey::from_base32(key.ok_or_else(missing)?, self.parameters()?).map_err(key_error)
    }
}

/// Where the periods are recorded whose codes were accepted.
pub(crate) fn used_steps_record(name: &str) -> RecordKey {
    RecordKey::new("used", name)
}

/// The periods in a record.
pub(crate) fn read_steps(recorded: Option<&[u8]>) -> Vec<u64> {
    let (numbers, _) = recorded.unwrap_or_default().as_chunks();
    numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

fn key_error(error: InvalidTotpKey) -> Error {
    Error::user(error.to_string())
}
