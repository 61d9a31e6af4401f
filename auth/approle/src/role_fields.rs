//! The paths of single fields of a role, such as `role/:role_name/policies`.

use strongroom_sdk::document_part::DocumentPart;
use strongroom_sdk::*;

use crate::network_list::NetworkList;
use crate::role::Role;

/// Which role.
#[derive(Input)]
struct RoleInput {
    /// Name of the role; taken from the path.
    role_name: String,
}

/// The id of a role.
#[derive(ResponseData)]
struct RoleIdResponse {
    role_id: String,
}

/// The networks under the older name of the field.
#[derive(ResponseData)]
struct BoundCidrList {
    bound_cidr_list: NetworkList,
}

/// A path, its help, and the field that is read, written and reset there.
type FieldPath = (&'static str, &'static str, &'static [&'static str]);

const FIELD_PATHS: [FieldPath; 11] = [
    ("role/{role_name}/policies", "The policies of the role's tokens.", &["token_policies"]),
    ("role/{role_name}/token-ttl", "The lifetime of the role's tokens.", &["token_ttl"]),
    (
        "role/{role_name}/token-max-ttl",
        "The maximum lifetime of the role's tokens.",
        &["token_max_ttl"],
    ),
    (
        "role/{role_name}/token-num-uses",
        "How many requests the role's tokens may make.",
        &["token_num_uses"],
    ),
    (
        "role/{role_name}/token-bound-cidrs",
        "The networks from which the role's tokens may be used.",
        &["token_bound_cidrs"],
    ),
    ("role/{role_name}/period", "The period of the role's tokens.", &["token_period"]),
    ("role/{role_name}/bind-secret-id", "Whether a login needs a secret id.", &["bind_secret_id"]),
    (
        "role/{role_name}/secret-id-num-uses",
        "How many logins the role's secret ids are good for.",
        &["secret_id_num_uses"],
    ),
    (
        "role/{role_name}/secret-id-ttl",
        "How long the role's secret ids are valid.",
        &["secret_id_ttl"],
    ),
    (
        "role/{role_name}/secret-id-bound-cidrs",
        "The networks from which clients may log in.",
        &["secret_id_bound_cidrs"],
    ),
    (BOUND_CIDR_LIST, "Deprecated: use secret-id-bound-cidrs.", &["bound_cidr_list"]),
];

const BOUND_CIDR_LIST: &str = "role/{role_name}/bound-cidr-list";
const ROLE_ID: &str = "role/{role_name}/role-id";

/// Declares the paths.
pub(crate) fn declare(method: Blueprint) -> Blueprint {
    let declare_field = |method: Blueprint, (path, help, fields): FieldPath| {
        let part = DocumentPart::of::<Role>(fields).read().write().reset();
        method.document_part(path, help, part).folds_case()
    };
    let method = FIELD_PATHS.into_iter().fold(method, declare_field);
    let local = DocumentPart::of::<Role>(&["local_secret_ids"]).read();
    let local_help = "Whether the role's secret ids are excluded from replication.";
    let id_help = "The id that clients log in with.";
    method
        .document_part("role/{role_name}/local-secret-ids", local_help, local)
        .folds_case()
        .document_part(ROLE_ID, id_help, DocumentPart::of::<Role>(&["role_id"]).write())
        .folds_case()
        .read(ROLE_ID, id_help, read_role_id)
        .read(BOUND_CIDR_LIST, "", read_bound_cidr_list)
}

async fn read_role_id(context: Context, input: RoleInput) -> Result<Response, Error> {
    let role = context.documents().get::<Role>(&[&input.role_name]).await?;
    let found = |role: &Role| Response::data(&RoleIdResponse { role_id: role.role_id.clone() });
    Ok(role.map_or_else(Response::not_found, |role| found(&role)))
}

async fn read_bound_cidr_list(context: Context, input: RoleInput) -> Result<Response, Error> {
    let role = context.documents().get::<Role>(&[&input.role_name]).await?;
    let Some(role) = role else { return Ok(Response::not_found()) };
    let list = BoundCidrList { bound_cidr_list: role.secret_id_bound_cidrs.clone() };
    let warning = "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \
                   \"secret_id_bound_cidrs\" instead.";
    Ok(Response::data(&list).warn(warning))
}
