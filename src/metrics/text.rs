//! The text-based exposition format of Prometheus, version 0.0.4 (Prometheus documentation,
//! "Exposition formats"). The scrape of a server and node exporter's textfile collector read it.

use std::fmt::{Display, Write as _};

use super::names::Family;

/// Labels of one sample: names that are legal, and values of any text.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A text under construction: families one after the other, each with all its samples.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a family.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.name()));
    }

    /// A sample of the family that was begun last.
    pub(super) fn sample(&mut self, family: &Family, labels: Labels<'_>, value: impl Display) {
        self.part(family, "", labels, value);
    }

    /// A sample whose name is that of the family and `suffix`: a part of a histogram.
    pub(super) fn part(
        &mut self,
        family: &Family,
        suffix: &str,
        labels: Labels<'_>,
        value: impl Display,
    ) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = match &labels[..] {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        self.line(format_args!("{}{suffix}{labels} {value}", family.name));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A label value, as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
