//! Generates the code of the derive macros.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::LitStr;
use syn::spanned::Spanned;

use crate::field_attributes::DisplayOptions;
use crate::model::{DocumentAttributes, FieldModel, StructModel};
use crate::secret_names::{FieldUse, check_secret_names};

pub(crate) fn derive_document(model: &StructModel) -> TokenStream {
    let Some(path) = &model.document.path else {
        return syn::Error::new(
            model.name.span(),
            "say where it lies: #[document(path = \"config\")] or #[document(path = \"roles/{name}\")]",
        )
        .into_compile_error();
    };
    let checked = check_path(path, &model.document)
        .and_then(|()| check_response_fields(model))
        .and_then(|()| model.check_kept_fields())
        .and_then(|()| model.check_listed_fields());
    if let Err(error) = checked {
        return error.into_compile_error();
    }
    let (name, help, names) = (&model.name, &model.help, model.names.path());
    let items = stored_object_items(model);
    let seal_wrap = model.document.seal_wrap;
    let local = model.document.local;
    let root = model.document.root;
    let internal_key = model.document.internal_key;
    let replace = model.document.replace;
    let folds_case = model.document.folds_case;
    let secret_names = check_secret_names(model, FieldUse::Exchanged);
    let hooks = hook_fns(model);
    quote! {
        impl #names::Document for #name {
            const PATH: &'static str = #path;
            const HELP: &'static str = #help;
            const SEAL_WRAP: bool = #seal_wrap;
            const LOCAL: bool = #local;
            const ROOT: bool = #root;
            const INTERNAL_KEY: bool = #internal_key;
            const REPLACES: bool = #replace;
            const FOLDS_CASE: bool = #folds_case;
            #items
        }

        impl #names::DocumentHooks for #name {
            #hooks
        }

        #secret_names
    }
}

/// Generates what documents and groups of fields have in common: how they are declared, read,
/// written and checked.
fn stored_object_items(model: &StructModel) -> TokenStream {
    let names = model.names.path();
    let (specs, read) = (field_specs(model), read_fields(model));
    let stored = model.fields.iter().map(|field| write_stored_field(model, field));
    let shown = model.fields.iter().map(|field| write_shown_field(model, field));
    let (defaults, validate) = (check_defaults_fn(model), validate_fn(model));
    let listed = listed_fns(model);
    quote! {
        const FIELDS: &'static [#names::FieldSpec] = #specs;

        fn from_fields(
            fields: &#names::Fields,
        ) -> ::core::result::Result<Self, #names::InvalidInput> {
            #read
        }

        fn write_stored(&self, out: &mut #names::ObjectWriter) {
            #(#stored)*
        }

        fn write_shown(&self, out: &mut #names::ObjectWriter) {
            #(#shown)*
        }

        #listed

        #defaults

        #validate
    }
}

/// Generates the calls of the hooks that the document declares.
fn hook_fns(model: &StructModel) -> TokenStream {
    let names = model.names.path();
    let mut hooks = TokenStream::new();
    if model.document.write_hook {
        hooks.extend(quote! {
            const HAS_WRITE_HOOK: bool = true;
            const HOOK_FIELDS: &'static [#names::FieldSpec] = #names::write_hook_fields::<Self>();

            fn run_write_hook(
                &mut self,
                context: &#names::Context,
                name: &str,
                stored: ::core::option::Option<&Self>,
                given: &#names::Fields,
            ) -> impl ::core::future::Future<
                Output = ::core::result::Result<#names::WriteOutcome, #names::Error>,
            > + ::core::marker::Send {
                #names::run_write_hook(self, context, name, stored, given)
            }
        });
    }
    if model.document.delete_hook {
        hooks.extend(quote! {
            const HAS_DELETE_HOOK: bool = true;

            fn run_delete_hook(
                &self,
                context: &#names::Context,
                name: &str,
            ) -> impl ::core::future::Future<
                Output = ::core::result::Result<#names::WriteOutcome, #names::Error>,
            > + ::core::marker::Send {
                #names::run_delete_hook(self, context, name)
            }
        });
    }
    if model.document.read_hook {
        hooks.extend(quote! {
            fn run_read_hook(
                &self,
                context: &#names::Context,
                name: &str,
            ) -> impl ::core::future::Future<
                Output = ::core::result::Result<
                    ::core::option::Option<#names::RawObject>,
                    #names::Error,
                >,
            > + ::core::marker::Send {
                #names::run_read_hook(self, context, name)
            }
        });
    }
    hooks
}

