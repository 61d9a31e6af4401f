//! [`RotationFields`]: what a static role says about the rotation of its password.

use std::time::Duration;

use strongroom_types::{Timestamp, Ttl};

use super::schedule::RotationSchedule;
use crate::{DurationSecs, FieldGroup};

/// The fields with which a static role declares when its password is rotated; a document embeds them
/// with `#[field(embed)]`. Names and meaning are those of Vault's static roles.
#[derive(Clone, Debug, FieldGroup)]
#[document(validate = validate_rotation)]
pub struct RotationFields {
    /// Time between two rotations of the password, at least 5s. Can't be combined with
    /// rotation_schedule.
    pub rotation_period: DurationSecs,
    /// Times at which the password is rotated, as the five fields of a cron expression in UTC. Can't
    /// be combined with rotation_period.
    pub rotation_schedule: Option<RotationSchedule>,
    /// How long after a time of rotation_schedule the rotation may begin, at least 1h. A rotation that
    /// can't begin in this window waits for the next scheduled time. 0 for no limit.
    pub rotation_window: DurationSecs,
}

const MIN_PERIOD: Ttl = Ttl::from_secs(5);
const MIN_WINDOW: Ttl = Ttl::from_secs(3600);

fn validate_rotation(fields: &RotationFields) -> Result<(), String> {
    let (period, window) = (fields.rotation_period.0, fields.rotation_window.0);
    match (period.is_zero(), &fields.rotation_schedule) {
        (true, None) => {
            return Err("one of rotation_period and rotation_schedule must be set".to_owned());
        }
        (false, Some(_)) => {
            return Err("only one of rotation_period and rotation_schedule can be set".to_owned());
        }
        (false, None) if period < MIN_PERIOD => {
            return Err("rotation_period must be at least 5s".to_owned());
        }
        _ => {}
    }
    if !window.is_zero() && fields.rotation_schedule.is_none() {
        return Err("rotation_window needs a rotation_schedule".to_owned());
    }
    if !window.is_zero() && window < MIN_WINDOW {
        return Err("rotation_window must be at least 1h".to_owned());
    }
    Ok(())
}

impl RotationFields {
    /// When the password is to be rotated next, if it was rotated at `last`.
    pub(super) fn next_rotation(&self, last: Timestamp) -> Timestamp {
        match &self.rotation_schedule {
            Some(schedule) => schedule.next_after(last).unwrap_or(Timestamp::FAR_FUTURE),
            None => last.plus(self.rotation_period.0.as_duration()),
        }
    }

    /// When a rotation that was to begin at `planned` must have begun; `None` without a window.
    pub(super) fn latest_start(&self, planned: Timestamp) -> Option<Timestamp> {
        let window: Duration = self.rotation_window.0.as_duration();
        (!window.is_zero()).then(|| planned.plus(window))
    }
}
