//! The files of tokens: rendered at renewal, as those of roles are, but each for itself. Must not
//! know who asks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Publisher;
use super::fit::Content;
use super::served::token_files;
use crate::broker::{Broker, CLOCK_CHECK, Cause};
use crate::model::{ServedKey, Token, TokenContent, TokenGrant};
use crate::openssh;
use crate::render::{self, Padding, ProfileState, Text};
use crate::tree::{FileId, TokenFile, View};

/// What is known of the tokens of one mount.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) broker: Arc<Broker<TokenGrant>>,
    /// What was rendered last, by the place of the token. Held while publishing.
    last: tokio::sync::Mutex<Vec<Option<ProfileState<Token>>>>,
}

impl Tokens {
    pub(super) fn new(broker: Arc<Broker<TokenGrant>>, count: usize) -> Self {
        Self { broker, last: tokio::sync::Mutex::new(vec![None; count]) }
    }
}

impl Publisher {
    /// What keeps the tokens of the mount.
    pub fn token_broker(&self) -> &Arc<Broker<TokenGrant>> {
        &self.tokens.broker
    }

    /// The token that a file is about, if that still may be handed out.
    pub fn token_of(&self, file: FileId) -> Option<Arc<TokenGrant>> {
        match file {
            FileId::Token(index, _) if self.refusal().is_none() => {
                Some(self.served.tokens[index].clone())
            }
            _ => None,
        }
    }

    /// Brings the files of all tokens up to date and returns when this has to be done again. Those
    /// of a token of which nothing can be said yet stay as they are, so that opens of them wait,
    /// unless it is the one that is `decided`.
    pub(super) async fn publish_tokens(&self, decided: Option<usize>) -> SystemTime {
        let mut last = self.tokens.last.lock().await;
        let now = self.clock.now();
        let (mut again, mut touched) = (now + CLOCK_CHECK, Vec::new());
        for (index, last) in last.iter_mut().enumerate() {
            let cause = (decided == Some(index)).then_some(Cause::TimedOut);
            let Some((state, until)) = self.token_state(index, cause, now) else { continue };
            again = again.min(until);
            let files = token_files(&self.served.tokens[index]);
            let files = files.iter().map(|file| FileId::Token(index, *file));
            if last.as_ref().is_some_and(|last| last.same_as(&state)) {
                files.for_each(|file| self.tree.extend(file, View::ALL, until));
                continue;
            }
            // What is rendered only in part, because who waits gives up, counts as not rendered.
            *last = None;
            for file in files {
                let content = self.token_content(file, &state);
                touched.push(self.commit(file, View::ALL, content, until).await);
            }
            *last = Some(state);
        }
        drop(last);
        self.moved(touched);
        again
    }

    /// Returns when the token of a file can be served, or is known to be failing, at most after
    /// `deadline`.
    pub async fn settle_token(&self, file: FileId, deadline: Duration) {
        if let Some(grant) = self.token_of(file) {
            self.tokens.broker.settled(&grant, deadline).await;
        }
    }

    /// What is rendered of a token, as [`Publisher::state`] has it of roles.
    pub(super) fn token_state(
        &self,
        index: usize,
        decided: Option<Cause>,
        now: SystemTime,
    ) -> Option<(ProfileState<Token>, SystemTime)> {
        self.state(&self.tokens.broker, &self.served.tokens[index], decided, now)
    }