pub(crate) fn derive_field_group(model: &StructModel) -> TokenStream {
    if let Err(error) = check_response_fields(model).and_then(|()| model.check_group_options()) {
        return error.into_compile_error();
    }
    let secret_names = check_secret_names(model, FieldUse::Exchanged);
    let (name, names, items) = (&model.name, model.names.path(), stored_object_items(model));
    quote! {
        impl #names::FieldGroup for #name {
            #items
        }

        #secret_names
    }
}

pub(crate) fn derive_input(model: &StructModel) -> TokenStream {
    if let Err(error) = model.check_no_document_options().and_then(|()| refuse_groups(model)) {
        return error.into_compile_error();
    }
    let (name, names) = (&model.name, model.names.path());
    let (specs, read) = (field_specs(model), read_fields(model));
    let defaults = check_defaults_fn(model);
    let secret_names = check_secret_names(model, FieldUse::Exchanged);
    quote! {
        impl #names::Input for #name {
            const FIELDS: &'static [#names::FieldSpec] = #specs;

            fn from_fields(
                fields: &#names::Fields,
            ) -> ::core::result::Result<Self, #names::InvalidInput> {
                #read
            }

            #defaults
        }

        #secret_names
    }
}

pub(crate) fn derive_response_data(model: &StructModel) -> TokenStream {
    let checked = check_response_fields(model)
        .and_then(|()| model.check_no_document_options())
        .and_then(|()| refuse_groups(model));
    if let Err(error) = checked {
        return error.into_compile_error();
    }
    let (name, names, specs) = (&model.name, model.names.path(), field_specs(model));
    let write = model.fields.iter().map(write_field);
    let secret_names = check_secret_names(model, FieldUse::Exchanged);
    let types = model.fields.iter().map(|field| &field.ty);
    quote! {
        impl #names::ResponseData for #name {
            const FIELDS: &'static [#names::FieldSpec] = #specs;

            type Secrecy = <#names::SecretPresence<
                { false #(| <#types as #names::Field>::SECRET)* },
            > as #names::SecrecyOf>::Secrecy;

            fn write(&self, out: &mut #names::ObjectWriter) {
                #(#write)*
            }
        }

        #secret_names
    }
}

/// Field names that the SDK itself writes beside a receipt's fields.
const RESERVED_FIELDS: [&str; 2] = ["secret_type", "role"];
/// The prefix of further names that the SDK itself writes there.
const RESERVED_PREFIX: &str = "strongroom_";

pub(crate) fn derive_receipt(model: &StructModel) -> TokenStream {
    if let Err(error) = model.check_no_document_options() {
        return error.into_compile_error();
    }
    let is_reserved = |field: &&FieldModel| {
        RESERVED_FIELDS.contains(&field.name.as_str()) || field.name.starts_with(RESERVED_PREFIX)
    };
    if let Some(field) = model.fields.iter().find(is_reserved) {
        let message =
            format!("`{}` is kept with every lease already; choose another name", field.name);
        return syn::Error::new(field.ident.span(), message).into_compile_error();
    }
    if let Err(error) = refuse_groups(model) {
        return error.into_compile_error();
    }
    let (name, names, read) = (&model.name, model.names.path(), read_fields(model));
    let write = model.fields.iter().map(write_field);
    let secret_names = check_secret_names(model, FieldUse::StoredWithLease);
    quote! {
        impl #names::Receipt for #name {
            fn from_fields(
                fields: &#names::Fields,
            ) -> ::core::result::Result<Self, #names::InvalidInput> {
                #read
            }

            fn write(&self, out: &mut #names::ReceiptWriter<'_>) {
                #(#write)*
            }
        }

        #secret_names
    }
}

/// Storage folders that the SDK reserves for itself.
const RESERVED_FOLDERS: [&str; 3] = ["intent", "undo", "wal"];

