//! `{{ … }}` in a plan: what the platform knows (`$sys`, `$var`, `$secret`, `$func`), and inputs of a template.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Values by their name: `$sys.namespace`, or `namespace` for an input. Never shown, because some are secret.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// The same with one more value, or with another one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Values {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(values: T) -> Self {
        Self(values.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the platform puts in: `{{ $sys.… }}`, `{{ $var.… }}`, `{{ $secret.… }}`, `{{ $func.base64encode(…) }}`.
pub fn render_platform(text: &str, values: &Values) -> anyhow::Result<String> {
    replace(text, |expression| match expression.strip_prefix("$func.base64encode(") {
        Some(rest) => {
            let inner =
                rest.strip_suffix(')').with_context(|| format!("{expression}: no closing bracket"))?;
            Ok(STANDARD.encode(platform_value(inner.trim(), values)?))
        }
        None => platform_value(expression, values).map(str::to_owned),
    })
}

/// What a template gets: `{{inputs.parameters.…}}`.
pub fn render_inputs(text: &str, inputs: &Values) -> anyhow::Result<String> {
    replace(text, |expression| {
        let name = input_name(expression)?;
        inputs.get(name).map(str::to_owned).with_context(|| format!("input {name} has no value"))
    })
}

/// Names of the inputs that a text uses.
pub(super) fn inputs_of(text: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    replace(text, |expression| {
        names.push(input_name(expression)?.to_owned());
        Ok(String::new())
    })?;
    Ok(names)
}

fn platform_value<'a>(expression: &str, values: &'a Values) -> anyhow::Result<&'a str> {
    if !["$sys.", "$var.", "$secret."].iter().any(|known| expression.starts_with(known)) {
        bail!("{expression}: expected $sys.…, $var.…, $secret.… or $func.base64encode(…)");
    }
    values.get(expression).with_context(|| format!("{expression} has no value"))
}

fn input_name(expression: &str) -> anyhow::Result<&str> {
    expression
        .strip_prefix("inputs.parameters.")
        .with_context(|| format!("{expression}: expected inputs.parameters.<name>"))
}

/// Puts something in the place of each `{{ … }}`.
fn replace(text: &str, mut value_of: impl FnMut(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let (mut rendered, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (expression, after) =
            after.split_once("}}").with_context(|| format!("`{{{{` without `}}}}`: {after}"))?;
        rendered.push_str(before);
        rendered.push_str(&value_of(expression.trim())?);
        rest = after;
    }
    rendered.push_str(rest);
    Ok(rendered)
}

#[cfg(test)]
mod tests;
