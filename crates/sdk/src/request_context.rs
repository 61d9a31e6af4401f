//! The methods of [`Context`] about the request: its caller, its headers and the options of its mount.

use strongroom_engine::mount_config::is_mount_option;

use crate::{Context, RequestCaller};

impl Context {
    /// Who sent the request. `None` in background work, and at the renewals and revocations that the
    /// host sends by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::{Context, Error, Response, ResponseData};
    ///
    /// #[derive(ResponseData)]
    /// struct WhoResponse {
    ///     address: String,
    /// }
    ///
    /// async fn who(context: Context, (): ()) -> Result<Response, Error> {
    ///     let address = context.caller().and_then(|caller| caller.remote_address());
    ///     let address = address.ok_or_else(|| Error::denied("the address is unknown"))?;
    ///     Ok(Response::data(&WhoResponse { address: address.to_string() }))
    /// }
    /// # let _ = who;
    /// ```
    pub fn caller(&self) -> Option<&RequestCaller> {
        self.request_info()?.caller.as_ref()
    }

    /// The first value of a request header; `None` if the request has none of this name, or the
    /// mount doesn't pass it through (`passthrough_request_headers`). The case of `name` doesn't
    /// matter. The value is the client's and may be a secret.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().map(String::as_str)
    }

    /// All values of a request header that the mount passes through, in the order of the request.
    pub fn header_values(&self, name: &str) -> &[String] {
        let name = name.to_ascii_lowercase();
        let found = self.request_info().and_then(|request| request.headers.0.get(&name));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of an option of the mount (`options` in `sys/mounts`), in background work too.
    /// `None` if the operator didn't set it, and for the settings that hosts add.
    pub fn mount_option(&self, name: &str) -> Option<&str> {
        let option = self.services().mount.config.get(name).map(String::as_str);
        option.filter(|_| is_mount_option(name))
    }

    /// The names and values of all options of the mount, sorted by name.
    pub fn mount_options(&self) -> impl Iterator<Item = (&str, &str)> {
        let options = self.services().mount.config.iter().filter(|(name, _)| is_mount_option(name));
        options.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
