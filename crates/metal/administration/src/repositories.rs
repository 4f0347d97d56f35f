//! Package repositories. They are kept for those who configure machines; images are written as they are.

use std::sync::Arc;

use model::{PackageRepository, SCOPE};
use serde_json::{Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, required},
    route::{Resource, restful},
};

const ARCHES: [&str; 6] = ["amd64", "i386", "armhf", "arm64", "ppc64el", "s390x"];
const POCKETS: [&str; 3] = ["updates", "security", "backports"];
const COMPONENTS: [&str; 3] = ["restricted", "universe", "multiverse"];

/// Package repositories.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "PackageRepositoriesHandler",
            path: "package-repositories/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the package repositories.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a package repository: `name`, `url`, `distributions`, `disabled_pockets`, `components`, `arches`, `key`, `disable_sources`, `enabled`.",
                    create
                ),
            ],
        },
        Resource {
            name: "PackageRepositoryHandler",
            path: "package-repositories/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a package repository, by number or name.", read),
                restful!(
                    PUT,
                    Admin,
                    "Changes a package repository: parameters as for a new one, `disabled_components`.",
                    update
                ),
                restful!(DELETE, Admin, "Deletes a package repository.", delete),
            ],
        },
    ]
}

fn show(id: &str, one: &PackageRepository) -> Value {
    json!({
        "arches": one.arches,
        "components": one.components,
        "disable_sources": one.disable_sources,
        "disabled_components": one.disabled_components,
        "disabled_pockets": one.disabled_pockets,
        "distributions": one.distributions,
        "enabled": one.enabled,
        "id": id.parse::<u64>().unwrap_or_default(),
        "key": one.key,
        "name": one.name,
        "resource_uri": format!("/MAAS/api/2.0/package-repositories/{id}/"),
        "url": one.url,
    })
}

async fn list(call: Call) -> Answer {
    let mut all = call.store().list::<PackageRepository>(SCOPE);
    all.sort_by_key(|one| one.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(all.iter().map(|one| show(&one.id, &one.value)).collect()))
}

/// A repository by number or name.
fn find(call: &Call, wanted: &str) -> Result<Arc<Stored<PackageRepository>>, ApiError> {
    let all = call.store().list::<PackageRepository>(SCOPE);
    let found = all.into_iter().find(|one| one.id == wanted || one.value.name == wanted);
    found.ok_or_else(|| ApiError::NotFound("PackageRepository".to_owned()))
}

async fn read(call: Call) -> Answer {
    let one = find(&call, call.arg(0))?;
    Ok(Reply::Json(show(&one.id, &one.value)))
}

/// What was sent, on top of what is there.
fn apply(call: &Call, one: &mut PackageRepository, own: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    let f = &mut faults;
    edited::text(call, "name", &mut one.name);
    edited::needed(f, "name", &one.name);
    edited::text(call, "url", &mut one.url);
    edited::needed(f, "url", &one.url);
    if !one.url.is_empty() && !is_address(&one.url) {
        f.add("url", "Enter a valid repository URL or PPA location.");
    }
    let holder = call.store().holder(SCOPE, "package_repository", &one.name);
    if holder.is_some() && holder.as_deref() != own {
        f.add("name", "Package repository with this Name already exists.");
    }
    if one.name.chars().count() > 41 {
        f.add(
            "name",
            format!("Ensure this value has at most 41 characters (it has {}).", one.name.chars().count()),
        );
    }
    edited::text(call, "key", &mut one.key);
    edited::flag(call, "disable_sources", &mut one.disable_sources);
    edited::flag(call, "enabled", &mut one.enabled);
    edited::list(call, "distributions", &mut one.distributions);
    edited::list(call, "disabled_pockets", &mut one.disabled_pockets);
    edited::list(call, "disabled_components", &mut one.disabled_components);
    edited::list(call, "components", &mut one.components);
    edited::list(call, "arches", &mut one.arches);
    if one.arches.is_empty() {
        one.arches = ["amd64", "i386"].map(str::to_owned).to_vec();
    }
    for arch in one.arches.iter().filter(|arch| !ARCHES.contains(&arch.as_str())) {
        let mut known = ARCHES;
        known.sort_unstable();
        let known = known.join(", ");
        f.add("arches", format!("'{arch}' is not a valid architecture. Known architectures: {known}"));
    }
    unknown(f, "disabled_pockets", &one.disabled_pockets, "pocket", &POCKETS);
    if one.default {
        unknown(f, "disabled_components", &one.disabled_components, "component", &COMPONENTS);
        if !one.components.is_empty() {
            f.add(
                "components",
                "This is a default Ubuntu repository. Please update 'disabled_components' instead.",
            );
        }
        if !one.enabled {
            f.add("__all__", "Default repositories may not be disabled.");
        }
    } else if !one.disabled_components.is_empty() {
        f.add("disabled_components", "This is a custom repository. Please update 'components' instead.");
    }
    faults.check()
}

