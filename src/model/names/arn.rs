//! The ARN of an IAM role.

use std::fmt;

use super::{AccountId, NameError, Partition, is_iam_name_character, quoted, shown};

/// The longest ARN that STS accepts, in characters (STS API, `RoleArn`).
const MAX_LEN: usize = 2048;

/// The longest role name (IAM API, `RoleName`).
const MAX_ROLE_NAME: usize = 64;

/// The ARN of an IAM role: `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn {
    text: String,
    partition: Partition,
    account_id: AccountId,
    /// Where the resource's path and name begin in `text`, after `role`: at the `/`.
    path_start: usize,
    /// Where the role name begins in `text`.
    name_start: usize,
}

impl RoleArn {
    /// Parses and checks.
    ///
    /// # Errors
    /// Says which of the six parts is wrong and what is right.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse =
            |problem: String| Err(NameError(format!("role ARN {}: {problem}", quoted(text))));
        if text.len() > MAX_LEN {
            return refuse(format!("it has more than {MAX_LEN} characters"));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, service, region, account_id, resource] = parts.as_slice() else {
            return refuse(format!(
                "it has {} between colons, not 6: write arn:aws:iam::ACCOUNT:role/NAME",
                if parts.len() == 1 {
                    "1 part".to_owned()
                } else {
                    format!("{} parts", parts.len())
                }
            ));
        };
        if *arn != "arn" {
            return refuse(format!("it begins with {}, not with `arn`", quoted(arn)));
        }
        let partition = match Partition::parse(partition) {
            Ok(partition) => partition,
            Err(error) => return refuse(error.to_string()),
        };
        if *service == "sts" && resource.starts_with("assumed-role/") {
            return refuse(format!(
                "this is the ARN of a session, not of a role: write {}",
                role_of_session(partition, account_id, resource)
            ));
        }
        if *service != "iam" {
            return refuse(format!("service is {}, not `iam`", quoted(service)));
        }
        if !region.is_empty() {
            return refuse(format!(
                "region is {}, but IAM has none: leave the fourth part empty",
                quoted(region)
            ));
        }
        let account_id = match AccountId::parse(account_id) {
            Ok(account_id) => account_id,
            Err(error) => return refuse(error.to_string()),
        };
        let Some(path_and_name) = resource.strip_prefix("role/") else {
            return refuse(format!(
                "resource is {}: write `role/` and the role name",
                quoted(resource)
            ));
        };
        let name = path_and_name.rsplit('/').next().unwrap_or_default();
        let path = &path_and_name[..path_and_name.len() - name.len()];
        if let Err(error) = check_path(path).and_then(|()| check_role_name(name)) {
            return refuse(error.to_string());
        }
        Ok(Self {
            text: text.to_owned(),
            partition,
            account_id,
            path_start: text.len() - path_and_name.len() - 1,
            name_start: text.len() - name.len(),
        })
    }

    /// Puts an ARN together. `role` is the role name, after its path where it has one
    /// (`team/admin`).
    ///
    /// # Errors
    /// As [`RoleArn::parse`], about the path and the name.
    pub fn new(partition: Partition, account: &AccountId, role: &str) -> Result<Self, NameError> {
        let role = role.strip_prefix('/').unwrap_or(role);
        let name = role.rsplit('/').next().unwrap_or_default();
        check_path(&role[..role.len() - name.len()])?;
        check_role_name(name)?;
        Self::parse(&format!("arn:{partition}:iam::{account}:role/{role}"))
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The account that owns the role.
    pub fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    /// The path: `/`, or for example `/team/dev/`.
    pub fn path(&self) -> &str {
        &self.text[self.path_start..self.name_start]
    }

    /// The role name: what follows the path.
    pub fn role_name(&self) -> &str {
        &self.text[self.name_start..]
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A role name: 1 to 64 characters of `[\w+=,.@-]`.
fn check_role_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError("the role name is empty: write it after `role/`".to_owned()));
    }
    if let Some(wrong) = name.chars().find(|&character| !is_iam_name_character(character)) {
        return Err(NameError(format!(
            "role name {} contains {}: IAM accepts letters, digits and + = , . @ - _",
            quoted(name),
            shown(wrong)
        )));
    }
    if name.len() > MAX_ROLE_NAME {
        return Err(NameError(format!(
            "role name {} has {} characters: at most {MAX_ROLE_NAME} are allowed",
            quoted(name),
            name.len()
        )));
    }
    Ok(())
}

/// A role path without its leading `/`: empty, or parts that each end with `/`, of printable
/// ASCII (IAM API, `Path`), at most 512 characters with the leading `/`.
fn check_path(path: &str) -> Result<(), NameError> {
    if path.len() > 511 {
        return Err(NameError("the role path has more than 512 characters".to_owned()));
    }
    if path.starts_with('/') || path.contains("//") {
        return Err(NameError(format!("role path {} has an empty part", quoted(path))));
    }
    if let Some(wrong) = path.chars().find(|character| !character.is_ascii_graphic()) {
        return Err(NameError(format!(
            "role path {} contains {}: IAM accepts printable ASCII without spaces",
            quoted(path),
            shown(wrong)
        )));
    }
    Ok(())
}

