//! Parameters of calls about storage.

use api_call::{ApiError, Call, bytes};
use disks::{Block, Choice, Device, Format, Fs, Named, Place, Refusal, Role, Storage};
use uuid::Uuid;

/// A text that was sent and is not empty.
pub fn sent<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.param(name).map(str::trim).filter(|text| !text.is_empty())
}

/// A text that must be there.
pub fn required<'c>(call: &'c Call, name: &str) -> Result<&'c str, ApiError> {
    sent(call, name).ok_or_else(|| ApiError::field(name, "This field is required."))
}

/// A size in bytes, or with a decimal suffix.
pub fn size(call: &Call, name: &str) -> Result<Option<u64>, ApiError> {
    let read = |text| {
        bytes(text)
            .ok_or_else(|| ApiError::field(name, "Enter a valid size: bytes, or a number with K, M, G or T."))
    };
    sent(call, name).map(read).transpose()
}

/// The UUID that something is to have.
pub fn uuid(call: &Call) -> Result<Option<Uuid>, ApiError> {
    let read = |text| Uuid::parse_str(text).map_err(|_| ApiError::field("uuid", "Enter a valid UUID."));
    sent(call, "uuid").map(read).transpose()
}

/// `name` and `uuid`.
pub fn named(call: &Call) -> Result<Named, ApiError> {
    Ok(Named { name: sent(call, "name").map(str::to_owned), uuid: uuid(call)? })
}

/// `fstype`, `uuid` and `label`.
pub fn format(call: &Call) -> Result<Format, ApiError> {
    let fstype = fstype(call)?;
    Ok(Format { fstype, label: sent(call, "label").map(str::to_owned), uuid: uuid(call)? })
}

/// `fstype`.
pub fn fstype(call: &Call) -> Result<Fs, ApiError> {
    choice(call, "fstype", Fs::parse)
}

/// One of MAAS's words, which must be there.
pub fn choice<T>(call: &Call, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ApiError> {
    let word = required(call, name)?;
    parse(word).ok_or_else(|| {
        ApiError::field(name, format!("Select a valid choice. {word} is not one of the available choices."))
    })
}

/// Parameters that name devices or partitions, each with how they are to be used.
pub type Fields = [(&'static str, Place, Role)];

/// What those parameters name: numbers or names, repeated or with commas.
pub fn choices(call: &Call, storage: &Storage, fields: &Fields) -> Result<Vec<Choice>, Refusal> {
    let mut all = Vec::new();
    for &(field, place, role) in fields {
        let words = call.all(field).into_iter().flat_map(|words| words.split(','));
        let numbers = words
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| number(storage, word).ok_or_else(|| Refusal::choice(field, word)))
            .collect::<Result<_, _>>()?;
        all.push(Choice { field, place, role, numbers });
    }
    Ok(all)
}

/// A device or partition by number or name.
pub fn number(storage: &Storage, word: &str) -> Option<u64> {
    let named = |block: &Block<'_>| storage.name_of_block(*block) == word;
    word.parse().ok().or_else(|| storage.blocks().find(named).map(Block::number))
}

/// The device that the second capture of the path names, by number or name.
pub fn device<'s>(call: &Call, storage: &'s Storage) -> Result<Device<'s>, ApiError> {
    let word = call.arg(1);
    storage
        .devices()
        .find(|device| device.number().to_string() == word || storage.name_of(*device) == word)
        .ok_or_else(|| ApiError::NotFound("BlockDevice".to_owned()))
}

/// `tag`.
pub fn tag(call: &Call) -> Result<&str, ApiError> {
    sent(call, "tag").ok_or_else(|| ApiError::Bad("No provided tag!".to_owned()))
}

/// `mount_options`.
pub fn mount_options(call: &Call) -> Option<String> {
    sent(call, "mount_options").map(str::to_owned)
}
