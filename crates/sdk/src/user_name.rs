//! [`check_user_name`]: names of accounts that every request can carry.

/// For `#[field(check = check_user_name)]`: checks that a request can authenticate with a user name
/// (HTTP's basic authentication separates name and password by a colon) and have it in its path.
///
/// ```
/// use strongroom_sdk::check_user_name;
///
/// assert!(check_user_name("jane@example.com").is_ok());
/// assert!(check_user_name("jane:doe").is_err());
/// ```
///
/// # Errors
///
/// A message for the client if the name is empty, `.` or `..`, or contains a colon or a control
/// character.
pub fn check_user_name(name: &str) -> Result<(), String> {
    match name {
        "" | "." | ".." => Err("username must not be empty or made of dots".to_owned()),
        name if name.contains(':') => Err("username must not contain a colon".to_owned()),
        name if name.contains(char::is_control) => {
            Err("username must not contain control characters".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_a_segment_of_a_path_and_has_no_colon() {
        for good in ["jane", "jane@example.com", "a/b", "...", "ü"] {
            assert!(check_user_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a:b", "a\nb"] {
            assert!(check_user_name(bad).is_err(), "{bad}");
        }
    }
}
