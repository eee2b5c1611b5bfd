//! Which file is what, and for whom.

use super::Publisher;
use crate::model::ProfileName;
use crate::tree::{FileId, View};

impl Publisher {
    /// The path of a file in the mount, for records.
    pub fn path(&self, file: FileId) -> String {
        let name = |index: usize| self.sections[index].name.as_str();
        match file {
            FileId::Credentials => "credentials".to_owned(),
            FileId::Config => "config".to_owned(),
            FileId::Status => "credmount/status.json".to_owned(),
            FileId::Metrics => "credmount/metrics".to_owned(),
            FileId::Process(index) => format!("credmount/process/{}.json", name(index)),
            FileId::Error(index) => format!("credmount/errors/{}", name(index)),
        }
    }

    /// Whether readers of `view` may open a file.
    pub fn shows(&self, file: FileId, view: View) -> bool {
        match file {
            FileId::Process(index) | FileId::Error(index) => self.views[view.0].contains(&index),
            FileId::Credentials | FileId::Config | FileId::Status | FileId::Metrics => true,
        }
    }

    /// The profiles whose keys or failures stand in a file for readers of `view`, whether or not
    /// there are any at the moment. For a reader without a view, those that the file is named after.
    pub fn profiles(&self, file: FileId, view: Option<View>) -> Vec<&ProfileName> {
        let sections = match (file, view) {
            (FileId::Process(index) | FileId::Error(index), _) => vec![index],
            (FileId::Credentials, Some(view)) => self.views[view.0].clone(),
            (FileId::Credentials, None)
            | (FileId::Config | FileId::Status | FileId::Metrics, _) => Vec::new(),
        };
        sections.into_iter().map(|index| &self.sections[index].name).collect()
    }

    /// The view of a file that readers of `view` get: only `credentials` differs.
    pub fn content_of(file: FileId, view: View) -> View {
        if file == FileId::Credentials { view } else { View::ALL }
    }
}
