//! Inode numbers and the shape of the tree.

use std::collections::{BTreeMap, HashMap};

use crate::fnv::fnv1a;

/// An inode number. It follows from the path alone: the same after a restart, never used for
/// another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root directory (`FUSE_ROOT_ID` in the kernel's `fuse.h`).
    pub const ROOT: Self = Self(1);

    /// The file `credentials` of every tree.
    pub const CREDENTIALS: Self = Self(3_323_085_353_554_728);

    /// The number of a path relative to the root: its hash folded into 51 bits below 2^52, so that
    /// it is exact in a JavaScript number and never the root's.
    fn of_path(path: &str) -> Self {
        let hash = fnv1a(path.as_bytes());
        Self((hash ^ (hash >> 51)) & ((1 << 51) - 1) | 1 << 51)
    }
}

/// What a mount has beside the files that every tree has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The profiles, each with files of its own, in the order of the mount.
    pub profiles: Vec<String>,
    /// Whether there is `credmount/endpoint/token`.
    pub endpoint: bool,
    /// The tokens of services other than AWS, each with a directory of its own.
    pub tokens: Vec<TokenFiles>,
}

/// The directory of one token: `credmount/KIND/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFiles {
    /// The directory that all of this kind are in.
    pub kind: &'static str,
    /// Its own name there.
    pub name: String,
    /// The files in it.
    pub files: &'static [TokenFile],
}

/// A file about one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFile {
    /// `error`: why there is no token.
    Error,
    /// `git-credentials`
    GitCredentials,
    /// `id_ed25519-cert.pub`
    SshCertificate,
    /// `id_ed25519`
    SshKey,
    /// `token`
    Token,
}

impl TokenFile {
    /// Its name in the directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::GitCredentials => "git-credentials",
            Self::SshCertificate => "id_ed25519-cert.pub",
            Self::SshKey => "id_ed25519",
            Self::Token => "token",
        }
    }
}

/// A file of the tree. Profiles are numbered in the order of the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileId {
    /// `credentials`
    Credentials,
    /// `config`
    Config,
    /// `credmount/status.json`
    Status,
    /// `credmount/metrics`
    Metrics,
    /// `credmount/endpoint/token`
    EndpointToken,
    /// `credmount/process/NAME.json`
    Process(usize),
    /// `credmount/errors/NAME`
    Error(usize),
    /// `credmount/KIND/NAME/…`, by the place in [`Contents::tokens`].
    Token(usize, TokenFile),
}

impl FileId {
    /// Whether reading it may give keys, or what opens the way to them.
    pub fn holds_keys(self) -> bool {
        match self {
            Self::Credentials | Self::EndpointToken | Self::Process(_) => true,
            Self::Token(_, file) => file != TokenFile::Error,
            Self::Config | Self::Status | Self::Metrics | Self::Error(_) => false,
        }
    }
}

/// What an inode number stands for.
#[derive(Debug)]
pub(super) enum Node {
    Directory(Vec<(String, Ino)>),
    File(FileId),
}

/// All nodes of a mount.
pub(super) fn layout(contents: &Contents) -> HashMap<Ino, Node> {
    let mut nodes = HashMap::new();
    let mut process = Vec::new();
    let mut errors = Vec::new();
    for (index, profile) in contents.profiles.iter().enumerate() {
        let name = format!("{profile}.json");
        let path = format!("credmount/process/{name}");
        process.push((name, insert(&mut nodes, &path, Node::File(FileId::Process(index)))));
        let path = format!("credmount/errors/{profile}");
        errors.push((profile.clone(), insert(&mut nodes, &path, Node::File(FileId::Error(index)))));
    }
    let mut own = vec![
        named("errors", insert(&mut nodes, "credmount/errors", Node::Directory(errors))),
        named("metrics", insert(&mut nodes, "credmount/metrics", Node::File(FileId::Metrics))),
        named("process", insert(&mut nodes, "credmount/process", Node::Directory(process))),
        named(
            "status.json",
            insert(&mut nodes, "credmount/status.json", Node::File(FileId::Status)),
        ),
    ];
    if contents.endpoint {
        let token = Node::File(FileId::EndpointToken);
        let token = named("token", insert(&mut nodes, "credmount/endpoint/token", token));
        let directory = insert(&mut nodes, "credmount/endpoint", Node::Directory(vec![token]));
        own.insert(0, named("endpoint", directory));
    }
    own.extend(tokens(&mut nodes, contents));
    own.sort();
    let root = vec![
        named("config", insert(&mut nodes, "config", Node::File(FileId::Config))),
        named("credentials", insert(&mut nodes, "credentials", Node::File(FileId::Credentials))),
        named("credmount", insert(&mut nodes, "credmount", Node::Directory(own))),
    ];
    nodes.insert(Ino::ROOT, Node::Directory(root));
    nodes
}