    /// What a file of a token in this state says.
    pub(super) fn token_content(&self, file: FileId, state: &ProfileState<Token>) -> Content {
        let FileId::Token(index, part) = file else { return none() };
        let grant = &self.served.tokens[index];
        let token = match state {
            ProfileState::Live(token) => token,
            ProfileState::Failing(error) => {
                let line = render::token_failure(grant, error);
                // To git a comment, as is every line that is no URL. Elsewhere it stands in the
                // place of the token: nobody takes it for none, and goes on without.
                let mark = if part == TokenFile::GitCredentials { "# " } else { "" };
                let text = Text::new(format!("{mark}{line}\n"));
                return (text, Vec::new(), Padding::Newlines);
            }
        };
        let (text, padding) = match (part, &**grant, &token.content) {
            (TokenFile::GitCredentials, TokenGrant::Github(github), TokenContent::Text(text)) => {
                (render::git_credentials(&github.host, text), Padding::Newlines)
            }
            // SDKs send along every byte of the file.
            (TokenFile::Token, TokenGrant::WebIdentity(_), TokenContent::Text(text)) => {
                (render::token_text(text), Padding::Nothing)
            }
            (TokenFile::Token, _, TokenContent::Text(text)) => {
                (render::token_text(text), Padding::Newlines)
            }
            // ssh reads no further than the last line of a key, and a file of another size than it
            // is told it takes for one that was changed.
            (TokenFile::SshKey, _, TokenContent::Ssh { key, .. }) => {
                (openssh::private_key(key), Padding::Newlines)
            }
            // Spaces are an empty comment. Empty lines are errors to ssh-keygen -L.
            (TokenFile::SshCertificate, _, TokenContent::Ssh { certificate, .. }) => {
                (Text::new(certificate.line.clone()), Padding::Spaces)
            }
            _ => return none(),
        };
        let (name, access_key_id) = (grant.name(), token.id.clone());
        let key = ServedKey { name, access_key_id, expiration: token.expiration };
        (text, vec![key], padding)
    }
}

