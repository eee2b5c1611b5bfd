//! Names of GitHub: owners, repositories, hosts.

use super::{NameError, checked_text, quoted, shown};

checked_text! {
    /// A user or an organization: 1 to 39 letters, digits and single hyphens, none at the ends
    /// (GitHub Docs, "Username considerations for external authentication"). Users that a company
    /// manages have one `_` before its short name. It is also the name of a directory.
    GithubOwner
}

impl GithubOwner {
    /// Parses and checks.
    ///
    /// # Errors
    /// When GitHub could not have given the name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let found = quoted(text);
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let problem = if text.is_empty() {
            "is empty: write the name of a user or an organization".to_owned()
        } else if let Some(wrong) = text.chars().find(|&c| !legal(c)) {
            format!("{found} contains {}: GitHub has letters, digits and hyphens", shown(wrong))
        } else if text.len() > 39 {
            format!("{found} has {} characters: GitHub allows 39", text.len())
        } else if text.starts_with(['-', '_']) || text.ends_with(['-', '_']) || text.contains("--")
        {
            format!("{found} has a hyphen at an end, or two in a row, which GitHub does not allow")
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError(format!("GitHub owner {problem}")))
    }
}

checked_text! {
    /// A repository without its owner: 1 to 100 letters, digits and `._-`.
    GithubRepository
}

impl GithubRepository {
    /// Parses and checks.
    ///
    /// # Errors
    /// When GitHub could not have given the name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let found = quoted(text);
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let problem = if text.is_empty() || text == "." || text == ".." {
            format!("{found} is no name: write that of a repository, without its owner")
        } else if let Some(wrong) = text.chars().find(|&c| !legal(c)) {
            let shown = shown(wrong);
            format!("{found} contains {shown}: write the name without its owner, as in `api`")
        } else if text.len() > 100 {
            format!("{found} has {} characters: GitHub allows 100", text.len())
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError(format!("GitHub repository {problem}")))
    }
}

checked_text! {
    /// A host as it stands in a URL, with a port if it has one of its own.
    HostName
}

impl HostName {
    /// Parses and checks.
    ///
    /// # Errors
    /// When it could be more than a host and a port.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        let (host, port) = text.split_once(':').unwrap_or((text, "443"));
        let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host.chars().all(legal)
            && text.len() <= 253;
        if is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError(format!("host {} is none: write one such as github.com", quoted(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_those_that_github_has() {
        let longest = "x".repeat(39);
        for legal in ["acme", "Acme-Corp", "a", "0x1", "mona_acme", &longest] {
            assert_eq!(GithubOwner::parse(legal).unwrap().as_str(), legal);
        }
        let too_long = "x".repeat(40);
        for (text, part) in [
            ("", "is empty"),
            ("-a", "has a hyphen at an end"),
            ("a-", "has a hyphen at an end"),
            ("a--b", "two in a row"),
            ("a/b", "contains `/`"),
            ("..", "contains `.`"),
            ("å", "contains `å`"),
            (&too_long, "has 40 characters"),
        ] {
            let found = GithubOwner::parse(text).unwrap_err().to_string();
            assert!(found.contains(part), "{text}: {found}");
        }
    }

    #[test]
    fn repositories_are_named_without_their_owner() {
        for legal in ["api", ".github", "a.b_c-d"] {
            assert!(GithubRepository::parse(legal).is_ok(), "{legal}");
        }
        for text in ["", ".", "..", "acme/api", "a b", "a\n", &"x".repeat(101)] {
            assert!(GithubRepository::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_no_more_than_that() {
        for legal in ["github.com", "git.example.com:8443", "localhost:1", "127.0.0.1:9"] {
            assert!(HostName::parse(legal).is_ok(), "{legal}");
        }
        for text in ["", "a/b", "a@b", "https://a", "a:", "a:0", "a:x", "-a", "a b", "a\nb"] {
            assert!(HostName::parse(text).is_err(), "{text}");
        }
    }
}