/// The directories of tokens, by their kinds.
fn tokens(nodes: &mut HashMap<Ino, Node>, contents: &Contents) -> Vec<(String, Ino)> {
    let mut kinds: BTreeMap<&str, Vec<(String, Ino)>> = BTreeMap::new();
    for (index, TokenFiles { kind, name, files }) in contents.tokens.iter().enumerate() {
        let path = format!("credmount/{kind}/{name}");
        let file = |file: &TokenFile| {
            let path = format!("{path}/{}", file.name());
            named(file.name(), insert(nodes, &path, Node::File(FileId::Token(index, *file))))
        };
        let files = files.iter().map(file).collect();
        let own = named(name, insert(nodes, &path, Node::Directory(files)));
        kinds.entry(kind).or_default().push(own);
    }
    let directory = |(kind, entries)| {
        named(kind, insert(nodes, &format!("credmount/{kind}"), Node::Directory(entries)))
    };
    kinds.into_iter().map(directory).collect()
}

fn named(name: &str, ino: Ino) -> (String, Ino) {
    (name.to_owned(), ino)
}

/// Two paths with one hash are so unlikely (2^-32 for a thousand profiles) that the rule for it,
/// the next free number, need not survive a change of the profiles.
fn insert(nodes: &mut HashMap<Ino, Node>, path: &str, node: Node) -> Ino {
    let mut ino = Ino::of_path(path);
    while nodes.contains_key(&ino) {
        ino.0 += 1;
    }
    nodes.insert(ino, node);
    ino
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(profiles: &[&str]) -> Contents {
        let profiles = profiles.iter().map(ToString::to_string).collect();
        Contents { profiles, ..Contents::default() }
    }

    #[test]
    fn numbers_follow_from_the_path_alone() {
        let few = layout(&contents(&["prod"]));
        let many = layout(&Contents { endpoint: true, ..contents(&["default", "prod", "dev"]) });
        let ino = Ino::of_path("credmount/process/prod.json");
        assert!(matches!(few[&ino], Node::File(FileId::Process(0))));
        assert!(matches!(many[&ino], Node::File(FileId::Process(1))));
        // Pinned: a daemon of a later version has to know the numbers of an earlier one.
        assert_eq!(Ino::of_path("credentials"), Ino::CREDENTIALS);
    }

    #[test]
    fn tokens_of_one_kind_are_in_one_directory() {
        let token = |name: &str| TokenFiles {
            kind: "github",
            name: name.to_owned(),
            files: &[TokenFile::Error, TokenFile::Token],
        };
        let tokens = vec![token("acme"), token("octo")];
        let nodes = layout(&Contents { tokens, ..contents(&["prod"]) });
        let names = |path: &str| match &nodes[&Ino::of_path(path)] {
            Node::Directory(entries) => entries.iter().map(|it| it.0.clone()).collect::<Vec<_>>(),
            Node::File(id) => panic!("{id:?}"),
        };
        assert_eq!(names("credmount"), ["errors", "github", "metrics", "process", "status.json"]);
        assert_eq!(names("credmount/github"), ["acme", "octo"]);
        assert_eq!(names("credmount/github/octo"), ["error", "token"]);
        let file = &nodes[&Ino::of_path("credmount/github/octo/token")];
        assert!(matches!(file, Node::File(FileId::Token(1, TokenFile::Token))));
    }

    #[test]
    fn a_thousand_profiles_have_distinct_numbers_below_2_to_the_52() {
        let profiles = (0..1000).map(|n| format!("role-{n}")).collect();
        let nodes = layout(&Contents { profiles, endpoint: true, tokens: Vec::new() });
        assert_eq!(nodes.len(), 2 * 1000 + 10);
        assert!(nodes.keys().all(|ino| ino.0 < 1 << 52));
    }
}
