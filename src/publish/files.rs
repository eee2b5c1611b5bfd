//! What the files of a mount hold, and for whom.

use std::sync::Arc;

use super::Publisher;
use crate::model::{Role, RoleChain, TokenGrant};
use crate::tree::{FileId, View};

impl Publisher {
    /// The chains that the content of a file depends on.
    pub fn chains(&self, file: FileId, view: View) -> Vec<Arc<RoleChain>> {
        let chain = |index: &usize| self.served.roles[self.sections[*index].role].chain.clone();
        match file {
            _ if self.refusal().is_some() || self.served.roleless => Vec::new(),
            FileId::Credentials => self.views[view.0].sections.iter().map(chain).collect(),
            FileId::Config
            | FileId::Status
            | FileId::Metrics
            | FileId::EndpointToken
            | FileId::Token(..) => Vec::new(),
            FileId::Process(index) | FileId::Error(index) => vec![chain(&index)],
        }
    }

    /// The path of a file in the mount, for records.
    pub fn path(&self, file: FileId) -> String {
        let name = |index: usize| self.sections[index].name.as_str();
        match file {
            FileId::Credentials => "credentials".to_owned(),
            FileId::Config => "config".to_owned(),
            FileId::Status => "credmount/status.json".to_owned(),
            FileId::Metrics => "credmount/metrics".to_owned(),
            FileId::EndpointToken => "credmount/endpoint/token".to_owned(),
            FileId::Process(index) => format!("credmount/process/{}.json", name(index)),
            FileId::Error(index) => format!("credmount/errors/{}", name(index)),
            FileId::Token(index, part) => {
                format!("credmount/{}/{}", self.served.tokens[index].name(), part.name())
            }
        }
    }

    /// Whether readers of `view` may open a file. One with keys that would have none for them says no
    /// more than that they may not.
    pub fn shows(&self, file: FileId, view: View) -> bool {
        let shown = &self.views[view.0];
        match file {
            FileId::Process(index) | FileId::Error(index) => shown.sections.contains(&index),
            FileId::Token(index, _) => shown.tokens.contains(&index),
            // It opens the way to every role. Where nothing is served it tells why, to everybody.
            FileId::EndpointToken => view == View::ALL || self.served.failing.is_some(),
            FileId::Credentials => view == View::ALL || !shown.sections.is_empty(),
            FileId::Config | FileId::Status | FileId::Metrics => true,
        }
    }

    /// The profiles whose keys or failures stand in a file, or to which it opens the way, for
    /// readers of `view`, whether or not there are any at the moment; the token that it is about.
    /// For a reader without a view, those that the file is named after.
    pub fn names(&self, file: FileId, view: Option<View>) -> Vec<String> {
        let sections = match (file, view) {
            (FileId::Token(index, _), _) => return vec![self.served.tokens[index].name()],
            (FileId::Process(index) | FileId::Error(index), _) => vec![index],
            (FileId::Credentials | FileId::EndpointToken, Some(view)) => {
                self.views[view.0].sections.clone()
            }
            (FileId::Credentials | FileId::EndpointToken, None)
            | (FileId::Config | FileId::Status | FileId::Metrics, _) => Vec::new(),
        };
        sections.into_iter().map(|index| self.sections[index].name.to_string()).collect()
    }

    /// The view of a file that readers of `view` get: only `credentials` differs.
    pub fn content_of(file: FileId, view: View) -> View {
        if file == FileId::Credentials { view } else { View::ALL }
    }

    /// The roles of a view, in the order of the mount.
    pub fn roles(&self, view: View) -> impl Iterator<Item = &Role> {
        let sections = &self.views[view.0].sections;
        let shown = move |role: usize| {
            !self.served.roleless && sections.iter().any(|it| self.sections[*it].role == role)
        };
        let numbered = self.served.roles.iter().enumerate();
        numbered.filter(move |(index, _)| shown(*index)).map(|(_, role)| role)
    }
    /// The tokens of a view, in the order of the mount.
    pub fn tokens(&self, view: View) -> impl Iterator<Item = &Arc<TokenGrant>> {
        self.views[view.0].tokens.iter().map(|index| &self.served.tokens[*index])
    }
}
