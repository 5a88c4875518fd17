//! The findings as lines, `path:line:column: severity: message [rule-id]`, which editors and build systems turn into links.

use std::io::{self, Write};

use super::{Document, shown};

pub(super) fn write(documents: &[Document], out: &mut impl Write) -> io::Result<()> {
    for Document { path, report } in documents {
        let path = shown(path);
        for finding in &report.findings {
            writeln!(
                out,
                "{path}:{}:{}: {}: {finding} [{}]",
                finding.line,
                finding.column,
                finding.severity.as_str(),
                finding.rule_id()
            )?;
        }
        if report.truncated {
            writeln!(out, "{path}: more findings are not listed")?;
        }
    }
    Ok(())
}