/// Checks a document's path, which is also its storage key: literal names and captures, of which
/// the last one may have several segments.
fn check_path(path: &LitStr, document: &DocumentAttributes) -> syn::Result<()> {
    let text = path.value();
    let word = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        !text.is_empty() && text.chars().all(fits)
    };
    let capture = |part: &str| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.is_some_and(|name| word(name.strip_suffix('@').unwrap_or(name)))
    };
    let rest = |part: &str| {
        part.strip_prefix('{').and_then(|part| part.strip_suffix("..}")).is_some_and(word)
    };
    let above = match text.rsplit_once('/') {
        Some((above, last)) if rest(last) => above,
        None if rest(&text) => "",
        _ => &text,
    };
    if !above.is_empty() && !above.split('/').all(|part| word(part) || capture(part)) {
        let message = "a document lies at a path such as `config`, `roles/{name}`, `users/{name@}` \
                       or `sets/{name..}`: words and captures of one word, with single slashes \
                       between them; a capture of several segments is the last one";
        return Err(syn::Error::new(path.span(), message));
    }
    if document.folds_case && !text.contains('{') {
        let message = "`folds_case` is for names, and the path has no capture";
        return Err(syn::Error::new(path.span(), message));
    }
    let first = text.split('/').next().unwrap_or_default();
    if RESERVED_FOLDERS.contains(&first) {
        let message = format!("`{first}/` is where intents are kept; choose another path");
        return Err(syn::Error::new(path.span(), message));
    }
    Ok(())
}

/// Rejects field names by which the plug-in protocol distinguishes raw responses and errors from
/// data.
fn check_response_fields(model: &StructModel) -> syn::Result<()> {
    let named = |name: &str| model.fields.iter().find(|field| field.name == name);
    if let Some(field) = named("http_status_code") {
        let message =
            "an answer with this field is taken for a raw HTTP answer; choose another name";
        return Err(syn::Error::new(field.ident.span(), message));
    }
    let others = model.fields.iter().any(|field| !matches!(field.name.as_str(), "error" | "data"));
    match named("error") {
        Some(field) if !others => {
            let message =
                "an answer with no other field is taken for an error; choose another name";
            Err(syn::Error::new(field.ident.span(), message))
        }
        _ => Ok(()),
    }
}

/// Rejects embedded groups, for structs that are neither documents nor groups themselves.
fn refuse_groups(model: &StructModel) -> syn::Result<()> {
    match model.fields.iter().find(|field| field.attributes.embed) {
        Some(field) => {
            let message = "only documents and other groups can embed a group";
            Err(syn::Error::new(field.ident.span(), message))
        }
        None => Ok(()),
    }
}

