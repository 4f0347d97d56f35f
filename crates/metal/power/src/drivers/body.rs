//! Reading what an HTTP server answers, up to a limit.

use reqwest::Response;

use crate::error::chain;

/// The body of an answer.
///
/// # Errors
/// Why it could not be read, or that it is longer than `limit` bytes.
pub async fn read(mut response: Response, limit: usize) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| chain(&error))? {
        if body.len() + piece.len() > limit {
            return Err(format!("its answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}
