//! Writes the files that are generated from the types. `crdgen <directory>` writes the CustomResourceDefinitions, one
//! YAML file per kind. `crdgen --docs <directory>` writes the generated tables inside the documents of that directory.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use api_types::render;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--docs", directory] => write_tables(Path::new(directory)),
        [directory] if !directory.starts_with('-') => write_crds(Path::new(directory)),
        _ => bail!("usage: crdgen <directory> | crdgen --docs <directory>"),
    }
}

fn write_crds(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for crd in api_types::crds() {
        let path = directory.join(format!("{}.yaml", crd.spec.names.plural));
        let yaml = render::crd_yaml(&crd).with_context(|| format!("render {}", crd.spec.names.kind))?;
        fs::write(&path, yaml).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn write_tables(directory: &Path) -> anyhow::Result<()> {
    for document in render::documents() {
        let path = directory.join(&document.path);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let updated = document.update(&text).with_context(|| format!("update {}", path.display()))?;
        fs::write(&path, updated).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
