//! Probed hardware of a node (`op=details`), as BSON: a map from the name of a probe to its XML.

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use bytes::Bytes;

use super::machines::load;
use api_call::{Answer, ApiError, Call, Reply};

/// What the inventory of a machine has, in lshw's form. The ephemeral system does not speak LLDP.
pub async fn machine(call: Call) -> Answer {
    let machine = load(&call)?;
    let xml = if machine.value.cpu_count == 0 {
        Bson::Null
    } else {
        let bytes = render::lshw(&machine.value).map_err(|error| ApiError::Unavailable(error.to_string()))?;
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
    };
    bson(&doc! { "lldp": Bson::Null, "lshw": xml })
}

/// A document as an answer.
pub fn bson(document: &Document) -> Answer {
    let bytes = document.to_vec().map_err(|error| ApiError::Unavailable(error.to_string()))?;
    Ok(Reply::Bytes("application/bson", Bytes::from(bytes)))
}