/// Says so where something is to be left out that an Ubuntu archive has not.
fn unknown(faults: &mut Faults, field: &str, sent: &[String], what: &str, known: &[&str]) {
    for one in sent.iter().filter(|one| !known.contains(&one.as_str())) {
        let all: Vec<String> = known.iter().map(|one| format!("'{one}'")).collect();
        let all = all.join(", ");
        let words = format!("'{one}' is not a valid Ubuntu archive {what}. You can only disable [{all}].");
        faults.add(field, words);
    }
}

/// Whether packages can be had from there: a URL, or `ppa:OWNER/NAME`.
fn is_address(text: &str) -> bool {
    if let Some(ppa) = text.strip_prefix("ppa:") {
        return ppa.split('/').count() == 2 && ppa.split('/').all(|part| !part.is_empty());
    }
    url::Url::parse(text).is_ok_and(|url| ["http", "https", "ftp"].contains(&url.scheme()) && url.has_host())
}

async fn create(call: Call) -> Answer {
    edit(&call, "package_repository.create", |batch| {
        let mut one = PackageRepository {
            name: String::new(),
            url: String::new(),
            distributions: Vec::new(),
            disabled_pockets: Vec::new(),
            disabled_components: Vec::new(),
            disable_sources: false,
            components: Vec::new(),
            arches: Vec::new(),
            key: String::new(),
            enabled: true,
            default: false,
        };
        apply(&call, &mut one, None)?;
        let id = edited::next_id::<PackageRepository>(&call).to_string();
        let batch = batch.claim(SCOPE, "package_repository", &one.name, &id);
        Ok((batch.create(SCOPE, &id, &one), Reply::Json(show(&id, &one))))
    })
    .await
}

async fn update(call: Call) -> Answer {
    edit(&call, "package_repository.update", |mut batch| {
        let seen = find(&call, call.arg(0))?;
        let mut one = seen.value.clone();
        apply(&call, &mut one, Some(&seen.id))?;
        if one.name != seen.value.name {
            batch = batch.unclaim(SCOPE, "package_repository", &seen.value.name, &seen.id).claim(
                SCOPE,
                "package_repository",
                &one.name,
                &seen.id,
            );
        }
        let shown = Reply::Json(show(&seen.id, &one));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), shown))
    })
    .await
}

async fn delete(call: Call) -> Answer {
    edit(&call, "package_repository.delete", |batch| {
        let seen = find(&call, call.arg(0))?;
        if seen.value.default {
            return Err(ApiError::Bad("Default repositories may not be deleted.".to_owned()));
        }
        let batch = batch.unclaim(SCOPE, "package_repository", &seen.value.name, &seen.id);
        Ok((batch.delete::<PackageRepository>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// The address of a default repository, as settings have it under the repository's name.
pub fn address(call: &Call, name: &str) -> Result<String, ApiError> {
    find(call, name).map(|one| one.value.url.clone())
}

/// Changes the address of a default repository.
pub async fn set_address(call: &Call, name: &str) -> Answer {
    edit(call, "package_repository.update", |batch| {
        let seen = find(call, name)?;
        let mut faults = Faults::default();
        let url = required(call, &mut faults, "value");
        if !url.is_empty() && !is_address(url) {
            faults.add(name, "Enter a valid URL.");
        }
        faults.check()?;
        let one = PackageRepository { url: url.to_owned(), ..seen.value.clone() };
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), Reply::Ok))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn packages_come_from_urls_and_ppas() {
        for good in ["http://archive.ubuntu.com/ubuntu", "https://x:8080/", "ppa:maas/next"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["archive.ubuntu.com", "ppa:maas", "ppa:a/", "file:///etc", "http://"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
