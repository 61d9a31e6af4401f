//! Users and groups with their policies. Whether `users/Bob` and `users/bob` are one depends on the
//! configuration, so they are resources that look at it and not documents of their own.

use std::collections::BTreeSet;

use strongroom_sdk::*;

use crate::config::LdapConfig;
use crate::user_name::stored_name;

/// What is stored of a user.
#[derive(Clone, Document)]
#[document(path = "user/{name..}", internal_key)]
pub(crate) struct UserPolicies {
    /// Groups beside those of the directory.
    pub(crate) groups: CommaList,
    /// Policies of the user's tokens.
    pub(crate) policies: PolicyNames,
}

/// What is stored of a group.
#[derive(Clone, Document)]
#[document(path = "group/{name..}", internal_key)]
pub(crate) struct GroupPolicies {
    /// Policies of the tokens of the group's members.
    pub(crate) policies: PolicyNames,
}

/// A name in a path.
#[derive(Input)]
struct Named {
    /// Name of the user or group; taken from the path. Upper and lower case are the same unless
    /// case_sensitive_names is set.
    name: String,
}

/// A write of a user.
#[derive(Input)]
struct UserInput {
    /// Name of the user; taken from the path.
    name: String,
    /// Groups that the user belongs to beside those of the directory.
    groups: CommaList,
    /// Policies of the user's tokens.
    policies: PolicyNames,
}

/// A write of a group.
#[derive(Input)]
struct GroupInput {
    /// Name of the group; taken from the path.
    name: String,
    /// Policies of the tokens of the group's members.
    policies: PolicyNames,
}

/// What a read of a user shows.
#[derive(ResponseData)]
struct ShownUser {
    groups: String,
    policies: PolicyNames,
}

/// What a read of a group shows.
#[derive(ResponseData)]
struct ShownGroup {
    policies: PolicyNames,
}

async fn is_case_sensitive(context: &Context) -> Result<bool, Error> {
    let config = context.documents().get::<LdapConfig>(&[]).await?;
    Ok(config.is_some_and(|config| config.case_sensitive_names))
}

/// The name under which a user or group is stored.
async fn key_of(context: &Context, name: &str) -> Result<String, Error> {
    Ok(stored_name(name, is_case_sensitive(context).await?))
}

async fn exists<D: Document>(context: Context, name: String) -> Result<bool, Error> {
    let key = key_of(&context, &name).await?;
    Ok(context.documents().get::<D>(&[&key]).await?.is_some())
}

async fn delete<D: Document>(context: Context, input: Named) -> Result<Response, Error> {
    let key = key_of(&context, &input.name).await?;
    context.documents().delete::<D>(&[&key]).await?;
    Ok(Response::no_content())
}

/// Lists all names, also those with slashes, as Vault does.
async fn list<D: Document>(context: Context, listing: Listing) -> Result<Response, Error> {
    let Listing { folder, after, limit } = listing;
    let (mut names, mut scan) = (Vec::new(), context.documents().scan::<D>(&[])?);
    while let Some((name, _)) = scan.next_document().await? {
        let Some(name) = name.strip_prefix(&folder) else { continue };
        if names.len() < limit && after.as_deref().is_none_or(|after| name > after) {
            names.push(name.to_owned());
        }
    }
    Ok(Response::keys(&names))
}

/// The paths `users/:name`.
pub(crate) fn users() -> Resource {
    Resource::new(exists::<UserPolicies>)
        .read(|context: Context, input: Named| async move {
            let key = key_of(&context, &input.name).await?;
            let Some(user) = context.documents().get::<UserPolicies>(&[&key]).await? else {
                return Ok(Response::not_found());
            };
            let groups = user.groups.0.join(",");
            Ok(Response::data(&ShownUser { groups, policies: user.policies.clone() }))
        })
        .write(|context: Context, input: UserInput| async move {
            let is_case_sensitive = is_case_sensitive(&context).await?;
            let key = stored_name(&input.name, is_case_sensitive);
            let groups = CommaList(distinct_names(&input.groups.0, is_case_sensitive));
            let user = UserPolicies { groups, policies: input.policies };
            context.documents().change(&[&key], |_| Ok(user.clone())).await?;
            Ok(Response::no_content())
        })
        .delete(delete::<UserPolicies>)
        .list(list::<UserPolicies>)
}

/// The paths `groups/:name`.
pub(crate) fn groups() -> Resource {
    Resource::new(exists::<GroupPolicies>)
        .read(|context: Context, input: Named| async move {
            let key = key_of(&context, &input.name).await?;
            let Some(group) = context.documents().get::<GroupPolicies>(&[&key]).await? else {
                return Ok(Response::not_found());
            };
            Ok(Response::data(&ShownGroup { policies: group.policies.clone() }))
        })
        .write(|context: Context, input: GroupInput| async move {
            let key = key_of(&context, &input.name).await?;
            let group = GroupPolicies { policies: input.policies };
            context.documents().change(&[&key], |_| Ok(group.clone())).await?;
            Ok(Response::no_content())
        })
        .delete(delete::<GroupPolicies>)
        .list(list::<GroupPolicies>)
}

fn distinct_names(names: &[String], is_case_sensitive: bool) -> Vec<String> {
    let names = names.iter().map(|name| stored_name(name.trim(), is_case_sensitive));
    let distinct: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
    distinct.into_iter().collect()
}
