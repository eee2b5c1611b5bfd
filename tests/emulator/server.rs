//! The HTTP side: accepts connections, hands requests to the actions and carries out the faults
//! of the transport.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::actions::perform;
use super::answer::Reply;
use super::body::AnswerBody;
use super::clock;
use super::control;
use super::faults::Fault;
use super::params::ApiRequest;
use super::random;
use super::sources::{self, Asked};
use super::sso::{self, Operation};
use super::state::Shared;

/// The largest request read, in bytes.
const MAX_REQUEST: usize = 1_048_576;

/// A running server; dropping it closes the port and all connections, also those that hang.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `listen` and serves in a thread of its own.
    ///
    /// # Errors
    /// The address cannot be listened on, or the thread not be started.
    pub(crate) fn start(listen: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // A runtime of its own: the emulator must work for tests without one, and must not share
        // the paused clock of tests with one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("sts-emulator".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed by then; here there is nothing to add.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            // Out of descriptors, for example: give the others time to close.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&shared), request));
            // An error here is the client's leaving or a fault that drops the connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => Vec::from(body.to_bytes()),
        Err(error) => return Err(io::Error::other(error)),
    };
    let request = ApiRequest::new(head.method, head.uri, head.headers, body);
    if let Some(path) = request.uri.path().strip_prefix("/_emulator/") {
        return Ok(control::respond(&shared, &request, path));
    }

    let (operation, asked) = (Operation::of(&request), Asked::of(request.uri.path()));
    let action = match (operation, asked) {
        (Some(operation), _) => Some(operation.name()),
        (None, Some(asked)) => Some(asked.action()),
        (None, None) => request.params.get("Action"),
    };
    let mut cleared = shared.cleared.subscribe();
    let ticket = shared.begin(&request, action.unwrap_or_default());
    match &ticket.fault {
        Some(Fault::DropConnection) => {
            shared.finish(&ticket, "DropConnection", None);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // An error means that the sender is gone, and with it the emulator.
        Some(Fault::Hang) => cleared.changed().await.map_err(io::Error::other)?,
        Some(Fault::Slow { delay_ms }) => {
            tokio::time::sleep(Duration::from_millis(*delay_ms)).await;
        }
        _ => {}
    }

    let fault = ticket.fault.as_ref();
    if let Some(asked) = asked {
        let answer = sources::respond(&mut shared.state.lock(), &request, asked, fault);
        shared.finish(&ticket, answer.result, answer.access_key_id);
        return Ok(answer.response);
    }
    let request_id = random::request_id();
    let (reply, now) = {
        let mut state = shared.state.lock();
        let reply = match operation {
            Some(operation) => {
                let host = request.header("host").unwrap_or_default();
                let endpoint = format!("http://{host}");
                sso::perform(&mut state, operation, &request, &endpoint, fault).into()
            }
            None => Reply::of_query(perform(&mut state, &request, fault), &request_id),
        };
        (reply, state.now())
    };
    let result = reply.error.or_else(|| fault.and_then(Fault::spoils)).unwrap_or("OK");
    shared.finish(&ticket, result, reply.issued_access_key_id.clone());

    let told = match fault {
        Some(Fault::WrongDate { seconds }) => clock::moved(now, *seconds),
        _ => now,
    };
    let mut response = Response::new(if reply.error.is_some() {
        AnswerBody::whole(reply.text)
    } else {
        spoilt(reply.text, fault)
    });
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(seconds) = reply.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let (Some(error), Some(_)) = (reply.error, operation) {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(error));
    }
    for (name, value) in [("x-amzn-requestid", request_id), (DATE.as_str(), clock::http_date(told))]
    {
        headers.insert(name, HeaderValue::from_str(&value).map_err(io::Error::other)?);
    }
    Ok(response)
}

/// The body of a good answer, spoilt as `fault` says.
fn spoilt(text: String, fault: Option<&Fault>) -> AnswerBody {
    match fault {
        Some(Fault::MalformedXml) => AnswerBody::whole("<AssumeRoleResponse><<Result &oops; />>"),
        Some(Fault::TruncatedXml) => AnswerBody::whole(text[..text.len() / 2].to_owned()),
        Some(Fault::DropMidAnswer) => AnswerBody::broken(&text),
        Some(Fault::HangMidAnswer) => AnswerBody::stalled(&text),
        Some(Fault::HugeAnswer { bytes }) => AnswerBody::huge(&text, *bytes),
        _ => AnswerBody::whole(text),
    }
}
