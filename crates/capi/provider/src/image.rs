//! Images by the text in `spec.image`.

use maas_client::BootResource;

/// `OS/SERIES` as MAAS names it exactly; a text without a slash is the name of a custom image.
///
/// MAAS ignores `osystem` at deployment and looks a bare series up by prefix: only the whole name is exact.
pub fn distro_series(image: &str) -> String {
    if image.contains('/') { image.to_owned() } else { format!("custom/{image}") }
}

/// Whether the region has an image; releases differ in whether they show `custom/` before an uploaded one's name.
pub fn is_there(image: &str, all: &[BootResource]) -> bool {
    let wanted = distro_series(image);
    let bare = wanted.strip_prefix("custom/");
    all.iter().any(|known| known.name == wanted || Some(known.name.as_str()) == bare)
}

/// What to say where it has not.
pub fn missing(image: &str, all: &[BootResource]) -> String {
    let mut names: Vec<&str> = all.iter().map(|known| known.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let there = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
    format!(
        "the region has no image '{}'; upload it, or make another template with one that is there: {there}",
        distro_series(image)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole() {
        for (image, series) in [
            ("ubuntu/jammy", "ubuntu/jammy"),
            ("rhel/rocky-92-k-1", "rhel/rocky-92-k-1"),
            ("u-2204-0-k-1320-0", "custom/u-2204-0-k-1320-0"),
        ] {
            assert_eq!(distro_series(image), series);
        }
    }

    #[test]
    fn an_image_is_never_taken_by_prefix() {
        let all = ["custom/u-2204-0-k-132", "plain", "ubuntu/noble"]
            .map(|name| BootResource { name: name.to_owned(), ..BootResource::default() });
        for (image, there) in [
            ("u-2204-0-k-132", true),
            ("u-2204-0-k-13", false),
            ("plain", true),
            ("custom/plain", true),
            ("ubuntu/noble", true),
            ("noble", false),
        ] {
            assert_eq!(is_there(image, &all), there, "{image}");
        }
        assert!(missing("x", &all).ends_with("custom/u-2204-0-k-132, plain, ubuntu/noble"));
    }
}
