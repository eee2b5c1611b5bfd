//! Which of several values of one option counts.
//!
//! 1. Flags win over `CREDMOUNT_*` variables, these over files.
//! 2. In one layer, what a mount says of itself wins over what a role says of itself, and this
//!    over what is said for all.
//! 3. AWS files and the variables of other tools rank with files.

use super::error::Origin;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Sourced<T> {
    pub(in crate::config) value: T,
    pub(in crate::config) origin: Origin,
}

impl<T> Sourced<T> {
    pub(in crate::config) fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// The layers; the first wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum Layer {
    Flags,
    Environment,
    File,
}

impl Layer {
    pub(in crate::config) const ALL: [Self; 3] = [Self::Flags, Self::Environment, Self::File];
}

impl Origin {
    pub(in crate::config) fn layer(&self) -> Layer {
        match self {
            Self::Flag(_) => Layer::Flags,
            Self::Variable(name) if name.starts_with("CREDMOUNT_") => Layer::Environment,
            Self::Variable(_) | Self::Line { .. } | Self::Whole => Layer::File,
        }
    }
}

/// The values of one option. Of two in one layer the first counts.
#[derive(Debug, Clone)]
pub(in crate::config) struct Layered<T> {
    /// What one mount says of itself.
    mount: Vec<Sourced<T>>,
    /// What is said for all.
    all: Vec<Sourced<T>>,
}

impl<T> Layered<T> {
    pub(in crate::config) fn new(mount: Vec<Sourced<T>>, all: Vec<Sourced<T>>) -> Self {
        Self { mount, all }
    }

    /// The value that counts when no role has one of its own.
    pub(in crate::config) fn first(&self) -> Option<&Sourced<T>> {
        self.for_role(None, true)
    }

    /// Its value alone.
    pub(in crate::config) fn value(&self) -> Option<T>
    where
        T: Clone,
    {
        self.first().map(|found| found.value.clone())
    }

    /// The value that counts for all mounts, whatever one of them says of itself.
    pub(in crate::config) fn common(&self) -> Option<&Sourced<T>> {
        Layer::ALL
            .into_iter()
            .find_map(|layer| self.all.iter().find(|value| value.origin.layer() == layer))
    }

    /// The value that counts for a role which says `own`.
    ///
    /// Mounts, flags and variables are about the roles that are served, not about those that are
    /// only assumed on the way (`served` is false): there only files count.
    pub(in crate::config) fn for_role<'a>(
        &'a self,
        own: Option<&'a Sourced<T>>,
        served: bool,
    ) -> Option<&'a Sourced<T>> {
        Layer::ALL.into_iter().find_map(|layer| {
            let of_layer = |value: &&Sourced<T>| value.origin.layer() == layer;
            let mount = self.mount.iter().find(of_layer).filter(|_| served);
            let all = self.all.iter().find(of_layer);
            let all = all.filter(|_| served || layer == Layer::File);
            mount.or(own.filter(of_layer)).or(all)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: &'static str, origin: &Origin) -> Sourced<&'static str> {
        Sourced::new(value, origin.clone())
    }

    #[test]
    fn layer_beats_layer_and_in_one_layer_the_mount_beats_the_role_and_the_role_the_default() {
        let flag = Origin::Flag("--region".to_owned());
        let variable = Origin::variable("CREDMOUNT_REGION");
        let file = Origin::line("c".as_ref(), 1);
        let common = |values| Layered::new(Vec::new(), values);
        let all = common(vec![at("file", &file), at("env", &variable), at("flag", &flag)]);
        let lower = common(vec![at("file", &file), at("env", &variable)]);
        let lowest = common(vec![at("file", &file)]);
        let in_mount = Layered::new(vec![at("mount", &file)], vec![at("file", &file)]);
        let below = Layered::new(vec![at("mount", &file)], vec![at("env", &variable)]);
        let in_file = at("own", &file);
        let in_environment = at("own", &Origin::variable("CREDMOUNT_ROLES"));
        let pick =
            |layered: &Layered<&'static str>, own: Option<&Sourced<&'static str>>, served| {
                layered.for_role(own, served).map(|value| value.value)
            };
        assert_eq!(pick(&all, Some(&in_environment), true), Some("flag"));
        assert_eq!(pick(&lower, Some(&in_file), true), Some("env"));
        assert_eq!(pick(&lower, Some(&in_environment), true), Some("own"));
        assert_eq!(pick(&lowest, Some(&in_file), true), Some("own"));
        assert_eq!(pick(&lowest, None, true), Some("file"));
        assert_eq!(pick(&all, Some(&in_file), false), Some("own"));
        assert_eq!(pick(&all, None, false), Some("file"));
        assert_eq!(pick(&in_mount, Some(&in_file), true), Some("mount"));
        assert_eq!(pick(&in_mount, Some(&in_environment), true), Some("own"));
        assert_eq!(pick(&in_mount, Some(&in_file), false), Some("own"));
        assert_eq!(pick(&in_mount, None, false), Some("file"));
        assert_eq!(pick(&below, Some(&in_file), true), Some("env"));
    }
}
