//! Cluster profiles as files: written from one plane, read by another. Packs are named in them, not numbered.

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use plane_client::v1;
use plane_model::ProfilePack;
use secrets::Secret;

use super::profiles;
use crate::{
    call::Call,
    reply::{Answer, ApiError, Reply},
    route::{Access::InProject, Resource::ClusterProfile, Route, Verb, route},
};

/// The form's field that has the file.
const FIELD: &str = "importFile";

pub fn routes() -> Vec<Route> {
    vec![
        route!(POST "/v1/clusterprofiles/import", InProject(ClusterProfile, Verb::Create), "Makes a profile of what was exported; with `publish=true` clusters can have it.", import, takes v1::ProfileImport, 201: v1::Uid),
        route!(POST "/v1/clusterprofiles/import/file", InProject(ClusterProfile, Verb::Create), "The same of a file, JSON or YAML: the field `importFile` of a multipart form.", import_file, 201: v1::Uid),
        route!(GET "/v1/clusterprofiles/{uid}/export", InProject(ClusterProfile, Verb::Get), "A profile as a file; `format` is json or yaml.", export, 200),
    ]
}

async fn import(call: Call) -> Answer {
    let file = call.json()?;
    made(&call, file).await
}

async fn import_file(call: Call) -> Answer {
    let text = part(&call).await?;
    // JSON is YAML.
    let file = serde_yaml_ng::from_slice(&text)
        .map_err(|error| ApiError::bad(format!("the file is no cluster profile: {error}")))?;
    made(&call, file).await
}

/// The form's file.
async fn part(call: &Call) -> Result<Bytes, ApiError> {
    let odd = |error: multer::Error| ApiError::bad(format!("the body is no multipart form: {error}"));
    let boundary = multer::parse_boundary(&call.content_type).map_err(odd)?;
    let body = call.body.clone();
    let mut form =
        Multipart::new(stream::once(async move { Ok::<_, std::convert::Infallible>(body) }), boundary);
    while let Some(field) = form.next_field().await.map_err(odd)? {
        if field.name() == Some(FIELD) {
            return field.bytes().await.map_err(odd);
        }
    }
    Err(ApiError::bad(format!("the form has no field {FIELD}")))
}

async fn made(call: &Call, file: v1::ProfileImport) -> Answer {
    let v1::ProfileImport { metadata, spec } = file;
    let pack = |one: v1::PackImport| {
        let built_in = ::packs::BUILT_IN.iter().find(|known| {
            // `a--b` is a pack `b` under another name.
            one.name.rsplit("--").next() == Some(known.name) && one.kind != "manifest"
        });
        v1::PackInput {
            uid: built_in.map_or("", |known| known.uid).to_owned(),
            registry_uid: built_in.map_or("", |_| ::packs::REGISTRY).to_owned(),
            tag: if one.tag.is_empty() { one.version } else { one.tag },
            name: one.name,
            kind: one.kind,
            layer: one.layer,
            values: one.values,
            manifests: one
                .manifests
                .into_iter()
                .map(|manifest| v1::ManifestInput {
                    name: manifest.name,
                    content: manifest.content,
                    ..Default::default()
                })
                .collect(),
        }
    };
    let description = Some(metadata.description).filter(|text| !text.is_empty());
    let entity = v1::ProfileEntity {
        metadata: v1::Meta {
            name: metadata.name,
            labels: Some(metadata.labels).filter(|labels| !labels.is_empty()),
            annotations: description.map(|text| [("description".to_owned(), text)].into()),
            ..v1::Meta::default()
        },
        spec: v1::ProfileEntitySpec {
            version: Some(spec.version).filter(|version| !version.is_empty()),
            template: v1::ProfileTemplateInput {
                cloud_type: Some(spec.template.cloud_type).filter(|kind| !kind.is_empty()),
                kind: Some(spec.template.kind).filter(|kind| !kind.is_empty()),
                packs: spec.template.packs.into_iter().map(pack).collect(),
            },
            variables: Some(spec.variables),
        },
    };
    profiles::made(call, entity).await
}

async fn export(call: Call) -> Answer {
    let found = profiles::find(&call, call.caller()?)?;
    let profile = &found.value;
    let pack = |one: &ProfilePack| v1::PackImport {
        name: one.name.clone(),
        layer: one.layer.clone(),
        kind: one.kind.clone(),
        tag: one.tag.clone(),
        version: one.tag.clone(),
        values: one.values.clone(),
        manifests: one
            .manifests
            .iter()
            .map(|manifest| v1::ManifestImport {
                name: manifest.name.clone(),
                content: manifest.content.clone(),
            })
            .collect(),
    };
    let file = v1::ProfileImport {
        metadata: v1::ProfileImportMeta {
            name: profile.meta.name.clone(),
            description: profile.meta.annotations.get("description").cloned().unwrap_or_default(),
            labels: profile.meta.labels.clone(),
        },
        spec: v1::ProfileImportSpec {
            version: profile.version.clone(),
            template: v1::ProfileImportTemplate {
                kind: profile.kind.clone(),
                cloud_type: profile.cloud_type.clone(),
                packs: profile.shown().iter().map(pack).collect(),
            },
            variables: profile.variables.clone(),
        },
    };
    let unwritable = |error: String| ApiError::unavailable("Unwritable", error);
    let (format, text) = match call.query("format").unwrap_or("json") {
        "yaml" => ("yaml", serde_yaml_ng::to_string(&file).map_err(|error| unwritable(error.to_string()))?),
        "json" => {
            ("json", serde_json::to_string_pretty(&file).map_err(|error| unwritable(error.to_string()))?)
        }
        other => return Err(ApiError::bad(format!("format: json or yaml, not {other:?}"))),
    };
    Ok(Reply::File(format!("{}-{}.{format}", profile.meta.name, profile.version), Secret::new(text)))
}
