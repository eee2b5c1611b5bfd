//! Bodies of answers, sound and spoilt.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// What huge answers are filled with, one chunk at a time.
static FILLING: [u8; 65_536] = [b'A'; 65_536];

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// A whole text; `None` once it is sent.
    Whole(Option<Bytes>),
    /// A text shorter than promised; then the connection is closed.
    Broken { promised: u64, text: Option<Bytes>, is_flushed: bool },
    /// A text shorter than promised; then nothing more.
    Stalled { promised: u64, text: Option<Bytes> },
    /// A start, this many bytes of filling, and an end.
    Huge { start: Option<Bytes>, left: u64, end: Bytes },
}

impl AnswerBody {
    /// All of `text`.
    pub(crate) fn whole(text: impl Into<Bytes>) -> Self {
        Self::Whole(Some(text.into()))
    }

    /// The first half of `text`, and then the end of the connection.
    pub(crate) fn broken(text: &str) -> Self {
        let half = text[..text.len() / 2].to_owned();
        Self::Broken { promised: text.len() as u64, text: Some(half.into()), is_flushed: false }
    }

    /// The first half of `text`, and then nothing until the client closes.
    pub(crate) fn stalled(text: &str) -> Self {
        let half = text[..text.len() / 2].to_owned();
        Self::Stalled { promised: text.len() as u64, text: Some(half.into()) }
    }

    /// `xml` with an unknown element of `bytes` bytes in front of its first result element.
    pub(crate) fn huge(xml: &str, bytes: u64) -> Self {
        const RESULT: &str = "Result>\n";
        let at = xml.find(RESULT).map_or(0, |at| at + RESULT.len());
        let (start, end) = xml.split_at(at);
        Self::Huge {
            start: Some(format!("{start}<Filling>").into()),
            left: bytes,
            end: format!("</Filling>{end}").into(),
        }
    }

    fn next(&mut self, context: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(match self {
            Self::Whole(text) => text.take().map(Ok),
            Self::Broken { text, is_flushed, .. } => {
                if let Some(text) = text.take() {
                    Some(Ok(text))
                } else if *is_flushed {
                    Some(Err(io::ErrorKind::ConnectionAborted.into()))
                } else {
                    // hyper sends what it has when the body is not ready, but not when it fails.
                    *is_flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Self::Stalled { text, .. } => match text.take() {
                Some(text) => Some(Ok(text)),
                // Nobody wakes it: hyper drops it when the client has closed.
                None => return Poll::Pending,
            },
            Self::Huge { start, left, end } => {
                let chunk = usize::try_from(*left).map_or(FILLING.len(), |l| l.min(FILLING.len()));
                if let Some(start) = start.take() {
                    Some(Ok(start))
                } else if chunk > 0 {
                    *left -= chunk as u64;
                    Some(Ok(Bytes::from_static(&FILLING[..chunk])))
                } else {
                    let end = std::mem::take(end);
                    *self = Self::Whole(None);
                    Some(Ok(end))
                }
            }
        })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.next(context).map(|next| next.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Broken { promised, .. } | Self::Stalled { promised, .. } => {
                SizeHint::with_exact(*promised)
            }
            Self::Huge { .. } => SizeHint::default(),
        }
    }
}
