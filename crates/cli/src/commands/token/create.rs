//! `token create`

use clap::Args;
use strongroom_client::token::TokenRequest;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{
    DurationSeconds, FieldFlag, FormatFlag, HttpFlags, parse_duration, parse_name_value,
};

/// Make a token, as a child of the one that is used
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom token create -policy=my-app -ttl=1h")]
pub(crate) struct TokenCreate {
    /// The token itself; by default the server draws one. Needs sudo
    #[arg(long, value_name = "TOKEN", default_value = "")]
    id: String,
    /// Name for people
    #[arg(long, value_name = "NAME", default_value = "")]
    display_name: String,
    /// How long it lasts
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<DurationSeconds>,
    /// What no renewal gets past
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    explicit_max_ttl: Option<DurationSeconds>,
    /// How long it lasts after every renewal, without an end. Needs sudo
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    period: Option<DurationSeconds>,
    /// Whether it can be renewed
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "BOOL", hide_possible_values = true, action = clap::ArgAction::Set)]
    renewable: bool,
    /// Give it no parent, so that it outlives the token that makes it. Needs sudo
    #[arg(long)]
    orphan: bool,
    /// Leave the policy "default" out
    #[arg(long)]
    no_default_policy: bool,
    /// How often it can be used
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    use_limit: u32,
    /// Token role whose rules apply
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// service or batch
    #[arg(long, value_name = "TYPE", default_value = "service")]
    r#type: String,
    /// What to remember with it; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_name_value)]
    metadata: Vec<(String, String)>,
    /// Policy; repeatable. By default those of the token that is used
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Alias of the entity it is for. Only with a role
    #[arg(long, value_name = "NAME", default_value = "")]
    entity_alias: String,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl TokenCreate {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let api = |duration: Option<DurationSeconds>| {
            duration.and_then(DurationSeconds::to_api_literal).unwrap_or_default()
        };
        let is_batch = self.r#type == "batch";
        let request = TokenRequest {
            id: self.id,
            policies: self.policy.iter().map(|name| name.trim().to_owned()).collect(),
            meta: self.metadata.into_iter().collect(),
            ttl: api(self.ttl),
            explicit_max_ttl: api(self.explicit_max_ttl),
            period: api(self.period),
            no_parent: self.orphan,
            no_default_policy: self.no_default_policy,
            display_name: self.display_name,
            num_uses: self.use_limit,
            renewable: Some(self.renewable && !is_batch),
            kind: self.r#type,
            entity_alias: self.entity_alias,
        };
        let role = self.role.filter(|role| !role.is_empty());
        let answer = client.create_token(&request, role.as_deref()).await;
        let answer = answer.map_err(CliError::from_api("Error creating token"))?;
        context.printer.print_response_or_field(&answer, self.field.name())
    }
}