/// Generates `validate`, which checks the embedded groups and the fields, and then calls the declared
/// function.
fn validate_fn(model: &StructModel) -> Option<TokenStream> {
    let groups = model.fields.iter().filter(|field| field.attributes.embed).map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        let names = model.names.path_at(ty.span());
        quote_spanned!(ty.span() => <#ty as #names::FieldGroup>::validate(&self.#ident)?;)
    });
    let fields = model.fields.iter().filter_map(|field| {
        let (ident, check) = (&field.ident, field.attributes.check.as_ref()?);
        Some(quote_spanned!(check.span() => #check(&self.#ident)?;))
    });
    let checks: Vec<_> = groups.chain(fields).collect();
    let function = model.document.validate.as_ref();
    if checks.is_empty() && function.is_none() {
        return None;
    }
    let last = match function {
        Some(function) => quote!(#function(self)),
        None => quote!(::core::result::Result::Ok(())),
    };
    Some(quote! {
        fn validate(&self) -> ::core::result::Result<(), ::std::string::String> {
            #(#checks)*
            #last
        }
    })
}

/// Generates the declared fields. Those of embedded groups are joined with them at compile time.
fn field_specs(model: &StructModel) -> TokenStream {
    if !model.fields.iter().any(|field| field.attributes.embed) {
        let specs = model.fields.iter().map(|field| field_spec(model, field));
        return quote! { &[#(#specs),*] };
    }
    let names = model.names.path();
    let parts = model.fields.iter().map(|field| {
        let ty = &field.ty;
        if field.attributes.embed {
            let names = model.names.path_at(ty.span());
            let echo = field.attributes.echo;
            let legacy = field.attributes.group_legacy.iter().map(|(current, older)| {
                let help = format!("Deprecated: an older name of `{}`.", current.value());
                quote_spanned! { current.span() =>
                    #names::legacy_spec(
                        <#ty as #names::FieldGroup>::FIELDS, #current, #older, #help, #echo,
                    )
                }
            });
            return quote_spanned! { ty.span() =>
                <#ty as #names::FieldGroup>::FIELDS, &[#(#legacy),*]
            };
        }
        let spec = field_spec(model, field);
        quote!(&[#spec])
    });
    quote! {
        {
            const PARTS: &[&[#names::FieldSpec]] = &[#(#parts),*];
            const JOINED: [#names::FieldSpec; #names::count_specs(PARTS)] =
                #names::join_specs(PARTS);
            &JOINED
        }
    }
}

/// How user interfaces present a field.
fn field_display(options: &DisplayOptions, names: &TokenStream) -> TokenStream {
    let texts = [
        (quote!(name), &options.name),
        (quote!(description), &options.description),
        (quote!(value), &options.value),
        (quote!(group), &options.group),
        (quote!(edit_type), &options.edit_type),
    ];
    let texts = texts.iter().map(|(field, text)| {
        let text = text.as_ref().map(LitStr::value).unwrap_or_default();
        quote!(#field: #text,)
    });
    let sensitive = options.sensitive;
    quote! { #names::FieldDisplay { #(#texts)* sensitive: #sensitive } }
}

/// The declaration of a field, and one for each of its legacy names.
fn field_spec(model: &StructModel, field: &FieldModel) -> TokenStream {
    let FieldModel { ty, name, help, attributes, .. } = field;
    let (required, internal, hidden) =
        (attributes.required, attributes.internal, attributes.hidden);
    let keep = attributes.keep;
    let default = match &attributes.default {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    };
    let names = model.names.path_at(ty.span());
    let display = field_display(&attributes.display, &names);
    let spec = quote_spanned! { ty.span() =>
        #names::FieldSpec {
            name: #name,
            help: #help,
            kind: <#ty as #names::Field>::KIND,
            allowed_values: <#ty as #names::Field>::ALLOWED_VALUES,
            secret: <#ty as #names::Field>::SECRET || #hidden,
            required: #required,
            internal: #internal,
            keep: #keep,
            default: #default,
            legacy: ::core::option::Option::None,
            display: #display,
        }
    };
    let legacy_help = format!("Deprecated: an older name of `{name}`.");
    let echo = attributes.echo;
    let legacy = attributes.legacy.iter().map(|legacy_name| {
        quote_spanned! { ty.span() =>
            , #names::FieldSpec {
                name: #legacy_name,
                help: #legacy_help,
                kind: <#ty as #names::Field>::KIND,
                allowed_values: <#ty as #names::Field>::ALLOWED_VALUES,
                secret: <#ty as #names::Field>::SECRET || #hidden,
                required: false,
                internal: #internal,
                keep: #keep,
                default: ::core::option::Option::None,
                legacy: ::core::option::Option::Some(#names::LegacyName {
                    current: #name,
                    echo: #echo,
                }),
                display: #names::FieldDisplay::NONE,
            }
        }
    });
    quote! { #spec #(#legacy)* }
}

/// Generates the function that parses each default, as for a request without the field, and that
/// requires of each internal field a default or an empty value. Defaults that can be checked at
/// compile time fail to compile if they are invalid.
fn check_defaults_fn(model: &StructModel) -> TokenStream {
    let names = model.names.path();
    let read = model.fields.iter().filter_map(|field| {
        let (FieldModel { ty, name, .. }, text) = (field, field.attributes.default.as_ref()?);
        let names = model.names.path_at(text.span());
        Some(quote_spanned! { text.span() =>
            const _: () = #names::check_default::<#ty>(#text);
            #names::with_default::<#ty>(
                &#names::Fields::new(),
                #name,
                #text,
            )?;
        })
    });
    let internal =
        |field: &&FieldModel| field.attributes.internal && field.attributes.default.is_none();
    let read_absent = model.fields.iter().filter(internal).map(|field| {
        let FieldModel { ty, name, .. } = field;
        let names = model.names.path_at(ty.span());
        quote_spanned! { ty.span() => #names::optional::<#ty>(&#names::Fields::new(), #name)?; }
    });
    let groups = model.fields.iter().filter(|field| field.attributes.embed).map(|field| {
        let ty = &field.ty;
        let names = model.names.path_at(ty.span());
        quote_spanned!(ty.span() => <#ty as #names::FieldGroup>::check_defaults()?;)
    });
    quote! {
        fn check_defaults() -> ::core::result::Result<(), #names::InvalidInput> {
            #(#groups)*
            #(#read)*
            #(#read_absent)*
            ::core::result::Result::Ok(())
        }
    }
}

fn read_fields(model: &StructModel) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let FieldModel { ident, ty, name, attributes, .. } = field;
        let span = ty.span();
        let names = model.names.path_at(span);
        if attributes.embed {
            return read_group(model, field);
        }
        let legacy = &attributes.legacy;
        let name = match legacy.is_empty() {
            true => quote_spanned!(span => #name),
            false => quote_spanned! { span =>
                #names::sent_name::<#ty>(fields, #name, &[#(#legacy),*])
            },
        };
        let reader = match &attributes.default {
            Some(text) => quote_spanned!(span => with_default::<#ty>(fields, #name, #text)),
            None if attributes.required => quote_spanned!(span => required::<#ty>(fields, #name)),
            None => quote_spanned!(span => optional::<#ty>(fields, #name)),
        };
        quote_spanned! { span => #ident: #names::#reader?, }
    });
    let unused = model.fields.is_empty().then(|| quote!(let _ = fields;));
    quote! {
        #unused
        ::core::result::Result::Ok(Self { #(#fields)* })
    }
}

fn write_field(field: &FieldModel) -> TokenStream {
    let (ident, name) = (&field.ident, &field.name);
    quote_spanned! { field.ty.span() => out.field(#name, &self.#ident); }
}

/// Generates how a field is written to storage; the fields of a group are written one by one.
fn write_stored_field(model: &StructModel, field: &FieldModel) -> TokenStream {
    if !field.attributes.embed {
        return write_field(field);
    }
    let (ident, ty) = (&field.ident, &field.ty);
    let names = model.names.path_at(ty.span());
    quote_spanned!(ty.span() => <#ty as #names::FieldGroup>::write_stored(&self.#ident, out);)
}

/// Generates how a field is written for clients; secrets are left out.
fn write_shown_field(model: &StructModel, field: &FieldModel) -> TokenStream {
    let (ident, ty, name) = (&field.ident, &field.ty, &field.name);
    let names = model.names.path_at(ty.span());
    if field.attributes.embed {
        return quote_spanned! { ty.span() =>
            <#ty as #names::FieldGroup>::write_shown(&self.#ident, out);
        };
    }
    if field.attributes.hidden {
        return TokenStream::new();
    }
    quote_spanned! { ty.span() =>
        if !<#ty as #names::Field>::SECRET {
            out.field(#name, &self.#ident);
        }
    }
}

/// Generates what a list shows of each document; nothing if no field is listed.
fn listed_fns(model: &StructModel) -> Option<TokenStream> {
    let fields = || model.fields.iter().filter(|it| it.attributes.listed || it.attributes.embed);
    fields().next()?;
    let add_names = fields().map(|field| {
        let (ty, name) = (&field.ty, &field.name);
        let names = model.names.path_at(ty.span());
        if field.attributes.embed {
            return quote_spanned! { ty.span() =>
                fields.extend(<#ty as #names::FieldGroup>::listed_fields());
            };
        }
        quote_spanned! { ty.span() =>
            const _: () = #names::check_listed::<#ty>();
            fields.push(#name);
        }
    });
    let write = fields().map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        if !field.attributes.embed {
            return write_field(field);
        }
        let names = model.names.path_at(ty.span());
        quote_spanned!(ty.span() => <#ty as #names::FieldGroup>::write_listed(&self.#ident, out);)
    });
    let names = model.names.path();
    Some(quote! {
        fn listed_fields() -> ::std::vec::Vec<&'static str> {
            let mut fields = ::std::vec::Vec::new();
            #(#add_names)*
            fields
        }

        fn write_listed(&self, out: &mut #names::ObjectWriter) {
            #(#write)*
        }
    })
}

/// Generates how an embedded group is read. Its fields have their current names there.
fn read_group(model: &StructModel, field: &FieldModel) -> TokenStream {
    let (ident, ty) = (&field.ident, &field.ty);
    let names = model.names.path_at(ty.span());
    let pairs = field.attributes.group_legacy.iter();
    let pairs = pairs.map(|(current, older)| quote_spanned!(older.span() => (#current, #older)));
    quote_spanned! { ty.span() =>
        #ident: <#ty as #names::FieldGroup>::from_fields(
            &#names::rename_legacy_fields(fields, &[#(#pairs),*]),
        )?,
    }
}
