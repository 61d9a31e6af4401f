//! The codes of a key: generating the current one, and validating one.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_sdk::records::{RecordChange, RecordKey};
use strongroom_sdk::totp::{CodeCheck, TotpKey};
use strongroom_sdk::*;

use crate::key::{KeyDocument, read_steps, used_steps_record};

/// Which key.
#[derive(Input)]
pub(crate) struct KeyName {
    /// Name of the key; taken from the path.
    name: String,
}

/// The current code of a key.
#[derive(ResponseData)]
struct CurrentCode {
    /// The code.
    code: Secret<String>,
    /// When the code was generated, in seconds since 1970.
    generated: i64,
    /// When the next code becomes current, in seconds since 1970.
    expire_time: i64,
    /// How long a code is current.
    period: String,
}

/// Computes the current code, as an authenticator app does.
pub(crate) async fn generate(context: Context, input: KeyName) -> Result<Response, Error> {
    let document = context.documents().get::<KeyDocument>(&[&input.name]).await?;
    let key = document.ok_or_else(|| unknown_key(&input.name))?.totp_key()?;
    let (now, period) = (context.now(), key.parameters().period_secs);
    let step = key.step_at(now);
    let end = step.saturating_add(1).saturating_mul(period);
    Ok(Response::unleased_secret(&CurrentCode {
        code: key.code_of_step(step),
        generated: now.as_secs(),
        expire_time: i64::try_from(end).unwrap_or(i64::MAX),
        period: go_duration(period),
    }))
}

/// The code to validate.
#[derive(Input)]
pub(crate) struct GivenCode {
    /// Name of the key; taken from the path.
    name: String,
    /// The code.
    code: Option<Secret<String>>,
}

/// Whether a code is valid.
#[derive(ResponseData)]
struct Validity {
    /// Whether the code is the key's, now or within the skew.
    valid: bool,
}

/// Validates a code. What a valid code is recorded in is read and written in one step, so that of
/// several requests with one code only one finds it valid, also after a crash.
pub(crate) async fn validate(context: Context, input: GivenCode) -> Result<Response, Error> {
    let GivenCode { name, code } = input;
    let document = context.documents().get::<KeyDocument>(&[&name]).await?;
    let key = document.ok_or_else(|| unknown_key(&name))?.totp_key()?;
    let code = code.ok_or_else(|| Error::user("the code value is required"))?;
    if u32::try_from(code.expose_secret().len()) != Ok(key.parameters().digits) {
        return Err(Error::user("invalid number of digits for the code"));
    }
    let now = context.now();
    // A wrong code is answered without a write, and doesn't wait for other requests.
    let valid = match key.check_code(code.expose_secret(), now, &[]) {
        CodeCheck::Wrong => false,
        CodeCheck::Valid { .. } | CodeCheck::AlreadyUsed => {
            let (record, given) = (used_steps_record(&name), Arc::new((key, code)));
            let target = record.clone();
            let accept = move |seen: Option<Bytes>| {
                let (given, target) = (given.clone(), target.clone());
                async move { accept_code(&given.0, &given.1, now, seen.as_deref(), target) }
            };
            context.records().change(record, accept).await?
        }
    };
    Ok(Response::data(&Validity { valid }))
}

/// Checks a code against the recorded periods, and records its own.
fn accept_code(
    key: &TotpKey,
    code: &Secret<String>,
    now: Timestamp,
    recorded: Option<&[u8]>,
    record: RecordKey,
) -> Result<RecordChange<bool>, Error> {
    let mut used = read_steps(recorded);
    match key.check_code(code.expose_secret(), now, &used) {
        CodeCheck::Valid { step } => {
            key.record_step(&mut used, step, now);
            let bytes: Vec<u8> = used.into_iter().flat_map(u64::to_le_bytes).collect();
            Ok(RecordChange::returning(true).put(record, bytes))
        }
        CodeCheck::Wrong => Ok(RecordChange::returning(false)),
        CodeCheck::AlreadyUsed => {
            Err(Error::user("code already used; wait until the next time period"))
        }
    }
}

/// A duration as Go prints it, such as `30s` or `1m30s`.
fn go_duration(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{secs}s"),
        (0, _) => format!("{minutes}m{secs}s"),
        _ => format!("{hours}h{minutes}m{secs}s"),
    }
}

fn unknown_key(name: &str) -> Error {
    Error::user(format!("unknown key: {name}"))
}
