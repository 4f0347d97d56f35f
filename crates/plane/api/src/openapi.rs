//! The OpenAPI document, from the table of routes.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    lists, resources,
    route::{Access, Form, Route},
};

const SCHEMAS: &str = "/components/schemas";
/// Schemas of lists, of whatever is in them.
const LIST: &str = "/components/schemas/ListOf";

/// The document of OpenAPI 3.1 (JSON Schema 2020-12).
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<plane_client::v1::ErrorBody>();
    let mut paths = Map::new();
    for route in resources::table() {
        let operation = operation(&route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Bessemer", "version": "v1" },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Refused": {
                    "description": "Refused",
                    "content": { "application/json": { "schema": error } },
                },
            },
            "securitySchemes": {
                "ApiKey": { "type": "apiKey", "in": "header", "name": "ApiKey" },
                "Session": { "type": "apiKey", "in": "header", "name": "Authorization" },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut answer = json!({ "description": "Done" });
    let kind = match route.form {
        Form::Json => "application/json",
        Form::Events => "text/event-stream",
    };
    if let Some(schema) = route.answer {
        answer = json!({
            "description": "Done",
            "content": { kind: { "schema": schema(generator) } },
        });
    }
    let is_list = answer.to_string().contains(LIST);
    let mut responses = Map::new();
    responses.insert(route.status.to_string(), answer);
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Refused" }));
    let captures = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = captures
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if is_list {
        parameters.extend(lists::PARAMETERS.map(|(name, doc, kind)| {
            json!({ "name": name, "in": "query", "description": doc, "schema": { "type": kind } })
        }));
    }
    let (security, permission) = match route.access {
        Access::Anyone => (json!([]), None),
        Access::SignedIn => (json!([{ "ApiKey": [] }, { "Session": [] }]), None),
        Access::InProject(resource, verb) | Access::InTenant(resource, verb) => (
            json!([{ "ApiKey": [] }, { "Session": [] }]),
            Some(format!("{}.{}", resource.name(), verb.name())),
        ),
    };
    let mut operation = json!({
        "summary": route.doc,
        "security": security,
        "parameters": parameters,
        "responses": responses,
    });
    if let Value::Object(fields) = &mut operation {
        if let Some(permission) = permission {
            fields.insert("x-permission".to_owned(), json!(permission));
        }
        if let Some(schema) = route.body {
            let body = json!({
                "required": true,
                "content": { "application/json": { "schema": schema(generator) } },
            });
            fields.insert("requestBody".to_owned(), body);
        }
    }
    operation
}
