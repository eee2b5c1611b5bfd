//! An HTTP transport that gives one and the same answer to every request.

use std::cell::RefCell;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

thread_local! {
    /// What is answered to every request.
    static ANSWER: RefCell<Answer> = RefCell::default();
}

/// An HTTP answer: a status and lines of header, then after an empty line the body.
#[derive(Debug, Clone, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(text: &[u8]) -> Self {
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(200);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Self { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    fn response(&self) -> HttpResponse {
        let status = self.status.clamp(100, 599).try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(self.body.clone()));
        for (name, value) in &self.headers {
            // What is no header a HTTP client would not let through.
            let _ = response.headers_mut().try_append(name.clone(), value.clone());
        }
        response
    }
}

/// The transport. What it gives was said to [`answer_all`].
#[derive(Debug, Clone, Copy)]
pub struct Canned;

impl HttpConnector for Canned {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(ANSWER.with_borrow(Answer::response)))
    }
}

impl HttpClient for Canned {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self)
    }
}

/// From now on this is answered to every request of this thread: a status and lines of header, then
/// after an empty line the body.
pub fn answer_all(text: &[u8]) {
    ANSWER.set(Answer::parse(text));
}