/// Nothing to say.
fn none() -> Content {
    (Text::default(), Vec::new(), Padding::Newlines)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::broker::schedule::Jitter;
    use crate::broker::testing::{TestClock, session_of};
    use crate::broker::{BoxFuture, SessionError, SessionSource, TokenGiver};
    use crate::clock::Clock;
    use crate::model::{
        BaseCredentials, GithubGrant, GithubOwner, HostName, OidcIdentity, RoleHop, Secret,
        ServiceUrl, StsSession,
    };
    use crate::publish::Served;
    use crate::tree::{Open, Tree};

    /// What the issuer does; without a word it hangs.
    type Answer = Option<Result<&'static str, Cause>>;

    #[derive(Debug)]
    struct Issuer {
        clock: Arc<TestClock>,
        answer: Arc<Mutex<Answer>>,
    }

    impl TokenGiver for Issuer {
        fn token<'a>(
            &'a self,
            grant: &'a TokenGrant,
        ) -> BoxFuture<'a, Result<Token, SessionError>> {
            Box::pin(async move {
                let answer = *self.answer.lock();
                let Some(answer) = answer else { return std::future::pending().await };
                let issued = self.clock.now();
                let token = |text| Token {
                    content: TokenContent::Text(Secret::new(text)),
                    id: format!("hash of {text}"),
                    issued,
                    expiration: issued + HOUR,
                };
                answer.map(token).map_err(|cause| SessionError::new(grant.name(), cause, "words"))
            })
        }

        fn signed_in<'a>(&'a self, _grant: &'a TokenGrant) -> BoxFuture<'a, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[derive(Debug)]
    struct NoRoles;

    impl SessionSource for NoRoles {
        fn base<'a>(
            &'a self,
            _base: &'a BaseCredentials,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            Box::pin(async { Ok(session_of("BASE", SystemTime::UNIX_EPOCH, HOUR)) })
        }

        fn assume_role<'a>(
            &'a self,
            _hop: &'a RoleHop,
            with: &'a StsSession,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            Box::pin(async { Ok(with.clone()) })
        }
    }

    struct Scene {
        clock: Arc<TestClock>,
        answer: Arc<Mutex<Answer>>,
        grant: Arc<TokenGrant>,
        tree: Arc<Tree>,
        publisher: Arc<Publisher>,
    }

    impl Scene {
        fn new(answer: Answer) -> Self {
            let clock = Arc::new(TestClock::new());
            let answer = Arc::new(Mutex::new(answer));
            let url = |text| ServiceUrl::parse(text).unwrap();
            let identity = Arc::new(OidcIdentity {
                name: "work".to_owned(),
                issuer: url("https://issuer.example.com"),
                client_id: "credmount".to_owned(),
                scope: "openid".to_owned(),
                audience: None,
                token_url: None,
            });
            let grant = Arc::new(TokenGrant::Github(GithubGrant {
                identity,
                owner: GithubOwner::parse("acme").unwrap(),
                repositories: Vec::new(),
                token_url: url("https://issuer.example.com/github"),
                host: HostName::parse("github.com").unwrap(),
            }));
            let served = Served { tokens: vec![grant.clone()], ..Served::default() };
            let tree = Arc::new(Tree::new(&served.contents(), clock.now(), 1));
            let issuer = Issuer { clock: clock.clone(), answer: answer.clone() };
            let jitter = || Jitter::NONE;
            let tokens =
                Broker::<TokenGrant>::asking(Arc::new(issuer), clock.clone(), None, jitter);
            let roles = Broker::new(Arc::new(NoRoles), clock.clone(), None, jitter);
            let closed = Arc::default();
            let publisher =
                Publisher::new(served, roles, tokens, clock.clone(), tree.clone(), closed);
            Self { clock, answer, grant, tree, publisher }
        }

        async fn fetch(&self) {
            let _ = self.publisher.token_broker().refresh(&self.grant).await;
            self.publisher.publish(&[]).await;
        }

        /// What is published of a file, without its padding.
        fn published(&self, file: TokenFile) -> Option<String> {
            let file = FileId::Token(0, file);
            let Open::Ready(fh) = self.tree.open(file, View::ALL, self.clock.now()) else {
                return None;
            };
            let text = self.tree.read(fh, 0, u32::MAX).unwrap().bytes().to_vec();
            self.tree.release(fh);
            Some(String::from_utf8(text).unwrap().trim_end_matches('\n').to_owned())
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_token_stands_in_each_file_and_a_reason_where_there_is_none() {
        let scene = Scene::new(Some(Ok("ghs_1")));
        assert_eq!(scene.published(TokenFile::Token), None);
        scene.fetch().await;
        let text = |file| scene.published(file).unwrap();
        assert_eq!(text(TokenFile::Token), "ghs_1");
        assert_eq!(text(TokenFile::GitCredentials), "https://x-access-token:ghs_1@github.com");
        assert_eq!(text(TokenFile::Error), "");
        scene.publisher.close(Some(Cause::Locked)).await;
        let reason =
            "credmount: github/acme has no token: credmount is locked, run credmount status";
        assert_eq!(text(TokenFile::Token), reason);
        assert_eq!(text(TokenFile::GitCredentials), format!("# {reason}"));
        assert_eq!(text(TokenFile::Error), reason);
        scene.publisher.close(None).await;
        assert_eq!(text(TokenFile::Token), "ghs_1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_valid_token_outlives_a_failure_and_an_expired_one_is_never_published() {
        let scene = Scene::new(Some(Ok("ghs_1")));
        scene.fetch().await;
        *scene.answer.lock() = Some(Err(Cause::TokenDenied));
        advance(HOUR / 2).await;
        scene.fetch().await;
        assert_eq!(scene.published(TokenFile::Token).unwrap(), "ghs_1");
        scene.clock.jump(HOUR / 2);
        assert_eq!(scene.published(TokenFile::Token), None, "an open has to wait");
        scene.publisher.publish(&[]).await;
        let text = scene.published(TokenFile::Token).unwrap();
        assert!(text.contains("the issuer does not give this token"), "{text}");
        assert!(!text.contains("words"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_that_waited_in_vain_is_told_so_and_the_token_follows() {
        let scene = Scene::new(None);
        let file = FileId::Token(0, TokenFile::Token);
        let deadline = Duration::from_secs(10);
        let waited = scene.publisher.settle_token(file, deadline);
        timeout(deadline * 2, waited).await.expect("the deadline ends the wait");
        scene.publisher.publish_decided(file, View::ALL).await;
        let text = scene.published(TokenFile::Token).unwrap();
        assert!(text.contains("no answer came in time"), "{text}");
        let hurried = scene.publisher.hurried(file, View::ALL, Cause::Busy).await;
        assert!(hurried.keys().is_empty() && !hurried.bytes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_names_its_token_by_the_hash() {
        let scene = Scene::new(Some(Ok("ghs_1")));
        scene.fetch().await;
        let file = FileId::Token(0, TokenFile::GitCredentials);
        let Open::Ready(fh) = scene.tree.open(file, View::ALL, scene.clock.now()) else {
            panic!("it is published");
        };
        let keys = scene.tree.keys(fh);
        assert_eq!((&*keys[0].name, &*keys[0].access_key_id), ("github/acme", "hash of ghs_1"));
        assert_eq!(scene.publisher.names(file, None), ["github/acme"]);
        assert_eq!(scene.publisher.path(file), "credmount/github/acme/git-credentials");
    }
}