/// What somebody meant who copied the ARN that GetCallerIdentity prints.
fn role_of_session(partition: Partition, account_id: &str, resource: &str) -> String {
    let name = resource.split('/').nth(1).unwrap_or("NAME");
    let account_id = AccountId::parse(account_id)
        .map_or_else(|_| "ACCOUNT".to_owned(), |account_id| account_id.to_string());
    let name = if check_role_name(name).is_ok() { name } else { "NAME" };
    format!("arn:{partition}:iam::{account_id}:role/{name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_role_arn_knows_its_parts() {
        let arn = RoleArn::parse("arn:aws-cn:iam::123456789012:role/team/dev/a+b").expect("legal");
        assert_eq!(arn.partition(), Partition::AwsCn);
        assert_eq!(arn.account_id().as_str(), "123456789012");
        assert_eq!(arn.path(), "/team/dev/");
        assert_eq!(arn.role_name(), "a+b");
        let plain = RoleArn::parse("arn:aws:iam::123456789012:role/admin").expect("legal");
        assert_eq!((plain.path(), plain.role_name()), ("/", "admin"));
    }

    #[test]
    fn an_account_and_a_name_make_an_arn() {
        let account = AccountId::parse("123456789012").expect("legal");
        let arn = RoleArn::new(Partition::AwsUsGov, &account, "/team/admin").expect("legal");
        assert_eq!(arn.as_str(), "arn:aws-us-gov:iam::123456789012:role/team/admin");
        assert!(RoleArn::new(Partition::Aws, &account, "a:b").is_err());
        assert!(RoleArn::new(Partition::Aws, &account, "").is_err());
    }

    #[test]
    fn each_wrong_part_has_its_message() {
        for (text, problem) in [
            (
                "arn:aws:iam::role/x",
                "it has 5 parts between colons, not 6: write arn:aws:iam::ACCOUNT:role/NAME",
            ),
            (
                "arn:aws:iam::123456789012:role/a:b",
                "it has 7 parts between colons, not 6: write arn:aws:iam::ACCOUNT:role/NAME",
            ),
            ("urn:aws:iam::123456789012:role/x", "it begins with `urn`, not with `arn`"),
            ("arn:aws:s3::123456789012:role/x", "service is `s3`, not `iam`"),
            (
                "arn:aws:iam:eu-west-1:123456789012:role/x",
                "region is `eu-west-1`, but IAM has none: leave the fourth part empty",
            ),
            (
                "arn:aws:iam:::role/x",
                "the account id is empty: write 12 digits, such as 123456789012",
            ),
            (
                "arn:aws:iam::123456789012:user/x",
                "resource is `user/x`: write `role/` and the role name",
            ),
            ("arn:aws:iam::123456789012:role/", "the role name is empty: write it after `role/`"),
            (
                "arn:aws:iam::123456789012:role/team/",
                "the role name is empty: write it after `role/`",
            ),
            ("arn:aws:iam::123456789012:role//x", "role path `/` has an empty part"),
            (
                "arn:aws:iam::123456789012:role/a b",
                "role name `a b` contains a space: IAM accepts letters, digits and + = , . @ - _",
            ),
            (
                "arn:aws:sts::123456789012:assumed-role/admin/me",
                "this is the ARN of a session, not of a role: write \
                 arn:aws:iam::123456789012:role/admin",
            ),
        ] {
            assert_eq!(
                RoleArn::parse(text).expect_err("refused").to_string(),
                format!("role ARN `{text}`: {problem}")
            );
        }
        let unknown = RoleArn::parse("arn:aws-x:iam::123456789012:role/x").expect_err("refused");
        assert!(unknown.to_string().contains("partition `aws-x` is unknown"), "{unknown}");
        let long = format!("arn:aws:iam::123456789012:role/{}", "x".repeat(65));
        assert!(RoleArn::parse(&long).expect_err("refused").to_string().contains("65 characters"));
    }

    proptest! {
        #[test]
        fn legal_arns_come_back_whole(
            account in "[0-9]{12}", path in "([a-z0-9.-]{1,9}/){0,3}", name in "[A-Za-z0-9_+=,.@-]{1,64}"
        ) {
            let text = format!("arn:aws:iam::{account}:role/{path}{name}");
            let arn = RoleArn::parse(&text).expect("legal");
            prop_assert_eq!(arn.as_str(), &text);
            prop_assert_eq!(arn.role_name(), name);
            prop_assert_eq!(arn.path(), format!("/{path}"));
            prop_assert_eq!(RoleArn::new(arn.partition(), arn.account_id(), &arn.text[arn.path_start..]), Ok(arn));
        }

        #[test]
        fn no_text_panics(text in "(arn|x|:|/|aws|iam|sts|role|assumed-role|é|[0-9]{12}){0,12}") {
            let _ = RoleArn::parse(&text);
        }
    }
}
