//! The smallest reader of INI: what all AWS clients agree on, and nothing more. What it does not
//! understand is a finding.

/// A section: its header, and its pairs in order.
pub type Section = (String, Vec<(String, String)>);

/// The sections of a text that credmount rendered.
///
/// # Panics
/// If a line is none that every client reads alike.
pub fn sections(text: &str) -> Vec<Section> {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut sections: Vec<Section> = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(!line.contains(char::is_control), "a control character: {line:?}");
        if let Some(header) = line.strip_prefix('[') {
            let header = header.strip_suffix(']').expect("a header that ends");
            assert!(!header.contains([']', '[']), "brackets in a header: {line:?}");
            sections.push((header.to_owned(), Vec::new()));
            continue;
        }
        let (key, value) = pair(line);
        let pairs = &mut sections.last_mut().expect("a section before the first pair").1;
        pairs.push((key.to_owned(), value.to_owned()));
    }
    sections
}

/// `key = value`, a nested one indented, or the `key =` above it.
fn pair(line: &str) -> (&str, &str) {
    let Some((key, value)) = line.trim_start().split_once(" = ") else {
        return (line.strip_suffix(" =").expect("a key and a value"), "");
    };
    assert!(!key.is_empty() && key.trim() == key && !key.contains(['=', ':', '#', ';']), "{key:?}");
    assert!(!value.is_empty() && value.trim() == value, "{value:?}");
    assert!(!value.contains(" #") && !value.contains(" ;"), "a comment to some: {value:?}");
    (key, value)
}
