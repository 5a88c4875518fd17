//! Writes the CustomResourceDefinitions: one YAML file per kind into the given directory.

use std::path::PathBuf;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).context("usage: crdgen <directory>")?);
    std::fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    // A folded pattern or rule cannot be searched for, or copied.
    let unfolded = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    for crd in api_types::crds() {
        let path = directory.join(format!("{}.yaml", crd.spec.names.plural));
        let yaml = serde_saphyr::to_string_with_options(&crd, unfolded.clone())
            .with_context(|| format!("render {}", crd.spec.names.kind))?;
        std::fs::write(&path, format!("{}\n", yaml.trim_end()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
