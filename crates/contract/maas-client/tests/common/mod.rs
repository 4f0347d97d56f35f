//! A region that answers what it was told to, and keeps what it was asked.
#![allow(dead_code)] // each test program uses its part of it

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};
use serde_json::Value;

const RECORDED: &str = include_str!("../recorded/maas-3.7.3.json");

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    content_type: String,
    retry_after: Option<u64>,
    body: String,
}

/// One that was recorded from MAAS 3.7.3.
pub fn recorded(name: &str) -> Answer {
    let all: Value = serde_json::from_str(RECORDED).unwrap();
    let one = &all[name];
    assert!(one.is_object(), "nothing is recorded as {name}");
    Answer {
        status: one["status"].as_u64().unwrap().try_into().unwrap(),
        content_type: one["content_type"].as_str().unwrap().to_owned(),
        retry_after: None,
        body: one.get("json").map_or_else(|| one["text"].as_str().unwrap().to_owned(), Value::to_string),
    }
}

/// 200 with JSON.
pub fn json(value: &Value) -> Answer {
    Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        retry_after: None,
        body: value.to_string(),
    }
}

/// A status with a sentence.
pub fn text(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "text/plain".to_owned(), retry_after: None, body: body.to_owned() }
}

impl Answer {
    /// With a Retry-After header.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /machines/?op=allocate`, below the API's base.
    pub what: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<HashMap<String, VecDeque<Answer>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The region; it ends with the test's runtime.
pub struct Region {
    script: Script,
    /// `http://127.0.0.1:PORT/MAAS`.
    pub url: String,
}

impl Region {
    /// Starts one that knows nothing yet.
    pub async fn start() -> Self {
        let script = Script::default();
        let router = Router::new().fallback(answer).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/MAAS", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, url }
    }

    /// Answers `what` with these in turn; the last one stays.
    pub fn on<const N: usize>(self, what: &str, answers: [Answer; N]) -> Self {
        self.script.answers.lock().unwrap().insert(what.to_owned(), answers.into());
        self
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    /// How often it was asked this.
    pub fn times(&self, what: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what == what).count()
    }

    /// The body of the last such request.
    pub fn body(&self, what: &str) -> String {
        let asked = self.asked();
        let last =
            asked.iter().rfind(|asked| asked.what == what).unwrap_or_else(|| panic!("never asked {what}"));
        String::from_utf8(last.body.to_vec()).unwrap()
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().as_str();
    let target = target.strip_prefix("/MAAS/api/2.0").unwrap_or(target);
    let what = format!("{} {target}", head.method);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    script.asked.lock().unwrap().push(Asked { what: what.clone(), headers: head.headers, body });
    let answer = match script.answers.lock().unwrap().get_mut(&what) {
        Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
        Some(answers) => answers.front().unwrap().clone(),
        None => text(404, &format!("Unknown API endpoint: {target}.")),
    };
    let mut response = Response::builder().status(answer.status).header("content-type", answer.content_type);
    if let Some(seconds) = answer.retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(answer.body.into()).unwrap()
}
